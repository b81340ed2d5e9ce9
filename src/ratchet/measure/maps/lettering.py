"""How wide a text is when nobody can ask the font, and where to break it.

Invariant: widths are those of a wide sans-serif font, so that what fits here fits with any font that a reader has.
"""

_NARROW, _MEDIUM, _WIDE = "iljItf.,:;'|!()[] -", "rsJ1/", "mwMW@%"
_SHARE_NARROW, _SHARE_MEDIUM, _SHARE_USUAL, _SHARE_CAPITAL, _SHARE_WIDE = 0.36, 0.5, 0.62, 0.71, 0.97
_WIDE_FROM = 0x2E80
# How much wider a bold letter is.
BOLD = 1.1
ELLIPSIS = "\u2026"


def text_width(text: str, *, size: float) -> float:
    """Return about how wide a text is, rather too much than too little.

    Args:
        text: On one line.
        size: Of the font, in the unit of the result.
    """
    return sum(map(_share, text)) * size


def _share(letter: str) -> float:
    if ord(letter) >= _WIDE_FROM:
        return 1.0
    if letter in _NARROW:
        return _SHARE_NARROW
    if letter in _MEDIUM:
        return _SHARE_MEDIUM
    if letter in _WIDE:
        return _SHARE_WIDE
    return _SHARE_CAPITAL if letter.isupper() else _SHARE_USUAL


def wrap(text: str, *, width: float, size: float, lines: int = 1000) -> list[str]:
    """Break a text into lines that fit; a last line that cannot hold the rest ends in an ellipsis.

    Args:
        text: To be broken at spaces, and inside of a word that fits on no line.
        width: Of a line.
        size: Of the font, in the same unit.
        lines: At most so many.
    """
    words = [piece for word in text.split() for piece in _pieces(word, width=width, size=size)]
    made: list[str] = []
    for number, word in enumerate(words):
        longer = f"{made[-1]} {word}" if made else word
        if made and text_width(longer, size=size) <= width:
            made[-1] = longer
        elif len(made) < lines:
            made.append(word)
        else:
            made[-1] = _shortened(f"{made[-1]} {' '.join(words[number:])}", width=width, size=size)
            break
    return made


def _pieces(word: str, *, width: float, size: float) -> list[str]:
    """Cut a word that is wider than a line."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter, size=size) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _shortened(text: str, *, width: float, size: float) -> str:
    while text and text_width(text + ELLIPSIS, size=size) > width:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS
