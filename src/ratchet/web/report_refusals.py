"""Why a file is not taken for a report.

Invariant: an error here means that nothing was checked, and nothing is said about what the file shows.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class ReportUnreadable(RatchetError):
    """A file holds no report that was published."""

    where: str
    problem: str
    template: ClassVar[str] = (
        "{where} is no published report: {problem}. Nothing was checked. Ask for the file as it was written by: "
        "ratchet report --out report.html"
    )
