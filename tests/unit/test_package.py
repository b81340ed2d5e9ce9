"""The public names."""

import subprocess
import sys

import pytest

import ratchet


@pytest.mark.parametrize("name", ratchet.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Each public name can be used, and says what it is for."""
    assert getattr(ratchet, name).__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public fails like any other."""
    with pytest.raises(AttributeError, match="module 'ratchet' has no attribute 'nonsense'"):
        _ = ratchet.nonsense


def test_importing_loads_nothing_heavy() -> None:
    """Importing the package loads none of the libraries that take seconds."""
    program = (
        "import sys, ratchet\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'sqlalchemy', 'dbos', 'duckdb', 'starlette', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
