"""Cron slots: which rules are due, and the tick that the ledger takes once, whoever ticks.

Invariant: a slot of a rule is one event, named after rule and slot; after a pause only the latest slot that was missed
is ticked, with how late it is.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from ratchet import origin
from ratchet.automation import rules
from ratchet.automation.rules import Rule
from ratchet.loop import registry
from ratchet.loop.resources import Resources
from ratchet.records import Event, derive_id


class Clockwork:
    """Ticks for all rules with a schedule.

    Args:
        resources: The workspace's parts.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._next_due: dict[str, datetime] = {}
        self._known: tuple[str, list[Rule]] = ("", [])

    def tick(self, now: datetime) -> list[Event]:
        """Append ``clock.ticked`` for each rule with a slot since the last look, and return the events."""
        return [event for rule in self._scheduled() if (event := self._tick_rule(rule, now)) is not None]

    def _scheduled(self) -> list[Rule]:
        """Return the enabled rules with a schedule; read again only when the set in force has changed."""
        with self._resources.database.read() as connection:
            digest = registry.state(connection, rules.CURRENT, "")
            if digest != self._known[0]:
                chosen = rules.by_digest(connection, digest).rules
                self._known = digest, [rule for rule in chosen if rule.is_enabled and rule.cron]
        return self._known[1]

    def _tick_rule(self, rule: Rule, now: datetime) -> Event | None:
        due = self._next_due.get(rule.digest)
        if due is not None and now < due:
            return None
        name = rules.clock_state(rule)
        event = None
        with self._resources.database.write() as transaction:
            seen = registry.state(transaction, name)
            # A rule that is new starts now: what it would have done before it existed is nobody's wish.
            last = datetime.fromisoformat(seen) if seen else now
            slot = latest_slot(rule.cron, rule.time_zone, after=last, until=now)
            if slot is not None:
                with origin.use(origin.Origin(actor=origin.ENGINE, trigger="schedule")):
                    event = self._resources.ledger.append(transaction, _tick(rule, slot, now))[0]
            if slot is not None or not seen:
                registry.put_state(transaction, name, now.isoformat())
        self._next_due[rule.digest] = next_slot(rule.cron, rule.time_zone, after=now)
        return event


def next_slot(cron: str, time_zone: str, *, after: datetime) -> datetime:
    """Return the first slot of a schedule after a moment."""
    found: datetime = croniter(cron, after.astimezone(ZoneInfo(time_zone))).get_next(datetime)
    return found


def latest_slot(cron: str, time_zone: str, *, after: datetime, until: datetime) -> datetime | None:
    """Return the last slot of a schedule in ``(after, until]``, in its time zone, or ``None``.

    Where clocks are set back, a schedule with an hour of its own has one slot, at the first of the two times of that
    name; one that runs every hour has a slot in both.

    Source: P. Vixie, cron(8), on changes of the clocks.
    """
    zone = ZoneInfo(time_zone)
    local = until.astimezone(zone)
    slot: datetime = local if croniter.match(cron, local) else croniter(cron, local).get_prev(datetime)
    # Through UTC, which tells the second of two equal times from the first.
    slot = slot.replace(second=0, microsecond=0).astimezone(UTC).astimezone(zone)
    if slot.fold and _has_its_hour(cron):
        slot = slot.replace(fold=0)
    return slot if after < slot.astimezone(UTC) <= until else None


def _has_its_hour(cron: str) -> bool:
    fields = cron.split()
    return "*" not in fields[1] if len(fields) > 1 else cron != "@hourly"


def _tick(rule: Rule, slot: datetime, now: datetime) -> Event:
    return Event(
        type="clock.ticked",
        subject=rule.name,
        id=derive_id("clock", rule.name, int(slot.timestamp())),
        pipeline=rule.pipeline,
        data={
            "rule_id": rule.name,
            "slot": slot.isoformat(),
            "late_seconds": int((now - slot).total_seconds()),
        },
    )
