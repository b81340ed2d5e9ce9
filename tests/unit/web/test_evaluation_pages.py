"""Evaluations on pages and in the interface, from a folder of a real project."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.measure.evaluations.files import read_evaluations
from ratchet.measure.evaluations.recording import pending, recorded
from ratchet.measure.project_files import list_files
from ratchet.web.evaluation_pages import is_address
from tests.unit.measure.evaluations.conftest import FILES
from tests.unit.web.conftest import Site
from tests.unit.web.test_process_pages import page
from tests.waiting import until

CONCLUSION = """
[conclusion]
choice = "Beta"
reasons = ["<b>cheap</b>"]
by = "person-1"
concluded_at = "2024-12-31T12:00:00+00:00"
digest = "0"
answered = 9
expected = 20
missing = ["payer-1"]
disqualified = ["Alpha"]
"""


@pytest.fixture
def choice(site: Site) -> Iterator[Path]:
    """The folder of a small evaluation in the project."""
    folder = site.workspace.project / "choice"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    yield folder
    shutil.rmtree(folder)


def test_an_empty_project_is_told_how_to_begin(site: Site) -> None:
    """The exact commands stand there."""
    text = page(site.browser(), "/evaluations")
    assert "No evaluation lies in this project yet" in text
    assert "ratchet evaluate init --candidates" in text
    assert site.caller().get("/api/v1/evaluations").json() == {"evaluations": []}


def test_the_list_says_how_far_each_is(site: Site, choice: Path) -> None:
    """Question, period, candidates with who is ruled out, answers, and who is missing."""
    text = page(site.browser(), "/evaluations")
    assert f'href="evaluations/{choice.name}">Which platform?' in text
    for words in ("9 of 16", "2024-10-01 to 2024-12-31", "builder-1, builder-2, payer-1", "ruled out"):
        assert words in text


def test_one_shows_candidates_in_numbers_and_all_answers(site: Site, choice: Path) -> None:
    """What disqualifies, who disagrees, who is missing, what is not on record; no answer without its mark."""
    text = page(site.browser(), f"/evaluations/{choice.name}")
    for words in (
        "yes: builders/gate (builder-2)",
        "1,200 EUR",
        "not stated",
        "It can be passed by.",
        "Where respondents disagree",
        "ratchet evaluate answer --respondent payer-1 --evaluation choice",
        "changes are not: <code>ratchet evaluate record --evaluation choice</code>",
        "Not concluded. When all have answered:",
        "Train it: semi-automated, wanted automated",
    ):
        assert words in text
    assert 'href="https://example.org/gate" rel="noreferrer"' in text
    assert text.count('aria-label="green">🟢') >= 6
    assert ' style="' not in text


def test_a_conclusion_is_shown_with_its_reasons(site: Site, choice: Path) -> None:
    """Who chose what, why, on how many answers; and that files have changed since."""
    (choice / "conclusion.toml").write_text(CONCLUSION)
    text = page(site.browser(), f"/evaluations/{choice.name}")
    assert "&lt;b&gt;cheap&lt;/b&gt;" in text
    assert "by person-1, on 9 of 20 answers; missing were payer-1." in text
    assert "The files are no longer those of the conclusion." in text
    assert "chosen" in page(site.browser(), "/evaluations")


def test_what_respondents_write_stays_text(site: Site, choice: Path) -> None:
    """Markup is shown, not obeyed; a path is no link of these pages."""
    answers = FILES["answers.toml"].replace("It has one.", "<img src=x>").replace("https://example.org/gate", "a/b.md")
    (choice / "answers.toml").write_text(answers)
    text = page(site.browser(), f"/evaluations/{choice.name}")
    assert "<img" not in text
    assert "&lt;img src=x&gt;" in text
    assert "evidence: <code>a/b.md</code>" in text
    assert is_address("HTTPS://x.org")
    assert not is_address("docs/x.md")


def test_a_broken_one_shows_its_error(site: Site, choice: Path) -> None:
    """File and line stand on the list, on its page and in the interface; nothing fails."""
    (choice / "answers.toml").write_text(FILES["answers.toml"].replace("builder-1", "nobody", 1))
    browser = site.browser()
    for path in ("/evaluations", f"/evaluations/{choice.name}"):
        assert "choice/answers.toml:6" in page(browser, path)
    (line,) = site.caller().get("/api/v1/evaluations").json()["evaluations"]
    assert line["problem"].startswith("choice/answers.toml:6")
    assert site.caller().get("/api/v1/evaluations/choice").json()["problem"] == line["problem"]


def test_without_candidates_and_respondents_it_says_what_to_add(site: Site, choice: Path) -> None:
    """An evaluation that has just been begun is no error."""
    text = FILES["evaluation.toml"].partition("[[candidate]]")[0]
    (choice / "evaluation.toml").write_text(text)
    (choice / "answers.toml").unlink()
    shown = page(site.browser(), f"/evaluations/{choice.name}")
    assert "It has no candidates yet" in shown
    assert "No respondents are named" in shown


def test_what_is_recorded_is_said_to_be(site: Site, choice: Path) -> None:
    """Once the ledger has all of it, nothing is asked for."""
    project = site.workspace.project
    (one,) = read_evaluations(project, list_files(project), [])
    assert one.comparison is not None
    evaluation = one.comparison.evaluation
    with site.workspace.by_command("record_assessment", {}, subject=evaluation.id):
        site.workspace.ledger.record(*pending(evaluation, recorded([], evaluation.id)))
    assert "all of it" in page(site.browser(), f"/evaluations/{choice.name}")


def test_the_interface_says_the_same(site: Site, choice: Path) -> None:
    """In short and in full, with a token only."""
    caller = site.caller()
    (line,) = caller.get("/api/v1/evaluations").json()["evaluations"]
    assert (line["name"], line["answered"]) == (choice.name, "9 of 16")
    assert line["candidates"] == [{"name": "Alpha", "verdict": "ruled out"}, {"name": "Beta", "verdict": ""}]
    one = caller.get("/api/v1/evaluations/choice").json()
    assert one["candidates"][0]["vetoes"][0]["respondent"] == "builder-2"
    assert [each["respondent"] for each in one["missing"]] == line["missing"]
    assert caller.get("/api/v1/evaluations/nothing").status_code == 404
    assert site.stranger().get("/api/v1/evaluations").status_code == 401


def test_an_unknown_one_is_refused(site: Site, choice: Path) -> None:
    """The page says which there are."""
    browser = site.browser()
    until(lambda: browser.get("/evaluations/nothing").status_code == 404, "a refusal")
    assert choice.name in browser.get("/evaluations/nothing").text
