"""The folder of an evaluation is read as a whole, or refused with file and line."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.evaluation import Period, parse_period
from ratchet.measure.evaluations.refusals import EvaluationNotFound
from tests.unit.measure.evaluations.conftest import Change

PERIOD = Period(first=date(2024, 10, 1), last=date(2024, 12, 31))


def test_everything_in_the_folder_is_read(place: Path) -> None:
    """Candidates, respondents, questionnaires, answers and maps."""
    found = evaluation.read(place)
    assert (found.id, found.title, str(found.period)) == ("choice-1", "Which platform?", "2024-10-01..2024-12-31")
    assert found.groups == ("builders", "payers")
    assert found.names.respondents == {"builder-1": ("builders",), "builder-2": ("builders",), "payer-1": ("payers",)}
    assert (len(found.given), len(found.gone)) == (9, 0)
    assert set(found.maps) == {"Alpha"}
    assert found.conclusion is None


def test_answers_to_questions_that_are_gone_are_kept_apart(place: Path, change: Change) -> None:
    """They do not count, and they are not lost."""
    change("questionnaires/builders.toml", 'id = "local"', 'id = "offline"')
    found = evaluation.read(place)
    assert [(one.item, one.respondent) for one in found.gone] == [("local", "builder-1"), ("local", "builder-2")]
    assert len(found.given) == 7


@pytest.mark.parametrize("name", ["evaluation.toml", "answers.toml", "alpha.toml", "questionnaires/payers.toml"])
def test_the_digest_changes_with_each_file(place: Path, name: str) -> None:
    """Whatever the numbers rest on is in it; the definition does not change with the answers."""
    before = evaluation.read(place)
    with (place / name).open("a") as file:
        file.write("# more\n")
    after = evaluation.read(place)
    assert after.digest != before.digest
    assert (after.definition == before.definition) == (name == "answers.toml")


def test_a_group_without_a_file_has_the_questionnaire_that_ships(place: Path, change: Change) -> None:
    """A file in the folder takes its place."""
    change("evaluation.toml", 'groups = ["builders", "payers"]', 'groups = ["builders", "payers", "security"]')
    assert len(evaluation.read(place).questionnaire("security").items) == 8
    own = 'group = "security"\n[[item]]\nid = "a"\ntext = "b"\nwhy = "c"\n'
    (place / "questionnaires" / "security.toml").write_text(own)
    assert [item.id for item in evaluation.read(place).questionnaire("security").items] == ["a"]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("evaluation.toml", "[[candidate]]", "[[candidates]]", "'candidates' is not part of an evaluation"),
        ("evaluation.toml", "title", "titel", "evaluation.toml:3: 'titel' is not part of"),
        ("evaluation.toml", '"choice-1"', '"a b"', "evaluation.toml:2: 'id' is 'a b'"),
        ("evaluation.toml", "2024-12-31", "2024-12-32", "evaluation.toml:4: 'period' is none:"),
        ("evaluation.toml", '["builders", "payers"]', "[]", "evaluation.toml:5: 'groups' names none"),
        ("evaluation.toml", '"payers"]', '"builders"]', "'groups' names one twice"),
        (
            "evaluation.toml",
            '"payers"]',
            '"payrs"]',
            "'groups' names 'payrs', for which there is no.*Did you mean 'payers'",
        ),
        (
            "evaluation.toml",
            '"target.toml"',
            '"x.toml"',
            "evaluation.toml:6: 'target_map' is 'x.toml', and there is no",
        ),
        ("evaluation.toml", "fetch =", "fetsh =", "evaluation.toml:12: 'tools' names 'fetsh'.*Did you mean 'fetch'"),
        ("evaluation.toml", 'target_map = "target.toml"\n', "", "'tools' names processes of no map"),
        (
            "evaluation.toml",
            '"builder-2"',
            '"builder-1"',
            "evaluation.toml:28: 'name' is 'builder-1' a second time; the first is at .*:24",
        ),
        (
            "evaluation.toml",
            'groups = ["payers"]',
            'groups = ["buyers"]',
            "evaluation.toml:33: 'groups' names 'buyers'",
        ),
        ("evaluation.toml", 'groups = ["payers"]', "groups = []", "evaluation.toml:33: 'groups' names none"),
        (
            "questionnaires/payers.toml",
            '"payers"',
            '"buyers"',
            "payers.toml:1: 'group' is 'buyers', and the file is that of",
        ),
        ("answers.toml", '"Alpha"', '"Gamma"', "answers.toml:3: 'candidate' is 'Gamma'"),
        ("target.toml", '"automated"', '"auto"', "target.toml:4: 'degree' is 'auto'"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(
    place: Path, change: Change, *, file: str, old: str, new: str, message: str
) -> None:
    """File, line, what is wrong, what is allowed."""
    change(file, old, new)
    with pytest.raises(ConfigInvalid, match=message):
        evaluation.read(place)


def test_two_files_of_answers_are_refused(place: Path) -> None:
    """Nothing decides for one of them."""
    (place / "answers.csv").write_text("candidate,group,item,respondent,sentiment\n")
    with pytest.raises(ConfigInvalid, match=r"has both answers.toml and answers.csv"):
        evaluation.read(place)


def test_a_folder_without_an_evaluation_says_how_to_begin(tmp_path: Path) -> None:
    """The message names the command."""
    with pytest.raises(EvaluationNotFound, match="ratchet evaluate init"):
        evaluation.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2024-10-01", "is no period. Write it as"),
        ("2024-10-01..2024-13-01", "is no period: month must be in"),
        ("2024-10-02..2024-10-01", "ends before it begins"),
        ("", "is no period"),
    ],
)
def test_what_is_no_period_is_refused(text: str, message: str) -> None:
    """Form, calendar, order."""
    with pytest.raises(ValueError, match=message):
        parse_period(text)


@pytest.mark.parametrize(
    ("moment", "has_begun", "is_over"),
    [
        (datetime(2024, 9, 30, 9, 59, tzinfo=UTC), False, False),
        (datetime(2024, 9, 30, 10, 0, tzinfo=UTC), True, False),
        (datetime(2025, 1, 1, 11, 59, tzinfo=UTC), True, False),
        (datetime(2025, 1, 1, 12, 0, tzinfo=UTC), True, True),
    ],
)
def test_a_day_counts_as_long_as_it_lasts_anywhere(moment: datetime, has_begun: bool, is_over: bool) -> None:
    """Nobody is shut out on the last day because of a time zone."""
    assert (PERIOD.has_begun(moment), PERIOD.is_over(moment)) == (has_begun, is_over)
