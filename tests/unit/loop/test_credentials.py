"""Tokens and pseudonyms: what they stand for, how they are kept, how they end."""

import getpass
from pathlib import Path

import pytest

from ratchet.errors import CredentialRefused
from ratchet.loop import credentials
from ratchet.loop.credentials import Credential, Kind
from tests.loops import Stage


def issue(stage: Stage, name: str, kind: Kind = "person", *, key: str = "", token: str = "") -> str:
    """Issue a token by a command."""
    with stage.command(f"issue/{name}/{key}"):
        return credentials.issue(stage.resources, Credential(name=name, kind=kind, system="crm"), token=token)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("person", "human"), ("system", "automation"), ("undeclared", "unknown"), ("rule", "automation")],
)
def test_a_token_stands_for_a_class_of_actor(stage: Stage, kind: Kind, expected: str) -> None:
    """The event says the class that the actor of a request then has; an undeclared one never counts as automation."""
    token = issue(stage, "one", kind)
    credential = credentials.check(stage.database, token)
    assert credential.actor("pseudonym").actor_class == expected
    assert stage.events("credential.issued")[0].data["class"] == expected


def test_the_token_is_nowhere_in_the_database(stage: Stage) -> None:
    """Only its hash is: who steals the files has no access."""
    token = issue(stage, "one")
    stage.close()
    for path in stage.resources.folder.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path.name


def test_two_tokens_are_different_and_long(stage: Stage) -> None:
    """Chance of 256 bits: nobody guesses one."""
    first, second = issue(stage, "one"), issue(stage, "two")
    assert first != second
    assert min(len(first), len(second)) >= 43


@pytest.mark.parametrize(("token", "reason"), [("", "a token is needed"), ("rat_x", "the token is unknown")])
def test_a_stranger_is_refused(stage: Stage, token: str, reason: str) -> None:
    """The message says how to get a token."""
    with pytest.raises(CredentialRefused, match=f"{reason}.*ratchet token issue"):
        credentials.check(stage.database, token)


def test_a_revoked_token_is_refused(stage: Stage) -> None:
    """It neither gives commands nor calls endpoints any more."""
    token = issue(stage, "one")
    with stage.database.read() as connection:
        assert [caller.name for caller in credentials.callers(connection).values()] == ["one"]
    with stage.command("revoke"):
        credentials.revoke(stage.resources, "one")
    with pytest.raises(CredentialRefused, match="revoked"):
        credentials.check(stage.database, token)
    with stage.database.read() as connection:
        assert credentials.callers(connection) == {}
    assert [(one.name, revoked) for one, revoked in credentials.every(stage.database)] == [("one", True)]
    assert stage.types()[-1] == "credential.revoked"


def test_what_does_not_exist_cannot_be_revoked(stage: Stage) -> None:
    """The name is in the message, and no event is written."""
    with stage.command("revoke"), pytest.raises(CredentialRefused, match="named 'nobody'"):
        credentials.revoke(stage.resources, "nobody")
    assert "credential.revoked" not in stage.types()


def test_a_name_is_given_once(stage: Stage) -> None:
    """A name never comes to stand for something else, not even after its token was revoked."""
    issue(stage, "one")
    with pytest.raises(CredentialRefused, match="choose another"):
        issue(stage, "one", "system", key="again")
    with stage.command("revoke"):
        credentials.revoke(stage.resources, "one")
    with pytest.raises(CredentialRefused, match="choose another"):
        issue(stage, "one", "system", key="third")


def test_issuing_a_known_token_again_changes_nothing(stage: Stage) -> None:
    """A caller that keeps its token itself may ask again after a crash."""
    issue(stage, "one", token="rat_known")
    before = stage.ledger.last_seq()
    assert issue(stage, "one", token="rat_known") == "rat_known"
    assert stage.ledger.last_seq() == before


def test_a_pseudonym_is_stable_and_its_mapping_can_be_erased(stage: Stage) -> None:
    """Whoever is erased from the table stays in the ledger as a pseudonym that nobody can read."""
    authid = credentials.pseudonym(stage.resources, "anna@example.com")
    assert credentials.pseudonym(stage.resources, "anna@example.com") == authid
    assert "anna" not in authid
    assert credentials.account_of(stage.database, authid) == "anna@example.com"
    with stage.database.write() as transaction:
        transaction.exec_driver_sql("DELETE FROM pseudonym")
    assert credentials.account_of(stage.database, authid) == authid


def test_the_key_of_pseudonyms_is_for_its_owner_only(stage: Stage) -> None:
    """Without the key nobody can try out accounts."""
    credentials.pseudonym(stage.resources, "anna")
    key = stage.resources.folder / "keys" / "pseudonym.key"
    assert key.stat().st_mode & 0o077 == 0


def test_here_the_account_gives_commands_unless_a_token_does(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's token makes its commands an automation's; a wrong one is refused and not ignored."""
    monkeypatch.delenv(credentials.TOKEN_VARIABLE, raising=False)
    assert credentials.local_actor(stage.resources).actor_class == "human"
    monkeypatch.setenv(credentials.TOKEN_VARIABLE, issue(stage, "nightly", "system"))
    assert credentials.local_actor(stage.resources).actor_class == "automation"
    monkeypatch.setenv(credentials.TOKEN_VARIABLE, "wrong")
    with pytest.raises(CredentialRefused):
        credentials.local_actor(stage.resources)


def test_an_account_without_a_name_is_you(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers often run under a number that no account has."""

    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert credentials.account_name() == "you"


def test_nothing_of_a_token_is_written_beside_the_database(stage: Stage, tmp_path: Path) -> None:
    """What a caller is told is a hash."""
    token = issue(stage, "one")
    with stage.database.read() as connection:
        (found,) = credentials.callers(connection)
    assert found == credentials.hash_token(token)
    assert token not in found
