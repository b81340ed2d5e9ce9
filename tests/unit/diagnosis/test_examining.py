"""All checks together, where they can be made and where they cannot."""

from pathlib import Path

import pytest

from ratchet.diagnosis import examining
from ratchet.diagnosis.files import Files
from tests.unit.diagnosis.conftest import Examined


def test_outside_of_a_workspace_the_machine_is_looked_at(tmp_path: Path) -> None:
    """That there is none is said, and no problem."""
    found = list(examining.examine(tmp_path))
    assert {one.area for one in found} == {"environment", "files"}
    assert "no workspace was looked at" in found[-1].said
    assert list(tmp_path.iterdir()) == []


def test_each_area_is_looked_at(examined: Examined) -> None:
    """In a sound workspace there is no problem."""
    found = examined()
    assert {area for area, _ in found} == {
        *("environment", "files", "disk", "permissions", "database", "ledger", "clock"),
        *("processes", "jobs", "prediction log", "backup"),
    }
    assert [one for one in found.values() if one.status == "problem"] == []


def test_settings_and_database_may_both_be_broken(shop: Path, examined: Examined) -> None:
    """Two problems, and the rest is looked at."""
    (shop / "ratchet.toml").write_text("[project")
    (shop / ".ratchet" / "ratchet.db").write_bytes(b"gone")
    found = examined()
    assert {key for key, one in found.items() if one.status == "problem"} == {
        ("files", "settings"),
        ("database", "reached"),
    }
    assert ("backup", "newest") in found


def test_a_check_that_breaks_off_is_a_finding(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as on a disk that does not answer."""

    def break_off(_files: Files) -> None:
        message = "Input/output error"
        raise OSError(message)

    monkeypatch.setattr(Files, "check_room", break_off)
    break_off.__name__ = "check_room"
    found = examined()
    assert (found["disk", "room"].status, "Input/output error" in found["disk", "room"].said) == ("problem", True)
    assert ("disk", "size") in found
