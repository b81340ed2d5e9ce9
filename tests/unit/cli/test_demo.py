"""The demo gets what was asked for."""

import sys
from pathlib import Path
from typing import Any

import pytest

from ratchet.demo import command
from tests.unit.cli.conftest import Call


def test_options_reach_the_demo_and_its_code_comes_back(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command hands over and adds nothing of its own."""
    asked: dict[str, Any] = {}

    def fake(**options: Any) -> int:
        asked.update(options)
        return 3

    monkeypatch.setattr(command, "run_demo", fake)
    assert call("demo", "--until", "2013-02-01", "--keep", "year", "--seed", "4", "--json").code == 3
    wanted = {"keep": Path("year"), "until": "2013-02-01", "seed": 4, "as_json": True}
    assert asked == wanted | {"database": "", "scenario": "story"}


def test_what_is_missing_is_said_before_anything_is_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command brings all that the demo needs, and no folder is left."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    answer = call("demo", "--keep", str(tmp_path / "year"))
    assert answer.code == 1
    assert "The demo needs scikit-learn" in answer.err
    assert "pip install 'mlratchet[demo]'" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_another_database_is_handed_over(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--database`` names one in place of the file."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(command, "run_demo", lambda **options: asked.update(options) or 0)
    call("demo", "--database", "postgresql://demo")
    assert asked["database"] == "postgresql://demo"
