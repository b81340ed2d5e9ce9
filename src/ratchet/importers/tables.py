"""Mapping tables: which field of a foreign record says what, as data files that a person can read and check.

Invariant: a table that loads means something in each of its lines, and every event type in it is in the catalogue;
the first row that holds decides, and where none does, trigger and actor are unknown.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from ratchet.catalogue import event_type

FOLDER = Path(__file__).parent / "mappings"
STAGES_FILE = "stages.toml"
UNKNOWN_STAGE = "unknown"
Phase = Literal["queued", "started", "finished"]
Trigger = Literal["schedule", "data", "code", "metric", "custom", "api", "ui", "cli", "rerun", "operator", "unknown"]


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all rows: a key that is not listed is an error."""


class InitiatorRow(_Row, frozen=True):
    """Who started something: the first row whose condition holds.

    Attributes:
        when: Condition on the record; none holds always.
        trigger: What kind of thing set it off.
        actor: Path of the person's name; ``""`` where nobody in particular, or a machine, did it.
        event: Type of the event that stands for the start; ``""`` where none can be named: the chain is broken there.
        key: Names that event within its source; by default the record's own key.
        cause: Id of the event that this one goes back to, for what another run set off; joined in before.
        inherits: Name of the joined record that this one is a part of: its start, trigger and actor are this one's.
        at: Path of when it was started.
        subject: What the event is about.
        data: Its payload.
    """

    when: dict[str, Any] = {}
    trigger: Trigger = "unknown"
    actor: str = ""
    event: str = ""
    key: str = ""
    cause: str = ""
    inherits: str = ""
    at: str = ""
    subject: str = ""
    data: dict[str, Any] = {}


class StateRow(_Row, frozen=True):
    """How far something came: the first row whose condition holds.

    Attributes:
        phases: What it has been through.
        outcome: How it ended; ``""`` while it has not.
    """

    when: dict[str, Any] = {}
    phases: tuple[Phase, ...] = ()
    outcome: str = ""


class EventRow(_Row, frozen=True):
    """An event that a record, or a phase of an execution, stands for.

    Attributes:
        type: Its type.
        when: Condition on the record; none holds always.
        phase: The phase that it reports, in tables of stages.
        outcomes: Only with one of these, in tables of stages; none means any.
        subject: What it is about.
        data: Its payload; what cannot be filled is left out.
        stage: The stage, for types that the catalogue leaves open.
        actor: Path of the person who did it, where that is another than who started it all.
        trigger: What set it off, where that is another than the record's.
        at: Path of when it happened; by default that of the phase, or of the record's start.
        follows: Whether the event before it in the table is its cause; else the record's start is.
    """

    type: str
    when: dict[str, Any] = {}
    phase: Phase | Literal[""] = ""
    outcomes: tuple[str, ...] = ()
    subject: str = "{subject}"
    data: dict[str, Any] = {}
    stage: str = ""
    actor: str = ""
    trigger: Trigger | Literal[""] = ""
    at: str = ""
    follows: bool = True


class Kind(_Row, frozen=True):
    """One kind of record.

    Attributes:
        source: The source of its events, such as ``github/{repository.full_name}``.
        key: Names the record within the source.
        name: What ``[import.SYSTEM.NAME]`` in ``ratchet.toml`` names.
        records: Name of the list in a page; ``""`` where a page is the list itself.
        total: Name of the source's own count in a page.
        known_by: Fields that tell this kind from the others where a page is a bare list.
        fields: Path -> ``text``, ``number``, ``moment`` or ``list of texts``; with a ``?`` behind it may be missing.
        times: Phase -> path of its moment.
        facts: Name -> template: what tables of stages may use.
        is_optional: Whether a record that nobody mapped is left out, as parts of a run are.
        initiator: Who started it.
        state: How far it came.
        event: Events of records that are no execution.
    """

    source: str
    key: str
    name: str
    records: str = ""
    total: str = ""
    known_by: tuple[str, ...] = ()
    fields: dict[str, str] = {}
    times: dict[Phase, str] = {}
    facts: dict[str, Any] = {}
    is_optional: bool = False
    initiator: tuple[InitiatorRow, ...] = ()
    state: tuple[StateRow, ...] = ()
    event: tuple[EventRow, ...] = ()


@cache
def kinds(system: str) -> dict[str, Kind]:
    """Return the kinds of records of a system, from its table.

    Args:
        system: Name of the table, such as ``github``.
    """
    found = msgspec.convert(_load(f"{system}.toml"), dict[str, Kind])
    for kind in found.values():
        for named in (*(row.event for row in kind.initiator if row.event), *(row.type for row in kind.event)):
            event_type(named)
    return found


@cache
def stages() -> dict[str, tuple[EventRow, ...]]:
    """Return, for each stage that a user can name, the events that an execution in it stands for."""
    found = msgspec.convert(_load(STAGES_FILE), dict[str, tuple[EventRow, ...]])
    for rows in found.values():
        for row in rows:
            event_type(row.type)
    return found


def _load(file: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / file).read_text(encoding="utf-8"))
