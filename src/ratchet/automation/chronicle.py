"""What the ledger says of one rule: when it was there, when it was switched on, and what it did for which event.

Invariant: only what this platform itself did counts; rules of other systems may have the same name.
"""

from bisect import bisect_left
from datetime import datetime
from typing import Literal

from ratchet.automation import rules
from ratchet.automation.dispatcher import BACKFILL
from ratchet.automation.rules import Rule
from ratchet.records import NATIVE_SOURCE, Event, Record
from ratchet.store.ledger import Ledger

Deed = Literal["fired", "backfilled", "failed", "held back", "nothing", "not there yet", "switched off", "missed"]
_LIFE = ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")
_DONE = ("rule.fired", "rule.suppressed", "rule.action.failed")


class Standing(Record, frozen=True):
    """How a rule stood from one place in the ledger on."""

    seq: int
    at: datetime
    digest: str
    is_there: bool
    is_enabled: bool


class Done(Record, frozen=True):
    """What a rule really did for an event.

    Attributes:
        deed: In a word; ``nothing`` where its condition was false or, in Python, it asked for nothing.
        event: Id of the event that says so, ``""`` where none does.
        why: In words, where there is more to say.
    """

    deed: Deed
    event: str = ""
    why: str = ""


class Chronicle:
    """The life of one rule.

    Args:
        ledger: Where it is read.
        rule: Whose; rules are told apart by their names.
    """

    def __init__(self, ledger: Ledger, rule: Rule) -> None:
        self._rule = rule
        self._standings: list[Standing] = []
        self._done: dict[str, Event] = {}
        self._failed: dict[str, Event] = {}
        for event in ledger.read(types=(*_LIFE, *_DONE), subject=rule.name, source=NATIVE_SOURCE):
            if event.type in _LIFE:
                self._stand(event)
            elif event.type == "rule.action.failed":
                self._failed.setdefault(str(event.data.get("trigger_event")), event)
            else:
                self._do(event)
        self.ticks: dict[str, Event] = {}
        if rule.on == rules.TICK:
            ticked = ledger.read(types=[rules.TICK], subject=rule.name, source=NATIVE_SOURCE)
            self.ticks = {event.id: event for event in ticked}

    def _stand(self, event: Event) -> None:
        before = self._standings[-1] if self._standings else None
        is_enabled = before.is_enabled if before else False
        if event.type in ("rule.created", "rule.enabled"):
            is_enabled = bool(event.data.get("enabled", True))
        elif event.type in ("rule.disabled", "rule.deleted"):
            is_enabled = False
        self._standings.append(
            Standing(
                seq=event.seq,
                at=event.at,
                digest=str(event.data.get("digest", "")),
                is_there=event.type != "rule.deleted",
                is_enabled=is_enabled,
            )
        )

    def _do(self, event: Event) -> None:
        trigger = str(event.data.get("trigger_event"))
        if event.type == "rule.fired" or trigger not in self._done:
            self._done[trigger] = event

    def has_fired_for(self, event_id: str) -> bool:
        """Tell whether the rule, in this or an earlier wording, fired for an event."""
        done = self._done.get(event_id)
        return done is not None and done.type == "rule.fired"

    def standing(self, event: Event) -> Standing | None:
        """Return how the rule stood when an event was appended, or at the moment of one that never was."""
        if event.seq:
            place = bisect_left(self._standings, event.seq, key=lambda one: one.seq)
        else:
            place = bisect_left(self._standings, event.at, key=lambda one: one.at)
        return self._standings[place - 1] if place else None

    def done(self, event: Event) -> Done:
        """Return what the rule really did for an event."""
        found = self._done.get(event.id)
        if found is not None and found.type == "rule.suppressed":
            return Done(deed="held back", event=found.id, why=str(found.data.get("reason", "")))
        if found is not None:
            return self._fired(event, found)
        stood = self.standing(event)
        if stood is None or not stood.is_there:
            return Done(
                deed="not there yet" if stood is None else "switched off", why="" if stood is None else "deleted"
            )
        if not stood.is_enabled:
            return Done(deed="switched off")
        if self._rule.on == rules.TICK and event.id not in self.ticks:
            return Done(deed="missed", why="no tick: nothing ran, or a later slot stood for it")
        return Done(deed="nothing", why=self._another_wording(stood.digest))

    def _fired(self, event: Event, fired: Event) -> Done:
        why = self._another_wording(str(fired.data.get("digest", "")))
        failed = self._failed.get(event.id)
        if failed is not None:
            return Done(deed="failed", event=failed.id, why=str(failed.data.get("error", "")))
        return Done(deed="backfilled" if fired.trigger == BACKFILL else "fired", event=fired.id, why=why)

    def _another_wording(self, digest: str) -> str:
        return "in another wording" if digest and digest != self._rule.digest else ""
