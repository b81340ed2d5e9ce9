"""The ledger's entries in their exact bytes, by the chunk, from the database or from an export; and the export itself.

Invariant: what is exported is what a proof is made over, byte for byte; a chunk can be read by another process, which
is given nothing but its place.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import text

from ratchet.errors import ExportInvalid
from ratchet.records import Record
from ratchet.store import tree
from ratchet.store.database import Database

CHUNK_LEVEL = 13
CHUNK_ENTRIES = 1 << CHUNK_LEVEL
FORMAT = "ratchet-ledger-v1"
# Number, envelope, payload, salt, and the columns source, id, type, subject, pipeline, cause, which a file has not.
Row = tuple[Any, ...]
_NO_COLUMNS = (None,) * 6
# Both tables have bounds of their own: PostgreSQL would read all payloads for each chunk else.
_ROWS = text(
    "SELECT l.seq, l.envelope, p.body, p.salt, l.source, l.id, l.type, l.subject, l.pipeline, l.cause "
    "FROM ledger l LEFT JOIN payload p ON p.seq = l.seq AND p.seq > :after AND p.seq <= :until "
    "WHERE l.seq > :after AND l.seq <= :until ORDER BY l.seq"
)


class _Header(msgspec.Struct):
    format: str
    origin: str


class _Line(msgspec.Struct):
    """One entry of an export; ``payload`` is null where it was erased, ``encoding`` says how it stands here."""

    seq: int
    envelope: str
    payload: str | None
    salt: str | None
    encoding: str = ""


_LINE = msgspec.json.Decoder(_Line)
_ENCODER = msgspec.json.Encoder()


class Chunk(Record, frozen=True):
    """Where to read some entries.

    Attributes:
        place: The database's URL, or an export's path.
        is_file: Which of them.
        start: Entries before the chunk.
        until: The number of its last entry; in a file, of its last line.
        offset: In a file, where its first line begins.
    """

    place: str
    is_file: bool
    start: int
    until: int
    offset: int = 0


def chunks_of_database(database: Database) -> list[Chunk]:
    """Return the chunks of the ledger as it stands now."""
    with database.read() as connection:
        last = tree.last_seq(connection)
    url = database.engine.url.render_as_string(hide_password=False)
    return [
        Chunk(place=url, is_file=False, start=start, until=min(start + CHUNK_ENTRIES, last))
        for start in range(0, last, CHUNK_ENTRIES)
    ]


def chunks_of_export(path: Path) -> list[Chunk]:
    """Return the chunks of an export.

    Raises:
        ExportInvalid: The file is none.
    """
    read_origin(path)
    found: list[Chunk] = []
    with path.open("rb") as file:
        file.readline()
        start = 0
        while True:
            offset = file.tell()
            count = sum(1 for _ in zip(range(CHUNK_ENTRIES), iter(file.readline, b""), strict=False))
            if not count:
                return found
            found.append(Chunk(place=str(path), is_file=True, start=start, until=start + count, offset=offset))
            start += count


def read_origin(path: Path) -> str:
    """Return whose ledger an export is of.

    Raises:
        ExportInvalid: The file is no export.
    """
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(), type=_Header)
    except OSError as error:
        raise ExportInvalid(where=str(path), problem=f"It cannot be read ({error.strerror}).") from error
    except msgspec.DecodeError as error:
        raise ExportInvalid(where=f"{path}:1", problem="This is no first line of an exported ledger.") from error
    if header.format != FORMAT:
        problem = f"Its form is '{header.format}', and this Ratchet reads '{FORMAT}'."
        raise ExportInvalid(where=f"{path}:1", problem=problem)
    return header.origin


@contextmanager
def reading(chunk: Chunk, database: Database | None = None) -> Iterator[Iterable[Row]]:
    """Give the entries of a chunk one after the other: a ledger is read by the million, and none needs to be kept.

    Args:
        chunk: Where they are.
        database: The chunk's database where this process has it open already.

    Raises:
        ExportInvalid: A line of an export is no entry.
    """
    if chunk.is_file:
        yield _rows_of_export(chunk)
        return
    bounds = {"after": chunk.start, "until": chunk.until}
    opened_one = database or opened(chunk.place)
    with opened_one.read() as connection:
        # The driver's own tuples: half of the time would go into SQLAlchemy's. PostgreSQL sends bytes as they are where
        # it is asked for it, else as text of twice the length.
        if opened_one.is_sqlite:
            yield cast("Iterable[Row]", connection.execute(_ROWS, bounds).cursor)
        else:
            cursor: Any = connection.connection.cursor(binary=True)
            cursor.execute(str(_ROWS.compile(dialect=connection.dialect)), bounds)
            yield cursor


@cache
def opened(place: str) -> Database:
    """Return the database at a URL, opened once; for processes that do nothing but read chunks, and then end."""
    return Database(place)


def _rows_of_export(chunk: Chunk) -> Iterator[Row]:
    with Path(chunk.place).open("rb") as file:
        file.seek(chunk.offset)
        # The first line is the header.
        for number, line in enumerate(islice(file, chunk.until - chunk.start), start=chunk.start + 2):
            try:
                yield _parse(line)
            except (msgspec.DecodeError, ValueError) as error:
                problem = f"This line is no entry of a ledger ({error})."
                raise ExportInvalid(where=f"{chunk.place}:{number}", problem=problem) from error


def _parse(content: bytes) -> Row:
    line = _LINE.decode(content)
    if line.payload is None or line.salt is None:
        return line.seq, line.envelope.encode(), None, None, *_NO_COLUMNS
    body = b64decode(line.payload) if line.encoding == "base64" else line.payload.encode()
    return line.seq, line.envelope.encode(), body, bytes.fromhex(line.salt), *_NO_COLUMNS


def export(database: Database, origin: str) -> Iterator[bytes]:
    """Yield the lines of an export of the ledger as it stands: a header, then one entry a line.

    Args:
        origin: Whose ledger it is, as its checkpoints say.
    """
    yield _ENCODER.encode(_Header(format=FORMAT, origin=origin)) + b"\n"
    for chunk in chunks_of_database(database):
        with database.read() as connection:
            found = connection.execute(_ROWS, {"after": chunk.start, "until": chunk.until}).fetchall()
        for row in found:
            yield (
                _ENCODER.encode(_line(row.seq, tree.as_bytes(row.envelope), _maybe(row.body), _maybe(row.salt))) + b"\n"
            )


def _maybe(value: object) -> bytes | None:
    return None if value is None else tree.as_bytes(value)


def _line(seq: int, envelope: bytes, body: bytes | None, salt: bytes | None) -> _Line:
    if body is None or salt is None:
        return _Line(seq=seq, envelope=envelope.decode(errors="replace"), payload=None, salt=None)
    try:
        content, encoding = body.decode(), ""
    except UnicodeDecodeError:
        content, encoding = b64encode(body).decode(), "base64"
    shown = envelope.decode(errors="replace")
    return _Line(seq=seq, envelope=shown, payload=content, salt=salt.hex(), encoding=encoding)
