"""The page of formats names all that there is: formats, extras, reviewed versions and refused estimators."""

import re
import tomllib

import pytest

from ratchet.store import storers
from ratchet.store.trust import tables
from tests.docs import pages

PAGE = (pages.ROOT / "docs" / "reference" / "formats.md").read_text()
EXTRAS = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PLAIN = {"frame", "series", "array", "json"}


@pytest.mark.parametrize("storer", storers.known(), ids=lambda one: str(one.name))
def test_each_format_has_its_row(storer: storers.Storer) -> None:
    """Each format of models is in the table with its extra, and the extra brings the libraries that it needs."""
    if storer.name in PLAIN:
        return
    (row,) = [line for line in PAGE.splitlines() if re.match(rf"\| .*`{storer.name}`.* \|.*\|.*\|", line)][:1]
    assert f"| {f'`{storer.extra}`' if storer.extra else 'none'} |" in row
    # All others bring what the first one does: they are asked with data frames, and measured by scikit-learn.
    shared = {"mlratchet[sklearn]", *EXTRAS["sklearn"]}
    brought = {re.split(r"[<>=]", one)[0] for one in EXTRAS[storer.extra] if one not in shared}
    assert set(storer.libraries) - {"skops", "sklearn"} == brought


@pytest.mark.parametrize("version", tables.reviewed_versions())
def test_each_reviewed_version_and_each_refusal_is_named(version: str) -> None:
    """The page names each version that has a table, and each estimator that a table refuses."""
    assert f"**{version}**" in PAGE
    assert [name for name in tables.read_table(version).refused if f"`{name}`" not in PAGE] == []
