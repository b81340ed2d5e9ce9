"""Model versions: what is known of each, and what is asked for twice."""

import json
from pathlib import Path

import msgspec
import pytest

from ratchet.loop import registry
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call


@pytest.mark.usefixtures("project")
def test_list_tells_gate_metrics_and_what_serves(call: Call) -> None:
    """One line a version."""
    lines = call("models").out.splitlines()
    assert lines[1].split()[:4] == ["returns@v1", "pass", "roc_auc", "0.75"]
    assert lines[1].endswith("live")
    assert lines[2].split()[:2] == ["returns@v2", "fail"]


@pytest.mark.usefixtures("project")
def test_one_version_in_full(call: Call) -> None:
    """With the run that made it, its artifact and its inputs."""
    shown = call("models", "returns@v1").out
    for part in ("GOOD", "d" * 64, "price (FP64)", "live", "2026-03-02 09:00"):
        assert part in shown


def test_one_version_says_its_format_and_what_it_needs(call: Call, project: Path) -> None:
    """The format, its extra, and its libraries with the versions of the run that made it; damaged ones have none."""
    assert "skops, needs skops, scikit-learn (pip install 'mlratchet[sklearn]')\n" in call("models", "returns@v1").out
    with Workspace(project) as workspace:
        lock = workspace.resources.artifacts.write(b"python==3.11.7\nlightgbm==4.7.0\nskops==0.16.0")
        run = registry.run(workspace.database, "GOOD")
        with workspace.database.read() as connection:
            version = registry.model_version(connection, "returns@v1")
        later = msgspec.structs.replace(version, number=7, storer="lightgbm", run_id="LATER")
        own = msgspec.structs.replace(version, number=8, storer="own", run_id="OTHER")
        with workspace.database.write() as transaction:
            registry.put_run(transaction, msgspec.structs.replace(run, id="LATER", lock=lock))
            registry.put_run(transaction, msgspec.structs.replace(run, id="OTHER", lock=lock))
            registry.add_model_version(transaction, later)
            registry.add_model_version(transaction, own)
    assert json.loads(call("models", "returns@v7", "--json").out)["format"] == {
        "name": "lightgbm",
        "extra": "lightgbm",
        "libraries": {"lightgbm": "4.7.0", "skops": "0.16.0"},
    }
    assert "needs lightgbm 4.7.0, skops 0.16.0" in " ".join(call("models", "returns@v7").out.split())
    assert json.loads(call("models", "returns@v8", "--json").out)["format"]["name"] == "own"


@pytest.mark.usefixtures("project")
def test_as_json(call: Call) -> None:
    """A program sees names and values."""
    found = json.loads(call("models", "returns", "--json").out)
    assert [(one["name"], one["gate"], one["is_live"]) for one in found] == [
        ("returns@v1", "pass", True),
        ("returns@v2", "fail", False),
    ]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models", "retruns"), "No model named 'retruns'. Known: returns."),
        (("models", "returns@v9"), "No model version named 'returns@v9'. Known: returns@v2, returns@v1."),
        (("promote", "returns@v9"), "No model version named 'returns@v9'"),
        (("rollback", "retruns"), "No endpoint named 'retruns'. Known: returns."),
        (("rollback", "returns"), "Endpoint 'returns' has no earlier release"),
    ],
)
def test_what_cannot_be_is_refused_at_once(call: Call, arguments: tuple[str, ...], message: str) -> None:
    """A name that does not exist starts no engine."""
    answer = call(*arguments)
    assert answer.code == 1
    assert message in answer.err


def test_promoting_what_is_live_changes_nothing(call: Call, project: object) -> None:
    """Asking twice succeeds and leaves no second deployment."""
    answer = call("promote", "returns@v1")
    assert answer.code == 0
    assert "is live on 'returns' already; nothing was changed" in answer.out
    with Workspace(project) as workspace:  # type: ignore[arg-type]
        assert not list(workspace.ledger.read(types=["deployment.requested"]))
