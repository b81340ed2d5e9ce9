"""``ratchet events``: read the ledger, follow it, or show one event with its causes and what it caused.

Invariant: with ``--json`` each line is one event under the envelope's names, as it is exported everywhere.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from ratchet.records import Event
    from ratchet.workspace import Workspace

_POLL_SECONDS = 0.2
_DEPTH = 6
_WIDTH = 12
_GAP = 1
_THEN = "then "
_OWN_NAMES = ("engine", "rule")

DEFAULT_LIMIT = 30
_MOST_DIGITS = 18


@click.command(
    "events",
    epilog=examples(
        "ratchet events --pipeline returns --limit 50",
        "ratchet events --follow --type run.finished --type gate.evaluated",
        "ratchet events 42                 one event, its causes and what it caused",
        "ratchet events --json > ledger.jsonl",
    ),
)
@click.argument("event", required=False, default="", metavar="[ID|NUMBER]")
@click.option("--follow", is_flag=True, help="Go on with new events until Ctrl-C.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type; may be given several times.")
@click.option("--pipeline", default="", help="Only events of this pipeline.")
@click.option("--limit", type=click.IntRange(1), help="At most so many, the newest.  [default: 30; with --json all]")
@click.option("--types", "list_types", is_flag=True, help="List the types of events that there are.")
@with_session
def events_command(
    session: Session,
    *,
    event: str,
    follow: bool,
    types: tuple[str, ...],
    pipeline: str,
    limit: int | None,
    list_types: bool,
) -> None:
    """Read the ledger: what happened, by whom, because of what."""
    from ratchet.catalogue import event_type

    if list_types:
        _print_types(session)
        return
    names = [event_type(one).name for one in types]
    with session.workspace() as workspace:
        if event:
            _show(session, workspace, find_event(workspace, event))
            return
        listing = _Listing(session, workspace)
        if limit is None and session.as_json:
            # The whole ledger may be larger than memory: it is passed on as it is read.
            listing.print(workspace.ledger.read(types=names, pipeline=pipeline))
        else:
            newest = workspace.ledger.read(
                types=names, pipeline=pipeline, newest_first=True, limit=limit or DEFAULT_LIMIT
            )
            listing.print(list(newest)[::-1])
        if follow:
            with suppress(KeyboardInterrupt):
                for one in _follow(workspace, names, pipeline, after=listing.last_seq):
                    listing.print([one])
        elif not listing.last_seq and not session.as_json:
            _print_nothing(types, pipeline)


def _print_nothing(types: tuple[str, ...], pipeline: str) -> None:
    from ratchet.cli.console import say

    wanted = ", ".join([*types, *([f"pipeline {pipeline}"] if pipeline else [])])
    say(f"No events of {wanted}." if wanted else "No events yet.")


def _follow(workspace: "Workspace", types: list[str], pipeline: str, *, after: int) -> Iterator["Event"]:
    from ratchet import clock

    last = after
    while True:
        for event in workspace.ledger.read(after=last, types=types, pipeline=pipeline):
            last = event.seq
            yield event
        clock.sleep(_POLL_SECONDS)


def find_event(workspace: "Workspace", name: str) -> "Event":
    """Return an event by its id, or by its place in the ledger, such as ``42`` or ``#42``.

    Raises:
        UnknownName: There is none.
    """
    from ratchet.errors import UnknownName

    number = name.removeprefix("#")
    if number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS:
        found = next(workspace.ledger.read(after=int(number) - 1, limit=1), None)
        found = found if found and found.seq == int(number) else None
    else:
        found = workspace.ledger.find(name.upper()) or workspace.ledger.find(name)
    if found is None:
        raise UnknownName(kind="event", name=name, known=f"numbers 1 to {workspace.ledger.last_seq()}, and full ids")
    return found


# ---- a list


class _Listing:
    """Prints events line by line, in columns that stay where they are while the list is followed."""

    def __init__(self, session: Session, workspace: "Workspace") -> None:
        from zoneinfo import ZoneInfo

        self._as_json = session.as_json
        self._zone = ZoneInfo(workspace.config.project.time_zone)
        self._actors = Actors(workspace)
        self._has_header = False
        self.last_seq = 0

    def print(self, events: "Iterable[Event]") -> None:
        """Print some events."""
        from ratchet.cli import console
        from ratchet.store.ledger import to_export

        if self._as_json:
            for event in events:
                console.print_json_line(to_export(event))
                self.last_seq = event.seq
            return
        self._print_table(list(events))

    def _print_table(self, events: "list[Event]") -> None:
        from ratchet.cli import console

        if not events:
            return
        self.last_seq = events[-1].seq
        made = console.table("#", "TIME", "TYPE", "SUBJECT", "BY")
        made.padding = (0, _GAP, 0, 0)
        made.show_header = not self._has_header
        for column, (width, is_cut) in zip(made.columns, self._widths(), strict=True):
            column.width, column.no_wrap = width, True
            column.overflow = "ellipsis" if is_cut else "crop"
        made.columns[0].justify = "right"
        for event in events:
            by = self._actors.name(event)
            when = console.moment_text(event.at, self._zone)
            made.add_row(str(event.seq), when, event.type, _subject(event), by)
        self._has_header = True
        console.say(made)

    @staticmethod
    def _widths() -> list[tuple[int, bool]]:
        """Return each column's width, and whether its values are cut; what is left goes to the subject."""
        from ratchet.cli.console import stdout

        number, time, kind, by = 6, 16, 25, 9
        subject = max(10, stdout().width - number - time - kind - by - 4 * _GAP)
        return [(number, False), (time, False), (kind, True), (subject, True), (by, True)]


def _subject(event: "Event") -> str:
    from ratchet.cli.console import short

    return short(event.subject)


class Actors:
    """Names of who did things, read once each."""

    def __init__(self, workspace: "Workspace") -> None:
        self._database = workspace.database
        self._names: dict[str, str] = {}

    def name(self, event: "Event") -> str:
        """Return the account, token or machinery behind an event."""
        from ratchet.loop import credentials

        if event.authid in _OWN_NAMES:
            return event.authid
        if event.authid not in self._names:
            self._names[event.authid] = credentials.account_of(self._database, event.authid)
        return self._names[event.authid] or event.authtype or "unknown"


# ---- one event


def _show(session: Session, workspace: "Workspace", event: "Event") -> None:
    from ratchet.cli import console
    from ratchet.store.ledger import to_export

    causes = _causes(workspace, event)
    if session.as_json:
        effects = [to_export(one) for one in _Effects(workspace, event).all_of(event)]
        console.print_json({"event": to_export(event), "causes": [to_export(one) for one in causes], "caused": effects})
        return
    actors = Actors(workspace)
    console.say(console.facts(_envelope(event, actors)))
    if event.data:
        console.title("Data")
        console.say(console.facts((name, _value(one)) for name, one in event.data.items()))
    if causes:
        console.title("Why it happened")
        console.say(_chain([*causes, event], actors))
    console.title("What it led to")
    console.say(_tree(workspace, event, actors) if workspace.ledger.caused_by(event.id) else "nothing")


def _envelope(event: "Event", actors: Actors) -> list[tuple[str, Any]]:
    trigger = f", set off by {event.trigger}" if event.trigger not in ("", "unknown") else ""
    pairs = [
        ("event", f"#{event.seq} {event.id}"),
        ("type", event.type),
        ("subject", event.subject),
        ("time", f"{event.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("by", f"{actors.name(event)} ({event.actor_class}){trigger}"),
        ("pipeline", event.pipeline),
        ("stage", event.stage),
        ("environment", event.env),
        ("team", event.team),
        ("source", event.source),
        ("evidence", event.evidence),
        ("cause", event.causationid or "none, it is a root"),
    ]
    return [(name, value) for name, value in pairs if value]


def _value(value: Any) -> str:
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    from ratchet.cli.console import number

    return value if isinstance(value, str) and value else number(value)


def _causes(workspace: "Workspace", event: "Event") -> "list[Event]":
    """Return the chain of causes, the root first."""
    chain: list[Event] = []
    seen = {event.id}
    current = event
    while current.causationid and current.causationid not in seen:
        cause = workspace.ledger.get(current.causationid, source=current.source) or workspace.ledger.find(
            current.causationid
        )
        if cause is None:
            break
        seen.add(cause.id)
        chain.append(cause)
        current = cause
    return chain[::-1]


class _Effects:
    """What events led to, each event told once: foreign records may name causes in a circle."""

    def __init__(self, workspace: "Workspace", event: "Event") -> None:
        self._ledger = workspace.ledger
        self._told = {event.id}

    def of(self, event: "Event") -> "list[Event]":
        """Return the events whose cause is this one, but for those that were told before."""
        found = [one for one in self._ledger.caused_by(event.id) if one.id not in self._told]
        self._told.update(one.id for one in found)
        return found

    def all_of(self, event: "Event") -> "Iterator[Event]":
        """Yield all that an event led to, each after its cause."""
        waiting = self.of(event)[::-1]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += self.of(one)[::-1]


def _chain(chain: "list[Event]", actors: Actors) -> "Text":
    """Write a chain of causes line by line: it may be long, and nothing branches off that matters here."""
    from rich.text import Text

    return Text("\n").join(
        Text.assemble(
            (_THEN if number else " " * len(_THEN), "dim"), _line(event, actors, is_marked=event is chain[-1])
        )
        for number, event in enumerate(chain)
    )


def _tree(workspace: "Workspace", event: "Event", actors: Actors) -> "Tree":
    """Draw what an event led to; a branch is one event after another for as long as each led to one only."""
    from rich.tree import Tree

    effects = _Effects(workspace, event)
    label, branches = _unbranched(effects, event, actors)
    root = Tree(label, guide_style="dim")
    _grow(root, effects, branches, actors, depth=0)
    return root


def _unbranched(effects: _Effects, event: "Event", actors: Actors) -> "tuple[Text, list[Event]]":
    """Return the lines of an event and of those that follow it singly, and what the last of them led to."""
    lines = [event]
    branches = effects.of(event)
    while len(branches) == 1:
        lines.append(branches[0])
        branches = effects.of(branches[0])
    label = _line(lines[0], actors, is_marked=False)
    for one in lines[1:]:
        label = label.append(f"\n{_THEN}", style="dim").append_text(_line(one, actors, is_marked=False))
    return label, branches


def _grow(branch: "Tree", effects: _Effects, events: "list[Event]", actors: Actors, *, depth: int) -> None:
    for one in events[:_WIDTH]:
        label, further = _unbranched(effects, one, actors)
        twig = branch.add(label)
        if depth < _DEPTH:
            _grow(twig, effects, further, actors, depth=depth + 1)
    if len(events) > _WIDTH:
        branch.add(f"and {len(events) - _WIDTH} more; all of them with --json")


def _line(event: "Event", actors: Actors, *, is_marked: bool) -> "Text":
    from rich.text import Text

    style = "bold" if is_marked else ""
    return Text.assemble(
        (f"#{event.seq} ", "dim"), (event.type, style), f" {_subject(event)}", (f"  by {actors.name(event)}", "dim")
    )


# ---- the types


def _print_types(session: Session) -> None:
    from ratchet.catalogue import EVENT_TYPES
    from ratchet.cli import console

    if session.as_json:
        console.print_json(
            [
                {"type": one.name, "stage": one.stage, "is_root": one.is_root, "awaits": one.awaits}
                for one in EVENT_TYPES.values()
            ]
        )
        return
    made = console.table("TYPE", "STAGE", "ROOT", "EMITTED", whole=("TYPE",))
    for one in EVENT_TYPES.values():
        made.add_row(
            one.name, one.stage or "-", "yes" if one.is_root else "", f"with {one.awaits}" if one.awaits else "yes"
        )
    console.say(made)
    console.say("\nA root needs no cause; any other event names the one that led to it.")
