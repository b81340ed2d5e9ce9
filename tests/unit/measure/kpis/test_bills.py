"""Bills in the form of FOCUS: taken as a whole or refused with their line."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.errors import BillRefused
from ratchet.measure.kpis import bills
from ratchet.measure.kpis.bills import BillRow, read_bill

HEADER = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName,ResourceId,Tags"
ROW = '73.00,USD,2024-06-01T04:00:00Z,2024-07-01T04:00:00Z,Compute,machine-1,"{""endpoint"":""delays""}"'


def bill(folder: Path, *rows: str, header: str = HEADER, name: str = "bill.csv") -> Path:
    """Write a bill."""
    path = folder / name
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def read(path: Path) -> list[BillRow]:
    """Read a bill in dollars."""
    return read_bill(path, currency="USD")


def test_a_row_is_what_was_billed_for_a_period(tmp_path: Path) -> None:
    """Money stays text, moments are in UTC, tags are an object."""
    (row,) = read(bill(tmp_path, ROW))
    assert (row.line, row.billed_cost, row.currency) == (2, "73.00", "USD")
    assert (row.period_start, row.period_end) == ("2024-06-01T04:00:00+00:00", "2024-07-01T04:00:00+00:00")
    assert (row.service, row.resource, row.tags) == ("Compute", "machine-1", {"endpoint": "delays"})


def test_columns_may_stand_in_any_order_and_more_may_be_there(tmp_path: Path) -> None:
    """A byte order mark, ends of line from elsewhere, empty lines, nulls and exponents are what exports have."""
    path = tmp_path / "bill.csv"
    header = "ChargePeriodEnd,SkuId,BilledCost,BillingCurrency,ChargePeriodStart,Tags"
    row = '2024-07-01T00:00:00.000Z,"a\nb, c",-1.5E-3,USD,2024-06-01T02:00:00+02:00,NULL'
    path.write_bytes(f"\ufeff{header}\r\n\r\n{row}\r\n".encode())
    (found,) = read(path)
    assert (found.billed_cost, found.period_start, found.tags) == ("-0.0015", "2024-06-01T00:00:00+00:00", {})
    assert (found.line, found.service) == (4, "")


def test_rows_that_say_the_same_are_two_rows(tmp_path: Path) -> None:
    """And the same two in the next export, also where others stand between them."""
    other = ROW.replace("machine-1", "machine-2")
    first = [row.digest for row in read(bill(tmp_path, ROW, ROW))]
    again = [row.digest for row in read(bill(tmp_path, ROW, other, ROW))]
    assert len(set(first)) == 2
    assert [again[0], again[2]] == first


def test_a_changed_row_is_another_row(tmp_path: Path) -> None:
    """Also where only a column differs that is not read."""
    header = f"{HEADER},SkuId"
    digests = {read(bill(tmp_path, f"{ROW},{sku}", header=header))[0].digest for sku in ("a", "b", "")}
    assert len(digests) == 3
    assert read(bill(tmp_path, ROW))[0].digest in digests


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (ROW.replace("USD", "EUR"), "it is billed in EUR, and [prices] of this project are in USD"),
        (ROW.replace("USD", ""), "it is billed in no currency"),
        (ROW.replace("73.00", "$73"), "BilledCost is '$73', which is no number"),
        (ROW.replace("73.00", "NaN"), "BilledCost is 'NaN', which is no number"),
        (ROW.replace("73.00", ""), "BilledCost is '', which is no number"),
        (ROW.replace("2024-06-01T04:00:00Z", "June"), "ChargePeriodStart is 'June', which is no moment"),
        (ROW.replace("2024-07-01T04:00:00Z", "2024-07-01T04:00:00"), "ChargePeriodEnd is '2024-07-01T04:00:00'"),
        (ROW.replace("2024-07-01", "2024-06-01"), "is not after ChargePeriodStart"),
        (ROW.replace('"{""endpoint"":""delays""}"', "[1]"), "Tags is '[1]', which is no JSON object"),
        (ROW.replace('"{""endpoint"":""delays""}"', "team"), "Tags is 'team', which is no JSON object"),
        ("73.00,USD", "it has 2 columns, and the header has 7"),
        (f"{ROW},more", "it has 8 columns, and the header has 7"),
        ('73.00,"USD', "it is no CSV, or was cut off"),
        ('73.00,"U"SD', "it is no CSV, or was cut off"),
    ],
)
def test_a_row_without_sense_refuses_the_file_with_its_line(tmp_path: Path, row: str, problem: str) -> None:
    """What was wrong, what was wanted, where."""
    path = bill(tmp_path, ROW, ROW, row)
    with pytest.raises(BillRefused, match=re.escape(problem)) as refused:
        read(path)
    assert re.match(rf"{re.escape(str(path))}:[45]: ", str(refused.value))
    assert "Nothing of this file was imported." in str(refused.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it has no column BilledCost, BillingCurrency, ChargePeriodStart, ChargePeriodEnd"),
        (HEADER.replace(",", ";").encode(), "it has no column BilledCost"),
        (HEADER.replace("BillingCurrency", "Currency").encode(), "it has no column BillingCurrency"),
        (f"{HEADER},BilledCost".encode(), "it has the column BilledCost twice"),
        (HEADER.encode(), "it has a header and no rows"),
        (b"\x1f\x8b\x08\x00", "it is not UTF-8 text"),
        (f"{HEADER}\n{ROW}\n".encode() + b"\xff", "bill.csv:3: it is not UTF-8 text"),
    ],
)
def test_what_is_no_bill_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    """An empty file, another form, a packed one."""
    path = tmp_path / "bill.csv"
    path.write_bytes(content)
    with pytest.raises(BillRefused, match=re.escape(problem)):
        read(path)


def test_a_file_that_is_not_there_is_named_without_a_line(tmp_path: Path) -> None:
    """And so is a folder."""
    with pytest.raises(BillRefused, match=r"nothing\.csv: it cannot be read \(No such file or directory\)"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(BillRefused, match="Is a directory"):
        read(tmp_path)


def test_there_are_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows and of bytes; what is as large as the limit is read."""
    monkeypatch.setattr(bills, "ROW_LIMIT", 2)
    assert len(read(bill(tmp_path, ROW, ROW))) == 2
    with pytest.raises(BillRefused, match=r"bill\.csv:4: it has more than 2 rows"):
        read(bill(tmp_path, ROW, ROW, ROW))
    monkeypatch.setattr(bills, "SIZE_LIMIT_BYTES", 10)
    with pytest.raises(BillRefused, match="MiB"):
        read(bill(tmp_path, ROW))


TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), min_size=1, max_size=4)


@given(names=TEXTS)
def test_any_text_in_other_columns_is_passed_over(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Separators of lines from all scripts do not cut a row in two."""
    path = tmp_path_factory.mktemp("bills") / "bill.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*bills.REQUIRED, "ServiceName"])
        for name in names:
            writer.writerow(["1", "USD", "2024-06-01T00:00:00Z", "2024-07-01T00:00:00Z", name])
    assert [row.service for row in read(path)] == ["" if name in ("null", "NULL") else name for name in names]
