"""The tables of trusted types: whole, true for the installed version, and nothing without a review."""

import re
import tomllib
from importlib import metadata

import pytest
from sklearn.utils import all_estimators

from ratchet.store.formats.refusals import UnreviewedLibrary
from ratchet.store.trust import tables
from tests import trust_tables

ESTIMATORS = all_estimators()
TABLE = tables.installed_table()


@pytest.mark.parametrize(("name", "kind"), ESTIMATORS, ids=[name for name, _ in ESTIMATORS])
def test_each_estimator_is_kept_or_refused_as_the_table_says(name: str, kind: type) -> None:
    """Each estimator comes back with the same answers and needs the types that the table names, or is refused."""
    needed, reason = trust_tables.review(name, kind, trusted=set(TABLE.trusted))
    assert reason == TABLE.refused.get(name, "")
    assert sorted(needed) == (TABLE.kept[name] if not reason else [])


def test_the_table_is_whole() -> None:
    """The table names each estimator once, and none that is not there."""
    assert sorted([*TABLE.kept, *TABLE.refused]) == sorted(name for name, _ in ESTIMATORS)
    assert not set(TABLE.kept) & set(TABLE.refused)


def test_each_trusted_type_exists_and_has_a_reason() -> None:
    """What is trusted is something that the installed libraries have, and says why."""
    assert [name for name in TABLE.trusted if not trust_tables.is_there(name)] == []
    assert all(TABLE.trusted.values())


@pytest.mark.parametrize("version", tables.reviewed_versions())
def test_tables_are_in_the_form_of_the_program_that_writes_them(version: str) -> None:
    """A table is what the program would write, so that nobody edits what was measured."""
    text = tables.table_path(version).read_text()
    values = tomllib.loads(text)
    assert text == trust_tables.render(version, values["trusted"], kept=values["kept"], refused=values["refused"])


@pytest.mark.parametrize("version", tables.reviewed_versions())
def test_nothing_that_runs_what_it_is_given_is_trusted(version: str) -> None:
    """No table trusts what reads files, starts processes or calls whatever a model file names."""
    dangerous = re.compile(
        r"^(builtins|os|posix|subprocess|importlib|pickle|shutil|sys|ctypes|joblib)\.|PyFunc|\bload$"
    )
    assert [name for name in tables.read_table(version).trusted if dangerous.search(name)] == []


def test_the_versions_that_may_be_installed_are_reviewed() -> None:
    """Each version within the bounds of the package's dependency has a table."""
    (bound,) = [one for one in metadata.requires("mlratchet") or [] if one.startswith("scikit-learn")]
    lowest, highest = (int(re.search(rf"{sign}1\.(\d+)", bound)[1]) for sign in (">=", "<"))  # type: ignore[index]
    assert tables.reviewed_versions() == [f"1.{number}" for number in range(lowest, highest)]


def test_an_unreviewed_version_trusts_nothing() -> None:
    """A version without a table is refused, with those that have one."""
    with pytest.raises(UnreviewedLibrary, match=r"scikit-learn 1\.99 .* reviewed for 1\.8 and 1\.9"):
        tables.read_table("1.99")


def test_a_type_that_is_taken_off_the_table_is_missed() -> None:
    """The review fails for an estimator that needs a type which is no longer trusted."""
    kind = dict(ESTIMATORS)["DecisionTreeClassifier"]
    _, reason = trust_tables.review("DecisionTreeClassifier", kind, trusted=set())
    assert reason == "it holds types that nobody has reviewed: sklearn.tree._tree.Tree"
