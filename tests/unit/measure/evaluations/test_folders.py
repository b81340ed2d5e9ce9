"""The folder of an evaluation is changed as a whole or not at all, and never after its conclusion."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ratchet.errors import ConfigInvalid, RatchetError, UnknownName
from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.answers import Answer
from ratchet.measure.evaluations.candidates import Candidate
from ratchet.measure.evaluations.comparison import compare
from ratchet.measure.evaluations.evaluation import parse_period
from ratchet.measure.evaluations.folders import Folder, check_answer, create, sources_of
from ratchet.measure.evaluations.refusals import (
    ChoiceDisqualified,
    EvaluationConcluded,
    EvaluationExists,
    EvaluationNotFound,
    EvidenceRefused,
    NothingAnswered,
    OutsidePeriod,
    QuestionUnknown,
    RespondentUnknown,
)
from ratchet.measure.evaluations.sentiments import Sentiment
from tests.unit.measure.evaluations.conftest import NOW, Change, write

GIVEN = Answer(
    candidate="Beta", group="payers", item="exit", respondent="payer-1", sentiment=Sentiment.GREEN, text="Yes."
)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(target: Path, **changes: Any) -> Folder:
    """Make a new evaluation and return its folder."""
    asked, sources = sources_of(changes.pop("groups", ["security", "legal"]))
    values: dict[str, Any] = {
        "title": 'The "best" one?',
        "period": parse_period("2024-10-01..2024-12-31"),
        "candidates": [Candidate(name="Alpha", kind="own"), Candidate(name="Beta", kind="bought")],
        "asked": asked,
        "sources": sources,
        "maps": {},
        "answers_file": "answers.toml",
        "write": write,
        **changes,
    }
    create(target, **values)
    return Folder(target, write=write)


# ---- making


@pytest.mark.parametrize("answers_file", ["answers.toml", "answers.csv"])
def test_a_new_evaluation_can_be_read_and_answered(tmp_path: Path, answers_file: str) -> None:
    """With a respondent for each group, and a file for answers in either form."""
    folder = made(tmp_path / "deep" / "my choice", answers_file=answers_file)
    found = folder.read()
    assert found.title == 'The "best" one?'
    assert found.names.respondents == {"security-officer-1": ("security",), "legal-counsel-1": ("legal",)}
    assert found.id.startswith("my-choice-")
    given = replace(GIVEN, group="legal", item="leave", respondent="legal-counsel-1")
    assert folder.put([given], now=NOW).given[0].text == "Yes."
    assert (folder.path / answers_file).is_file()


def test_two_evaluations_of_one_name_are_not_the_same(tmp_path: Path) -> None:
    """Their answers must not be taken for one another in the ledger."""
    assert made(tmp_path / "a" / "choice").read().id != made(tmp_path / "b" / "choice").read().id


def test_maps_are_copied_along(tmp_path: Path) -> None:
    """The evaluation rests on what lies in its folder."""
    content = b'[[node]]\nid = "train"\ndegree = "automated"\n'
    found = made(tmp_path / "e", maps={"target_map": content, "current_map": content}).read()
    assert found.target is not None
    assert compare(found).result("Alpha").covered == 0


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A folder that exists stays as it is."""
    (tmp_path / "e").mkdir()
    with pytest.raises(EvaluationExists, match="is left as it is"):
        made(tmp_path / "e")
    assert contents(tmp_path) == {}


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    """A bad map, and a write that fails half way."""
    with pytest.raises(ConfigInvalid):
        made(tmp_path / "e", maps={"target_map": b"[[node]]\n"})
    calls: list[Path] = []

    def failing(target: Path, content: bytes) -> None:
        calls.append(target)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        write(target, content)

    with pytest.raises(OSError, match="No space left"):
        made(tmp_path / "e", write=failing)
    assert list(tmp_path.iterdir()) == []


# ---- answering


def test_an_answer_is_dated_and_replaces_the_one_before(folder: Folder) -> None:
    """Of the same respondent to the same question about the same candidate."""
    folder.put([GIVEN], now=NOW)
    found = folder.put([replace(GIVEN, sentiment=Sentiment.RED, text="No.")], now=NOW)
    (one,) = [answer for answer in found.given if answer.key == GIVEN.key]
    assert (one.sentiment, one.text, str(one.answered_on)) == (Sentiment.RED, "No.", "2024-11-15")
    assert len(found.given) == 10


def test_answers_of_several_at_once_are_all_kept(folder: Folder) -> None:
    """Each waits for the other; none is written over."""
    items = [("builders", item, name) for item in ("gate", "local", "tests") for name in ("builder-1", "builder-2")]
    given = [replace(GIVEN, group=group, item=item, respondent=name) for group, item, name in items]
    threads = [threading.Thread(target=folder.put, args=([one],), kwargs={"now": NOW}) for one in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {answer.key for answer in folder.read().given}
    assert {one.key for one in given} <= kept


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (
            datetime(2025, 1, 2, tzinfo=UTC),
            "takes answers within 2024-10-01..2024-12-31; today is 2025-01-02, and it is over",
        ),
        (datetime(2024, 9, 1, tzinfo=UTC), "it has not begun"),
    ],
)
def test_outside_of_the_period_no_answer_is_taken(folder: Folder, now: datetime, message: str) -> None:
    """Nothing is written."""
    before = contents(folder.path)
    with pytest.raises(OutsidePeriod, match=message):
        folder.put([GIVEN], now=now)
    assert contents(folder.path) == before


def test_a_broken_file_of_answers_is_left_alone(folder: Folder, change: Change) -> None:
    """What somebody typed wrongly is not thrown away by the next answer."""
    change("answers.toml", '"red"', '"amber"')
    before = contents(folder.path)
    with pytest.raises(ConfigInvalid, match="'sentiment' is 'amber'"):
        folder.put([GIVEN], now=NOW)
    assert contents(folder.path) == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"candidate": "Betta"}, UnknownName, "Did you mean 'Beta'"),
        (
            {"item": "exits"},
            QuestionUnknown,
            "The questionnaire 'payers' has no item 'exits'. It has: price, exit. Did you",
        ),
        ({"respondent": "payer-2"}, RespondentUnknown, "payer-2 is not one of the respondents. Did you mean 'payer-1'"),
        (
            {"respondent": "builder-1"},
            RespondentUnknown,
            "builder-1 does not answer for 'payers'. Respondents: builder-1",
        ),
        ({"evidence_link": "data:x"}, EvidenceRefused, "The evidence link 'data:x' begins with 'data:'"),
    ],
)
def test_what_was_typed_wrongly_is_refused(
    folder: Folder, changes: dict[str, str], error: type[RatchetError], message: str
) -> None:
    """With the known names, and the one that was probably meant."""
    with pytest.raises(error, match=message):
        check_answer(folder.read(), replace(GIVEN, **changes))


def test_a_candidate_may_be_typed_in_small_letters(folder: Folder) -> None:
    """The answer has its name as the evaluation writes it."""
    assert check_answer(folder.read(), replace(GIVEN, candidate="beta")).candidate == "Beta"


def test_where_there_is_no_evaluation_nothing_is_written(tmp_path: Path) -> None:
    """Neither a lock nor a file."""
    with pytest.raises(EvaluationNotFound):
        Folder(tmp_path, write=write).put([GIVEN], now=NOW)
    assert contents(tmp_path) == {}


# ---- concluding


def test_a_conclusion_says_what_it_rests_on(folder: Folder) -> None:
    """Digest, counts, who was missing, who was disqualified."""
    before = folder.read()
    found, conclusion = folder.conclude("beta", reasons=["it is better"], by="person-1", now=NOW)
    assert found.conclusion == conclusion
    assert (conclusion.choice, conclusion.by, conclusion.digest) == ("Beta", "person-1", before.digest)
    assert (conclusion.answered, conclusion.expected) == (9, 16)
    assert conclusion.missing == ("builder-1", "builder-2", "payer-1")
    assert conclusion.disqualified == ("Alpha",)
    assert not compare(found).is_changed


def test_a_conclusion_may_be_no_choice(folder: Folder) -> None:
    """All candidates may have been ruled out."""
    assert folder.conclude("None", reasons=["none fits"], by="person-1", now=NOW)[1].choice == "none"


def test_a_conclusion_without_answers_must_be_meant(folder: Folder) -> None:
    """Nobody has found anything yet: refused with what to do; if it is meant, that stays in the conclusion."""
    (folder.path / "answers.toml").write_text("")
    with pytest.raises(NothingAnswered, match=r"no answers yet; there could be 16.*--without-answers"):
        folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    assert folder.read().conclusion is None
    found, made = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW, without_answers=True)
    assert (made.answered, made.is_without_answers) == (0, True)
    assert found.conclusion == made


def test_what_was_answered_is_never_said_to_be_without(folder: Folder) -> None:
    """The flag changes nothing where there are answers."""
    made = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW, without_answers=True)[1]
    assert not made.is_without_answers


def test_a_disqualified_candidate_cannot_be_chosen(folder: Folder) -> None:
    """The must and the respondent are named; nothing is written."""
    with pytest.raises(
        ChoiceDisqualified, match=r"'Alpha' cannot be the choice: red on a must by builders/gate \(builder-2\)"
    ):
        folder.conclude("Alpha", reasons=["all the same"], by="person-1", now=NOW)
    assert folder.read().conclusion is None


def test_after_the_conclusion_nothing_is_taken(folder: Folder) -> None:
    """Neither an answer nor a second conclusion; the message names day, person and choice."""
    folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    before = contents(folder.path)
    with pytest.raises(
        EvaluationConcluded, match="concluded on 2024-11-15 by person-1 with the choice 'Beta', so no answer"
    ):
        folder.put([GIVEN], now=NOW)
    with pytest.raises(EvaluationConcluded, match="a second conclusion is refused"):
        folder.conclude("none", reasons=["r"], by="person-2", now=NOW)
    assert contents(folder.path) == before


def test_a_conclusion_that_is_known_from_elsewhere_counts_without_its_file(folder: Folder) -> None:
    """Taking the file away does not open the evaluation again where a ledger remembers."""
    _, conclusion = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    (folder.path / evaluation.CONCLUSION).unlink()
    with pytest.raises(EvaluationConcluded):
        folder.put([GIVEN], now=NOW, concluded=conclusion)
    with pytest.raises(EvaluationConcluded):
        folder.conclude("none", reasons=["r"], by="person-2", now=NOW, concluded=conclusion)


def test_a_later_change_by_hand_is_seen(folder: Folder, change: Change) -> None:
    """The digest of the conclusion is no longer that of the files."""
    folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    change("answers.toml", "On request.", "On request, quickly.")
    assert compare(folder.read()).is_changed
