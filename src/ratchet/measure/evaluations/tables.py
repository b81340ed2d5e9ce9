"""TOML files that people write, read table by table, each mistake named with file and line.

Invariant: a value that was read is of the kind that was asked for; a key that means nothing is refused, never ignored.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any, NoReturn

from ratchet.errors import ConfigInvalid

MAX_TEXT = 10_000
_HEADER = re.compile(r"\s*\[{1,2}\s*([A-Za-z0-9_-]+)\s*\]{1,2}\s*(#.*)?$")
_QUOTES = ('"""', "'''")


class Table:
    """One table of a file, with the lines on which it stands.

    Args:
        values: What stands in it.
        where: Name of the file, for messages.
        lines: All lines of the file.
        first: Its first line, counted from 0.
        last: The first line that is no longer its own.
    """

    def __init__(self, values: dict[str, Any], *, where: str, lines: Sequence[str], first: int, last: int) -> None:
        self.values = values
        self.where = where
        self.first, self.last = first, last
        self._lines = lines

    @property
    def place(self) -> str:
        """Return file and line, such as ``answers.toml:12``."""
        return f"{self.where}:{self.first + 1}"

    def text(self, key: str, *, default: str | None = None) -> str:
        """Return a text; without a default it must be there and say something.

        Raises:
            ConfigInvalid: It is no text, or too long.
        """
        value = self.values.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.refuse(key, f"is {shown(value)}.", "Write a text in quotes.")
        if len(value) > MAX_TEXT:
            self.refuse(key, f"has {len(value):,} characters; at most {MAX_TEXT:,} are kept.", "Shorten it.")
        return value.strip()

    def number(self, key: str, *, default: float | None, low: float = 0.0, is_above: bool = False) -> float | None:
        """Return a number that is at least ``low``, or above it.

        Raises:
            ConfigInvalid: It is none.
        """
        value = self.values.get(key, default)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value < float("inf") or (is_above and value == low):
            wanted = f"above {low:g}" if is_above else f"of at least {low:g}"
            self.refuse(key, f"is {shown(value)}.", f"Write a number {wanted}.")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return ``true`` or ``false``.

        Raises:
            ConfigInvalid: It is neither.
        """
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"is {shown(value)}.", "Write true or false.")
        return value

    def day(self, key: str, *, default: date | None) -> date | None:
        """Return a day, written as a TOML date or in quotes.

        Raises:
            ConfigInvalid: It is none.
        """
        value = self.values.get(key, default)
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value)
            except ValueError:
                self.refuse(key, f"is {shown(value)}.", "Write a day such as 2026-03-31.")
        if isinstance(value, datetime) or not isinstance(value, date | None):
            self.refuse(key, f"is {shown(value)}.", "Write a day such as 2026-03-31.")
        return value

    def choice(self, key: str, allowed: Sequence[str], *, default: str | None = None) -> str:
        """Return one of some texts.

        Raises:
            ConfigInvalid: It is none of them; the message names them and the closest.
        """
        value = self.values.get(key, default)
        if value not in allowed:
            self.refuse(key, f"is {shown(value)}.", f"{suggestion(str(value), allowed)}Allowed: {', '.join(allowed)}.")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the key is missing.

        Raises:
            ConfigInvalid: It is no list of texts.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self.refuse(key, f"is {shown(value)}.", 'Write a list of texts, such as ["security", "legal"].')
        return tuple(one.strip() for one in value)

    def pairs(self, key: str) -> dict[str, str]:
        """Return names with texts, empty where the key is missing.

        Raises:
            ConfigInvalid: It is no table of texts.
        """
        value = self.values.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(one, str) and one.strip() for one in value.values()):
            self.refuse(key, f"is {shown(value)}.", 'Write names with texts, such as { train = "Scheduler" }.')
        return {name: one.strip() for name, one in value.items()}

    def refuse_unknown(self, allowed: Sequence[str], what: str) -> None:
        """Refuse a key that means nothing here."""
        for key in self.values:
            if key not in allowed:
                remedy = f"{suggestion(key, allowed)}Allowed: {', '.join(allowed)}."
                self.refuse(key, f"is not part of {what}.", remedy)

    def refuse(self, key: str, problem: str, remedy: str) -> NoReturn:
        """Say what is wrong with the value of a key, and where."""
        raise ConfigInvalid(self.place_of(key), f"'{key}' {problem}", remedy)

    def place_of(self, key: str) -> str:
        """Return file and line of a key; those of the table where it is not there."""
        pattern = re.compile(rf"(^|[\s{{,\[.\"']){re.escape(key)}[\"']?\s*(=|\]|\.)")
        found = (number for number in range(self.first, self.last) if pattern.search(self._lines[number]))
        return f"{self.where}:{next(found, self.first) + 1}"


class TableFile:
    """A TOML file as its tables.

    Args:
        content: Its bytes.
        where: Its name, for messages.

    Raises:
        ConfigInvalid: It is no UTF-8 text, or no TOML.
    """

    def __init__(self, content: bytes, *, where: str) -> None:
        self.where = where
        try:
            text = content.decode("utf-8-sig")
            self.values = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise ConfigInvalid(where, f"is not UTF-8 text ({error.reason}).", "Save it as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigInvalid(where, f"is not TOML: {error}.", "See https://toml.io for the syntax.") from error
        # Not splitlines(): TOML ends lines at \n only, and other separators may stand inside of texts.
        self.lines = text.replace("\r\n", "\n").split("\n")
        self._headers = list(_headers(self.lines))

    def root(self) -> Table:
        """Return what stands above the first header, and all tables by name."""
        last = self._headers[0][1] if self._headers else len(self.lines)
        return Table(self.values, where=self.where, lines=self.lines, first=0, last=max(last, 1))

    def table(self, name: str) -> Table:
        """Return a table ``[name]``.

        Raises:
            ConfigInvalid: There is none.
        """
        value = self.values.get(name)
        if not isinstance(value, dict):
            problem = f"has no table [{name}]." if value is None else f"has {name} as {shown(value)}."
            raise ConfigInvalid(self.where, problem, f"Write a table [{name}].")
        return self._make(value, *self._span(name, 0))

    def tables(self, name: str) -> list[Table]:
        """Return the tables ``[[name]]``, none where there are none.

        Raises:
            ConfigInvalid: The name stands for something else.
        """
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise ConfigInvalid(self.where, f"has {name} as {shown(value)}.", f"Write tables [[{name}]].")
        return [self._make(one, *self._span(name, index)) for index, one in enumerate(value)]

    def _make(self, values: dict[str, Any], first: int, last: int) -> Table:
        return Table(values, where=self.where, lines=self.lines, first=first, last=last)

    def _span(self, name: str, index: int) -> tuple[int, int]:
        """Return the lines of the index-th table of a name: from its header up to the next one."""
        ends = [*(line for _, line in self._headers), len(self.lines)]
        spans = [span for (found, _), span in zip(self._headers, pairwise(ends), strict=True) if found == name]
        return spans[index] if index < len(spans) else (0, len(self.lines))


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return a sentence with the name that was probably meant; ``""`` where none is close."""
    close = difflib.get_close_matches(name.lower(), {one.lower(): one for one in known}, n=1)
    meant = next((one for one in known if close and one.lower() == close[0]), "")
    return f"Did you mean '{meant}'? " if meant else ""


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


MAX_SHOWN = 80


def _headers(lines: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Give the names of the tables with the lines of their headers; what stands in long texts is none."""
    quote = ""
    for number, line in enumerate(lines):
        found = None if quote else _HEADER.match(line)
        if found:
            yield found[1], number
        quote = _quote_after(line, quote)


def _quote_after(line: str, quote: str) -> str:
    """Return the three quotes of a text that is still open at the end of a line, else ``""``."""
    position = 0
    while position < len(line):
        rest = line[position:]
        if quote:
            if rest.startswith("\\") and quote == _QUOTES[0]:
                position += 2
            elif rest.startswith(quote):
                position, quote = position + 3, ""
            else:
                position += 1
        elif rest.startswith(_QUOTES):
            position, quote = position + 3, rest[:3]
        elif rest[0] == "#":
            return ""
        else:
            string = re.match(r'"(\\.|[^"\\])*"|\'[^\']*\'', rest)
            position += len(string[0]) if string else 1
    return quote


def toml_text(value: str) -> str:
    """Return a text as a TOML string on one line."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(one) or (_escaped(one) if _is_control(one) else one) for one in value) + '"'


def _is_control(letter: str) -> bool:
    return ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0  # noqa: PLR2004, control characters of ASCII and Latin-1


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}"
