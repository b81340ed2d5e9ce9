"""Every error survives the way between processes, and says what to do."""

import copy
import importlib
import inspect
import pickle
import pkgutil
import string
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

import ratchet
from ratchet.errors import RatchetError

SAMPLES: dict[Any, object] = {str: "a {value} with braces", int: 7, float: 0.5, bool: True}


def defined() -> list[type[RatchetError]]:
    """Return all errors of the package, wherever they are defined."""
    kinds: set[type[RatchetError]] = set()
    for module in pkgutil.walk_packages(ratchet.__path__, "ratchet."):
        if not module.name.endswith("__main__") and ".demo.project" not in module.name:
            members = vars(importlib.import_module(module.name)).values()
            kinds |= {kind for kind in members if inspect.isclass(kind) and issubclass(kind, RatchetError)}
    return sorted(kinds - {RatchetError}, key=lambda kind: kind.__name__)


DEFINED = defined()


def sample(kind: type[RatchetError]) -> RatchetError:
    """Return an error with a value in each field."""
    hints = get_type_hints(kind)
    return kind(**{field.name: SAMPLES.get(hints[field.name], "x") for field in fields(kind)})


@pytest.mark.parametrize("kind", DEFINED, ids=lambda kind: kind.__name__)
def test_error_crosses_processes(kind: type[RatchetError]) -> None:
    """An error comes back from pickle, from a copy and from its fields with the same type, fields and message."""
    error = sample(kind)
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), kind.from_fields(error.to_fields())):  # noqa: S301, our own bytes
        assert (type(back), back, str(back), back.args) == (kind, error, str(error), error.args)


@pytest.mark.parametrize("kind", DEFINED, ids=lambda kind: kind.__name__)
def test_message_is_made_of_fields(kind: type[RatchetError]) -> None:
    """A message names nothing but the error's fields, begins with a capital or a value, and ends a sentence."""
    assert kind.__doc__
    names = {name.partition(":")[0] for _, name, _, _ in string.Formatter().parse(kind.template) if name}
    assert names <= {field.name for field in fields(kind)}
    assert str(sample(kind)) == kind.template.format(**sample(kind).to_fields())


def test_no_two_errors_share_a_name() -> None:
    """A name of an error, which is what logs and other processes see, stands for one error."""
    names = [kind.__name__ for kind in DEFINED]
    assert sorted(set(names)) == names


@pytest.mark.parametrize("kind", DEFINED[:1], ids=lambda kind: kind.__name__)
def test_error_can_stand_in_a_set(kind: type[RatchetError]) -> None:
    """An error has a hash, like any exception: libraries keep those they have seen in sets."""
    assert hash(sample(kind)) == hash(sample(kind))
