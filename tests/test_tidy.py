"""What the house looks like, kept by a test: sizes, names, docstrings, tests beside modules, nothing lying about.

Invariant: an exemption is listed here with its reason, and one that is no longer needed fails.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "ratchet"
FUNCTION_LINES = 70
MODULE_LINES = 600
VAGUE = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "managers",
    "misc",
    "tools",
    "lib",
    "shared",
}
MODULES = sorted(SOURCE.rglob("*.py"))
# Projects of users, which Ratchet copies: they are run, not imported.
TEMPLATES = ("demo/project", "cli/template")
PYTHON = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]

# Modules without a test file of their own under tests/unit, and where they are tested instead.
TESTED_ELSEWHERE = {
    "__main__.py": "tests/e2e/test_cli.py",
    "store/ledger.py": "tests/contract/test_ledger.py",
    "store/ledger_rows.py": "tests/contract/test_ledger_rows.py",
    "store/schema.py": "tests/contract/test_ledger.py",
    "store/database.py": "tests/contract/test_ledger.py",
    "store/artifacts.py": "tests/contract/test_artifacts.py",
    "store/buckets.py": "tests/contract/test_artifacts.py",
    "store/tree.py": "tests/contract/test_tree.py",
    "store/checkpoints.py": "tests/contract/test_checkpoints.py",
    "store/proofs.py": "tests/contract/test_checkpoints.py",
    "store/erasure.py": "tests/contract/test_checkpoints.py",
    "store/entries.py": "tests/contract/test_verification.py",
    "store/findings.py": "tests/contract/test_verification.py",
    "store/verification.py": "tests/contract/test_verification.py",
    "engine/attempts.py": "tests/contract/test_runs.py",
    "engine/claiming.py": "tests/contract/test_engine_rows.py",
    "engine/runs.py": "tests/contract/test_runs.py",
    "engine/child.py": "tests/unit/engine/test_executors.py",
    "engine/zygote.py": "tests/unit/engine/test_executors.py",
    "engine/workers.py": "tests/contract/test_workers.py",
    "store/notifications.py": "tests/contract/test_runs.py",
    "worker.py": "tests/e2e/test_workers.py",
    "cli/worker.py": "tests/e2e/test_workers.py",
    "loop/placement.py": "tests/e2e/test_placement.py",
    "loop/references.py": "tests/unit/loop/test_pipelines.py",
    "preload.py": "tests/unit/engine/test_executors.py",
    "loop/run_endings.py": "tests/unit/loop/test_training.py",
    "loop/refusals.py": "tests/unit/test_errors.py",
    "store/formats/refusals.py": "tests/unit/test_errors.py",
    "loop/serving/__main__.py": "tests/unit/loop/serving/test_main.py",
}

# In a file that lies in the repository these mean that something of one machine, or of how the work was done, came in.
FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(work|opt/(pypi|wheels)|root|home/\w+)(/|\b)"),
    "the host of a registry": re.compile(
        r"(pypi\.(org|io)|pythonhosted\.org|registry\.npmjs|index-url|find-links)", re.I
    ),
    "the tools of those who wrote it": re.compile(
        r"\b(issue #\d+|sub-?agents?|prompts? of the session|chat ?gpt)\b", re.I
    ),
}
MAY_BE_FOREIGN = {
    "tests/test_tidy.py": "the patterns themselves",
}


def tracked() -> list[str]:
    """Return the files of the repository, and those that would be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this is no git repository")
    return [name for name in found.stdout.splitlines() if (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    """Return a path below the repository, for messages and ids."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give all functions of a module, inner ones, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Give the comments of a module with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    """A function has at most seventy lines without its docstring."""
    long = {function.name: length(function) for function in functions(path) if length(function) > FUNCTION_LINES}
    assert long == {}


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_modules_are_short(path: Path) -> None:
    """A module has at most six hundred lines; the table of errors may grow with what can go wrong."""
    limit = 1000 if path == SOURCE / "errors.py" else MODULE_LINES
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_modules_say_what_they_are_for(path: Path) -> None:
    """A module begins with a docstring of at least one sentence; an empty ``__init__`` needs none."""
    text = path.read_text()
    if path.name == "__init__.py" and not text.strip():
        return
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "has no module docstring"
    assert re.search(r"[.:]", docstring), "says no sentence"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_say_what_is_inside(path: Path) -> None:
    """No file or folder has a name that says nothing."""
    parts = {*path.relative_to(SOURCE).with_suffix("").parts}
    assert not parts & VAGUE


def is_package_marker(path: Path) -> bool:
    """Tell whether a module is an ``__init__`` that only says what its package is for."""
    return path.name == "__init__.py" and len(ast.parse(path.read_text()).body) <= 1


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if not is_package_marker(path) and not any(one in name_of(path) for one in TEMPLATES)],
    ids=name_of,
)
def test_a_test_stands_beside_each_module(path: Path) -> None:
    """Each module has a test file at the same place under tests/unit, or is named above with the place of its tests."""
    inside = path.relative_to(SOURCE)
    name = "package" if path.name == "__init__.py" else path.stem.strip("_")
    beside = ROOT / "tests" / "unit" / inside.parent / f"test_{name}.py"
    elsewhere = TESTED_ELSEWHERE.get(inside.as_posix())
    if elsewhere is None:
        assert beside.is_file(), f"{name_of(beside)} is missing"
    else:
        assert (ROOT / elsewhere).is_file()


def test_exemptions_are_needed() -> None:
    """A module that is tested elsewhere exists, and a file that may be foreign exists."""
    assert [name for name in TESTED_ELSEWHERE if not (SOURCE / name).is_file()] == []
    assert [name for name in MAY_BE_FOREIGN if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_nothing_is_left_to_do(path: Path) -> None:
    """No comment asks for later work, and none is code (ruff's ERA sees that, too)."""
    marker = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [(line, text) for line, text in comments(path) if marker.search(text)] == []


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_each_lint_ignore_has_its_reason(path: Path) -> None:
    """What is exempted from a rule says which rule, and why."""
    form = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore|pragma:\s*no cover)(?P<rest>.*)")
    for line, text in comments(path):
        found = form.match(text)
        if found is None:
            continue
        rest = found["rest"]
        named = re.match(r"\s*[:\[]\s*[\w\-, ]*?([A-Z]+\d+|[a-z-]+\])", rest) or "pragma" in found[1]
        assert named, f"line {line} names no rule: {text}"
        if "noqa" in found[1]:
            reason = re.search(r":\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*,\s+\w", rest)
            assert reason, f"line {line} has no reason, as in 'noqa: S608, our own tables': {text}"


def test_ignored_rules_have_their_reasons() -> None:
    """Each rule that pyproject.toml switches off has its reason in the same line."""
    text = (ROOT / "pyproject.toml").read_text()
    blocks = re.findall(r"^(?:ignore|\"[^\"\n]+\") = \[\n(.*?)^\]", text, flags=re.M | re.S)
    assert blocks
    for block in blocks:
        assert [line for line in block.splitlines() if line.strip() and "#" not in line] == []


@pytest.mark.parametrize("kind", FOREIGN)
def test_nothing_of_one_machine_is_tracked(kind: str) -> None:
    """No file of the repository names a path, a registry or a tool of those who wrote it."""
    found = []
    for name in set(tracked()) - set(MAY_BE_FOREIGN):
        lines = (ROOT / name).read_text(errors="replace").splitlines()
        found += [f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if FOREIGN[kind].search(line)]
    assert sorted(found) == []


def test_locks_name_hashes_and_no_hosts() -> None:
    """Each locked dependency has its hashes, and no lock names a host, a path or an option."""
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert [lock.stem for lock in locks] == ["core", "demo", "dev"]
    for lock in locks:
        lines = lock.read_text().splitlines()
        assert [line for line in lines if "://" in line or line.startswith(("-", "/"))] == []
        starts = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9]", line)]
        assert starts
        assert all(re.match(r"[a-z0-9_.-]+==\S+", lines[number]) for number in starts)
        assert all("--hash=sha256:" in lines[number + 1] for number in starts)


def test_every_dependency_has_an_upper_bound() -> None:
    """A new major version of anything comes in by a decision, not by a fresh install."""
    text = (ROOT / "pyproject.toml").read_text()
    named = re.findall(r"^\s*\"([a-zA-Z][\w.-]*(?:\[\w+\])?[<>=~!][^\"]*)\"", text, flags=re.M)
    named += re.findall(r"= \[\"([a-zA-Z][\w.-]*(?:\[\w+\])?[<>=~!][^\"]*)\"", text)
    assert len(named) > 20
    assert [one for one in named if "<" not in one and "==" not in one] == []
