"""``ratchet runs log``: what was printed goes to stdout, what to know beside it to stderr."""

import json
from pathlib import Path

from ratchet.loop import registry, run_logs
from ratchet.records import RunLog
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call, run

PRINTED = "PRINTED".ljust(26, "0")


def put(project: Path, text: str) -> None:
    """Let a run of the project have printed something, on a machine that is gone."""
    with Workspace(project) as workspace:
        path = run_logs.path_of(workspace.resources, PRINTED)
        path.write_text(text)
        kept = run_logs.keep(workspace.resources, path)
        path.unlink()
        with workspace.database.write() as transaction:
            registry.put_run(transaction, run("PRINTED", log=kept))


def test_what_was_printed_is_shown_as_it_was(call: Call, project: Path) -> None:
    """No colour, no wrapping, nothing of ours in between; the run names the command where its file is not here."""
    put(project, "[bold]one[/bold]\n" + "x" * 200 + "\n")
    shown = call("runs", "log", "printed")
    assert (shown.code, shown.out, shown.err) == (0, "[bold]one[/bold]\n" + "x" * 200 + "\n", "")
    assert "ratchet runs log PRINTED0" in call("runs", "printed").out


def test_a_quiet_run_says_so(call: Call, project: Path) -> None:
    """On stderr: its output is empty."""
    shown = call("runs", "log", "good")
    assert (shown.code, shown.out, shown.err.strip()) == (0, "", "Run GOOD0000 printed nothing.")


def test_what_cannot_be_had_is_an_error(call: Call, project: Path) -> None:
    """With the place where it was written; for programs as well."""
    lost = RunLog(sha256="0" * 64, size_bytes=12, cut_bytes=0, place="far:/logs/P.log")
    with Workspace(project) as workspace, workspace.database.write() as transaction:
        registry.put_run(transaction, run("PRINTED", log=lost))
    shown = call("runs", "log", "printed")
    assert (shown.code, shown.out) == (1, "")
    assert "no longer in the store of artifacts; it was written to far:/logs/P.log" in shown.err
    found = call("runs", "log", "printed", "--json")
    values = json.loads(found.out)
    assert (found.code, values["is_lost"], values["place"], values["worker"]) == (1, True, "far:/logs/P.log", None)


def test_a_run_that_waits_is_carried_out_by_nobody(call: Call, project: Path) -> None:
    """Nothing is shown but that."""
    with Workspace(project) as workspace, workspace.database.write() as transaction:
        registry.put_run(transaction, run("PRINTED", status="queued", finished_at=None))
    shown = call("runs", "log", "printed")
    assert (shown.code, shown.out) == (0, "")
    assert "It waits: no process carries it out now." in shown.err
    assert "worker" not in call("runs", "printed").out


def test_a_run_that_there_is_not_is_refused(call: Call, project: Path) -> None:
    """By the beginning of an id or a version, like everywhere."""
    assert "No run named 'nope'" in call("runs", "log", "nope").err
    assert call("runs", "log", "returns@v1").code == 0
