"""How an answer feels to the one who gave it: red, yellow or green.

Invariant: a sentiment's value is its emoji, so that every text that is exported shows the same sign; where it is drawn,
it is a circle in its colour with its letter.
"""

from enum import StrEnum
from typing import assert_never


class Sentiment(StrEnum):
    """What an answer amounts to."""

    RED = "🔴"
    YELLOW = "🟡"
    GREEN = "🟢"

    @property
    def word(self) -> str:
        """Return the name of the colour, as it is typed."""
        return self.name.lower()

    @property
    def letter(self) -> str:
        """Return the letter in the circle: colour is never the only sign."""
        return self.name[0]

    @property
    def colour(self) -> str:
        """Return the colour of the circle, as six hexadecimal digits."""
        match self:
            case Sentiment.RED:
                return "#c62828"
            case Sentiment.YELLOW:
                return "#f2b134"
            case Sentiment.GREEN:
                return "#1b7f4b"
            case _:  # pragma: no cover
                assert_never(self)

    @property
    def ink(self) -> str:
        """Return the colour of the letter on the circle."""
        return "#1a1a1a" if self is Sentiment.YELLOW else "#ffffff"


ALLOWED = ", ".join(f"{sentiment.word} {sentiment.value}" for sentiment in Sentiment)


def parse(text: str) -> Sentiment | None:
    """Return the sentiment that a word, a letter or an emoji means; ``None`` where it means none."""
    typed = text.strip().lower().removesuffix("\ufe0f")
    return next((one for one in Sentiment if typed in (one.value, one.word, one.letter.lower())), None)
