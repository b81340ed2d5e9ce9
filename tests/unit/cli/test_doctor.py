"""``ratchet doctor``, as it is typed."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Call


def test_a_sound_workspace(call: Call, project: Path) -> None:
    """Warnings with what to do, a count, exit code 0; one by one where it is asked for."""
    answer = call("doctor")
    assert answer.code == 0
    assert "warning processes, executor: nobody runs the workspace" in answer.out
    assert "    Start it: ratchet up" in answer.out
    assert answer.out.splitlines()[-1].startswith("0 problems, ")
    whole = call("doctor", "--all").out
    assert "AREA" in whole
    assert "SQLite 3" in whole


def test_problems_make_it_fail(call: Call, project: Path) -> None:
    """Exit code 1 with the place of the mistake, though other commands cannot even start."""
    (project / "ratchet.toml").write_text("[project]\nnaem = 'x'\n")
    assert call("status").code == 1
    answer = call("doctor")
    assert answer.code == 1
    assert "problem files, settings:" in answer.out
    assert "ratchet.toml:1" in answer.out.replace("\n", "")


def test_for_programs(call: Call, project: Path) -> None:
    """Each finding with area, check, status, text and remedy."""
    found = json.loads(call("doctor", "--json").out)
    assert (found["problems"], found["warnings"] > 0) == (0, True)
    assert set(found["findings"][0]) == {"area", "check", "status", "said", "remedy"}


def test_outside_of_a_workspace(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is looked at, and nothing is missing."""
    monkeypatch.chdir(tmp_path)
    answer = call("doctor")
    assert (answer.code, "0 problems, 0 warnings" in answer.out) == (0, True)
