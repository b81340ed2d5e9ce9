"""Tokens: printed once, counted for what they stand for."""

import json
from pathlib import Path

import pytest

from ratchet.loop import credentials
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call


def test_a_token_is_alone_on_stdout_and_works(call: Call, project: Path) -> None:
    """A shell can put it into a variable."""
    answer = call("token", "issue", "nightly", "--kind", "system", "--system", "airflow", "--team", "sales")
    with Workspace(project) as workspace:
        found = credentials.check(workspace.database, answer.out.removesuffix("\n"))
    assert (found.name, found.kind, found.system, found.team) == ("nightly", "system", "airflow", "sales")
    assert "once" in answer.err


def test_a_token_is_never_in_the_ledger(call: Call, project: Path) -> None:
    """What was issued is in the ledger, the secret is not."""
    secret = call("token", "issue", "site").out.strip()
    printed = call("events", "--json").out
    assert "credential.issued" in printed
    assert secret not in printed


@pytest.mark.usefixtures("project")
def test_endpoints_know_of_it_when_the_command_ends(call: Call, project: Path) -> None:
    """The routes that endpoints follow name the caller, and no longer when the token was revoked."""
    routes = project / ".ratchet" / "serving" / "routes.json"
    call("token", "issue", "site")
    assert '"site"' in routes.read_text()
    call("token", "revoke", "site")
    assert '"site"' not in routes.read_text()


@pytest.mark.usefixtures("project")
def test_the_list_never_shows_a_token(call: Call) -> None:
    """Names and what they stand for."""
    secret = call("token", "issue", "site").out.strip()
    shown = call("token", "list")
    assert "whoever holds it (unknown)" in shown.out
    assert secret not in shown.out
    assert secret not in call("token", "list", "--json").out


@pytest.mark.usefixtures("project")
def test_a_name_is_used_once(call: Call) -> None:
    """A second token of one name would make the ledger ambiguous."""
    call("token", "issue", "site")
    answer = call("token", "issue", "site")
    assert answer.code == 1
    assert "There is a token named 'site' already" in answer.err


@pytest.mark.usefixtures("project")
def test_revoking_twice_is_no_mistake(call: Call) -> None:
    """What is so already is said."""
    call("token", "issue", "site")
    assert json.loads(call("token", "revoke", "site", "--json").out)["is_changed"] is True
    again = call("token", "revoke", "site", "--json")
    assert (again.code, json.loads(again.out)["is_changed"]) == (0, False)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("issue", "a", "--kind", "system"), 2),
        (("issue", "a", "--system", "airflow"), 2),
        (("issue", "a", "--kind", "robot"), 2),
        (("revoke", "nobody"), 1),
    ],
)
def test_refusals(call: Call, arguments: tuple[str, ...], code: int) -> None:
    """A system has a name, and only a system; a token that is not there cannot be revoked."""
    assert call("token", *arguments).code == code
