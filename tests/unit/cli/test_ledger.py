"""Signing, anchoring, keys and erasure from the command line."""

import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.store.notes import parse_note, parse_public_key
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("project")


def test_a_checkpoint_is_printed_and_asked_for_by_somebody(call: Call) -> None:
    """The text stands alone on stdout, fits the printed key, and its event has a command as its cause."""
    note = call("ledger", "checkpoint").out
    key = parse_public_key(call("ledger", "key").out, where="test")
    assert parse_note(note, where="test").is_signed_by(key)
    events = [json.loads(line) for line in call("events", "--json").out.splitlines()]
    asked, made = events[-2:]
    assert (asked["data"]["action"], made["type"], made["causationid"]) == (
        "make_checkpoint",
        "ledger.checkpoint",
        asked["id"],
    )
    assert json.loads(call("ledger", "checkpoint", "--json").out)["note"] == note


def test_anchors_of_the_settings_get_each_checkpoint(call: Call, project: Path, tmp_path: Path) -> None:
    """A checkpoint is written to each; one that fails is said with exit code 1, and the checkpoint stands."""
    settings = project / "ratchet.toml"
    settings.write_text(
        f'{settings.read_text()}\n[ledger]\nanchor = ["file:{tmp_path}/far"]\nkey = "{tmp_path}/a.pem"\n'
    )
    note = call("ledger", "checkpoint").out
    assert (tmp_path / "far").read_text() == note
    assert (tmp_path / "a.pem").is_file()
    assert "also signed" in call("ledger", "verify").out
    settings.write_text(settings.read_text().replace("/far", "/nowhere/far"))
    call("token", "issue", "x")
    failed = call("ledger", "checkpoint")
    assert (failed.code, failed.out.count("ratchet/shop\n")) == (1, 1)
    assert "could not be used" in failed.err
    assert json.loads(call("ledger", "anchor", f"file:{tmp_path}/far", "--json").out)["anchors"][0]["error"] == ""
    assert (tmp_path / "far").read_text().endswith(f"\n{failed.out}")


def test_an_anchor_must_be_named_somewhere(call: Call) -> None:
    """Without any there is nothing to do, and the message says how to name one."""
    answer = call("ledger", "anchor")
    assert (answer.code, "below [ledger]" in answer.err) == (2, True)


def test_the_key_changes_for_a_person_only(call: Call) -> None:
    """A rotation wants consent; the new key is printed, and what was signed before is still sound."""
    call("ledger", "checkpoint")
    before = call("ledger", "key").out
    assert call("ledger", "key", "--rotate").code == 1
    assert call("ledger", "key").out == before
    after = call("ledger", "key", "--rotate", "--yes").out
    assert after == call("ledger", "key").out != before
    assert call("ledger", "verify", "--key", before.strip()).code == 0
    assert call("ledger", "key", "--pem").out.startswith("-----BEGIN PUBLIC KEY-----")
    assert call("ledger", "key", "--lost").code == 2


def test_erasing_asks_and_says_what_it_did(call: Call, project: Path) -> None:
    """Without consent nothing is erased; with it the payload is gone, and the ledger is sound."""
    refused = call("ledger", "erase", "1", "--reason", "asked for")
    assert (refused.code, "--yes" in refused.err) == (1, True)
    assert "start_run" in call("events", "1").out
    answer = call("ledger", "erase", "1", "--reason", "asked for", "--yes")
    assert "is erased" in answer.out
    assert "start_run" not in call("events", "1").out
    assert call("ledger", "verify").code == 0
    again = call("ledger", "erase", "1", "--reason", "asked for", "--yes")
    assert (again.code, "it was erased before" in again.err) == (1, True)
    assert call("ledger", "erase", "1", "--reason", " ", "--yes").code == 2
    with Workspace(project) as workspace:
        said = next(workspace.ledger.read(types=["payload.erased"]))
        cause = workspace.ledger.find(said.causationid)
    assert cause is not None
    assert cause.data["action"] == "erase_payload"


def test_a_forgotten_person_is_a_pseudonym(call: Call, project: Path) -> None:
    """The name is in no table any more; one that is not known is answered with those that are."""
    with Workspace(project) as workspace:
        workspace.person("person-1")
    assert call("ledger", "forget", "person-1").code == 1
    authid = json.loads(call("ledger", "forget", "person-1", "--yes", "--json").out)["authid"]
    with sqlite3.connect(project / ".ratchet" / "ratchet.db") as connection:
        left = connection.execute("SELECT count(*) FROM pseudonym WHERE authid = ?", (authid,)).fetchone()
    connection.close()
    assert left == (0,)
    assert "No actor named 'person-1'" in call("ledger", "forget", "person-1", "--yes").err


def test_a_workspace_signs_once_an_hour(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked each second, it signs when the first event is an hour old, and again when there are news of an hour."""
    with Workspace(project) as workspace:
        # The project was written once for all tests, which may be an hour ago.
        begun = next(workspace.ledger.read()).recordedtime
        assert begun is not None

        def after(hours: float) -> int:
            moment = begun + timedelta(hours=hours)
            monkeypatch.setattr(clock, "now", lambda: moment)
            workspace._seal_at = 0.0
            workspace.seal_when_due()
            return len(workspace.checkpoints.sizes())

        assert [after(0.9), after(1.1), after(5.0)] == [0, 1, 1]
        with workspace.by_command("sync", {}, subject="x"):
            pass
        assert [after(5.5), after(6.2), after(9.0)] == [2, 2, 2]
        assert workspace.seal_when_due() is None


def test_sealing_says_which_anchor_failed(project: Path, tmp_path: Path) -> None:
    """For callers in Python the checkpoint is there, and the failing anchor is an error."""
    settings = project / "ratchet.toml"
    settings.write_text(f'{settings.read_text()}\n[ledger]\nanchor = ["file:{tmp_path}/nowhere/far"]\n')
    with Workspace(project) as workspace:
        with pytest.raises(Exception, match="could not be used"):
            workspace.seal()
        assert workspace.checkpoints.latest() is not None
