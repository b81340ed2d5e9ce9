"""Versions on their way to production: trained, judged, approved, live.

Invariant: each is read once for a view, of all pipelines, by the events' own time; what an asker may see of it is
decided by the question.
"""

from datetime import datetime
from typing import Literal

from ratchet.measure.kpis.facts import OfTypes, View
from ratchet.measure.kpis.questions import Question
from ratchet.measure.transitions import RUBBER_STAMP
from ratchet.records import Event, Record

ShiftKind = Literal["new", "rollback", "again", ""]
_YES = ("approved", "pass", None)
SHIFTED = ("traffic.shifted", "service.removed")
_REGISTERED = ("model.version.registered",)
_JUDGED = ("gate.evaluated",)
REQUESTED = ("deployment.requested",)
APPROVED = ("approval.requested", "approval.decided")
TRAINED = ("run.finished", *_JUDGED, *_REGISTERED)


class LiveShift(Record, frozen=True):
    """A change of what serves production on an endpoint.

    Attributes:
        event: The ``traffic.shifted``, or the ``service.removed`` that took everything off.
        at: When it happened (UTC).
        endpoint: Where.
        before: Shares just before, above 0.
        after: Shares from now on, above 0.
        new: Versions that are live now and were not just before.
        digests: The artifact digest of each of them; ``""`` where the event does not say.
        kind: ``new`` for a production deployment; ``rollback`` where all newly live versions had been live on the
            endpoint before; ``again`` where their bytes had; ``""`` where nothing became live.
    """

    event: Event
    at: datetime
    endpoint: str
    before: dict[str, float]
    after: dict[str, float]
    new: tuple[str, ...]
    digests: dict[str, str]
    kind: ShiftKind

    @property
    def deployment_id(self) -> str:
        """Return the deployment that it belongs to; ``""`` where the event does not say."""
        return str(self.event.data.get("deployment_id") or "")


class Approval(Record, frozen=True):
    """The required approvals of a deployment, taken together.

    Attributes:
        asked_at: When the first was asked for (UTC).
        given_at: When the last was given (UTC).
        rubber_stamps: Ids of those given less than five seconds after they were asked for.
        events: The decisions.
    """

    asked_at: datetime
    given_at: datetime
    rubber_stamps: tuple[str, ...]
    events: tuple[Event, ...]


# ---- what serves


def live_shifts(view: View | OfTypes) -> list[LiveShift]:
    """Return all changes of live production traffic, in order."""
    return view.made("live shifts", _live_shifts, of=SHIFTED)


def deployments(question: Question) -> list[LiveShift]:
    """Return the production deployments that the scope covers: neither rollbacks nor the same bytes again."""
    found = question.view.made("deployments", _deployments, of=SHIFTED)
    if question.scope.kind == "organisation":
        return list(found)
    return [shift for shift in found if question.covers(shift.event)]


def live(question: Question) -> dict[str, LiveShift]:
    """Return the last shift of each endpoint that serves something now, as far as the scope covers it now."""
    last = {shift.endpoint: shift for shift in live_shifts(question.view)}
    return {
        endpoint: shift
        for endpoint, shift in last.items()
        if shift.after and question.covers(shift.event, at=question.as_of)
    }


def live_versions(question: Question) -> list[str]:
    """Return the versions that serve production now, by name; one on two endpoints is one."""
    return sorted({version for shift in live(question).values() for version in shift.after})


def first_live(view: View | OfTypes) -> dict[str, LiveShift]:
    """Return the shift by which each version was first live in production."""
    return view.made("first live", _first_live, of=SHIFTED)


# ---- how a version got there


def registered(view: View | OfTypes) -> dict[str, Event]:
    """Return the registration of each version."""
    return view.made(
        "registered",
        lambda seen: {version_of(event): event for event in seen.of(*_REGISTERED)},
        of=_REGISTERED,
    )


def trained(view: View | OfTypes) -> dict[str, Event]:
    """Return the finished run behind each version; one that was made by hand has none.

    What was trained elsewhere may be registered nowhere; then the gate that looked at it says which run made it.
    """
    return view.made("trained", _trained, of=TRAINED)


def verdicts(view: View | OfTypes) -> dict[str, list[Event]]:
    """Return the verdicts of gates on each version, in order."""
    return view.made("verdicts", _verdicts, of=_JUDGED)


def requests(view: View | OfTypes) -> dict[str, Event]:
    """Return the request of each deployment, by its id."""
    return view.made(
        "requests",
        lambda seen: {str(event.data.get("deployment_id") or event.subject): event for event in seen.of(*REQUESTED)},
        of=REQUESTED,
    )


def approvals(view: View | OfTypes) -> dict[str, Approval]:
    """Return the required approvals that were given, by what they were given for: the id of a deployment."""
    return view.made("approvals", _approvals, of=APPROVED)


def version_of(event: Event) -> str:
    """Return the version that an event is about."""
    return str(event.data.get("version") or event.subject)


def _deployments(view: OfTypes) -> list[LiveShift]:
    return [one for one in live_shifts(view) if one.kind == "new"]


def _live_shifts(view: OfTypes) -> list[LiveShift]:
    now: dict[str, dict[str, float]] = {}
    seen_versions: dict[str, set[str]] = {}
    seen_digests: dict[str, set[str]] = {}
    found = []
    for event in view.of(*SHIFTED):
        if not _is_live_production(event):
            continue
        endpoint = str(event.data.get("endpoint") or event.subject)
        before = now.get(endpoint, {})
        after = {version: float(part) for version, part in (event.data.get("weights") or {}).items() if part > 0}
        new = tuple(sorted(set(after) - set(before)))
        named = event.data.get("artifact_digests") or {}
        digests = {version: str(named.get(version) or "") for version in new}
        versions_before = seen_versions.setdefault(endpoint, set())
        digests_before = seen_digests.setdefault(endpoint, set())
        kind: ShiftKind = ""
        if new:
            kind = "new"
            if versions_before.issuperset(new):
                kind = "rollback"
            elif digests_before.issuperset(digests.values()):
                kind = "again"
        versions_before |= set(new)
        digests_before |= set(digests.values()) - {""}
        now[endpoint] = after
        found.append(
            LiveShift(
                event=event,
                at=event.at,
                endpoint=endpoint,
                before=before,
                after=after,
                new=new,
                digests=digests,
                kind=kind,
            )
        )
    return found


def _is_live_production(event: Event) -> bool:
    environment = event.data.get("env") or event.env or ("production" if event.type == "service.removed" else "")
    return environment == "production" and event.data.get("role", "live") == "live"


def _first_live(view: OfTypes) -> dict[str, LiveShift]:
    found: dict[str, LiveShift] = {}
    for shift in live_shifts(view):
        for version in shift.new:
            found.setdefault(version, shift)
    return found


def _trained(view: OfTypes) -> dict[str, Event]:
    runs = {str(event.data.get("run_id") or event.subject): event for event in view.of("run.finished")}
    made = {**{version_of(gate): gate for gate in view.of("gate.evaluated")}, **registered(view)}
    found = {version: runs.get(str(event.data.get("run_id") or "")) for version, event in made.items()}
    return {version: run for version, run in found.items() if run is not None}


def _verdicts(view: OfTypes) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in view.of("gate.evaluated"):
        found.setdefault(version_of(event), []).append(event)
    return found


def _approvals(view: OfTypes) -> dict[str, Approval]:
    asked_for = {event.subject: event for event in reversed(view.of("approval.requested"))}
    found: dict[str, list[tuple[datetime, Event]]] = {}
    for event in view.of("approval.decided"):
        if event.data.get("policy_required") and event.data.get("decision") in _YES:
            asked = asked_for.get(event.subject) or view.cause(event)
            moment = asked.at if asked is not None else event.at
            found.setdefault(str(event.data.get("target") or event.subject), []).append((moment, event))
    return {target: _taken_together(given) for target, given in found.items()}


def _taken_together(given: list[tuple[datetime, Event]]) -> Approval:
    return Approval(
        asked_at=min(moment for moment, _ in given),
        given_at=max(event.at for _, event in given),
        rubber_stamps=tuple(event.id for moment, event in given if is_rubber_stamp(moment, event)),
        events=tuple(event for _, event in given),
    )


def is_rubber_stamp(asked_at: datetime, given: Event) -> bool:
    """Tell whether an approval was given less than five seconds after it was asked for."""
    return given.at - asked_at < RUBBER_STAMP
