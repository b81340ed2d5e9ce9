"""Which versions served production when, read off the shifts of traffic.

Invariant: a version is live while its share is above zero; shadow traffic and other environments never count.
"""

from msgspec.structs import replace

from ratchet.measure.history import Snapshot
from ratchet.records import Event, Record


class Shift(Record, frozen=True):
    """A change of what serves on one endpoint.

    Attributes:
        event: The ``traffic.shifted`` event.
        endpoint: Where.
        before: Versions that were live just before.
        shares: Share of each version that is live from now on, above 0.
        taken_back_by: The later shift that took off what this one made live and went back to what was live before,
            or to nothing; ``None`` where it stayed or gave way to something new.
    """

    event: Event
    endpoint: str
    before: frozenset[str]
    shares: dict[str, float]
    taken_back_by: Event | None = None

    @property
    def after(self) -> frozenset[str]:
        """Return the versions that are live from now on."""
        return frozenset(self.shares)

    @property
    def newly_live(self) -> frozenset[str]:
        """Return the versions that were not live just before."""
        return self.after - self.before

    @property
    def digests(self) -> dict[str, str]:
        """Return the artifact digest of each newly live version; ``""`` where the event does not say."""
        known = self.event.data.get("artifact_digests") or {}
        return {version: str(known.get(version, "")) for version in sorted(self.newly_live)}


def shifts(snapshot: Snapshot, pipeline: str) -> list[Shift]:
    """Return all changes of production traffic of a pipeline's endpoints, in order."""
    live: dict[str, frozenset[str]] = {}
    found: list[Shift] = []
    for event in snapshot.events("traffic.shifted", pipeline):
        if not _is_live_production(event):
            continue
        endpoint = str(event.data.get("endpoint") or event.subject)
        weights = event.data.get("weights") or {}
        shares = {version: share for version, share in weights.items() if share > 0}
        shift = Shift(event=event, endpoint=endpoint, before=live.get(endpoint, frozenset()), shares=shares)
        live[endpoint] = shift.after
        found.append(shift)
    return [replace(shift, taken_back_by=_taken_back_by(found, index)) for index, shift in enumerate(found)]


def live_now(all_shifts: list[Shift]) -> dict[str, Shift]:
    """Return the last shift of each endpoint that something still serves on."""
    last = {shift.endpoint: shift for shift in all_shifts}
    return {endpoint: shift for endpoint, shift in last.items() if shift.shares}


def _taken_back_by(found: list[Shift], index: int) -> Event | None:
    shift = found[index]
    for place in range(index + 1, len(found)):
        later = found[place]
        if later.endpoint == shift.endpoint and not shift.newly_live & later.after:
            went_back = not later.after or bool(later.after & shift.before)
            return later.event if went_back else None
    return None


def _is_live_production(event: Event) -> bool:
    environment = event.data.get("env") or event.env
    return environment == "production" and event.data.get("role", "live") == "live"
