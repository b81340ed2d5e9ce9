"""A rule held against the past: for which events it would have fired, and what really happened then.

Invariant: nothing is appended, nothing is enqueued and no action is done; only the function of a rule in Python really
runs, and what it asks for is noted and not carried out.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from ratchet.automation import conditions, limits, rules
from ratchet.automation.chronicle import Chronicle, Done
from ratchet.automation.clockwork import tick_of
from ratchet.automation.conditions import BrokenCondition
from ratchet.automation.dispatcher import depth_of
from ratchet.automation.hindsight import UNKNOWABLE
from ratchet.automation.rules import Call, Rule
from ratchet.automation.schedules import slots
from ratchet.config import FILE_NAME
from ratchet.engine.executors import Session, Task, log_file
from ratchet.errors import UnknownName
from ratchet.loop import projects
from ratchet.loop.pipelines import Project
from ratchet.loop.resources import Resources
from ratchet.records import Event, Record
from ratchet.store.erasure import ERASED

# (pipeline, names, event) -> the numbers as of then.
Numbers = Callable[[str, Collection[str], Event], dict[str, float]]
Verdict = Literal["fire", "hold back", "error", "not"]
EVENTS_PER_CHILD = 200
_CAUSES_KEPT = 50_000


class Case(Record, frozen=True):
    """One event that the rule listens to.

    Attributes:
        event: Its id; that of a slot which never ticked is the one that its tick would have had.
        seq: Its place in the ledger, 0 for a slot that never ticked.
        at: When it was appended, or the slot was due.
        would: What the rule would do: ``fire``, ``hold back``, ``error`` or ``not``.
        why: In words, where it would not simply fire.
        numbers: What the condition saw beside the event.
        asked: The actions that would be done.
        really: What the rule really did then.
    """

    event: str
    source: str
    seq: int
    subject: str
    at: datetime
    would: Verdict
    why: str
    numbers: dict[str, float]
    asked: tuple[Call, ...]
    really: Done

    @property
    def is_worth_a_line(self) -> bool:
        """Tell whether the rule would do something, or really did something."""
        return self.would != "not" or self.really.deed in ("fired", "backfilled", "failed", "held back")


class Rehearsal(Record, frozen=True):
    """What a rule would have done in a span of time.

    Attributes:
        rule: The rule.
        place: Where it stands, in words.
        cases: All events that it listens to in the span, in order.
        imported: How many further ones were imported, which sets off no rule.
        notes: What cannot be known.
    """

    rule: Rule
    place: str
    since: datetime
    until: datetime
    cases: tuple[Case, ...]
    imported: int
    notes: tuple[str, ...]

    def count(self, *would: Verdict) -> int:
        """Return for how many events the rule would do one of these."""
        return sum(1 for case in self.cases if case.would in would)


class Rehearsing:
    """Holds rules against the past of one workspace.

    Args:
        resources: The workspace's parts.
        numbers: Gives the numbers of conditions as of then.
    """

    def __init__(self, resources: Resources, *, numbers: Numbers) -> None:
        self._resources = resources
        self._numbers = numbers

    def find(self, name: str, *, file: Path | None = None, pipeline: str = "") -> tuple[Rule, str]:
        """Return a rule by its name, and where it stands in words.

        Args:
            name: Of a rule of a file, of the project's files, in force, or of a preset.
            file: Look in this file and nowhere else.
            pipeline: What a preset acts on; the only one there is, if not given.

        Raises:
            UnknownName: There is no such rule; or it is a preset, and it cannot be told for which pipeline.
            ConfigInvalid: A file's rules mean nothing.
        """
        resources = self._resources
        _, project = projects.current(resources)
        if file is not None:
            found = rules.read_text(file.read_text(encoding="utf-8"), project, resources.config, path=file)
            return _named(name, found), f"in {file}"
        own = rules.read(resources.config, project, path=resources.project / FILE_NAME)
        with resources.database.read() as connection:
            in_force = rules.in_force(connection).rules
        for rule in own:
            if rule.name == name:
                is_same = any(rule.digest == one.digest and rule.is_enabled == one.is_enabled for one in in_force)
                file_name = f"{rule.module}.py" if rule.module else FILE_NAME
                return rule, "in force" if is_same and rule.is_enabled else f"in {file_name}, not in force"
        if any(one.name == name for one in rules.presets()):
            return self._preset(name, project, pipeline), "a preset, not in force"
        return _named(
            name, [*in_force, *own], *(one.name for one in rules.presets())
        ), "in force, no longer in the files"

    def _preset(self, name: str, project: Project, pipeline: str) -> Rule:
        names = [one.name for one in project.pipelines]
        if not pipeline and len(names) == 1:
            pipeline = names[0]
        declared = next((one for one in project.pipelines if one.name == pipeline), None)
        if declared is None:
            raise UnknownName(
                kind="pipeline", name=pipeline, known=f"{', '.join(names) or 'none'}; say --pipeline NAME"
            )
        dataset = next(iter(declared.datasets.values()), "")
        blocks = rules.preset_text(name, pipeline=pipeline, model=declared.model, dataset=dataset)
        text = "".join(block for _, block in blocks)
        without_rules = Project(pipelines=project.pipelines)
        return rules.read_text(text, without_rules, self._resources.config, path=Path(f"preset {name}"))[0]

    def rehearse(self, rule: Rule, *, place: str, since: datetime, until: datetime) -> Rehearsal:
        """Return what a rule would have done for what happened in ``(since, until]``."""
        chronicle = Chronicle(self._resources.ledger, rule)
        events, imported = self._events(rule, chronicle, since=since, until=until)
        looked_at = [self._look(rule, event) for event in events]
        asked = self._asked(rule, [event for event, look in zip(events, looked_at, strict=True) if look.is_true])
        cases = self._decide(rule, events, looked_at, asked, chronicle)
        notes = [UNKNOWABLE[name] for name in sorted(conditions.names_used(rule.when)) if name in UNKNOWABLE]
        if rule.module:
            notes.append("The function saw each event as it stands in the ledger, but ran today, as the files are now.")
        erased = next(self._resources.ledger.read(types=[ERASED], limit=1), None)
        if erased is not None and any(not event.data for event in events):
            notes.append("Events whose payload was erased were looked at without it.")
        return Rehearsal(
            rule=rule,
            place=place,
            since=since,
            until=until,
            cases=tuple(cases),
            imported=imported,
            notes=tuple(notes),
        )

    def _events(self, rule: Rule, chronicle: Chronicle, *, since: datetime, until: datetime) -> tuple[list[Event], int]:
        """Return what a rule listens to in a span, and how many more were imported."""
        if rule.on == rules.TICK:
            made = (tick_of(rule, slot, slot) for slot in slots(rule.cron, rule.time_zone, after=since, until=until))
            return [chronicle.ticks.get(event.id) or _at_its_slot(event) for event in made], 0
        found = [event for event in self._resources.ledger.read(types=[rule.on]) if since < _moment(event) <= until]
        native = [event for event in found if event.evidence != "imported"]
        return native, len(found) - len(native)

    def _look(self, rule: Rule, event: Event) -> "_Look":
        numbers: dict[str, float] = {}
        if event.type == "rule.suppressed" and event.subject == rule.name:
            return _Look(is_true=False, numbers=numbers, error="")
        try:
            numbers = self._numbers(rule.pipeline or event.pipeline, conditions.names_used(rule.when), event)
            return _Look(is_true=conditions.holds(rule.when, event, numbers), numbers=numbers, error="")
        except BrokenCondition as error:
            return _Look(is_true=False, numbers=numbers, error=f"the condition {error}")

    def _asked(self, rule: Rule, events: Sequence[Event]) -> "dict[tuple[str, str], _Asked]":
        """Return which actions a rule asks for, by the key of the event."""
        if not rule.module:
            done = _Asked(calls=rule.calls, error="")
            return {event.key: done for event in events}
        found: dict[tuple[str, str], _Asked] = {}
        for start in range(0, len(events), EVENTS_PER_CHILD):
            some = events[start : start + EVENTS_PER_CHILD]
            answers = msgspec.convert(self._ask_child(rule, some), list[_Asked])
            found |= {event.key: one for event, one in zip(some, answers, strict=True)}
        return found

    def _ask_child(self, rule: Rule, events: Sequence[Event]) -> Any:
        """Run the function of a rule in Python for some events, in one child, and return what it asks for."""
        snapshot, _ = projects.current(self._resources)
        task = Task(
            name=f"rehearsal of rule '{rule.name}'",
            entry="ratchet.automation.custom:rehearse",
            spec={
                **projects.child_spec(self._resources, snapshot),
                "rule": rule.name,
                "events": msgspec.to_builtins(list(events)),
                "pipelines": [rule.pipeline or event.pipeline for event in events],
            },
            log=log_file(self._resources.logs, "rules"),
        )
        resources = self._resources
        session = Session(resources.zygotes, task, limits=resources.limits, is_cancelled=lambda: False)
        return session.converse(lambda _request, execute: execute())

    def _decide(
        self,
        rule: Rule,
        events: Sequence[Event],
        looks: "Sequence[_Look]",
        asked: "dict[tuple[str, str], _Asked]",
        chronicle: Chronicle,
    ) -> Iterator[Case]:
        """Go through the events in order and let the limits count what would have fired."""
        section = self._resources.config.limits
        # Many events follow from few causes.
        get = lru_cache(maxsize=_CAUSES_KEPT)(self._resources.ledger.get)
        firings: deque[datetime] = deque(maxlen=limits.firings_needed(rule.at_most, section))
        for event, look in zip(events, looks, strict=True):
            wanted = asked.get(event.key, _Asked())
            would, why = _verdict(look, wanted)
            if would == "fire":
                depth = depth_of(event, get=get, limit=section.rule_depth) if event.seq else 0
                held = limits.held_back(rule.at_most, section, depth=depth, firings=firings, now=_moment(event))
                if held is None:
                    firings.append(_moment(event))
                else:
                    would, why = "hold back", held.reason
            yield Case(
                event=event.id,
                source=event.source,
                seq=event.seq,
                subject=event.subject,
                at=_moment(event),
                would=would,
                why=why,
                numbers=look.numbers,
                asked=wanted.calls if would == "fire" else (),
                really=chronicle.done(event),
            )


class _Look(Record, frozen=True):
    """What a condition made of an event."""

    is_true: bool
    numbers: dict[str, float]
    error: str


class _Asked(Record, frozen=True):
    """What a rule asks for, and how its function failed."""

    calls: tuple[Call, ...] = ()
    error: str = ""


def _verdict(look: _Look, asked: _Asked) -> tuple[Verdict, str]:
    if look.error:
        return "error", look.error
    if asked.error:
        return "error", asked.error
    if look.is_true and not asked.calls:
        return "not", "the function asks for nothing"
    return ("fire", "") if look.is_true else ("not", "the condition is false")


def _at_its_slot(tick: Event) -> Event:
    return msgspec.structs.replace(tick, time=datetime.fromisoformat(tick.data["slot"]).astimezone(UTC))


def _named(name: str, found: Sequence[Rule], *also: str) -> Rule:
    for rule in found:
        if rule.name == name:
            return rule
    known = ", ".join(dict.fromkeys([*(f"'{one.name}'" for one in found), *also]))
    raise UnknownName(kind="rule", name=name, known=known or "none yet")


def _moment(event: Event) -> datetime:
    return event.recordedtime or event.at
