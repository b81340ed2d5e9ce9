"""All event types in one table: their stage, whether they may be roots, and what emits them.

Invariant: no event of another type enters the ledger, and a type without a cause is one of the named roots.
Short names are used in code and rules; on the wire a type is ``dev.ratchet.<short>.v1``.
"""

import difflib
from dataclasses import dataclass

from ratchet.errors import UnknownEventType

WIRE_PREFIX = "dev.ratchet."
WIRE_SUFFIX = ".v1"


@dataclass(frozen=True)
class EventType:
    """What is fixed about a type of event.

    Attributes:
        name: The short name, ``subject.past_participle``.
        stage: The stage of the loop that it belongs to, or ``""``.
        is_root: Whether it may stand without a cause.
        awaits: What will emit it, for types that nothing here emits yet; ``""`` where something does.
    """

    name: str
    stage: str = ""
    is_root: bool = False
    awaits: str = ""


def _types(stage: str, *names: str, root: bool = False, awaits: str = "") -> list[EventType]:
    return [EventType(name, stage, root, awaits) for name in names]


_ALL = [
    *_types("", "command.issued", "clock.ticked", "custom.emitted", root=True),
    *_types("", "code.pushed", root=True, awaits="the code trigger"),
    *_types("", "rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted"),
    *_types("", "rule.fired", "rule.suppressed", "rule.action.succeeded", "rule.action.failed"),
    *_types("data", "dataset.version.published", root=True),
    *_types("data", "dataset.check.finished", root=True),
    *_types("data", "feature_view.published", awaits="the feature store"),
    *_types("experiment", "experiment.started", "experiment.concluded", awaits="experiments"),
    *_types("design", "design.signed", awaits="design documents"),
    *_types("", "pipeline_version.released", awaits="the code trigger"),
    *_types("train", "run.queued", "run.started", "run.finished", "artifact.published", "model.version.registered"),
    *_types("evaluate", "fitness.suite.finished", "gate.evaluated"),
    *_types("deploy", "gate.bypassed"),
    *_types("deploy", "path.approved", "path.expired", awaits="approved paths"),
    *_types("deploy", "version.submitted", "version.accepted", "version.returned", awaits="hand-over"),
    *_types("deploy", "approval.requested", "approval.decided", "approval.closed", awaits="approvals"),
    *_types("deploy", "deployment.requested", "deployment.started", "deployment.completed", "deployment.failed"),
    *_types("deploy", "traffic.shifted", "deployment.rolledback"),
    *_types("deploy", "canary.judged", awaits="canary releases"),
    *_types("deploy", "service.removed", "config.changed", awaits="service management"),
    *_types("serve", "usage.recorded", "prediction_log.segment.sealed"),
    *_types("monitor", "monitor.evaluated", "monitor.alert.raised", "monitor.alert.cleared"),
    *_types("monitor", "slo.window.closed", awaits="service level objectives"),
    *_types("sample", "sample.taken"),
    *_types("label", "feedback.joined"),
    *_types("label", "label.batch.created", "label.batch.assigned", "label.batch.completed", awaits="labelling"),
    *_types("label", "label.batch.ingested", "label.submitted", awaits="labelling"),
    *_types("dataset", "dataset.generated"),
    *_types("", "budget.exceeded"),
    *_types("", "page.sent", "page.acknowledged", "page.escalated", awaits="paging"),
    *_types("", "incident.detected", "incident.reported", root=True),
    *_types("", "incident.mitigated", "incident.resolved", "incident.attributed"),
    *_types("", "touch.recorded", root=True, awaits="importers and the labelling page"),
    *_types("", "cost.recorded"),
    *_types("", "bill.imported", root=True),
    *_types("", "ownership.changed", "module.used", awaits="shared modules and owners"),
    *_types("", "report.published"),
    *_types("", "goal.set"),
    *_types("", "level.policy.published"),
    *_types("", "assessment.recorded"),
    *_types("", "pipeline.declared"),
    *_types("", "pipeline.archived", awaits="archiving"),
    *_types("", "source.cursor", root=True),
    *_types("", "credential.issued", "credential.revoked"),
    *_types("", "ledger.conflict.detected", root=True),
    *_types("", "ledger.checkpoint", root=True),
    *_types("", "artifacts.collected", root=True),
    *_types("", "ledger.key.rotated", "payload.erased"),
]

EVENT_TYPES: dict[str, EventType] = {kind.name: kind for kind in _ALL}


def event_type(name: str) -> EventType:
    """Return what is fixed about a type, by its short or its wire name.

    Raises:
        UnknownEventType: The name is not in the catalogue.
    """
    short = short_name(name)
    if short not in EVENT_TYPES:
        close = difflib.get_close_matches(short, EVENT_TYPES, n=1, cutoff=0.0)
        raise UnknownEventType(type=short, closest=close[0])
    return EVENT_TYPES[short]


def short_name(name: str) -> str:
    """Return the short name of a type given by either name."""
    if name.startswith(WIRE_PREFIX) and name.endswith(WIRE_SUFFIX):
        return name[len(WIRE_PREFIX) : -len(WIRE_SUFFIX)]
    return name


def wire_name(name: str) -> str:
    """Return the name of a type on the wire, ``dev.ratchet.<short>.v1``."""
    return f"{WIRE_PREFIX}{name}{WIRE_SUFFIX}"
