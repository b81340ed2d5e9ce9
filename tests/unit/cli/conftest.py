"""A project with a ledger written by hand, and a way to call ``ratchet`` in this process."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ratchet import cli
from ratchet.cli import console
from ratchet.cli.init import write_project
from ratchet.loop import registry
from ratchet.records import DatasetVersion, Event, ModelVersion, Release, Run
from ratchet.workspace import Workspace

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Carry out a command line in this process, at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    console.stdout.cache_clear()
    console.stderr.cache_clear()

    def carry_out(*arguments: str) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        printed = capsys.readouterr()
        return Answer(int(ended.value.code or 0), printed.out, printed.err)

    return carry_out


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose ledger tells of one good and one bad version of a model; made once."""
    folder = tmp_path_factory.mktemp("projects") / "shop"
    write_project(folder)
    with Workspace(folder) as workspace, workspace.by_command("start_run", {}, subject="returns") as issued:
        _write_history(workspace, issued)
    return folder


@pytest.fixture
def project(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project, and the current folder."""
    folder = tmp_path / "shop"
    shutil.copytree(written, folder)
    monkeypatch.chdir(folder)
    return folder


def run(name: str, **changes: Any) -> Run:
    """Return the record of a run that ended well."""
    values: dict[str, Any] = {
        "id": name.ljust(26, "0"),
        "pipeline": "returns",
        "status": "success",
        "parameters": {"learning_rate": 0.1},
        "snapshot": "a" * 64,
        "lock": "b" * 64,
        "inputs": {"orders": "orders@v1"},
        "input_digests": {"orders": "c" * 64},
        "seed": 0,
        "hardware": {"cores": 2},
        "queued_at": AT,
        "queued_event": "",
        "started_at": AT,
        "finished_at": AT,
        "metrics": {"roc_auc": 0.75},
        "gate": "pass",
        "costs": ({"step": "train", "index": 0, "cpu_seconds": 1.5, "wall_seconds": 2.0, "peak_memory_mb": 210.0},),
    }
    return Run(**(values | changes))


def version(number: int, run_id: str) -> ModelVersion:
    """Return the record of a model version."""
    return ModelVersion(
        model="returns",
        number=number,
        run_id=run_id,
        pipeline="returns",
        artifact="d" * 64,
        storer="skops",
        inputs=({"name": "price", "datatype": "FP64", "kind": "number"},),
        output="probability",
        profile="e" * 64,
        holdout="f" * 64,
        label="returned",
        data_until=AT.isoformat(),
        registered_at=AT,
        event_id="",
    )


def _write_history(workspace: Workspace, issued: Event) -> None:
    good, bad = run("GOOD", model_version="returns@v1"), run("BAD", model_version="returns@v2", gate="fail")
    with workspace.database.write() as transaction:
        declared = {"returns": {"model": "returns", "owner": "", "datasets": {"orders": "orders"}, "parameters": {}}}
        registry.put_state(transaction, "pipelines", declared)
        registry.add_dataset_version(transaction, _dataset())
        for number, one in enumerate((good, bad), start=1):
            registry.put_run(transaction, one)
            registry.add_model_version(transaction, version(number, one.id))
        registry.put_release(transaction, _release())
    _record(workspace, "pipeline.declared", "returns", issued, pipeline="returns")
    queued = _record(workspace, "run.queued", good.id, issued, run_id=good.id)
    finished = _record(workspace, "run.finished", good.id, queued, run_id=good.id, outcome="success", candidate=True)
    gate = {"version": "returns@v1", "decision": "pass", "reason": "", "suites": ["data", "quality"]}
    _record(workspace, "gate.evaluated", "returns@v1", finished, run_id=good.id, **gate)
    alert = {"kind": "drift", "column": "price", "score": 0.31, "threshold": 0.2, "monitor": "returns/drift"}
    _record(workspace, "monitor.alert.raised", "returns/drift", finished, **alert)


def _record(workspace: Workspace, kind: str, subject: str, cause: Event, /, **data: Any) -> Event:
    event = Event(type=kind, subject=subject, pipeline="returns", causationid=cause.id, data=data)
    return workspace.ledger.record(event)[0]


def _dataset() -> DatasetVersion:
    return DatasetVersion(
        dataset="orders",
        number=1,
        manifest="c" * 64,
        row_count=4000,
        data_from=AT.isoformat(),
        data_until=AT.isoformat(),
        schema_digest="0" * 64,
        parents=(),
        generated=False,
        published_at=AT,
        event_id="",
    )


def _release() -> Release:
    return Release(
        deployment_id="DEPLOYMENT",
        endpoint="returns",
        environment="production",
        model_version="returns@v1",
        status="live",
        previous="",
        requested_at=AT,
        shifted_at=AT,
    )
