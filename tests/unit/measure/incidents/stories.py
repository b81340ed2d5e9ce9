"""Small stories of incidents: what a monitor, a person on call and a remedy leave in the ledger."""

from datetime import timedelta
from typing import Any

from ratchet.config import IncidentSection
from ratchet.measure.incidents.attribution import Attribution, attribute
from ratchet.measure.incidents.candidates import Ground
from ratchet.measure.incidents.outages import incidents
from ratchet.records import Event
from tests.ledgers import ENDPOINT, PERSON, LedgerBuilder


def settled() -> LedgerBuilder:
    """Return a ledger whose rules were written long ago, so that they are no candidates."""
    ledger = LedgerBuilder()
    ledger.weekly()
    ledger.release_rule()
    return ledger.wait(days=2)


def detect(ledger: LedgerBuilder, *, name: str = "INC-1", service: str = ENDPOINT, **data: Any) -> Event:
    """Let a monitor find an incident half an hour after it began; the onset is the ledger's present."""
    onset = ledger.now
    ledger.wait(minutes=30)
    body = {"incident": name, "service": service, "onset": onset.isoformat(), "onset_from": "monitor", **data}
    return ledger.add("incident.detected", name, body)


def restore(ledger: LedgerBuilder, found: Event, *, remedy: Event | None = None, hours: float = 1.0) -> Event:
    """Let an incident be mitigated now, and be over some hours later."""
    name = {"incident": found.subject}
    body = {**name, "remedy": remedy.id if remedy else ""}
    mitigated = ledger.add("incident.mitigated", found.subject, body, cause=found)
    ledger.wait(hours=hours)
    over = {**name, "back_in_bounds": ledger.now.isoformat()}
    return ledger.add("incident.resolved", found.subject, over, cause=mitigated)


def configure(ledger: LedgerBuilder, old: str, new: str, *, service: str = ENDPOINT, by_rule: bool = False) -> Event:
    """Change a setting of a service, by a person's command or by a rule."""
    cause = ledger.tick(ledger.weekly()) if by_rule else ledger.command("configure")
    data = {"service": service, "target": f"{service}/threshold", "old_digest": old, "new_digest": new}
    return ledger.add("config.changed", f"{service}/threshold", data, cause=cause)


def page(ledger: LedgerBuilder, *, service: str = ENDPOINT, answered_minutes: float | None = None) -> Event:
    """Call somebody about a service; the answer comes so many minutes later, or never."""
    alert = ledger.add("monitor.alert.raised", "drift", {"score": 0.3, "service": service})
    sent = ledger.add("page.sent", "on-call", {"route": "on-call", "service": service}, cause=alert)
    if answered_minutes is not None:
        answered = sent.at + timedelta(minutes=answered_minutes)
        envelope = {"time": answered, "recordedtime": answered}
        ledger.add("page.acknowledged", "on-call", {"page": sent.id}, cause=sent, actor=PERSON, **envelope)
    return sent


def release(ledger: LedgerBuilder, *, by_rule: bool = False, decision: str = "pass", **train: Any) -> Event:
    """Train a version and make it live, by a person's command or by a rule; return the shift of traffic."""
    gate = ledger.train(ledger.tick(ledger.weekly()), decision=decision, **train)
    return ledger.deploy(ledger.fire(ledger.release_rule(), gate) if by_rule else ledger.command("promote"), gate)


def judged(ledger: LedgerBuilder, name: str = "INC-1", **settings: float) -> Attribution:
    """Return what an incident came from, as of the ledger's present."""
    snapshot = ledger.history().as_of(ledger.now)
    found = next(one for one in incidents(snapshot) if one.name == name)
    return attribute(Ground(snapshot, settings=IncidentSection(**settings)), found)
