"""Candidates: what is known of each, and what is refused."""

import pytest

from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.measure.evaluations import candidates
from ratchet.toml_tables import TableFile

GOOD = b'[[candidate]]\nname = "Alpha"\nkind = "own"\n'


def read(content: bytes) -> tuple[candidates.Candidate, ...]:
    """Return the candidates in a file."""
    return candidates.read(TableFile(content, where="e.toml").tables("candidate"))


def test_what_nobody_named_is_not_known() -> None:
    """A cost that is missing is no cost of zero."""
    (one,) = read(GOOD)
    assert (one.cost_year, one.effort_days, one.tools, one.lock_in) == (None, None, {}, "")
    assert read(GOOD + b"cost_year = 0\n")[0].cost_year == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (b'[[candidate]]\nname = "ALPHA"\nkind = "own"\n', "'name' is 'ALPHA' a second time; the first is at e.toml:1"),
        (b"cost_year = 5\n", "e.toml:4: 'cost_year' is 5 of no currency"),
        (b'cost = 5\ncurrency = "EUR"\n', "'cost' is not part of a candidate"),
        (b"effort_days = -1\n", "e.toml:4: 'effort_days' is -1"),
        (b"tools = ['a']\n", "'tools' is"),
    ],
)
def test_what_means_nothing_is_refused_with_its_line(more: bytes, message: str) -> None:
    """File, line, what is wrong, what is allowed."""
    with pytest.raises(ConfigInvalid, match=message):
        read(GOOD + more)


@pytest.mark.parametrize("name", [b"none", b"None", b"a, b", b"x" * 61])
def test_some_names_are_refused(name: bytes) -> None:
    """A name that would mean no choice, or two of them."""
    with pytest.raises(ConfigInvalid, match=r"e.toml:2: 'name'"):
        read(GOOD.replace(b"Alpha", name))


def test_an_unknown_kind_is_answered_with_the_known() -> None:
    """There are three kinds."""
    with pytest.raises(ConfigInvalid, match=r"e.toml:3: 'kind' is 'rented'.*Allowed: bought, open source, own"):
        read(GOOD.replace(b'"own"', b'"rented"'))


def test_a_candidate_is_found_whatever_the_capitals() -> None:
    """A name that is nearly right is answered with the one that was meant."""
    found = read(GOOD)
    assert candidates.find(found, " alpha ").name == "Alpha"
    with pytest.raises(UnknownName, match=r"No candidate named 'Alfa'. Known: Alpha. Did you mean 'Alpha'"):
        candidates.find(found, "Alfa")
