"""The last transitions of all pipelines and their levels, from what a projection keeps: no event is read.

Invariant: what is said here is what the events say; of a pipeline of which the table does not tell, nothing is said.
What this process has read of the table is read again as soon as that pipeline was folded again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from ratchet.clock import MICROSECOND, to_us
from ratchet.measure.criteria import QUIET_AT_LEAST, KnownTransitions
from ratchet.measure.history import DEFAULT_WINDOW
from ratchet.measure.initiators import EVIDENCE, MODES, Mode
from ratchet.measure.policies import Policy
from ratchet.measure.standings import PipelineFacts, code_of, judge, stage_key, stages_asked, still_holds, window_us
from ratchet.measure.transitions import Transition
from ratchet.records import KeptRecent, Record

Codes = npt.NDArray[np.int32]
UNTOLD = -1
_MODE_OF = {code_of(mode, grade, ())[0]: mode for mode in MODES for grade in EVIDENCE}
_PLACE_OF = {letter: MODES.index(mode) for letter, mode in _MODE_OF.items()}
_FACTS = msgspec.json.Decoder(PipelineFacts)
_LETTERS = 2
_QUIET_US = QUIET_AT_LEAST // MICROSECOND
_ALWAYS = np.iinfo(np.int64).max


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


class KeptSamples(Protocol):
    """What the store gives; ``ratchet.store.projections`` has it."""

    def folds(self) -> dict[str, int]:
        """Return up to which entry each pipeline was folded."""

    def recent(self, pipelines: Sequence[str], stages: Sequence[str], *, limit: int) -> Iterable[KeptRecent]:
        """Yield what is kept of some pipelines, with their most recent transitions of some stages."""


def _moment_of(parts: tuple[str, str, str]) -> int:
    return int(parts[0][_LETTERS:])


class _Known:
    """What was read of one pipeline, and what was made of it, with the time for which that holds."""

    def __init__(self, kept: KeptRecent) -> None:
        self.seq = kept.seq
        self.facts = _FACTS.decode(kept.facts)
        self.letters: dict[str, str] = {}
        self.moments: dict[str, list[int]] = {}
        self.ids: dict[str, list[str]] = {}
        for stage, texts in kept.recent.items():
            # No database promises in which order it puts texts together.
            parts = sorted((text.partition("\x1f") for text in texts), key=_moment_of, reverse=True)
            self.letters[stage] = "".join(head[:_LETTERS] for head, _, _ in parts)
            self.moments[stage] = [int(head[_LETTERS:]) for head, _, _ in parts]
            self.ids[stage] = [event for _, _, event in parts]
        self.seqs = np.array([seq for seq, _ in kept.deployments], dtype=np.int64)
        self.modes = np.array([_PLACE_OF[code[0]] for _, code in kept.deployments], dtype=np.int32)
        # Whether a rule recurs may change with time alone, and with it what a transition was.
        self.transitions: KnownTransitions | None = None if self.facts.schedules else {}
        # Policy -> from when until when a bucket holds, and the bucket; likewise samples.
        self.buckets: dict[str, tuple[int, int, str | None]] = {}
        self.samples: tuple[int, int, tuple[int, int], dict[str, Sample]] = (0, -1, (0, 0), {})

    def tail(self, stage: str, *, at_us: int, window: int, limit: int) -> tuple[int, int]:
        """Return how many of the latest transitions are in a window, and until when these are."""
        moments = self.moments.get(stage, [])
        count = min(limit, len(moments))
        since = at_us - window
        while count and moments[count - 1] < since:
            count -= 1
        return count, moments[count - 1] + window if count else _ALWAYS

    def bucket(self, policy: Policy, at: datetime) -> str | None:
        """Return into which part of a distribution it falls; ``None`` where the table does not tell."""
        at_us = to_us(at)
        since, until, found = self.buckets.get(policy.digest, (0, -1, None))
        if not since <= at_us <= until:
            until, found = self._judged(policy, at, at_us)
            self.buckets[policy.digest] = (at_us, until, found)
        return found

    def _judged(self, policy: Policy, at: datetime, at_us: int) -> tuple[int, str | None]:
        """Return its bucket, and until when it stays there if nothing happens."""
        window = window_us(policy, self.facts)
        if not still_holds(self.facts.schedules, at, window):
            return -1, None
        tails: dict[str, str] = {}
        ends = [-1 if self.facts.schedules else _ALWAYS]
        for name in stages_asked(policy):
            key = stage_key(policy.stage(name))
            count, end = self.tail(key, at_us=at_us, window=window, limit=policy.sample_size)
            tails[key] = self.letters.get(key, "")[: _LETTERS * count]
            quiet_from = self.facts.last[key][0] + _QUIET_US if key in self.facts.last else _ALWAYS
            # What has been quiet for long may be stale from any moment on.
            ends += [end, quiet_from if at_us <= quiet_from else -1]

        def moments(_pipeline: str, stage: str, since: int, limit: int) -> list[tuple[int, int]]:
            return [(moment, 0) for moment in self.moments.get(stage, ())[:limit] if moment >= since]

        return min(ends), judge(policy, "", self.facts, tails, at_us=at_us, moments=moments).bucket

    def sampled(self, by: Policy, stages: Sequence[str], at_us: int) -> dict[str, Sample]:
        """Return the samples of some stages, by what a policy says is in one."""
        window, limit = window_us(by, self.facts), by.sample_size
        since, until, of, found = self.samples
        if of != (window, limit) or not since <= at_us <= until:
            until, found = _ALWAYS, {}
            for stage in stages:
                count, end = self.tail(stage, at_us=at_us, window=window, limit=limit)
                until = min(until, end)
                letters, ids = self.letters.get(stage, "")[: _LETTERS * count : _LETTERS], self.ids.get(stage, [])
                found[stage] = Sample(modes=tuple(map(_MODE_OF.__getitem__, letters)), event_ids=tuple(ids[:count]))
            self.samples = (at_us, until, (window, limit), found)
        return found


class Recent:
    """What a process has read of one table, pipeline by pipeline."""

    def __init__(self) -> None:
        self._stages: frozenset[str] = frozenset()
        self._limit = 0
        self.known: dict[str, _Known] = {}

    def catch_up(self, kept: KeptSamples, stages: Sequence[str], *, limit: int) -> dict[str, int]:
        """Read what was folded since the last time; return up to which entry each pipeline was folded after that.

        Args:
            kept: The table, the same each time.
            stages: Of which stages transitions are asked.
            limit: How many of each.
        """
        if not self._stages.issuperset(stages) or limit > self._limit:
            self._stages, self._limit, self.known = self._stages.union(stages), max(limit, self._limit), {}
        folds = kept.folds()
        changed = [name for name, seq in folds.items() if name not in self.known or self.known[name].seq != seq]
        known = {name: one for name, one in self.known.items() if name in folds}
        if changed:
            known |= {
                one.pipeline: _Known(one) for one in kept.recent(changed, sorted(self._stages), limit=self._limit)
            }
            folds = kept.folds()
        # Another thread may have read it meanwhile: either is what the table says.
        self.known = known
        return folds


class Sampled:
    """Samples and levels of the pipelines of which the table tells."""

    def __init__(
        self,
        samples: Mapping[str, Mapping[str, Sample]],
        buckets: Mapping[str, Mapping[str, str]],
        modes: Mapping[int, Mode] | tuple[npt.NDArray[np.int64], Codes],
        transitions: Mapping[str, KnownTransitions | None] = MappingProxyType({}),
    ) -> None:
        """Hold what was read; ``read_sampled`` makes these."""
        self._samples = samples
        self._buckets = buckets
        self._transitions = transitions
        if isinstance(modes, Mapping):
            places = [MODES.index(mode) for mode in modes.values()]
            modes = (np.array(list(modes), dtype=np.int64), np.array(places, dtype=np.int32))
        order = np.argsort(modes[0])
        self._seqs, self._modes = modes[0][order], modes[1][order]

    def sample(self, pipeline: str, stage: str) -> Sample | None:
        """Return the sample of a stage; ``None`` where the table does not tell."""
        found = self._samples.get(pipeline)
        return None if found is None else found.get(stage, _NOTHING)

    def transitions(self, pipeline: str) -> KnownTransitions | None:
        """Return the transitions that this process has read of a pipeline, to be added to; ``None`` if none hold."""
        return self._transitions.get(pipeline)

    def bucket(self, pipeline: str, policy: Policy) -> str | None:
        """Return into which part of a distribution a pipeline falls; ``None`` where the table does not tell."""
        return self._buckets.get(policy.digest, {}).get(pipeline)

    def mode_of_deployment(self, seq: int) -> Mode | None:
        """Return in which mode the deployment ran that an event completed; ``None`` where the table does not tell."""
        found = int(self.modes_of_deployments(np.array([seq], dtype=np.int64))[0])
        return None if found == UNTOLD else MODES[found]

    def modes_of_deployments(self, seqs: npt.NDArray[np.int64]) -> Codes:
        """Return in which mode deployments ran, by its place among all modes.

        Args:
            seqs: The places of their events in the ledger, shape ``(deployments,)``.

        Returns:
            ``UNTOLD`` where the table does not tell, shape ``(deployments,)``.
        """
        if not len(self._seqs):
            return np.full(len(seqs), UNTOLD, dtype=np.int32)
        places = np.minimum(np.searchsorted(self._seqs, seqs), len(self._seqs) - 1)
        return np.where(self._seqs[places] == seqs, self._modes[places], UNTOLD).astype(np.int32)


_NOTHING = Sample()


def read_sampled(
    kept: KeptSamples,
    policies: Sequence[Policy],
    *,
    by: Policy,
    stages: Sequence[str],
    at: datetime,
    seq: int,
    recent: Recent | None = None,
) -> Sampled:
    """Return samples and levels as they are at a moment.

    Args:
        kept: The table, folded up to an entry.
        policies: By whose levels; all their stages are folded.
        by: The policy that says how many transitions, and how far back, are in a sample.
        stages: Of which stages samples are asked.
        at: The moment (UTC), not before the entry was recorded.
        seq: The entry.
        recent: What this process has read of the same table before; it is brought up to date.
    """
    recent = recent or Recent()
    judged = {one.digest: one for one in (*policies, by)}
    keys = [stage_key(one.stage(name)) for one in judged.values() for name in stages_asked(one)]
    limit = max(one.sample_size for one in judged.values())
    folds = recent.catch_up(kept, [*dict.fromkeys((*keys, *stages))], limit=limit)
    # What another process has folded further meanwhile is not what was asked for.
    known = {name: one for name, one in recent.known.items() if one.seq == folds.get(name) and one.seq <= seq}
    buckets: dict[str, dict[str, str]] = {}
    for digest, policy in judged.items():
        found = {name: one.bucket(policy, at) for name, one in known.items()}
        buckets[digest] = {name: bucket for name, bucket in found.items() if bucket is not None}
    window = DEFAULT_WINDOW // MICROSECOND
    # All that the window decides about a mode: those outside it are kept, too.
    holding = [one for one in known.values() if still_holds(one.facts.schedules, at, window)]
    return Sampled(
        {name: known[name].sampled(by, stages, to_us(at)) for name in buckets[by.digest]},
        buckets,
        (
            np.concatenate([np.zeros(0, dtype=np.int64), *(one.seqs for one in holding)]),
            np.concatenate([np.zeros(0, dtype=np.int32), *(one.modes for one in holding)]),
        ),
        {name: known[name].transitions for name in buckets[by.digest]},
    )
