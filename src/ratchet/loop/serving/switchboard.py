"""Which model answers which request: the routes as they are served now, and how they give way to the next ones.

Invariant: all endpoints change over in one assignment of ``table``, and only after every new model is loaded and warm;
an endpoint whose new models cannot be used keeps those it had.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ratchet import clock
from ratchet.errors import (
    ArtifactsUnreachable,
    CredentialRefused,
    EndpointPreparing,
    ModelUnusable,
    NoLiveRelease,
    RatchetError,
    RoutesInvalid,
    UnknownName,
)
from ratchet.loop.serving import vouchers
from ratchet.loop.serving.models import LoadedModel, load_model
from ratchet.loop.serving.routes import (
    ROUTES_FILE,
    Caller,
    EndpointRoute,
    ReleaseRoute,
    RouteTable,
    read_routes,
)
from ratchet.loop.serving.trial import Trials
from ratchet.store.artifacts import Artifacts

ANONYMOUS = "anonymous"
_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """An endpoint with its models in memory.

    Attributes:
        name: The served name.
        live: The models that answer callers.
        shadow: The models that never do.
        needs_token: Callers without a known token are refused.
        refusal: Why the desired releases are not those above, or empty.
    """

    name: str
    live: tuple[LoadedModel, ...] = ()
    shadow: tuple[LoadedModel, ...] = ()
    needs_token: bool = False
    refusal: str = ""

    def pick(self, request_id: str) -> LoadedModel:
        """Return the live model for a request by the shares of traffic; the same id always gets the same one.

        Raises:
            NoLiveRelease: There is none.
        """
        if not self.live:
            raise NoLiveRelease(endpoint=self.name, reason=self.refusal.rstrip(".") or "none was promoted")
        if len(self.live) == 1:
            return self.live[0]
        digest = hashlib.blake2b(f"{self.name}\n{request_id}".encode(), digest_size=8).digest()
        point = int.from_bytes(digest) / 2**64
        for model in self.live:
            point -= model.release.share
            if point < 0:
                return model
        # The shares add up to 1 only as closely as floating point does.
        return self.live[-1]

    def version(self, version: str) -> LoadedModel:
        """Return the live model of a version.

        Raises:
            UnknownName: That version is not live here.
        """
        for model in self.live:
            if model.release.version == version:
                return model
        raise UnknownName(kind=f"live version of endpoint '{self.name}'", name=version, known=self.known_versions())

    def known_versions(self) -> str:
        """Return the live versions, for messages."""
        return ", ".join(model.release.version for model in self.live) or "none"


@dataclass(frozen=True, slots=True)
class ServedTable:
    """The routes of one generation, as they are served."""

    generation: int
    endpoints: Mapping[str, ServedEndpoint] = field(default_factory=dict)
    callers: Mapping[str, Caller] = field(default_factory=dict)

    def endpoint(self, name: str) -> ServedEndpoint:
        """Return an endpoint.

        Raises:
            UnknownName: There is none of that name.
        """
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise UnknownName(kind="endpoint", name=name, known=", ".join(self.endpoints) or "none")
        return endpoint

    def caller(self, token: str, *, endpoint: ServedEndpoint) -> str:
        """Return the name behind a token, or ``anonymous`` where the endpoint allows that.

        Raises:
            CredentialRefused: The endpoint wants a token, and this is none that it knows.
        """
        known = self.callers.get(hashlib.sha256(token.encode()).hexdigest()) if token else None
        if known is None and endpoint.needs_token:
            seen = "the token is unknown or revoked" if token else "there is no header 'Authorization: Bearer TOKEN'"
            raise CredentialRefused(reason=f"endpoint '{endpoint.name}' wants a token, and {seen}")
        return known.name if known else ANONYMOUS

    def live_versions(self) -> dict[str, list[str]]:
        """Return the versions that answer callers, by endpoint."""
        return {name: [model.release.version for model in each.live] for name, each in self.endpoints.items()}

    def refusals(self) -> dict[str, str]:
        """Return why endpoints did not take their desired releases, by endpoint."""
        return {name: each.refusal for name, each in self.endpoints.items() if each.refusal}


class Switchboard:
    """The present routes, and the preparation of the next.

    Args:
        folder: The serving folder.
        artifacts: Where models lie.
        trials: Tries models in a process of their own first; without it they are loaded here at once.

    Attributes:
        table: What is served now; None until the first routes are prepared.
        unreadable: Why the desired routes could not be read, or empty.
    """

    def __init__(self, folder: Path, *, artifacts: Artifacts, trials: Trials | None = None) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._trials = trials
        self._seen: tuple[int, int, int] | None = None
        self._again_at: float | None = None
        self.table: ServedTable | None = None
        self.unreadable = ""

    def current(self) -> ServedTable:
        """Return what is served now.

        Raises:
            EndpointPreparing: The first routes are not ready yet.
        """
        table = self.table
        if table is None:
            raise EndpointPreparing(pid=os.getpid())
        return table

    def has_news(self) -> bool:
        """Tell whether the desired routes changed since ``prepare``; one look at the file's metadata.

        Routes whose models could not be had are news again after a while, where nothing serves in their place.
        """
        return self.table is None or self._look() != self._seen or self._is_due()

    def prepare(self) -> ServedTable | None:
        """Read the desired routes and load their models; seconds for large ones, so call it beside the event loop.

        Returns:
            The table to put in the place of ``table``, or None where there is nothing new or the file is unreadable.
        """
        # Looked at before it is read: a change in between is then seen as news again.
        self._seen = self._look()
        self.unreadable = ""
        try:
            desired = read_routes(self._folder)
        except RoutesInvalid as error:
            self.unreadable = str(error)
            return None
        if self.table is not None and desired.generation == self.table.generation and not self._is_due():
            return None
        return self._load(desired)

    def _load(self, desired: RouteTable) -> ServedTable:
        self._again_at = None
        former = self.table.endpoints if self.table is not None else {}
        before = {name: former.get(name, ServedEndpoint(name=name)) for name in desired.endpoints}
        refused = self._try(desired, before=before)
        endpoints = {
            name: self._load_endpoint(name, route, former=before[name], refused=refused)
            for name, route in desired.endpoints.items()
        }
        return ServedTable(generation=desired.generation, endpoints=endpoints, callers=desired.tokens)

    def _try(self, desired: RouteTable, *, before: Mapping[str, ServedEndpoint]) -> dict[str, str]:
        """Try all models that are not in memory, in one process where none breaks it."""
        if self._trials is None:
            return {}
        releases = [
            release
            for name, route in desired.endpoints.items()
            for release in route.releases
            if _find_loaded(release, former=before[name]) is None
        ]
        return self._trials.refusals(releases)

    def _load_endpoint(
        self, name: str, route: EndpointRoute, *, former: ServedEndpoint, refused: Mapping[str, str]
    ) -> ServedEndpoint:
        needs_token = route.callers == "token"
        try:
            models = [self._load_release(release, former=former, refused=refused) for release in route.releases]
        except RatchetError as error:
            if isinstance(error, ArtifactsUnreachable) and not former.live:
                self._again_at = clock.monotonic() + _AGAIN_SECONDS
            # Who may call is not the model's affair: a token that was revoked stays revoked.
            return replace(former, needs_token=needs_token, refusal=str(error))
        return ServedEndpoint(
            name=name,
            live=tuple(model for model in models if model.release.role == "live"),
            shadow=tuple(model for model in models if model.release.role == "shadow"),
            needs_token=needs_token,
        )

    def _load_release(
        self, release: ReleaseRoute, *, former: ServedEndpoint, refused: Mapping[str, str]
    ) -> LoadedModel:
        loaded = _find_loaded(release, former=former)
        if loaded is not None:
            return replace(loaded, release=release)
        reason = refused.get(vouchers.name_of(release))
        if reason is not None:
            raise ModelUnusable(version=release.version, reason=reason)
        return load_model(release, artifacts=self._artifacts)

    def _is_due(self) -> bool:
        return self._again_at is not None and clock.monotonic() >= self._again_at

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = (self._folder / ROUTES_FILE).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _find_loaded(release: ReleaseRoute, *, former: ServedEndpoint) -> LoadedModel | None:
    """Return the model of a release where it serves already."""
    for model in (*former.live, *former.shadow):
        if model.release.model == release.model and model.release.schema == release.schema:
            return model
    return None
