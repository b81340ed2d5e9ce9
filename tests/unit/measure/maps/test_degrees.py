"""Degrees that can be told apart, with and without colours."""

import itertools
from typing import get_args

import pytest

from ratchet.measure.maps.degrees import DEGREES, ROLES, Degree, is_known, rank

# How people without one kind of cones see linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "no green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}


def linear(colour: str) -> list[float]:
    """Return a colour as linear red, green and blue, 0 to 1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def lab(rgb: list[float]) -> list[float]:
    """Return linear RGB as CIE L*a*b*, for distances."""
    red, green, blue = (min(max(part, 0.0), 1.0) for part in rgb)
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_stay_apart(sight: str) -> None:
    """Whoever lacks one kind of cones still sees different fills."""
    seen = {}
    for name, look in DEGREES.items():
        if look.fill.startswith("#"):
            rgb = linear(look.fill)
            seen[name] = lab([sum(a * b for a, b in zip(row, rgb, strict=True)) for row in SIGHTS[sight]])
    for (one, a), (other, b) in itertools.combinations(seen.items(), 2):
        distance = sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5
        assert distance > 10, f"{one} and {other} look alike: {distance:.0f}"


def test_texts_can_be_read_on_their_ground() -> None:
    """Dark text on each fill, and white text on each sign, have a contrast of 4.5 and more."""

    def luminance(colour: str) -> float:
        red, green, blue = linear(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for look in DEGREES.values():
        fill = luminance(look.fill) if look.fill.startswith("#") else 1.0
        assert (fill + 0.05) / (luminance("#1a1f24") + 0.05) >= 4.5
        assert 1.05 / (luminance(look.ink) + 0.05) >= 4.5


def test_each_degree_has_a_letter_and_words_of_its_own() -> None:
    """No sign stands for two degrees, nor for two roles."""
    assert set(DEGREES) == set(get_args(Degree))
    assert len({look.letter for look in DEGREES.values()}) == len(DEGREES)
    assert all(look.sentence.endswith(".") for look in DEGREES.values())
    assert len(set(ROLES.values())) == len(ROLES) == 11


def test_ranks_rise_from_absent_to_automated() -> None:
    """What is unmeasured has no rank among them."""
    ordered = ["absent", "exceptionally manual", "non-repeatable", "semi-automated", "automated"]
    assert [rank(name) for name in ordered] == [0, 1, 2, 3, 4]
    assert not is_known("unmeasured")
    assert all(is_known(name) for name in ordered)
