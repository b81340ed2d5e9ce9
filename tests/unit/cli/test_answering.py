"""Answers from files: as a whole or not at all."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Call

HEADER = "candidate,group,item,respondent,sentiment,text\n"
GOOD = "Alpha,security,secrets,security-officer-1,🟡,In the environment.\n"


@pytest.fixture
def begun(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in no project, with an evaluation."""
    monkeypatch.chdir(tmp_path)
    call("evaluate", "init", "--candidates", "Alpha,Beta", "--groups", "security,legal")
    return tmp_path / "evaluation"


def test_a_sheet_is_filled_in_and_read(call: Call, begun: Path) -> None:
    """Written by one command, filled in by a person, read by another."""
    call("evaluate", "sheet", "--respondent", "legal-counsel-1", "--candidate", "Beta", "--out", "legal.csv")
    sheet = Path("legal.csv")
    lines = sheet.read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 9
    sheet.write_text("\n".join([*lines[:2], lines[2].removesuffix(",,,,,") + ",green,All of it.,,,", *lines[3:]]))
    answer = call("evaluate", "answer", "--file", "legal.csv")
    assert answer.out == "1 answer written; 1 of 32 are given.\n"
    assert 'item = "where-data-lies"' in (begun / "answers.toml").read_text()


def test_toml_is_read_as_well(call: Call, begun: Path) -> None:
    """The file that one evaluation wrote can be taken in by another."""
    Path("a.csv").write_text(HEADER + GOOD)
    call("evaluate", "answer", "--file", "a.csv")
    call("evaluate", "init", "second", "--candidates", "Alpha,Beta", "--groups", "security,legal")
    taken = call("evaluate", "answer", "--evaluation", "second", "--file", str(begun / "answers.toml"))
    assert taken.out == "1 answer written; 1 of 32 are given.\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Gamma,security,secrets,security-officer-1,red,x\n", "a.csv:3: 'candidate' is 'Gamma'"),
        ("Alpha,finance,secrets,security-officer-1,red,x\n", "a.csv:3: 'group' is 'finance'"),
        ("Alpha,security,secrets,nobody,red,x\n", "a.csv:3: 'respondent' is 'nobody'"),
        ("Alpha,security,secrets,security-officer-1,amber,x\n", "a.csv:3: 'sentiment' is 'amber'"),
        ("Alpha,security,secrets,security-officer-1,red,x\n", "a second time; see a.csv:2"),
        ("Alpha,security\n", "a.csv:3: has 2 values"),
        ('Alpha,security,audit-trail,security-officer-1,red,"x\n', "a.csv:3: is not CSV"),
    ],
)
def test_one_bad_row_leaves_everything_as_it_was(call: Call, begun: Path, row: str, message: str) -> None:
    """The good rows before it are not taken either."""
    before = (begun / "answers.toml").read_bytes()
    Path("a.csv").write_text(HEADER + GOOD + row)
    refused = call("evaluate", "answer", "--file", "a.csv")
    assert (refused.code, message in refused.err) == (1, True)
    assert (begun / "answers.toml").read_bytes() == before
    assert sorted(path.name for path in begun.iterdir()) == ["answers.toml", "evaluation.toml", "questionnaires"]


def test_answers_to_questions_that_are_gone_are_kept_and_named(call: Call, begun: Path) -> None:
    """A sheet that was filled in before a question was taken out loses nothing."""
    Path("a.csv").write_text(HEADER + GOOD + "Alpha,security,old-question,security-officer-1,red,x\n")
    answer = call("evaluate", "answer", "--file", "a.csv")
    assert answer.code == 0
    assert "2 answers written; 1 of 32 are given." in answer.out
    assert "their questions are gone: security/old-question" in answer.out.replace("\n", " ")
    assert "old-question" in (begun / "answers.toml").read_text()


def test_after_the_period_no_file_is_taken(call: Call, begun: Path) -> None:
    """The message names the period, today, and where it stands."""
    path = begun / "evaluation.toml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(
        "".join('period = "2020-01-01..2020-02-01"\n' if line.startswith("period") else line for line in lines)
    )
    Path("a.csv").write_text(HEADER + GOOD)
    refused = call("evaluate", "answer", "--file", "a.csv")
    assert refused.code == 1
    assert "takes answers within 2020-01-01..2020-02-01; today is" in refused.err
    assert "evaluation.toml, period" in refused.err
