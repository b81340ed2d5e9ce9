"""Who started a transition, and in which mode it ran.

Invariant: a name never decides, only credentials and causes do; and where anything on the way from a transition to
its start is unknown, the start is unknown, which never counts as automation.
"""

from collections.abc import Iterable
from typing import Literal

from ratchet.measure.history import Snapshot, stage_of
from ratchet.records import ActorClass, Event, Evidence, Record

Mode = Literal["auto", "gated", "assisted", "semi", "overridden", "manual", "unknown"]
MODES: tuple[Mode, ...] = ("auto", "gated", "assisted", "semi", "overridden", "manual", "unknown")
EVIDENCE: tuple[Evidence, ...] = ("native", "attested", "imported", "inferred", "declared")
APPROVALS = ("approval.requested", "approval.decided", "approval.closed")
_CONTENT_WORK = (*APPROVALS, "label.submitted", "label.batch.assigned", "label.batch.completed")
_STRENGTH: dict[ActorClass, int] = {"unknown": 0, "human": 1, "automation": 2}
_SAID_BY_SOURCE: dict[str, ActorClass] = {
    "schedule": "automation",
    "code": "automation",
    "data": "automation",
    "metric": "automation",
    "ui": "human",
    "cli": "human",
    "rerun": "human",
    "operator": "unknown",
}
_PRESSED = ("ui", "cli", "rerun")

_Ending = Literal["command", "rule", "boundary", "root", "broken"]


class Initiator(Record, frozen=True):
    """Who started something.

    Attributes:
        actor_class: Human, automation or unknown.
        decided_by: Id of the event that the walk ended at.
        rule_id: The rule that fired nearest to the transition; ``""`` where none did.
        links: The events from the transition to its start.
        evidence: The weakest grade among them.
    """

    actor_class: ActorClass
    decided_by: str
    rule_id: str
    links: tuple[Event, ...]
    evidence: Evidence


def trace(snapshot: Snapshot, event: Event, *, stage: str) -> Initiator:
    """Return who started an event, by walking its causes up to the boundary of its stage.

    A command decides by its credential. A rule is automation, unless a person's hand is behind it: then the walk
    looks through the rule at its trigger. Where the chain leaves the stage without either, the last actor decides.
    """
    links, ending = _climb(snapshot, event, stage)
    firings = [link for link in links if link.type == "rule.fired"]
    if ending == "boundary":
        firings += _rule_of_action(snapshot, links[-1], stage)
    classes = [_class_at_end(links[-1], ending)]
    classes += [_class_of_firing(snapshot, fired) for fired in firings]
    evidence = weakest_grade(link.evidence for link in links) or "native"
    if any(_is_unknown_between(link, stage) for link in links[:-1]) or evidence == "declared":
        classes.append("unknown")
    return Initiator(
        actor_class=weakest(classes),
        decided_by=links[-1].id,
        rule_id=str(firings[0].data.get("rule_id") or firings[0].subject) if firings else "",
        links=tuple(links),
        evidence=evidence,
    )


def by_actor(_snapshot: Snapshot, event: Event, *, stage: str) -> Initiator:  # noqa: ARG001, called in place of trace
    """Return whoever sent an event as its initiator, for stages of which the policy says so."""
    return Initiator(
        actor_class="unknown" if event.evidence == "declared" else acting_class(event),
        decided_by=event.id,
        rule_id="",
        links=(event,),
        evidence=event.evidence,
    )


def human_steps(initiator: Initiator, stage: str) -> list[Event]:
    """Return what people did between an automated start and the end: each is a touch.

    Required approvals and the labelling itself are people's work and no touch. The names in imported records are
    no evidence of one either: a scheduler's run carries the name of whoever last edited the schedule.
    """
    return [
        link
        for link in initiator.links[:-1]
        if _is_witnessed_step(link, stage) and link.type not in _CONTENT_WORK and acting_class(link) == "human"
    ]


def mode_of(
    actor_class: ActorClass, *, touches: int, gates: int, is_overridden: bool = False, is_manual: bool = False
) -> Mode:
    """Return the mode in which a transition ran; where several hold, the one that counts least."""
    if actor_class == "unknown":
        return "unknown"
    if is_manual:
        return "manual"
    if is_overridden:
        return "overridden"
    if touches:
        return "semi"
    if actor_class == "human":
        return "assisted"
    return "gated" if gates else "auto"


def acting_class(event: Event) -> ActorClass:
    """Return the class of whoever did something.

    The trigger that a source system recorded says more than the name beside it, so it decides for imported events:
    a scheduled job under a person's name is automation. What others send us about themselves can only weaken what
    their credential shows.
    """
    if event.evidence == "imported":
        return _SAID_BY_SOURCE.get(event.trigger, event.actor_class)
    if event.evidence != "native" and event.trigger in _PRESSED:
        return weakest([event.actor_class, "human"])
    return event.actor_class


def weakest(classes: Iterable[ActorClass]) -> ActorClass:
    """Return the class that claims least: unknown before human before automation."""
    return min(classes, key=_STRENGTH.__getitem__)


def weakest_grade(grades: Iterable[Evidence]) -> Evidence | None:
    """Return the weakest of some grades of evidence; ``None`` where there are none."""
    return max(grades, key=EVIDENCE.index, default=None)


def _climb(snapshot: Snapshot, event: Event, stage: str) -> tuple[list[Event], _Ending]:
    """Return the events from a transition to its start, and what stopped the walk."""
    links = [event]
    seen = {event.key}
    while True:
        current = links[-1]
        if current.type == "command.issued":
            return links, "command"
        if not current.causationid:
            return links, "broken" if current.type == "rule.fired" else "root"
        cause = snapshot.cause(current)
        if cause is None or (cause.source, cause.id) in seen:
            return links, "broken"
        if current.type == "rule.fired":
            if not _is_looked_through(cause, stage):
                return links, "rule"
        elif _is_left(current, cause, stage):
            return links, "boundary"
        seen.add((cause.source, cause.id))
        links.append(cause)


def _is_looked_through(trigger: Event, stage: str) -> bool:
    """Tell whether a rule only passes on what its trigger's own cause began.

    So it is for a trigger of the same stage, for a command, for an approval, and for a signal that nobody declared:
    else a button could hide behind a rule, or behind two.
    """
    if trigger.type in ("command.issued", "clock.ticked", *APPROVALS):
        return True
    if trigger.type == "custom.emitted" and not trigger.data.get("declared_signal"):
        return True
    return stage_of(trigger) == stage


def _is_left(current: Event, cause: Event, stage: str) -> bool:
    """Tell whether the chain leaves the stage here; what a foreign operator started belongs to its parent."""
    if current.evidence == "imported" and current.trigger == "operator":
        return False
    # An approval belongs to the stage of what it lets through.
    if cause.type in APPROVALS:
        return False
    return stage_of(cause) not in ("", stage)


def _rule_of_action(snapshot: Snapshot, last: Event, stage: str) -> list[Event]:
    """Return the firing whose list of actions led into the stage, if one did.

    In a list each action's cause is the action before, so the chain leaves the stage before it meets the rule.
    """
    for link in snapshot.chain(last)[1:]:
        if link.type == "command.issued":
            return []
        if link.type == "rule.fired":
            leads_here = stage in snapshot.rules.rule((link.source, str(link.data.get("rule_id")))).leads_to
            return [link] if leads_here or last.authclaims.get("minted_by") == "rule" else []
    return []


def _class_at_end(last: Event, ending: _Ending) -> ActorClass:
    return "unknown" if ending == "broken" else acting_class(last)


def _class_of_firing(snapshot: Snapshot, fired: Event) -> ActorClass:
    """Return what a rule that fired on the way amounts to."""
    own = acting_class(fired)
    return weakest([own, "human"]) if snapshot.rules.is_single_use(fired) else own


def _is_unknown_between(link: Event, stage: str) -> bool:
    return _is_witnessed_step(link, stage) and acting_class(link) == "unknown"


def _is_witnessed_step(link: Event, stage: str) -> bool:
    """Tell whether an event is a step on the way into the stage whose actor we checked ourselves."""
    is_on_the_way = stage_of(link) in ("", stage) or link.type in ("custom.emitted", *APPROVALS)
    return is_on_the_way and link.evidence != "imported"
