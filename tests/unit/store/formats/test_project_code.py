"""Classes are found in the snapshot that their objects came from, and two snapshots do not meet."""

import hashlib
import sys
import traceback
from pathlib import Path

import pytest

from ratchet.store.formats import project_code
from ratchet.store.formats.project_code import Origin
from ratchet.store.formats.refusals import CodeMissing
from tests import snapshots

FILES = {
    "shapes_of_test.py": (
        "import json\nimport numbers_of_test as numbers\nfrom package_of_test.inner import SUM, Deep\n"
        "import package_of_test.inner\n"
        "class Shape:\n"
        "    class Part: pass\n"
        "    def told(self):\n"
        "        from numbers_of_test import VALUE\n"
        "        return [numbers.VALUE, VALUE, SUM, package_of_test.inner.SUM, json.dumps(1)]\n"
        "    def fail(self):\n"
        "        raise ValueError('told')\n"
        "function = Shape.told\n"
        "def make():\n"
        "    class Local: pass\n"
        "    return Local\n"
    ),
    "numbers_of_test.py": "VALUE = 1\n",
    "package_of_test/__init__.py": "",
    "package_of_test/inner.py": (
        "from . import other\nfrom .other import MORE\nimport numbers_of_test\n"
        "SUM = numbers_of_test.VALUE + MORE + other.MORE\nclass Deep: pass\n"
    ),
    "package_of_test/other.py": "MORE = 100\n",
    "loose_of_test/alone.py": "class Alone: pass\n",
}
OTHER = FILES | {"numbers_of_test.py": "VALUE = 2\n"}


def origin(files: dict[str, str], name: str, module: str = "shapes_of_test") -> tuple[Origin, bytes]:
    """Return the origin of a class of a snapshot, and the archive."""
    content = snapshots.archive(files)
    return Origin(hashlib.sha256(content).hexdigest(), module, name), content


def test_two_snapshots_are_in_use_at_once() -> None:
    """Each class sees the files of its own snapshot, when it is imported and when it works."""
    first, second = (project_code.find(*origin(files, "Shape"))() for files in (FILES, OTHER))
    assert first.told() == [1, 1, 201, 201, "1"]
    assert second.told() == [2, 2, 202, 202, "1"]
    assert "shapes_of_test" not in sys.modules
    assert "numbers_of_test" not in sys.modules


def test_a_class_is_found_once() -> None:
    """The same class of the same snapshot is the same object, wherever it stands."""
    assert project_code.find(*origin(FILES, "Shape")) is project_code.find(*origin(FILES, "Shape"))
    assert project_code.find(*origin(FILES, "Shape.Part")).__qualname__ == "Shape.Part"
    assert project_code.find(*origin(FILES, "Deep")) is project_code.find(
        *origin(FILES, "Deep", "package_of_test.inner")
    )
    assert project_code.find(*origin(FILES, "Alone", "loose_of_test.alone")).__name__ == "Alone"


def test_a_class_says_where_it_comes_from(tmp_path: Path) -> None:
    """A class that was imported from a folder, and one from an archive, name the same snapshot."""
    wanted, content = origin(FILES, "Shape")
    with snapshots.entered(tmp_path, FILES, module="shapes_of_test") as module:
        assert project_code.is_own(module.Shape)
        assert project_code.origin_of(module.Shape) == wanted
        assert project_code.find(wanted, content) is module.Shape
        assert project_code.archive_of(wanted.snapshot) == content
    isolated = project_code.find(wanted, content)
    assert isolated is not module.Shape
    assert project_code.origin_of(isolated) == wanted
    assert project_code.archive_of(wanted.snapshot) == content


def test_other_classes_are_not_the_projects() -> None:
    """Classes of libraries, of tests and of Python itself are not in any snapshot."""
    for kind in (int, Path, snapshots.ModuleType, type(origin)):
        assert not project_code.is_own(kind)
    with pytest.raises(CodeMissing, match="not in a file of the project"):
        project_code.origin_of(Path)


def test_a_class_inside_a_function_is_refused(tmp_path: Path) -> None:
    """A class that nobody could find by its name again is refused when its object is to be kept."""
    with (
        snapshots.entered(tmp_path, FILES, module="shapes_of_test") as module,
        pytest.raises(CodeMissing, match=r"'shapes_of_test\.make\.<locals>\.Local' cannot be found"),
    ):
        project_code.origin_of(module.make())


@pytest.mark.parametrize(
    ("module", "name", "reason"),
    [
        ("shapes_of_test", "Gone", "no attribute 'Gone'"),
        ("gone", "Shape", "No module named"),
        ("shapes_of_test", "function", "it is a function"),
    ],
)
def test_what_a_snapshot_does_not_have_is_named(module: str, name: str, reason: str) -> None:
    """A class that is not in the snapshot is an error that names it as the project does."""
    with pytest.raises(CodeMissing, match=rf"'{module}\.{name}' .*{reason}"):
        project_code.find(*origin(FILES, name, module))


def test_a_traceback_shows_the_line() -> None:
    """What goes wrong in a file of a snapshot is shown with the file and the line."""
    shape = project_code.find(*origin(FILES, "Shape"))()
    with pytest.raises(ValueError, match="told") as caught:
        shape.fail()
    text = "".join(traceback.format_exception(caught.value))
    assert "<snapshot>/shapes_of_test.py" in text
    assert "raise ValueError('told')" in text
