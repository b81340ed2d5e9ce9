"""Keeps the transitions of all pipelines up to date with the ledger, when somebody asks.

Invariant: what is kept is what the history of a pipeline gives, read by the same code; a pipeline is folded again as
soon as any event could have changed what its transitions look like.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from ratchet.catalogue import EVENT_TYPES
from ratchet.clock import MICROSECOND, to_us
from ratchet.measure.activity import Activity, activity
from ratchet.measure.changes import Change, changes
from ratchet.measure.closures import closures, own_rules_at_work
from ratchet.measure.freshness import read_freshness
from ratchet.measure.history import DEFAULT_WINDOW, History, Snapshot, counted_moment, order
from ratchet.measure.policies import Policy
from ratchet.measure.practices import Practices
from ratchet.measure.rulebook import KEPT, LIFECYCLE, rule_key
from ratchet.measure.stages import STAGES, CustomStage
from ratchet.measure.standings import (
    PipelineFacts,
    Schedule,
    Standing,
    code_of,
    judge_all,
    practices_of,
    stage_key,
    stages_asked,
)
from ratchet.measure.transitions import Transition, read
from ratchet.records import NATIVE_SOURCE, Event, Evidence, KeptFold, Record, digest_of

# Raised whenever the same events give other transitions: what an earlier version kept is folded again.
VERSION = 3
_TOGETHER = 20
_TARGETED = ("touch.recorded", "approval.requested", "approval.decided", "approval.closed")
_FIRED = ("rule.fired",)
_SAID_ABOUT_PIPELINES = ("assessment.recorded", "source.cursor")
_OF_NO_PIPELINE = (*KEPT, "rule.suppressed", "rule.action.succeeded", *_TARGETED, *_SAID_ABOUT_PIPELINES)
_UNMEASURED = (
    "usage.recorded",
    "cost.recorded",
    "prediction_log.segment.sealed",
    "label.submitted",
    "module.used",
    "bill.imported",
)
MEASURED = tuple(name for name in EVENT_TYPES if name not in _UNMEASURED)


class Kept(Protocol):
    """What the store gives and takes; ``ratchet.store.projections`` has it."""

    def last_seq(self) -> int:
        """Return the last entry of the ledger."""

    def cursor(self) -> int:
        """Return up to which entry it was folded."""

    def advance(self, seq: int) -> None:
        """Say that all up to an entry was folded."""

    def start_over(self) -> None:
        """Throw away what another version of the fold has left."""

    def pipelines_between(self, after: int, until: int) -> list[str]:
        """Return the pipelines of the events after one entry, up to another."""

    def caused_late(self, after: int, until: int) -> list[str]:
        """Return the pipelines of events that were there before a cause of theirs."""

    def named(self, names: Sequence[str], until: int) -> list[str]:
        """Return the pipelines of the events with these ids or subjects."""

    def subjects(self, types: Sequence[str], *, after: int, until: int) -> list[tuple[str, str, str]]:
        """Return source, subject and pipeline of the events of some types."""

    def events(self, pipeline: str, *, until: int, after: int = 0, types: Sequence[str]) -> list[Event]:
        """Return the events of some types of a pipeline, in the order of the ledger."""

    def times(self, pipeline: str, *, until: int, types: Sequence[str]) -> list[tuple[datetime, datetime, Evidence]]:
        """Return when the events of some types of a pipeline happened and were recorded, with their grade."""

    def forget_standings(self, pipeline: str, *, since_us: int) -> None:
        """Throw away the kept standings of a pipeline from a moment on."""

    def by_key(self, keys: Iterable[tuple[str, str]], *, until: int) -> list[Event]:
        """Return the events with these sources and ids."""

    def keep(self, folds: Sequence[KeptFold]) -> None:
        """Keep what a fold gave for some pipelines."""

    def facts(self) -> dict[str, str]:
        """Return what is kept of each pipeline beside its transitions."""

    def tails(self, stages: Sequence[str], *, at_us: int, window_us: int, limit: int) -> dict[str, dict[str, str]]:
        """Return the codes of each pipeline's most recent transitions by stage."""

    def moments(self, pipeline: str, stage: str, *, since_us: int, limit: int) -> list[tuple[int, int]]:
        """Return when the last transitions of a stage were, the latest first."""


def fold_name(stages: Sequence[CustomStage]) -> str:
    """Return the name under which a fold with these stages keeps how far it has come."""
    return f"transitions/{VERSION}/{digest_of([stage_key(stage) for stage in stages])[:12]}"


class _Rules(Record, frozen=True):
    """What is read of the facts of all pipelines, whenever something happened: the rest of them is passed over."""

    rules: tuple[tuple[str, str], ...]
    doubtful: tuple[tuple[str, str], ...]


_RULES = msgspec.json.Decoder(_Rules)


class Fold:
    """The fold of a ledger into transitions.

    Args:
        kept: Where events come from and rows go to.
        stages: The stages that policies add.
    """

    def __init__(self, kept: Kept, stages: Sequence[CustomStage] = ()) -> None:
        self._kept = kept
        self._stages = tuple(stages)
        self._looked_until = -1
        self._common: list[Event] = []
        self._rules: dict[str, _Rules] = {}
        self._places: dict[tuple[str, str], set[str]] = {}

    def catch_up(self, now: datetime, *, until: int | None = None) -> int:
        """Fold what has come since the last time, up to an entry if given; return how many pipelines were folded."""
        until, after = self._kept.last_seq() if until is None else until, self._kept.cursor()
        if after >= until:
            return 0
        if after == 0:
            self._kept.start_over()
        self._look_around(after, until)
        changed = self._changed(after, until)
        for start in range(0, len(changed), _TOGETHER):
            # One transaction for some of them: each waits for the disk, and none holds the others up for long.
            self._kept.keep(
                [
                    found
                    for name in changed[start : start + _TOGETHER]
                    for found in self._fold(name, until, now, after=after)
                ]
            )
        self._kept.advance(until)
        return len(changed)

    def history(self, pipeline: str) -> History:
        """Return the history of one pipeline alone, with all that its events lead back to."""
        until = self._kept.last_seq()
        if until != self._looked_until:
            self._look_around(self._kept.cursor(), until)
        return self._history(pipeline, until)

    def covers(self, policy: Policy) -> bool:
        """Tell whether all stages of a policy are folded."""
        return set(policy.stages) <= set(self._stages)

    # ---- what has changed

    def _look_around(self, after: int, until: int) -> None:
        """Read what belongs to no pipeline, and where each rule has fired or was changed."""
        self._looked_until = until
        self._common = self._kept.events("", until=until, types=_OF_NO_PIPELINE)
        self._rules = {pipeline: _RULES.decode(text) for pipeline, text in self._kept.facts().items()}
        self._places = {}
        for pipeline, known in self._rules.items():
            for key in known.rules:
                self._places.setdefault(key, set()).add(pipeline)
        for source, subject, pipeline in self._kept.subjects(KEPT, after=after, until=until):
            self._places.setdefault((source, subject), set()).add(pipeline)

    def _changed(self, after: int, until: int) -> list[str]:
        """Return the pipelines whose transitions may look different now."""
        found = set(self._kept.pipelines_between(after, until))
        if after:
            found |= set(self._kept.caused_late(after, until))
            found |= self._by_rules(after, until)
            new = [event for event in self._common if event.seq > after]
            names = {str(event.data.get("target") or event.subject) for event in new if event.type in _TARGETED}
            names |= {event.causationid for event in new if event.type == "rule.action.succeeded"}
            found |= set(self._kept.named(sorted(names - {""}), until)) if names else set()
        return sorted(found - {""})

    def _by_rules(self, after: int, until: int) -> set[str]:
        """Return the pipelines with a rule that was changed, or fired, in another one or in none."""
        changed = {(source, name) for source, name, _ in self._kept.subjects(LIFECYCLE, after=after, until=until)}
        fired = {(source, name): where for source, name, where in self._kept.subjects(_FIRED, after=after, until=until)}
        changed |= {key for key, where in fired.items() if not where}
        return {
            pipeline
            for pipeline, known in self._rules.items()
            if not (changed.isdisjoint(known.rules) and fired.keys().isdisjoint(known.doubtful))
        }

    # ---- one pipeline

    def _history(self, pipeline: str, until: int) -> History:
        """Return a history of the pipeline's events, all their causes, and the life of all rules among them."""
        events = {e.seq: e for e in self._kept.events(pipeline, until=until, types=MEASURED)}
        events |= {event.seq: event for event in self._common}
        known = {event.key for event in events.values()}
        looked_for: set[tuple[str, str]] = set()
        new: list[Event] = list(events.values())
        while new:
            wanted = {(s, e.causationid) for e in new if e.causationid for s in (e.source, NATIVE_SOURCE)}
            wanted -= known | looked_for
            looked_for |= wanted
            new = self._kept.by_key(wanted, until=until) if wanted else []
            known |= {event.key for event in new}
            events |= {event.seq: event for event in new}
        for event in self._lives_elsewhere(pipeline, list(events.values()), until):
            events[event.seq] = event
        history = History(is_whole=False)
        history.fold(events[seq] for seq in sorted(events))
        return history

    def _lives_elsewhere(self, pipeline: str, events: list[Event], until: int) -> list[Event]:
        """Return what happened to these rules in other pipelines."""
        keys = {rule_key(event) for event in events if event.type in KEPT}
        places = {place for key in keys for place in self._places.get(key, ())}
        return [
            event
            for place in sorted(places - {pipeline, ""})
            for event in self._kept.events(place, until=until, types=KEPT)
            if rule_key(event) in keys
        ]

    def _fold(self, pipeline: str, until: int, now: datetime, *, after: int) -> Iterator[KeptFold]:
        """Yield what is kept of a pipeline; nothing of one that no event belongs to."""
        history = self._history(pipeline, until)
        if pipeline not in history.pipelines:
            return
        since = history.earliest_import(after)
        if after and since is not None:
            self._kept.forget_standings(pipeline, since_us=to_us(since))
        snapshot = history.as_of(max(now, history.last_recorded), window=DEFAULT_WINDOW)
        practices = Practices(snapshot, pipeline)
        found: dict[str, list[tuple[Change, Transition]]] = {}
        stages: tuple[str | CustomStage, ...] = (*STAGES, *self._stages)
        for stage in stages:
            found[stage_key(stage)] = [(c, read(snapshot, c)) for c in changes(snapshot, pipeline, stage)]
        rows = [_row(key, change, t, practices) for key, pairs in found.items() for change, t in pairs]
        last = {key: (to_us(pairs[-1][1].at), pairs[-1][1].seq) for key, pairs in found.items() if pairs}
        facts = facts_of(snapshot, pipeline, last=last, rules=history.rules_behind(pipeline))
        window = timedelta(days=4 * facts.cadence_days)
        yield KeptFold(
            pipeline=pipeline,
            rows=tuple(rows),
            facts=msgspec.json.encode(facts).decode(),
            activity=msgspec.json.encode(self._activity(snapshot, pipeline, until)).decode(),
            window_us=window // MICROSECOND,
            seq=until,
        )

    def _activity(self, snapshot: Snapshot, pipeline: str, until: int) -> Activity:
        """Return when something happened to a pipeline: the first and the last moment of each day are enough."""
        others = self._kept.times(pipeline, until=until, types=_UNMEASURED)
        moments = [counted_moment(time, recorded, evidence=evidence) for time, recorded, evidence in others]
        return activity(snapshot, pipeline, others=moments).by_day()


def standings(kept: Kept, policy: Policy, *, at: datetime) -> tuple[list[Standing], list[str]]:
    """Return where pipelines stand, and those that have to be measured from their events."""
    keys = [stage_key(policy.stage(name)) for name in stages_asked(policy)]
    tails = kept.tails(keys, at_us=to_us(at), window_us=policy.window // MICROSECOND, limit=policy.sample_size)

    def moments(pipeline: str, stage: str, since: int, limit: int) -> list[tuple[int, int]]:
        return kept.moments(pipeline, stage, since_us=since, limit=limit)

    return judge_all(policy, kept.facts(), tails, at=at, moments=moments)


def facts_of(
    snapshot: Snapshot, pipeline: str, *, last: dict[str, tuple[int, int]], rules: set[tuple[str, str]]
) -> PipelineFacts:
    """Return what is kept of a pipeline beside its transitions."""
    declared = snapshot.events("pipeline.declared", pipeline)
    data = declared[-1].data if declared else {}
    own_rules, closed = own_rules_at_work(snapshot, pipeline, fires=1), len(closures(snapshot, pipeline))
    age = read_freshness(snapshot, pipeline).train_age_days
    # Read last: only now it is known which rules anything depended on.
    doubtful = [snapshot.rules.rule(key) for key in sorted(snapshot.rules.doubtful)]
    return PipelineFacts(
        na={str(stage): str(reason) for stage, reason in (data.get("na") or {}).items()},
        cadence_days=float(data.get("cadence_days") or 0),
        promised_days=float(data.get("freshness_days") or data.get("cadence_days") or 0),
        trained_us=None if age is None else to_us(snapshot.at - timedelta(days=age)),
        own_rules=own_rules,
        closures=closed,
        last=last,
        asked=_asked(snapshot, pipeline),
        schedules=tuple(
            Schedule(cron=rule.cron, time_zone=rule.time_zone, recurs=snapshot.rules.comes_again(rule))
            for rule in doubtful
            if rule.is_enabled and rule.cron and rule.origin != "template"
        ),
        rules=tuple(sorted(rules)),
        doubtful=tuple(sorted(snapshot.rules.doubtful)),
    )


def _asked(snapshot: Snapshot, pipeline: str) -> dict[str, tuple[int, int]]:
    """Return when an enabled rule that leads to each stage last had a true condition."""
    leads_to = {rule.rule_id: rule.leads_to for rule in snapshot.rules.enabled(pipeline)}
    found: dict[str, tuple[int, int]] = {}
    for type_ in ("rule.fired", "rule.suppressed"):
        for name in (pipeline, ""):
            for event in snapshot.events(type_, name):
                if not event.data.get("condition_result"):
                    continue
                at, seq = order(event)
                for stage in leads_to.get(str(event.data.get("rule_id") or event.subject), ()):
                    found[stage] = max(found.get(stage, (0, 0)), (to_us(at), seq))
    return found


def _row(key: str, change: Change, transition: Transition, practices: Practices) -> dict[str, object]:
    shown = [practices.shown(practice, change) for practice in practices_of(change.stage)]
    return {
        "seq": transition.seq,
        "stage": key,
        "pipeline": transition.pipeline,
        "at_us": to_us(transition.at),
        "code": code_of(transition.mode, transition.evidence, shown),
        "event_id": transition.event_id,
        "subject": transition.subject,
        "recorded_us": to_us(transition.recorded),
        "mode": transition.mode,
        "root_class": transition.root_class,
        "root_event": transition.root_event,
        "rule_id": transition.rule_id,
        "touches": transition.touches,
        "gates": transition.gates,
        "input_digest": transition.input_digest,
        "outcome": transition.outcome,
        "evidence": transition.evidence,
    }
