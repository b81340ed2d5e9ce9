"""Maps and steps in the folders of a project."""

from pathlib import Path

from ratchet.measure.maps.files import MapFiles, read_maps
from ratchet.measure.project_files import list_files
from tests.unit.measure.maps.written import map_text


def found(project: Path) -> MapFiles:
    """Return what is found in a project."""
    return read_maps(project, list_files(project))


def put(project: Path, name: str, text: str) -> None:
    """Write a file."""
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text(text)


def test_maps_and_steps_are_told_from_other_files(tmp_path: Path) -> None:
    """By what stands in them, whatever they are called."""
    put(tmp_path, "assessment/current.toml", map_text())
    put(tmp_path, "assessment/way.toml", "[[step]]\n")
    put(tmp_path, "ratchet.toml", '[project]\nname = "flights"\n')
    put(tmp_path, "cluster.toml", '[[node]]\nid = "machine"\n')
    put(tmp_path, "notes.csv", "[map]\n")
    every = found(tmp_path)
    assert [(one.name, one.folder) for one in every.maps] == [("assessment/current.toml", "assessment")]
    assert every.steps == ("assessment/way.toml",)
    assert every.broken == ()


def test_a_broken_map_is_named_and_hides_no_other(tmp_path: Path) -> None:
    """No TOML at all, an unknown degree, a forgotten head: each with its file and line."""
    put(tmp_path, "a.toml", map_text())
    put(tmp_path, "b.toml", "[map]\nid = \n")
    put(tmp_path, "c.toml", map_text(degree="magic"))
    put(tmp_path, "d.toml", map_text().partition("[[node]]")[2].join(["[[node]]", ""]))
    every = found(tmp_path)
    assert [one.name for one in every.maps] == ["a.toml"]
    assert [one.name for one in every.broken] == ["b.toml", "c.toml", "d.toml"]
    assert [one.problem.split(": ")[0] for one in every.broken[:2]] == ["b.toml:2", "c.toml:13"]
    assert "[map]" in every.broken[2].problem


def test_maps_of_an_evaluation_are_its_own(tmp_path: Path) -> None:
    """They may be shorter than a map is, and are shown with the evaluation."""
    put(tmp_path, "choice/evaluation.toml", "")
    put(tmp_path, "choice/maps/target.toml", map_text())
    put(tmp_path, "choice/today.toml", '[[node]]\nid = "a"\ndegree = "absent"\n')
    put(tmp_path, "choice/roadmaps/now.toml", map_text())
    put(tmp_path, "choice/now.toml", map_text())
    every = found(tmp_path)
    assert ([one.name for one in every.maps], every.broken) == (["choice/now.toml", "choice/roadmaps/now.toml"], ())
    put(tmp_path, "evaluation.toml", "")
    put(tmp_path, "maps/mine.toml", map_text())
    put(tmp_path, "maps/theirs.toml", '[[node]]\nid = "a"\ndegree = "absent"\n')
    every = found(tmp_path)
    assert ([one.name for one in every.maps][2:], every.broken) == (["maps/mine.toml"], ())


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """A file that is gone since it was listed, and one that is far too long."""
    put(tmp_path, "gone.toml", map_text())
    put(tmp_path, "long.toml", map_text() + "#" * 4_000_000)
    files = list_files(tmp_path)
    (tmp_path / "gone.toml").unlink()
    assert read_maps(tmp_path, files) == MapFiles()
