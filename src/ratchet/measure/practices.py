"""What the events around a transition show about how the work is done: tracked, checked, registered, delivered.

Invariant: a practice is shown by what was recorded before the work counted, never by what somebody says about it; a
transition that a practice does not concern neither counts nor weighs.
"""

from functools import cached_property

from ratchet.measure.changes import Change, changes
from ratchet.measure.history import Snapshot, order
from ratchet.measure.initiators import acting_class
from ratchet.measure.traffic import Shift
from ratchet.measure.transitions import is_preceded_by_gate, read
from ratchet.records import Event

# Each practice, and the stage in whose transitions it shows.
PRACTICES = {
    "gate_before_deploy": "deploy",
    "registered": "deploy",
    "traceable": "deploy",
    "tracked": "train",
    "orchestrated": "train",
    "data_checked": "train",
    "delivered": "evaluate",
}
CLAIMS = {
    "gate_before_deploy": "had passed a gate with that very artifact",
    "registered": "had been registered with that very artifact",
    "traceable": "can be traced back to their code and their data",
    "tracked": "name their code, their data and their parameters",
    "orchestrated": "were carried out by a system from start to end",
    "data_checked": "had their data checked",
    "delivered": "went live by rule",
}
_BY_RULE = ("auto", "gated")


class Practices:
    """What is shown about the transitions of one pipeline in one snapshot; each index is made when first asked for."""

    def __init__(self, snapshot: Snapshot, pipeline: str) -> None:
        """Look at a pipeline."""
        self._snapshot = snapshot
        self._pipeline = pipeline

    def shown(self, practice: str, change: Change) -> bool | None:
        """Tell whether a change of the practice's stage shows it; ``None`` where it does not concern the change."""
        if practice == "delivered":
            return self._is_delivered(change) if change.event.data.get("decision") == "pass" else None
        if practice in ("tracked", "orchestrated", "data_checked"):
            run = change.event if change.event.type == "run.finished" else None
            return run is not None and self._shown_by_run(practice, run)
        shift = change.shift
        if shift is None:
            return False
        if practice == "gate_before_deploy":
            return is_preceded_by_gate(self._snapshot, shift)
        runs = [self._registered_run(shift, version, digest) for version, digest in shift.digests.items()]
        if practice == "registered":
            return all(run_id is not None for run_id in runs)
        return all(bool(run_id) and self._is_traced(str(run_id)) for run_id in runs)

    def _shown_by_run(self, practice: str, run: Event) -> bool:
        if practice == "tracked":
            return _is_tracked(run)
        if practice == "orchestrated":
            started = self._snapshot.cause(run)
            return acting_class(run) == "automation" and started is not None and started.type == "run.started"
        return bool(
            {str(run.data.get("run_id") or run.subject), *map(str, run.data.get("inputs") or ())} & self._checked
        )

    def _is_delivered(self, verdict: Change) -> bool:
        """Tell whether a rule made live the very artifact that passed."""
        digest = str(verdict.event.data.get("artifact_digest") or "")
        return any(
            order(verdict.event) < order(change.event) and read(self._snapshot, change).mode in _BY_RULE
            for change in self._deployments.get(digest, [])
        )

    def _registered_run(self, shift: Shift, version: str, digest: str) -> str | None:
        """Return the run that a live version was registered from, ``""`` if it names none, ``None`` if it was not."""
        registered = self._registered.get(version)
        if registered is None or order(shift.event) < order(registered):
            return None
        known = registered.data.get("artifact_digest")
        if digest and known and digest != known:
            return None
        return str(registered.data.get("run_id") or "")

    def _is_traced(self, run_id: str) -> bool:
        run = self._runs.get(run_id)
        return run is not None and _is_tracked(run)

    @cached_property
    def _deployments(self) -> dict[str, list[Change]]:
        found: dict[str, list[Change]] = {}
        for change in changes(self._snapshot, self._pipeline, "deploy"):
            for digest in set(change.shift.digests.values()) if change.shift else ():
                found.setdefault(digest or "unknown", []).append(change)
        return found

    @cached_property
    def _registered(self) -> dict[str, Event]:
        events = self._snapshot.events("model.version.registered", self._pipeline)
        return {str(event.data.get("version") or event.subject): event for event in reversed(events)}

    @cached_property
    def _runs(self) -> dict[str, Event]:
        events = self._snapshot.events("run.finished", self._pipeline)
        return {str(event.data.get("run_id") or event.subject): event for event in events}

    @cached_property
    def _checked(self) -> set[str]:
        """Return the runs whose data passed a check, and the digests of data that did."""
        suites = self._snapshot.events("fitness.suite.finished", self._pipeline)
        checks = self._snapshot.events("dataset.check.finished", self._pipeline)
        passed = [str(e.data.get("run_id") or "") for e in suites if e.data.get("kind") == "data" and _is_passed(e)]
        passed += [str(event.data.get("digest") or "") for event in checks if _is_passed(event)]
        return set(passed) - {""}


def _is_tracked(run: Event) -> bool:
    return all(run.data.get(name) for name in ("inputs", "code_sha", "params_digest"))


def _is_passed(event: Event) -> bool:
    return event.data.get("outcome") == "passed" and acting_class(event) != "unknown" and event.evidence != "declared"
