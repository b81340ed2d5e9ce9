"""What holds a rule back although its condition is true, and how that is told once for many times.

Invariant: how often a rule has fired is asked in the transaction that lets it fire again; a rule that is held back over
and over for one reason has one event an hour, and the next one says how many times there were none.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from ratchet.config import LimitSection
from ratchet.loop import registry
from ratchet.records import Record

BURST = timedelta(hours=1)
_HOUR = timedelta(hours=1)
_PERIODS = {
    "minute": timedelta(minutes=1),
    "hour": _HOUR,
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_AT_MOST = re.compile(rf"([1-9]\d{{0,5}})\s*/\s*({'|'.join(_PERIODS)})")
_REASONS_KEPT = 20


class AtMost(Record, frozen=True):
    """How often a rule may fire.

    Attributes:
        times: At most so many times, 1 or more.
        per: Within any span of this length.
        text: As it was written.
    """

    times: int
    per: timedelta
    text: str


class Held(Record, frozen=True):
    """Why a rule does not fire for an event.

    Attributes:
        kind: ``condition``, ``depth``, ``rate``, ``at_most`` or ``fault``; one burst is of one kind.
        reason: In words.
    """

    kind: str
    reason: str

    @property
    def is_condition_true(self) -> bool:
        """Tell whether the condition held, so that only a limit was in the way."""
        return self.kind != "condition"


def parse_at_most(text: str) -> AtMost | None:
    """Return what ``at_most`` of a rule means; ``None`` for no limit of its own.

    Raises:
        ValueError: It means nothing.
    """
    if not text:
        return None
    found = _AT_MOST.fullmatch(text.strip())
    if found is None:
        message = f"'{text}' is no number of times within a span; spans are {', '.join(_PERIODS)}"
        raise ValueError(message)
    return AtMost(times=int(found[1]), per=_PERIODS[found[2]], text=text)


def firings_needed(at_most: str, limits: LimitSection) -> int:
    """Return how many of the latest firings of a rule decide whether it may fire again."""
    own = parse_at_most(at_most)
    return max(limits.rule_fires_per_hour, own.times if own else 0)


def spans(at_most: str, limits: LimitSection) -> list[tuple[int, timedelta]]:
    """Return within which spans a rule may fire how often."""
    own = parse_at_most(at_most)
    return [(limits.rule_fires_per_hour, _HOUR), *([(own.times, own.per)] if own else [])]


def held_back(
    at_most: str, limits: LimitSection, *, depth: int, firings: Sequence[datetime], now: datetime
) -> Held | None:
    """Say why a rule may not fire now, or ``None``.

    Args:
        at_most: The rule's own limit, ``""`` for none.
        limits: Those for all rules.
        depth: How many rules have driven one another to the event.
        firings: When the rule fired, as many of the latest as ``firings_needed`` says, in any order.
        now: The moment.
    """
    if depth >= limits.rule_depth:
        reason = f"{depth} rules have driven one another already, at most {limits.rule_depth} may"
        return Held(kind="depth", reason=reason)
    within = sum(1 for one in firings if one > now - _HOUR)
    if within >= limits.rule_fires_per_hour:
        reason = f"it fired {within} times within the hour, at most {limits.rule_fires_per_hour} may be"
        return Held(kind="rate", reason=reason)
    own = parse_at_most(at_most)
    recent = sum(1 for one in firings if own and one > now - own.per)
    if own and recent >= own.times:
        times = "once" if recent == 1 else f"{recent} times"
        return Held(kind="at_most", reason=f"it fired {times} already, and at_most is '{own.text}'")
    return None


# ---- bursts


def begin_or_count(transaction: Connection, digest: str, held: Held, *, now: datetime) -> int | None:
    """Tell whether being held back is news.

    Args:
        transaction: The one in which the event is appended.
        digest: The rule's.
        held: Why it is held back.
        now: The moment.

    Returns:
        How often the rule was held back for this reason since the last event that said so, and no event told of it;
        ``None`` where this time belongs to a burst that was told of, and is only counted.
    """
    kept = bursts(transaction, digest)
    key = f"{held.kind}: {held.reason}" if held.kind in ("condition", "fault") else held.kind
    if key not in kept and len(kept) >= _REASONS_KEPT:
        key = "others"
    burst = kept.get(key)
    if burst is not None and now - datetime.fromisoformat(burst["since"]) < BURST:
        kept[key] = {**burst, "more": burst["more"] + 1}
        registry.put_state(transaction, _state(digest), kept)
        return None
    kept[key] = {"since": now.isoformat(), "more": 0}
    registry.put_state(transaction, _state(digest), kept)
    return int(burst["more"]) if burst else 0


def bursts(connection: Connection, digest: str) -> dict[str, dict[str, Any]]:
    """Return the bursts of a rule by reason: ``since`` and ``more``, the times that no event tells of."""
    return dict(registry.state(connection, _state(digest), {}))


def _state(digest: str) -> str:
    return f"suppressed/{digest}"
