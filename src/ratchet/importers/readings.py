"""From a foreign record to events of the ledger, by the tables.

Invariant: the id of each event follows from source, foreign key, type and pipeline, so that reading a record again
gives the same events; what the tables do not name has an unknown trigger and an unknown actor, never automation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from ratchet import clock
from ratchet.catalogue import event_type
from ratchet.config import ImportSection
from ratchet.importers.refusals import RecordInvalid
from ratchet.importers.tables import UNKNOWN_STAGE, EventRow, InitiatorRow, Kind, StateRow, stages
from ratchet.importers.templates import fill, holds, look_up
from ratchet.records import Actor, Event, Evidence, Record, derive_id, to_utc

AHEAD = timedelta(minutes=5)
# Nothing that anybody imports is older; a month before year 1 is none.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN = Actor()
_STARTED_BY_MACHINES = ("schedule", "code", "data", "metric")
_COMMIT_LETTERS = 12
_OWN_VERSION = re.compile(r".+@v[0-9]+")
Sections = Mapping[str, ImportSection]


@dataclass(frozen=True)
class Witness:
    """Who tells us of a record, and how well that is known.

    Attributes:
        evidence: ``imported`` for what was pulled or exported, ``attested`` for what was sent with a token.
        pseudonym: Turns a person's name at the source into the pseudonym that the ledger keeps.
        sender: The actor that a token stands for; ``None`` where the record itself says who acted.
    """

    evidence: Evidence
    pseudonym: Callable[[str], str]
    sender: Actor | None = None


class Place(Record, frozen=True):
    """Where a record stood, for messages.

    Attributes:
        file: Name of the file or address.
        number: Its place there, from 1.
    """

    file: str
    number: int


class Reading(Record, frozen=True):
    """What a record was read as.

    Attributes:
        system: Whose table was used.
        kind: The kind of record.
        source: The source of its events.
        key: Names the record within the source.
        name: What a section of ``ratchet.toml`` may name.
        pipeline: The pipeline that it belongs to.
        stages: The stages that it was mapped to; only ``unknown`` where nobody said.
        is_mapped: Whether a section names it.
        trigger: What set it off.
        actor: Who carried it out.
        is_execution: Whether it is something that begins and ends.
        outcome: How it ended; ``""`` where it has not, or is no execution.
        contradicts: Id of another record that claims to be the same; ``""`` mostly.
        cause: Id of the event that stands for its start, whether anything writes it or not.
        events: What it stands for, each after its cause.
    """

    system: str
    kind: str
    source: str
    key: str
    name: str
    pipeline: str
    stages: tuple[str, ...]
    is_mapped: bool
    trigger: str
    actor: Actor
    is_execution: bool
    outcome: str
    contradicts: str
    cause: str
    events: tuple[Event, ...]


def read(
    kinds: Mapping[str, Kind],
    name: str,
    record: dict[str, Any],
    *,
    place: Place,
    sections: Sections,
    witness: Witness,
) -> Reading:
    """Return what a record stands for.

    Args:
        kinds: The table of its system.
        name: The kind of record.
        record: Its JSON values.
        place: Where it stood.
        sections: What the user's settings say about this system, by name.
        witness: Who tells us.

    Raises:
        RecordInvalid: It lacks something, or says something impossible.
    """
    return _Reader(kinds[name], name, record, place=place, sections=sections, witness=witness).read()


def whole_of(reading: Reading, **more: Any) -> dict[str, Any]:
    """Return what a part of a record needs to know of the whole, to be joined to the part's own record.

    Args:
        reading: The whole.
        more: What the table of the part asks for besides.
    """
    return {"cause": reading.cause, "trigger": reading.trigger, "actor": msgspec.to_builtins(reading.actor), **more}


def initiator_id(source: str, key: str) -> str:
    """Return the id of the event that stands for the start of a record, whether it exists or not."""
    return derive_id(source, key, "initiator")


def section_for(sections: Sections, name: str) -> ImportSection | None:
    """Return the section that names something: exactly, or as the first pattern with ``*`` that fits."""
    if name in sections:
        return sections[name]
    return next((section for pattern, section in sections.items() if fnmatchcase(name, pattern)), None)


class _Reader:
    """Reads one record."""

    def __init__(
        self, kind: Kind, name: str, record: dict[str, Any], *, place: Place, sections: Sections, witness: Witness
    ) -> None:
        self._kind = kind
        self._kind_name = name
        self._record = record
        self._place = place
        self._witness = witness
        self._check_fields()
        self._source = self._needed(kind.source, "source")
        self._key = self._needed(kind.key, "key")
        self._name = self._needed(kind.name, "name")
        self._system = self._source.partition("/")[0]
        section = section_for(sections, self._name)
        self._is_mapped = section is not None
        self._section = section or ImportSection()
        self._pipeline = self._section.pipeline or self._name
        said = None if self._is_mapped else fill(kind.facts.get("environment"), record)
        self._environment = str(said or self._section.environment)
        self._row = next((row for row in kind.initiator if holds(row.when, record)), InitiatorRow())
        self._whole: dict[str, Any] = record.get(self._row.inherits) or {}
        self._trigger = str(self._whole.get("trigger") or self._row.trigger)
        self._state = next((row for row in kind.state if holds(row.when, record)), StateRow())

    def read(self) -> Reading:
        contradicts = str(self._record.get("contradicts") or "")
        is_believed = self._is_mapped and not contradicts
        chosen: tuple[str, ...] = (is_believed and self._section.stages) or (UNKNOWN_STAGE,)
        is_execution = bool(self._kind.state) and (not self._kind.event or chosen != (UNKNOWN_STAGE,))
        events = self._execution(chosen) if is_execution else self._own_events()
        return Reading(
            system=self._system,
            kind=self._kind_name,
            source=self._source,
            key=self._key,
            name=self._name,
            pipeline=self._pipeline,
            stages=chosen,
            is_mapped=self._is_mapped,
            trigger=self._trigger,
            actor=self._carrier(),
            is_execution=bool(self._kind.state),
            outcome=self._state.outcome,
            contradicts=contradicts,
            cause=self._cause(),
            events=(*self._initiator(), *events),
        )

    # ---- who started it

    def _cause(self) -> str:
        if self._whole:
            return str(self._whole["cause"])
        if self._row.cause:
            return str(fill(self._row.cause, self._record) or initiator_id(self._source, self._key))
        return initiator_id(self._source, str(fill(self._row.key or self._kind.key, self._record)))

    def _initiator(self) -> list[Event]:
        """Return the event that stands for the start, where one can be named."""
        row = self._row
        if not row.event or row.cause or row.inherits:
            return []
        at = self._moment(row.at) if row.at else self._first_moment()
        subject = str(fill(row.subject, self._record) or self._key)
        data = fill(row.data, self._record)
        event = Event(type=row.event, subject=subject, data=data, id=self._cause(), time=at)
        return [self._signed(event, self._starter())]

    def _starter(self) -> Actor:
        """Return who started it: a person where the row names one, the system for what no person starts."""
        if self._witness.sender is not None:
            return self._witness.sender
        if self._row.actor:
            return self._person(self._row.actor)
        return self._machine() if self._trigger in _STARTED_BY_MACHINES else UNKNOWN

    def _carrier(self) -> Actor:
        """Return who carried it out: the system, for what no person starts; else whoever started it."""
        if self._witness.sender is None and self._whole:
            return msgspec.convert(self._whole["actor"], Actor)
        if self._witness.sender is None and self._trigger in _STARTED_BY_MACHINES:
            return self._machine()
        return self._starter()

    def _machine(self) -> Actor:
        return Actor(authtype="system", authid=self._system, claims={"system": self._system})

    def _person(self, path: str) -> Actor:
        name = look_up(self._record, path)
        if name is None:
            return UNKNOWN
        return Actor(authtype="user", authid=self._witness.pseudonym(f"{self._system}:{name}"))

    # ---- what it did

    def _execution(self, chosen: tuple[str, ...]) -> list[Event]:
        """Return the events of an execution: those of its first stage, and after a success those of the others."""
        values = self._values(chosen)
        rows = [(row, place > 0) for place, stage in enumerate(chosen) for row in stages()[stage]]
        events: list[Event] = []
        for row, is_later in rows:
            phase: Any = "finished" if is_later else row.phase
            if phase not in self._state.phases or not self._is_reached(row, is_later=is_later):
                continue
            at = max([self._moment(self._kind.times[phase]), *(event.at for event in events[-1:])])
            events.append(self._event(row, values, at=at, after=events))
        return events

    def _is_reached(self, row: EventRow, *, is_later: bool) -> bool:
        if is_later and self._state.outcome != "success":
            return False
        return not row.outcomes or self._state.outcome in row.outcomes

    def _own_events(self) -> list[Event]:
        """Return the events of a record that is no execution."""
        values = self._values(self._section.stages) | {"record": self._record} | self._record_names()
        events: list[Event] = []
        for row in self._kind.event:
            is_wanted = not row.phase or row.phase in self._state.phases
            if is_wanted and holds(row.when, values):
                events.append(self._event(row, values, at=self._at(row), after=events))
        return events

    def _record_names(self) -> dict[str, Any]:
        return {name: value for name, value in self._record.items() if name not in ("subject", "name", "version")}

    def _event(self, row: EventRow, values: dict[str, Any], *, at: datetime, after: list[Event]) -> Event:
        actor = self._carrier()
        if row.actor and self._witness.sender is None:
            actor = self._person(row.actor)
        event = Event(
            type=row.type,
            subject=str(fill(row.subject, values) or values["subject"]),
            data=fill(row.data, values),
            id=derive_id(self._source, self._key, row.type, self._pipeline),
            time=at,
            causationid=self._cause_of(row, after),
            stage=row.stage,
        )
        return self._signed(event, actor, trigger=row.trigger)

    def _cause_of(self, row: EventRow, after: list[Event]) -> str:
        """Return the id of what led to an event: the one before it, else the start of it all."""
        if after and row.follows:
            return after[-1].id
        has_start = self._row.event or self._row.cause or self._row.inherits or self._kind.state
        return "" if event_type(row.type).is_root and not has_start else self._cause()

    def _signed(self, event: Event, actor: Actor, *, trigger: str = "") -> Event:
        return msgspec.structs.replace(
            event,
            source=self._source,
            correlationid=self._cause(),
            authtype=actor.authtype,
            authid=actor.authid,
            authclaims=actor.claims,
            pipeline=self._pipeline,
            env=self._environment if event.type.startswith(("deployment.", "traffic.")) else "",
            evidence=self._witness.evidence,
            trigger=trigger or self._trigger,
        )

    # ---- values

    def _values(self, chosen: tuple[str, ...]) -> dict[str, Any]:
        """Return what the holes of a table of stages are filled from."""
        facts: dict[str, Any] = fill(self._kind.facts, self._record)
        outcome = self._state.outcome
        artifact = str(facts.get("own_artifact" if "train" in chosen else "artifact") or facts.get("artifact") or "")
        version = str(facts.get("version") or _version(self._pipeline, artifact))
        if _OWN_VERSION.fullmatch(version):
            # What another system calls by the name of one of our versions is not that version.
            version = f"{self._system}:{version}"
        values = {
            "pipeline": self._pipeline,
            "name": self._name,
            "subject": self._key,
            "endpoint": self._section.endpoint or self._pipeline,
            "outcome": outcome,
            "verdict": "passed" if outcome == "success" else "failed",
            "decision": "pass" if outcome == "success" else "fail",
            "is_success": outcome == "success",
            "contradicts": self._record.get("contradicts"),
            **{f"{phase}_at": self._moment(path).isoformat() for phase, path in self._kind.times.items()},
        }
        if version:
            values |= {"weights": {version: 1.0}, "artifact_digests": {version: artifact} if artifact else {}}
        return values | facts | {"artifact": artifact, "version": version, "environment": self._environment}

    def _at(self, row: EventRow) -> datetime:
        if row.at:
            return self._moment(row.at)
        return self._moment(self._kind.times[row.phase]) if row.phase else self._first_moment()

    def _first_moment(self) -> datetime:
        return self._moment(next(iter(self._kind.times.values())))

    def _moment(self, path: str) -> datetime:
        found = look_up(self._record, path)
        try:
            moment = to_utc(msgspec.convert(found, datetime))
        except (ValueError, OverflowError) as error:
            raise self._invalid(path, f"is '{found}', which is no moment with a time zone") from error
        remedy = "Set the clock that is wrong right."
        if moment > clock.now() + AHEAD:
            raise self._invalid(path, f"is '{found}', which lies in the future", remedy)
        if moment < EARLIEST:
            raise self._invalid(path, f"is '{found}', which lies before {EARLIEST.year}", remedy)
        return moment

    # ---- checking

    def _check_fields(self) -> None:
        for path, wanted in self._kind.fields.items():
            found = look_up(self._record, path)
            if found is None:
                if not wanted.endswith("?"):
                    raise self._invalid(path, "is missing")
                continue
            if wanted.startswith("moment"):
                self._moment(path)
            elif not _is(wanted.rstrip("?"), found):
                raise self._invalid(path, f"is {shown(found)}, where a {wanted.rstrip('?')} is expected")

    def _needed(self, template: str, what: str) -> str:
        found = fill(template, self._record)
        if found is None:
            raise self._invalid(what, f"cannot be made: '{template}' has a hole")
        return str(found)

    def _invalid(self, field: str, problem: str, remedy: str = "") -> RecordInvalid:
        return RecordInvalid(
            file=self._place.file,
            number=self._place.number,
            field=field,
            problem=problem,
            remedy=remedy or "Export it again, whole and unchanged.",
        )


def _is(wanted: str, found: Any) -> bool:
    if wanted == "list of texts":
        return isinstance(found, list) and all(isinstance(one, str) for one in found)
    if wanted == "number":
        return isinstance(found, int) and not isinstance(found, bool)
    return isinstance(found, str)


def shown(value: Any) -> str:
    """Return a value for a message, as much of it as a line of a terminal takes."""
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004, as much as a line of a terminal takes


def _version(pipeline: str, artifact: str) -> str:
    """Return a name for what an execution made or put in place, where the source has none."""
    scheme, _, rest = artifact.partition(":")
    if scheme == "git":
        return f"{pipeline}@{rest[:_COMMIT_LETTERS]}"
    return f"{pipeline}@{scheme}-{rest}" if scheme == "run" else artifact
