"""A conclusion as a file."""

import pytest
from msgspec.structs import replace

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations.conclusions import Conclusion, parse, to_toml
from ratchet.measure.evaluations.figures import Figures

MADE = Conclusion(
    choice="Alpha",
    reasons=('covers "most"', "two\nlines"),
    by="person-1",
    concluded_at="2024-12-20T10:00:00+00:00",
    digest="d" * 64,
    answered=9,
    expected=16,
    missing=("builder-2",),
    disqualified=(),
)


def test_a_conclusion_comes_back_from_its_file() -> None:
    """With all that it rests on."""
    assert parse(to_toml(MADE), where="c.toml") == MADE
    assert MADE.day == "2024-12-20"


def test_the_figures_of_the_candidates_stay_with_it() -> None:
    """What the choice would take and bring, as it was known then; and that a choice without answers was meant."""
    figures = (Figures(name="Alpha", cost_year=12.5, currency="EUR", processes=3, covered=0), Figures(name="Beta"))
    made = replace(MADE, figures=figures, answered=0, is_without_answers=True)
    assert parse(to_toml(made), where="c.toml") == made


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"2024-12-20T10:00:00+00:00", b"then", "'concluded_at' is 'then'"),
        (b"choice", b"choise", "c.toml:4: 'choise' is not part of a conclusion"),
        (b"[conclusion]", b"[conclusions]", "has no table \\[conclusion\\]"),
    ],
)
def test_what_is_none_is_refused(old: bytes, new: bytes, message: str) -> None:
    """File, line, what is wrong."""
    with pytest.raises(ConfigInvalid, match=message):
        parse(to_toml(MADE).replace(old, new), where="c.toml")
