"""Modules of PyTorch: the class from the project's code, the arguments that made it, and its tensors as safetensors.

Invariant: no pickle; a module that would not come back with the same tensors and settings is refused when it is stored.
"""

import inspect
import json
from typing import Any

from ratchet.store.formats import archives, project_code
from ratchet.store.formats.project_code import Origin
from ratchet.store.formats.refusals import ModelRefused

NAME = "torch"
_ABOUT = "module.json"
_CODE = "code.zip"
_TENSORS = "tensors.safetensors"
_MEMBERS = {_ABOUT, _CODE, _TENSORS}


def accepts(value: Any) -> bool:
    """Tell whether a value is a module of PyTorch."""
    return any(f"{base.__module__}.{base.__name__}" == "torch.nn.modules.module.Module" for base in type(value).__mro__)


def dump(module: Any) -> bytes:
    """Return a module's bytes.

    Raises:
        CodeMissing: Its class is not at the top of a file of the project.
        ModelRefused: Its class, its arguments and its tensors do not say all that it is.
    """
    import safetensors.torch

    origin = project_code.origin_of(type(module))
    arguments = _arguments(module)
    tensors = {name: one.detach().cpu().contiguous().clone() for name, one in module.state_dict().items()}
    _refuse_what_would_change(module, arguments)
    about = {"class": list(origin), "arguments": arguments, "training": module.training}
    return archives.pack(
        {
            _ABOUT: json.dumps(about, separators=(",", ":"), sort_keys=True).encode(),
            _CODE: project_code.archive_of(origin.snapshot),
            _TENSORS: safetensors.torch.save(tensors),
        }
    )


def load(content: bytes) -> Any:
    """Return the module of these bytes.

    Raises:
        CodeMissing: The snapshot does not have its class.
        ModelRefused: They are no such bytes, or the class takes neither these arguments nor these tensors.
    """
    import safetensors
    import safetensors.torch

    members = archives.unpack(content, format=NAME)
    if set(members) != _MEMBERS:
        raise ModelRefused(format=NAME, reason=f"its file holds {', '.join(sorted(members)) or 'nothing'}")
    about = json.loads(members[_ABOUT])
    kind = project_code.find(Origin(*about["class"]), members[_CODE])
    try:
        module = kind(**about["arguments"])
        module.load_state_dict(safetensors.torch.load(members[_TENSORS]))
    except (TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise ModelRefused(format=NAME, reason=f"{type(error).__name__}: {error}".rstrip(".")) from error
    return module.train(about["training"])


def open_module(content: bytes) -> Any:
    """Return the module of these bytes as a model that predicts from data frames."""
    module = load(content).eval()
    return (NetworkClassifier if callable(getattr(module, "predict_proba", None)) else Network)(module)


class Network:
    """A module that predicts numbers: by its own ``predict``, or by what it gives for a matrix of 32-bit numbers."""

    def __init__(self, module: Any) -> None:
        self._module = module
        columns = getattr(module, "feature_names_in_", None)
        if columns is not None:
            self.feature_names_in_ = tuple(columns)

    def predict(self, rows: Any) -> Any:
        """Return a number for each row of a data frame, shape ``(rows,)``."""
        import torch

        with torch.inference_mode():
            if callable(getattr(self._module, "predict", None)):
                return _to_array(self._module.predict(rows))
            given = self._module(torch.tensor(rows.to_numpy(dtype="float32")))
            return _to_array(given).reshape(len(rows), -1)[:, 0]


class NetworkClassifier(Network):
    """A module with a ``predict_proba`` of its own."""

    def predict_proba(self, rows: Any) -> Any:
        """Return the probabilities of both classes, shape ``(rows, 2)``."""
        import torch

        with torch.inference_mode():
            return _to_array(self._module.predict_proba(rows))


def _to_array(values: Any) -> Any:
    import numpy as np

    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _arguments(module: Any) -> dict[str, Any]:
    """Return what ``__init__`` was given, from the attributes of the same names."""
    arguments: dict[str, Any] = {}
    # The class's own __init__, without the instance.
    parameters = list(inspect.signature(type(module).__init__).parameters.values())[1:]
    for one in parameters:
        if one.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ModelRefused(format=NAME, reason=f"__init__ takes any number of arguments (*{one.name}); name them")
        value = getattr(module, one.name, inspect.Parameter.empty)
        if not _is_plain(value):
            reason = (
                f"argument '{one.name}' of __init__ is not kept; keep it as an attribute of the same name, "
                "a number, a text, or a list of such"
            )
            raise ModelRefused(format=NAME, reason=reason)
        arguments[one.name] = value
    return arguments


def _refuse_what_would_change(module: Any, arguments: dict[str, Any]) -> None:
    """Refuse a module with settings that its ``__init__`` does not make again from its arguments."""
    again = type(module)(**arguments)
    if set(again.state_dict()) != set(module.state_dict()):
        raise ModelRefused(format=NAME, reason="its __init__ makes other tensors than it has now")
    for name, value in vars(module).items():
        if not name.startswith("_") and name != "training" and _is_plain(value) and getattr(again, name, None) != value:
            reason = f"attribute '{name}' is set after __init__ and would be lost; make it an argument, or a buffer"
            raise ModelRefused(format=NAME, reason=reason)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(one) for one in value)
    return value is None or type(value) in (bool, int, float, str)
