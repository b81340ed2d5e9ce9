"""The changes that could have led to an incident, and what else of them the ledger knows.

Invariant: what happened after the onset, or on a service that the incident does not depend on, is no candidate.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property

from ratchet.config import IncidentSection
from ratchet.measure.changes import Change
from ratchet.measure.history import Snapshot, stage_of
from ratchet.measure.incidents.outages import Incident
from ratchet.measure.initiators import Mode, trace
from ratchet.measure.traffic import Shift, shifts
from ratchet.measure.transitions import read
from ratchet.records import Event, Record

DATA_TYPES = ("dataset.version.published", "feature_view.published", "label.batch.ingested")
RULE_TYPES = ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")
_PLAIN_MODES: dict[str, Mode] = {"human": "assisted", "automation": "auto", "unknown": "unknown"}


DEFAULTS = IncidentSection()


class Candidate(Record, frozen=True):
    """A change that could have led to an incident.

    Attributes:
        event: What changed.
        shift: What happened to the traffic, where it is a deployment.
    """

    event: Event
    shift: Shift | None = None

    @property
    def deployment(self) -> str:
        """Return the id of the deployment; ``""`` where it is none, or has no id."""
        return str(self.event.data.get("deployment_id") or "") if self.shift else ""


class _Timeline:
    """Candidates of one kind in the order of their time."""

    def __init__(self, found: Iterable[Candidate]) -> None:
        self._found = sorted(found, key=lambda one: (one.event.at, one.event.seq))
        self._moments = [one.event.at for one in self._found]

    def between(self, since: datetime, until: datetime) -> list[Candidate]:
        """Return those of a stretch of time; both ends belong to it."""
        return self._found[bisect_left(self._moments, since) : bisect_right(self._moments, until)]


class Ground:
    """What incidents are judged by, read off a snapshot once.

    Args:
        snapshot: The ledger up to a moment.
        settings: How far back causes are looked for, and how soon people are to react.
    """

    def __init__(self, snapshot: Snapshot, *, settings: IncidentSection = DEFAULTS) -> None:
        self.snapshot = snapshot
        self.settings = settings

    @property
    def deploy_window(self) -> timedelta:
        """Return how long before an onset a deployment, a setting or a rule can be its cause."""
        return timedelta(hours=self.settings.deploy_window_hours)

    def candidates(self, incident: Incident) -> list[Candidate]:
        """Return all changes near the onset of an incident, in the order of the ledger."""
        onset = incident.onset
        day, week = onset - self.deploy_window, onset - timedelta(days=self.settings.data_window_days)
        found: list[Candidate] = []
        for service in dict.fromkeys(incident.services):
            if service in self._by_service:
                found += self._by_service[service].between(day, onset)
        if incident.pipeline in self._rules:
            found += self._rules[incident.pipeline].between(day, onset)
        if incident.pipeline in self._data:
            found += self._data[incident.pipeline].between(week, onset)
        return sorted({one.event.seq: one for one in found}.values(), key=lambda one: (one.event.at, one.event.seq))

    def mode(self, candidate: Candidate) -> Mode:
        """Return in which mode a change was made: of a deployment as for the levels, else by who started it."""
        if candidate.shift is not None:
            return self.mode_of_shift(candidate.shift)
        started = trace(self.snapshot, candidate.event, stage=stage_of(candidate.event))
        return _PLAIN_MODES[started.actor_class]

    def mode_of_shift(self, shift: Shift) -> Mode:
        """Return the mode of a deployment, also of one that repeated an earlier one."""
        is_manual = shift.event.data.get("execution") == "manual"
        return read(self.snapshot, Change(stage="deploy", event=shift.event, shift=shift, is_manual=is_manual)).mode

    # ---- what the ledger knows of changes

    @cached_property
    def shifts(self) -> dict[str, Shift]:
        """Return all shifts of live production traffic, by the id of their event."""
        pipelines = dict.fromkeys(event.pipeline for event in self.snapshot.all("traffic.shifted"))
        return {shift.event.id: shift for pipeline in pipelines for shift in shifts(self.snapshot, pipeline)}

    @cached_property
    def services(self) -> dict[str, str]:
        """Return the pipeline behind each service that a change is known of."""
        settings = self.snapshot.all("config.changed")
        found = {str(event.data.get("service") or event.subject): event.pipeline for event in settings}
        return found | {shift.endpoint: shift.event.pipeline for shift in self.shifts.values()}

    @cached_property
    def _by_service(self) -> dict[str, _Timeline]:
        found: dict[str, list[Candidate]] = defaultdict(list)
        for shift in self.shifts.values():
            service = shift.event.data.get("service") or shift.endpoint
            found[str(service)].append(Candidate(event=shift.event, shift=shift))
        for event in self.snapshot.all("config.changed"):
            found[str(event.data.get("service") or event.subject)].append(Candidate(event=event))
        return {service: _Timeline(changes) for service, changes in found.items()}

    @cached_property
    def _rules(self) -> dict[str, _Timeline]:
        return self._by_pipeline(RULE_TYPES)

    @cached_property
    def _data(self) -> dict[str, _Timeline]:
        return self._by_pipeline(DATA_TYPES)

    def _by_pipeline(self, types: tuple[str, ...]) -> dict[str, _Timeline]:
        found: dict[str, list[Candidate]] = defaultdict(list)
        for type_ in types:
            for event in self.snapshot.all(type_):
                if event.pipeline:
                    found[event.pipeline].append(Candidate(event=event))
        return {pipeline: _Timeline(changes) for pipeline, changes in found.items()}

    @cached_property
    def worse_canaries(self) -> dict[str, Event]:
        """Return the first verdict ``worse`` of a canary, by deployment."""
        found: dict[str, Event] = {}
        for event in self.snapshot.all("canary.judged"):
            if event.data.get("verdict") == "worse" and event.data.get("deployment_id"):
                found.setdefault(str(event.data["deployment_id"]), event)
        return found

    @cached_property
    def bypasses(self) -> dict[str, Event]:
        """Return who went past a gate, by deployment and by the digest of the bytes."""
        found: dict[str, Event] = {}
        for event in self.snapshot.all("gate.bypassed"):
            deployment = event.data.get("deployment_id")
            found.setdefault(
                f"deployment {deployment}" if deployment else f"bytes {event.data.get('artifact_digest')}", event
            )
        return found

    @cached_property
    def verdicts(self) -> dict[str, list[Event]]:
        """Return the verdicts of gates by the digest of the bytes, in order."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.snapshot.all("gate.evaluated"):
            found[str(event.data.get("artifact_digest") or "")].append(event)
        return found

    @cached_property
    def pages(self) -> dict[str, list[Event]]:
        """Return the pages about each service, in order."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.snapshot.all("page.sent"):
            found[str(event.data.get("service") or "")].append(event)
        return found

    @cached_property
    def answers(self) -> dict[str, Event]:
        """Return the first acknowledgement of each page."""
        found: dict[str, Event] = {}
        for event in self.snapshot.all("page.acknowledged"):
            found.setdefault(str(event.data.get("page") or event.causationid), event)
        return found

    def earlier_version(self, published: Event) -> Event | None:
        """Return the version of a dataset that was there before another; ``None`` where there was none."""
        found = self._versions.get(dataset_of(published), [])
        place = next((number for number, one in enumerate(found) if one.id == published.id), 0)
        return found[place - 1] if place else None

    @cached_property
    def _versions(self) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.snapshot.all("dataset.version.published"):
            found[dataset_of(event)].append(event)
        return found


def dataset_of(published: Event) -> str:
    """Return the dataset that a version belongs to."""
    return str(published.data.get("dataset") or published.subject.partition("@")[0])
