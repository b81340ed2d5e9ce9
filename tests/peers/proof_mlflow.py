"""Imports from a real MLflow server: ``make proof-mlflow``.

Invariant: MLflow lives in an environment and a process of its own, with its telemetry switched off, and is stopped at
the end by its own process id.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet import clock
from ratchet.cli.init import write_project
from ratchet.workspace import Workspace
from tests.peers import environments

VERSION = "3.17.2"
HERE = Path(__file__).parent
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
SECTIONS = """
[import.mlflow.churn-training]
pipeline = "churn"
stages = ["train"]

[import.mlflow."models:/churn"]
pipeline = "churn"
stages = ["evaluate"]

[import.mlflow."models:/churn@champion"]
pipeline = "churn"
stages = ["deploy"]
"""
PAGE = 2


@contextmanager
def server(python: Path, folder: Path) -> Iterator[str]:
    """Run a tracking server on SQLite, and return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | QUIET, cwd=folder, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, process, folder / "server.log")
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = clock.monotonic() + 180
    while clock.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310, our own server
                return
        except (urllib.error.URLError, OSError):
            clock.sleep(0.5)
    raise SystemExit(f"The MLflow server did not come up:\n{log.read_text()[-2000:]}")


def session(python: Path, address: str, part: str) -> None:
    """Let the team do a part of its work, with the real client."""
    command = [str(python), str(HERE / "mlflow_session.py"), address, part]
    subprocess.run(command, check=True, env=os.environ | QUIET, stdout=subprocess.DEVNULL)


def imported(project: Path, address: str) -> dict[str, Any]:
    """Import, and return what the command says."""
    command = [sys.executable, "-m", "ratchet", "import", "mlflow", address, "--json"]
    done = subprocess.run(command, check=True, cwd=project, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found["sources"][0] if found["sources"] else {"new_events": 0, "known_events": 0}


def answers(address: str) -> dict[str, Any]:
    """Return what the server answers to the importer's questions, in small pages."""
    base = f"{address}/api/2.0/mlflow"

    def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{base}/{path}", content, {"Content-Type": "application/json"})  # noqa: S310, our own server
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310, our own server
            found: dict[str, Any] = json.load(reply)
            return found

    found: dict[str, Any] = {"experiments": ask("experiments/search", {"max_results": 10, "view_type": "ACTIVE_ONLY"})}
    ids = [one["experiment_id"] for one in found["experiments"]["experiments"]]
    query = {"experiment_ids": ids, "max_results": PAGE, "run_view_type": "ALL"}
    order = {"order_by": ["attributes.start_time ASC", "attributes.run_id ASC"]}
    found["runs"] = [ask("runs/search", query | order)]
    while token := found["runs"][-1].get("next_page_token"):
        found["runs"].append(ask("runs/search", query | order | {"page_token": token}))
    versions = f"model-versions/search?max_results={PAGE}&order_by=creation_timestamp+ASC&order_by=version_number+ASC"
    found["versions"] = [ask(versions)]
    while token := found["versions"][-1].get("next_page_token"):
        found["versions"].append(ask(f"{versions}&page_token={token}"))
    found["models"] = ask("registered-models/search?max_results=10")
    return found


def prove(python: Path, folder: Path, record: Path | None) -> None:
    """Import at each step of a team's work, twice, and say what was seen."""
    project = folder / "project"
    write_project(project)
    with (project / "ratchet.toml").open("a") as settings:
        settings.write(SECTIONS)
    recorded: dict[str, Any] = {}
    with server(python, folder) as address:
        for part, new in (("runs", True), ("two", True), ("one", True), ("end", True)):
            session(python, address, part)
            if record is not None:
                recorded[part] = answers(address)
            first, again = imported(project, address), imported(project, address)
            sys.stdout.write(f"{part}: {first['new_events']} new events, then {again['new_events']} more\n")
            assert (first["new_events"] > 0) is new, "each part of the work brings something new"
            assert again["new_events"] == 0, "importing again changes nothing"
    with Workspace(project) as workspace:
        moved = [event.data["version"] for event in workspace.ledger.read(types=["custom.emitted"])]
        live = [list(event.data["weights"]) for event in workspace.ledger.read(types=["traffic.shifted"])]
        report = workspace.level("churn")
    sys.stdout.write(f"alias: {moved}, live: {live}\nlevel {report.level}: {report.explanation}\n")
    for stage in ("train", "evaluate", "deploy"):
        modes = {mode: count for mode, count in report.profile[stage].modes.items() if count}
        sys.stdout.write(f"{stage}: {modes}\n")
    assert moved == ["churn/1", "churn/2", "churn/1"], "the alias moved 1 -> 2 -> 1, and each look saw it"
    assert report.level == 0, "MLflow names no schedule: nothing of it is automation"
    if record is not None:
        record.write_text(json.dumps(recorded, indent=1) + "\n")
        sys.stdout.write(f"recorded in {record}\n")


def main() -> None:
    """Carry out the proof."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / f"ratchet-mlflow-{VERSION}")
    parser.add_argument("--record", type=Path, default=None, help="write the server's answers to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prove(environments.made(options.environment, [f"mlflow=={VERSION}"]), Path(folder), options.record)


if __name__ == "__main__":
    main()
