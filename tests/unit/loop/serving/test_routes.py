"""Route tables are replaced whole, only forwards, and acknowledged by the living process alone."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ratchet.errors import RoutesInvalid, RoutesNotAcknowledged, RoutesNotNewer
from ratchet.loop.serving import claim, routes
from ratchet.loop.serving.routes import Acknowledgement, ReleaseRoute, RouteTable

Release = Callable[..., ReleaseRoute]
Route = Callable[..., RouteTable]


def _acknowledge(folder: Path, *, pid: int, generation: int) -> None:
    routes.write_acknowledgement(
        folder,
        Acknowledgement(
            pid=pid, generation=generation, live={}, refused={"delay": "corrupt"}, host="h", port=1, started_at=""
        ),
    )


def test_what_was_written_is_read(folder: Path, release: Release, route: Route) -> None:
    """A route table comes back as it was written."""
    caller = routes.Caller(name="shop", team="sales")
    written = route(release("v1", share=0.25), release("v2", share=0.75), tokens={"0" * 64: caller}, callers="token")
    assert routes.read_routes(folder) == written


def test_no_file_means_no_endpoints(folder: Path) -> None:
    """Before the first routes there is generation 0."""
    assert routes.read_routes(folder) == RouteTable(generation=0, endpoints={})


def test_generation_only_rises(folder: Path, release: Release, route: Route) -> None:
    """An older table, or another one of the same generation, is refused; the same one again is fine."""
    written = route(release("v1"), generation=5)
    route(release("v1"), generation=5)
    for generation in (4, 5):
        with pytest.raises(RoutesNotNewer):
            route(release("v2"), generation=generation)
    assert routes.read_routes(folder) == written


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.0, 0.1), (-1.0, 2.0)])
def test_live_shares_must_add_up(folder: Path, release: Release, route: Route, shares: tuple[float, float]) -> None:
    """Traffic that goes nowhere or twice is refused before anything is written."""
    with pytest.raises(RoutesInvalid, match=r"share|Expected"):
        route(release("v1", share=shares[0]), release("v2", share=shares[1]))
    assert not (folder / routes.ROUTES_FILE).exists()


def test_version_twice_and_foreign_digest_are_refused(release: Release, route: Route) -> None:
    """A version can be on an endpoint once, and a digest has 64 hexadecimal digits."""
    with pytest.raises(RoutesInvalid, match="twice"):
        route(release("v1", share=0.5), release("v1", share=0.5))
    with pytest.raises(RoutesInvalid, match="sha256"):
        route(release("v1", model=routes.ModelReference(sha256="../../etc/passwd", storer="skops")))


def test_unknown_field_is_an_error(folder: Path, release: Release, route: Route) -> None:
    """A field that this version does not know is not skipped: it may say who may not call."""
    route(release("v1"))
    path = folder / routes.ROUTES_FILE
    table = msgspec.json.decode(path.read_bytes())
    table["endpoints"]["delay"]["deny"] = ["everyone"]
    path.write_bytes(msgspec.json.encode(table))
    with pytest.raises(RoutesInvalid, match="deny"):
        routes.read_routes(folder)


def test_damaged_file_can_be_replaced(folder: Path, release: Release, route: Route) -> None:
    """A route file that cannot be read does not stop the control plane from writing a good one."""
    (folder / routes.ROUTES_FILE).write_bytes(b"{")
    assert route(release("v1")) == routes.read_routes(folder)


def test_acknowledgement_of_the_living_counts(folder: Path) -> None:
    """Waiting ends with the acknowledgement of the process that holds the folder."""
    held = claim.Claim(folder)
    me = held.describe(host="h", port=1)
    _acknowledge(folder, pid=me.pid, generation=3)
    assert routes.wait_acknowledged(folder, 3, timeout_seconds=1).refused == {"delay": "corrupt"}
    with pytest.raises(RoutesNotAcknowledged, match="follows generation 3"):
        routes.wait_acknowledged(folder, 4, timeout_seconds=0)
    held.release()


def test_acknowledgement_of_the_dead_is_removed(folder: Path) -> None:
    """What a dead process said counts for nothing, also where its number lives on in another process."""
    _acknowledge(folder, pid=1, generation=3)
    with pytest.raises(RoutesNotAcknowledged, match="no endpoint process is alive"):
        routes.wait_acknowledged(folder, 3, timeout_seconds=0)
    assert not list((folder / routes.ACKNOWLEDGEMENTS_FOLDER).iterdir())


def test_holder_without_acknowledgement_is_preparing(folder: Path) -> None:
    """A process that has not acknowledged yet is named in the error."""
    held = claim.Claim(folder)
    held.describe(host="h", port=1)
    with pytest.raises(RoutesNotAcknowledged, match="preparing"):
        routes.wait_acknowledged(folder, 1, timeout_seconds=0)
    held.release()
