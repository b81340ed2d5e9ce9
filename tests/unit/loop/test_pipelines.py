"""How a pipeline is written and carried out: plain functions outside a run, recorded and replayed steps inside."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import ratchet as rt
from ratchet.errors import NoStorer, ParameterUnknown, StepFailed, StepUnusable, UnknownName
from ratchet.loop import pipelines
from ratchet.loop.pipelines import Body, Candidate
from ratchet.store import storers
from ratchet.store.artifacts import Artifacts
from ratchet.store.formats.refusals import LibraryMissing


class FakeChild:
    """The child's side of the conversation: computes each step once, and gives recorded results again."""

    def __init__(self, recorded: list[tuple[dict[str, Any], Any]] | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.recorded = recorded if recorded is not None else []

    def step(self, request: dict[str, Any], compute: Callable[[], Any], _note: Callable[[], Any]) -> Any:
        """Compute a step, or take it from the record, which must be about the same."""
        position = len(self.requests)
        self.requests.append(request)
        if position < len(self.recorded):
            assert self.recorded[position][0] == request
            return self.recorded[position][1]
        self.recorded.append((request, compute()))
        return self.recorded[-1][1]


class Calls:
    """Counts what was computed."""

    def __init__(self) -> None:
        self.names: list[str] = []


calls = Calls()


@rt.step
def numbers(count: int = 3) -> pd.DataFrame:
    """Return a small frame."""
    calls.names.append("numbers")
    return pd.DataFrame({"a": np.arange(float(count)), "b": ["x"] * count})


@rt.step(name="add up")
def total(rows: pd.DataFrame) -> float:
    """Return the sum of a column."""
    calls.names.append("total")
    return float(rows["a"].sum())


@rt.step
def both(count: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return two values, from a step inside the step."""
    return numbers(count), {"count": count}


@rt.step
def chance() -> list[float]:
    """Draw from both generators."""
    import random

    return [random.random(), float(np.random.rand())]


@pytest.fixture(autouse=True)
def _fresh_calls() -> None:
    """Begin each test without calls."""
    calls.names.clear()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """An empty artifact store."""
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def in_body(artifacts: Artifacts) -> Callable[..., Any]:
    """Call a function as the body of a run, by a child with a record."""

    def call(function: Callable[[], Any], child: FakeChild, *, seed: int = 0) -> Any:
        with pipelines.carrying_out(Body(child, artifacts, seed=seed)):  # type: ignore[arg-type]
            return function()

    return call


def test_outside_of_a_run_a_step_is_a_function() -> None:
    """Call it in a notebook or a test; name and docstring are its own."""
    assert total(numbers(4)) == 6
    assert numbers.__name__ == "numbers"
    assert total.__doc__ == "Return the sum of a column."


def test_a_step_is_computed_once(in_body: Callable[..., Any]) -> None:
    """A second attempt takes the recorded results and gives the same value."""
    first = FakeChild()
    assert in_body(lambda: total(numbers(4)), first) == 6
    assert calls.names == ["numbers", "total"]
    assert [request["name"] for request in first.requests] == ["numbers", "add up"]
    assert in_body(lambda: total(numbers(4)), FakeChild(first.recorded)) == 6
    assert calls.names == ["numbers", "total"]


def test_a_step_that_imports_an_extra_in_vain_says_so(
    in_body: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its name and the command that brings the library, however deep it was imported."""

    @rt.step(name="fit trees")
    def fit() -> int:
        import catboost  # type: ignore[import-not-found, unused-ignore]  # noqa: F401, that it is missing is the point

        return 1

    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(LibraryMissing, match=r"^Step 'fit trees' needs catboost, .*'mlratchet\[catboost\]'"):
        in_body(fit, FakeChild())


def test_a_broken_off_attempt_goes_on_where_it_was(in_body: Callable[..., Any]) -> None:
    """Only what was not recorded is computed."""
    first = FakeChild()
    in_body(lambda: total(numbers(4)), first)
    assert in_body(lambda: total(numbers(4)), FakeChild(first.recorded[:1])) == 6
    assert calls.names == ["numbers", "total", "total"]


def test_arguments_are_named_by_reference_and_small_ones_by_value(in_body: Callable[..., Any]) -> None:
    """Defaults count as well, so that a changed default is another request."""
    child = FakeChild()
    in_body(lambda: total(numbers()), child)
    assert child.requests[0]["arguments"] == {"count": {"value": 3}}
    assert child.requests[1]["arguments"] == {"rows": child.recorded[0][1]}
    assert set(child.recorded[0][1]) == {"storer", "sha256"}


def test_several_values_are_stored_one_by_one(in_body: Callable[..., Any]) -> None:
    """A tuple's parts have references of their own; a step inside a step is a plain call."""
    child = FakeChild()

    def body() -> float:
        rows, facts = both(5)
        return total(rows) + facts["count"]

    assert in_body(body, child) == 15
    assert [request["name"] for request in child.requests] == ["both", "add up"]
    assert child.requests[1]["arguments"]["rows"] == child.recorded[0][1]["tuple"][0]
    assert in_body(body, FakeChild(child.recorded)) == 15


def test_lists_and_series_are_stored_like_tuples_and_frames(in_body: Callable[..., Any]) -> None:
    """What train_test_split returns, whole or in parts, is a result and an argument like any other."""
    child = FakeChild()

    @rt.step
    def halves(rows: pd.DataFrame) -> list[Any]:
        calls.names.append("halves")
        return [rows[["a"]], rows["a"], [rows, {"n": 1}]]

    @rt.step
    def count(parts: Any, column: Any) -> float:
        return float(sum(len(part) for part in parts) + column.sum())

    def body() -> float:
        parts = halves(numbers(4))
        return count(parts, parts[1])

    assert in_body(body, child) == 4 + 4 + 2 + 6
    assert child.requests[2]["arguments"]["column"] == child.recorded[1][1]["list"][1]
    assert child.requests[2]["arguments"]["parts"] == child.recorded[1][1]
    calls.names.clear()
    assert in_body(body, FakeChild(child.recorded)) == 4 + 4 + 2 + 6
    assert calls.names == []


def test_a_series_that_was_changed_in_place_is_another_one(in_body: Callable[..., Any]) -> None:
    """As for frames."""
    child = FakeChild()

    @rt.step
    def column() -> pd.Series:
        return pd.Series([1.0, 2.0])

    @rt.step
    def add(values: pd.Series) -> float:
        return float(values.sum())

    def body() -> float:
        values = column()
        values[0] = 7.0
        return add(values)

    assert in_body(body, child) == 9
    assert child.requests[1]["arguments"]["values"] != child.recorded[0][1]


async def _later() -> int:
    return 1


def _yielding() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("name", "'name' cannot be a step: it is of type str and no function"),
        (dict, "it is of type type and no function"),
        (_later, "it is asynchronous"),
        (_yielding, "it is a generator"),
    ],
)
def test_what_cannot_be_a_step_is_refused_at_once(what: Any, message: str) -> None:
    """Not in the middle of a run."""
    with pytest.raises(StepUnusable, match=message):
        rt.step(what)


def test_a_step_in_a_thread_of_the_body_is_refused(in_body: Callable[..., Any]) -> None:
    """It would run and not be kept; a step may use threads itself."""

    def body() -> list[float]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(total, [numbers(1)]))

    with pytest.raises(StepUnusable, match="'add up' cannot be a step: the body calls it in a thread"):
        in_body(body, FakeChild())

    @rt.step
    def inside() -> float:
        with ThreadPoolExecutor() as pool:
            return sum(pool.map(total, [pd.DataFrame({"a": [2.0]})]))

    assert in_body(inside, FakeChild()) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.__setitem__("a", rows["a"] + 1),
        lambda rows: rows.__setitem__("c", 1),
        lambda rows: rows.loc.__setitem__((0, "b"), "y"),
        lambda rows: rows.drop(index=0, inplace=True),
    ],
)
def test_a_frame_that_was_changed_in_place_is_another_one(
    in_body: Callable[..., Any], change: Callable[[pd.DataFrame], None]
) -> None:
    """The next step's record says what it really got."""
    child = FakeChild()

    def body() -> float:
        rows = numbers(3)
        change(rows)
        return total(rows)

    in_body(body, child)
    assert child.requests[1]["arguments"]["rows"] != child.recorded[0][1]


def test_an_array_that_was_changed_in_place_is_another_one(artifacts: Artifacts) -> None:
    """As for frames."""
    body = Body(FakeChild(), artifacts, seed=0)  # type: ignore[arg-type]
    value = np.arange(3.0)
    body.values.remember(value, {"storer": "array", "sha256": "known"})
    assert body.values.refer(value)["sha256"] == "known"
    value[0] = 7
    assert body.values.refer(value)["sha256"] != "known"


def test_a_list_that_was_changed_in_place_is_another_one(artifacts: Artifacts) -> None:
    """So is a dictionary of settings that a body completes between two steps."""
    body = Body(FakeChild(), artifacts, seed=0)  # type: ignore[arg-type]
    value = {"depth": [1, 2]}
    body.values.remember(value, {"storer": "json", "sha256": "known"})
    assert body.values.refer(value)["sha256"] == "known"
    value["depth"].append(3)
    assert body.values.refer(value) == {"value": {"depth": [1, 2, 3]}}


def test_the_same_seed_gives_the_same_chance(in_body: Callable[..., Any]) -> None:
    """Libraries that nobody gave a seed draw by the run's."""
    first, same, other = (in_body(chance, FakeChild(), seed=seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_a_value_that_nobody_can_store_is_refused(in_body: Callable[..., Any]) -> None:
    """The message has its type, and what a step may return."""

    @rt.step
    def bad() -> Any:
        """Return something with a life of its own."""
        return object()

    with pytest.raises(NoStorer, match=r"builtins\.object.*pandas\.DataFrame"):
        in_body(bad, FakeChild())


def test_a_pipeline_declares_itself() -> None:
    """Datasets are told from parameters by their type; the name is the model's unless it has one."""

    @rt.pipeline(model="value", owner="growth", not_applicable={"label": "they arrive"})
    def value(customers: rt.Dataset, shops: rt.Dataset, depth: int = 3, note: str = "") -> None:
        """Do nothing."""

    function, declared = pipelines._declared_pipelines.pop()
    assert function is value
    assert (declared.name, declared.model, declared.owner) == ("value", "value", "growth")
    assert declared.datasets == {"customers": "customers", "shops": "shops"}
    assert declared.parameters == {"depth": 3, "note": ""}
    assert declared.not_applicable == {"label": "they arrive"}


def test_what_a_pipeline_cannot_do_without_is_declared() -> None:
    """A parameter without a default that is no dataset, such as one whose type was forgotten."""

    @rt.pipeline(model="value")
    def value(customers, shops: rt.Dataset, depth: int, note: str = "", **more: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, what is tested
        """Do nothing."""

    _, declared = pipelines._declared_pipelines.pop()
    assert declared.required == ("customers", "depth")
    assert value.__name__ == "value"


def test_a_rule_declares_itself() -> None:
    """Its name is the function's with spaces, and its digest is of the source."""

    @rt.rule(on="feedback.joined", when="event.data.rows > 1")
    def learn_at_once(event: rt.Event, loop: rt.Loop) -> None:
        """Do nothing."""

    _, declared = pipelines._declared_rules.pop()
    assert declared.name == "learn at once"
    assert (declared.on, declared.when, declared.leads_to) == ("feedback.joined", "event.data.rows > 1", ("train",))
    assert len(declared.code) == 64
    assert learn_at_once.__name__ == "learn_at_once"


def test_an_unknown_function_names_those_that_there_are() -> None:
    """Of the kind that was asked for."""
    with pytest.raises(UnknownName, match=r"No rule named 'x'. Known: none"):
        pipelines.find_function("rule", "x")


def ending(result: Any, artifacts: Artifacts) -> dict[str, Any]:
    """Return what a run's body ends with."""
    return pipelines._ending(Body(FakeChild(), artifacts, seed=0), result)  # type: ignore[arg-type]


def fitted(rows: pd.DataFrame) -> LogisticRegression:
    """Return a model of two columns."""
    return LogisticRegression().fit(rows[["b", "a"]], rows["left"])


def test_a_candidate_names_its_inputs_as_the_model_does(artifacts: Artifacts) -> None:
    """In the order of training, with types from the holdout."""
    rows = pd.DataFrame({"a": [1, 2, 3, 4], "b": [0.5, 1, 2, 3], "left": [0, 1, 0, 1], "other": ["x"] * 4})
    found = ending(Candidate(fitted(rows), holdout=rows, label="left"), artifacts)["candidate"]
    assert [(one["name"], one["datatype"], one["kind"]) for one in found["inputs"]] == [
        ("b", "FP64", "number"),
        ("a", "INT64", "number"),
    ]
    assert storers.load("frame", artifacts.read(found["holdout"]["sha256"])).equals(rows)
    chosen = ending(Candidate(fitted(rows), holdout=rows, label="left", inputs=("a", "other")), artifacts)["candidate"]
    assert [(one["name"], one["datatype"]) for one in chosen["inputs"]] == [("a", "INT64"), ("other", "BYTES")]


def test_a_model_without_names_takes_all_columns_but_the_label(artifacts: Artifacts) -> None:
    """As the holdout has them."""
    rows = pd.DataFrame({"a": [1.0, 2.0], "left": [0, 1]})
    model = LogisticRegression().fit(rows[["a"]].to_numpy(), rows["left"])
    found = ending(Candidate(model, holdout=rows, label="left"), artifacts)["candidate"]
    assert [one["name"] for one in found["inputs"]] == ["a"]


def test_a_holdout_is_a_frame(artifacts: Artifacts) -> None:
    """Nothing else can be measured."""
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(NoStorer, match=r"DataFrame as holdout"):
        ending(Candidate(model, holdout=[1, 2], label="left"), artifacts)


def test_a_candidate_needs_data_frames(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are none, that is said, and not that the holdout is of the wrong type."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LibraryMissing, match=r"holdout of a candidate.* needs pandas, .*'mlratchet\[sklearn\]'"):
        ending(Candidate(1, holdout=[[1.0]], label="price"), artifacts)


def test_a_body_may_end_without_a_candidate(artifacts: Artifacts) -> None:
    """A run that only looks at data returns a value or nothing."""
    assert ending({"rows": 3}, artifacts) == {"candidate": None, "result": {"value": {"rows": 3}}}
    assert ending(None, artifacts)["candidate"] is None


def test_errors_of_a_step_are_those_of_the_parent() -> None:
    """What crosses between processes are fields, and the message is the same on both sides."""
    error = ParameterUnknown(pipeline="churn", name="x", known="strength")
    failed = StepFailed(step="body", error_type="ParameterUnknown", message=str(error))
    assert "Pipeline 'churn' has no parameter 'x'. It takes: strength." in str(failed)
