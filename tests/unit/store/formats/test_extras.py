"""Libraries that may be missing: each is looked for before it is needed, and the message names its extra."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ratchet.store import storers
from ratchet.store.formats import extras
from ratchet.store.formats.refusals import LibraryMissing

PROJECT = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"scikit-learn": "sklearn"}


@pytest.fixture
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hide libraries from this process, as if they were not installed."""

    def hide(*libraries: str) -> None:
        for library in libraries:
            monkeypatch.setitem(sys.modules, library, None)

    return hide


def names(requirements: list[str]) -> set[str]:
    """Return what requirements name, as it is imported."""
    found = (re.split(r"[<>=!~;\[ ]", one)[0] for one in requirements)
    return {DISTRIBUTIONS.get(name, name) for name in found}


def test_the_table_says_what_the_package_says() -> None:
    """Each library is in the extra that the table names, and none of them is in the core."""
    for library, extra in extras.EXTRAS.items():
        # SciPy comes with scikit-learn.
        assert library in names(PROJECT["optional-dependencies"][extra]) | {"scipy"}, library
    assert names(PROJECT["dependencies"]) & extras.EXTRAS.keys() == set()


@pytest.mark.parametrize("storer", storers.known(), ids=lambda one: one.name)
def test_each_format_names_an_extra_that_brings_its_libraries(storer: storers.Storer) -> None:
    """All of them are asked with data frames, so the extra of each brings those as well."""
    brought = {extra: set(wanted) for extra, wanted in PROJECT["optional-dependencies"].items()}
    wanted = names(list(brought.get(storer.extra, set())))
    if "mlratchet[sklearn]" in brought.get(storer.extra, set()):
        wanted |= names(PROJECT["optional-dependencies"]["sklearn"])
    assert set(storer.libraries) <= wanted
    assert not storer.libraries or "pandas" in wanted


def test_what_is_there_may_be_used(without: Any) -> None:
    """Nothing is said of libraries that are installed."""
    extras.require("pandas", "sklearn", what="This test")
    with extras.told("This test"):
        assert sys.modules["pandas"]
    without("sklearn")
    assert (extras.is_installed("pandas"), extras.is_installed("sklearn")) == (True, False)


def test_a_missing_library_is_named_before_anything_is_begun(without: Any) -> None:
    """By the name under which it is known, with what needs it and the command that brings it."""
    without("sklearn")
    said = (
        "This test needs scikit-learn, which is not installed here. Install it where Ratchet runs: "
        "pip install 'mlratchet[sklearn]'."
    )
    with pytest.raises(LibraryMissing) as caught:
        extras.require("pandas", "sklearn", what="This test")
    assert str(caught.value) == said
    with pytest.raises(LibraryMissing, match=r"'mlratchet\[demo\]'"):
        extras.require("sklearn", what="This test", extra="demo")


def test_an_import_in_vain_is_told(without: Any) -> None:
    """Only that of a library that an extra brings; any other error stays what it was."""
    without("pandas")
    with (
        pytest.raises(LibraryMissing, match=r"^orders.py needs pandas, which is not installed"),
        extras.told("orders.py"),
    ):
        import pandas  # noqa: F401, that it cannot be imported is the point
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extras.told("orders.py"):
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401, as above
    with pytest.raises(ModuleNotFoundError, match=r"numpy\.nothing"), extras.told("orders.py"):
        import numpy.nothing  # type: ignore[import-not-found]  # noqa: F401, as above
    with pytest.raises(ModuleNotFoundError, match=r"sklearn\.nothing"), extras.told("orders.py"):
        import sklearn.nothing  # noqa: F401, as above


@pytest.mark.parametrize(("name", "library"), [("frame", "pandas"), ("series", "pandas"), ("skops", "scikit-learn")])
def test_what_was_stored_with_a_library_is_not_loaded_without_it(without: Any, name: str, library: str) -> None:
    """The format is named, and the extra."""
    without("pandas", "sklearn")
    with pytest.raises(LibraryMissing, match=rf"The format '{name}' needs {library}, .*'mlratchet\[sklearn\]'"):
        storers.load(name, b"")


def test_an_estimator_is_not_stored_without_its_library(without: Any) -> None:
    """One that only looks like scikit-learn's, where nothing of it is installed, is refused in our words."""

    class Likeness:
        def fit(self) -> None: ...

        def get_params(self) -> dict[str, Any]:
            return {}

    without("skops")
    with pytest.raises(LibraryMissing, match=r"The format 'skops' needs skops"):
        storers.dump(Likeness())


def test_json_and_arrays_need_no_extra(without: Any) -> None:
    """Steps that return those work with the core alone."""
    import numpy as np

    without(*extras.EXTRAS)
    assert storers.load(*storers.dump({"a": [1, 2.5, None]})) == {"a": [1, 2.5, None]}
    assert storers.load(*storers.dump(np.arange(3))).tolist() == [0, 1, 2]
