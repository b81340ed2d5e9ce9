"""``ratchet artifacts``: what is stored, what holds it, and the removal of what nothing needs.

Invariant: only ``collect`` removes anything, it says beforehand what would go, and nothing that somebody holds does.
"""

import re
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.groups import Group
from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.loop.retention import Amount, Collection, Inventory

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_SHORTEST = 4
_ABOUT = {
    "model": "versions of models",
    "holdout": "rows that versions are compared on",
    "profile": "distributions of training data",
    "data": "parts of versions of datasets",
    "manifest": "lists of those parts",
    "code": "the project's files as runs used them",
    "libraries": "their versions as runs used them",
    "log": "the ends of what runs printed",
    "candidate": "what runs returned",
    "step result": "results that other runs may take",
    "under way": "what jobs have made and will go on with",
    "other": "named by other tables, such as samples",
    "unnamed": "held by nobody",
}


@click.group(
    "artifacts",
    cls=Group,
    invoke_without_command=True,
    epilog=examples(
        "ratchet artifacts",
        "ratchet artifacts show 3f2a",
        "ratchet artifacts collect --dry-run",
        "ratchet artifacts collect --older-than 30d",
    ),
)
@with_session
@click.pass_context
def artifacts_command(context: click.Context, session: Session) -> None:
    """Show what is stored and what holds it; remove what nothing needs.

    What is kept is said in [retention] of ratchet.toml. The workspace removes the rest by itself, once an hour.
    """
    if context.invoked_subcommand is not None:
        return
    from ratchet.cli import console
    from ratchet.loop import retention

    with session.workspace() as workspace, console.progress("Looking at the store"):
        stock = retention.take_stock(workspace.resources)
    if session.as_json:
        console.print_json(_as_json(stock))
        return
    console.say(f"{stock.address}\n", is_whole=True)
    _print_amounts(stock.kept)
    _print_going(stock, "would go now: ratchet artifacts collect --dry-run")


@artifacts_command.command(
    "collect", epilog=examples("ratchet artifacts collect --dry-run", "ratchet artifacts collect --older-than 30d")
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, and print what would go.")
@click.option(
    "--older-than",
    metavar="SPAN",
    default="",
    help="Only what was last written so long ago, such as 30d or 12h, at least 1h; else as [retention] says.",
)
@with_session
def collect_command(session: Session, *, dry_run: bool, older_than: str) -> None:
    """Remove artifacts that nothing holds.

    Nothing goes that a version, a run that is kept, a release, a kept result or a job under way needs, nor anything
    that was written within the last hour. The ledger says what went.
    """
    from ratchet.cli import console
    from ratchet.loop import retention

    days = _days(older_than) if older_than else None
    with session.workspace() as workspace, console.progress("Looking at the store"):
        if dry_run:
            _print_dry_run(session, retention.take_stock(workspace.resources, unnamed_days=days))
            return
        place = retention.place(workspace.resources)
        with workspace.by_command("collect_artifacts", {"older_than": older_than}, subject=place):
            made = retention.collect(workspace.resources, unnamed_days=days)
    if session.as_json:
        console.print_json(made)
    else:
        _print_collection(made)


@artifacts_command.command(
    "show", epilog=examples("ratchet artifacts show 3f2a9c", "ratchet artifacts show 3f2a --json")
)
@click.argument("sha256")
@with_session
def show_command(session: Session, *, sha256: str) -> None:
    """Show what one artifact is, and what holds it; the beginning of its sha256 is enough."""
    from ratchet.cli import console
    from ratchet.loop import retention

    with session.workspace() as workspace:
        wanted = sha256.lower()
        if len(wanted) < _SHORTEST or not re.fullmatch(r"[0-9a-f]+", wanted):
            raise click.UsageError(f"'{sha256}' is no sha256; write at least its first {_SHORTEST} digits.")
        found = [one for one in workspace.resources.artifacts.listed() if one.sha256.startswith(wanted)]
        if len(found) != 1:
            what = f"{len(found)} artifacts begin" if found else "no artifact begins"
            raise Refused(f"In {retention.place(workspace.resources)} {what} with {wanted}.")
        one, known = found[0], retention.holders(workspace.resources)
        holds = known.of(one.sha256)
    if session.as_json:
        about = {"kind": known.kind(one.sha256), "is_kept": known.keep(one.sha256)}
        console.print_json(msgspec.to_builtins(one) | about | {"holders": msgspec.to_builtins(holds)})
        return
    console.say(console.facts([("sha256", one.sha256), ("size", size_text(one.size_bytes))]), is_whole=True)
    if not holds:
        console.say("\nNothing holds it. It goes when it is old enough: see unnamed_days in [retention].")
        return
    console.say("")
    made = console.table("HELD AS", "BY", "KEPT")
    for hold in holds:
        made.add_row(hold.kind, hold.by, "yes" if hold.keeps else "no longer")
    console.say(made)


@artifacts_command.command("copy", epilog=examples("ratchet artifacts copy .ratchet/artifacts"))
@click.argument("source", metavar="FROM")
@with_session
def copy_command(session: Session, *, source: str) -> None:
    """Copy the artifacts of another store into the one that ratchet.toml names.

    FROM is a folder or s3://BUCKET/PREFIX. Each is checked on the way; what is there already is left out. Call it after
    [project] artifacts was changed.
    """
    from ratchet.cli import console
    from ratchet.loop import stores

    with session.workspace() as workspace, console.progress("Copying") as progress:
        copied = stores.copy_from(
            source, workspace.resources, report=lambda done, whole: progress.show(f"Copying {done} of {whole}")
        )
    if session.as_json:
        console.print_json(msgspec.to_builtins(copied))
    else:
        console.say(f"{console.count(copied.copied, 'artifact')} copied, {copied.present} there already.")
    if copied.damaged:
        raise Refused(f"Not copied, because their bytes are not those that were stored: {', '.join(copied.damaged)}.")


# ---- words and numbers


def size_text(size_bytes: float) -> str:
    """Return a size in the unit that suits it, such as ``12.3 MB``."""
    for unit in _UNITS[:-1]:
        if size_bytes < _STEP:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _STEP
    return f"{size_bytes:,.1f} {_UNITS[-1]}"


def _days(span: str) -> float:
    """Return a span such as ``30d`` or ``12h`` in days."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dh])", span.strip())
    days = float(found[1]) / (1 if found[2] == "d" else 24) if found else 0.0
    if days < 1 / 24:
        raise click.UsageError(f"--older-than is '{span}'. Write a span of at least an hour, such as 30d or 12h.")
    return days


def _as_json(stock: "Inventory") -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(stock)
    return values | {"artifacts": [one.sha256 for one in stock.artifacts]}


def _print_amounts(amounts: "dict[str, Amount]") -> None:
    from ratchet.cli import console

    if not amounts:
        console.say("Nothing is stored yet.")
        return
    made = console.table("KIND", "COUNT", "SIZE", "WHAT", right=("COUNT", "SIZE"), whole=("KIND",))
    for kind, amount in sorted(amounts.items(), key=lambda item: -item[1].size_bytes):
        made.add_row(kind, console.number(amount.count), size_text(amount.size_bytes), _ABOUT.get(kind, ""))
    made.add_row("together", console.number(_count(amounts)), size_text(_size(amounts)), "", style="bold")
    console.say(made)


def _print_going(stock: "Inventory", what: str) -> None:
    from ratchet.cli import console

    if stock.going:
        console.say(f"\n{console.count(_count(stock.going), 'artifact')}, {size_text(_size(stock.going))}, {what}")


def _print_dry_run(session: Session, stock: "Inventory") -> None:
    from ratchet.cli import console

    if session.as_json:
        console.print_json(_as_json(stock))
        return
    if not stock.going:
        console.say(f"Nothing would go that was written before {stock.written_before:%Y-%m-%d %H:%M} UTC.")
        return
    console.say("Would go:\n")
    _print_amounts(stock.going)
    _print_let_go(stock.let_go, "could no longer be loaded")


def _print_collection(made: "Collection") -> None:
    from ratchet.cli import console

    if not made.removed.count:
        console.say("Nothing had to go.")
        return
    console.say("Removed:\n")
    _print_amounts(made.kinds)
    _print_let_go(made.let_go, "can no longer be loaded")
    console.say(f"\nIn the ledger: ratchet events {made.event_id}", is_whole=True)


def _print_let_go(names: tuple[str, ...], what: str) -> None:
    from ratchet.cli import console

    if names:
        console.say(f"\n{console.count(len(names), 'registered version')} {what}: {', '.join(names)}")


def _count(amounts: "dict[str, Amount]") -> int:
    return sum(amount.count for amount in amounts.values())


def _size(amounts: "dict[str, Amount]") -> int:
    return sum(amount.size_bytes for amount in amounts.values())
