"""What of an evaluation goes into the ledger: its definition, each answer, each edit, and the conclusion.

Invariant: whatever is in the folder is recorded once in each state it was in; the folder is where people write, and the
ledger is what happened. All of it is declared, and none of it counts towards a level.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from ratchet.measure.evaluations import figures
from ratchet.measure.evaluations.answers import Answer
from ratchet.measure.evaluations.comparison import compare
from ratchet.measure.evaluations.conclusions import Conclusion
from ratchet.measure.evaluations.evaluation import Evaluation
from ratchet.records import Event, Record, digest_of

TYPE = "assessment.recorded"
KINDS = ("evaluation", "answer", "conclusion")
# What events of each kind have at least, and of what kind it is; anybody with a token may send others.
_NEEDED: dict[str, dict[str, type]] = {
    "evaluation": {"digest": str, "candidates": list, "groups": list, "respondents": list},
    "answer": {"digest": str, "candidate": str, "group": str, "item": str, "respondent": str},
    "conclusion": {
        "digest": str, "choice": str, "reasons": list, "by": str, "concluded_at": str, "evaluation_digest": str,
        "answered": int, "expected": int, "missing": list, "disqualified": list,
    },
}  # fmt: skip


class Recorded(Record, frozen=True):
    """What the ledger says about one evaluation.

    Attributes:
        latest: The last event of each thing: of the definition, each answer, the conclusion.
        turns: How many events there are of each.
    """

    latest: dict[str, Event]
    turns: dict[str, int]

    @property
    def conclusion(self) -> Conclusion | None:
        """Return the conclusion that was recorded, whatever the folder says."""
        event = next((one for one in self.latest.values() if one.data.get("assessment") == "conclusion"), None)
        if event is None:
            return None
        data = event.data
        return Conclusion(
            choice=str(data["choice"]),
            reasons=tuple(data["reasons"]),
            by=str(data["by"]),
            concluded_at=str(data["concluded_at"]),
            digest=str(data["evaluation_digest"]),
            answered=int(data["answered"]),
            expected=int(data["expected"]),
            missing=tuple(data["missing"]),
            disqualified=tuple(data["disqualified"]),
            figures=tuple(figures.read(data).values()),
            is_without_answers=bool(data.get("is_without_answers")),
        )


class Progress(Record, frozen=True):
    """How far a respondent is, by the ledger.

    Attributes:
        recorded: Answers of theirs that are in force.
        last_at: When the last one was recorded, or taken back.
    """

    respondent: str
    recorded: int
    last_at: datetime | None


def is_readable(event: Event) -> bool:
    """Tell whether an event is about an evaluation, and says all that such events say."""
    data = event.data
    kind = data.get("assessment")
    if event.type != TYPE or not isinstance(kind, str) or not isinstance(data.get("evaluation"), str):
        return False
    return kind in KINDS and all(isinstance(data.get(name), of) for name, of in _NEEDED[kind].items())


def recorded(events: Iterable[Event], evaluation: str) -> Recorded:
    """Return what events say about an evaluation; others, and those that say too little, are passed over."""
    latest: dict[str, Event] = {}
    turns: dict[str, int] = defaultdict(int)
    for event in events:
        name = event.subject.rpartition("@")[0]
        if name and is_readable(event) and event.data["evaluation"] == evaluation:
            latest[name] = event
            turns[name] += 1
    return Recorded(latest=latest, turns=dict(turns))


def pending(evaluation: Evaluation, known: Recorded) -> list[Event]:
    """Return the events that are still to be appended, so that the ledger says what the folder says.

    An answer that was taken out of the folder becomes an event, too. Ids follow from what is said and from how often
    something was said before, so recording twice appends nothing twice.
    """
    wanted = {f"{evaluation.id}": _definition(evaluation)}
    for answer in (*evaluation.given, *evaluation.gone):
        wanted[_subject(evaluation.id, answer)] = _answer(evaluation.id, answer)
    if evaluation.conclusion is not None:
        wanted[f"{evaluation.id}/conclusion"] = _conclusion(evaluation.id, evaluation.conclusion)
    for name, event in known.latest.items():
        if name not in wanted and event.data["assessment"] == "answer" and not event.data.get("is_withdrawn"):
            wanted[name] = _withdrawn(event)
    return [
        _event(name, data, turn=known.turns.get(name, 0) + 1)
        for name, data in wanted.items()
        if name not in known.latest or known.latest[name].data["digest"] != data["digest"]
    ]


def progress(evaluation: Evaluation, known: Recorded) -> list[Progress]:
    """Return how far each respondent is, read off the ledger."""
    found = []
    for one in evaluation.respondents:
        mine = [event for event in known.latest.values() if event.data.get("respondent") == one.name]
        in_force = [event for event in mine if not event.data.get("is_withdrawn")]
        last = max((event.at for event in mine), default=None)
        found.append(Progress(respondent=one.name, recorded=len(in_force), last_at=last))
    return found


def _event(name: str, data: dict[str, object], *, turn: int) -> Event:
    return Event(type=TYPE, subject=f"{name}@{turn}", evidence="declared", data=data)


def _subject(evaluation: str, answer: Answer) -> str:
    return f"{evaluation}/{answer.group}/{answer.item}/{answer.candidate}/{answer.respondent}"


def _definition(evaluation: Evaluation) -> dict[str, object]:
    return {
        "assessment": "evaluation",
        "evaluation": evaluation.id,
        "title": evaluation.title,
        "period": str(evaluation.period),
        "candidates": list(evaluation.names.candidates),
        "groups": list(evaluation.groups),
        "respondents": [one.name for one in evaluation.respondents],
        "figures": [one.figures.values() for one in compare(evaluation).candidates],
        "digest": evaluation.definition,
    }


def _answer(evaluation: str, answer: Answer) -> dict[str, object]:
    values = answer.values()
    return {"assessment": "answer", "evaluation": evaluation, **values, "digest": digest_of(values)}


def _withdrawn(event: Event) -> dict[str, object]:
    names = ("assessment", "evaluation", "candidate", "group", "item", "respondent")
    data: dict[str, object] = {name: event.data[name] for name in names}
    return {**data, "is_withdrawn": True, "digest": digest_of([*data.values(), "withdrawn"])}


def _conclusion(evaluation: str, conclusion: Conclusion) -> dict[str, object]:
    values: dict[str, object] = {
        "choice": conclusion.choice,
        "reasons": list(conclusion.reasons),
        "by": conclusion.by,
        "concluded_at": conclusion.concluded_at,
        "evaluation_digest": conclusion.digest,
        "answered": conclusion.answered,
        "expected": conclusion.expected,
        "missing": list(conclusion.missing),
        "disqualified": list(conclusion.disqualified),
    }
    # Only where there are some: a conclusion of an earlier release is still the one that was recorded.
    if conclusion.figures:
        values["figures"] = [one.values() for one in conclusion.figures]
    if conclusion.is_without_answers:
        values["is_without_answers"] = True
    return {"assessment": "conclusion", "evaluation": evaluation, **values, "digest": digest_of(values)}
