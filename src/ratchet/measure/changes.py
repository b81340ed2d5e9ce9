"""What was completed in each stage: the changes that transitions are made of.

Invariant: repeating a change adds nothing, whoever repeats it: the earliest of the same work is the one that counts.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from ratchet.measure.history import Snapshot, moment_of, order, stage_of
from ratchet.measure.stages import STAGES, CustomStage
from ratchet.measure.traffic import Shift, shifts
from ratchet.records import ActorClass, Event, Record, actor_class, digest_of

UNKNOWN = "unknown"

__all__ = ["STAGES", "Change", "changes", "left_out"]


class Change(Record, frozen=True):
    """One completed change of an object in a stage.

    Attributes:
        stage: The stage.
        event: The event that completed it.
        also: Further events whose initiators count as much, the weakest deciding: other monitors of one window,
            the creation of a batch of labels.
        senders: Classes of those who sent the content, where that counts (outcomes).
        input_digest: Names the same work; ``""`` where the event does not say.
        is_manual: Whether a person made the object by hand, with no run that produced it.
        shift: What happened to the traffic, for deployments.
        walks_in: The stage whose events the way to its start stays within, where that is another than ``stage``.
        is_actor_decisive: Whether whoever sent the event counts as its initiator, whatever led to it.
    """

    stage: str
    event: Event
    also: tuple[Event, ...] = ()
    senders: tuple[ActorClass, ...] = ()
    input_digest: str = ""
    is_manual: bool = False
    shift: Shift | None = None
    walks_in: str = ""
    is_actor_decisive: bool = False


def changes(snapshot: Snapshot, pipeline: str, stage: str | CustomStage) -> list[Change]:
    """Return the completed changes of a pipeline in one stage, in the order in which they count."""
    if isinstance(stage, CustomStage):
        return _custom(snapshot, pipeline, stage)
    return _READERS[stage](snapshot, pipeline)


def left_out(snapshot: Snapshot, pipeline: str, stage: str | CustomStage) -> dict[str, int]:
    """Return in words what was recorded and is no change of a stage within the window, and how often."""
    found = changes(snapshot, pipeline, stage)
    recent = {(one.event.source, one.event.id) for one in found if moment_of(one.event) >= snapshot.since}
    seen, why = [change.event for change in found], _always("")
    if isinstance(stage, str) and stage in _LEFT_OUT:
        type_, why = _LEFT_OUT[stage]
        seen = snapshot.events(type_, pipeline)
    reason_of = why(snapshot, pipeline)
    return Counter(
        _why_left_out(snapshot, event, reason_of) for event in seen if (event.source, event.id) not in recent
    )


def _why_left_out(snapshot: Snapshot, event: Event, reason_of: Callable[[Event], str]) -> str:
    if event.stage == UNKNOWN:
        return "whose name is mapped to no stage"
    is_old = moment_of(event) < snapshot.since
    return f"of more than {snapshot.window.days} days ago" if is_old else reason_of(event)


def _why_no_training(snapshot: Snapshot, pipeline: str) -> Callable[[Event], str]:
    at_gate = {gate.data.get("run_id") for gate in snapshot.events("gate.evaluated", pipeline)}

    def reason(event: Event) -> str:
        if event.data.get("outcome") != "success":
            return "that did not end well"
        if not event.data.get("candidate"):
            return "without a candidate"
        return "that repeated earlier work" if _run_id(event) in at_gate else "whose candidate no gate judged"

    return reason


def _always(words: str) -> Callable[[Snapshot, str], Callable[[Event], str]]:
    return lambda _snapshot, _pipeline: lambda _event: words


# For each stage the type of its events, and what is said of those that are no change.
_LEFT_OUT: dict[str, tuple[str, Callable[[Snapshot, str], Callable[[Event], str]]]] = {
    "data": ("dataset.version.published", _always("made by the loop itself")),
    "train": ("run.finished", _why_no_training),
    "evaluate": ("gate.evaluated", _always("without a verdict after a suite of checks")),
    "deploy": ("traffic.shifted", _always("that made no other version live in production")),
    "sample": ("sample.taken", _always("without a row")),
    "label": ("feedback.joined", _always("without a row")),
    "dataset": ("dataset.generated", _always("without a row")),
}


def _custom(snapshot: Snapshot, pipeline: str, stage: CustomStage) -> list[Change]:
    return [
        Change(
            stage=stage.name,
            event=event,
            is_manual=_is_manual(event),
            walks_in=stage_of(event),
            is_actor_decisive=stage.initiator == "actor",
        )
        for event in snapshot.events(stage.type, pipeline)
        if stage.completes(event)
    ]


def _data(snapshot: Snapshot, pipeline: str) -> list[Change]:
    published = snapshot.events("dataset.version.published", pipeline)
    return [
        Change(stage="data", event=event, input_digest=str(event.data.get("digest", "")), is_manual=_is_manual(event))
        for event in published
        if not event.data.get("generated")
    ]


def _train(snapshot: Snapshot, pipeline: str) -> list[Change]:
    """Return the trainings whose candidate went to a gate, and models made by hand that did."""
    gates = snapshot.events("gate.evaluated", pipeline)
    runs_at_gate = {gate.data.get("run_id") for gate in gates} - {None, ""}
    versions_at_gate = {gate.data.get("version") or gate.subject for gate in gates}
    trained = [
        Change(stage="train", event=event, input_digest=_work_of_run(event), is_manual=_is_manual(event))
        for event in snapshot.events("run.finished", pipeline)
        if _is_candidate(event) and _run_id(event) in runs_at_gate
    ]
    uploaded = [
        Change(stage="train", event=event, input_digest=str(event.data.get("artifact_digest", "")), is_manual=True)
        for event in snapshot.events("model.version.registered", pipeline)
        if not event.data.get("run_id") and (event.data.get("version") or event.subject) in versions_at_gate
    ]
    return _first_of_same_work(sorted(trained + uploaded, key=lambda change: order(change.event)))


def _evaluate(snapshot: Snapshot, pipeline: str) -> list[Change]:
    """Return the verdicts of gates that looked at something."""
    return [
        Change(stage="evaluate", event=event, is_manual=_is_manual(event))
        for event in snapshot.events("gate.evaluated", pipeline)
        if event.data.get("decision") in ("pass", "fail") and event.data.get("suites")
    ]


def _deploy(snapshot: Snapshot, pipeline: str) -> list[Change]:
    """Return the shifts that made a version live; going to and fro between the same two states counts once each."""
    found = []
    for shift in shifts(snapshot, pipeline):
        if not shift.newly_live:
            continue
        work = digest_of([shift.endpoint, sorted(shift.before), sorted(shift.after), shift.digests])
        is_manual = _is_manual(shift.event)
        found.append(Change(stage="deploy", event=shift.event, input_digest=work, shift=shift, is_manual=is_manual))
    return _first_of_same_work(found)


def _monitor(snapshot: Snapshot, pipeline: str) -> list[Change]:
    """Return the evaluations, those of one window that began together as one."""
    groups: dict[tuple[str, str], list[Event]] = {}
    for event in snapshot.events("monitor.evaluated", pipeline):
        root = snapshot.chain(event)[-1]
        groups.setdefault((digest_of(event.data.get("window")), f"{root.source} {root.id}"), []).append(event)
    return [
        Change(stage="monitor", event=first, also=tuple(rest), is_manual=_is_manual(first))
        for first, *rest in groups.values()
    ]


def _label(snapshot: Snapshot, pipeline: str) -> list[Change]:
    """Return the outcomes that were joined and the batches of labels that came in."""
    created = {event.subject: event for event in snapshot.events("label.batch.created", pipeline)}
    joined = [
        Change(stage="label", event=event, senders=_senders(event), is_manual=_is_manual(event))
        for event in snapshot.events("feedback.joined", pipeline)
        if _has_rows(event)
    ]
    ingested = [
        Change(
            stage="label",
            event=event,
            also=(created[event.subject],) if event.subject in created else (),
            is_manual=_is_manual(event),
        )
        for event in snapshot.events("label.batch.ingested", pipeline)
        if _has_rows(event)
    ]
    return sorted(joined + ingested, key=lambda change: order(change.event))


def _plain(stage: str, type_: str) -> Callable[[Snapshot, str], list[Change]]:
    """Return a reader for a stage in which each event of one type is a change."""

    def read(snapshot: Snapshot, pipeline: str) -> list[Change]:
        return [
            Change(stage=stage, event=event, is_manual=_is_manual(event))
            for event in snapshot.events(type_, pipeline)
            if _has_rows(event)
        ]

    return read


_READERS: dict[str, Callable[[Snapshot, str], list[Change]]] = {
    "data": _data,
    "train": _train,
    "experiment": _plain("experiment", "experiment.concluded"),
    "evaluate": _evaluate,
    "deploy": _deploy,
    "monitor": _monitor,
    "sample": _plain("sample", "sample.taken"),
    "label": _label,
    "dataset": _plain("dataset", "dataset.generated"),
    "pipeline-ci": _plain("pipeline-ci", "pipeline_version.released"),
}


def _first_of_same_work(found: Iterable[Change]) -> list[Change]:
    """Drop repetitions; work that does not say what it was done on is never taken for a repetition."""
    seen: set[str] = set()
    kept = []
    for change in found:
        if change.input_digest and change.input_digest in seen:
            continue
        seen.add(change.input_digest)
        kept.append(change)
    return kept


def _is_candidate(event: Event) -> bool:
    return event.data.get("outcome") == "success" and bool(event.data.get("candidate"))


def _run_id(event: Event) -> str:
    return str(event.data.get("run_id") or event.subject)


def _work_of_run(event: Event) -> str:
    """Return the digest of inputs, code and parameters; ``""`` unless the run names its inputs and its code."""
    inputs, code, parameters = (event.data.get(name) for name in ("inputs", "code_sha", "params_digest"))
    if not inputs or not code:
        return ""
    return digest_of([sorted(inputs), code, parameters or ""])


def _senders(event: Event) -> tuple[ActorClass, ...]:
    """Return the classes of those who sent outcomes; unknown where the event names nobody."""
    senders = event.data.get("senders") or []
    classes = tuple(actor_class(sender.get("authtype", ""), sender.get("claims") or {}) for sender in senders)
    return classes or ("unknown",)


def _has_rows(event: Event) -> bool:
    """Tell whether anything came of it: an empty sample or join changed no object."""
    return bool(event.data.get("rows", 1))


def _is_manual(event: Event) -> bool:
    return event.data.get("execution") == "manual"
