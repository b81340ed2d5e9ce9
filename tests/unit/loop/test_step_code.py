"""What a step can reach: all of it is in the digest, and what has none is said."""

import functools
import importlib
import inspect
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratchet.loop import step_code
from ratchet.loop.step_code import OutOfReach, digest_of_code, installed_libraries, is_library

FILES = {
    "steps.py": '''"""Steps."""

import functools
import re

import helpers
import tools.text
from settings import LIMIT, Scale

WORD = re.compile("a+")
TABLE = {"a": [1, 2.5], "b": {"x"}}
scaled = functools.partial(helpers.power, exponent=2)


def unrelated():
    return 1


def twice(function):
    @functools.wraps(function)
    def wrapper(rows):
        return function(function(rows))
    return wrapper


def inner(rows, by=3):
    return [row * by for row in rows if row < LIMIT]


@twice
def step(rows):
    from lazy import late
    from tools import numbers as n
    kept = list(map(lambda row: row + 1, inner(rows)))
    if WORD.match("aa") and TABLE["a"]:
        kept = helpers.clean(kept)
    return [Scale(2).of(tools.text.short(late(scaled(row)))) for row in kept] + [n.ONE]
''',
    "helpers.py": '''"""Helpers."""

from deep import depth


def clean(rows):
    return [row for row in rows if row > depth()]


def power(base, exponent):
    return base ** exponent
''',
    "deep.py": '''"""Deep."""

DEPTH = 0


def depth():
    return DEPTH
''',
    "settings.py": '''"""Settings."""


LIMIT = int("100")


class Base:
    factor = 1


class Scale(Base):
    def __init__(self, by):
        self.by = by

    def of(self, row):
        return row * self.by * self.factor
''',
    "lazy.py": '''"""Lazy."""


def late(row):
    return row
''',
    "tools/__init__.py": "",
    "tools/text.py": '''"""Text."""

from . import numbers


def short(row):
    return row + numbers.ONE
''',
    "tools/numbers.py": "ONE = 1\n",
    "other.py": '''"""Nothing to do with the step."""


def other():
    return 2
''',
}

Digest = Callable[..., str]


@pytest.fixture
def digest(tmp_path: Path) -> Digest:
    """Write a project, import all of its top-level files as a run does, and return the digest of its step."""
    count = iter(range(1000))

    def write(changes: dict[str, tuple[str, str]], more: dict[str, str]) -> Path:
        folder = tmp_path / f"snapshot{next(count)}"
        for name, text in {**FILES, **more}.items():
            old, new = changes.get(name, ("", ""))
            assert old in text
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(old, new) if old else text)
        return folder

    def make(
        changes: dict[str, tuple[str, str]] | None = None,
        *,
        more: dict[str, str] | None = None,
        first: Callable[[Any], None] | None = None,
        name: str = "step",
        **options: Any,
    ) -> str:
        folder = write(changes or {}, more or {})
        known = set(sys.modules)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        try:
            for file in sorted(folder.glob("*.py")):
                importlib.import_module(file.stem)
            steps = sys.modules["steps"]
            if first is not None:
                first(steps)
            return digest_of_code(getattr(steps, name), folder=folder, **options)
        finally:
            sys.path.remove(str(folder))
            for one in set(sys.modules) - known:
                del sys.modules[one]

    return make


def test_the_same_files_give_the_same_digest(digest: Digest) -> None:
    """Wherever they lie, and although sets and modules are other objects each time."""
    assert digest() == digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("steps.py", 'WORD.match("aa")', 'WORD.match("ab")'),
        ("steps.py", "row * by", "row * by * 1"),
        ("steps.py", "by=3", "by=4"),
        ("steps.py", "row + 1", "row + 2"),
        ("steps.py", "function(function(rows))", "function(rows)"),
        ("steps.py", '"a+"', '"a*"'),
        ("steps.py", "2.5", "2.25"),
        ("steps.py", '{"x"}', '{"y"}'),
        ("steps.py", "exponent=2", "exponent=3"),
        ("helpers.py", "row > depth()", "row >= depth()"),
        ("helpers.py", "base ** exponent", "base * exponent"),
        ("deep.py", "return DEPTH", "return DEPTH + 0"),
        ("deep.py", "DEPTH = 0", "DEPTH = 1"),
        ("settings.py", "100", "200"),
        ("settings.py", "factor = 1", "factor = 2"),
        ("settings.py", "self.by = by", "self.by = -by"),
        ("lazy.py", "return row", "return -row"),
        ("tools/text.py", "row + numbers", "row - numbers"),
        ("tools/numbers.py", "ONE = 1", "ONE = 2"),
    ],
)
def test_whatever_a_step_uses_changes_its_digest(digest: Digest, file: str, old: str, new: str) -> None:
    """A helper, a helper's helper, a constant, a default, a base class, a module that is imported while it runs."""
    assert digest({file: (old, new)}) != digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("other.py", "return 2", "return 3"),
        ("steps.py", "return 1", "return 2"),
        ("steps.py", "def unrelated", "# A remark.\ndef unrelated"),
        ("steps.py", "def unrelated():\n    return 1\n\n\n", ""),
    ],
)
def test_what_a_step_does_not_use_leaves_its_digest(digest: Digest, file: str, old: str, new: str) -> None:
    """Another file, another function in the same file, lines above it."""
    assert digest({file: (old, new)}) == digest()


def test_values_count_as_they_are_and_not_as_they_were_written(digest: Digest) -> None:
    """A limit that a body sets, or a function that another file puts in the place of one."""

    def set_limit(steps: Any) -> None:
        steps.LIMIT = 7

    def replace(steps: Any) -> None:
        steps.helpers.clean = lambda rows: rows

    assert len({digest(), digest(first=set_limit), digest(first=replace)}) == 3


def test_what_files_do_at_their_import_counts(digest: Digest) -> None:
    """An option that some file sets works on all; below a test for being the program, nothing is done."""
    effect = 'import warnings\n\n\ndef choose():\n    return "once"\n\n\nwarnings.simplefilter(choose())\n'
    program = 'def start():\n    return 1\n\n\nif __name__ == "__main__":\n    start()\n'
    plain = digest(more={"options.py": "X = 1\n"})
    assert digest(more={"options.py": effect}) != plain
    assert digest(more={"options.py": effect}) != digest(more={"options.py": effect.replace("once", "always")})
    assert digest(more={"options.py": program}) == plain


def test_a_step_behind_a_cache_of_python_is_the_step(digest: Digest) -> None:
    """What wraps a function may be an object of C."""
    old, new = "@twice\n", "@functools.cache\n"
    wrapped = digest({"steps.py": (old, new)})
    assert wrapped == digest({"steps.py": (old, new)})
    assert wrapped != digest({"steps.py": (old, new)}, more={"lazy.py": FILES["lazy.py"].replace("row\n", "3\n")})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import datetime\n\ndef step():\n    return datetime.datetime.now()", "the clock"),
        ("import pandas as pd\n\ndef step():\n    return pd.Timestamp.today()", "the clock"),
        ("import time\n\ndef step():\n    return time.time()", "the clock"),
        ("from time import time\n\ndef step():\n    return time()", "the clock"),
        ("import os\n\ndef step():\n    return os.environ['X']", "the environment"),
        (
            "import os\n\ndef step():\n    return helper()\n\ndef helper():\n    return os.getenv('X')",
            "the environment",
        ),
        ("def step():\n    import os\n    return os.urandom(3)", "chance that no seed reaches"),
        ("import uuid\n\ndef step():\n    return uuid.uuid4().hex", "chance that no seed reaches"),
        ("import duckdb\n\ndef step():\n    return duckdb.sql('SELECT 1')", "a database"),
        ("import pandas as pd\n\ndef step(at):\n    return pd.read_sql('SELECT 1', at)", "a database"),
        ("def step():\n    import pyarrow\n    return pyarrow.csv.read_csv('x')", "files"),
        ("import urllib.request\n\ndef step():\n    return urllib.request.urlopen('x')", "the network"),
        ("import subprocess\n\ndef step():\n    return subprocess.run('x')", "other programs"),
        ("def step(name):\n    return eval(name)", "anything by 'eval'"),
        ("def step(name):\n    return globals()[name]", "anything by 'globals'"),
        (
            "import importlib\n\ndef step(name):\n    return importlib.import_module(name)",
            "anything by 'import_module'",
        ),
        ("import sys\n\ndef step(name):\n    return sys.modules[name]", "anything by 'sys.modules'"),
    ],
)
def test_what_has_no_digest_is_said(digest: Digest, code: str, message: str) -> None:
    """Clock, environment, network, databases, names that are made while it runs; unless the step's word is taken."""
    with pytest.raises(OutOfReach, match=message):
        digest(more={"steps.py": code})
    assert digest(more={"steps.py": code}, is_trusted=True)


def test_code_that_only_looks_like_it_is_let_pass(digest: Digest) -> None:
    """A compiled pattern is no compiled program."""
    assert digest(more={"steps.py": "import re\n\ndef step(x):\n    return re.compile('a').match(x)"})


def test_objects_count_by_what_they_consist_of(digest: Digest) -> None:
    """An array, a generator of chance, an object of a class of the project; a lock stands for its file."""
    code = (
        "import logging\nimport random\nimport threading\nimport numpy as np\nfrom settings import Scale\n\n"
        "ARRAY = np.arange(3)\nCHANCE = random.Random(1)\nSCALE = Scale(3)\nLOCK = threading.Lock()\n"
        "LOG = logging.getLogger('a')\n\ndef step():\n    with LOCK:\n"
        "        LOG.info('x')\n        return ARRAY, CHANCE, SCALE\n"
    )
    plain = digest(more={"steps.py": code})
    assert digest(more={"steps.py": code}) == plain
    for old, new in (("arange(3)", "arange(4)"), ("Random(1)", "Random(2)"), ("Scale(3)", "Scale(4)")):
        assert digest(more={"steps.py": code.replace(old, new)}) != plain
    assert digest(more={"steps.py": code.replace("\n\nARRAY", "\n\nOTHER = 3\nARRAY")}) != plain


def test_the_text_of_code_is_the_one_that_python_gives(tmp_path: Path) -> None:
    """Decorated functions, lambdas inside of a call and the last function of a file: what is read is the same."""
    text = """import functools


@functools.lru_cache(
    maxsize=1,
)
def one(a, b=(1, 2)):
    # A remark.
    return [
        c for c in b
    ]


two = map(
    lambda row: row + 1,
    [1],
)
def three(): return 3"""
    file = tmp_path / "texts.py"
    file.write_text(text)
    codes = [one for one in compile(text, str(file), "exec").co_consts if isinstance(one, types.CodeType)]
    assert [code.co_name for code in codes] == ["one", "<lambda>", "three"]
    assert [step_code._source_of(code) for code in codes] == [inspect.getsource(code) for code in codes]


def test_modules_that_come_change_or_go_are_seen(tmp_path: Path) -> None:
    """Which modules the project has is asked anew when one was imported, became another, or was taken away."""

    def names() -> list[str]:
        found = step_code._modules_below(f"{tmp_path}{os.sep}")
        assert all(sys.modules[name] is module for name, module, _ in found)
        return [name for name, _, _ in found]

    def module(name: str) -> types.ModuleType:
        made = types.ModuleType(name)
        made.__file__ = str(tmp_path / f"{name}.py")
        return made

    with pytest.MonkeyPatch.context() as patch:
        assert names() == []
        patch.setitem(sys.modules, "b_of_project", module("b_of_project"))
        patch.setitem(sys.modules, "elsewhere", types.ModuleType("elsewhere"))
        assert names() == ["b_of_project"]
        patch.setitem(sys.modules, "a_of_project", module("a_of_project"))
        assert names() == ["a_of_project", "b_of_project"]
        patch.setitem(sys.modules, "b_of_project", module("b_of_project"))
        assert names() == ["a_of_project", "b_of_project"]
        patch.delitem(sys.modules, "b_of_project")
        assert names() == ["a_of_project"]


def test_a_function_without_source_has_no_digest() -> None:
    """It cannot be told whether it changed."""
    made: dict[str, Any] = {}
    exec(compile("def step():\n    return 1", "/nowhere/steps.py", "exec"), made)  # noqa: S102, a function whose file is gone
    with pytest.raises(OutOfReach, match="source of step cannot be read"):
        digest_of_code(made["step"])


def test_libraries_are_told_from_the_project() -> None:
    """What is installed counts by its version; the tests' own files are no library."""
    assert is_library(inspect.getfile(functools))
    assert is_library(inspect.getfile(pytest))
    assert is_library(inspect.getfile(digest_of_code))
    assert not is_library(__file__)
    assert any(name.startswith("numpy-") for name in installed_libraries())


def test_what_was_installed_meanwhile_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is looked through again where it has changed; one that is missing is passed over."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "missing")])
    assert installed_libraries() == []
    (tmp_path / "churn-1.0.dist-info").mkdir()
    os.utime(tmp_path, ns=(1, 1))  # the file system's clock may not have gone on
    assert installed_libraries() == ["churn-1.0.dist-info"]


def test_only_modules_that_came_later_are_looked_at() -> None:
    """The latest first; those before the known one are not touched."""
    names = step_code._names_since("tests")
    assert "os" not in names
    assert names == list(reversed(list(sys.modules)))[: len(names)]
    assert list(reversed(list(sys.modules)))[len(names)] == "tests"
