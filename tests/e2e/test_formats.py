"""Each format of models on its way from a run through registry, gate and promotion to an answer over HTTP."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np
import pytest

from ratchet.loop import fitness, registry
from ratchet.loop.serving import vouchers
from ratchet.records import ModelVersion
from ratchet.store import storers
from ratchet.workspace import Workspace
from tests import breaking, projects
from tests.waiting import PATIENCE_SECONDS

CODE = '''"""Tell which customers will leave, with models of all formats."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

import ratchet as rt
from shared import NUMBERS, logistic

PLANS = ("basic", "family", "pro")


@rt.step
def split(customers: rt.Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep every fourth customer apart."""
    rows = customers.to_pandas()
    return rows[rows.index % 4 != 0].reset_index(drop=True), rows[rows.index % 4 == 0].reset_index(drop=True)


@dataclass(frozen=True)
class Rarely:
    """Takes those who rarely come for those who leave; not a library's model, and not one that is fitted."""

    usual: np.ndarray
    plans: dict[str, float]
    names: tuple[str, ...] = field(default=("visits", "spend", "plan"))

    @property
    def feature_names_in_(self) -> tuple[str, ...]:
        """Return the columns that callers send."""
        return self.names

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of both classes."""
        extra = rows["plan"].map(self.plans).fillna(0.0).to_numpy()
        second = logistic(self.usual[0] - rows["visits"].to_numpy() + extra)
        return np.stack([1 - second, second], axis=1)

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the likelier class."""
        return self.predict_proba(rows)[:, 1] > 0.5


@rt.step
def fit_object(rows: pd.DataFrame) -> Rarely:
    """Return an object of this file."""
    return Rarely(usual=rows[["visits"]].mean().to_numpy(), plans=dict.fromkeys(PLANS, 0.25))


@rt.step
def fit_onnx(rows: pd.DataFrame):
    """Return a graph: the distance from the usual number of visits, made a probability."""
    from onnx import TensorProto, helper

    usual = float(rows["visits"].mean())
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [2, 2], [1.0, -1.0, 0.0, 0.0])
    shift = helper.make_tensor("shift", TensorProto.FLOAT, [2], [-usual, usual])
    nodes = [
        helper.make_node("Gemm", ["rows", "weights", "shift"], ["score"]),
        helper.make_node("Softmax", ["score"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "leaves",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [weights, shift],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@rt.step
def fit_xgboost(rows: pd.DataFrame):
    """Return a classifier of XGBoost."""
    import xgboost

    return xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(rows[NUMBERS], rows["left"])


@rt.step
def fit_lightgbm(rows: pd.DataFrame):
    """Return a Pipeline that ends with a classifier of LightGBM."""
    import lightgbm
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    columns = make_column_transformer((encode, ["plan"]), remainder="passthrough")
    model = make_pipeline(columns, lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1))
    return model.fit(rows[[*NUMBERS, "plan"]], rows["left"])


@rt.step
def fit_catboost(rows: pd.DataFrame):
    """Return a classifier of CatBoost."""
    import catboost

    model = catboost.CatBoostClassifier(iterations=20, thread_count=1, verbose=0, allow_writing_files=False)
    return model.fit(rows[NUMBERS], rows["left"])


@rt.step
def fit_torch(rows: pd.DataFrame):
    """Return a module of PyTorch."""
    from nets import Leaves

    return Leaves(usual=float(rows["visits"].mean()))


@rt.step
def fit_regression(rows: pd.DataFrame):
    """Return the booster of LightGBM by itself, which predicts a number."""
    import lightgbm

    made = lightgbm.Dataset(rows[NUMBERS], rows["left"].astype(float))
    return lightgbm.train({"objective": "regression", "num_threads": 1, "verbose": -1}, made, num_boost_round=20)


@rt.pipeline(model="as-object", owner="growth")
def as_object(customers: rt.Dataset) -> rt.Candidate:
    """An object of the project's own."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_object(rows), holdout=holdout, label="left")


@rt.pipeline(model="as-onnx", owner="growth")
def as_onnx(customers: rt.Dataset) -> rt.Candidate:
    """A graph."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_onnx(rows), holdout=holdout, label="left", inputs=tuple(NUMBERS))


@rt.pipeline(model="as-xgboost", owner="growth")
def as_xgboost(customers: rt.Dataset) -> rt.Candidate:
    """A classifier of XGBoost."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_xgboost(rows), holdout=holdout, label="left")


@rt.pipeline(model="as-lightgbm", owner="growth")
def as_lightgbm(customers: rt.Dataset) -> rt.Candidate:
    """A Pipeline that ends with a classifier of LightGBM."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_lightgbm(rows), holdout=holdout, label="left")


@rt.pipeline(model="as-catboost", owner="growth")
def as_catboost(customers: rt.Dataset) -> rt.Candidate:
    """A classifier of CatBoost."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_catboost(rows), holdout=holdout, label="left")


@rt.pipeline(model="as-torch", owner="growth")
def as_torch(customers: rt.Dataset) -> rt.Candidate:
    """A module of PyTorch."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_torch(rows), holdout=holdout, label="left", inputs=tuple(NUMBERS))


@rt.pipeline(model="as-regression", owner="growth")
def as_regression(customers: rt.Dataset) -> rt.Candidate:
    """A booster by itself."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_regression(rows), holdout=holdout, label="left")
'''

SHARED = '''"""What the pipelines share."""

import numpy as np

NUMBERS = ["visits", "spend"]


def logistic(score: np.ndarray) -> np.ndarray:
    """Return a number between 0 and 1."""
    return 1 / (1 + np.exp(-score))
'''

NETS = '''"""A module of PyTorch, in a file of its own: most of this project does without the library."""

try:
    import torch
except ImportError:
    torch = None


if torch is not None:

    class Leaves(torch.nn.Module):
        """One weight."""

        def __init__(self, usual: float) -> None:
            super().__init__()
            self.usual = usual
            self.weight = torch.nn.Parameter(torch.tensor([-1.0, 0.0]))

        def forward(self, rows):
            return torch.sigmoid(rows @ self.weight + self.usual)

        def predict_proba(self, rows):
            second = self(torch.tensor(rows.to_numpy(dtype="float32")))
            return torch.stack([1 - second, second], dim=1)
'''

TRAP = '''"""A model that does harm where somebody lets it."""

import ratchet as rt
from breaking_of_test import Breaking
from pipeline import split


@rt.step
def fit_trap(is_harmless: bool) -> Breaking:
    """Return a model that crashes the process which loads it, once it may."""
    return Breaking("crash", "/nowhere" if is_harmless else "{consent}")


@rt.pipeline(model="trapped", owner="growth")
def trapped(customers: rt.Dataset, is_harmless: bool = True) -> rt.Candidate:
    """A trap."""
    rows, holdout = split(customers)
    return rt.Candidate(fit_trap(is_harmless), holdout=holdout, label="left", inputs=("visits", "spend"))
'''

CONSENT = "consent"
FITNESS = '\n[[fitness]]\npipeline = "{0}"\nmetric = "roc_auc"\nat_least = 0.6\n'
# The pipeline, the format that its models have, the libraries that it needs, and what its output is called.
FORMATS = {
    "as-object": ("object", "", "probability"),
    "as-onnx": ("onnx", "onnxruntime", "probability"),
    "as-xgboost": ("xgboost", "xgboost", "probability"),
    "as-lightgbm": ("lightgbm", "lightgbm", "probability"),
    "as-regression": ("lightgbm", "lightgbm", "prediction"),
    "as-catboost": ("catboost", "catboost", "probability"),
    "as-torch": ("torch", "torch", "probability"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    """A running workspace with a pipeline for each format, and a token for its endpoints."""
    settings = projects.SETTINGS.partition("[[fitness]]")[0] + "".join(FITNESS.format(name) for name in FORMATS)
    settings += FITNESS.format("trapped").replace("0.6", "0.5")
    folder = projects.write_project(tmp_path_factory.mktemp("formats") / "shop", settings=settings, code=CODE)
    (folder / "shared.py").write_text(SHARED)
    (folder / "nets.py").write_text(NETS)
    (folder / "breaking_of_test.py").write_text(breaking.CODE)
    (folder / "trap.py").write_text(TRAP.format(consent=folder / CONSENT))
    with projects.running(folder) as workspace:
        yield workspace, projects.issue_token(workspace)


def carry_out(workspace: Workspace, action: str, of: str, parameters: dict[str, Any]) -> None:
    """Give a command about a pipeline, wait until all that follows is done, and fail where it does."""
    command = workspace.command(action, parameters, subject=of, pipeline=of)
    outcome = workspace.outcome(command, timeout_seconds=PATIENCE_SECONDS)
    workspace.settle(timeout_seconds=PATIENCE_SECONDS)
    assert not outcome["error"], outcome["error"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_goes_from_a_run_to_an_answer(site: tuple[Workspace, str], name: str) -> None:
    """A model of each format is registered, passes its gate, goes live, and the endpoint says what the model says."""
    kind, library, output = FORMATS[name]
    if library and find_spec(library) is None:
        assert "RATCHET_ALL_FORMATS" not in os.environ, f"{library} is missing, and all formats are to be tested"
        pytest.skip(f"{library} is not installed; make proof-formats tests it")
    workspace, token = site
    carry_out(workspace, "start_run", name, {"pipeline": name})
    (run,) = registry.runs(workspace.database, pipeline=name)
    assert not run.error
    (version,) = registry.model_versions(workspace.database, model=name)
    assert (version.storer, version.output) == (kind, output)
    assert run.gate == "pass"
    carry_out(workspace, "promote", name, {"version": version.name})
    # The endpoint did not have to try it: staging had these libraries, too.
    assert vouchers.is_vouched_for(workspace.resources.serving, fitness.release_of(version))
    rows = projects.customers(5, seed=9)
    answered = ask(workspace, version, rows, token=token)
    model = storers.open_model(version.storer, workspace.resources.artifacts.read(version.artifact))
    given = rows[[one["name"] for one in version.inputs]]
    expected = model.predict_proba(given)[:, 1] if output == "probability" else model.predict(given)
    np.testing.assert_allclose(answered, expected, rtol=1e-6)
    assert len(set(answered)) > 1


def ask(workspace: Workspace, version: ModelVersion, rows: Any, *, token: str) -> list[float]:
    """Return what the endpoint says about customers."""
    inputs = [
        {"name": one["name"], "datatype": one["datatype"], "shape": [len(rows)], "data": rows[one["name"]].tolist()}
        for one in version.inputs
    ]
    body = msgspec.json.encode({"inputs": inputs})
    status, content = projects.post(workspace, f"/v2/models/{version.model}/infer", body, token=token)
    assert status == 200, content
    outputs = {one["name"]: one["data"] for one in msgspec.json.decode(content)["outputs"]}
    return [float(score) for score in outputs[version.output]]


def test_a_model_that_crashes_in_staging_is_refused_and_the_one_before_goes_on(site: tuple[Workspace, str]) -> None:
    """A version that passed its gate and crashes when it is released fails its deployment; callers notice nothing."""
    workspace, token = site
    carry_out(workspace, "start_run", "trapped", {"pipeline": "trapped", "is_harmless": True})
    carry_out(workspace, "promote", "trapped", {"version": "trapped@v1"})
    carry_out(workspace, "start_run", "trapped", {"pipeline": "trapped", "is_harmless": False})
    (workspace.project / CONSENT).touch()
    with pytest.raises(AssertionError, match="SIGSEGV"):
        carry_out(workspace, "promote", "trapped", {"version": "trapped@v2"})
    live = workspace.live("trapped")
    assert live is not None
    assert live.model_version == "trapped@v1"
    with workspace.database.read() as connection:
        first = registry.model_version(connection, "trapped@v1")
    assert ask(workspace, first, projects.customers(2, seed=9), token=token) == [0.5, 0.5]


def test_two_versions_of_an_object_serve_beside_each_other(site: tuple[Workspace, str]) -> None:
    """Objects of two snapshots are in use in one process, each with the code that it was made with."""
    workspace, token = site
    (first,) = [one for one in registry.model_versions(workspace.database, model="as-object") if one.number == 1]
    shared = workspace.project / "shared.py"
    shared.write_text(SHARED.replace("1 / (1 + np.exp(-score))", "0.5 / (1 + np.exp(-score))"))
    workspace.reload()
    carry_out(workspace, "start_run", "as-object", {"pipeline": "as-object"})
    second = registry.model_versions(workspace.database, model="as-object")[-1]
    rows = projects.customers(5, seed=9)
    given = rows[[one["name"] for one in first.inputs]]
    models = [
        storers.open_model(one.storer, workspace.resources.artifacts.read(one.artifact)) for one in (first, second)
    ]
    before, after = (model.predict_proba(given)[:, 1] for model in models)
    np.testing.assert_allclose(after, before / 2)
    np.testing.assert_allclose(ask(workspace, first, rows, token=token), before, rtol=1e-6)
