"""To which degree a process runs by itself, read off the ledger, beside what people declare about it.

Invariant: a degree that was measured names its cases and its reason; where the ledger has too little to say, it says
``unmeasured`` and why, never ``absent`` and never a guess.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby

import msgspec

from ratchet.catalogue import EVENT_TYPES
from ratchet.measure.changes import Change, changes
from ratchet.measure.history import History, Snapshot, moment_of, order, stage_of
from ratchet.measure.initiators import trace
from ratchet.measure.maps.degrees import Degree, is_known, rank
from ratchet.measure.maps.process_maps import Binding, Node, ProcessMap
from ratchet.measure.transitions import Transition, read
from ratchet.records import Event, Record

CASES_AT_MOST = 20
CASES_AT_LEAST = 3
MANUAL_FROM = 0.5
REPEATABLE_FROM = 0.5
AUTOMATED_FROM = 0.8
_EXECUTED = ("auto", "gated", "assisted")
_NO_STEP = ("rule.fired", "clock.ticked", "command.issued", "custom.emitted")
_HANDS = {
    "retry": "a retry by hand",
    "param_edit": "an edit of parameters",
    "data_fix": "a repair of data",
    "manual_upload": "an upload by hand",
    "pause": "a pause",
    "abort": "an abort",
    "override": "an override",
    "login_shell": "a login to the machine",
}


class Measured(Record, frozen=True):
    """What the ledger says about one process.

    Attributes:
        node: Id of the node.
        degree: How far it runs by itself; ``unmeasured`` where the ledger cannot tell.
        reason: Why, in one sentence.
        cases: Ids of the events that completed the cases it rests on, the latest last.
        modes: How many cases ran in which mode.
        last_at: When the latest was completed; ``None`` where there is none.
    """

    node: str
    degree: Degree
    reason: str
    cases: tuple[str, ...] = ()
    modes: dict[str, int] = msgspec.field(default_factory=dict)
    last_at: datetime | None = None


class Disagreement(Record, frozen=True):
    """A process that people see otherwise than the ledger does.

    Attributes:
        node: Id of the node.
        name: What it is called.
        declared: What people say.
        measured: What the ledger says.
        steps: How much better the declared degree is than the measured one; negative where it is worse.
        reason: Why the ledger says so.
    """

    node: str
    name: str
    declared: Degree
    measured: Degree
    steps: int
    reason: str


class _Case(Record, frozen=True):
    transition: Transition
    steps: tuple[str, ...]
    hands: tuple[str, ...]


def measure_degrees(
    history: History, process_map: ProcessMap, *, as_of: datetime | None = None, seq: int | None = None
) -> dict[str, Measured]:
    """Return what the ledger said at a moment about each node, by its id.

    Args:
        history: The events.
        process_map: Whose nodes.
        as_of: The moment (UTC); now if not given.
        seq: Leave out what came after this place in the ledger.
    """
    snapshot = history.as_of(as_of, seq=seq)
    return {node.id: _measure(history, snapshot, node) for node in process_map.nodes}


def on_either(current: dict[str, Measured], target: dict[str, Measured]) -> dict[str, Measured]:
    """Return what is measured of the processes of two maps; where one is bound on one map only, that counts."""
    found = dict(current)
    for name, one in target.items():
        if name not in found or is_known(one.degree):
            found[name] = one
    return found


def disagreements(process_map: ProcessMap, measured: dict[str, Measured]) -> list[Disagreement]:
    """Return the nodes whose declared and measured degrees are both known and differ, the widest apart first."""
    found = []
    for node in process_map.nodes:
        seen = measured.get(node.id)
        if seen is None or seen.degree == node.degree or not (is_known(seen.degree) and is_known(node.degree)):
            continue
        steps = rank(node.degree) - rank(seen.degree)
        found.append(
            Disagreement(
                node=node.id,
                name=node.name,
                declared=node.degree,
                measured=seen.degree,
                steps=steps,
                reason=seen.reason,
            )
        )
    return sorted(found, key=lambda one: -abs(one.steps))


def found_changes(snapshot: Snapshot, binding: Binding, pipeline: str) -> list[Change]:
    """Return the completed changes that a binding means in one pipeline, in order."""
    if binding.stage:
        return changes(snapshot, pipeline, binding.stage)
    return [
        Change(stage=stage_of(event), event=event, is_manual=event.data.get("execution") == "manual")
        for event in snapshot.events(binding.event, pipeline)
    ]


def bound_pipelines(history: History, snapshot: Snapshot, binding: Binding) -> list[str]:
    """Return the pipelines that a binding means and that the ledger knew at the moment of a snapshot."""
    named = [binding.pipeline] if binding.pipeline else [*history.pipelines, *([""] if binding.event else [])]
    return [name for name in named if name == "" or snapshot.first(name) is not None]


def _measure(history: History, snapshot: Snapshot, node: Node) -> Measured:
    binding = node.bound_to
    if binding is None:
        return _unmeasured(node, "It is not bound to anything in the ledger.")
    pipelines = bound_pipelines(history, snapshot, binding)
    if not any(pipelines):
        named = f"the pipeline {binding.pipeline}" if binding.pipeline else "any pipeline"
        return _unmeasured(node, f"The ledger knows nothing of {named}.")
    seen = [
        (_window(snapshot, name), change) for name in pipelines for change in found_changes(snapshot, binding, name)
    ]
    seen.sort(key=lambda one: order(one[1].event))
    recent = [(view, change) for view, change in seen if moment_of(change.event) >= view.since][-CASES_AT_MOST:]
    if not recent:
        last = seen[-1][1].event if seen else None
        return _never_or_not_lately(snapshot, node, binding, pipelines, last)
    return _judge(node, [_read(view, change) for view, change in recent])


def _never_or_not_lately(
    snapshot: Snapshot, node: Node, binding: Binding, pipelines: list[str], last: Event | None
) -> Measured:
    """Tell what is absent from what was not seen for another reason."""
    if last is not None:
        at = moment_of(last)
        reason = f"Not in this window: it was last seen on {at:%Y-%m-%d}."
        return Measured(node=node.id, degree="unmeasured", reason=reason, last_at=at)
    if _is_never_sent(binding):
        what = binding.event or f"what completes the stage {binding.stage}"
        return _unmeasured(node, f"Nothing that is connected sends {what}.")
    unsure = [name for name in pipelines if name and not _is_complete(snapshot, name)]
    if unsure:
        return _unmeasured(node, f"Never seen, but not all of {', '.join(unsure)} has been imported.")
    stage = binding.stage or EVENT_TYPES[binding.event].stage
    rules = [rule.rule_id for name in pipelines for rule in snapshot.rules.enabled(name) if stage in rule.leads_to]
    if rules:
        return _unmeasured(node, f"Never seen, but the rule '{rules[0]}' leads to it.")
    return Measured(node=node.id, degree="absent", reason="Never seen in a complete record, and no rule leads to it.")


def _judge(node: Node, cases: list[_Case]) -> Measured:
    """Return the first degree that holds."""
    modes: Counter[str] = Counter(case.transition.mode for case in cases)
    degree, reason = _degree_of(cases, modes)
    return Measured(
        node=node.id,
        degree=degree,
        reason=reason,
        cases=tuple(case.transition.event_id for case in cases),
        modes=dict(sorted(modes.items())),
        last_at=cases[-1].transition.at,
    )


def _degree_of(cases: list[_Case], modes: Counter[str]) -> tuple[Degree, str]:
    n = len(cases)
    if n < CASES_AT_LEAST:
        return "unmeasured", f"Only {n} of the {CASES_AT_LEAST} cases that are needed to say anything."
    by_hand = sum(case.transition.mode == "manual" or case.transition.evidence == "declared" for case in cases)
    if by_hand / n >= MANUAL_FROM:
        return "exceptionally manual", f"{by_hand} of the last {n} were made by hand or are only declared."
    usual, often = Counter(case.steps for case in cases).most_common(1)[0]
    if often / n < REPEATABLE_FROM:
        return "non-repeatable", f"The most frequent way ({_in_words(usual)}) covers only {often} of the last {n}."
    executed = sum(modes[mode] for mode in _EXECUTED)
    if executed / n >= AUTOMATED_FROM:
        return "automated", f"{executed} of the last {n} ran without a hand in them once started."
    if modes["unknown"] / n > MANUAL_FROM:
        return "unmeasured", f"Who did {modes['unknown']} of the last {n} is unknown."
    return "semi-automated", f"Only {executed} of the last {n} ran without a hand in them: {_why_not(cases, modes)}."


def _why_not(cases: list[_Case], modes: Counter[str]) -> str:
    """Return what people did in between, the most frequent first."""
    hands = Counter(hand for case in cases for hand in set(case.hands))
    named = [f"{_HANDS.get(kind, kind)} in {times}" for kind, times in hands.most_common(3)]
    unnamed = modes["semi"] - sum(case.transition.mode == "semi" and bool(case.hands) for case in cases)
    parts = [*named]
    parts += [f"an approval or a look by a person in {unnamed}"] if unnamed > 0 else []
    words = {"overridden": "overridden", "manual": "made by hand", "unknown": "of unknown origin"}
    parts += [f"{modes[mode]} {word}" for mode, word in words.items() if modes[mode]]
    return ", ".join(parts)


# ---- cases


def _read(snapshot: Snapshot, change: Change) -> _Case:
    """Return a change as a case: in which steps it came about, leaving out who or what began it."""
    links = trace(snapshot, change.event, stage=change.stage).links
    hands = _hands(snapshot, change.event, links)
    run_id = str(change.event.data.get("run_id") or change.event.subject)
    timed = [(order(link), link.type) for link in links if link.type not in _NO_STEP]
    timed += [(order(hand), str(hand.data.get("kind") or "touch")) for hand in hands]
    timed += [(order(cost), f"step {cost.data.get('step')}") for cost in _costs(snapshot, change, run_id)]
    steps = tuple(name for name, _ in groupby(name for _, name in sorted(timed)))
    return _Case(
        transition=read(snapshot, change),
        steps=steps,
        hands=tuple(str(hand.data.get("kind") or "touch") for hand in hands),
    )


def _hands(snapshot: Snapshot, event: Event, links: Iterable[Event]) -> list[Event]:
    """Return the touches between the start and the end of a case."""
    named = {event.subject, *(str(event.data.get(key)) for key in ("run_id", "deployment_id", "version"))}
    named |= {link.id for link in links}
    start, end = min(map(moment_of, links)), moment_of(event)
    found = {touch.id: touch for name in named for touch in snapshot.about(name) if touch.type == "touch.recorded"}
    return [touch for touch in found.values() if start <= moment_of(touch) <= end]


def _costs(snapshot: Snapshot, change: Change, run_id: str) -> list[Event]:
    """Return what was recorded of a training's steps."""
    if change.stage != "train":
        return []
    costs = snapshot.events("cost.recorded", change.event.pipeline)
    return [cost for cost in costs if cost.data.get("run_id") == run_id]


def _in_words(steps: tuple[str, ...]) -> str:
    return ", ".join(steps)


def _window(snapshot: Snapshot, pipeline: str) -> Snapshot:
    """Return the snapshot with the window that a pipeline's declared cadence asks for."""
    declared = snapshot.events("pipeline.declared", pipeline)
    cadence = timedelta(days=float(declared[-1].data.get("cadence_days") or 0)) if declared else timedelta(0)
    return snapshot.over(max(snapshot.window, 4 * cadence))


def _is_never_sent(binding: Binding) -> bool:
    """Tell whether nothing here sends what a binding waits for, so that not seeing it means nothing."""
    if binding.event:
        return bool(EVENT_TYPES[binding.event].awaits)
    return all(kind.awaits for kind in EVENT_TYPES.values() if kind.stage == binding.stage)


def _is_complete(snapshot: Snapshot, pipeline: str) -> bool:
    """Tell whether all that happened in a pipeline is in the ledger: it ran here, or its source says so."""
    first = snapshot.first(pipeline)
    if first is None or first.evidence != "imported":
        return first is not None
    cursors = [event for event in snapshot.all("source.cursor") if event.data.get("source") in (first.source, None)]
    if not cursors:
        return False
    claimed, imported = cursors[-1].data.get("count"), cursors[-1].data.get("imported")
    return claimed is not None and imported is not None and imported >= claimed


def _unmeasured(node: Node, reason: str) -> Measured:
    return Measured(node=node.id, degree="unmeasured", reason=reason)
