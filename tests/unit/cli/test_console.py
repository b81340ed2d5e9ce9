"""How numbers, times and tables look."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ratchet import clock
from ratchet.cli import console

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def now(tmp_path: Path) -> Iterator[None]:
    """A clock that stands still."""
    clock.simulate(tmp_path / "clock", start=NOW)
    yield
    clock.stop_simulating()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (True, "true"),
        (4000, "4000"),
        (12345, "12,345"),
        (0.774912, "0.7749"),
        (7.8551e-06, "0.000007855"),
        ("a", "a"),
    ],
)
def test_number(value: Any, shown: str) -> None:
    """Numbers are cut to what a person reads, and nothing is a dash."""
    assert console.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42, "42 s"),
        (60, "1 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 d"),
    ],
)
def test_duration(seconds: float | None, shown: str) -> None:
    """A span of time has one unit, and two of the next before that is used."""
    assert console.duration(seconds) == shown


@pytest.mark.parametrize(
    ("age", "shown"), [(None, "never"), (3, "just now"), (90, "2 min ago"), (86400 * 3, "3 d ago")]
)
def test_ago(age: float | None, shown: str, now: None) -> None:
    """What was is told from now, by the domain's clock."""
    assert console.ago(None if age is None else NOW - timedelta(seconds=age)) == shown


def test_moments_are_told_in_the_zone_of_the_project() -> None:
    """A person reads the project's own time."""
    zone = ZoneInfo("America/New_York")
    assert console.moment_text(NOW, zone) == "2026-03-02 04:00"
    assert console.moment_text(NOW.isoformat(), zone) == "2026-03-02 04:00"
    assert console.moment_text("", zone) == "-"


def test_only_ids_and_digests_are_cut() -> None:
    """A name that a person gave is never cut."""
    assert console.short("0123456789ABCDEFGHJKMNPQRS") == "01234567"
    assert console.short("ab" * 32) == "abababab"
    assert console.short("a-name-that-is-much-longer-than-that") == "a-name-that-is-much-longer-than-that"


def test_words_of_users_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """A section of TOML in a message is printed, not taken for a colour."""
    console.say("add [[fitness]] to [bold]ratchet.toml")
    assert capsys.readouterr().out == "add [[fitness]] to [bold]ratchet.toml\n"


def test_lines_in_a_pipe_end_where_their_text_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Tables are not filled with spaces where a program reads them."""
    made = console.table("A", "B")
    made.add_row("a", "b")
    made.add_row("longer", "much longer")
    console.say(made)
    assert capsys.readouterr().out.splitlines() == ["A       B", "a       b", "longer  much longer"]


def test_what_does_not_fit_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long name gives way to what stands beside it, and is never gone."""
    monkeypatch.setenv("COLUMNS", "40")
    console.stdout.cache_clear()
    assert console.cut("a" * 12, beside=28) == "a" * 12
    assert console.cut("a" * 13, beside=28) == "a" * 11 + "…"
    assert console.cut("a" * 13, beside=39) == "a" * 7 + "…"
    console.stdout.cache_clear()


def test_things_are_counted_in_words() -> None:
    """One rule, two rules."""
    assert [console.count(number, "rule") for number in (0, 1, 2)] == ["0 rules", "1 rule", "2 rules"]


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """A log file is no place for a spinner."""
    with console.progress("working") as shown:
        shown.show("still working")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_an_indented_line_is_wrapped_as_far_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of what stands under something else does not fall out of it."""
    monkeypatch.setenv("COLUMNS", "20")
    console.stdout.cache_clear()
    console.say("  rule 'train' has never fired yet")
    console.say("  rule 'train' has never fired yet", is_whole=True)
    console.stdout.cache_clear()
    assert capsys.readouterr().out == "  rule 'train' has\n  never fired yet\n  rule 'train' has never fired yet\n"
