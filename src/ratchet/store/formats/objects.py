"""Objects of the project's own classes: their attributes as values, and the snapshot with their code.

An archive has ``object.json``, which says the class and the attributes, ``code.zip``, the snapshot that the class comes
from, and one member for each attribute that is more than JSON: arrays, data frames, models.

Invariant: an object is made again without pickle: its class is looked up in the snapshot, and its attributes are set,
by ``__setstate__`` where the class has one. So what runs is code that the run of this project has run before.
"""

import base64
import json
from collections.abc import Callable
from enum import Enum
from typing import Any

from ratchet.errors import NoStorer
from ratchet.store.formats import archives, project_code
from ratchet.store.formats.project_code import Origin
from ratchet.store.formats.refusals import AttributeRefused, ModelRefused

NAME = "object"
_ABOUT = "object.json"
_CODE = "code.zip"
_FORM = 1

# Classes whose objects hold more than attributes.
_WITH_CONTENT = (list, dict, tuple, set, frozenset, str, bytes, int, float)

# A value to the name of its storer and its bytes, and the way back.
Keep = Callable[[Any], tuple[str, bytes]]
Fetch = Callable[[str, bytes], Any]


def accepts(value: Any) -> bool:
    """Tell whether a value is an object of the project's own code that predicts."""
    return callable(getattr(value, "predict", None)) and project_code.is_own(type(value))


def dump(value: Any, *, keep: Keep) -> bytes:
    """Return an object's bytes.

    Args:
        value: An object of a class of the project.
        keep: Stores values that are more than JSON.

    Raises:
        AttributeRefused: One of its attributes cannot be kept.
        CodeMissing: Its class is not at the top of a file of the project.
    """
    writer = _Writer(keep)
    content = writer.write(value, path="")
    (snapshot,) = writer.snapshots
    about = {"form": _FORM, "snapshot": snapshot, "value": content}
    members = {_ABOUT: json.dumps(about, separators=(",", ":")).encode(), _CODE: project_code.archive_of(snapshot)}
    return archives.pack(members | writer.parts)


def load(content: bytes, *, fetch: Fetch) -> Any:
    """Return the object of these bytes.

    Args:
        content: What ``dump`` gave.
        fetch: Loads values that are more than JSON.

    Raises:
        ModelRefused: They are no such bytes.
        CodeMissing: The snapshot does not have the class.
    """
    members = archives.unpack(content, format=NAME)
    try:
        about = json.loads(members[_ABOUT])
        snapshot, value, code = str(about["snapshot"]), about["value"], members[_CODE]
        form = about["form"]
    except (KeyError, ValueError, TypeError) as error:
        raise ModelRefused(format=NAME, reason=f"its file is damaged: {type(error).__name__}: {error}") from error
    if form != _FORM:
        raise ModelRefused(format=NAME, reason=f"its file has form {form}, and {_FORM} is known here")
    return _Reader(members, snapshot=snapshot, code=code, fetch=fetch).read(value)


class _Writer:
    """Writes values as JSON; whatever JSON does not have becomes an object with one key, which says what it is."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._above: list[int] = []
        self.parts: dict[str, bytes] = {}
        self.snapshots: set[str] = set()

    def write(self, value: Any, *, path: str) -> Any:
        """Return the JSON value of a value.

        Raises:
            AttributeRefused: It has none.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if id(value) in self._above:
            raise AttributeRefused(attribute=path, type=type(value).__name__, reason="holds itself")
        self._above.append(id(value))
        try:
            return self._write_inner(value, path=path)
        finally:
            self._above.pop()

    def _write_inner(self, value: Any, *, path: str) -> Any:  # noqa: PLR0911, one kind of value after the other
        kind = type(value)
        if kind in (list, tuple):
            return {kind.__name__: [self.write(one, path=f"{path}[{place}]") for place, one in enumerate(value)]}
        if kind is dict:
            pairs = [
                [self.write(key, path=path), self.write(one, path=f"{path}[{key!r}]")] for key, one in value.items()
            ]
            return {"dict": pairs}
        if kind in (set, frozenset):
            # In an order that does not depend on hashes.
            return {kind.__name__: sorted((self.write(one, path=path) for one in value), key=json.dumps)}
        if kind is bytes:
            return {"bytes": base64.b64encode(value).decode()}
        if project_code.is_own(kind) and isinstance(value, Enum):
            return {"member": [*self._name(value, path=path), value.name]}
        if project_code.is_own(kind) and isinstance(value, _WITH_CONTENT):
            reason = "is also a list, a dictionary or the like, and that part of it would be lost"
            raise AttributeRefused(attribute=path, type=kind.__name__, reason=reason)
        if project_code.is_own(kind):
            return {"object": self._write_object(value, path=path)}
        return self._write_part(value, path=path)

    def _write_object(self, value: Any, *, path: str) -> Any:
        return {"class": self._name(value, path=path), "state": self._write_state(value, path=path)}

    def _name(self, value: Any, *, path: str) -> list[str]:
        """Return module and name of the class of a value, and note the snapshot that it comes from."""
        origin = project_code.origin_of(type(value))
        self.snapshots.add(origin.snapshot)
        if len(self.snapshots) > 1:
            raise AttributeRefused(
                attribute=path, type=type(value).__name__, reason="comes from another version of the project's files"
            )
        return [origin.module, origin.name]

    def _write_state(self, value: Any, *, path: str) -> Any:
        state = value.__getstate__()
        if isinstance(state, dict):
            named = {name: self.write(one, path=f"{path}.{name}".lstrip(".")) for name, one in state.items()}
            return {"dict": [[name, one] for name, one in named.items()]}
        # Slots come as a pair; whatever else a __getstate__ gives is the class's own affair.
        return self.write(state, path=path)

    def _write_part(self, value: Any, *, path: str) -> Any:
        is_scalar = type(value).__module__ == "numpy" and hasattr(value, "dtype") and not getattr(value, "shape", ())
        try:
            storer, content = self._keep(_as_array(value) if is_scalar else value)
        except NoStorer as error:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise AttributeRefused(attribute=path, type=kind, reason="has no storer") from error
        name = f"{len(self.parts):04d}.{storer}"
        self.parts[name] = content
        return {"scalar" if is_scalar and type(value).__name__ != "ndarray" else "part": [name, storer]}


class _Reader:
    """Reads what ``_Writer`` wrote."""

    def __init__(self, members: dict[str, bytes], *, snapshot: str, code: bytes, fetch: Fetch) -> None:
        self._members = members
        self._snapshot = snapshot
        self._code = code
        self._fetch = fetch

    def read(self, value: Any) -> Any:  # noqa: PLR0911, one kind of value after the other
        """Return the value of a JSON value."""
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        match kind:
            case "list" | "tuple" | "set" | "frozenset":
                makers: dict[str, Callable[..., Any]] = {
                    "list": list,
                    "tuple": tuple,
                    "set": set,
                    "frozenset": frozenset,
                }
                return makers[kind](self.read(one) for one in inner)
            case "dict":
                return {self.read(key): self.read(one) for key, one in inner}
            case "bytes":
                return base64.b64decode(inner)
            case "part":
                return self._fetch(inner[1], self._members[inner[0]])
            case "scalar":
                return self._fetch(inner[1], self._members[inner[0]])[()]
            case "object":
                return self._read_object(inner)
            case "member":
                members: Any = self._find(*inner[:2])
                return members[inner[2]]
        raise ModelRefused(format=NAME, reason=f"its file has a value of the unknown kind '{kind}'")

    def _read_object(self, value: Any) -> Any:
        kind: Any = self._find(*value["class"])
        made = kind.__new__(kind)
        state = self.read(value["state"])
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
            return made
        in_dictionary, in_slots = state if isinstance(state, tuple) else (state, None)
        for attribute, one in {**(in_dictionary or {}), **(in_slots or {})}.items():
            # Past __setattr__, which a frozen data class has closed.
            object.__setattr__(made, attribute, one)
        return made

    def _find(self, module: str, name: str) -> type:
        return project_code.find(Origin(self._snapshot, module, name), self._code)


def _as_array(value: Any) -> Any:
    import numpy as np

    return np.asarray(value)
