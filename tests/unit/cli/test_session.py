"""How commands end: one line, one exit code, and a log where the fault is ours."""

import sqlite3
from pathlib import Path

import click
import pytest
from sqlalchemy.exc import OperationalError

from ratchet import cli
from ratchet.cli.session import Refused, Session, end, examples
from ratchet.errors import NothingToRollBack
from tests.unit.cli.conftest import Call


def test_outside_of_a_project_the_way_in_is_named(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project there is one line that says how to get one."""
    monkeypatch.chdir(tmp_path)
    answer = call("status")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("Error: No ratchet.toml in ")
    assert len(answer.err.splitlines()) == 1


def test_project_is_found_from_a_folder_below(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest project above the current folder counts."""
    monkeypatch.chdir(project / "data")
    assert str(project) in "".join(call("status").out.split())


def test_project_can_be_named(call: Call, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--workspace`` makes the current folder irrelevant."""
    monkeypatch.chdir("/")
    assert call("models", "--workspace", str(project)).code == 0


def test_refusals_are_one_line_and_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """What a person can do something about comes without a traceback."""
    assert end(Session(), NothingToRollBack(endpoint="returns")) == 1
    assert end(Session(), Refused("no")) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(":")[0] for line in printed.err.splitlines()] == ["Error", "Error"]


def test_mistakes_in_the_command_line_are_code_2() -> None:
    """A command line that was not understood has a code of its own."""
    assert end(Session(), click.UsageError("what?")) == 2


def test_interruption_is_code_130() -> None:
    """Ctrl-C ends with the code that shells expect."""
    assert end(Session(), KeyboardInterrupt()) == 130
    assert end(Session(), click.Abort()) == 130


def test_our_own_fault_leaves_its_traceback_in_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that nobody foresaw is named in short, and in full in a file that is named, too."""
    session = Session()
    session.project = tmp_path
    assert end(session, ZeroDivisionError("division by zero")) == 1
    log = tmp_path / ".ratchet" / "logs" / "cli.log"
    assert str(log) in capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in log.read_text()


def test_our_own_fault_before_a_project_was_found_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no log, the traceback is printed: it must not be lost."""
    end(Session(), ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_trouble_with_disk_or_database_is_no_fault_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk and a folder that is not there are named, with what to do, and without a traceback."""
    lost = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    for error, text in (
        (FileNotFoundError(2, "No such file or directory", "/no/x"), "/no/x: No such file"),
        (lost, "disk is full"),
    ):
        assert end(Session(), error) == 1
        printed = capsys.readouterr().err
        assert text in printed
        assert "fault of Ratchet" not in printed


def test_a_traceback_is_printed_where_its_log_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk must not take the reason with it."""
    session = Session()
    session.project = tmp_path
    (tmp_path / ".ratchet").write_text("a file where the folder belongs")
    assert end(session, ZeroDivisionError("division by zero")) == 1
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_examples_keep_their_lines() -> None:
    """Examples are a paragraph that click does not fill."""
    assert examples("ratchet a", "ratchet b") == "\b\nExamples:\n  ratchet a\n  ratchet b"


def test_exit_code_is_what_the_command_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that returns a number ends with it."""
    monkeypatch.setattr(cli.cli, "main", lambda **_: 1)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 1
