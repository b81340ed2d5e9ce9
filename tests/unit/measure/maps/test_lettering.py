"""Texts that fit."""

from hypothesis import given
from hypothesis import strategies as st

from ratchet.measure.maps.lettering import ELLIPSIS, text_width, wrap


def test_wide_letters_are_wider() -> None:
    """Widths follow the letters, and the size of the font."""
    assert text_width("mmm", size=10) > text_width("nnn", size=10) > text_width("iii", size=10)
    assert text_width("abc", size=20) == 2 * text_width("abc", size=10)
    assert text_width("\u6a5f\u68b0", size=10) == 20


def test_breaks_at_spaces_and_ends_in_an_ellipsis() -> None:
    """What does not fit into the lines is marked as cut."""
    assert wrap("one two three", width=50, size=10) == ["one two", "three"]
    cut = wrap("one two three four five", width=50, size=10, lines=2)
    assert len(cut) == 2
    assert cut[1].endswith(ELLIPSIS)


def test_a_word_that_is_wider_than_a_line_is_cut() -> None:
    """No word runs out of its box."""
    assert "".join(wrap("a" * 40, width=50, size=10)) == "a" * 40


@given(
    st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"]), max_size=80),
    st.integers(1, 4),
)
def test_no_line_is_wider_than_asked(text: str, lines: int) -> None:
    """Whatever the text: so many lines, and none too wide."""
    made = wrap(text, width=60, size=12, lines=lines)
    assert len(made) <= lines
    assert all(text_width(line, size=12) <= 60 for line in made)
