"""Files of records: every usual shape is read, every broken one refused with its name."""

import json
from pathlib import Path
from typing import Any

import pytest

from ratchet.importers.exports import read_exports
from ratchet.importers.refusals import ExportUnreadable, RecordInvalid
from ratchet.importers.tables import kinds
from tests.unit.importers.shapes import Desk, deployment, page, run, status

RUNS = [run(1), run(2), run(3)]


@pytest.mark.parametrize(
    "documents",
    [
        (page(*RUNS),),
        (page(RUNS[0], total=3), page(*RUNS[1:], total=3)),
        ([page(RUNS[0], total=3), page(*RUNS[1:], total=3)],),
        (RUNS,),
        ([RUNS[:1], RUNS[1:]],),
        RUNS,
    ],
    ids=["page", "pages", "list of pages", "list", "list of lists", "lines"],
)
def test_each_usual_shape_is_read(desk: Desk, documents: tuple[Any, ...]) -> None:
    """One page, pages one after the other, lists of pages, bare lists, a record a line."""
    export = read_exports([desk.save("runs.json", *documents)], kinds("github"))
    assert [(place.number, one["id"]) for place, one in export.of("run")] == [(1, 1001), (2, 1002), (3, 1003)]
    assert set(export.claimed.values()) <= {3}


def test_kinds_are_told_apart(desk: Desk) -> None:
    """A bare list is known by what its records have."""
    files = [
        desk.save("a.json", [deployment(1, day=0, commit=1)]),
        desk.save("b.json", [status(1, day=0)]),
        desk.save("empty.json", page()),
    ]
    export = read_exports(files, kinds("github"))
    assert {name: len(found) for name, found in export.records.items()} == {"deployment": 1, "status": 1, "run": 0}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ('{"workflow_runs": [', "cut off"),
        ("runs:\n- 1\n", "no JSON"),
        ('{"message": "Bad credentials", "status": "401"}', "an object with message, status"),
        ("[1, 2]", "a list of int"),
        ("[[[1]]]", "a list of list"),
        ("17", "it holds 17"),
        ("[" * 100_000, "no JSON"),
        ('{"workflow_runs": 3}', "an object with workflow_runs"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    """The message has the file's name and what to do."""
    path = tmp_path / "runs.json"
    path.write_text(content)
    with pytest.raises(ExportUnreadable) as refused:
        read_exports([path], kinds("github"))
    assert problem in str(refused.value)
    assert "runs.json" in str(refused.value)
    assert "Nothing was imported" in str(refused.value)


def test_a_cut_file_names_its_line(desk: Desk) -> None:
    """Where a file was cut off can be looked at."""
    path = desk.folder / "cut.json"
    path.write_text(json.dumps(page(*RUNS), indent=1)[:-30])
    lines = path.read_text().count("\n") + 1
    with pytest.raises(ExportUnreadable) as refused:
        read_exports([path], kinds("github"))
    assert int(str(refused.value).split("cut.json:")[1].split(":")[0]) in range(lines - 3, lines + 1)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """An archive or a picture is not taken for JSON; a missing file is named."""
    path = tmp_path / "runs.json"
    path.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(ExportUnreadable, match="not UTF-8"):
        read_exports([path], kinds("github"))
    with pytest.raises(ExportUnreadable, match="No such file"):
        read_exports([tmp_path / "nowhere.json"], kinds("github"))


def test_a_file_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    """A sparse file of a gigabyte is not read into memory."""
    path = tmp_path / "runs.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ExportUnreadable, match="more than 512 MiB"):
        read_exports([path], kinds("github"))


def test_something_in_a_list_that_is_no_record_has_its_number(desk: Desk) -> None:
    """The second entry is named as the second."""
    path = desk.save("runs.json", {"workflow_runs": [run(1), "run 2"]})
    with pytest.raises(RecordInvalid, match=r"record 2: 'run' is no object but str"):
        read_exports([path], kinds("github"))


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"Retrain"', '"a\\ud800b"', "name"),
        ('"Retrain"', '"a\\u0000b"', "name"),
        ('"type": "User"', '"type": "\\u0000"', "actor"),
        ("1001", "[1001]", "id"),
        ("1001", "1001.5", "id"),
        ("1001", "1e400", "id"),
        ("1001", "true", "id"),
        ("1001", "null", "id"),
    ],
)
def test_what_cannot_be_kept_or_told_apart_is_refused(desk: Desk, old: str, new: str, field: str) -> None:
    """The record and its field are named, before anything is joined."""
    path = desk.save("runs.json", page(run(1)))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecordInvalid, match=f"record 1: '{field}' (has a character|is )"):
        read_exports([path], kinds("github"))


def test_a_backslash_is_no_zero(desk: Desk) -> None:
    """A text that only looks like the escape is kept."""
    path = desk.save("runs.json", page(run(1, name="a\\u0000b"), run(2, name="\\\\u0000 模型 🚀")))
    assert [one["name"] for _, one in read_exports([path], kinds("github")).of("run")] == [
        "a\\u0000b",
        "\\\\u0000 模型 🚀",
    ]


def test_what_json_does_not_know_is_refused(desk: Desk) -> None:
    """Python would take it for a number."""
    path = desk.save("runs.json", page(run(1)))
    path.write_text(path.read_text().replace("1001", "NaN"))
    with pytest.raises(ExportUnreadable, match="'NaN' is no JSON"):
        read_exports([path], kinds("github"))


@pytest.mark.parametrize("total", [0, -5, True, 10**30, "7", None])
def test_a_count_that_cannot_be_is_none(desk: Desk, total: Any) -> None:
    """It is not believed, and nothing is shown as a share of it."""
    export = read_exports([desk.save("runs.json", {"total_count": total, "workflow_runs": [run(1)]})], kinds("github"))
    assert (len(export.of("run")), export.claimed) == (1, {})
