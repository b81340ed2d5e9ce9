"""Verifying and proving from the command line, with Ratchet and without it."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import pages
from tests.unit.cli.conftest import Call

PAGE = pages.DOCS / "ledger-proofs.md"


def change(project: Path, *statements: str) -> None:
    """Change the database behind the ledger's back."""
    with sqlite3.connect(project / ".ratchet" / "ratchet.db") as connection:
        for guard in ("ledger_no_update", "ledger_no_delete", "payload_no_update"):
            connection.execute(f"DROP TRIGGER {guard}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.fixture
def kept(call: Call, project: Path, tmp_path: Path) -> Path:
    """Keep a checkpoint and the public key outside the project, as an auditor would."""
    folder = tmp_path / "auditor"
    folder.mkdir()
    (folder / "checkpoint").write_text(call("ledger", "checkpoint").out)
    (folder / "ledger.pub").write_text(call("ledger", "key", "--pem").out)
    (folder / "line").write_text(call("ledger", "key").out)
    return folder


def test_a_sound_ledger_ends_with_zero_and_says_what_was_not_compared(call: Call, kept: Path) -> None:
    """The remark on anchors is there without a kept checkpoint, and gone with one."""
    alone = call("ledger", "verify")
    assert (alone.code, "all as they were written" in alone.out) == (0, True)
    assert "only a checkpoint in other hands" in alone.err
    compared = call("ledger", "verify", "--checkpoint", str(kept / "checkpoint"))
    assert (compared.code, "in other hands" in compared.err, "also signed" in compared.out) == (0, False, True)


def test_the_first_bad_entry_is_named_first(call: Call, project: Path) -> None:
    """Number, id and what differs; exit code 1; in JSON all of it."""
    change(project, "UPDATE payload SET body = x'7b7d' WHERE seq IN (5, 3)")
    answer = call("ledger", "verify")
    assert answer.code == 1
    first, second = re.findall(r"#(\d+) (\w{26}): its payload", answer.out)
    assert (first[0], second[0]) == ("3", "5")
    values = json.loads(call("ledger", "verify", "--json").out)
    assert (values["is_sound"], values["findings"][0]["seq"], values["findings"][0]["id"]) == (False, 3, first[1])


def test_an_auditor_needs_no_project(call: Call, kept: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export, a proof and a step from a kept checkpoint are checked far from any workspace."""
    call("token", "issue", "x")
    call("ledger", "export", "--output", str(kept / "export"))
    call("ledger", "prove", "2", "--output", str(kept / "proof"))
    call("ledger", "checkpoint")
    (kept / "step").write_text(call("ledger", "consistency", str(kept / "checkpoint")).out)
    shutil.rmtree(project)
    monkeypatch.chdir(kept)
    export = call("ledger", "verify", "--file", "export", "--key", "ledger.pub", "--checkpoint", "checkpoint")
    assert (export.code, export.err) == (0, "What was never recorded leaves no trace in any ledger.\n")
    proof = call("ledger", "verify-proof", "proof", "--key", "line")
    assert (proof.code, "Entry 2 is in the ledger" in proof.out) == (0, True)
    step = call("ledger", "verify-proof", "step", "--key", "line", "--checkpoint", "checkpoint")
    assert (step.code, "still begins with" in step.out) == (0, True)
    (kept / "proof").write_text((kept / "proof").read_text().replace("index 1", "index 2"))
    forged = call("ledger", "verify-proof", "proof", "--key", "line", "--json")
    assert (forged.code, json.loads(forged.out)["is_sound"]) == (1, False)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_page_shows_a_way_without_ratchet(call: Call, kept: Path) -> None:
    """The commands and the program on the page accept a true proof, and refuse a changed one."""
    call("ledger", "prove", "2", "--output", str(kept / "entry-42.tlog-proof"))
    shell = next(text for text in pages.blocks(PAGE, "sh") if "openssl" in text)
    program = next(text for text in pages.blocks(PAGE, "python") if "hashlib" in text)

    def runs(*command: str) -> bool:
        return subprocess.run(command, cwd=kept, capture_output=True, check=False).returncode == 0

    cut = runs("sh", "-c", "sed '1,/^$/d' entry-42.tlog-proof | cmp - checkpoint")
    assert cut
    assert "sed '1,/^$/d' entry-42.tlog-proof" in PAGE.read_text()
    assert runs("sh", "-e", "-c", shell)
    assert runs(sys.executable, "-c", program, "entry-42.tlog-proof")
    for name, old, new in (
        ("checkpoint", "ratchet/shop\n", "ratchet/shop2\n"),
        ("entry-42.tlog-proof", "index 1", "index 2"),
    ):
        (kept / name).write_text((kept / name).read_text().replace(old, new, 1))
    assert not runs("sh", "-e", "-c", shell)
    assert not runs(sys.executable, "-c", program, "entry-42.tlog-proof")


def test_a_proof_may_keep_the_payload_back(call: Call, kept: Path) -> None:
    """What an entry says is then neither shown nor needed."""
    call("ledger", "prove", "1", "--without-payload", "--output", str(kept / "proof"))
    shown = call("ledger", "verify-proof", str(kept / "proof"))
    assert (shown.code, "not in this proof" in shown.out, "start_run" in shown.out) == (0, True, False)


def test_consistency_with_another_history_is_refused(call: Call, kept: Path, project: Path) -> None:
    """A ledger that was changed below a kept checkpoint cannot lead to it."""
    forged = (kept / "checkpoint").read_text().splitlines()
    forged[2] = "A" * 43 + "="
    (kept / "checkpoint").write_text("\n".join(forged) + "\n")
    call("token", "issue", "x")
    call("ledger", "checkpoint")
    answer = call("ledger", "consistency", str(kept / "checkpoint"))
    assert (answer.code, "another state of the first" in answer.err) == (1, True)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--key", "nothing"], "neither a file nor a key"),
        (["consistency", "3"], "No checkpoint named 'newest'"),
        (["consistency", "nothing"], "No checkpoint"),
        (["prove", "999"], "No event named '999'"),
        (["verify-proof", "ratchet.toml"], "no key yet"),
        (["prove", "1" + 30 * "0"], "No event named"),
        (["prove", "1", "--output", "nowhere/proof"], "No such file"),
        (["export", "--output", "nowhere/export"], "No such file"),
        (["verify", "--checkpoint", "picture"], "picture is no text"),
        (["verify", "--checkpoint", "empty"], "holds no checkpoint"),
        (["verify", "--key", "picture"], "picture is no text"),
        (["verify-proof", "picture", "--key", "picture"], "picture is no text"),
        (["consistency", "picture"], "No checkpoint"),
    ],
)
def test_what_cannot_be_done_is_said(call: Call, arguments: list[str], said: str) -> None:
    """A wrong name, a missing checkpoint, a missing key and a file of another kind are one line each."""
    Path("empty").touch()
    Path("picture").write_bytes(b"\x89PNG\xff\xfe")
    answer = call("ledger", *arguments)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert "fault of Ratchet" not in answer.err


def test_a_spoilt_key_keeps_nobody_from_verifying(call: Call, project: Path, kept: Path) -> None:
    """It is found, and all else is compared with the key that the ledger names, or with the one that is given."""
    (project / ".ratchet" / "keys" / "ledger.pem").write_text("spoilt")
    answer = call("ledger", "verify")
    assert (answer.code, "no usable Ed25519 key" in answer.out) == (1, True)
    assert "1 inside the ledger fit" in answer.out
    assert call("ledger", "verify", "--key", str(kept / "ledger.pub")).code == 0


def test_a_spoilt_payload_keeps_nobody_from_verifying(call: Call, project: Path, kept: Path) -> None:
    """Also where it is that of the checkpoint by which the ledger knows its name."""
    which = "seq = (SELECT max(seq) FROM ledger WHERE type = 'ledger.checkpoint')"
    change(project, f"UPDATE payload SET body = 'spoilt' WHERE {which}")
    answer = call("ledger", "verify", "--key", str(kept / "ledger.pub"))
    assert (answer.code, "its payload is not the one" in answer.out) == (1, True)
