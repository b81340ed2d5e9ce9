"""Reads exported files: pages of a REST interface, as they come out of the usual tools.

Invariant: a file is read as a whole or refused with its name; a record keeps its place in the file for every message.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json import JSONDecoder, dumps
from pathlib import Path
from typing import Any

import msgspec

from ratchet.importers.readings import Place, shown
from ratchet.importers.refusals import ExportUnreadable, RecordInvalid
from ratchet.importers.tables import Kind

SIZE_LIMIT_BYTES = 512 << 20
MOST_RECORDS = 1 << 53
_UNKEEPABLE = re.compile(r"[\ud800-\udfff]|(?<!\\)(?:\\\\)*\\u0000")


@dataclass
class Export:
    """The records of some files, by kind.

    Attributes:
        records: Kind -> records, each with where it stood.
        claimed: Kind and file -> how many the source itself says there are; pages that do not say are not in it.
    """

    records: dict[str, list[tuple[Place, dict[str, Any]]]] = field(default_factory=dict)
    claimed: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, kind: str) -> list[tuple[Place, dict[str, Any]]]:
        """Return the records of a kind."""
        return self.records.get(kind, [])


def read_exports(files: list[Path], kinds: Mapping[str, Kind]) -> Export:
    """Return the records in some files.

    A file holds a page, several pages one after the other, or a list of pages. A page is an object with a list of
    records, or the list itself.

    Raises:
        ExportUnreadable: A file is missing, cut off, no JSON, or of a shape that is not known.
        RecordInvalid: Something in a list is no record.
    """
    export = Export()
    for file in files:
        numbers: dict[str, int] = {}
        for page in _pages(_documents(file), kinds):
            name, records = _records(page, kinds, file)
            kind = kinds[name]
            kept = export.records.setdefault(name, [])
            for record in records:
                numbers[name] = numbers.get(name, 0) + 1
                place = Place(file=str(file), number=numbers[name])
                if not isinstance(record, dict):
                    problem = f"is no object but {type(record).__name__}"
                    remedy = "Export it again, whole and unchanged."
                    raise RecordInvalid(
                        file=place.file, number=place.number, field=name, problem=problem, remedy=remedy
                    )
                _check(place, record, kind)
                kept.append((place, record))
            total = page.get(kind.total) if isinstance(page, dict) and kind.total else None
            if isinstance(total, int) and not isinstance(total, bool) and 0 < total <= MOST_RECORDS:
                key = (name, str(file))
                export.claimed[key] = max(export.claimed.get(key, 0), total)
    return export


def _check(place: Place, record: dict[str, Any], kind: Kind) -> None:
    """Refuse what records could not even be told apart by, and texts that no database can keep.

    Raises:
        RecordInvalid: A number is none, or a text has half of a surrogate pair, or a zero, in it.
    """
    for name, value in record.items():
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if kind.fields.get(name) == "number" and not is_number:
            raise RecordInvalid(
                file=place.file,
                number=place.number,
                field=name,
                problem=f"is {shown(value)}, where a number is expected",
                remedy="Export it again, whole and unchanged.",
            )
        written = dumps([name, value], ensure_ascii=False)
        if _UNKEEPABLE.search(written):
            raise RecordInvalid(
                file=place.file,
                number=place.number,
                field=name.encode(errors="replace").decode(),
                problem="has a character that cannot be stored (a zero, or half of a pair)",
                remedy="Take it out at the source, or in the file.",
            )


def _documents(file: Path) -> Iterator[Any]:
    """Yield the JSON values in a file: one, or several one after the other, as paging tools write them."""
    text = _text(file)
    position = 0
    decoder = JSONDecoder(parse_constant=_refuse_constant)
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", position)) + 1
            raise ExportUnreadable(
                file=f"{file}:{line}",
                problem=f"it is no JSON, or was cut off ({getattr(error, 'msg', error)})",
                remedy="Export it again.",
            ) from error
        yield value


def _refuse_constant(word: str) -> Any:
    """Refuse what Python takes for a number and JSON does not know."""
    raise ValueError(f"'{word}' is no JSON")


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > SIZE_LIMIT_BYTES:
            limit = SIZE_LIMIT_BYTES >> 20
            raise ExportUnreadable(
                file=str(file), problem=f"it has more than {limit} MiB", remedy="Split it by pages or by months."
            )
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ExportUnreadable(file=str(file), problem=problem, remedy="Name a file that can be read.") from error
    except UnicodeDecodeError as error:
        raise ExportUnreadable(
            file=str(file), problem="it is not UTF-8 text", remedy="Export it again, as JSON."
        ) from error
    if not text.strip():
        raise ExportUnreadable(file=str(file), problem="it is empty", remedy="Export it again.")
    return text


def _pages(documents: Iterator[Any], kinds: Mapping[str, Kind]) -> Iterator[Any]:
    """Yield pages: a list of objects that are pages themselves, or of lists, is taken apart."""
    lists = {kind.records for kind in kinds.values() if kind.records}
    for document in documents:
        is_slurped = isinstance(document, list) and document and all(_is_page(one, lists) for one in document)
        yield from document if is_slurped else [document]


def _is_page(value: Any, lists: set[str]) -> bool:
    if isinstance(value, list):
        return True
    return isinstance(value, dict) and any(isinstance(value.get(name), list) for name in lists)


def _records(page: Any, kinds: Mapping[str, Kind], file: Path) -> tuple[str, list[Any]]:
    """Return the kind of a page's records, and the records."""
    if isinstance(page, dict):
        for name, kind in kinds.items():
            if kind.records and isinstance(page.get(kind.records), list):
                extra = {key: value for key, value in page.items() if key in ("run_id", "run_attempt")}
                return name, [extra | one if isinstance(one, dict) else one for one in page[kind.records]]
        name = _kind_of(page, kinds)
        if name:
            return name, [page]
    if isinstance(page, list):
        name = next((found for one in page if (found := _kind_of(one, kinds))), "")
        if name or not page:
            return name or next(iter(kinds)), page
    known = [kind.records or f"a list of records with {', '.join(kind.known_by)}" for kind in kinds.values()]
    raise ExportUnreadable(
        file=str(file),
        problem=f"it holds {_shape(page)}, which is no page of records",
        remedy=f"Known are: {'; '.join(dict.fromkeys(known))}.",
    )


def _kind_of(record: Any, kinds: Mapping[str, Kind]) -> str:
    if not isinstance(record, dict):
        return ""
    return next((name for name, kind in kinds.items() if kind.known_by and set(kind.known_by) <= record.keys()), "")


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(list(value)[:5]) or 'nothing'}"
    if isinstance(value, list):
        return f"a list of {type(value[0]).__name__}"
    return msgspec.json.encode(value).decode(errors="replace")[:40]
