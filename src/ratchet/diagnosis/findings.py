"""What a check comes to, and how checks are made so that none keeps another from being made.

Invariant: whatever is not ``ok`` says what to do.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from ratchet.records import Record

Status = Literal["ok", "warning", "problem"]


class Finding(Record, frozen=True):
    """What one check came to.

    Attributes:
        area: What it is about, such as ``disk``.
        check: Which check.
        status: ``ok``; ``warning`` for what should be looked at; ``problem`` for what does not work, or is about to.
        said: What is so, in a line.
        remedy: What to do, ``""`` where nothing is to be done.
    """

    area: str
    check: str
    status: Status
    said: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """Refuse a complaint without a way out."""
        assert self.status == "ok" or self.remedy, f"{self.area}: {self.check} says no remedy"


Check = Callable[[], Iterable[Finding]]


def counted(number: int, thing: str) -> str:
    """Return how many things there are, such as ``1 key`` or ``1,200 keys``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def made(area: str, checks: Iterable[Check]) -> Iterator[Finding]:
    """Make checks one after the other; one that breaks off is a finding of its own."""
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001, whatever is broken is what we are here for
            name = check.__name__.removeprefix("check_").replace("_", " ")
            said = " ".join(f"could not be checked: {str(error) or type(error).__name__}".split())
            yield Finding(
                area=area, check=name, status="problem", said=said, remedy="Mend what this says, and look again."
            )
