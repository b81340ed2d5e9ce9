"""Settings, code, data, room and permissions: each fault is planted."""

import os
import sys
from pathlib import Path

import pytest

from ratchet.diagnosis import files
from tests import projects
from tests.unit.diagnosis.conftest import Examined


def test_a_broken_line_of_the_settings_is_named(shop: Path, examined: Examined) -> None:
    """With its place; all that needs no settings is looked at all the same."""
    (shop / "ratchet.toml").write_text(projects.SETTINGS.replace("at_least = 0.6", "at_leest = 0.6"))
    found = examined()
    assert found["files", "settings"].status == "problem"
    assert "ratchet.toml:" in found["files", "settings"].said
    assert found["ledger", "numbers"].status == "ok"


def test_a_rule_that_means_nothing_is_named(shop: Path, examined: Examined) -> None:
    """A condition that cannot be parsed is found without running anything."""
    rule = '\n[[rule]]\nname = "r"\non = "run.finished"\nwhen = "event.data.x >"\ndo = { start_run = "churn" }\n'
    (shop / "ratchet.toml").write_text(projects.SETTINGS + rule)
    found = examined()["files", "settings"]
    assert (found.status, "ratchet.toml:" in found.said) == ("problem", True)


def test_code_that_cannot_be_parsed_is_named(shop: Path, examined: Examined) -> None:
    """File and line."""
    assert examined()["files", "code"].status == "ok"
    (shop / "pipeline.py").write_text("def broken(:\n")
    found = examined()["files", "code"]
    assert (found.status, found.said.startswith("pipeline.py:1: ")) == ("problem", True)


def test_a_library_that_the_code_imports_and_that_is_missing_is_named(
    shop: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in a file it is imported, with the command that installs what is missing."""
    assert (examined()["files", "imports"].status, shop.name) == ("ok", shop.name)
    (shop / "later.py").write_text("def predict(rows):\n    from xgboost.sklearn import XGBClassifier\n")
    (shop / "broken.py").write_text("import lightgbm (")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    found = examined()["files", "imports"]
    assert found.status == "problem"
    assert found.said == (
        "pipeline.py imports sklearn, which is not installed; later.py imports xgboost, which is not installed"
    )
    assert found.remedy == "Install it where Ratchet runs: pip install 'mlratchet[sklearn,xgboost]'"


def test_code_that_imports_nothing_of_an_extra_needs_none(shop: Path, examined: Examined) -> None:
    """Nothing is said where there is nothing to look for."""
    (shop / "pipeline.py").write_text("import json\nfrom . import pandas\n")
    assert ("files", "imports") not in examined()


def test_a_dataset_without_files_is_warned_of(shop: Path, examined: Examined) -> None:
    """With what was looked for."""
    assert examined()["files", "customers"].status == "ok"
    (shop / "data" / "2026-01.parquet").unlink()
    found = examined()["files", "customers"]
    assert (found.status, found.said) == ("warning", "no file matches data/*.parquet")


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ((1 << 20, 10_000_000), {"state": "problem"}),
        ((1 << 30, 10_000_000), {"state": "warning"}),
        ((1 << 40, 10_000_000), {"state": "ok"}),
        ((1 << 40, 10_000), {"state": "ok", "state inodes": "warning"}),
        ((1 << 40, 100), {"state": "ok", "state inodes": "problem"}),
    ],
)
def test_room_runs_out(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, left: tuple[int, int], expected: dict[str, str]
) -> None:
    """Of bytes and of inodes, with two thresholds each; a disk that several parts share is told of once."""
    free, inodes = left
    # f_bsize, f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail, f_flag, f_namemax
    values = (4096, 4096, 1 << 30, free >> 12, free >> 12, 1 << 30, inodes, inodes, 0, 255)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))
    found = {check: one.status for (area, check), one in examined().items() if area == "disk" and check != "size"}
    assert found == expected


def test_parts_are_added_up(examined: Examined) -> None:
    """Database and artifacts have a size."""
    said = examined()["disk", "size"].said
    assert "database 0." in said
    assert "artifacts 0.0 MB" in said


@pytest.mark.parametrize("name", ["keys/ledger.pem", "keys/pseudonym.key", "keys/shop.token"])
def test_a_key_that_others_may_read_is_a_problem(shop: Path, examined: Examined, name: str) -> None:
    """With the command that mends it; a public key may be read."""
    assert examined()["permissions", "keys"].status == "ok"
    path = shop / ".ratchet" / name
    path.touch()
    path.chmod(0o640)
    found = examined()["permissions", "keys"]
    assert (found.status, found.remedy) == ("problem", f"Keep them out: chmod 600 {path}")


def test_a_key_elsewhere_is_looked_at(shop: Path, examined: Examined, tmp_path: Path) -> None:
    """The one that the settings name."""
    key = tmp_path / "elsewhere.pem"
    key.write_text("x")
    key.chmod(0o644)
    (shop / "ratchet.toml").write_text(f'{projects.SETTINGS}\n[ledger]\nkey = "{key}"\n')
    assert str(key) in examined()["permissions", "keys"].said


def test_a_folder_that_cannot_be_written_is_a_problem(
    shop: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the account that owns it; where the tests run as root, nothing is out of reach, so the answer is planted."""
    monkeypatch.setattr(files.os, "access", lambda _path, _mode: False)
    found = examined()["permissions", "folder"]
    assert (found.status, "may not write" in found.said) == ("problem", True)


def test_a_file_that_may_not_be_read_is_a_problem(
    shop: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's answer is planted, since nothing is out of reach where tests run as root."""
    read = Path.read_text

    def refuse(path: Path, *arguments: str, **options: str) -> str:
        if path.name == "ratchet.toml":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = examined()["files", "settings"]
    assert (found.status, "Permission denied" in found.said) == ("problem", True)
