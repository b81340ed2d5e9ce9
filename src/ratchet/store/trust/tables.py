"""The table of trusted types and of estimators for the scikit-learn that is installed.

Invariant: a version without a table of its own trusts nothing; a model file cannot add to a table.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from ratchet.store.formats.refusals import UnreviewedLibrary

LIBRARY = "scikit-learn"
FOLDER = Path(__file__).parent
_STEM = "sklearn-"


@dataclass(frozen=True)
class TrustTable:
    """What was reviewed of one version.

    Attributes:
        version: Such as ``1.9``.
        trusted: Types and functions that a file may hold beside estimators and arrays, each with the reason.
        kept: Estimators that come back as they were, each with the trusted types that it was seen to need.
        refused: Estimators that do not, each with the reason.
    """

    version: str
    trusted: dict[str, str]
    kept: dict[str, list[str]]
    refused: dict[str, str]


def reviewed_versions() -> list[str]:
    """Return the versions that have a table, the oldest first."""
    versions = [path.stem.removeprefix(_STEM) for path in FOLDER.glob(f"{_STEM}*.toml")]
    return sorted(versions, key=_by_number)


def table_path(version: str) -> Path:
    """Return where the table of a version lies."""
    return FOLDER / f"{_STEM}{version}.toml"


def installed_version() -> str:
    """Return the installed version of scikit-learn without its last number, such as ``1.9``."""
    return ".".join(metadata.version(LIBRARY).split(".")[:2])


@cache
def read_table(version: str) -> TrustTable:
    """Return the table of a version.

    Raises:
        UnreviewedLibrary: It has none.
    """
    try:
        values = tomllib.loads(table_path(version).read_text(encoding="utf-8"))
    except FileNotFoundError:
        reviewed = " and ".join(reviewed_versions())
        raise UnreviewedLibrary(library=LIBRARY, version=version, reviewed=reviewed) from None
    return TrustTable(version=version, trusted=values["trusted"], kept=values["kept"], refused=values["refused"])


def installed_table() -> TrustTable:
    """Return the table of the version that is installed.

    Raises:
        UnreviewedLibrary: It has none.
    """
    return read_table(installed_version())


def _by_number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
