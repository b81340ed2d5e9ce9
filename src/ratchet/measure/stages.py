"""The stages of a pipeline: those that all have, and those that a policy file adds.

Invariant: a stage says which events complete a change in it, and nothing else does; a condition that cannot be
evaluated for an event does not hold for it.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ratchet.records import Event, Record

if TYPE_CHECKING:
    import cel

STAGES = (
    "data",
    "train",
    "experiment",
    "evaluate",
    "deploy",
    "monitor",
    "sample",
    "label",
    "dataset",
    "pipeline-ci",
)
INITIATORS = ("cause", "actor")
_THINGS = {
    "data": ("dataset version", "dataset versions"),
    "train": ("training", "trainings"),
    "experiment": ("experiment", "experiments"),
    "evaluate": ("evaluation", "evaluations"),
    "deploy": ("deployment", "deployments"),
    "monitor": ("monitoring round", "monitoring rounds"),
    "sample": ("sample of traffic", "samples of traffic"),
    "label": ("round of labels or outcomes", "rounds of labels or outcomes"),
    "dataset": ("generated dataset", "generated datasets"),
    "pipeline-ci": ("release of the pipeline", "releases of the pipeline"),
}


_COUNTS_WHEN = {
    "data": "it was published, and not made by the loop itself",
    "train": "its run ended well and a gate judged its candidate",
    "experiment": "it was concluded",
    "evaluate": "a gate said pass or fail after a suite of checks",
    "deploy": "it made a version live that was not live before",
    "monitor": "monitors looked at a window of traffic",
    "sample": "rows came of it",
    "label": "rows came in by it",
    "dataset": "it has rows",
    "pipeline-ci": "it is recorded as released",
}


class BrokenWhere(Exception):
    """A condition of a stage cannot be parsed, or names something that it does not know."""


class CustomStage(Record, frozen=True):
    """A stage that a policy file names.

    Attributes:
        name: What criteria call it.
        type: Short name of the event that completes a change.
        where: Condition in CEL on ``event``; ``""`` for every event of that type.
        initiator: ``cause``: whoever its chain of causes leads to; ``actor``: whoever sent the event itself.
    """

    name: str
    type: str
    where: str = ""
    initiator: Literal["cause", "actor"] = "cause"

    def completes(self, event: Event) -> bool:
        """Tell whether an event completes a change in this stage."""
        return event.type == self.type and (not self.where or _holds(self.where, event))


def things(stage: str, number: int = 2) -> str:
    """Return what so many changes of a stage are called."""
    one, several = _THINGS.get(stage, (f"change in stage '{stage}'", f"changes in stage '{stage}'"))
    return one if number == 1 else several


def counts_when(stage: str) -> str:
    """Return in a sentence what makes a change of a stage that all pipelines have."""
    one = things(stage, 1)
    return f"{'An' if one[0] in 'aeiou' else 'A'} {one} counts when {_COUNTS_WHEN[stage]}."


def check_where(text: str) -> None:
    """Refuse a condition that can never mean anything; an empty one always holds.

    Raises:
        BrokenWhere: It is no CEL, or names another variable than ``event``.
    """
    if text:
        _compile(text)


@lru_cache(maxsize=256)
def _compile(text: str) -> "cel.Program":
    import cel  # with its command line it takes a third of a second to load

    try:
        program = cel.compile(text)
    except ValueError as error:
        reason = str(error).partition("ERROR: ")[2].splitlines()
        raise BrokenWhere(f"cannot be parsed: {reason[0].removeprefix('<input>:1:') if reason else error}") from error
    unknown = sorted(set(program.variables()) - {"event"})
    if unknown:
        raise BrokenWhere(f"names '{unknown[0]}'; a condition of a stage knows event")
    return program


def _holds(text: str, event: Event) -> bool:
    try:
        result: Any = _compile(text).execute({"event": msgspec.to_builtins(event)})
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return False
    return result is True
