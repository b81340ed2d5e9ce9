"""Objects of a project's classes: attributes of all kinds come back, and what cannot is refused with its name."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from ratchet.errors import NoStorer, UntrustedModel
from ratchet.store import storers
from ratchet.store.formats import archives, objects
from ratchet.store.formats.refusals import AttributeRefused, CodeMissing, ModelRefused
from tests import snapshots

CODE = '''
import enum
from collections import namedtuple
from dataclasses import dataclass

from sklearn.base import BaseEstimator, ClassifierMixin

class Colour(enum.Enum):
    RED = 1

Pair = namedtuple("Pair", "a b")

class Attributes:
    """Has whatever attributes it is given."""
    def __init__(self, **attributes):
        vars(self).update(attributes)
    def predict(self, rows):
        return [self.value] * len(rows)

@dataclass(frozen=True, slots=True)
class Frozen:
    value: float
    def predict(self, rows):
        return [self.value] * len(rows)

class Slotted:
    __slots__ = ("value", "__dict__")
    def predict(self, rows):
        return [self.value] * len(rows)

class Careful:
    """Leaves out what it can make again."""
    def __init__(self):
        self.value, self.lock = 5, object()
    def __getstate__(self):
        return {"value": self.value}
    def __setstate__(self, state):
        self.value, self.lock = state["value"], object()
    def predict(self, rows):
        return [self.value] * len(rows)

class Mean(ClassifierMixin, BaseEstimator):
    """An estimator in the form of scikit-learn."""
    def __init__(self, shift=0.0):
        self.shift = shift
    def fit(self, rows, classes):
        self.mean_ = float(classes.mean())
        self.classes_ = classes.unique()
        return self
    def predict(self, rows):
        return [self.mean_ + self.shift] * len(rows)

class Counted(dict):
    def predict(self, rows):
        return [len(self)] * len(rows)

class Transformer:
    def transform(self, rows):
        return rows
'''
FILES = {"models_of_test.py": CODE}
ROWS = pd.DataFrame({"a": [1.0, 2.0]})


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    """The project's module, imported as a run imports it."""
    with snapshots.entered(tmp_path, FILES, module="models_of_test") as found:
        yield found


def kept(value: Any) -> Any:
    """Return what comes back of an object."""
    name, content = storers.dump(value)
    assert name == "object"
    back = storers.load(name, content)
    assert storers.dump(back) == (name, content)
    return back


VALUES: dict[str, Any] = {
    "nothing": None,
    "truth": True,
    "text": "ü",
    "whole number": 2**70,
    "number": 0.1,
    "infinite": float("-inf"),
    "list": [1, [2.5, "x"]],
    "tuple": (1, ("a", None)),
    "set": {"b", "a", "c"},
    "frozen set": frozenset({1, 2}),
    "bytes": b"\x00\xff",
    "dictionary": {1: "a", "b": {(1, 2): [3]}},
}


@pytest.mark.parametrize("kind", VALUES)
def test_attributes_come_back(module: ModuleType, kind: str) -> None:
    """An attribute of each kind of plain value comes back equal and of the same type."""
    back = kept(module.Attributes(value=VALUES[kind])).value
    assert (type(back), back) == (type(VALUES[kind]), VALUES[kind])


def test_attributes_that_are_more_than_plain_come_back(module: ModuleType) -> None:
    """Arrays, frames, models, numbers of NumPy, members of an Enum and objects of other classes come back."""
    fitted = LogisticRegression().fit([[0], [1]], [0, 1])
    inner = module.Frozen(value=2.5)
    given = module.Attributes(
        array=np.arange(3),
        number=np.float32(1.5),
        nan=float("nan"),
        frame=ROWS,
        model=fitted,
        colour=module.Colour.RED,
        inner=[inner, {"deep": module.Transformer()}],
    )
    back = kept(given)
    assert back.array.tolist() == [0, 1, 2]
    assert (type(back.number), back.number) == (np.float32, 1.5)
    assert np.isnan(back.nan)
    pd.testing.assert_frame_equal(back.frame, ROWS)
    assert back.model.predict([[1]]).tolist() == [1]
    assert back.colour is module.Colour.RED
    assert back.inner[0] == inner
    assert isinstance(back.inner[1]["deep"], module.Transformer)


def test_classes_of_all_forms_come_back(module: ModuleType) -> None:
    """Frozen data classes, slots, own states and estimators of the project's own come back."""
    slotted = module.Slotted()
    slotted.value, slotted.other = 4, 5
    back = kept(slotted)
    assert (back.value, back.other) == (4, 5)
    assert kept(module.Frozen(value=1.5)).predict(ROWS) == [1.5, 1.5]
    careful = kept(module.Careful())
    assert careful.predict(ROWS) == [5, 5]
    assert careful.lock is not None
    mean = kept(module.Mean(shift=1.0).fit(ROWS, pd.Series([0, 1])))
    assert mean.predict(ROWS) == [1.5, 1.5]


def test_an_object_is_loaded_where_its_project_is_not(tmp_path: Path) -> None:
    """A process that never imported the project makes the object from the file alone, and writes the same file."""
    with snapshots.entered(tmp_path, FILES, module="models_of_test") as module:
        name, content = storers.dump(module.Attributes(value=7, inner=module.Frozen(value=1.0)))
    model = storers.open_model(name, content)
    assert not isinstance(model, module.Attributes)
    assert model.predict(ROWS) == [7, 7]
    assert storers.dump(model) == (name, content)


def test_attributes_that_cannot_be_kept_are_named(module: ModuleType) -> None:
    """The message names the attribute by its path, and its type."""
    with pytest.raises(AttributeRefused, match=r"'value\[1\]\['x'\]' cannot be kept: a value of type builtins\.object"):
        storers.dump(module.Attributes(value=[1, {"x": object()}]))
    with pytest.raises(AttributeRefused, match=r"'act' cannot be kept: a value of type builtins\.function"):
        storers.dump(module.Attributes(act=lambda: 1))
    with pytest.raises(UntrustedModel, match=r"posix\.system"):
        storers.dump(module.Attributes(value=FunctionTransformer(os.system)))


def test_an_object_that_holds_itself_is_refused(module: ModuleType) -> None:
    """A ring of objects is refused and not followed for ever."""
    ring = module.Attributes(value=1)
    ring.other = [ring]
    with pytest.raises(AttributeRefused, match=r"'other\[0\]' .* holds itself"):
        storers.dump(ring)


@pytest.mark.parametrize("name", ["Counted", "Pair"])
def test_what_would_lose_its_content_is_refused(module: ModuleType, name: str) -> None:
    """An object that is also a dictionary or a tuple is refused: its items are no attributes."""
    value = module.Counted(a=1) if name == "Counted" else module.Attributes(value=module.Pair(1, 2))
    with pytest.raises(AttributeRefused, match="would be lost"):
        storers.dump(value)


def test_only_what_predicts_is_a_model(module: ModuleType) -> None:
    """An object without 'predict', and one whose class is not in the project's files, have no storer."""
    with pytest.raises(NoStorer, match="object of the project's own classes with 'predict'"):
        storers.dump(module.Transformer())

    class Local:
        predict = len

    with pytest.raises(NoStorer):
        storers.dump(Local())


def test_damaged_files_are_refused(module: ModuleType) -> None:
    """A file without its parts, of another form, or of unknown kinds is refused in our words."""
    members = archives.unpack(storers.dump(module.Attributes(value=1))[1], format="object")
    about = json.loads(members["object.json"])
    for change, reason in (
        ({"form": 2}, "form 2"),
        ({"value": {"pickle": ""}}, "unknown kind 'pickle'"),
        ({"value": {"object": {"class": ["os", "system"], "state": {"dict": []}}}}, r"os\.system"),
    ):
        content = archives.pack(members | {"object.json": json.dumps(about | change).encode()})
        with pytest.raises((ModelRefused, CodeMissing), match=reason):
            storers.load("object", content)
    with pytest.raises(ModelRefused, match="damaged"):
        objects.load(archives.pack({"x": b""}), fetch=storers.load)
