"""The degrees of automation of a process, and the roles of those who work on it, in one table each.

Invariant: a degree never shows by its colour alone; each has a letter and a sentence of its own, and the colours stay
apart for people who see fewer of them.
"""

from typing import Literal

from ratchet.records import Record

Degree = Literal["automated", "semi-automated", "non-repeatable", "exceptionally manual", "absent", "unmeasured"]


class DegreeLook(Record, frozen=True):
    """What a degree means and how it is drawn.

    Attributes:
        name: The degree.
        letter: Its sign, where there is no room for words.
        rank: 0 for absent up to 4 for automated; -1 where nothing is known.
        fill: Colour of the area.
        ink: Colour of border and sign; dark enough for white text on it.
        sentence: What it means.
    """

    name: Degree
    letter: str
    rank: int
    fill: str
    ink: str
    sentence: str


_ALL = (
    DegreeLook(
        name="automated",
        letter="A",
        rank=4,
        fill="#a8dcd0",
        ink="#0b5f50",
        sentence="A button or a line of code at most; all else happens by itself.",
    ),
    DegreeLook(
        name="semi-automated",
        letter="S",
        rank=3,
        fill="#f7efb0",
        ink="#6f5f00",
        sentence="Needs a person to read results, to act on them, or to search for something.",
    ),
    DegreeLook(
        name="non-repeatable",
        letter="N",
        rank=2,
        fill="#f8c48d",
        ink="#8a4b00",
        sentence="There is no defined way to do it twice; each time somebody works it out anew.",
    ),
    DegreeLook(
        name="exceptionally manual",
        letter="M",
        rank=1,
        fill="#d9a3c7",
        ink="#7a2560",
        sentence="Does not exist without people who carry it from beginning to end.",
    ),
    DegreeLook(
        name="absent",
        letter="\u2013",
        rank=0,
        fill="none",
        ink="#4d5660",
        sentence="Never done by anyone; could be beneficial to start.",
    ),
    DegreeLook(
        name="unmeasured",
        letter="?",
        rank=-1,
        fill="#ffffff",
        ink="#4d5660",
        sentence="Nobody has said, or there is too little evidence to say.",
    ),
)
DEGREES: dict[str, DegreeLook] = {degree.name: degree for degree in _ALL}

# The role and its two letters on the map.
ROLES: dict[str, str] = {
    "data scientist": "DS",
    "ML engineer": "ML",
    "data analyst": "DA",
    "data curator": "DC",
    "domain expert": "DX",
    "product engineer": "PE",
    "DevOps": "DO",
    "application owner": "AO",
    "business owner": "BO",
    "security": "SE",
    "legal": "LE",
}


def rank(degree: str) -> int:
    """Return how far a degree is from doing nothing at all: 0 absent to 4 automated, -1 unmeasured."""
    return DEGREES[degree].rank


def is_known(degree: str) -> bool:
    """Tell whether a degree says anything."""
    return rank(degree) >= 0
