"""A small real project about customers who leave: its data, its pipeline, and a running workspace with an endpoint.

Invariant: the same arguments write the same bytes, so that two workspaces of the same project can be compared.
"""

import http.client
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pandas as pd

from ratchet.loop import credentials
from ratchet.loop.credentials import Credential
from ratchet.loop.frames import write_parquet
from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.waiting import PATIENCE_SECONDS

PIPELINE = "churn"
START = datetime(2026, 1, 5, tzinfo=UTC)
FEATURES = ("visits", "spend", "plan")
SYSTEM = "shop"

CODE = '''"""Tell which customers will leave."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import ratchet as rt

FEATURES = ["visits", "spend", "plan"]


@rt.step
def split(customers: rt.Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep every fourth customer apart."""
    rows = customers.to_pandas()
    return rows[rows.index % 4 != 0].reset_index(drop=True), rows[rows.index % 4 == 0].reset_index(drop=True)


@rt.step
def train(rows: pd.DataFrame, strength: float) -> Pipeline:
    """Fit a small model."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    columns = make_column_transformer((encode, ["plan"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression(C=strength)).fit(rows[FEATURES], rows["left"])


@rt.pipeline(model="churn", owner="growth")
def churn(customers: rt.Dataset, strength: float = 1.0) -> rt.Candidate:
    """Propose a model."""
    rows, holdout = split(customers)
    return rt.Candidate(train(rows, strength), holdout=holdout, label="left")
'''

SETTINGS = """[project]
name = "shop"
owner = "growth"

[dataset.customers]
source = "data/*.parquet"
time = "seen_at"
key = "customer"
label = { column = "left", arrives = "known_at" }

[[fitness]]
pipeline = "churn"
metric = "roc_auc"
at_least = 0.6
no_worse_than = { champion = 0.05 }

[monitor.churn]
minimum_rows = 20

[sample.churn]
rows = 30
"""


def customers(count: int = 600, *, start: datetime = START, first: int = 0, seed: int = 1) -> pd.DataFrame:
    """Return customers who leave the more likely the less they visit, one every ten minutes before ``start``."""
    chance = np.random.default_rng(seed)
    visits = chance.normal(5.0, 2.0, count)
    left = (visits + chance.normal(0.0, 1.5, count) < 5.0).astype("int64")
    seen = [start - timedelta(minutes=10 * (count - number)) for number in range(count)]
    return pd.DataFrame(
        {
            "customer": [f"c{first + number:05d}" for number in range(count)],
            "seen_at": pd.to_datetime(seen, utc=True).astype("datetime64[us, UTC]"),
            "visits": visits.round(3),
            "spend": chance.gamma(2.0, 10.0, count).round(2),
            "plan": chance.choice(["basic", "family", "pro"], count),
            "left": left,
            "known_at": pd.to_datetime([one + timedelta(days=1) for one in seen], utc=True).astype(
                "datetime64[us, UTC]"
            ),
        }
    )


def write_project(
    folder: Path, *, settings: str = SETTINGS, code: str = CODE, data: pd.DataFrame | None = None
) -> Path:
    """Write the project: settings, pipeline and one data file; returns the folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "ratchet.toml").write_text(settings)
    (folder / "pipeline.py").write_text(code)
    write_parquet(folder / "data" / "2026-01.parquet", customers() if data is None else data)
    return folder


@contextmanager
def running(folder: Path, *, serve: bool = True) -> Iterator[Workspace]:
    """Run a workspace in this process, its files taken in; an endpoint ends with it."""
    with Workspace(folder, poll_seconds=0.01) as workspace:
        workspace.start(serve=serve, die_together=True)
        workspace.sync()
        workspace.look_for_data()
        yield workspace


def give(workspace: Workspace, action: str, subject: str = PIPELINE, *, key: str = "", **parameters: Any) -> Event:
    """Give a command about the pipeline and wait until it and all that follows are done.

    Raises:
        AssertionError: It failed; the message is the one that its giver gets.
    """
    outcome = attempt(workspace, action, subject, key=key, **parameters)
    assert not outcome["error"], outcome["error"]
    event = workspace.ledger.get(outcome["event"])
    assert event is not None
    return event


def attempt(
    workspace: Workspace, action: str, subject: str = PIPELINE, *, key: str = "", **parameters: Any
) -> dict[str, Any]:
    """Give a command and return what came of it, once all that follows is done."""
    command = workspace.command(action, parameters, subject=subject, pipeline=PIPELINE, key=key)
    outcome = workspace.outcome(command, timeout_seconds=PATIENCE_SECONDS)
    workspace.settle(timeout_seconds=PATIENCE_SECONDS)
    return outcome


def issue_token(workspace: Workspace, *, token: str = "") -> str:
    """Give a system the right to call endpoints."""
    credential = Credential(name=SYSTEM, kind="system", system=SYSTEM, team="growth")
    with workspace.by_command("issue_token", {"name": SYSTEM}, subject=SYSTEM, key=f"token/{SYSTEM}"):
        return credentials.issue(workspace.resources, credential, token=token)


def tensors(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the inputs of a request about some customers."""
    return [
        {
            "name": name,
            "datatype": "BYTES" if name == "plan" else "FP64",
            "shape": [len(rows)],
            "data": rows[name].tolist(),
        }
        for name in FEATURES
    ]


def ask(workspace: Workspace, rows: pd.DataFrame, *, token: str, request_id: str) -> dict[str, Any]:
    """Ask the endpoint about customers and return its answer."""
    body = msgspec.json.encode({"id": request_id, "inputs": tensors(rows)})
    status, content = post(workspace, f"/v2/models/{PIPELINE}/infer", body, token=token)
    assert status == http.HTTPStatus.OK, content
    answer: dict[str, Any] = msgspec.json.decode(content)
    return answer


def post(workspace: Workspace, path: str, body: bytes, *, token: str) -> tuple[int, bytes]:
    """Send a request to the endpoint process and return status and body."""
    address = urlsplit(workspace.endpoint_address())
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_SECONDS)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def types_since(workspace: Workspace, seq: int, *, without: Sequence[str] = ()) -> list[str]:
    """Return the types of the events that were appended since a place in the ledger."""
    return [event.type for event in workspace.ledger.read(after=seq) if event.type not in without]


def damage(path: Path) -> bytes:
    """Change one byte in the middle of a file and return what it held before."""
    before = path.read_bytes()
    middle = len(before) // 2
    path.write_bytes(before[:middle] + bytes([before[middle] ^ 0xFF]) + before[middle + 1 :])
    os.sync()
    return before
