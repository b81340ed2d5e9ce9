"""Modules of PyTorch: class and arguments from the project, tensors as safetensors, and nothing that is lost."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ratchet.store import storers
from ratchet.store.formats import archives, extras, networks
from ratchet.store.formats.refusals import CodeMissing, LibraryMissing, ModelRefused
from tests import snapshots

if "RATCHET_ALL_FORMATS" in os.environ:
    import torch
else:
    torch = pytest.importorskip("torch", reason="torch is not installed; make proof-formats tests it")

CODE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, wide, rate=0.5, names=None):
        super().__init__()
        self.wide, self.rate, self.names = wide, rate, names
        self.first = torch.nn.Linear(2, wide)
        self.drop = torch.nn.Dropout(rate)
        self.norm = torch.nn.BatchNorm1d(wide)
        self.last = torch.nn.Linear(wide, 1)
    def forward(self, rows):
        return self.last(self.norm(self.drop(torch.relu(self.first(rows)))))

class Chances(Net):
    feature_names_in_ = ("a", "b")
    def predict_proba(self, rows):
        second = torch.sigmoid(self(torch.tensor(rows.to_numpy(dtype="float32"))))[:, 0]
        return torch.stack([1 - second, second], dim=1)

class Own(Net):
    def predict(self, rows):
        return rows["a"] * self.rate

class Forgetful(torch.nn.Module):
    def __init__(self, wide):
        super().__init__()
        self.layer = torch.nn.Linear(2, wide)

class Many(torch.nn.Module):
    def __init__(self, *wide):
        super().__init__()
"""
ROWS = pd.DataFrame({"a": [1.0, -2.0, 0.5], "b": [0.0, 1.0, 2.0]})


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    """The project's module, imported as a run imports it."""
    with snapshots.entered(tmp_path, {"nets_of_test.py": CODE}, module="nets_of_test") as found:
        torch.manual_seed(0)
        yield found


def trained(net: Any) -> Any:
    """Return a module with other tensors and other running means than it was made with."""
    net(torch.randn(20, 2)).sum().backward()
    with torch.no_grad():
        for one in net.parameters():
            one.sub_(0.1 * one.grad)
    return net


def test_a_module_comes_back(module: ModuleType) -> None:
    """Tensors, running means, arguments and the mode come back, and the bytes are the same again."""
    net = trained(module.Net(3, names=["x", "y"]))
    name, content = storers.dump(net)
    back = storers.load(name, content)
    assert (name, type(back), back.wide, back.names, back.training) == ("torch", module.Net, 3, ["x", "y"], True)
    for key, tensor in net.state_dict().items():
        assert torch.equal(back.state_dict()[key], tensor), key
    assert storers.dump(back) == (name, content)


def test_an_opened_module_predicts(module: ModuleType) -> None:
    """Opened, a module is in the mode for predicting: by itself on a matrix, or as it says itself."""
    for kind in (module.Net, module.Own, module.Chances):
        net = trained(kind(4))
        opened = storers.open_model(*storers.dump(net))
        net.eval()
        with torch.no_grad():
            direct = net(torch.tensor(ROWS.to_numpy(dtype="float32")))[:, 0].numpy()
        if kind is module.Chances:
            np.testing.assert_allclose(opened.predict_proba(ROWS)[:, 1], 1 / (1 + np.exp(-direct)), rtol=1e-5)
            assert storers.column_names(opened) == ("a", "b")
        else:
            expected = ROWS["a"] * 0.5 if kind is module.Own else direct
            np.testing.assert_allclose(opened.predict(ROWS), expected, rtol=1e-6)


def test_what_would_be_lost_is_refused(module: ModuleType) -> None:
    """Arguments that are not kept, and settings that are made later, are refused by name."""
    with pytest.raises(ModelRefused, match="argument 'wide' of __init__ is not kept"):
        storers.dump(module.Forgetful(2))
    with pytest.raises(ModelRefused, match="any number of arguments"):
        storers.dump(module.Many(2))
    later = module.Net(2)
    later.threshold = 0.7
    with pytest.raises(ModelRefused, match="attribute 'threshold' is set after __init__"):
        storers.dump(later)
    other = module.Net(2)
    other.extra = torch.nn.Linear(1, 1)
    with pytest.raises(ModelRefused, match="other tensors"):
        storers.dump(other)


def test_a_class_of_the_library_is_refused() -> None:
    """A module that no file of the project describes is refused with the way out."""
    with pytest.raises(CodeMissing, match="Define it at the top of a Python file"):
        storers.dump(torch.nn.Sequential(torch.nn.Linear(1, 1)))


def test_tensors_that_do_not_fit_are_refused(module: ModuleType) -> None:
    """A file whose tensors are not those of the class, or are damaged, is refused in our words."""
    members = archives.unpack(networks.dump(module.Net(2)), format="torch")
    wider = archives.unpack(networks.dump(module.Net(3)), format="torch")
    for tensors in (wider["tensors.safetensors"], b"nonsense"):
        with pytest.raises(ModelRefused, match="in the format 'torch'"):
            networks.load(archives.pack(members | {"tensors.safetensors": tensors}))
    with pytest.raises(ModelRefused, match="its file holds x"):
        networks.load(archives.pack({"x": b""}))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the message says which extra brings it."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "safetensors" else name)
    with pytest.raises(LibraryMissing, match=r"needs safetensors, .* pip install 'mlratchet\[torch\]'"):
        storers.load("torch", b"")
