"""``ratchet rules test`` and ``ratchet rules backfill``: a rule held against the past, and made up for.

Invariant: a test appends nothing, enqueues nothing and does nothing; a backfill fires what a test says would have fired
and did not, each once.
"""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ratchet.automation.rehearsal import Case, Rehearsal, Rehearsing
    from ratchet.workspace import Workspace

_SPANS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SHOWN = 20
_UNASKED = 20
_BAR = 24
_COUNTED = ("EVENTS", "WOULD", "HELD BACK", "ERRORS", "REALLY")
_WOULD = {"fire": "green", "hold back": "yellow", "error": "red", "not": "dim"}


@click.command(
    "test",
    short_help="Replay past events without acting: what would have fired, and what did.",
    epilog=examples(
        "ratchet rules test 'train returns weekly' --since 2013-01-01",
        "ratchet rules test train-on-drift --since 30d",
        "ratchet rules test 'renew on strong drift' --since 52w --file other.toml --json",
    ),
)
@click.argument("name", metavar="RULE|PRESET")
@click.option("--since", required=True, metavar="DAY|30d", help="From when on: a day, a moment, or 12h, 30d, 8w ago.")
@click.option("--until", default="", metavar="DAY|1d", help="Up to when; a day means its end. Now if not given.")
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Take the rule from this file."
)
@click.option("--pipeline", default="", help="What a preset acts on; needed where there are several.")
@click.option("--all", "is_whole", is_flag=True, help=f"Show all lines, not the latest {_SHOWN}.")
@with_session
def test_command(
    session: Session, *, name: str, since: str, until: str, file: Path | None, pipeline: str, is_whole: bool
) -> None:
    """Replay past events of the ledger and show what a rule would have done, beside what really happened.

    The rule may be in force, in ratchet.toml and not in force yet, in another file, a preset, or in Python: then its
    function really runs, in a child process, and what it asks the loop for is noted and not done.
    """
    from ratchet.cli import console

    with session.workspace() as workspace:
        found = _rehearse(workspace, name, since=since, until=until, file=file, pipeline=pipeline)
        if session.as_json:
            console.print_json(_as_json(found))
            return
        _print_rule(found)
        _print_cases(workspace, [case for case in found.cases if case.is_worth_a_line], is_whole=is_whole)
        _print_months(workspace, found)
        _print_summary(found)
        console.say("Nothing was appended, and nothing was done.")


@click.command(
    "backfill",
    short_help="Fire a rule for past events, once each.",
    epilog=examples(
        "ratchet rules backfill 'train returns weekly' --since 7d --dry-run",
        "ratchet rules backfill 'train returns weekly' --since 2013-03-01 --until 2013-03-31",
    ),
)
@click.argument("name", metavar="RULE")
@click.option("--since", required=True, metavar="DAY|30d", help="From when on: a day, a moment, or 12h, 30d, 8w ago.")
@click.option("--until", default="", metavar="DAY|1d", help="Up to when; a day means its end. Now if not given.")
@click.option("--dry-run", is_flag=True, help="Show what would be fired and fire nothing.")
@click.option("--yes", "is_sure", is_flag=True, help=f"Fire it for more than {_UNASKED} events, too.")
@with_session
def backfill_command(session: Session, *, name: str, since: str, until: str, dry_run: bool, is_sure: bool) -> None:
    """Fire a rule for past events for which it would have fired and did not: each once, in your name.

    What follows counts as a person's doing. A second backfill of the same events does nothing.
    """
    from ratchet.automation.backfill import Backfill
    from ratchet.cli import console

    with session.workspace() as workspace:
        workspace.sync()
        found = _rehearse(workspace, name, since=since, until=until)
        backfill = Backfill(workspace.resources, by_command=workspace.by_command)
        cases = backfill.open_cases(found)
        if len(cases) > _UNASKED and not (dry_run or is_sure):
            raise Refused(
                f"Rule '{name}' would be fired for {len(cases)} events, all at once. Look at them with --dry-run, and "
                "if that is what you want, say --yes. Nothing was appended."
            )
        cases = cases if dry_run else backfill.carry_out(found)
        if session.as_json:
            values = [msgspec.to_builtins(case) for case in cases]
            console.print_json({"rule": found.rule.name, "is_done": not dry_run, "fired": values})
            return
        _print_rule(found)
        _print_cases(workspace, cases, is_whole=True)
        events = console.count(len(cases), "event")
        if not cases:
            console.say("\nNothing is left to make up for; nothing was appended.")
        elif dry_run:
            console.say(f"\nThe rule would be fired for {events}; nothing was appended.")
        else:
            console.say(f"\nThe rule was fired for {events}, in your name.")
            if not workspace.is_running:
                console.say("Its actions are done while the workspace runs: ratchet up")


def _rehearse(
    workspace: "Workspace", name: str, *, since: str, until: str, file: Path | None = None, pipeline: str = ""
) -> "Rehearsal":
    from ratchet import clock

    zone = workspace.config.project.time_zone
    start = period_start(since, zone=zone, option="--since")
    end = period_end(until, zone=zone) if until else clock.now()
    if end <= start:
        raise click.BadParameter(f"it lies before --since {since}.", param_hint="--until")
    rehearsing = rehearsing_of(workspace)
    rule, place = rehearsing.find(name, file=file, pipeline=pipeline)
    return rehearsing.rehearse(rule, place=place, since=start, until=end)


def rehearsing_of(workspace: "Workspace") -> "Rehearsing":
    """Return what holds rules against the past of a workspace, with the numbers as of then."""
    from ratchet.automation.hindsight import Hindsight
    from ratchet.automation.rehearsal import Rehearsing

    hindsight = Hindsight(
        workspace.history,
        ask=workspace.ask,
        level=lambda pipeline, at: float(workspace.level(pipeline, as_of=at).level),
    )
    return Rehearsing(workspace.resources, numbers=hindsight.numbers)


def period_start(text: str, *, zone: str, option: str) -> datetime:
    """Return the moment (UTC) from which a span goes: a day from its start on, a moment, or so long ago."""
    from zoneinfo import ZoneInfo

    from ratchet import clock

    ago = re.fullmatch(r"(\d{1,6})\s*([hdw])", text.strip())
    if ago:
        return clock.now() - int(ago[1]) * _SPANS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"'{text}' is no day, no moment and no span; write 2013-01-31, 2013-01-31T20:00, or 30d."
        raise click.BadParameter(message, param_hint=option) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def period_end(text: str, *, zone: str) -> datetime:
    """Return the moment (UTC) up to which a span goes: a day up to its end."""
    from zoneinfo import ZoneInfo

    from ratchet.measure.kpis.questions import moment_named

    try:
        return moment_named(text, ZoneInfo(zone))
    except ValueError:
        return period_start(text, zone=zone, option="--until")


# ---- as JSON


def _as_json(found: "Rehearsal") -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(found)
    counts = {
        "events": len(found.cases),
        "would_fire": found.count("fire"),
        "would_be_held_back": found.count("hold back"),
        "errors": found.count("error"),
        "really_fired": sum(1 for case in found.cases if _has_fired(case)),
        "imported": found.imported,
    }
    return {**values, "counts": counts, "months": _months(found, "UTC")}


def _has_fired(case: "Case") -> bool:
    return case.really.deed in ("fired", "backfilled", "failed")


def _months(found: "Rehearsal", zone: str) -> dict[str, dict[str, int]]:
    """Return counts by local month, all from the first event to the last."""
    from zoneinfo import ZoneInfo

    from ratchet.measure.kpis.questions import months_between

    if not found.cases:
        return {}
    local = ZoneInfo(zone)
    first, last = found.cases[0].at, found.cases[-1].at + timedelta(microseconds=1)
    names = ("events", "fire", "hold back", "error", "really")
    made = {month: dict.fromkeys(names, 0) for month in months_between(first, last, local)}
    for case in found.cases:
        counts = made.setdefault(f"{case.at.astimezone(local):%Y-%m}", dict.fromkeys(names, 0))
        counts["events"] += 1
        counts["really"] += _has_fired(case)
        if case.would != "not":
            counts[case.would] += 1
    return made


# ---- for people


def _print_rule(found: "Rehearsal") -> None:
    from ratchet.cli import console

    rule = found.rule
    pairs = [
        ("rule", f"{rule.name}, {found.place}"),
        ("on", f"{rule.on} {rule.cron}".strip() + (f" ({rule.time_zone})" if rule.cron else "")),
        ("when", rule.when),
    ]
    console.say(console.facts(pair for pair in pairs if pair[1]))


def _print_cases(workspace: "Workspace", cases: "list[Case]", *, is_whole: bool) -> None:
    from zoneinfo import ZoneInfo

    from rich.text import Text

    from ratchet.cli import console

    shown = cases if is_whole else cases[-_SHOWN:]
    if not shown:
        return
    zone = ZoneInfo(workspace.config.project.time_zone)
    console.say("")
    if len(shown) < len(cases):
        console.say(Text(f"The latest {len(shown)} of {len(cases)}; all of them: --all", style="dim"))
    made = console.table("WHEN", "EVENT", "WOULD", "REALLY", whole=("WHEN", "EVENT"))
    made.columns[2].min_width, made.columns[3].min_width = len("hold back"), len("not there yet")
    for case in shown:
        really: RenderableType = Text.assemble(case.really.deed, (_line(case.really.why), "dim"))
        saw = ", ".join(f"kpi.{name} {console.number(value)}" for name, value in case.numbers.items())
        would = Text.assemble((case.would, _WOULD[case.would]), (_line(_what(case)), "dim"), (_line(saw), "dim"))
        event = f"#{case.seq}" if case.seq else "slot"
        made.add_row(console.moment_text(case.at, zone), event, would, really)
    console.say(made)


def _line(text: str) -> str:
    return f"\n{text}" if text else ""


def _what(case: "Case") -> str:
    return case.why or ", then ".join(call.action for call in case.asked)


def _print_months(workspace: "Workspace", found: "Rehearsal") -> None:
    from rich.text import Text

    from ratchet.cli import console

    months = _months(found, workspace.config.project.time_zone)
    if not months:
        return
    most = max(max(counts["fire"], counts["really"]) for counts in months.values()) or 1
    console.say("")
    made = console.table("MONTH", *_COUNTED, "", right=_COUNTED)
    for month, counts in months.items():
        would = round(_BAR * counts["fire"] / most)
        both = round(_BAR * min(counts["fire"], counts["really"]) / most)
        picture = Text.assemble(("█" * both, "green"), ("░" * (would - both), "green"))
        cells = [str(counts[name]) for name in ("events", "fire", "hold back", "error", "really")]
        made.add_row(month, *cells, picture)
    console.say(made)
    console.say(Text("█ would have fired and as many really did, ░ would have fired as well", style="dim"))


def _print_summary(found: "Rehearsal") -> None:
    from rich.text import Text

    from ratchet.cli import console

    looked = console.count(len(found.cases), "slot" if found.rule.cron else "event")
    errors = console.count(found.count("error"), "error")
    deeds = Counter(case.really.deed for case in found.cases if case.would == "fire")
    really = ", ".join(f"{count} {deed}" for deed, count in deeds.most_common())
    console.say(
        f"\n{looked} looked at: {found.count('fire')} would have fired, {found.count('hold back')} would have been "
        f"held back, {errors} in the condition or the function."
    )
    if deeds:
        console.say(f"Of those that would have fired, really: {really}.")
    if found.imported:
        console.say(f"{console.count(found.imported, 'event')} more came by imports, which set off no rule.")
    for note in found.notes:
        console.say(Text(note, style="dim"))
