"""Where values stand in a TOML text, so that a message about one can name its line.

Invariant: a message names the line of the value that it is about, or the first line of its table, never a wrong one
for want of a better: text inside of multi-line strings and comments is not looked at.
"""

import re
import tomllib
from typing import Any, NoReturn

from ratchet.errors import ConfigInvalid

_QUOTES = ('"""', "'''")
# What XML can hold: the exports are XML, and no such character is any use in a text that people read.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


class Places:
    """A TOML text and its values, with checks that refuse by file and line.

    Args:
        content: The file's bytes.
        where: Name of the file, for messages.

    Raises:
        ConfigInvalid: They are no TOML.
    """

    def __init__(self, content: bytes, *, where: str) -> None:
        self.where = where
        try:
            text = content.decode("utf-8-sig")
            self.values: dict[str, Any] = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise ConfigInvalid(where, f"is not UTF-8 text ({error.reason}).", "Save it as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            place = f"{where}:{found[1]}" if found else where
            raise ConfigInvalid(place, f"is not TOML: {error}.", "See https://toml.io for the syntax.") from error
        self._lines = _without_strings(text)
        self._starts: dict[str, list[int]] = {}
        self._block = (0, len(self._lines))

    def enter(self, table: str, index: int | None = None) -> None:
        """Look for values in a table from now on: ``[table]``, or the index-th ``[[table]]``."""
        bracket = rf"\[\s*{re.escape(table)}\s*\]"
        header = rf"\s*{bracket}" if index is None else rf"\s*\[{bracket}\]"
        if header not in self._starts:
            self._starts[header] = [number for number, line in enumerate(self._lines) if re.match(header, line)]
        starts = self._starts[header]
        wanted = index or 0
        if wanted >= len(starts):
            self._block = (0, len(self._lines))
            return
        start = starts[wanted]
        ends = (number for number in range(start + 1, len(self._lines)) if re.match(r"\s*\[", self._lines[number]))
        self._block = (start, next(ends, len(self._lines)))

    def tables(self, key: str) -> list[dict[str, Any]]:
        """Return the tables ``[[key]]``; none where the file has none."""
        found = self.values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            self.refuse(key, "is no list of tables.", f"Write each as a table of its own: [[{key}]]")
        return found

    def text(self, raw: dict[str, Any], key: str, *, longest: int, default: str | None = None) -> str:
        """Return a text without space around it; one without a default must be there and say something."""
        value = raw.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            self.refuse(key, f"is {shown(value)}.", "Write a text in quotes.")
        if len(value) > longest:
            self.refuse(key, f"has {len(value)} characters.", f"At most {longest} fit; say it shorter.")
        if found := _UNPRINTABLE.search(value):
            self.refuse(key, f"has a character that cannot be shown, {found[0]!r}.", "Take it out.")
        return value.strip()

    def line(self, raw: dict[str, Any], key: str, *, longest: int, default: str | None = None) -> str:
        """Return a text that stands on one line."""
        value = self.text(raw, key, longest=longest, default=default)
        if "\n" in value or "\r" in value:
            self.refuse(key, "goes over several lines.", "Write it on one line.")
        return value

    def choice(self, raw: dict[str, Any], key: str, allowed: "tuple[str, ...]", *, default: str | None = None) -> str:
        """Return one of some words."""
        value = raw.get(key, default)
        if value not in allowed:
            self.refuse(key, f"is {shown(value)}.", f"Write one of: {', '.join(allowed)}.", token=value)
        return str(value)

    def number(self, raw: dict[str, Any], key: str, *, default: float = 0.0) -> float:
        """Return a number that is not negative."""
        value = raw.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            self.refuse(key, f"is {shown(value)}.", "Write a number from 0 upwards.")
        return float(value)

    def texts(self, raw: dict[str, Any], key: str) -> tuple[str, ...]:
        """Return a list of texts; empty where there is none."""
        value = raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.refuse(key, f"is {shown(value)}.", f'Write a list of texts: {key} = ["..."]')
        return tuple(value)

    def refuse_unknown(self, raw: dict[str, Any], allowed: "tuple[str, ...]", what: str) -> None:
        """Refuse a key that means nothing."""
        for key in raw:
            if key not in allowed:
                self.refuse(key, f"is not part of {what}.", f"Allowed: {', '.join(allowed)}.")

    def refuse(self, key: str, problem: str, remedy: str, *, token: object = None) -> NoReturn:
        """Say what is wrong with a value, and where it stands.

        Raises:
            ConfigInvalid: Always.
        """
        raise ConfigInvalid(f"{self.where}:{self._line_of(key, token)}", f"'{key}' {problem}", remedy)

    def _line_of(self, key: str, token: object) -> int:
        first, last = self._block
        patterns = [rf"(^|[\s{{,\[.])[\"']?{re.escape(key)}[\"']?\s*(\]|=)"]
        if isinstance(token, str):
            patterns.insert(0, rf"[\"']{re.escape(token)}[\"']")
        for pattern in patterns:
            for number in range(first, last):
                if re.search(pattern, self._lines[number]):
                    return number + 1
        return first + 1


def shown(value: object) -> str:
    """Return how a value is named in a message."""
    return "missing" if value is None else repr(value)


def _without_strings(text: str) -> list[str]:
    """Return the lines, those of comments and inside of multi-line strings empty."""
    lines, inside = [], ""
    for line in text.splitlines():
        if inside:
            inside = "" if inside in line else inside
            lines.append("")
            continue
        kept = "" if line.lstrip().startswith("#") else line
        lines.append(kept)
        inside = next((quote for quote in _QUOTES if kept.count(quote) % 2), "")
    return lines
