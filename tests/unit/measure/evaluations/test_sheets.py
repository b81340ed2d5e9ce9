"""The comparison as CSV, and sheets to be filled in."""

import csv
import io
from pathlib import Path

from ratchet.measure.evaluations import answers, evaluation
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.evaluations.sheets import HEADER, blank, to_csv
from tests.unit.measure.evaluations.conftest import Change


def rows(content: bytes) -> list[list[str]]:
    """Return the rows of a CSV file."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


def test_each_number_has_a_row(compared: Comparison) -> None:
    """With part, candidate, group and measure; what is not known is an empty value."""
    found = {tuple(row[:-1]): row[-1] for row in rows(to_csv(compared))}
    assert next(iter(found)) == HEADER[:-1]
    assert found["headline", "Alpha", "", "", "", "steps short of the target"] == "3"
    assert found["headline", "Beta", "", "", "", "steps short of the target"] == ""
    assert found["headline", "Alpha", "", "", "", "is disqualified"] == "true"
    assert found["group", "Alpha", "builders", "", "", "answers 🔴"] == "2"
    assert found["group", "Alpha", "builders", "", "", "share of weight 🟡"] == "0.2000"
    assert found["veto", "Alpha", "builders", "gate", "builder-2", "🔴"] == "It can be passed by."
    assert found["disagreement", "Alpha", "builders", "local", "", "🟢"] == "builder-2"
    assert found["missing", "", "payers", "", "payer-1", "answered"] == "2 of 4"
    assert found["answer", "Beta", "payers", "price", "payer-1", "🔴"] == "On request."


def test_no_cell_is_a_formula(place: Path, change: Change) -> None:
    """A spreadsheet shows what a respondent typed, and does not carry it out."""
    change("answers.toml", "On request.", "=HYPERLINK(1)")
    content = rows(to_csv(compare(evaluation.read(place))))
    assert ["answer", "Beta", "payers", "price", "payer-1", "🔴", "'=HYPERLINK(1)"] in content
    assert not [cell for row in content for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_a_sheet_has_a_row_for_each_question(place: Path) -> None:
    """With the question beside it, and what is answered already."""
    found = evaluation.read(place)
    header, *body = rows(blank(found, found.respondents[0], candidates=("Alpha", "Beta")))
    assert len(body) == 6
    first = dict(zip(header, body[0], strict=True))
    assert (first["question"], first["must"], first["sentiment"], first["text"]) == (
        "Is there a gate?",
        "must",
        "🟢",
        "It has one.",
    )


def test_a_filled_in_sheet_is_read_again(place: Path) -> None:
    """Rows without a sentiment are passed over."""
    found = evaluation.read(place)
    content = blank(found, found.respondents[2], candidates=("Alpha", "Beta"))
    filled = content.replace(b"Beta,payers,exit,payer-1", b"Beta,payers,exit,payer-1", 1)
    header, *body = rows(filled)
    at = header.index("sentiment")
    for row in body:
        if (row[0], row[2]) == ("Beta", "exit"):
            row[at] = "green"
    given = answers.read(answers.rows_to_csv(header, body), where="s.csv", names=found.names)
    assert [(one.candidate, one.item, one.sentiment.word) for one in given] == [
        ("Alpha", "price", "green"),
        ("Beta", "price", "red"),
        ("Beta", "exit", "green"),
    ]
