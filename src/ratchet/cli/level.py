"""``ratchet level``: how automated a pipeline is, with the evidence.

Invariant: each number comes with the events that it rests on; a policy may have any number of levels.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ratchet.measure.criteria import CriterionResult
    from ratchet.measure.levels import LevelReport, StageProfile
    from ratchet.measure.policies import Policy
    from ratchet.measure.standings import Standing
    from ratchet.measuring import Measuring

_SHOWN_IDS = 5
_ASKED = {
    "init": "{stage}: started by automation",
    "exec": "{stage}: carried out by automation",
    "gate_before_deploy": "a gate before each deployment",
    "registered": "what goes live was registered",
    "traceable": "what goes live can be traced to code and data",
    "tracked": "trainings name code, data and parameters",
    "orchestrated": "trainings are carried out by a system",
    "data_checked": "data is checked before it counts",
    "delivered": "what passes goes live by rule",
    "user_rules_fired": "the team's own rules",
    "loop_closure": "the loop closed by itself",
}


@click.command(
    "level",
    epilog=examples(
        "ratchet level",
        "ratchet level returns --explain",
        "ratchet level returns --policy strict",
        "ratchet level returns --as-of 2026-03-31",
        "ratchet level returns --sensitivity",
        "ratchet level returns --ml-test-score",
        "ratchet level returns --answer data-5=1",
        "ratchet level --capability",
        "ratchet level returns --declare 2 --because 'agreed in the review of March'",
    ),
)
@click.argument("pipeline", required=False, default="")
@click.option(
    "--policy", default="standard", show_default=True, help="By which policy: shipped, or one of the project."
)
@click.option("--explain", is_flag=True, help="Show each criterion of each level with the events behind it.")
@click.option(
    "--as-of", "as_of", default="", metavar="DATE", help="As it was at the end of this day, or at this moment."
)
@click.option("--sensitivity", is_flag=True, help="Show the level with thresholds of 70, 80 and 90 %.")
@click.option("--ml-test-score", "is_scored", is_flag=True, help="Show the ML Test Score, from evidence.")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TEST=POINTS",
    help="Answer a question of it that no event can answer.",
)
@click.option(
    "--capability", is_flag=True, help="Show what this installation can automate, whatever any pipeline does."
)
@click.option("--declare", type=int, metavar="LEVEL", help="Record the level that you claim; it never counts.")
@click.option("--because", default="", metavar="TEXT", help="Why you claim it.")
@with_session
def level_command(
    session: Session,
    *,
    pipeline: str,
    policy: str,
    explain: bool,
    as_of: str,
    sensitivity: bool,
    is_scored: bool,
    answers: tuple[str, ...],
    capability: bool,
    declare: int | None,
    because: str,
) -> None:
    """Show how automated a pipeline is, and what blocks the next level.

    Levels are computed from the ledger; nobody can type one in. Without PIPELINE all are shown.
    """
    from ratchet.cli import level_details
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        measuring = Measuring(workspace)
        chosen = workspace.policy(policy)
        if capability:
            level_details.show_capability(measuring, chosen, as_json=session.as_json)
            return
        moment = parse_moment(as_of, zone=workspace.config.project.time_zone) if as_of else None
        names = _chosen(measuring, pipeline)
        if declare is not None:
            level_details.declare(session, measuring, pipeline, declare, chosen, because=because)
            return
        if answers:
            level_details.answer(measuring, pipeline, answers)
        if is_scored or answers:
            level_details.show_scores(measuring, names, as_of=moment, as_json=session.as_json, is_explained=explain)
        elif sensitivity:
            level_details.show_sensitivity(measuring, names, chosen, as_of=moment, as_json=session.as_json)
        else:
            _show(session, measuring, names, chosen, moment=moment, is_one=bool(pipeline), is_explained=explain)


def _show(
    session: Session,
    measuring: "Measuring",
    names: list[str],
    policy: "Policy",
    *,
    moment: datetime | None,
    is_one: bool,
    is_explained: bool,
) -> None:
    from ratchet.cli.console import print_json

    if session.as_json:
        values = [_as_json(measuring, measuring.level(name, policy, as_of=moment), policy) for name in names]
        print_json(values[0] if is_one else values)
    elif len(names) == 1 or is_explained:
        for number, name in enumerate(names):
            if number:
                click.echo("")
            _print_report(measuring, measuring.level(name, policy, as_of=moment), policy, is_explained=is_explained)
    else:
        _print_overview(measuring.standings(policy, as_of=moment), policy)


def parse_moment(text: str, *, zone: str) -> datetime:
    """Return the moment that a date or a date and time means; a date means its end.

    Raises:
        BadParameter: It is neither.
    """
    from zoneinfo import ZoneInfo

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"'{text}' is no date. Write it as 2026-03-31 or 2026-03-31T18:00."
        raise click.BadParameter(message, param_hint="--as-of") from error
    if len(text) <= len("2026-03-31"):
        moment += timedelta(days=1)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _chosen(measuring: "Measuring", pipeline: str) -> list[str]:
    """Return the pipelines to show: those that are declared and those that any event belongs to.

    Raises:
        UnknownName: There is no such pipeline.
    """
    from ratchet.errors import UnknownName

    known = measuring.pipelines()
    if pipeline and pipeline not in known:
        raise UnknownName(kind="pipeline", name=pipeline, known=", ".join(known) or "none yet")
    return [pipeline] if pipeline else known


def _as_json(measuring: "Measuring", report: "LevelReport", policy: "Policy") -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(report)
    more = {
        "label": report.label,
        "is_insufficient": report.is_insufficient,
        "rubber_stamp_share": report.rubber_stamp_share,
        "three_levels": msgspec.to_builtins(measuring.three_levels(report, policy)),
        "next_step": msgspec.to_builtins(measuring.step(report, policy)),
    }
    return values | more


# ---- several pipelines


def _print_overview(standings: "list[Standing]", policy: "Policy") -> None:
    from ratchet.cli import console

    if not standings:
        console.say("No pipelines yet: run one, and it is known. ratchet run PIPELINE")
        return
    made = console.table("PIPELINE", "LEVEL", "WHAT BLOCKS THE NEXT", whole=("LEVEL",))
    for standing in standings:
        made.add_row(standing.pipeline, level_text(standing, policy), blocked_text(standing))
    console.say(made)
    console.say("\nOne in full: ratchet level PIPELINE --explain")


def level_text(standing: "Standing", policy: "Policy") -> "RenderableType":
    """Return a level in the colour that its policy gives it, or that there is too little evidence for one."""
    from rich.text import Text

    from ratchet.measure.counts import TOO_LITTLE

    if standing.is_insufficient:
        return Text(TOO_LITTLE, style="dim")
    return Text(f"{standing.label} {standing.name}", style=policy.level(standing.level).colour)


def blocked_text(standing: "Standing") -> str:
    """Return in words what stands before the next level."""
    blocking = standing.blocking
    if blocking is None:
        return "nothing, it is the highest"
    from ratchet.measure.counts import TOO_LITTLE

    asked = _ASKED[blocking.measure].format(stage=blocking.stage)
    if blocking.status == "insufficient":
        return f"level {blocking.level}, {asked}: {TOO_LITTLE}, {blocking.n} seen"
    return f"level {blocking.level}, {asked}: {blocking.status}, {blocking.k} of {blocking.n}"


# ---- one pipeline


def _print_report(measuring: "Measuring", report: "LevelReport", policy: "Policy", *, is_explained: bool) -> None:
    from rich.text import Text

    from ratchet.cli import console, level_details
    from ratchet.measure.counts import TOO_LITTLE

    top = report.levels[-1].level.id
    found = f"level {report.label} of {top}, {report.name}"
    found = f"{TOO_LITTLE} for a level" if report.is_insufficient else found
    console.say(Text(f"{report.pipeline}: {found}", style="bold"))
    console.say(Text(f"policy '{report.policy}', {report.at:%Y-%m-%d %H:%M} UTC", style="dim"))
    if report.suffix:
        console.say(Text("g: more than half of the deployments waited for a required approval.", style="dim"))
    console.say("")
    if is_explained:
        _print_levels(report)
    _print_stages(report)
    console.say("")
    _print_blocking(measuring, report)
    three = measuring.three_levels(report, policy)
    level_details.print_three_levels(three, is_whole=is_explained, is_insufficient=report.is_insufficient)
    step = measuring.step(report, policy)
    if step is not None:
        console.say(f"\nNext step: {step.sentence}")
        if step.command:
            console.say(f"  {step.command}", is_whole=True)
    for warning in report.warnings:
        console.say(Text(f"Mind: {warning}", style="yellow"))
    if is_explained:
        _print_rest(report)
    elif report.blocking:
        console.say(Text(f"\nEach criterion of each level: ratchet level {report.pipeline} --explain", style="dim"))


def _print_stages(report: "LevelReport") -> None:
    """Print how each stage runs, whatever the level: k of n, share, and its one-sided 90 % lower bound."""
    from ratchet.cli import console

    made = console.table("STAGE", "STARTED BY AUTOMATION", "CARRIED OUT BY IT", "HOW", "LAST", whole=("STAGE", "LAST"))
    for stage, profile in report.profile.items():
        made.add_row(stage, _share(profile.init), _share(profile.exec), _modes(profile), _last(profile))
    console.say(made)


def _share(result: "CriterionResult") -> str:
    if not result.n:
        return "-"
    bound = f" >={result.lower_bound:.0%}" if result.lower_bound is not None else ""
    return f"{result.k}/{result.n} {result.k / result.n:.0%}{bound}"


def _modes(profile: "StageProfile") -> str:
    if profile.na_reason:
        return f"n/a: {profile.na_reason}"
    return ", ".join(f"{count} {mode}" for mode, count in profile.modes.items()) or "-"


def _last(profile: "StageProfile") -> str:
    return f"{profile.last_at:%Y-%m-%d}" if profile.last_at else "-"


def _print_blocking(measuring: "Measuring", report: "LevelReport") -> None:
    """Print why the next level is not reached, in one sentence, with the events behind it."""
    from rich.text import Text

    from ratchet.cli import console

    if not report.blocking:
        console.say(Text("This is the highest level of the policy.", style="green"))
        return
    first = report.blocking[0]
    console.say(Text(report.explanation, style="yellow"))
    if first.failing:
        console.say("These do not count:")
        _print_events(measuring, first.failing)
    elif first.counted:
        console.say("These count so far:")
        _print_events(measuring, first.counted)


def _print_events(measuring: "Measuring", ids: tuple[str, ...]) -> None:
    from ratchet.cli import console

    made = console.table("", "", "", "", whole=("",))
    made.show_header = False
    found = [event for event in map(measuring.ledger.find, ids[-_SHOWN_IDS:]) if event is not None]
    # Where room is short the subject is cut, and never an id, which is there to be copied.
    beside = max((len(event.id) + len(event.type) for event in found), default=0) + len("  " * 4 + "2026-01-01")
    for event in found:
        subject = console.cut(console.short(event.subject), beside=beside)
        made.add_row(f"  {event.id}", event.type, subject, f"{event.at:%Y-%m-%d}")
    console.say(made)
    if len(ids) > _SHOWN_IDS:
        console.say(f"  and {len(ids) - _SHOWN_IDS} before; all of them with --json")


def _print_levels(report: "LevelReport") -> None:
    from rich.padding import Padding
    from rich.text import Text

    from ratchet.cli import console

    for result in reversed(report.levels):
        is_reached = result.level.id <= report.level
        mark = "reached" if is_reached else "met, but one below is not" if result.is_met else "not reached"
        name = Text(f"Level {result.level.id}  {result.level.name}", style=f"bold {result.level.colour}".strip())
        console.say(Text.assemble(name, (f"  {mark}", "" if is_reached else "dim")))
        if result.level.description:
            console.say(Padding(Text(result.level.description, style="dim"), (0, 0, 0, 2)))
        made = console.table("", "", whole=("",))
        made.show_header = False
        made.columns[1].no_wrap = False
        for judged in result.results:
            made.add_row(console.state(judged.status), _criterion(judged))
        console.say(Padding(made, (0, 0, 0, 2)))
        console.say("")


def _criterion(judged: "CriterionResult") -> "RenderableType":
    """Return what a criterion asks for, what came of it, and the ids behind it."""
    from rich.text import Text

    asked = _ASKED[judged.criterion.measure].format(stage=judged.criterion.stage)
    lines = [(f"{asked}\n", "bold"), (judged.sentence, "")]
    for word, ids in (("counts", judged.counted), ("does not count", judged.failing)):
        if ids:
            more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
            lines.append((f"\n{word}: {', '.join(ids[-_SHOWN_IDS:])}{more}", "dim"))
    return Text.assemble(*lines)


def _print_rest(report: "LevelReport") -> None:
    from ratchet.cli import console

    pairs: list[tuple[str, RenderableType]] = [
        ("closures", f"{len(report.closures)} times the loop closed with no person in it"),
        ("evidence", f"{report.weakest_evidence} at the weakest" if report.weakest_evidence else "none counts yet"),
        ("ledger", f"read up to event #{report.seq}"),
        ("policy", f"{report.policy}, sha256 {console.short(report.policy_digest)}"),
    ]
    if report.rubber_stamp_share is not None:
        share = f"{report.rubber_stamps} of {report.approvals} ({report.rubber_stamp_share:.0%})"
        pairs.append(("approvals", f"{share} were given within five seconds of being asked for"))
    console.say("")
    console.say(console.facts(pairs))
