"""A serving folder with small real models, for all tests of the endpoint's parts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from ratchet import clock
from ratchet.loop.serving.inference import Inference
from ratchet.loop.serving.log import PredictionLog
from ratchet.loop.serving.routes import (
    EndpointRoute,
    InputColumn,
    ModelReference,
    ModelSchema,
    ReleaseRoute,
    RouteTable,
    write_routes,
)
from ratchet.loop.serving.switchboard import Switchboard
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts

SCHEMA = ModelSchema(
    inputs=(
        InputColumn(name="distance", datatype="FP64", kind="number"),
        InputColumn(name="hour", datatype="INT64", kind="number"),
        InputColumn(name="carrier", datatype="BYTES", kind="category"),
    ),
    output="probability",
)


def _train(*, flipped: bool) -> bytes:
    """Return a model that gives far flights a high probability, or a low one where flipped."""
    random = np.random.default_rng(7)
    rows = pd.DataFrame(
        {
            "distance": random.normal(size=400),
            "hour": random.integers(0, 24, size=400),
            "carrier": random.choice(["AA", "UA"], size=400),
        }
    )
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    columns = ColumnTransformer([("carrier", encoder, ["carrier"])], remainder="passthrough")
    model = Pipeline([("columns", columns), ("model", LogisticRegression())])
    return storers.dump(model.fit(rows, (rows["distance"] > 0) != flipped))[1]


@pytest.fixture(scope="session")
def model_bytes() -> dict[str, bytes]:
    """Two models whose answers differ: v1 says more than one half for far flights, v2 less."""
    return {"v1": _train(flipped=False), "v2": _train(flipped=True)}


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """An empty artifact store."""
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A serving folder."""
    (tmp_path / "serving").mkdir()
    return tmp_path / "serving"


@pytest.fixture
def release(artifacts: Artifacts, model_bytes: dict[str, bytes]) -> Callable[..., ReleaseRoute]:
    """Make releases of the two models, stored as artifacts."""

    def make(version: str = "v1", /, *, share: float = 1.0, **changes: Any) -> ReleaseRoute:
        fields: dict[str, Any] = {
            "version": f"delay@{version}",
            "schema": SCHEMA,
            "role": "live",
            "share": share,
            "traffic_id": f"traffic-{version}",
            "deployment_id": f"deployment-{version}",
        } | changes
        if "model" not in fields:
            fields["model"] = ModelReference(sha256=artifacts.write(model_bytes[version]), storer="skops")
        return ReleaseRoute(**fields)

    return make


@pytest.fixture
def route(folder: Path) -> Callable[..., RouteTable]:
    """Write the next generation of routes, with one endpoint ``delay``."""

    def write(*releases: ReleaseRoute, generation: int = 1, callers: Any = "any", tokens: Any = None) -> RouteTable:
        endpoints = {"delay": EndpointRoute(releases=releases, callers=callers)}
        table = RouteTable(generation=generation, endpoints=endpoints, tokens=tokens or {})
        write_routes(folder, table)
        return table

    return write


@pytest.fixture
def switchboard(folder: Path, artifacts: Artifacts) -> Switchboard:
    """A switchboard that has seen no routes yet."""
    return Switchboard(folder, artifacts=artifacts)


@pytest.fixture
def log(folder: Path) -> Iterator[PredictionLog]:
    """A prediction log in the serving folder."""
    opened = PredictionLog(folder, writer=clock.new_id())
    yield opened
    opened.close()


@pytest.fixture
def inference(switchboard: Switchboard, log: PredictionLog) -> Inference:
    """Inference on the switchboard and the log."""
    return Inference(switchboard=switchboard, log=log)


@pytest.fixture
def request_body() -> Callable[..., dict[str, Any]]:
    """Make the body of a request, as a dictionary to change."""

    def make(*, rows: int = 2, **changes: Any) -> dict[str, Any]:
        return {
            "inputs": [
                {"name": "distance", "shape": [rows], "datatype": "FP64", "data": [1.5] * rows},
                {"name": "hour", "shape": [rows], "datatype": "INT64", "data": [12] * rows},
                {"name": "carrier", "shape": [rows], "datatype": "BYTES", "data": ["AA"] * rows},
            ]
        } | changes

    return make
