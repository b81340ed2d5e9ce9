"""How output looks: tables, times, numbers and spinners for people, JSON for programs.

Invariant: stdout carries the answer and stderr all else; text of users is printed as it is, never read as markup.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from ratchet import clock

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status
    from rich.table import Table

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SHORT = 8
_HEX_DIGITS, _ID_LETTERS = 64, 26
_EXACT_BELOW_SECONDS = 10
_NEXT_UNIT_FROM = {"min": 2 * _HOUR, "h": 2 * _DAY}

# What a word says about the state of things, wherever it stands.
STYLES = {
    "pass": "green",
    "success": "green",
    "live": "bold green",
    "met": "green",
    "on": "green",
    "fail": "red",
    "failed": "red",
    "not met": "red",
    "revoked": "red",
    "cancelled": "yellow",
    "insufficient": "yellow",
    "stale": "yellow",
    "off": "yellow",
    "running": "cyan",
    "queued": "cyan",
}


@cache
def stdout() -> "Console":
    """Return the console of answers."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


@cache
def stderr() -> "Console":
    """Return the console of progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def say(part: "RenderableType", *, is_whole: bool = False) -> None:
    """Print a line, or something that rich can draw, on stdout.

    Args:
        part: What to print; where an indented line is wrapped, the rest of it is indented as far.
        is_whole: Leave long lines as they are: they are to be copied.
    """
    console = stdout()
    if isinstance(part, str) and part.startswith(" ") and "\n" not in part and not is_whole:
        from rich.padding import Padding

        line = part.lstrip(" ")
        part = Padding(line, (0, 0, 0, len(part) - len(line)), expand=False)
    if console.is_terminal:
        console.print(part, soft_wrap=is_whole)
        return
    # In a pipe the spaces that fill a table's last column are in the way.
    with console.capture() as captured:
        console.print(part, soft_wrap=is_whole)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    sys.stdout.flush()


def note(message: str) -> None:
    """Print something by the way on stderr."""
    stderr().print(message, style="dim", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


# ---- tables


def table(*headers: str, right: Sequence[str] = (), whole: Sequence[str] = (), narrow: Sequence[str] = ()) -> "Table":
    """Return a table without lines.

    Args:
        headers: Names of the columns.
        right: Columns of numbers.
        whole: Columns whose values are never broken.
        narrow: Columns that are cut where room is short.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in headers:
        made.add_column(
            header,
            justify="right" if header in right else "left",
            no_wrap=header in whole or header in right or header in narrow,
            overflow="ellipsis" if header in narrow else "fold",
        )
    return made


def cut(text: str, *, beside: int) -> str:
    """Return a text as far as it fits into a line beside others; where it does not, it ends with three dots.

    Args:
        text: What may be cut.
        beside: Cells that the rest of the line takes.
    """
    room = max(_SHORT, stdout().width - beside)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def facts(pairs: Iterable[tuple[str, "RenderableType"]]) -> "Table":
    """Return names and values, one pair a line."""
    from rich.table import Table

    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def title(text: str) -> None:
    """Print the heading of a part."""
    from rich.text import Text

    say("")
    say(Text(text, style="bold"))


def count(amount: int, thing: str) -> str:
    """Return how many things there are, such as ``1 rule`` or ``2 rules``."""
    return f"{amount} {thing}" if amount == 1 else f"{amount} {thing}s"


def state(word: str) -> "RenderableType":
    """Return a word in the colour of what it says."""
    from rich.text import Text

    return Text(word, style=STYLES.get(word, ""))


# ---- numbers, times, names


def number(value: Any) -> str:
    """Return a number as a person reads it; other values as they are."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # noqa: PLR2004, four digits read well as they are
    if isinstance(value, float):
        text = f"{value:.4g}"
        return format(Decimal(text), "f") if "e-" in text else text
    return "-" if value in (None, "") else str(value)


def metrics(values: dict[str, Any]) -> str:
    """Return metrics by name in one line."""
    return ", ".join(f"{name} {number(value)}" for name, value in sorted(values.items())) or "-"


def duration(seconds: float | None) -> str:
    """Return a span of time in its own unit."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < _EXACT_BELOW_SECONDS else f"{seconds:.0f} s"
    for unit, name in ((_MINUTE, "min"), (_HOUR, "h")):
        if seconds < _NEXT_UNIT_FROM[name]:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / _DAY:.0f} d"


def ago(moment: datetime | None) -> str:
    """Return how long ago something was."""
    if moment is None:
        return "never"
    seconds = (clock.now() - moment).total_seconds()
    return "just now" if seconds < _EXACT_BELOW_SECONDS else f"{duration(seconds)} ago"


def moment_text(moment: datetime | str | None, zone: ZoneInfo) -> str:
    """Return a moment to the minute, in the project's time zone."""
    if not moment:
        return "-"
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{parsed.astimezone(zone):%Y-%m-%d %H:%M}"


def short(name: str) -> str:
    """Return the beginning of an id or digest, and any other name as it is."""
    is_digest = len(name) == _HEX_DIGITS and all(letter in "0123456789abcdef" for letter in name)
    is_id = len(name) == _ID_LETTERS and name.isalnum() and name.isupper()
    return name[:_SHORT] if is_digest or is_id else name


# ---- progress


class Progress:
    """A spinner with a text and the seconds since it began; nothing where stderr is no terminal."""

    def __init__(self, status: "Status | None") -> None:
        self._status = status
        self._began = clock.monotonic()

    def show(self, text: str) -> None:
        """Replace the text."""
        if self._status is not None:
            self._status.update(f"{text} ({clock.monotonic() - self._began:.0f} s)")


@contextmanager
def progress(text: str) -> Iterator[Progress]:
    """Show on stderr that something is under way."""
    if not stderr().is_terminal:
        yield Progress(None)
        return
    with stderr().status(text, spinner="line") as status:
        yield Progress(status)
