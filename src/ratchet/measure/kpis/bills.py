"""Reads bills: CSV files in the form of FOCUS, the FinOps Open Cost and Usage Specification.

Invariant: a file is taken as a whole or refused with its line; money stays the decimal text that it was.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ratchet.errors import BillRefused
from ratchet.records import Record, digest_of

REQUIRED = ("BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd")
SIZE_LIMIT_BYTES = 512 << 20
ROW_LIMIT = 1_000_000
_NULLS = ("", "null", "NULL")
_TAGS = msgspec.json.Decoder(dict[str, Any])


class BillRow(Record, frozen=True):
    """A row of a bill: what was billed for a period.

    Attributes:
        line: Where it ends in the file, counted from 1.
        digest: Names the row: sha256 of its columns, and of how many rows before it in the file say the same.
        billed_cost: Decimal text, negative for a credit.
        currency: Three letters, ISO 4217.
        period_start: ISO, UTC.
        period_end: ISO, UTC; the end is out.
        service: What was billed, ``""`` where the row does not say.
        resource: Which one, ``""`` where the row does not say.
        tags: What the owner of the resource wrote on it.
    """

    line: int
    digest: str
    billed_cost: str
    currency: str
    period_start: str
    period_end: str
    service: str
    resource: str
    tags: dict[str, Any]


def read_bill(path: Path, *, currency: str) -> list[BillRow]:
    """Return the rows of a bill.

    Args:
        path: A CSV file in UTF-8 with the column names of FOCUS; columns that are not read may be there.
        currency: That of the project's prices.

    Raises:
        BillRefused: It cannot be read, lacks a column, or a row of it makes no sense or is in another currency.

    Source: FOCUS 1.2, columns BilledCost, BillingCurrency, ChargePeriodStart (inclusive), ChargePeriodEnd (exclusive),
    ServiceName, ResourceId and Tags; attributes numeric format, date/time format, key-value format.
    """
    text = _text(path)
    seen: Counter[str] = Counter()
    rows: list[BillRow] = []
    for line, values in _records(path, text):
        if len(rows) >= ROW_LIMIT:
            _refuse(path, line, f"it has more than {ROW_LIMIT:,} rows", "Split it by months.")
        digest = digest_of({name: value for name, value in values.items() if value})
        seen[digest] += 1
        rows.append(_row(path, line, values, currency=currency, digest=digest_of([digest, seen[digest]])))
    if not rows:
        _refuse(path, 1, "it has a header and no rows", "Export it again.")
    return rows


def _refuse(path: Path, line: int, problem: str, remedy: str) -> NoReturn:
    raise BillRefused(where=f"{path}:{line}" if line else str(path), problem=problem, remedy=remedy)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            _refuse(path, 0, f"it has more than {SIZE_LIMIT_BYTES >> 20} MiB", "Split it by months.")
        content = path.read_bytes()
    except OSError as error:
        _refuse(path, 0, f"it cannot be read ({error.strerror or type(error).__name__})", "Name a file that can be.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        _refuse(path, line, "it is not UTF-8 text", "Unpack it if it is packed, and export it as CSV in UTF-8.")


def _records(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows by column, each with the line on which it ends."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                problem = f"it has {len(cells)} columns, and the header has {len(header)}"
                _refuse(path, reader.line_num, problem, "Export it again, whole and unchanged.")
            values = {name: "" if cell in _NULLS else cell for name, cell in zip(header, cells, strict=True)}
            yield reader.line_num, values
    except csv.Error as error:
        _refuse(path, reader.line_num, f"it is no CSV, or was cut off ({error})", "Export it again.")


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        known = f"It needs the columns {', '.join(REQUIRED)}, separated by commas, as FOCUS names them."
        _refuse(path, 1, f"it has no column {', '.join(missing)}", known)
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        _refuse(path, 1, f"it has the column {twice[0]} twice", "Leave one of them out.")


def _row(path: Path, line: int, values: dict[str, str], *, currency: str, digest: str) -> BillRow:
    billed = values["BillingCurrency"]
    if billed != currency:
        problem = f"it is billed in {billed or 'no currency'}, and [prices] of this project are in {currency}"
        _refuse(
            path, line, problem, f"Export the bill in {currency}, or give the prices in {billed or 'its currency'}."
        )
    start, end = (_moment(path, line, values, name) for name in ("ChargePeriodStart", "ChargePeriodEnd"))
    if end <= start:
        problem = f"ChargePeriodEnd ({values['ChargePeriodEnd']}) is not after ChargePeriodStart"
        _refuse(path, line, problem, "Export it again.")
    return BillRow(
        line=line,
        digest=digest,
        billed_cost=_amount(path, line, values["BilledCost"]),
        currency=currency,
        period_start=start.isoformat(),
        period_end=end.isoformat(),
        service=values.get("ServiceName", ""),
        resource=values.get("ResourceId", ""),
        tags=_tags(path, line, values.get("Tags", "")),
    )


def _amount(path: Path, line: int, text: str) -> str:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        remedy = "Write it with digits and one decimal point: 1234.50"
        _refuse(path, line, f"BilledCost is '{text}', which is no number", remedy)
    return f"{amount:f}"


def _moment(path: Path, line: int, values: dict[str, str], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(values[name])
    except ValueError:
        moment = datetime.min  # noqa: DTZ901, has no zone, as a moment that is refused
    if moment.tzinfo is None:
        problem = f"{name} is '{values[name]}', which is no moment with a time zone"
        _refuse(path, line, problem, "Write it in UTC: 2026-03-01T00:00:00Z")
    return moment.astimezone(UTC)


def _tags(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        return _TAGS.decode(text or "{}")
    except msgspec.DecodeError:
        _refuse(path, line, f"Tags is '{text[:40]}', which is no JSON object", 'Write it like this: {"team": "web"}')
