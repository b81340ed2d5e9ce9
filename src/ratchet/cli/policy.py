"""``ratchet policy``: the files that say what each level asks for; check one, try one, put one in force.

Invariant: trying a policy changes nothing; publishing one changes files that a person can review, and the ledger says
which digest was in force from when on.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.groups import Group
from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.measure.policies import Policy

_FILE = click.Path(path_type=Path)


@click.group(
    "policy",
    cls=Group,
    invoke_without_command=True,
    epilog=examples(
        "ratchet policy",
        "ratchet policy show google-0-2 > policies/ours.toml",
        "ratchet policy check policies/ours.toml",
        "ratchet policy try policies/ours.toml",
        "ratchet policy publish policies/ours.toml",
    ),
)
@with_session
@click.pass_context
def policy_command(context: click.Context, session: Session) -> None:
    """List level policies; check, try and publish one of your own."""
    if context.invoked_subcommand is None:
        _list(session)


@policy_command.command("list", short_help="List the policies.", epilog=examples("ratchet policy list --json"))
@with_session
def list_command(session: Session) -> None:
    """List the policies that ship, and those of the project."""
    _list(session)


def _list(session: Session) -> None:
    from ratchet.cli import console
    from ratchet.measure import policies

    with session.workspace() as workspace:
        in_force = {one.name: one for one in workspace.policies()}
        known = in_force | {name: policies.shipped(name) for name in policies.SHIPPED if name not in in_force}
        if session.as_json:
            console.print_json([_as_json(one, is_in_force=one.name in in_force) for one in known.values()])
            return
        made = console.table("POLICY", "LEVELS", "", "ABOUT", right=("LEVELS",), whole=("POLICY", ""))
        for one in known.values():
            word = "in force" if one.name in in_force else "ships"
            made.add_row(one.name, str(len(one.levels)), word, one.description)
        console.say(made)
        console.say("\nA file to begin with: ratchet policy show standard > policies/ours.toml")


def _as_json(policy: "Policy", *, is_in_force: bool) -> dict[str, Any]:
    levels = [{"id": one.id, "name": one.name, "criteria": len(one.criteria)} for one in policy.levels]
    return {
        "policy": policy.name,
        "description": policy.description,
        "digest": policy.digest,
        "is_in_force": is_in_force,
        "stages": [stage.name for stage in policy.stages],
        "levels": levels,
    }


@policy_command.command(
    "show", short_help="Print the file of a policy that ships.", epilog=examples("ratchet policy show strict")
)
@click.argument("name")
@with_session
def show_command(session: Session, *, name: str) -> None:
    """Print the file of a policy that ships, to be copied and changed."""
    from ratchet.cli import console
    from ratchet.measure import policies

    text = policies.text_of(name)
    if session.as_json:
        console.print_json({"policy": name, "text": text})
    else:
        click.echo(text, nl=False)


@policy_command.command(
    "check", short_help="Say whether a file is a policy.", epilog=examples("ratchet policy check policies/ours.toml")
)
@click.argument("file", type=_FILE)
@with_session
def check_command(session: Session, *, file: Path) -> None:
    """Say whether a file is a policy, and what it asks for; what is wrong is named with its line."""
    from ratchet.cli import console
    from ratchet.measure import policies

    policy = policies.load(file)
    if session.as_json:
        console.print_json(_as_json(policy, is_in_force=False))
        return
    console.say(f"{file} is a policy: '{policy.name}', {console.count(len(policy.levels), 'level')}")
    made = console.table("LEVEL", "NAME", "CRITERIA", right=("LEVEL",))
    for level in policy.levels:
        asked = [" ".join(filter(None, (one.stage, one.measure))) for one in level.criteria]
        made.add_row(str(level.id), level.name, ", ".join(asked) or "none")
    console.say(made)


@policy_command.command(
    "try",
    short_help="Show each pipeline's level by a file, beside the present one.",
    epilog=examples("ratchet policy try policies/ours.toml", "ratchet policy try policies/ours.toml --beside strict"),
)
@click.argument("file", type=_FILE)
@click.option("--beside", default="standard", show_default=True, help="The policy to compare with.")
@with_session
def try_command(session: Session, *, file: Path, beside: str) -> None:
    """Show the level of each pipeline by a policy file, beside the present one; nothing is changed."""
    from ratchet.cli import console
    from ratchet.cli.level import blocked_text, level_text
    from ratchet.measure import policies
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        tried, present = policies.load(file), workspace.policy(beside)
        # A copy of a shipped policy that has kept its name is told apart by its file.
        name_tried = tried.name if tried.name != present.name else file.name
        measuring = Measuring(workspace)
        now = {one.pipeline: one for one in measuring.standings(present)}
        then = {one.pipeline: one for one in measuring.standings(tried)}
        if session.as_json:
            values = [
                {
                    "pipeline": name,
                    present.name: one.label,
                    name_tried: then[name].label,
                    "is_insufficient": {present.name: one.is_insufficient, name_tried: then[name].is_insufficient},
                    "blocked": blocked_text(then[name]),
                }
                for name, one in now.items()
            ]
            console.print_json({"beside": present.name, "tried": name_tried, "pipelines": values})
            return
        if not now:
            console.say("No pipelines yet: run one, and it is known. ratchet run PIPELINE")
            return
        made = console.table("PIPELINE", present.name.upper(), name_tried.upper(), "WHAT BLOCKS THE NEXT THERE")
        for name, one in now.items():
            made.add_row(name, level_text(one, present), level_text(then[name], tried), blocked_text(then[name]))
        console.say(made)


@policy_command.command(
    "publish",
    short_help="Put a policy file in force.",
    epilog=examples("ratchet policy publish policies/ours.toml"),
)
@click.argument("file", type=_FILE)
@with_session
def publish_command(session: Session, *, file: Path) -> None:
    """Put a policy file in force: name it in ratchet.toml and record its digest in the ledger."""
    from ratchet.cli import console
    from ratchet.measuring import Measuring

    with session.workspace() as workspace:
        policy = Measuring(workspace).publish(file)
        if session.as_json:
            console.print_json(_as_json(policy, is_in_force=True))
            return
        console.say(f"'{policy.name}' is in force, sha256 {console.short(policy.digest)}.")
        console.say(f"Levels by it: ratchet level --policy {policy.name}")
