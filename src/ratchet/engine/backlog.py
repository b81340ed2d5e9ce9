"""What waits to be done: how many jobs of each kind, and for how long the oldest has waited.

Invariant: counted by the database and never taken, so that asking costs the same with one job and with a million, and
changes nothing.
"""

from sqlalchemy import Connection, text

from ratchet.config import LimitSection
from ratchet.records import Record

# What the jobs are called where people read of them, in the order in which an event passes through them.
KINDS = {"dispatch": "dispatch", "act": "act", "run": "run", "step": "step"}
_PLURALS = {"dispatch": "dispatches"}
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


class Waiting(Record, frozen=True):
    """The jobs of one kind that are not finished.

    Attributes:
        kind: ``dispatch`` (an event whose rules nobody looked at yet), ``act`` (actions of a rule or a command),
            ``run`` or ``step``.
        waiting: How many nobody has begun.
        under_way: How many somebody is carrying out.
        oldest: The job that has waited longest, ``""`` where none waits.
        oldest_seconds: For how long, in real time.
    """

    kind: str
    waiting: int = 0
    under_way: int = 0
    oldest: str = ""
    oldest_seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """Return it in words."""
        parts = []
        if self.waiting:
            wait = f"{_count(self.waiting, self.kind)} {'waits' if self.waiting == 1 else 'wait'}"
            parts.append(f"{wait}, the oldest for {_span(self.oldest_seconds)}")
        if self.under_way:
            parts.append(f"{_count(self.under_way, self.kind)} under way")
        return "; ".join(parts)


class Backlog(Record, frozen=True):
    """All that waits.

    Attributes:
        kinds: Those of which there are jobs.
        oldest: The job that has waited longest of all, ``""`` where none waits.
        oldest_seconds: For how long, in real time.
        warnings: What has waited for longer than it should, in words.
    """

    kinds: tuple[Waiting, ...] = ()
    oldest: str = ""
    oldest_seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def backlog(
    connection: Connection, status_table: str, *, limits: LimitSection, now_seconds: float, is_running: bool
) -> Backlog:
    """Return what waits.

    Args:
        connection: Of the database with the jobs.
        status_table: Where it keeps them.
        limits: From when on waiting is worth a warning.
        now_seconds: Real seconds since 1970.
        is_running: Whether some process carries out jobs.
    """
    counts = (
        f"SELECT name, status, COUNT(*) FROM {status_table} "  # noqa: S608, a constant
        "WHERE status IN ('ENQUEUED', 'DELAYED', 'PENDING') GROUP BY name, status"
    )
    found: dict[str, dict[str, int]] = {}
    for name, status, number in connection.execute(text(counts)):
        found.setdefault(str(name), {})[str(status)] = int(number)
    kinds = [_waiting(connection, status_table, name, found[name], now_seconds) for name in sorted(found, key=_place)]
    last = max(kinds, key=lambda one: one.oldest_seconds, default=Waiting(kind=""))
    return Backlog(
        kinds=tuple(kinds),
        oldest=last.oldest,
        oldest_seconds=last.oldest_seconds,
        warnings=tuple(filter(None, (_warning(one, limits, is_running=is_running) for one in kinds))),
    )


def _waiting(connection: Connection, status_table: str, name: str, counts: dict[str, int], now: float) -> Waiting:
    first = (
        f"SELECT workflow_uuid, created_at FROM {status_table} "  # noqa: S608, a constant
        "WHERE status IN ('ENQUEUED', 'DELAYED') AND name = :name ORDER BY created_at LIMIT 1"
    )
    waiting = counts.get("ENQUEUED", 0) + counts.get("DELAYED", 0)
    row = connection.execute(text(first), {"name": name}).first() if waiting else None
    return Waiting(
        kind=KINDS.get(name, name),
        waiting=waiting,
        under_way=counts.get("PENDING", 0),
        oldest=str(row[0]) if row else "",
        oldest_seconds=max(0.0, now - float(row[1]) / 1000) if row else 0.0,
    )


def _warning(one: Waiting, limits: LimitSection, *, is_running: bool) -> str:
    limit = limits.reaction_wait_seconds if one.kind in ("dispatch", "act") else limits.run_wait_seconds
    if one.oldest_seconds <= limit:
        return ""
    wait = f"{_count(one.waiting, one.kind)} {'waits' if one.waiting == 1 else 'wait'}"
    remedy = "See .ratchet/logs/up.log." if is_running else "Nothing runs; start it: ratchet up"
    return f"{wait}, {one.oldest} for {_span(one.oldest_seconds)}; more than {_span(limit)} is long. {remedy}"


def _place(name: str) -> int:
    return [*KINDS].index(name) if name in KINDS else len(KINDS)


def _count(number: int, kind: str) -> str:
    return f"{number:,} {kind if number == 1 else _PLURALS.get(kind, kind + 's')}"


def _span(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} d"
