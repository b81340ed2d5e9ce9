"""The last transitions of all pipelines and their levels, from what a projection keeps: no event is read.

Invariant: what is said here is what the events say; of a pipeline of which the table does not tell, nothing is said.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from ratchet.clock import MICROSECOND, to_us
from ratchet.measure.history import DEFAULT_WINDOW
from ratchet.measure.initiators import EVIDENCE, MODES, Mode
from ratchet.measure.policies import Policy
from ratchet.measure.standings import code_of, holding, judge_all, stage_key, stages_asked
from ratchet.measure.transitions import Transition
from ratchet.records import Record

_MODE_OF = {code_of(mode, grade, ())[0]: mode for mode in MODES for grade in EVIDENCE}


class Sample(Record, frozen=True):
    """The last transitions of one stage of a pipeline, in no order.

    Attributes:
        modes: In which mode each ran.
        event_ids: The event that completed each.
    """

    modes: tuple[Mode, ...] = ()
    event_ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Sequence[Transition]) -> "Sample":
        """Return what a sample says of some transitions."""
        return cls(modes=tuple(one.mode for one in found), event_ids=tuple(one.event_id for one in found))

    @classmethod
    def of_codes(cls, found: Sequence[str]) -> "Sample":
        """Return what a sample says of transitions that are kept as two letters each, the event behind them."""
        return cls(modes=tuple(_MODE_OF[one[0]] for one in found), event_ids=tuple(one[2:] for one in found))


class KeptSamples(Protocol):
    """What the store gives; ``ratchet.store.projections`` has it."""

    def facts(self) -> dict[str, str]:
        """Return what is kept of each pipeline beside its transitions."""

    def tails(self, stages: Sequence[str], *, at_us: int, window_us: int, limit: int) -> dict[str, dict[str, str]]:
        """Return the codes of each pipeline's most recent transitions by stage."""

    def samples(
        self, stages: Sequence[str], *, at_us: int, window_us: int, limit: int
    ) -> dict[str, dict[str, list[str]]]:
        """Return the same with the event of each transition behind its two letters, where it can be told."""

    def codes(self, stage: str) -> Iterable[tuple[str, int, str]]:
        """Return pipeline, place and code of all transitions of a stage."""

    def moments(self, pipeline: str, stage: str, *, since_us: int, limit: int) -> list[tuple[int, int]]:
        """Return when the last transitions of a stage were, the latest first."""

    def folded_after(self, seq: int) -> set[str]:
        """Return the pipelines whose rows rest on entries after this one."""


class Sampled:
    """Samples and levels of the pipelines of which the table tells."""

    def __init__(
        self, samples: dict[str, dict[str, Sample]], buckets: dict[str, dict[str, str]], modes: dict[int, Mode]
    ) -> None:
        """Hold what was read; ``read_sampled`` makes these."""
        self._samples = samples
        self._buckets = buckets
        self._modes = modes

    def sample(self, pipeline: str, stage: str) -> Sample | None:
        """Return the sample of a stage; ``None`` where the table does not tell."""
        found = self._samples.get(pipeline)
        return None if found is None else found.get(stage, Sample())

    def bucket(self, pipeline: str, policy: Policy) -> str | None:
        """Return into which part of a distribution a pipeline falls; ``None`` where the table does not tell."""
        return self._buckets.get(policy.digest, {}).get(pipeline)

    def mode_of_deployment(self, seq: int) -> Mode | None:
        """Return in which mode the deployment ran that an event completed; ``None`` where the table does not tell."""
        return self._modes.get(seq)


def read_sampled(
    kept: KeptSamples, policies: Sequence[Policy], *, by: Policy, stages: Sequence[str], at: datetime, seq: int
) -> Sampled:
    """Return samples and levels as they are at a moment.

    Args:
        kept: The table, folded up to an entry.
        policies: By whose levels; all their stages are folded.
        by: The policy that says how many transitions, and how far back, are in a sample.
        stages: Of which stages samples are asked.
        at: The moment (UTC), not before the entry was recorded.
        seq: The entry.
    """
    facts = kept.facts()
    judged = {one.digest: one for one in (*policies, by)}
    asked: dict[tuple[int, int], list[str]] = {}
    for policy in judged.values():
        keys = [stage_key(policy.stage(name)) for name in stages_asked(policy)]
        asked.setdefault(_sampling(policy), []).extend(keys)
    tails = {
        (limit, window): kept.tails([*dict.fromkeys(keys)], at_us=to_us(at), window_us=window, limit=limit)
        for (limit, window), keys in asked.items()
    }
    limit, window = _sampling(by)
    samples = kept.samples(stages, at_us=to_us(at), window_us=window, limit=limit)

    def moments(pipeline: str, stage: str, since: int, limit: int) -> list[tuple[int, int]]:
        return kept.moments(pipeline, stage, since_us=since, limit=limit)

    standings = {
        digest: judge_all(one, facts, tails[_sampling(one)], at=at, moments=moments)[0]
        for digest, one in judged.items()
    }
    # All that the window decides about a mode: those outside it are kept, too.
    codes = list(kept.codes("deploy"))
    # Read last: what another process folded further meanwhile is not what was asked for.
    later = kept.folded_after(seq)
    holds = holding(facts, at, DEFAULT_WINDOW) - later
    told = {one.pipeline for one in standings[by.digest]} - later
    return Sampled(
        {
            name: {stage: Sample.of_codes(codes) for stage, codes in by_stage.items()}
            for name, by_stage in samples.items()
            if name in told
        },
        {
            digest: {one.pipeline: one.bucket for one in found if one.pipeline not in later}
            for digest, found in standings.items()
        },
        {place: _MODE_OF[code[0]] for pipeline, place, code in codes if pipeline in holds},
    )


def _sampling(policy: Policy) -> tuple[int, int]:
    return policy.sample_size, policy.window // MICROSECOND
