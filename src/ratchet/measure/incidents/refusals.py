"""Why something that people say about an incident is not recorded.

Invariant: an error here means that nothing was recorded.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class IncidentNameTaken(RatchetError):
    """A second incident was to have a name."""

    name: str
    onset: str
    template: ClassVar[str] = (
        "An incident is called '{name}' already; it began at {onset}. Give the new one another name, or none."
    )


@dataclass
class IncidentOver(RatchetError):
    """Something was said to be over that was over."""

    name: str
    back: str
    template: ClassVar[str] = (
        "Incident {name} is over already: back in bounds at {back}. What was recorded stays; report a new incident "
        "if it came back."
    )


@dataclass
class IncidentMomentInvalid(RatchetError):
    """A moment of an incident lies where it cannot lie."""

    name: str
    moment: str
    value: str
    problem: str
    template: ClassVar[str] = "Incident {name}: {moment} {value} {problem}. Nothing was recorded; give another moment."


@dataclass
class ReferenceMissing(RatchetError):
    """A cause was named without saying where that is written down."""

    name: str
    template: ClassVar[str] = (
        "The cause of {name} was named without a reference. Say where it is written down, such as the minutes of the "
        "review or the number of the ticket: --reference TEXT"
    )


@dataclass
class CauseRefused(RatchetError):
    """Something was named as the cause, or as the remedy, that cannot be it."""

    name: str
    event: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Event {event} is not taken for incident {name}: it {problem}. {remedy}"
