"""How often the loop closed with no person in it, and which of the team's own rules work.

Invariant: a closure is one unbroken chain of causes, each of whose links was started by automation.
"""

from ratchet.measure.changes import Change, changes
from ratchet.measure.history import Snapshot, moment_of, stage_of
from ratchet.measure.initiators import acting_class, trace, weakest
from ratchet.measure.transitions import read
from ratchet.records import Event, Record, actor_class

_BEGINNINGS = ("monitor.alert.raised", "label.batch.ingested", "feedback.joined")
_LINKS = {
    "gate.evaluated": "evaluate",
    "run.finished": "train",
    "dataset.generated": "dataset",
    "sample.taken": "sample",
    "label.batch.ingested": "label",
    "feedback.joined": "label",
    "monitor.alert.raised": "monitor",
}
_UNATTENDED = ("auto", "gated")


class Closure(Record, frozen=True):
    """One time that the loop closed by itself.

    Attributes:
        begun_by: Id of the alert, or of the labels, that began it.
        live_event: Id of the shift of traffic that ended it.
        hours: How long it took from one to the other.
    """

    begun_by: str
    live_event: str
    hours: float


def closures(snapshot: Snapshot, pipeline: str) -> list[Closure]:
    """Return how the loop closed: alert or labels, dataset, training, gate, live traffic, all by automation."""
    found = [_closure(snapshot, change) for change in changes(snapshot, pipeline, "deploy")]
    return [closure for closure in found if closure is not None]


def own_rules_at_work(snapshot: Snapshot, pipeline: str, *, fires: int) -> dict[str, int]:
    """Return the user-written rules that fired and succeeded at least so often on a pipeline, with how often.

    Firings that a person set off with an undeclared signal do not count: they are a button.
    """
    firings: dict[str, set[str]] = {}
    for succeeded in _successes(snapshot, pipeline):
        chain = snapshot.chain(succeeded)
        fired = next((link for link in chain if link.type == "rule.fired"), None)
        if fired is None or fired.data.get("origin") != "user":
            continue
        reach = chain[: chain.index(fired) + 1]
        if any(link.pipeline == pipeline for link in reach) and _is_automatic(snapshot, fired):
            rule_id = str(fired.data.get("rule_id") or fired.subject)
            firings.setdefault(rule_id, set()).add(str(fired.data.get("trigger_event") or fired.causationid))
    return {rule_id: len(triggers) for rule_id, triggers in firings.items() if len(triggers) >= fires}


def _closure(snapshot: Snapshot, change: Change) -> Closure | None:
    event = change.event
    chain = snapshot.chain(event)
    beginning = _beginning(chain)
    if beginning is None or read(snapshot, change).mode not in _UNATTENDED:
        return None
    inside = chain[: chain.index(beginning) + 1]
    if not all(_is_automated_link(snapshot, link) for link in inside):
        return None
    hours = (moment_of(event) - moment_of(beginning)).total_seconds() / 3600
    return Closure(begun_by=beginning.id, live_event=event.id, hours=hours)


def _beginning(chain: list[Event]) -> Event | None:
    """Return the alert or the labels that a chain began with, if gate, training and dataset follow in order."""
    awaited = [_is_passed_gate, _is_successful_run, _is_new_dataset]
    beginning = None
    for link in chain:
        if awaited:
            if awaited[0](link):
                awaited.pop(0)
        elif link.type == "monitor.alert.raised":
            return link
        elif link.type in _BEGINNINGS and beginning is None:
            beginning = link
    return beginning


def _is_passed_gate(link: Event) -> bool:
    return link.type == "gate.evaluated" and link.data.get("decision") == "pass"


def _is_successful_run(link: Event) -> bool:
    return link.type == "run.finished" and link.data.get("outcome") == "success"


def _is_new_dataset(link: Event) -> bool:
    return link.type == "dataset.generated"


def _is_automated_link(snapshot: Snapshot, link: Event) -> bool:
    stage = _LINKS.get(link.type)
    if stage is None:
        return True
    senders = [actor_class(s.get("authtype", ""), s.get("claims") or {}) for s in link.data.get("senders") or []]
    return weakest([trace(snapshot, link, stage=stage).actor_class, *senders]) == "automation"


def _successes(snapshot: Snapshot, pipeline: str) -> list[Event]:
    """Return the actions that succeeded on a pipeline, or on none that the event itself names."""
    return [
        event
        for name in (pipeline, "")
        for event in snapshot.events("rule.action.succeeded", name)
        if acting_class(event) == "automation"
    ]


def _is_automatic(snapshot: Snapshot, fired: Event) -> bool:
    """Tell whether a firing was no button in disguise; being the first of its rule does not matter here."""
    trigger = snapshot.cause(fired)
    if trigger is None or acting_class(fired) != "automation":
        return False
    if trigger.type == "custom.emitted" and trigger.data.get("declared_signal"):
        return True
    if trigger.type not in ("custom.emitted", "command.issued", "clock.ticked"):
        return True
    return trace(snapshot, trigger, stage=stage_of(trigger)).actor_class == "automation"
