"""TOML files that people write, read table by table, each mistake named with file and line.

Invariant: a value that was read is of the kind that was asked for; a line that a message names is that of the value,
or else that of the nearest table around it, whatever stands in comments and inside of texts.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cached_property, lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NoReturn

from ratchet.errors import ConfigInvalid
from ratchet.records import Record

# Keys and positions in lists that lead to a value, such as ("rule", 1, "cron").
Way = tuple[str | int, ...]

MAX_TEXT = 10_000
MAX_SHOWN = 80
# What XML can hold: much of what is written is exported as XML, and no such character is any use to a reader.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


class NotToml(ValueError):
    """A text is no TOML.

    Attributes:
        line: Where it stops making sense, from 1; 0 where that is not known.
    """

    def __init__(self, problem: str, *, line: int) -> None:
        super().__init__(problem)
        self.line = line


def values_of(text: str) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises:
        NotToml: It is none, or its numbers are too long or its lists too deep to be read.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        problem = "lists or tables stand too deep in one another"
        raise NotToml(problem, line=0) from error
    except ValueError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        problem = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "a number has too many digits"
        raise NotToml(problem, line=int(found[1]) if found else 0) from error


# ---- where values stand


class Lines(Record, frozen=True):
    """Where everything in a TOML text stands, lines counted from 1.

    Attributes:
        at: The line on which each value, or the key of it, begins, by the way to it.
        headers: Ways and lines of all ``[table]`` and ``[[table]]``, from top to bottom.
    """

    at: Mapping[Way, int]
    headers: tuple[tuple[Way, int], ...]


@lru_cache(maxsize=8)
def lines_of(text: str) -> Lines:
    """Return where everything stands in a text that is TOML."""
    scan = _Scan(text)
    return Lines(at=MappingProxyType(scan.at), headers=tuple(scan.headers))


def line_of(text: str, way: Way) -> int:
    """Return the line of a value in a text that is TOML; of the nearest thing around it where it is not there."""
    return _nearest(lines_of(text).at, way)


def _nearest(at: Mapping[Way, int], way: Way) -> int:
    return next((at[way[:size]] for size in range(len(way), 0, -1) if way[:size] in at), at.get((), 1))


_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_PART = re.compile(r"[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|(?P<basic>\"(?:\\.|[^\"\\])*\")|(?P<literal>'[^']*'))[ \t]*")
_VALUE = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|[^,\]}#\n]+",
    re.DOTALL,
)


class _Scan:
    """Goes through a text that is TOML, once, from its beginning to its end.

    Source: TOML v1.0.0, https://toml.io/en/v1.0.0. A line ends at a line feed, and at nothing else.
    """

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.place = 0
        self.line = 1
        self.at: dict[Way, int] = {}
        self.headers: list[tuple[Way, int]] = []
        self.counts: dict[Way, int] = {}
        table: Way = ()
        self.skip()
        while self.place < len(self.text):
            if self.text[self.place] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip()

    def skip(self) -> None:
        """Go on to the next thing that means something."""
        self.go_to(_found(_BLANK, self.text, self.place).end())

    def go_to(self, end: int) -> None:
        self.line += self.text.count("\n", self.place, end)
        self.place = end

    def takes(self, sign: str) -> bool:
        """Go past a sign if it is the next one."""
        is_there = self.text.startswith(sign, self.place)
        self.place += len(sign) if is_there else 0
        return is_there

    def header(self) -> Way:
        is_one_of_many = self.text.startswith("[[", self.place)
        self.place += 2 if is_one_of_many else 1
        parts = self.key()
        self.place += 2 if is_one_of_many else 1
        way = self.entered(parts[:-1])
        self.note((*way, parts[-1]))
        way = (*way, parts[-1])
        if is_one_of_many:
            self.counts[way] = self.counts.get(way, -1) + 1
            way = (*way, self.counts[way])
        self.at[way] = self.line
        self.headers.append((way, self.line))
        return way

    def entered(self, parts: Sequence[str]) -> Way:
        """Return the way to a table; through a list of tables it leads into the last one."""
        way: Way = ()
        for part in parts:
            way = (*way, part)
            self.note(way)
            if way in self.counts:
                way = (*way, self.counts[way])
        return way

    def note(self, way: Way) -> None:
        self.at.setdefault(way, self.line)

    def key(self) -> list[str]:
        parts: list[str] = []
        while True:
            found = _found(_PART, self.text, self.place)
            self.place = found.end()
            if found["basic"]:
                parts += tomllib.loads(f"{found['basic']} = 0")
            else:
                parts.append(found["bare"] or found["literal"][1:-1])
            if not self.takes("."):
                return parts

    def pair(self, table: Way) -> None:
        way = table
        for part in self.key():
            way = (*way, part)
            self.note(way)
        self.takes("=")
        self.value(way)

    def value(self, way: Way) -> None:
        self.skip()
        self.note(way)
        if self.takes("["):
            number = 0
            while not self.ends("]"):
                self.value((*way, number))
                number += 1
        elif self.takes("{"):
            while not self.ends("}"):
                self.pair(way)
        else:
            self.go_to(_found(_VALUE, self.text, self.place).end())

    def ends(self, sign: str) -> bool:
        """Go past a comma, and tell whether the list or table ends."""
        self.skip()
        self.takes(",")
        self.skip()
        return self.takes(sign)


def _found(pattern: re.Pattern[str], text: str, place: int) -> re.Match[str]:
    found = pattern.match(text, place)
    assert found is not None, "only what was read as TOML is looked through"
    return found


# ---- tables and their values


class Table:
    """One table of a file, with checks that refuse by file and line.

    Args:
        values: What stands in it.
        where: Name of the file, for messages.
        at: The lines of the file's values.
        way: Leads to the table.
    """

    def __init__(self, values: dict[str, Any], *, where: str, at: Mapping[Way, int], way: Way = ()) -> None:
        self.values = values
        self.where = where
        self.way = way
        self._at = at

    def __contains__(self, key: str) -> bool:
        """Tell whether a key stands in it."""
        return key in self.values

    @property
    def place(self) -> str:
        """Return file and line, such as ``answers.toml:12``."""
        return f"{self.where}:{_nearest(self._at, self.way)}"

    def place_of(self, *way: str | int) -> str:
        """Return file and line of a key, or of a value below it; those of what is around it where it is not there."""
        return f"{self.where}:{_nearest(self._at, (*self.way, *way))}"

    def refuse(self, key: str, problem: str, remedy: str, *, index: int | None = None) -> NoReturn:
        """Say what is wrong with the value of a key, and where.

        Args:
            key: The key.
            problem: Goes on after it.
            remedy: What to do.
            index: Which element of the list is wrong.

        Raises:
            ConfigInvalid: Always.
        """
        place = self.place_of(key) if index is None else self.place_of(key, index)
        raise ConfigInvalid(place, f"'{key}' {problem}", remedy)

    def refuse_unknown(self, allowed: Sequence[str], what: str) -> None:
        """Refuse a key that means nothing here.

        Raises:
            ConfigInvalid: There is one; the message names what is allowed, and the closest.
        """
        for key in self.values:
            if key not in allowed:
                remedy = f"{suggestion(key, allowed)}Allowed: {', '.join(allowed)}."
                self.refuse(key, f"is not part of {what}.", remedy)

    def text(self, key: str, *, default: str | None = None, longest: int | None = None) -> str:
        """Return a text without space around it; without a default it must be there and say something.

        Raises:
            ConfigInvalid: It is no text, longer than ``longest`` characters, or has one that cannot be shown.
        """
        value = self.values.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.refuse(key, f"is {shown(value)}.", "Write a text in quotes.")
        if longest is not None and len(value) > longest:
            self.refuse(key, f"has {len(value)} characters.", f"At most {longest} fit; say it shorter.")
        if len(value) > MAX_TEXT:
            self.refuse(key, f"has {len(value):,} characters; at most {MAX_TEXT:,} are kept.", "Shorten it.")
        if problem := unprintable(value):
            self.refuse(key, problem, "Take it out.")
        return value.strip()

    def line(self, key: str, *, default: str | None = None, longest: int | None = None) -> str:
        """Return a text that stands on one line.

        Raises:
            ConfigInvalid: It is no such text.
        """
        value = self.text(key, default=default, longest=longest)
        if len(value.splitlines()) > 1:
            self.refuse(key, "goes over several lines.", "Write it on one line.")
        return value

    def choice(self, key: str, allowed: Sequence[str], *, default: str | None = None, suggests: bool = False) -> str:
        """Return one of some words.

        Args:
            key: The key.
            allowed: The words.
            default: Taken where the key is missing.
            suggests: Whether the message names the closest; of use where the words are names that people gave.

        Raises:
            ConfigInvalid: It is none of them; the message names them.
        """
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in allowed:
            listed = ", ".join(allowed)
            remedy = f"{suggestion(str(value), allowed)}Allowed: {listed}." if suggests else f"Write one of: {listed}."
            self.refuse(key, f"is {shown(value)}.", remedy)
        return value

    def number(
        self,
        key: str,
        *,
        default: float | None = None,
        low: float = 0.0,
        high: float = math.inf,
        is_above: bool = False,
        remedy: str = "",
    ) -> float:
        """Return a finite number from ``low``, or from above it, up to ``high``.

        Raises:
            ConfigInvalid: It is none, or is missing and has no default.
        """
        value: Any = self.values.get(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or abs(value) == math.inf or (is_above and value == low):
            wanted = f"above {low:g}" if is_above else f"of at least {low:g}"
            wanted += f" and up to {high:g}" if high < math.inf else ""
            self.refuse(key, f"is {shown(value)}.", remedy or f"Write a number {wanted}.")
        return float(value)

    def whole(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from ``low`` to ``high``.

        Raises:
            ConfigInvalid: It is none, or is missing and has no default.
        """
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(key, f"is {shown(value)}.", f"Write a whole number from {low} to {high}.")
        return value

    def flag(self, key: str, *, default: bool, remedy: str = "Write true or false.") -> bool:
        """Return ``true`` or ``false``.

        Raises:
            ConfigInvalid: It is neither.
        """
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"is {shown(value)}.", remedy)
        return value

    def day(self, key: str, *, remedy: str = "Write a day such as 2026-03-31.") -> date | None:
        """Return a day, written as a TOML date or in quotes; ``None`` where there is none.

        Raises:
            ConfigInvalid: It is something else.
        """
        value = self.values.get(key)
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError:
                self.refuse(key, f"is {shown(value)}, which is no date.", remedy)
        if isinstance(value, datetime) or not isinstance(value, date | None):
            self.refuse(key, f"is {shown(value)}.", remedy)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the key is missing.

        Raises:
            ConfigInvalid: It is no list of texts, or one of them says nothing.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self.refuse(key, f"is {shown(value)}.", f'Write a list of texts: {key} = ["..."]')
        for index, one in enumerate(value):
            if len(one) > MAX_TEXT:
                problem = f"has {len(one):,} characters in one text; at most {MAX_TEXT:,} are kept."
                self.refuse(key, problem, "Shorten it.", index=index)
            if problem := unprintable(one):
                self.refuse(key, problem, "Take it out.", index=index)
        return tuple(one.strip() for one in value)

    def pairs(self, key: str) -> dict[str, str]:
        """Return names with texts, empty where the key is missing.

        Raises:
            ConfigInvalid: It is no table of texts.
        """
        value = self.values.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(one, str) and one.strip() for one in value.values()):
            self.refuse(key, f"is {shown(value)}.", 'Write names with texts, such as { train = "Scheduler" }.')
        inner = self._make(value, key)
        return {name: inner.text(name) for name in value}

    def table(self, key: str, *, remedy: str = "") -> "Table":
        """Return a table in it, which must be there.

        Raises:
            ConfigInvalid: There is none.
        """
        value = self.values.get(key)
        if not isinstance(value, dict):
            self.refuse(key, f"is {shown(value)}.", remedy or f"Write a table [{key}].")
        return self._make(value, key)

    def tables(self, key: str) -> "list[Table]":
        """Return a list of tables, empty where the key is missing.

        Raises:
            ConfigInvalid: It is something else.
        """
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise ConfigInvalid(self.place_of(key), f"has {key} as {shown(value)}.", f"Write tables [[{key}]].")
        return [self._make(one, key, index) for index, one in enumerate(value)]

    def _make(self, values: dict[str, Any], *way: str | int) -> "Table":
        return Table(values, where=self.where, at=self._at, way=(*self.way, *way))


class TableFile(Table):
    """A TOML file: the table around all its tables.

    Args:
        content: Its bytes.
        where: Its name, for messages.

    Raises:
        ConfigInvalid: It is no UTF-8 text, or no TOML.
    """

    def __init__(self, content: bytes, *, where: str) -> None:
        try:
            text = content.decode("utf-8-sig")
            values = values_of(text)
        except UnicodeDecodeError as error:
            raise ConfigInvalid(where, f"is not UTF-8 text ({error.reason}).", "Save it as UTF-8.") from error
        except NotToml as error:
            place = f"{where}:{error.line}" if error.line else where
            raise ConfigInvalid(place, f"is not TOML: {error}.", "See https://toml.io for the syntax.") from error
        self.content_text = text.replace("\r\n", "\n")
        super().__init__(values, where=where, at=lines_of(self.content_text).at)

    def table(self, key: str, *, remedy: str = "") -> Table:
        """Return a table ``[key]``, which must be there.

        Raises:
            ConfigInvalid: There is none.
        """
        if key not in self.values and not remedy:
            raise ConfigInvalid(self.where, f"has no table [{key}].", f"Write a table [{key}].")
        return super().table(key, remedy=remedy)

    @property
    def lines(self) -> list[str]:
        """Return its lines without their ends. TOML ends them at line feeds only."""
        return self.content_text.split("\n")

    def span(self, table: Table) -> tuple[int, int] | None:
        """Return from which line, counted from 0, to before which one a table stands; ``None`` where it has no header.

        A table without a header stands inside of a line, such as ``answer = [{ item = "..." }]``.
        """
        return self._spans.get(table.way)

    @cached_property
    def _spans(self) -> dict[Way, tuple[int, int]]:
        headers = lines_of(self.content_text).headers
        ends = [*(line - 1 for _, line in headers), len(self.lines)]
        return {way: span for (way, _), span in zip(headers, pairwise(ends), strict=True)}


# ---- words


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return a sentence with the name that was probably meant; ``""`` where none is close."""
    close = difflib.get_close_matches(name.lower(), {one.lower(): one for one in known}, n=1)
    meant = next((one for one in known if close and one.lower() == close[0]), "")
    return f"Did you mean '{meant}'? " if meant else ""


def unprintable(value: str) -> str:
    """Return what is wrong with a text that has a character that cannot be shown; ``""`` where it has none."""
    found = _UNPRINTABLE.search(value)
    return f"has a character that cannot be shown, {found[0]!r}." if found else ""


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def toml_text(value: str) -> str:
    """Return a text as a TOML string on one line."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(one) or (_escaped(one) if _is_control(one) else one) for one in value) + '"'


def _is_control(letter: str) -> bool:
    return ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0  # noqa: PLR2004, control characters of ASCII and Latin-1


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}"


def line_end(text: str) -> str:
    """Return how most lines of a text end: as on Windows, or as elsewhere."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def with_block(text: str, block: str) -> str:
    """Return the text of a file with a block after it, whose lines end like those that are there."""
    end = line_end(text)
    return text.rstrip() + end * 2 + block.replace("\n", end)
