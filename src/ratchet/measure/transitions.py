"""From events to transitions: one record for each completed change, with who started it and how it ran.

Invariant: a transition is read afresh for each snapshot, so what later events say about it (a rule that fired again,
a person who reversed it) is joined when it is asked for and never frozen.
"""

from bisect import bisect_left
from datetime import datetime, timedelta

from ratchet.measure.changes import Change, changes
from ratchet.measure.history import Snapshot, is_backdated, moment_of, order
from ratchet.measure.initiators import (
    APPROVALS,
    Initiator,
    Mode,
    acting_class,
    by_actor,
    human_steps,
    mode_of,
    trace,
    weakest,
    weakest_grade,
)
from ratchet.measure.stages import CustomStage
from ratchet.measure.traffic import Shift
from ratchet.records import ActorClass, Event, Evidence, Record

OVERRIDE_WINDOW = timedelta(hours=24)
RUBBER_STAMP = timedelta(seconds=5)
_OVERRIDES = ("abort", "override")
_PLAIN_YES = ("approved", "pass")


class Transition(Record, frozen=True):
    """One completed change of an object in a stage, as it looked in a snapshot.

    Attributes:
        seq: Place in the ledger of the event that completed it.
        event_id: That event's id.
        pipeline: Whose change it was.
        stage: One of ``STAGES``, or the name of a stage that a policy adds.
        subject: What changed.
        time: When it says it happened (UTC).
        recorded: When it was recorded (UTC).
        at: When it counts as having happened: ``recorded`` where it is backdated by more than an hour.
        is_backdated: Whether it is.
        root_event: Id of the event that started it.
        root_class: Class of whoever started it.
        rule_id: The rule that did; ``""`` where none did.
        touches: How often a person laid hands on it on the way.
        gates: Required approvals given by people on the way.
        rubber_stamps: Approvals among them that came within five seconds of being asked for.
        input_digest: Names the same work.
        outcome: What the completing event says came out.
        evidence: The weakest grade on the way.
        mode: In which mode it ran.
    """

    seq: int
    event_id: str
    pipeline: str
    stage: str
    subject: str
    time: datetime
    recorded: datetime
    at: datetime
    is_backdated: bool
    root_event: str
    root_class: ActorClass
    rule_id: str
    touches: int
    gates: int
    rubber_stamps: int
    input_digest: str
    outcome: str
    evidence: Evidence
    mode: Mode


class _Approvals(Record, frozen=True):
    gates: int
    touches: int
    rubber_stamps: int


def transitions(snapshot: Snapshot, pipeline: str, stage: str | CustomStage) -> list[Transition]:
    """Return the transitions of a pipeline in one stage, in order."""
    return [read(snapshot, change) for change in changes(snapshot, pipeline, stage)]


def read(snapshot: Snapshot, change: Change) -> Transition:
    """Return a change as a transition: who started it and in which mode it ran."""
    event, stage = change.event, change.walks_in or change.stage
    started_by = by_actor if change.is_actor_decisive else trace
    starts = [started_by(snapshot, member, stage=stage) for member in (event, *change.also)]
    root_class = weakest([*(start.actor_class for start in starts), *change.senders])
    links = {(link.source, link.id): link for start in starts for link in start.links}
    about = _about(snapshot, change, list(links.values()))
    approvals = _approvals(snapshot, [*links.values(), *about])
    touches = approvals.touches + _touches_before(about, event, list(links.values()))
    if root_class == "automation":
        touches += len({step.id for start in starts for step in human_steps(start, stage)})
    mode = mode_of(
        root_class,
        touches=touches,
        gates=approvals.gates,
        is_overridden=_is_overridden(snapshot, change, about),
        is_manual=change.is_manual,
    )
    return _transition(change, starts, root_class=root_class, approvals=approvals, touches=touches, mode=mode)


def is_preceded_by_gate(snapshot: Snapshot, shift: Shift) -> bool:
    """Tell whether the last verdict before a deployment, on each artifact that it made live, was a pass."""
    pipeline = shift.event.pipeline
    verdicts = snapshot.once(f"verdicts on {pipeline}", lambda: _verdicts(snapshot, pipeline))
    until = order(shift.event)
    for digest in shift.digests.values():
        known = verdicts.get(digest, []) if digest else []
        place = bisect_left(known, until, key=order)
        if not place or known[place - 1].data.get("decision") != "pass":
            return False
    return True


def _verdicts(snapshot: Snapshot, pipeline: str) -> dict[str, list[Event]]:
    """Return the verdicts on each artifact by somebody who is known, in order."""
    found: dict[str, list[Event]] = {}
    for gate in snapshot.events("gate.evaluated", pipeline):
        if gate.evidence != "declared" and _judge_of(snapshot, gate) != "unknown":
            found.setdefault(gate.data.get("artifact_digest") or "", []).append(gate)
    return found


def _judge_of(snapshot: Snapshot, gate: Event) -> ActorClass:
    """Return the class of whoever had an artifact judged; what another run set off was begun by its parent."""
    is_passed_on = gate.evidence == "imported" and gate.trigger == "operator"
    return trace(snapshot, gate, stage="evaluate").actor_class if is_passed_on else acting_class(gate)


def _transition(
    change: Change,
    starts: list[Initiator],
    *,
    root_class: ActorClass,
    approvals: _Approvals,
    touches: int,
    mode: Mode,
) -> Transition:
    event = change.event
    decisive = next((start for start in starts if start.actor_class == root_class), starts[0])
    assert event.recordedtime is not None, "only events of the ledger are measured"
    return Transition(
        seq=event.seq,
        event_id=event.id,
        pipeline=event.pipeline,
        stage=change.stage,
        subject=event.subject,
        time=event.at,
        recorded=event.recordedtime,
        at=moment_of(event),
        is_backdated=is_backdated(event),
        root_event=decisive.decided_by,
        root_class=root_class,
        rule_id=decisive.rule_id,
        touches=touches,
        gates=approvals.gates,
        rubber_stamps=approvals.rubber_stamps,
        input_digest=change.input_digest,
        outcome=str(event.data.get("outcome") or event.data.get("decision") or event.data.get("status") or "success"),
        evidence=weakest_grade(start.evidence for start in starts) or "native",
        mode=mode,
    )


def _about(snapshot: Snapshot, change: Change, links: list[Event]) -> list[Event]:
    """Return the touches and approvals that name this change as their target, and no other pipeline."""
    data = change.event.data
    named = {change.event.subject, data.get("run_id"), data.get("deployment_id"), data.get("version")}
    named |= {link.id for link in links}
    whose = (change.event.pipeline, "")
    return list(
        {
            event.id: event for name in named if name for event in snapshot.about(str(name)) if event.pipeline in whose
        }.values()
    )


def _touches_before(about: list[Event], end: Event, links: list[Event]) -> int:
    """Count the hands that were laid on a change between its start and its end; machines' retries are none."""
    start = min(moment_of(link) for link in links)
    return sum(
        touch.type == "touch.recorded"
        and acting_class(touch) != "automation"
        and start <= moment_of(touch) <= moment_of(end)
        for touch in about
    )


def _approvals(snapshot: Snapshot, events: list[Event]) -> _Approvals:
    """Count people's approvals: as gates where the policy required them, as touches otherwise.

    An approval that changes something, or that the one who asked gave himself, is a touch too.
    """
    by_subject: dict[str, dict[str, Event]] = {}
    for event in events:
        if event.type in APPROVALS:
            parts = by_subject.setdefault(event.subject, {})
            parts |= {link.type: link for link in snapshot.chain(event) if _is_part(link, event)}
    gates = touches = rubber_stamps = 0
    for parts in by_subject.values():
        given = parts.get("approval.decided") or parts.get("approval.closed")
        if given is None or acting_class(given) == "automation":
            continue
        is_gate = _is_required(parts) and not _is_self_approved(parts, given) and _is_plain(given)
        gates += is_gate
        touches += not is_gate
        rubber_stamps += _is_rubber_stamp(parts, given)
    return _Approvals(gates=gates, touches=touches, rubber_stamps=rubber_stamps)


def _is_part(link: Event, approval: Event) -> bool:
    return link.type in APPROVALS and link.subject == approval.subject


def _is_required(parts: dict[str, Event]) -> bool:
    return any(part.data.get("policy_required") for part in parts.values())


def _is_plain(given: Event) -> bool:
    """Tell whether a person only said yes, without changing anything."""
    return given.data.get("decision", "approved") in _PLAIN_YES


def _is_self_approved(parts: dict[str, Event], given: Event) -> bool:
    """Tell whether the one who asked is the one who said yes, or an agent of his asked."""
    asked = parts.get("approval.requested")
    if asked is None or not given.authid:
        return False
    return given.authid in (asked.authid, asked.authclaims.get("on_behalf_of"))


def _is_rubber_stamp(parts: dict[str, Event], given: Event) -> bool:
    asked = parts.get("approval.requested")
    return asked is not None and given.at - asked.at < RUBBER_STAMP


def _is_overridden(snapshot: Snapshot, change: Change, about: list[Event]) -> bool:
    """Tell whether a gate was bypassed for it, or a person forced, aborted or reversed it within a day."""
    end = moment_of(change.event)
    if any(
        touch.type == "touch.recorded"
        and touch.data.get("kind") in _OVERRIDES
        and acting_class(touch) != "automation"
        and end < moment_of(touch) <= end + OVERRIDE_WINDOW
        for touch in about
    ):
        return True
    if change.stage == "evaluate":
        return _is_forced(snapshot, change.event)
    if change.shift is not None:
        return _is_bypassed(snapshot, change.shift) or _is_reversed(snapshot, change.shift)
    return False


def _is_forced(snapshot: Snapshot, gate: Event) -> bool:
    """Tell whether a gate said no and somebody went past it within a day."""
    return gate.data.get("decision") == "fail" and any(
        bypass.data.get("artifact_digest") == gate.data.get("artifact_digest")
        and order(gate) < order(bypass)
        and moment_of(bypass) <= moment_of(gate) + OVERRIDE_WINDOW
        for bypass in snapshot.events("gate.bypassed", gate.pipeline)
    )


def _is_bypassed(snapshot: Snapshot, shift: Shift) -> bool:
    """Tell whether a deployment went past its gate."""
    deployment, digests = shift.event.data.get("deployment_id"), set(shift.digests.values()) - {""}
    for bypass in snapshot.events("gate.bypassed", shift.event.pipeline):
        named = bypass.data.get("deployment_id")
        if named and deployment:
            if named == deployment:
                return True
        elif bypass.data.get("artifact_digest") in digests and order(bypass) < order(shift.event):
            return True
    return False


def _is_reversed(snapshot: Snapshot, shift: Shift) -> bool:
    """Tell whether anyone but automation took back within a day what a shift made live."""
    back = shift.taken_back_by
    if back is None or moment_of(back) > moment_of(shift.event) + OVERRIDE_WINDOW:
        return False
    return trace(snapshot, back, stage="deploy").actor_class != "automation"
