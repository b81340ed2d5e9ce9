"""The conclusion of an evaluation: what was chosen, why, by whom, and on which state of the answers.

Invariant: a conclusion is written once; it names the digest of everything that it rests on, so that a later change of
that is seen.
"""

from datetime import datetime

from ratchet.measure.evaluations import figures
from ratchet.measure.evaluations.figures import Figures
from ratchet.records import Record
from ratchet.toml_tables import TableFile, toml_text

_KEYS = ("choice", "reasons", "by", "concluded_at", "digest", "answered", "expected", "missing", "disqualified")
_WITHOUT_ANSWERS = "is_without_answers"
_HEAD = "# The conclusion. It is written once; what it rests on has the sha256 `digest`.\n"


class Conclusion(Record, frozen=True):
    """What came of an evaluation.

    Attributes:
        choice: Name of a candidate, or ``none``.
        by: Who concluded.
        concluded_at: When (ISO, UTC).
        digest: Digest of definition and answers at that moment.
        answered: How many answers counted.
        expected: How many there could have been.
        missing: Respondents who had not answered everything.
        disqualified: Candidates that a red answer to a must ruled out.
        figures: What each candidate would take and bring; empty in a conclusion of an earlier release.
        is_without_answers: Nobody had answered anything, and whoever concluded said that this is meant.
    """

    choice: str
    reasons: tuple[str, ...]
    by: str
    concluded_at: str
    digest: str
    answered: int
    expected: int
    missing: tuple[str, ...] = ()
    disqualified: tuple[str, ...] = ()
    figures: tuple[Figures, ...] = ()
    is_without_answers: bool = False

    @property
    def day(self) -> str:
        """Return the day, such as ``2024-12-31``."""
        return self.concluded_at[:10]


def to_toml(conclusion: Conclusion) -> bytes:
    """Return a conclusion as a TOML file."""
    lines = [_HEAD, "[conclusion]"]
    for name in _KEYS:
        value = getattr(conclusion, name)
        if isinstance(value, tuple):
            lines.append(f"{name} = [{', '.join(toml_text(one) for one in value)}]")
        else:
            lines.append(f"{name} = {value if isinstance(value, int) else toml_text(value)}")
    if conclusion.is_without_answers:
        lines.append(f"{_WITHOUT_ANSWERS} = true")
    lines += [f"\n{figures.to_toml(one)}" for one in conclusion.figures]
    return ("\n".join(lines) + "\n").encode()


def parse(content: bytes, *, where: str) -> Conclusion:
    """Return the conclusion in a file's bytes.

    Raises:
        ConfigInvalid: They are none.
    """
    file = TableFile(content, where=where)
    table = file.table("conclusion")
    table.refuse_unknown((*_KEYS, _WITHOUT_ANSWERS), "a conclusion")
    moment = table.text("concluded_at")
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        table.refuse("concluded_at", f"is '{moment}'.", "Write a moment such as 2024-12-31T12:00:00+00:00.")
    return Conclusion(
        choice=table.text("choice"),
        reasons=table.texts("reasons"),
        by=table.text("by"),
        concluded_at=moment,
        digest=table.text("digest"),
        answered=int(table.number("answered", default=0)),
        expected=int(table.number("expected", default=0)),
        missing=table.texts("missing"),
        disqualified=table.texts("disqualified"),
        figures=tuple(map(figures.parse, file.tables("candidate"))),
        is_without_answers=table.flag(_WITHOUT_ANSWERS, default=False),
    )
