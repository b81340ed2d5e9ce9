"""The machine and what is installed on it."""

import importlib.metadata
import platform
import resource
import sys
from pathlib import Path

import pytest

from ratchet import config
from ratchet.diagnosis import environment
from tests import projects


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("1.2.3", ">=1.2,<2", True),
        ("2.0", ">=1.2,<2", False),
        ("1.10", ">=1.9", True),
        ("1.2", ">=1.2.1", False),
        ("2.0", "<2.0.0", False),
        ("3.4.7", "==3.4.*", True),
        ("3.40", "==3.4.*", False),
        ("1.0", "==1.0.0", True),
        ("1.0", "!=1.0", False),
        ("2.0rc1", "<=2.0", True),
        ("7", "", True),
    ],
)
def test_versions_are_held_against_bounds(version: str, bounds: str, expected: bool) -> None:
    """Numbers are compared as numbers, and a missing part is zero."""
    assert environment.fits(version, bounds) is expected


def test_requirements_are_read() -> None:
    """Extras are left out, and so is what is meant for another Python."""
    assert environment.parse_requirement("click<9,>=8.1") == ("click", "<9,>=8.1", True)
    assert environment.parse_requirement("psycopg[binary]<3.4,>=3.2; extra == 'postgres'")[2] is False
    assert environment.parse_requirement('x>=1; python_version < "3.0"') == ("x", ">=1", False)
    assert environment.parse_requirement('x>=1; python_version < "9.0"')[2] is True


def test_libraries_out_of_bounds_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named with what it is and what it must be; a missing one, too."""
    (well,) = environment.check_libraries()
    assert (well.status, "within their bounds" in well.said) == ("ok", True)
    wanted = ["click<8", "nothing-of-this-name>=1", "msgspec"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: wanted)
    (found,) = environment.check_libraries()
    assert found.status == "problem"
    assert "click is 8" in found.said
    assert "nothing-of-this-name is missing, and must be >=1" in found.said
    assert "msgspec" not in found.said


def test_libraries_of_data_frames_may_be_missing_and_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there is held against the bounds of its extra; what other extras bring is not looked at."""
    wanted = ['pandas<2,>=1; extra == "sklearn"', 'nothing-of-this-name>=1; extra == "sklearn"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: [*wanted, 'numpy<1; extra == "torch"'])
    (found,) = environment.check_libraries()
    assert (found.status, found.said.startswith("pandas is 3"), "nothing" in found.said) == ("problem", True, False)
    assert "numpy" not in found.said
    assert found.remedy.endswith("pip install --upgrade 'mlratchet[sklearn]'")


def test_a_package_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from its sources without an installation there are no bounds to hold versions against."""
    monkeypatch.setattr(environment, "DISTRIBUTION", "nothing-of-this-name")
    assert [one.status for one in environment.check_libraries()] == ["warning"]


def test_an_old_python_and_another_system_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are said, with the version and the name."""
    assert [one.status for one in environment.check_python()] == ["ok"]
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    found = list(environment.check_python())
    assert [one.status for one in found] == ["problem", "problem"]
    assert "Windows is not supported" in found[1].said


def test_too_few_open_files_are_warned_of() -> None:
    """With the command that raises the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        (found,) = environment.check_limits()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (found.status, found.remedy.startswith("Raise it")) == ("warning", True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    assert [one.status for one in environment.check_limits()] == ["ok"]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_extras_that_settings_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database on a server needs its driver, a bucket its library."""
    text = projects.SETTINGS.replace(
        "[project]\n", '[project]\ndatabase = "postgresql://h/d"\nartifacts = "s3://b/p"\n'
    )
    (tmp_path / "ratchet.toml").write_text(text)
    settings = config.load(tmp_path)
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None if name == "psycopg" else name)
    assert [(one.status, one.remedy) for one in environment.extras(settings)] == [
        ("problem", "Install it: pip install 'mlratchet[postgres]'"),
        ("ok", ""),
    ]
