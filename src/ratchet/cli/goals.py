"""``ratchet goals``: how many pipelines stand at which level, what is to be reached by when, and who is behind.

Invariant: a goal is what somebody set; whether it is met is read off measured levels alone.
"""

from datetime import date
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.groups import Group
from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.measure.distribution import Distribution
    from ratchet.measure.goals import Progress
    from ratchet.measure.policies import Policy
    from ratchet.measuring import Measuring

_SHOWN_STEPS = 10
_WIDTH = 20
_STYLES = {"met": "green", "on the way": "cyan", "behind": "yellow", "missed": "red"}


@click.group(
    "goals",
    cls=Group,
    invoke_without_command=True,
    epilog=examples(
        "ratchet goals",
        "ratchet goals --months 12 --policy strict",
        "ratchet goals set 'half automated' --share 50% --level 2 --by 2026-12-31 --owner platform",
        "ratchet goals drop 'half automated'",
    ),
)
@click.option("--policy", default="standard", show_default=True, help="By which levels pipelines are counted.")
@click.option("--months", type=click.IntRange(1, 120), default=6, show_default=True, help="How many months to show.")
@with_session
@click.pass_context
def goals_command(context: click.Context, session: Session, *, policy: str, months: int) -> None:
    """Show pipelines by level over time, the goals, and the cheapest next steps."""
    if context.invoked_subcommand is not None:
        return
    from ratchet.cli import console
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        measuring = Measuring(workspace)
        chosen = workspace.policy(policy)
        series = measuring.distributions(chosen, months=months)
        goals = measuring.goals()
        if session.as_json:
            console.print_json(_as_json(series, goals, measuring, workspace.policy))
            return
        _print_series(series, chosen)
        if not goals:
            console.say("\nNo goals yet: ratchet goals set NAME --share 50% --level 2 --by 2026-12-31")
        for one in goals:
            _print_goal(one, measuring, workspace.policy(one.goal.policy))


@goals_command.command(
    "set",
    short_help="Set a goal, or change one.",
    epilog=examples("ratchet goals set 'half automated' --share 50% --level 2 --by 2026-12-31 --owner platform"),
)
@click.argument("name")
@click.option("--share", required=True, metavar="SHARE", help="Share of the active pipelines, such as 50% or 0.5.")
@click.option("--level", type=int, required=True, help="The level that they are to reach, or more.")
@click.option("--by", required=True, metavar="DAY", help="The last day on which it may be reached.")
@click.option("--policy", default="standard", show_default=True, help="By which levels.")
@click.option("--owner", default="", help="Who answers for it.")
@with_session
def set_command(session: Session, *, name: str, share: str, level: int, by: str, policy: str, owner: str) -> None:
    """Set a goal: which share of the pipelines is to reach which level by when."""
    from ratchet.cli import console
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        chosen = workspace.policy(policy)
        fraction, day = parse_share(share), _day(by)
        event = Measuring(workspace).set_goal(
            name, share=fraction, level=_known_level(chosen, level), by=day, policy=chosen, owner=owner
        )
        if session.as_json:
            console.print_json({"goal": name, "event": event.id, **event.data})
            return
        console.say(f"Goal '{name}': {fraction:.0%} of the active pipelines at level {level} or above by {day}.")


@goals_command.command("drop", short_help="Drop a goal.", epilog=examples("ratchet goals drop 'half automated'"))
@click.argument("name")
@with_session
def drop_command(session: Session, *, name: str) -> None:
    """Drop a goal; what it was stays in the ledger."""
    from ratchet.cli import console
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        event = Measuring(workspace).drop_goal(name)
        if session.as_json:
            console.print_json({"goal": name, "event": event.id, "withdrawn": True})
        else:
            console.say(f"Goal '{name}' is dropped.")


def parse_share(text: str) -> float:
    """Return the share that a text names, as ``50%`` or ``0.5``.

    Raises:
        BadParameter: It names none above 0 and up to 1.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        message = f"'{text}' is no share. Write it as 50% or 0.5."
        raise click.BadParameter(message, param_hint="--share")
    return share


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        message = f"'{text}' is no day. Write it as 2026-12-31."
        raise click.BadParameter(message, param_hint="--by") from error


def _known_level(policy: "Policy", level: int) -> int:
    known = [one.id for one in policy.levels if one.id]
    if level not in known:
        message = (
            f"The policy '{policy.name}' has no level {level} to reach. Choose one of {', '.join(map(str, known))}."
        )
        raise Refused(message)
    return level


# ---- what is shown


def _as_json(series: "list[Distribution]", goals: "list[Progress]", measuring: "Measuring", policy: Any) -> Any:
    return {
        "months": [{**msgspec.to_builtins(one), "active": one.active} for one in series],
        "goals": [
            {
                **msgspec.to_builtins(one),
                "steps": msgspec.to_builtins(measuring.steps(one.behind, policy(one.goal.policy))),
            }
            for one in goals
        ],
    }


def _print_series(series: "list[Distribution]", policy: "Policy") -> None:
    from ratchet.cli import console

    if not series:
        console.say("No pipelines yet: run one, and it is known. ratchet run PIPELINE")
        return
    buckets = list(series[-1].buckets)
    heads = [f"LEVEL {bucket}" if bucket.isdigit() else "TOO LITTLE\nEVIDENCE" for bucket in buckets]
    console.say(f"Active pipelines at the end of each month, by '{policy.name}':\n")
    made = console.table("MONTH", *heads, "ACTIVE", right=(*heads, "ACTIVE"))
    for one in series:
        made.add_row(one.month, *(str(one.buckets[bucket] or "-") for bucket in buckets), str(one.active))
    console.say(made)
    last = series[-1]
    for word, names in (("archived", last.archived), ("without an event for 90 days", last.dormant)):
        if names:
            console.say(f"Not counted, {word}: {', '.join(names)}")


def _print_goal(found: "Progress", measuring: "Measuring", policy: "Policy") -> None:
    from rich.text import Text

    from ratchet.cli import console

    goal = found.goal
    owner = f", {goal.owner}" if goal.owner else ""
    console.title(f"{goal.name}: {goal.share:.0%} at level {goal.level} or above by {goal.by} ('{goal.policy}'{owner})")
    share = "no active pipeline" if found.share is None else f"{found.share:.0%} now"
    console.say(Text.assemble(f"{share}, ", (found.status, _STYLES[found.status]), _missing(found)))
    made = console.table("", "", "", right=("",), whole=("",))
    made.show_header = False
    for point in found.series[-6:]:
        reached = "-" if point.share is None else f"{point.share:.0%}"
        plan = "" if point.planned is None else f"planned {point.planned:.0%}"
        made.add_row(point.month, "█" * round(_WIDTH * (point.share or 0)) or "·", f"{reached}  {plan}")
    console.say(made)
    steps = measuring.steps(found.behind, policy)
    if steps:
        console.say("The cheapest steps of those that are behind:")
    for step in steps[:_SHOWN_STEPS]:
        console.say(f"  {step.pipeline}: {step.sentence}")
        if step.command:
            console.say(f"    {step.command}", is_whole=True)
    if len(steps) > _SHOWN_STEPS:
        console.say(f"  and {len(steps) - _SHOWN_STEPS} more: --json")


def _missing(found: "Progress") -> str:
    return f"; {found.needed} more to go" if found.needed else ""
