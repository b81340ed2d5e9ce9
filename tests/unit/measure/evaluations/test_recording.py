"""The ledger says what the folder says, each state of it once."""

from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.evaluation import Evaluation
from ratchet.measure.evaluations.folders import Folder
from ratchet.measure.evaluations.recording import is_readable, pending, progress, recorded
from ratchet.records import Event
from tests.unit.measure.evaluations.conftest import NOW, Change

AT = datetime(2024, 11, 16, tzinfo=UTC)


class Remembered:
    """A ledger that only remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, found: Evaluation) -> list[Event]:
        """Record what is pending, and return it."""
        new = [replace(one, time=AT) for one in pending(found, recorded(self.events, found.id))]
        self.events += new
        return new


def test_everything_is_recorded_once(place: Path) -> None:
    """Definition and nine answers; a second look finds nothing new."""
    ledger = Remembered()
    found = evaluation.read(place)
    first = ledger.take(found)
    assert [one.data["assessment"] for one in first] == ["evaluation"] + ["answer"] * 9
    assert {one.evidence for one in first} == {"declared"}
    assert {one.type for one in first} == {"assessment.recorded"}
    assert len({one.subject for one in first}) == 10
    assert first[1].subject == "choice-1/builders/gate/Alpha/builder-1@1"
    assert (first[1].data["sentiment"], first[1].data["text"]) == ("🟢", "It has one.")
    assert ledger.take(evaluation.read(place)) == []


def test_a_change_of_a_change_is_recorded_again(place: Path, change: Change) -> None:
    """An answer that is what it was before last is a change as well; each state has a subject of its own."""
    ledger = Remembered()
    ledger.take(evaluation.read(place))
    subjects = []
    for old, new in (("It has one.", "It had one."), ("It had one.", "It has one.")):
        change("answers.toml", old, new)
        (event,) = ledger.take(evaluation.read(place))
        subjects.append(event.subject)
    assert subjects == ["choice-1/builders/gate/Alpha/builder-1@2", "choice-1/builders/gate/Alpha/builder-1@3"]


def test_an_answer_that_is_taken_out_is_recorded_as_withdrawn(place: Path) -> None:
    """Once, and as an answer again when it comes back."""
    ledger = Remembered()
    ledger.take(evaluation.read(place))
    text = (place / "answers.toml").read_text()
    (place / "answers.toml").write_text(text[: text.rindex("[[answer]]")])
    (gone,) = ledger.take(evaluation.read(place))
    assert (gone.data["is_withdrawn"], gone.data["item"], gone.data["candidate"]) == (True, "price", "Beta")
    assert ledger.take(evaluation.read(place)) == []
    (place / "answers.toml").write_text(text)
    (back,) = ledger.take(evaluation.read(place))
    assert (back.subject, back.data["sentiment"]) == ("choice-1/payers/price/Beta/payer-1@3", "🔴")


def test_answers_to_questions_that_are_gone_stay_recorded(place: Path, change: Change) -> None:
    """They are not withdrawn: somebody has given them. The questionnaire's change is recorded."""
    ledger = Remembered()
    ledger.take(evaluation.read(place))
    change("questionnaires/builders.toml", 'id = "local"', 'id = "offline"')
    assert [one.data["assessment"] for one in ledger.take(evaluation.read(place))] == ["evaluation"]


def test_the_conclusion_is_remembered_without_its_file(folder: Folder) -> None:
    """With all that it said."""
    ledger = Remembered()
    found, made = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    ledger.take(found)
    (folder.path / evaluation.CONCLUSION).unlink()
    known = recorded(ledger.events, found.id)
    assert known.conclusion == made
    assert pending(folder.read(), known) == []


def test_definition_and_conclusion_carry_the_figures_of_the_candidates(folder: Folder) -> None:
    """What each would cost and cover is in the ledger, not only who was chosen."""
    ledger = Remembered()
    found, made = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    events = {one.data["assessment"]: one.data for one in ledger.take(found)}
    assert events["conclusion"]["figures"] == events["evaluation"]["figures"]
    assert events["conclusion"]["figures"] == [one.values() for one in made.figures]
    assert events["conclusion"]["figures"][0]["cost_year"] == 1200


def test_a_conclusion_of_an_earlier_release_is_not_recorded_again(folder: Folder) -> None:
    """It has no figures; what was recorded of it, with its digest, stays the one conclusion."""
    ledger = Remembered()
    found, made = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    old = replace(found, conclusion=replace(made, figures=()))
    (event,) = [one for one in ledger.take(old) if one.data["assessment"] == "conclusion"]
    assert not {"figures", "is_without_answers"} & set(event.data)
    assert recorded(ledger.events, found.id).conclusion == old.conclusion
    assert ledger.take(old) == []


def test_another_evaluation_is_another_one(place: Path, change: Change) -> None:
    """Nothing of it counts here."""
    ledger = Remembered()
    ledger.take(evaluation.read(place))
    change("evaluation.toml", '"choice-1"', '"choice-2"')
    assert len(ledger.take(evaluation.read(place))) == 10


def test_progress_is_read_off_the_ledger(place: Path) -> None:
    """Answers in force and the last time, by respondent; what is only in the folder does not count."""
    ledger = Remembered()
    found = evaluation.read(place)
    before = progress(found, recorded(ledger.events, found.id))
    assert [(one.respondent, one.recorded, one.last_at) for one in before] == [
        ("builder-1", 0, None),
        ("builder-2", 0, None),
        ("payer-1", 0, None),
    ]
    ledger.take(found)
    text = (place / "answers.toml").read_text()
    (place / "answers.toml").write_text(text[: text.rindex("[[answer]]")])
    shorter = evaluation.read(place)
    ledger.take(shorter)
    after = progress(shorter, recorded(ledger.events, found.id))
    assert [(one.recorded, one.last_at) for one in after] == [(5, AT), (2, AT), (1, AT)]


def test_what_says_too_little_is_passed_over(place: Path) -> None:
    """Anybody with a token may send an assessment: a broken one stops nothing, and hides no other."""
    ledger = Remembered()
    found = evaluation.read(place)
    whole = ledger.take(found)
    for number, event in enumerate([*whole[:2], replace(whole[0], data={"assessment": ["x"], "evaluation": 5})]):
        for name in event.data:
            left = {key: value for key, value in event.data.items() if key != name}
            ledger.events.append(replace(event, subject=f"choice-1/{number}/{name}@1", data=left))
    ledger.events.append(replace(whole[0], subject="choice-1/conclusion@1", data={**whole[0].data, "assessment": "x"}))
    known = recorded(ledger.events, found.id)
    assert [one.data["assessment"] for one in known.latest.values()][:10] == ["evaluation"] + ["answer"] * 9
    assert known.conclusion is None
    assert next(one.recorded for one in progress(found, known)) >= 5
    assert all(is_readable(one) for one in whole)
    assert not is_readable(replace(whole[0], type="goal.set"))
