"""``ratchet token``: issue, list and revoke tokens of those who call endpoints or give commands from elsewhere.

Invariant: a token is printed once, alone on stdout, and kept nowhere; endpoints know of a change when the command ends.
"""

from typing import TYPE_CHECKING

import click

from ratchet.cli.groups import Group
from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.loop.credentials import Credential, Kind
    from ratchet.workspace import Workspace

_STANDS_FOR = {
    "person": "a person (human)",
    "system": "a system (automation)",
    "undeclared": "whoever holds it (unknown)",
    "rule": "a rule's run (automation)",
}


@click.group(
    "token",
    cls=Group,
    epilog=examples(
        "ratchet token issue booking-site",
        "ratchet token issue nightly-job --kind system --system airflow --team operations",
        "ratchet token revoke booking-site",
    ),
)
def token_command() -> None:
    """Issue, list and revoke tokens of callers.

    A token says what class of actor its holder is: a person, a declared system, or unknown. Unknown never counts as
    automation when a level is measured.
    """


@token_command.command(
    "issue",
    epilog=examples(
        "ratchet token issue booking-site --team sales",
        "export RATCHET_TOKEN=$(ratchet token issue nightly-job --kind system --system airflow)",
    ),
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["person", "system", "undeclared"]),
    default="undeclared",
    show_default=True,
    help="Who holds it: a person, a system that you name, or nobody says.",
)
@click.option("--system", default="", help="The system that holds it, for --kind system.")
@click.option("--team", default="", help="The team that pays for its calls.")
@with_session
def issue_command(session: Session, *, name: str, kind: "Kind", system: str, team: str) -> None:
    """Issue a token and print it, this once."""
    if (kind == "system") != bool(system):
        raise click.UsageError("--kind system and --system NAME go together.")
    from ratchet.cli import console
    from ratchet.loop import credentials, releases
    from ratchet.loop.credentials import Credential

    with session.workspace() as workspace:
        taken = {one.name for one, _ in credentials.every(workspace.database)}
        if name in taken:
            raise Refused(f"There is a token named '{name}' already, or there was. Choose another name.")
        chosen = Credential(name=name, kind=kind, system=system, team=team)
        asked = {"name": name, "kind": kind, "system": system, "team": team}
        with workspace.by_command("issue_token", asked, subject=name):
            token = credentials.issue(workspace.resources, chosen)
        releases.publish_routes(workspace.resources)
    if session.as_json:
        console.print_json({**asked, "token": token})
        return
    console.note(f"Token of '{name}', which stands for {_STANDS_FOR[kind]}. It is shown this once:")
    click.echo(token)


@token_command.command("list", epilog=examples("ratchet token list"))
@with_session
def list_command(session: Session) -> None:
    """List what tokens there are and what they stand for; never the tokens themselves."""
    from ratchet.cli import console
    from ratchet.loop import credentials

    with session.workspace() as workspace:
        found = credentials.every(workspace.database)
    if session.as_json:
        console.print_json([_as_json(one, is_revoked=is_revoked) for one, is_revoked in found])
    elif found:
        made = console.table("NAME", "STANDS FOR", "SYSTEM", "TEAM", "")
        for one, is_revoked in found:
            state = console.state("revoked" if is_revoked else "")
            made.add_row(one.name, _STANDS_FOR[one.kind], one.system or "-", one.team or "-", state)
        console.say(made)
    else:
        console.say("No tokens yet. Issue one with: ratchet token issue NAME")


def _as_json(credential: "Credential", *, is_revoked: bool) -> dict[str, object]:
    return {
        "name": credential.name,
        "kind": credential.kind,
        "system": credential.system,
        "team": credential.team,
        "is_revoked": is_revoked,
    }


@token_command.command("revoke", epilog=examples("ratchet token revoke booking-site"))
@click.argument("name")
@with_session
def revoke_command(session: Session, *, name: str) -> None:
    """Make a token worthless, at once."""
    from ratchet.cli import console
    from ratchet.errors import UnknownName
    from ratchet.loop import credentials

    with session.workspace() as workspace:
        states = {one.name: is_revoked for one, is_revoked in credentials.every(workspace.database)}
        if name not in states:
            raise UnknownName(kind="token", name=name, known=", ".join(states) or "none yet")
        is_changed = not states[name]
        if is_changed:
            _revoke(workspace, name)
    if session.as_json:
        console.print_json({"name": name, "is_revoked": True, "is_changed": is_changed})
    else:
        console.say(f"Token '{name}' is revoked." if is_changed else f"Token '{name}' was revoked already.")


def _revoke(workspace: "Workspace", name: str) -> None:
    from ratchet.loop import credentials, releases

    with workspace.by_command("revoke_token", {"name": name}, subject=name):
        credentials.revoke(workspace.resources, name)
    releases.publish_routes(workspace.resources)
