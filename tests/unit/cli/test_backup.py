"""``ratchet backup`` and ``ratchet restore``, as they are typed."""

import json
from pathlib import Path

import pytest

from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call


@pytest.fixture
def shop(project: Path) -> Path:
    """A project without a version that serves: its artifacts were never there."""
    from ratchet.store import schema

    with Workspace(project) as workspace, workspace.database.write() as transaction:
        for table in (schema.release, schema.dataset_version):
            transaction.execute(table.delete())
        workspace.ledger.append(transaction, Event(type="custom.emitted", subject="x"))
    return project


def test_there_and_back(call: Call, shop: Path, tmp_path: Path) -> None:
    """What was written is said, with what is not in it and where keys are; what was restored, with the next step."""
    taken = call("backup", str(tmp_path / "shop.tar.zst"))
    assert taken.code == 0
    for text in ("has the whole workspace as it stood at", "entries, root ", "keep .ratchet/keys apart", "first.csv"):
        assert text in " ".join(taken.out.split())
    made = call("restore", str(tmp_path / "shop.tar.zst"), str(tmp_path / "back"))
    assert made.code == 0
    assert "read again" in made.out
    assert f"Next: ratchet up --workspace {tmp_path / 'back'}" in " ".join(made.out.split())
    assert "put ledger.pem and pseudonym.key back" in made.err
    assert json.loads(call("status", "--json", "--workspace", str(tmp_path / "back")).out)["workspace"] == "shop"


def test_for_programs(call: Call, shop: Path, tmp_path: Path) -> None:
    """As JSON both say the same ledger; keys are warned of."""
    taken = call("backup", str(tmp_path / "shop.tar"), "--json", "--with-data")
    made = call("restore", str(tmp_path / "shop.tar"), str(tmp_path / "back"), "--json", "--database", "sqlite")
    one, other = json.loads(taken.out), json.loads(made.out)
    assert (one["entries"], one["root"], one["left_out"]) == (other["entries"], other["root"], other["left_out"])
    assert (tmp_path / "back" / "data" / "orders" / "first.csv").is_file()
    (shop / ".ratchet" / "keys").mkdir(exist_ok=True)
    (shop / ".ratchet" / "keys" / "pseudonym.key").write_bytes(b"k" * 32)
    with_keys = call("backup", str(tmp_path / "keys.tar"), "--with-keys")
    assert "The private keys are in it" in with_keys.err


def test_what_was_not_understood(call: Call, project: Path, tmp_path: Path) -> None:
    """Another ending, and a folder that is not there."""
    assert call("backup", str(tmp_path / "shop.zip")).code == 2
    answer = call("backup", str(tmp_path / "none" / "shop.tar"))
    assert (answer.code, "There is no folder" in answer.err) == (2, True)


def test_what_is_refused(call: Call, project: Path, tmp_path: Path) -> None:
    """What serves is missing its model; a file that is no backup; a folder that is taken: each with what to do."""
    answer = call("backup", str(tmp_path / "shop.tar"))
    assert (answer.code, "--leave-out-damaged" in answer.err) == (1, True)
    assert call("backup", str(tmp_path / "shop.tar"), "--leave-out-damaged").code == 0
    answer = call("backup", str(tmp_path / "shop.tar"))
    assert (answer.code, "exists already" in answer.err) == (1, True)
    answer = call("restore", str(project / "ratchet.toml"), str(tmp_path / "back"))
    assert (answer.code, "cannot be restored" in answer.err) == (1, True)
    answer = call("restore", str(tmp_path / "shop.tar"), str(project))
    assert (answer.code, "is not empty" in answer.err) == (1, True)
    secret = "postgresql://me:secret@db.example.org/shop"
    answer = call("restore", str(tmp_path / "shop.tar"), str(tmp_path / "back"), "--database", secret)
    assert (answer.code, "secret@" in answer.err, "password" in answer.err) == (1, False, True)
    assert not (tmp_path / "back").exists()
