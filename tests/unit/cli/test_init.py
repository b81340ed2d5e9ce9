"""A new project: whole, valid, and never over another one."""

import csv
import json
import sys
from pathlib import Path

import pytest

from ratchet import config
from ratchet.cli.init import DATA_FILE, write_project
from ratchet.errors import WorkspaceExists
from tests.unit.cli.conftest import Call


def test_what_is_written_is_a_project(tmp_path: Path) -> None:
    """The settings are valid, and the data has the columns that they name."""
    files = write_project(tmp_path / "my shop")
    settings = config.load(tmp_path / "my shop")
    assert settings.project.name == "my-shop"
    assert all((tmp_path / "my shop" / path).is_file() for path in files)
    with (tmp_path / "my shop" / DATA_FILE).open() as rows:
        columns = next(csv.reader(rows))
    orders = settings.dataset["orders"]
    assert orders.label is not None
    assert {orders.key, orders.time, orders.label.column, orders.label.arrives} <= set(columns)


@pytest.mark.parametrize("name", ["ratchet.toml", "returns.py", str(DATA_FILE)])
def test_nothing_is_written_over(tmp_path: Path, name: str) -> None:
    """One file in the way, and nothing is written at all."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WorkspaceExists, match=name):
        write_project(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / name).read_text() == "mine"


def test_a_list_of_ignored_files_is_added_to(tmp_path: Path) -> None:
    """A repository keeps what it ignored, and ignores the workspace's state once."""
    (tmp_path / ".gitignore").write_text("*.log\n")
    write_project(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.ratchet/\n__pycache__/\n"


def test_data_is_the_same_each_time(tmp_path: Path) -> None:
    """Made-up data is made from a seed, so that two people see the same numbers."""
    write_project(tmp_path / "a")
    write_project(tmp_path / "b")
    assert (tmp_path / "a" / DATA_FILE).read_text() == (tmp_path / "b" / DATA_FILE).read_text()


def test_the_command_says_what_to_do_next(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command stands there."""
    monkeypatch.chdir(tmp_path)
    answer = call("init", "shop")
    assert answer.code == 0
    assert "cd shop" in answer.out
    assert "ratchet run returns" in answer.out
    assert call("init", "shop").code == 1


def test_an_extra_that_the_example_needs_is_named(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the command that could not do without; without the example there is nothing to say."""
    assert json.loads(call("init", str(tmp_path / "whole"), "--json").out)["missing_extra"] == ""
    assert "pip install" not in call("init", str(tmp_path / "silent")).out
    monkeypatch.setitem(sys.modules, "sklearn", None)
    out = call("init", str(tmp_path / "shop")).out
    assert 0 < out.index("pip install 'mlratchet[sklearn]'") < out.index("ratchet run returns")
    assert json.loads(call("init", str(tmp_path / "further"), "--json").out)["missing_extra"] == "sklearn"
    assert "pip install" not in call("init", "--empty", str(tmp_path / "empty")).out


def test_settings_may_be_all_that_is_written(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only measures gets no shop; what stands there as a comment is valid where it is wanted."""
    monkeypatch.chdir(tmp_path)
    answer = call("init", "--empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "ratchet.toml"]
    assert "ratchet import github runs.json --dry-run" in answer.out
    assert config.load(tmp_path).dataset == {}
    lines = (tmp_path / "ratchet.toml").read_text().splitlines()
    wanted = [line.removeprefix("# ") for line in lines if line.startswith("# ") and ("=" in line or "[" in line)]
    whole = config.parse("\n".join(["[project]", 'name = "x"', *wanted]), path=tmp_path / "ratchet.toml")
    assert (list(whole.dataset), whole.fitness[0].pipeline) == (["orders"], "churn")
    assert call("init", "--empty").code == 1


def test_as_json(call: Call, tmp_path: Path) -> None:
    """A program sees the files."""
    found = json.loads(call("init", str(tmp_path / "shop"), "--json").out)
    assert "ratchet.toml" in found["files"]


@pytest.mark.postgres
def test_a_database_on_a_server_is_written_down(call: Call, tmp_path: Path, postgres_url: str) -> None:
    """With its variables as they were given, and the project works with it at once."""
    folder = tmp_path / "shop"
    assert call("init", str(folder), "--database", postgres_url).code == 0
    assert config.load(folder).project.database == postgres_url
    assert call("status", "--workspace", str(folder)).code == 0


@pytest.mark.postgres
def test_a_database_of_another_project_is_refused(call: Call, tmp_path: Path, postgres_url: str) -> None:
    """Nothing is written where the database holds a workspace already."""
    assert call("init", str(tmp_path / "shop"), "--database", postgres_url).code == 0
    assert call("status", "--workspace", str(tmp_path / "shop")).code == 0
    answer = call("init", str(tmp_path / "other"), "--database", postgres_url)
    assert answer.code == 1
    assert "holds the workspace of a project already (shop)" in answer.err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://me:geheim@db/shop", "holds a password"),
        ("postgresql://db/shop?user=me&password=geheim", "holds a password"),
        ("sqlite:////tmp/geheim.db", "is that of a file"),
        ("db/geheim", "means nothing"),
        ("postgresql://me:${NOWHERE_SET}@db/shop", "NOWHERE_SET"),
        ("postgresql://127.0.0.1:1/shop", "Connection refused"),
    ],
)
def test_a_url_that_is_of_no_use_is_refused(call: Call, tmp_path: Path, url: str, problem: str) -> None:
    """The message says what is wrong, repeats no password, and nothing is written."""
    answer = call("init", str(tmp_path / "shop"), "--database", url)
    assert answer.code == 1
    assert problem in answer.err
    assert "geheim" not in answer.err
    assert not (tmp_path / "shop").exists()
