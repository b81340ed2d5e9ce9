"""Incidents that Ratchet sees itself: endpoints that do not answer, metrics below their gate, rules that roll back.

Invariant: each onset is told once, whatever is killed and however often one looks; it is over when the same signal says
so, and only what automation saw is told here.
"""

import http
import http.client
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection

from ratchet import clock, origin
from ratchet.loop import registry
from ratchet.loop.resources import Resources
from ratchet.loop.serving import claim
from ratchet.records import Event, Record, Release, actor_class, derive_id

Signal = Literal["unready", "metric", "rollback"]
_ANSWER_SECONDS = 2.0
# What a rule may roll back upon and be believed: something that was seen to be wrong, not the hour of the day.
_TELLING = ("monitor.", "slo.", "canary.", "custom.", "incident.")


class OpenIncident(Record, frozen=True):
    """An incident that Ratchet told of and that is not over.

    Attributes:
        name: What it is called.
        event: Id of its ``incident.detected``.
        good_since: Since when the signal is well again (UTC); ``None`` while it is not.
    """

    name: str
    event: str
    good_since: datetime | None = None


def find_open(resources: Resources, connection: Connection, endpoint: str, signal: Signal) -> OpenIncident | None:
    """Return the incident of a signal that is not over; ``None`` where there is none, or somebody said that it is."""
    kept = registry.state(connection, _place(endpoint, signal))
    if kept is None:
        return None
    known = msgspec.convert(kept, OpenIncident)
    said = resources.ledger.read(types=["incident.resolved"], subject=known.name, limit=1)
    return None if any(True for _ in said) else known


def detect(
    resources: Resources,
    transaction: Connection,
    *,
    endpoint: str,
    pipeline: str,
    signal: Signal,
    onset: datetime,
    cause: Event,
    title: str,
) -> Event:
    """Tell of an incident, unless the one that the signal told of is not over.

    Args:
        onset: The first bad moment that was measured (UTC).
        cause: The event that it follows from.
        title: What is wrong, in a few words.

    Returns:
        The event ``incident.detected``, the first one where there is one.
    """
    known = find_open(resources, transaction, endpoint, signal)
    if known is not None:
        told = resources.ledger.find_in(transaction, known.event)
        assert told is not None, "what is open was told"
        return told
    name = f"{endpoint}-{onset:%Y%m%dT%H%M%S}"
    data = {
        "incident": name,
        "service": endpoint,
        "signal": signal,
        "onset": onset.isoformat(),
        "onset_from": "monitor",
        "title": title,
    }
    event = Event(
        type="incident.detected",
        subject=name,
        id=derive_id("incident", signal, name),
        pipeline=pipeline,
        trigger="metric",
        data=data,
    )
    with origin.use(origin.following(cause)):
        told = resources.ledger.append(transaction, event)[0]
    _keep(transaction, endpoint, signal, OpenIncident(name=name, event=told.id))
    return told


def resolve(
    resources: Resources, transaction: Connection, *, endpoint: str, signal: Signal, back: datetime
) -> Event | None:
    """Tell that the incident of a signal is over; ``None`` where none is open.

    Args:
        back: Since when the service is as it should be (UTC).
    """
    known = find_open(resources, transaction, endpoint, signal)
    if known is None:
        return None
    over = _step(
        resources,
        transaction,
        "incident.resolved",
        name=known.name,
        cause=known.event,
        back_in_bounds=back.isoformat(),
    )
    registry.put_state(transaction, _place(endpoint, signal), None)
    return over


def rolled_back(resources: Resources, transaction: Connection, *, requested: Event, rolledback: Event) -> None:
    """Tell what a rollback means: the remedy of what is open, or an incident that only a rule saw.

    Args:
        requested: The event ``deployment.requested`` of the rollback: who wanted it.
        rolledback: The event ``deployment.rolledback``.
    """
    endpoint = str(rolledback.data["endpoint"])
    still_open = [
        one for signal in ("unready", "metric") if (one := find_open(resources, transaction, endpoint, signal))
    ]
    for known in still_open:
        _mitigate(resources, transaction, known.name, rolledback)
    seen = _what_a_rule_saw(resources, requested, rolledback)
    if seen is None or still_open:
        return
    if seen.type.startswith("incident."):
        # Somebody else's: whoever told of it also says when it is over.
        _mitigate(resources, transaction, str(seen.data.get("incident") or seen.subject), rolledback)
        return
    told = detect(
        resources,
        transaction,
        endpoint=endpoint,
        pipeline=rolledback.pipeline,
        signal="rollback",
        onset=min(seen.at, rolledback.at),
        cause=seen,
        title=f"a rule took {rolledback.data['from']} back upon {seen.type}",
    )
    _mitigate(resources, transaction, told.subject, rolledback)
    # What served before is taken to be well: nothing measures it here, and without an end it would count as open.
    resolve(resources, transaction, endpoint=endpoint, signal="rollback", back=rolledback.at)


def _what_a_rule_saw(resources: Resources, requested: Event, rolledback: Event) -> Event | None:
    """Return what a rule rolled back upon; ``None`` where a person did, or nothing was seen to be wrong."""
    if requested.authclaims.get("minted_by") != "rule":
        return None
    seen = resources.ledger.find(str(rolledback.data.get("because_of") or ""))
    is_told = seen is not None and seen.type.startswith(_TELLING)
    return seen if is_told and seen and actor_class(seen.authtype, seen.authclaims) != "human" else None


def _mitigate(resources: Resources, transaction: Connection, name: str, rolledback: Event) -> None:
    _step(resources, transaction, "incident.mitigated", name=name, cause=rolledback.id, remedy=rolledback.id)


def _step(resources: Resources, transaction: Connection, kind: str, *, name: str, cause: str, **data: str) -> Event:
    led = resources.ledger.find_in(transaction, cause)
    assert led is not None, "what an incident follows from was told before"
    event = Event(
        type=kind,
        subject=name,
        id=derive_id(kind, name, cause),
        pipeline=led.pipeline,
        trigger="metric",
        data={"incident": name, **data},
    )
    with origin.use(origin.following(led)):
        return resources.ledger.append(transaction, event)[0]


def _place(endpoint: str, signal: Signal) -> str:
    return f"incident/{endpoint}/{signal}"


def _keep(transaction: Connection, endpoint: str, signal: Signal, known: OpenIncident) -> None:
    registry.put_state(transaction, _place(endpoint, signal), msgspec.to_builtins(known))


# ---- endpoints that do not answer


class Bad(Record, frozen=True):
    """How long an endpoint has not been ready.

    Attributes:
        since: When that was seen first, in the domain's time (UTC).
        real: The same by the clock that is never simulated, in seconds.
    """

    since: datetime
    real: float


class Watch:
    """Looks whether what is live answers; call ``look`` about once a second, in the process that runs the workspace.

    Args:
        resources: The workspace's parts.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._bad: dict[str, Bad] = {}

    def look(self) -> list[Event]:
        """Ask each endpoint with a live release, and tell of incidents that begin and that are over.

        Returns:
            The events that are new.
        """
        with self._resources.database.read() as connection:
            live = {one.endpoint: one for one in registry.releases(connection, statuses=("live",))}
        self._bad = {name: bad for name, bad in self._bad.items() if name in live}
        ready = ready_endpoints(self._resources, live)
        found = [self._well(name) if name in ready else self._unwell(release) for name, release in live.items()]
        return [event for event in found if event is not None]

    def _unwell(self, release: Release) -> Event | None:
        name, now = release.endpoint, clock.now()
        bad = self._bad.setdefault(name, Bad(since=now, real=clock.monotonic()))
        with self._resources.database.read() as connection:
            known = find_open(self._resources, connection, name, "unready")
        if known is not None:
            # It came back and went again before it was over: still the same one.
            if known.good_since is not None:
                with self._resources.database.write() as transaction:
                    _keep(transaction, name, "unready", msgspec.structs.replace(known, good_since=None))
            return None
        limit = self._resources.config.incidents.unready_seconds
        # By both clocks: simulated time jumps over nights in an instant, and a machine that slept was not out of order.
        if min(clock.monotonic() - bad.real, (now - bad.since).total_seconds()) < limit:
            return None
        return self._tell(release, bad)

    def _tell(self, release: Release, bad: Bad) -> Event:
        with self._resources.database.write() as transaction:
            shifted = self._resources.ledger.find_in(transaction, release.traffic_event)
            assert shifted is not None, "what is live was let in by an event"
            return detect(
                self._resources,
                transaction,
                endpoint=release.endpoint,
                pipeline=shifted.pipeline,
                signal="unready",
                onset=bad.since,
                cause=shifted,
                title="the endpoint does not answer",
            )

    def _well(self, endpoint: str) -> Event | None:
        self._bad.pop(endpoint, None)
        with self._resources.database.read() as connection:
            known = find_open(self._resources, connection, endpoint, "unready")
        if known is None:
            return None
        since, now = known.good_since, clock.now()
        wait = timedelta(minutes=self._resources.config.incidents.flapping_minutes)
        with self._resources.database.write() as transaction:
            if since is not None and now - since >= wait:
                return resolve(self._resources, transaction, endpoint=endpoint, signal="unready", back=since)
            if since is None:
                _keep(transaction, endpoint, "unready", msgspec.structs.replace(known, good_since=now))
        return None


def ready_endpoints(resources: Resources, endpoints: Iterable[str]) -> set[str]:
    """Return which endpoints answer that they are ready, each asked for at most two seconds."""
    holder = claim.holder(resources.serving)
    if holder is None:
        return set()
    ready: set[str] = set()
    connection = http.client.HTTPConnection(holder.host, holder.port, timeout=_ANSWER_SECONDS)
    try:
        for name in endpoints:
            connection.request("GET", f"/v2/models/{quote(name, safe='')}/ready")
            response = connection.getresponse()
            response.read()
            if response.status == http.HTTPStatus.OK:
                ready.add(name)
    except (OSError, http.client.HTTPException):
        # One process serves them all: if it does not answer about one, it does not about the next either.
        return ready
    finally:
        connection.close()
    return ready
