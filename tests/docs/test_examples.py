"""Examples run: those of the README, of the pages, and of the public names' docstrings."""

import doctest
import inspect
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ratchet
from ratchet.automation.conditions import compile_condition
from ratchet.catalogue import EVENT_TYPES
from ratchet.loop import pipelines
from tests.docs import pages

# They still lack an example in their docstring; whoever writes one takes the name off this list.
WITHOUT_EXAMPLE = {"Candidate", "Dataset", "Event", "Loop", "open", "pipeline", "rule"}


@pytest.fixture
def _nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what an example declares be forgotten after it."""
    monkeypatch.setattr(pipelines, "_declared_pipelines", [])
    monkeypatch.setattr(pipelines, "_declared_rules", [])


def load(text: str, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a block as the module that a reader would save it as, and return its names."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    # A rule in Python is named by its source, which ``exec`` would not keep.
    monkeypatch.setattr(inspect, "getsource", lambda _function: text)
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)  # noqa: S102, our own pages
    return module.__dict__


@pytest.mark.usefixtures("_nothing_declared")
def test_the_pipeline_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the README, called on made-up orders, gives a candidate with a model that predicts."""
    (block,) = pages.blocks(pages.ROOT / "README.md", "python")
    names = load(block, "readme_example", monkeypatch)
    chance = np.random.default_rng(0)
    orders = pd.DataFrame(
        {
            "placed_at": pd.date_range("2026-01-01", periods=400, freq="12h"),
            "price": chance.uniform(5, 100, 400),
            "discount": chance.uniform(0, 0.5, 400),
        }
    )
    orders["returned"] = (orders["discount"] + chance.normal(0, 0.1, 400) > 0.25).astype(int)

    class Orders:
        """What stands for the dataset outside of a run."""

        @staticmethod
        def to_pandas() -> pd.DataFrame:
            return orders

    candidate = names["returns"](Orders())
    assert len(candidate.holdout) == 60
    assert candidate.label == "returned"
    assert candidate.model.predict_proba(candidate.holdout[["price", "discount"]]).shape == (60, 2)
    (declared,) = (declaration for _, declaration in pipelines._declared_pipelines)
    assert (declared.model, declared.datasets, declared.parameters) == (
        "returns",
        {"orders": "orders"},
        {"learning_rate": 0.1},
    )


def test_the_python_of_the_readme_stays_short() -> None:
    """What a newcomer has to read first is a screen at most."""
    (block,) = pages.blocks(pages.ROOT / "README.md", "python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 18


@pytest.mark.usefixtures("_nothing_declared")
@pytest.mark.parametrize(
    ("page", "text"), [one for one in pages.all_blocks("python") if one[0] != "README.md"], ids=lambda one: one[:40]
)
def test_each_block_of_python_can_be_imported(page: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that a reader would save as a file declares what it says."""
    load(text, "page_example", monkeypatch)
    assert len(pipelines._declared_rules) == text.count("@rt.rule"), page
    assert len(pipelines._declared_pipelines) == text.count("@rt.pipeline"), page
    for _, declaration in pipelines._declared_rules:
        assert declaration.on in EVENT_TYPES, page
        compile_condition(declaration.when)


@pytest.mark.parametrize("name", ratchet.__all__)
def test_each_public_name_has_a_docstring(name: str) -> None:
    """What the package offers says in its first line what one gets."""
    documentation = inspect.getdoc(getattr(ratchet, name)) or ""
    assert documentation.splitlines()[0].endswith(".")


@pytest.mark.usefixtures("_nothing_declared")
@pytest.mark.parametrize("name", ratchet.__all__)
def test_the_examples_of_each_public_name_run(name: str) -> None:
    """Examples in docstrings give what they say; names without one are listed until they have one."""
    found = getattr(ratchet, name)
    tests = [test for test in doctest.DocTestFinder(recurse=False).find(found, name) if test.examples]
    assert bool(tests) == (name not in WITHOUT_EXAMPLE)
    runner = doctest.DocTestRunner(verbose=False)
    for test in tests:
        runner.run(test)
    assert runner.failures == 0
