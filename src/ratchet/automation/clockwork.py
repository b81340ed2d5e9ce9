"""Cron slots: which rules are due, and the tick that the ledger takes once, whoever ticks.

Invariant: a slot of a rule is one event, named after rule and slot; after a pause only the latest slot that was missed
is ticked, with how late it is, unless the rule says that all are, or none.
"""

from datetime import UTC, datetime, timedelta

from ratchet import origin
from ratchet.automation import rules
from ratchet.automation.rules import Rule
from ratchet.automation.schedules import first_slots, latest_slot, next_slot
from ratchet.loop import registry
from ratchet.loop.resources import Resources
from ratchet.records import NATIVE_SOURCE, Event, derive_id

# A slot that is later than this was missed: nothing ran when it came.
MISSED = timedelta(minutes=10)
_NEVER = datetime.max.replace(tzinfo=UTC)
_HOUR = timedelta(hours=1)


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
        """Append ``clock.ticked`` for each rule with a slot since the last look, and return the events.

        A fault with one rule is raised when the others were looked at.
        """
        events: list[Event] = []
        faults: list[Exception] = []
        for rule in self._scheduled():
            try:
                events += self._tick_rule(rule, now)
            except Exception as error:  # noqa: BLE001, raised below
                faults.append(error)
        if faults:
            raise faults[0]
        return events

    def _scheduled(self) -> list[Rule]:
        """Return the enabled rules with a schedule; read again only when the set in force has changed."""
        with self._resources.database.read() as connection:
            digest = registry.state(connection, rules.CURRENT, "")
            if digest != self._known[0]:
                chosen = rules.by_digest(connection, digest).rules
                self._known = digest, [rule for rule in chosen if rule.is_enabled and rule.cron]
        return self._known[1]

    def _tick_rule(self, rule: Rule, now: datetime) -> list[Event]:
        due = self._next_due.get(rule.digest)
        if due is not None and now < due:
            return []
        name = rules.clock_state(rule)
        with self._resources.database.write() as transaction:
            seen = registry.state(transaction, name)
            # A rule that is new starts now: what it would have done before it existed is nobody's wish.
            last = datetime.fromisoformat(seen) if seen else now
            slots, until = self._due(rule, after=last, now=now)
            with origin.use(origin.Origin(actor=origin.ENGINE, trigger="schedule")):
                ticks = [tick_of(rule, slot, now) for slot in slots]
                events = self._resources.ledger.append(transaction, *ticks) if ticks else []
            if slots or not seen:
                registry.put_state(transaction, name, until.isoformat())
        # Where slots were left for later, they are looked at again at the next beat.
        self._next_due[rule.digest] = (next_slot(rule.cron, rule.time_zone, after=until) or _NEVER).astimezone(UTC)
        return events

    def _due(self, rule: Rule, *, after: datetime, now: datetime) -> tuple[list[datetime], datetime]:
        """Return the slots that are to be ticked now, and up to when nothing is left to tick."""
        if rule.catch_up == "all":
            return self._all_due(rule, after=after, now=now)
        slot = latest_slot(rule.cron, rule.time_zone, after=after, until=now)
        is_wanted = slot is not None and (rule.catch_up == "latest" or now - slot <= MISSED)
        return [slot] if slot is not None and is_wanted else [], now

    def _all_due(self, rule: Rule, *, after: datetime, now: datetime) -> tuple[list[datetime], datetime]:
        """Return the oldest slots that were missed, as many as the rule may fire within the hour."""
        limit = max(1, self._resources.config.limits.rule_fires_per_hour)
        slots = first_slots(rule.cron, rule.time_zone, after=after, until=now, limit=limit + 1)
        if len(slots) <= 1:
            return slots, now
        ticked = self._resources.ledger.read(
            types=[rules.TICK], subject=rule.name, source=NATIVE_SOURCE, newest_first=True, limit=limit
        )
        room = max(0, limit - sum(1 for event in ticked if now - event.at < _HOUR))
        return (slots, now) if len(slots) <= room else (slots[:room], slots[room - 1] if room else after)


def tick_of(rule: Rule, slot: datetime, now: datetime) -> Event:
    """Return the tick of a slot of a rule: the same event whoever makes it, but for how late it is."""
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
