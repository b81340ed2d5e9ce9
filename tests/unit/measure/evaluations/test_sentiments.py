"""Red, yellow and green: typed in several ways, shown as one sign."""

import pytest

from ratchet.measure.evaluations.sentiments import ALLOWED, Sentiment, parse


@pytest.mark.parametrize("typed", ["🔴", "red", "RED", " r ", "R"])
def test_red_may_be_typed_in_several_ways(typed: str) -> None:
    """Word, letter and emoji mean the same."""
    assert parse(typed) is Sentiment.RED


@pytest.mark.parametrize("typed", ["", "amber", "🟠", "0", "gr"])
def test_anything_else_means_nothing(typed: str) -> None:
    """Nothing is guessed."""
    assert parse(typed) is None


def test_the_value_is_the_emoji() -> None:
    """Whatever writes a sentiment writes its emoji, and the allowed ones are named with words and signs."""
    assert [str(one) for one in Sentiment] == ["🔴", "🟡", "🟢"]
    assert ALLOWED == "red 🔴, yellow 🟡, green 🟢"


def test_letters_and_colours_tell_them_apart() -> None:
    """Colour is not the only sign."""
    assert [one.letter for one in Sentiment] == ["R", "Y", "G"]
    assert len({one.colour for one in Sentiment}) == 3


@pytest.mark.parametrize("sentiment", Sentiment)
def test_a_letter_can_be_read_on_its_circle(sentiment: Sentiment) -> None:
    """The contrast of letter and circle is at least 4.5 to 1 (WCAG 2, 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(sentiment.colour), luminance(sentiment.ink)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
