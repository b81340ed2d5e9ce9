"""``ratchet artifacts``: what is stored, what would go, what goes, and copies between stores."""

import json
import os
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.cli.artifacts import size_text
from ratchet.loop import registry
from ratchet.store.artifacts import Artifacts
from ratchet.workspace import Workspace
from tests import registered
from tests.unit.cli.conftest import Call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a version, an orphan, and nothing that was written lately; the current folder."""
    project = tmp_path / "shop"
    project.mkdir()
    (project / "ratchet.toml").write_text('[project]\nname = "shop"\n\n[retention]\nruns = 1\ndays = 0.0\n')
    with Workspace(project) as workspace:
        filler = registered.Filler(workspace.resources, 1)
        filler.add_dataset("orders")
        for status in ("failed", "success"):
            filler.add_run("churn", status=status)
        filler.write(b"orphan")
    moment = clock.real_seconds() - 20 * 86_400
    for path in (project / ".ratchet" / "artifacts").glob("??/*"):
        os.utime(path, (moment, moment))
    monkeypatch.chdir(project)
    return project


def test_the_list_has_kinds_and_sizes(folder: Path, call: Call) -> None:
    """What is held is listed by kind; what would go is said below."""
    answer = call("artifacts")
    assert answer.code == 0
    for words in ("model", "holdout", "manifest", "versions of models", "together", "would go now"):
        assert words in answer.out
    values = json.loads(call("artifacts", "--json").out)
    assert values["kept"]["model"]["count"] == 1
    assert values["address"] == "artifacts"
    assert "unnamed" in values["going"]


def test_a_dry_run_changes_nothing(folder: Path, call: Call) -> None:
    """It prints what would go, by kind and size, and neither files nor ledger are another afterwards."""
    store = Artifacts(folder / ".ratchet" / "artifacts")
    before = list(store.all())
    answer = call("artifacts", "collect", "--dry-run")
    assert "Would go:" in answer.out
    assert "held by nobody" in answer.out
    values = json.loads(call("artifacts", "collect", "--dry-run", "--json").out)
    assert set(values["artifacts"]) < set(before)
    assert list(store.all()) == before
    with Workspace(folder) as workspace:
        assert not list(workspace.ledger.read())


def test_collect_removes_it_and_says_where_that_stands(folder: Path, call: Call) -> None:
    """What was announced goes, by a command in the ledger, and a second time nothing does."""
    announced = json.loads(call("artifacts", "collect", "--dry-run", "--json").out)["artifacts"]
    answer = call("artifacts", "collect")
    assert "Removed:" in answer.out
    assert not set(announced) & set(Artifacts(folder / ".ratchet" / "artifacts").all())
    with Workspace(folder) as workspace:
        issued, told = workspace.ledger.read()
        assert (issued.data["action"], told.type, told.causationid) == (
            "collect_artifacts",
            "artifacts.collected",
            issued.id,
        )
        assert told.id in answer.out
        assert registered.missing(workspace.resources) == []
    assert call("artifacts", "collect").out == "Nothing had to go.\n"
    assert json.loads(call("artifacts", "collect", "--json").out)["removed"]["count"] == 0


def test_how_old_it_must_be(folder: Path, call: Call) -> None:
    """A span of days or hours is taken, and anything else is refused with the form."""
    assert "Nothing would go" in call("artifacts", "collect", "--dry-run", "--older-than", "30d").out
    assert "Would go" in call("artifacts", "collect", "--dry-run", "--older-than", "12h").out
    for span in ("5m", "30", "0.5h", "soon"):
        answer = call("artifacts", "collect", "--older-than", span)
        assert answer.code == 2
        assert "such as 30d or 12h" in answer.err


def test_show_says_who_holds_it(folder: Path, call: Call) -> None:
    """One artifact is shown with its holders, by the beginning of its sha256."""
    with Workspace(folder) as workspace:
        version = registry.model_versions(workspace.database)[0]
        going = json.loads(call("artifacts", "collect", "--dry-run", "--json").out)["artifacts"]
    answer = call("artifacts", "show", version.artifact[:12])
    assert version.name in answer.out
    assert version.artifact in answer.out
    assert json.loads(call("artifacts", "show", version.artifact, "--json").out)["kind"] == "model"
    held = [call("artifacts", "show", sha256).out for sha256 in going]
    assert any("Nothing holds it" in out for out in held)
    assert any("no longer" in out for out in held)


@pytest.mark.parametrize(("sha256", "said"), [("zzzz", "is no sha256"), ("ab", "first 4 digits"), ("0" * 64, "no art")])
def test_show_refuses_what_names_nothing(folder: Path, call: Call, sha256: str, said: str) -> None:
    """What cannot be the beginning of one artifact's name is said to be so."""
    answer = call("artifacts", "show", sha256)
    assert answer.code != 0
    assert said in " ".join(answer.err.split())


def test_a_project_that_moves_to_a_shared_folder_takes_its_artifacts_along(folder: Path, call: Call) -> None:
    """After the setting was changed, one command brings over what there is; what is damaged is named and left."""
    own, shared = folder / ".ratchet" / "artifacts", folder.parent / "shared"
    shared.mkdir()
    damaged = Artifacts(own).write(b"damaged")
    Artifacts(own).path(damaged).write_bytes(b"?")
    text = (folder / "ratchet.toml").read_text()
    (folder / "ratchet.toml").write_text(text.replace('name = "shop"', f'name = "shop"\nartifacts = "{shared}"'))
    answer = call("artifacts", "copy", ".ratchet/artifacts")
    assert answer.code == 1
    assert damaged in answer.err
    with Workspace(folder) as workspace:
        assert workspace.resources.artifacts.folder == shared
        assert registered.missing(workspace.resources) == []
    assert set(Artifacts(shared).all()) == set(Artifacts(own).all()) - {damaged}
    again = json.loads(call("artifacts", "copy", ".ratchet/artifacts", "--json").out)
    assert (again["copied"], again["damaged"]) == (0, [damaged])
    assert "there is no such folder" in call("artifacts", "copy", "nowhere").err


def test_an_empty_store_says_so(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first run there is nothing to list."""
    (tmp_path / "ratchet.toml").write_text('[project]\nname = "empty"\n')
    monkeypatch.chdir(tmp_path)
    assert "Nothing is stored yet." in call("artifacts").out
    assert "Nothing would go" in call("artifacts", "collect", "--dry-run").out


def test_sizes_read_well() -> None:
    """A size has the unit in which it is a number of few digits."""
    assert [size_text(size) for size in (0, 999, 1000, 1_500_000, 2e12, 3e15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.0 TB",
        "3,000.0 TB",
    ]
