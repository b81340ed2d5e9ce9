"""Evaluations in the folders of a project."""

from pathlib import Path

from msgspec.structs import replace

from ratchet.measure.evaluations.files import EvaluationFolder, read_evaluations
from ratchet.measure.evaluations.recording import pending, recorded
from ratchet.measure.project_files import list_files
from ratchet.records import Event
from tests.unit.measure.evaluations.conftest import FILES


def found(project: Path, *events: Event) -> list[EvaluationFolder]:
    """Return what is found in a project."""
    return read_evaluations(project, list_files(project), events)


def test_each_is_named_by_its_folder(place: Path) -> None:
    """One in the project's own folder has a name, too, and commands take its path."""
    (one,) = found(place.parent)
    assert (one.name, one.path, one.broken) == ("choice", "choice", None)
    assert one.comparison is not None
    assert one.comparison.answered == 9
    (one,) = found(place)
    assert (one.name, one.path) == ("-", ".")
    assert found(place / "questionnaires") == []


def test_a_broken_one_hides_no_other(place: Path) -> None:
    """It says what is wrong, with file and line as they lie in the project."""
    other = place.parent / "other"
    for name, text in FILES.items():
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(text)
    (other / "answers.toml").write_text(FILES["answers.toml"].replace("builder-1", "nobody", 1))
    good, bad = found(place.parent)
    assert (good.name, good.broken) == ("choice", None)
    assert bad.comparison is None
    assert bad.broken is not None
    assert bad.broken.name == "other/evaluation.toml"
    assert bad.broken.problem.startswith("other/answers.toml:6: 'respondent' is 'nobody'")
    (place / "evaluation.toml").write_text("[evaluation]\nid =\n")
    (broken,) = found(place)
    assert broken.broken is not None
    assert broken.broken.problem.startswith("evaluation.toml:2: is not TOML")


def test_what_is_not_on_record_is_counted(place: Path) -> None:
    """All of it at first; nothing once it was recorded; one answer that was changed by hand."""
    (one,) = found(place)
    assert one.comparison is not None
    wanted = pending(one.comparison.evaluation, recorded([], "choice-1"))
    assert (one.not_recorded, one.events) == (len(wanted), ())
    told = [replace(event, seq=number, id=f"E{number}") for number, event in enumerate(wanted, 1)]
    (one,) = found(place, *told)
    assert (one.not_recorded, len(one.events)) == (0, len(told))
    (place / "answers.toml").write_text(FILES["answers.toml"].replace("It has one.", "It has two."))
    (one,) = found(place, *told)
    assert one.not_recorded == 1
