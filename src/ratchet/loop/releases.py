"""Releases: which model version serves on an endpoint, how it gets there, and how it goes back.

Invariant: nothing becomes live that did not pass its gate and its smoke test, unless a person took responsibility; what
the ledger calls live is what the endpoint process said it serves.
"""

import threading
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import clock, faults, origin
from ratchet.errors import (
    GateNotPassed,
    NoEndpointProcess,
    NothingToRollBack,
    RatchetError,
    ReleaseRefused,
    RoutesInvalid,
    RoutesNotAcknowledged,
)
from ratchet.loop import credentials, fitness, incidents, registry
from ratchet.loop.resources import Resources
from ratchet.loop.serving.routes import (
    EndpointRoute,
    RouteTable,
    read_routes,
    wait_acknowledged,
    write_routes,
)
from ratchet.records import NATIVE_SOURCE, Event, ModelVersion, Release, derive_id

ACKNOWLEDGE_SECONDS = 60.0
# One at a time: each reads what is live, writes all routes and waits for the endpoint to follow.
_turn = threading.Lock()


def promote(resources: Resources, version_name: str, *, bypass: str = "") -> Event:
    """Let a version serve in production, through gate, staging and the endpoint's acknowledgement.

    Args:
        version_name: Such as ``flight-delay@v7``.
        bypass: A person's reason to go past a gate that did not pass.

    Returns:
        The event ``deployment.completed``.

    Raises:
        UnknownName: No such version.
        GateNotPassed: Its gate did not pass, and nobody took responsibility.
        SmokeTestFailed: It does not predict in staging.
        ReleaseRefused: The endpoint could not take it; what was live goes on serving.
        NoEndpointProcess: Nobody took over the routes in time.
    """
    with _turn, resources.database.read() as connection:
        version = registry.model_version(connection, version_name)
        run = registry.run(resources.database, version.run_id)
        live = registry.live_release(connection, version.model)
    if run.gate != "pass" and not bypass:
        reason = _gate_reason(resources, version) or "its gate was not evaluated"
        raise GateNotPassed(version=version.name, environment=fitness.PRODUCTION, reason=reason)
    if run.gate == "pass":
        bypass = ""
    with _turn:
        deployment = _Deployment(
            resources,
            version,
            previous=live.model_version if live else "",
            strategy="replace",
            identity=derive_id(_key(), "deployment", version.name),
        )
        return deployment.carry_out(bypass=bypass)


def rollback(resources: Resources, endpoint: str, *, because_of: str = "") -> Event:
    """Let the version serve again that served before the present one.

    Returns:
        The event ``deployment.completed``.

    Raises:
        NothingToRollBack: There is no earlier one.
        ReleaseRefused, NoEndpointProcess: As for ``promote``.
    """
    identity = derive_id(_key(), "rollback", endpoint)
    with _turn:
        bad, good = _way_back(resources, endpoint, identity)
        with resources.database.read() as connection:
            version = registry.model_version(connection, good)
        deployment = _Deployment(resources, version, previous=bad, strategy="rollback", identity=identity)
        return deployment.carry_out(because_of=because_of)


def _way_back(resources: Resources, endpoint: str, identity: str) -> tuple[str, str]:
    """Return what serves and what served before; for a rollback that is done again, as it was at the first attempt."""
    requested = resources.ledger.get(derive_id(identity, "deployment.requested"))
    if requested is not None:
        return requested.data["prev_version"], requested.data["model_version"]
    with resources.database.read() as connection:
        past = registry.releases(connection, endpoint=endpoint, statuses=("live", "replaced"))
        live = registry.live_release(connection, endpoint)
    earlier = [one for one in past if live and one.model_version == live.previous]
    if live is None or not earlier:
        raise NothingToRollBack(endpoint=endpoint)
    return live.model_version, earlier[-1].model_version


def _key() -> str:
    source = origin.current()
    assert source is not None, "a deployment is made inside an origin"
    assert source.key, "a deployment is made inside an origin with a key"
    return source.key


def _gate_reason(resources: Resources, version: ModelVersion) -> str:
    events = resources.ledger.read(
        types=["gate.evaluated"], subject=version.name, source=NATIVE_SOURCE, newest_first=True, limit=1
    )
    return next((str(event.data["reason"]) for event in events), "")


class _Deployment:
    """The act that makes a release; each part finds what an earlier attempt has done already."""

    def __init__(
        self, resources: Resources, version: ModelVersion, *, previous: str, strategy: str, identity: str
    ) -> None:
        self._resources = resources
        self._version = version
        self._strategy = strategy
        self._id = identity
        self._traffic_id = derive_id(identity, "traffic.shifted")
        self._previous = self._first_previous(previous)

    def carry_out(self, *, bypass: str = "", because_of: str = "") -> Event:
        requested = self._append("deployment.requested", {})
        if bypass:
            requested = self._bypass(requested, bypass)
        done = self._resources.ledger.get(derive_id(self._id, "deployment.completed"))
        if done is not None:
            return done
        started = self._append("deployment.started", {}, cause=requested)
        try:
            smoked = self._smoke(started)
            self._route()
        except RatchetError as error:
            self._fail(started, str(error))
            raise
        except Exception as error:
            # Whatever went wrong, the endpoint must not go on with what the ledger will never call live.
            self._withdraw()
            self._fail(started, f"{type(error).__name__}: {error}")
            raise
        return self._complete(smoked, because_of=because_of)

    def _first_previous(self, previous: str) -> str:
        """Return what was live when this deployment was first tried, whatever has happened since."""
        requested = self._resources.ledger.get(derive_id(self._id, "deployment.requested"))
        return str(requested.data["prev_version"]) if requested else previous

    def _bypass(self, requested: Event, reason: str) -> Event:
        event = Event(
            type="gate.bypassed",
            subject=self._version.name,
            id=derive_id(self._id, "gate.bypassed"),
            pipeline=self._version.pipeline,
            env=fitness.PRODUCTION,
            causationid=requested.id,
            data={
                "version": self._version.name,
                "artifact_digest": self._version.artifact,
                "by": requested.authid,
                "reason": reason,
                "deployment_id": self._id,
            },
        )
        return self._resources.ledger.record(event)[0]

    def _smoke(self, started: Event) -> Event:
        result = fitness.smoke(self._resources, self._version)
        with origin.use(origin.following(started)):
            return self._resources.ledger.record(
                Event(
                    type="fitness.suite.finished",
                    subject=self._version.name,
                    id=derive_id(self._id, "smoke"),
                    pipeline=self._version.pipeline,
                    env="staging",
                    data={
                        "run_id": self._version.run_id,
                        "version": self._version.name,
                        "kind": "smoke",
                        "outcome": "passed",
                        "metrics": {},
                        "rows": result["rows"],
                        "checks": [],
                        "threshold_digest": "",
                        "severity": "blocking",
                    },
                )
            )[0]

    def _route(self) -> None:
        """Write the routes as they should be, and wait until the endpoint follows them."""
        release = self._release("desired")
        with self._resources.database.write() as transaction:
            registry.put_release(transaction, release)
        endpoint = self._version.model
        is_routed = False
        while not is_routed:
            generation = publish_routes(self._resources, desired=self._id)
            faults.point("routes.written")
            try:
                found = wait_acknowledged(self._resources.serving, generation, timeout_seconds=ACKNOWLEDGE_SECONDS)
            except RoutesNotAcknowledged as error:
                self._withdraw()
                raise NoEndpointProcess(endpoint=endpoint, limit_seconds=ACKNOWLEDGE_SECONDS) from error
            if endpoint in found.refused:
                self._withdraw()
                raise ReleaseRefused(endpoint=endpoint, version=self._version.name, reason=found.refused[endpoint])
            # Somebody who issued a token meanwhile wrote routes without this release: what was acknowledged is theirs.
            is_routed = self._is_routed()
        faults.point("routes.acknowledged")

    def _is_routed(self) -> bool:
        route = read_routes(self._resources.serving).endpoints.get(self._version.model)
        return route is not None and route.releases[0].deployment_id == self._id

    def _withdraw(self) -> None:
        with self._resources.database.write() as transaction:
            registry.put_release(transaction, self._release("refused"))
        publish_routes(self._resources)

    def _complete(self, smoked: Event, *, because_of: str) -> Event:
        with self._resources.database.write() as transaction:
            for old in registry.releases(transaction, endpoint=self._version.model, statuses=("live",)):
                if old.deployment_id != self._id:
                    registry.put_release(transaction, msgspec.structs.replace(old, status="replaced"))
            shifted = self._append_in(
                transaction, "traffic.shifted", self._traffic(), smoked, subject=self._version.model
            )
            registry.put_release(
                transaction, self._release("live", shifted_at=shifted.at, traffic_event=self._traffic_id)
            )
            last = shifted
            if self._strategy == "rollback":
                data = {"from": self._previous, "to": self._version.name, "because_of": because_of}
                last = self._append_in(transaction, "deployment.rolledback", data, shifted, subject=self._version.model)
            completed = self._append_in(transaction, "deployment.completed", {}, last)
            if last is not shifted:
                requested = self._resources.ledger.find_in(transaction, derive_id(self._id, "deployment.requested"))
                assert requested is not None, "a deployment was requested before it is carried out"
                incidents.rolled_back(self._resources, transaction, requested=requested, rolledback=last)
            return completed

    def _traffic(self) -> dict[str, Any]:
        return {
            "weights": {self._version.name: 1.0},
            "role": "live",
            "artifact_digests": {self._version.name: self._version.artifact},
        }

    def _fail(self, started: Event, reason: str) -> None:
        self._append("deployment.failed", {"error": reason}, cause=started)

    def _release(self, status: str, **changes: Any) -> Release:
        return Release(
            deployment_id=self._id,
            endpoint=self._version.model,
            environment=fitness.PRODUCTION,
            model_version=self._version.name,
            status=status,
            previous=self._previous,
            requested_at=clock.now(),
            is_rollback=self._strategy == "rollback",
            **changes,
        )

    def _append(self, kind: str, data: dict[str, Any], *, cause: Event | None = None) -> Event:
        with self._resources.database.write() as transaction:
            return self._append_in(transaction, kind, data, cause)

    def _append_in(
        self, transaction: Connection, kind: str, data: dict[str, Any], cause: Event | None, *, subject: str = ""
    ) -> Event:
        event = Event(
            type=kind,
            subject=subject or self._id,
            id=derive_id(self._id, kind),
            pipeline=self._version.pipeline,
            env=fitness.PRODUCTION,
            data={
                "deployment_id": self._id,
                "endpoint": self._version.model,
                "env": fitness.PRODUCTION,
                "model_version": self._version.name,
                "artifact_digest": self._version.artifact,
                "prev_version": self._previous,
                "strategy": self._strategy,
                **data,
            },
        )
        if cause is None:
            return self._resources.ledger.append(transaction, event)[0]
        with origin.use(origin.following(cause)):
            return self._resources.ledger.append(transaction, event)[0]


# ---- the routes


def publish_routes(resources: Resources, *, desired: str = "") -> int:
    """Write what the endpoints should serve, as the registry has it.

    Args:
        desired: A deployment that is to replace what is live on its endpoint.

    Returns:
        The generation to wait for.
    """
    with resources.database.write() as transaction:
        generation = int(registry.state(transaction, "routes", 0)) + 1
        registry.put_state(transaction, "routes", generation)
        chosen: dict[str, Release] = {}
        for release in registry.releases(transaction, statuses=("live", "desired")):
            if release.status == "live" or release.deployment_id == desired:
                current = chosen.get(release.endpoint)
                if current is None or release.deployment_id == desired:
                    chosen[release.endpoint] = release
        endpoints = {name: _route(transaction, release) for name, release in chosen.items()}
        tokens = credentials.callers(transaction)
        # A database that was restored from a backup is behind the file that endpoints follow.
        generation = max(generation, _last_generation(resources) + 1)
        # Written inside the transaction: of two who publish at once the later one has seen what the earlier one wrote.
        write_routes(resources.serving, RouteTable(generation=generation, endpoints=endpoints, tokens=tokens))
    return generation


def _last_generation(resources: Resources) -> int:
    try:
        return read_routes(resources.serving).generation
    except RoutesInvalid:
        # A damaged file says nothing about generations, and being replaced is its only cure.
        return 0


def _route(connection: Connection, release: Release) -> EndpointRoute:
    version = registry.model_version(connection, release.model_version)
    release_route = fitness.release_of(
        version,
        traffic_id=release.traffic_event or derive_id(release.deployment_id, "traffic.shifted"),
        deployment_id=release.deployment_id,
    )
    return EndpointRoute(releases=(release_route,), callers="token")
