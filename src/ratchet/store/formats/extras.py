"""Libraries that an installation may do without, and the extra that brings each.

Invariant: what needs such a library imports it where it is used, and says what cannot be done without it, and which
extra to install.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ratchet.store.formats.refusals import LibraryMissing

FRAMES = "sklearn"
# What is imported -> the extra.
EXTRAS = {
    "pandas": FRAMES,
    "scipy": FRAMES,
    "sklearn": FRAMES,
    "skops": FRAMES,
    "catboost": "catboost",
    "lightgbm": "lightgbm",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "safetensors": "torch",
    "torch": "torch",
    "xgboost": "xgboost",
}
_CALLED = {"sklearn": "scikit-learn"}


def is_installed(library: str) -> bool:
    """Tell whether a library can be imported here; it is not."""
    return find_spec(library) is not None


def require(*libraries: str, what: str, extra: str = "") -> None:
    """See that libraries are there before something is begun that needs them.

    Args:
        libraries: As they are imported.
        what: What needs them, as the beginning of a sentence.
        extra: The extra that brings all that this needs; the table's by default.

    Raises:
        LibraryMissing: One is not.
    """
    for library in libraries:
        if not is_installed(library):
            raise missing(library, what=what, extra=extra)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say which extra brings a library that code of the project imports in vain while the context lasts.

    Args:
        what: The code, as the beginning of a sentence.

    Raises:
        LibraryMissing: In place of the error of an import, where an extra brings the library.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        # One that is there and lacks a part is another matter, which its own error tells.
        if library not in EXTRAS or is_installed(library):
            raise
        raise missing(library, what=what) from error


def missing(library: str, *, what: str, extra: str = "") -> LibraryMissing:
    """Return the error that says that a library is missing, with the extra that brings it: the table's by default."""
    return LibraryMissing(what=what, library=_CALLED.get(library, library), extra=extra or EXTRAS[library])
