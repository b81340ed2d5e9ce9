"""Questions in a terminal, one after the other."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ratchet.cli.interview import Question, hold
from ratchet.measure.evaluations.answers import Answer
from ratchet.measure.evaluations.questionnaires import shipped
from ratchet.measure.evaluations.sentiments import Sentiment
from tests.unit.cli.conftest import Call

LEGAL = shipped("legal")
EVERY = [Question(candidate="Alpha", asked=LEGAL, item=item) for item in LEGAL.items[:3]]
FIRST = EVERY[0].key("me")


def interview(typed: str, given: list[Answer] | None = None) -> tuple[list[Answer], str]:
    """Hold an interview in which this is typed; return what was saved and what was shown."""
    saved: list[Answer] = []
    known = {one.key: one for one in given or []}
    with CliRunner().isolation(input=typed) as streams:
        count = hold(EVERY, respondent="me", given=known, save=saved.append)
        shown = streams[0].getvalue().decode()
    assert count == len(saved)
    return saved, shown


def answer(number: int, **changes: object) -> Answer:
    """Return an answer to one of the questions."""
    candidate, group, item, respondent = EVERY[number].key("me")
    values = {"candidate": candidate, "group": group, "item": item, "respondent": respondent}
    return Answer(**{**values, "sentiment": Sentiment.YELLOW, "text": "so-so", **changes})  # type: ignore[arg-type]


def test_each_answer_is_saved_before_the_next_question() -> None:
    """Sentiment, words, link; stopping keeps what was given."""
    saved, shown = interview("g\nIt may.\nhttps://example.org\nred\n\n\nq\n")
    assert [(one.item, one.sentiment.word, one.text, one.evidence_link) for one in saved] == [
        ("licence", "green", "It may.", "https://example.org"),
        ("where-data-lies", "red", "", ""),
    ]
    assert "Alpha  Legal and compliance  must: red rules the candidate out" in shown.replace("\n", " ")
    assert "[3 of 3, 2 answered]" in shown


def test_it_begins_with_the_first_open_question_and_ends_with_the_last() -> None:
    """What is answered is passed over; nothing more is asked when all is answered."""
    saved, shown = interview("y\nx\n\n", given=[answer(0), answer(1)])
    assert [one.item for one in saved] == ["erase-a-person"]
    assert "[1 of 3" not in shown


def test_back_shows_the_answer_before_and_keeps_its_words() -> None:
    """Enter keeps what was said."""
    saved, shown = interview("b\ng\n\n\nq\n", given=[answer(0, evidence_link="docs/a.md", comment="c")])
    assert "So far: 🟡 so-so" in shown
    (one,) = saved
    assert (one.sentiment, one.text, one.evidence_link, one.comment) == (Sentiment.GREEN, "so-so", "docs/a.md", "c")


def test_skipping_goes_on_and_going_back_stops_at_the_first() -> None:
    """Nothing is saved."""
    saved, shown = interview("b\ns\ns\ns\n")
    assert saved == []
    assert shown.count("[1 of 3") == 2
    assert shown.count("[3 of 3") == 1


def test_what_is_not_understood_is_asked_again() -> None:
    """A word that is no sentiment, and a link that is none."""
    saved, shown = interview("amber\n\ng\nx\njavascript:x\nhttps://example.org\nq\n")
    assert saved[0].evidence_link == "https://example.org"
    assert "'amber' is none of these" in shown
    assert "The link begins with 'javascript:'." in shown


def test_in_a_real_terminal_it_asks_and_saves(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself, with a terminal for its input; Ctrl-D in between loses nothing."""
    monkeypatch.chdir(tmp_path)
    call("evaluate", "init", "--candidates", "Alpha", "--groups", "legal")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ratchet", "evaluate", "answer"]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.close(theirs)
    os.write(ours, b"g\nIt may.\n\n\x04")
    output, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 130, output
    assert "[2 of 8, 1 answered]" in output
    assert 'text = "It may."' in (tmp_path / "evaluation" / "answers.toml").read_text()
