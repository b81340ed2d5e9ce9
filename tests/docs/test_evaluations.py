"""The page on evaluations and the worked example: what they show can be read, and what it rests on is there."""

import re
import tomllib
from pathlib import Path

import pytest

from ratchet.measure.evaluations import candidates, evaluation, questionnaires
from ratchet.measure.evaluations.answers import COLUMNS
from ratchet.measure.evaluations.comparison import compare
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.measure.maps import process_maps
from ratchet.toml_tables import TableFile
from tests.docs import pages

PAGE = pages.DOCS / "assessment" / "evaluations.md"
EXAMPLE = pages.ROOT / "examples" / "evaluations" / "platforms"


def blocks() -> dict[str, str]:
    """Return the examples of the page by their first table."""
    found = {}
    for text in pages.blocks(PAGE, "toml"):
        found[next(name for name in ("[evaluation]", "[[item]]", "[[answer]]") if name in text)] = text
    return found


def test_the_questionnaire_on_the_page_is_one() -> None:
    """It is read without complaint, and it shows every key."""
    text = blocks()["[[item]]"]
    assert questionnaires.parse(text.encode(), where="page").items[0].must
    assert set(tomllib.loads(text)["item"][0]) == set(questionnaires._ITEM)


def test_the_answer_on_the_page_shows_every_key() -> None:
    """In the order in which answers are written."""
    assert tuple(tomllib.loads(blocks()["[[answer]]"])["answer"][0]) == COLUMNS


def test_the_evaluation_on_the_page_shows_every_key() -> None:
    """Of the evaluation, of candidates but for what they are about, and of respondents."""
    text = blocks()["[evaluation]"]
    values = tomllib.loads(text)
    assert set(values) == set(evaluation._TOP)
    assert set(values["evaluation"]) == set(evaluation._EVALUATION)
    assert set(values["candidate"][0]) == set(candidates._KEYS) - {"about"}
    assert set(values["respondent"][0]) == set(evaluation._RESPONDENT)
    assert candidates.read(TableFile(text.encode(), where="page").tables("candidate"))[0].effort_days == 40


def test_each_group_that_ships_is_named() -> None:
    """In the order in which they are asked."""
    named = re.findall(
        r"`([a-z-]+)`", PAGE.read_text().partition("Nine groups ship")[2].partition("`ratchet evaluate")[0]
    )
    assert tuple(named) == questionnaires.SHIPPED


def test_the_worked_example_is_complete() -> None:
    """Three candidates, every question of all nine groups answered for each."""
    found = compare(evaluation.read(EXAMPLE))
    assert [one.candidate.name for one in found.candidates] == ["Ratchet", "MLflow", "ZenML"]
    assert found.answered == found.expected == 3 * sum(len(one.items) for one in found.evaluation.questionnaires)
    assert not found.evaluation.gone
    assert found.result("Ratchet").counts[Sentiment.RED] > 0


def test_each_answer_of_the_example_has_words_and_evidence() -> None:
    """A link to what was read, of the same day; a path leads to a file of this repository."""
    for answer in evaluation.read(EXAMPLE).given:
        assert len(answer.text) > 10, answer.place
        assert answer.answered_on is not None
        link = answer.evidence_link
        assert link.startswith("https://") or (EXAMPLE / link).is_file(), (answer.place, link)


def test_what_was_not_found_is_yellow() -> None:
    """Nothing is held against a candidate because the reader did not find it."""
    unknown = [one for one in evaluation.read(EXAMPLE).given if "not found" in one.text.lower()]
    assert len(unknown) > 20
    assert {one.sentiment for one in unknown} == {Sentiment.YELLOW}


@pytest.mark.parametrize("path", sorted((EXAMPLE / "maps").glob("*.toml")), ids=lambda path: path.stem)
def test_the_maps_of_the_example_are_maps(path: Path) -> None:
    """Those who draw maps read them, too."""
    assert process_maps.parse(path.read_bytes(), where=path.name).nodes
