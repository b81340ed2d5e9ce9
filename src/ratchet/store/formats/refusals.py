"""Why a model is not stored or not loaded, or data frames and models cannot be worked with at all.

Invariant: each of these names what was found, and what to do instead.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class LibraryMissing(RatchetError):
    """Something needs a library that is not installed."""

    what: str
    library: str
    extra: str
    template: ClassVar[str] = (
        "{what} needs {library}, which is not installed here. Install it where Ratchet runs: "
        "pip install 'mlratchet[{extra}]'."
    )


@dataclass
class UnreviewedLibrary(RatchetError):
    """Nobody has reviewed what model files of this version may hold."""

    library: str
    version: str
    reviewed: str
    template: ClassVar[str] = (
        "Models of {library} {version} are neither stored nor loaded: what their files may hold was reviewed for "
        "{reviewed}. Install one of those, or a Ratchet that knows {version}; docs/reference/formats.md says more."
    )


@dataclass
class EstimatorRefused(RatchetError):
    """An estimator that does not come back from a file as it was."""

    estimator: str
    reason: str
    template: ClassVar[str] = (
        "A {estimator} cannot be kept: {reason}. Use another estimator, export it to ONNX, or return an object of your "
        "own with 'predict' that keeps what it needs as arrays."
    )


@dataclass
class ForeignPart(RatchetError):
    """A model of another library sits where only models of scikit-learn can be kept."""

    types: str
    template: ClassVar[str] = (
        "{types} sits inside an estimator of scikit-learn, where it cannot be kept without pickle. It can be kept by "
        "itself, and as the last step of a Pipeline; elsewhere, return an object of your own that holds both."
    )


@dataclass
class ModelRefused(RatchetError):
    """A model that its format cannot hold, or a file that does not keep to its format."""

    format: str
    reason: str
    template: ClassVar[str] = "The model cannot be kept in the format '{format}': {reason}."


@dataclass
class AttributeRefused(RatchetError):
    """An attribute of an object that cannot be kept."""

    attribute: str
    type: str
    reason: str
    template: ClassVar[str] = (
        "'{attribute}' cannot be kept: a value of type {type} {reason}. Keep numbers, text, lists, dictionaries, "
        "arrays, data frames, models and objects of your own classes; leave the rest out in __getstate__ and make it "
        "again in __setstate__."
    )


@dataclass
class CodeMissing(RatchetError):
    """A class that is not part of the project's code, or no longer is."""

    name: str
    reason: str
    template: ClassVar[str] = (
        "Class '{name}' cannot be found in the project's code: {reason}. Define it at the top of a Python file beside "
        "ratchet.toml, or in a folder below, and return its object from a run."
    )
