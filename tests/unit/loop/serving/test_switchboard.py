"""Routes change over together, and an endpoint whose new model cannot be used keeps the old one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ratchet.errors import CredentialRefused, EndpointPreparing, NoLiveRelease, UnknownName
from ratchet.loop.serving import switchboard as switchboard_module
from ratchet.loop.serving import vouchers
from ratchet.loop.serving.routes import ROUTES_FILE, Caller, EndpointRoute, ReleaseRoute, RouteTable, write_routes
from ratchet.loop.serving.switchboard import ServedTable, Switchboard
from ratchet.loop.serving.trial import Trials
from ratchet.store.artifacts import Artifacts

Release = Callable[..., ReleaseRoute]
Route = Callable[..., RouteTable]
# The sha256 of "secret".
SECRET_SHA256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"


def _change_over(switchboard: Switchboard) -> ServedTable:
    assert switchboard.has_news()
    switchboard.table = switchboard.prepare()
    return switchboard.current()


def test_nothing_is_served_before_the_first_routes(switchboard: Switchboard) -> None:
    """Until the first table is in place, asking for it is an error; without a file it is an empty one."""
    with pytest.raises(EndpointPreparing):
        switchboard.current()
    assert _change_over(switchboard).generation == 0
    assert not switchboard.has_news()


def test_a_new_generation_changes_over(switchboard: Switchboard, release: Release, route: Route) -> None:
    """A written table is news once, and what it names is live."""
    route(release("v1"))
    assert _change_over(switchboard).live_versions() == {"delay": ["delay@v1"]}
    assert not switchboard.has_news()
    route(release("v2"), generation=2)
    assert _change_over(switchboard).live_versions() == {"delay": ["delay@v2"]}


def test_a_model_that_stays_is_not_loaded_again(switchboard: Switchboard, release: Release, route: Route) -> None:
    """A change of shares keeps the models in memory and takes the new shares."""
    route(release("v1"))
    before = _change_over(switchboard).endpoint("delay").live[0]
    route(release("v1", share=0.5), release("v2", share=0.5), generation=2)
    after = _change_over(switchboard).endpoint("delay").live[0]
    assert after.estimator is before.estimator
    assert after.release.share == 0.5


def test_a_refused_endpoint_keeps_what_it_had_while_others_change(
    switchboard: Switchboard, folder: Path, artifacts: Artifacts, release: Release, route: Route
) -> None:
    """One corrupt model holds back its own endpoint only, and the reason is kept for the acknowledgement."""
    route(release("v1"))
    _change_over(switchboard)
    broken, fine = release("v2"), release("v1")
    artifacts.path(broken.model.sha256).write_bytes(b"garbage")
    endpoints = {"delay": EndpointRoute(releases=(broken,)), "other": EndpointRoute(releases=(fine,))}
    write_routes(folder, RouteTable(generation=2, endpoints=endpoints))
    table = _change_over(switchboard)
    assert table.generation == 2
    assert table.live_versions() == {"delay": ["delay@v1"], "other": ["delay@v1"]}
    assert list(table.refusals()) == ["delay"]
    assert "corrupt" in table.refusals()["delay"]


class FakeTrials(Trials):
    """Refuses versions by their names, and remembers what it was asked to try."""

    def __init__(self, refused: str) -> None:
        self._refused = refused
        self.tried: list[list[str]] = []

    def refusals(self, releases: Sequence[ReleaseRoute]) -> dict[str, str]:
        """Refuse the one version."""
        self.tried.append([one.version for one in releases])
        return {vouchers.name_of(one): "it broke" for one in releases if one.version == self._refused}


def test_models_are_tried_together_before_they_are_loaded(
    folder: Path, artifacts: Artifacts, release: Release, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All new models are tried at once, those in memory are not, and one that is refused is never loaded here."""
    trials = FakeTrials("delay@v2")
    tried = Switchboard(folder, artifacts=artifacts, trials=trials)
    route(release("v1"))
    _change_over(tried)
    route(release("v1", share=0.5), release("v2", share=0.5), generation=2)
    monkeypatch.setattr(switchboard_module, "load_model", lambda *_, **__: pytest.fail("it was loaded"))
    endpoint = _change_over(tried).endpoint("delay")
    assert trials.tried == [["delay@v1"], ["delay@v2"]]
    assert endpoint.known_versions() == "delay@v1"
    assert "delay@v2 cannot serve: it broke" in endpoint.refusal


def test_a_refused_endpoint_takes_new_callers_all_the_same(
    switchboard: Switchboard, artifacts: Artifacts, release: Release, route: Route
) -> None:
    """Closing an endpoint to strangers does not wait for its model."""
    route(release("v1"))
    _change_over(switchboard)
    broken = release("v2")
    artifacts.path(broken.model.sha256).unlink()
    route(broken, generation=2, callers="token")
    assert _change_over(switchboard).endpoint("delay").needs_token


def test_an_endpoint_that_never_had_a_model_says_why(
    switchboard: Switchboard, artifacts: Artifacts, release: Release, route: Route
) -> None:
    """Where there is nothing to keep, callers read the reason."""
    broken = release("v1")
    artifacts.path(broken.model.sha256).unlink()
    route(broken)
    with pytest.raises(NoLiveRelease, match="is missing"):
        _change_over(switchboard).endpoint("delay").pick("r")


def test_an_unreadable_table_changes_nothing(
    switchboard: Switchboard, folder: Path, release: Release, route: Route
) -> None:
    """A damaged file is reported, and the next good one is taken."""
    route(release("v1"))
    _change_over(switchboard)
    (folder / ROUTES_FILE).write_bytes(b"{")
    assert switchboard.has_news()
    assert switchboard.prepare() is None
    assert "Cannot use the routes" in switchboard.unreadable
    assert switchboard.current().generation == 1
    route(release("v2"), generation=2)
    assert _change_over(switchboard).generation == 2
    assert switchboard.unreadable == ""


def test_shares_divide_requests_and_stay_with_an_id(switchboard: Switchboard, release: Release, route: Route) -> None:
    """Requests divide as the shares say, a request id always goes the same way, and shadows never answer."""
    route(release("v1", share=0.2), release("v2", share=0.8), release("v1", version="delay@v3", role="shadow"))
    endpoint = _change_over(switchboard).endpoint("delay")
    picked = Counter(endpoint.pick(f"request-{number}").release.version for number in range(5000))
    assert set(picked) == {"delay@v1", "delay@v2"}
    assert picked["delay@v1"] == pytest.approx(1000, abs=150)
    assert len({endpoint.pick("one").release.version for _ in range(20)}) == 1


def test_rounding_never_leaves_a_request_without_a_model(
    switchboard: Switchboard, release: Release, route: Route
) -> None:
    """Where the shares add up to a little less than 1, the last release takes the rest."""
    route(release("v1"), release("v2", share=0.0))
    endpoint = _change_over(switchboard).endpoint("delay")
    none_left = tuple(
        replace(each, release=release(name, share=0.0)) for each, name in zip(endpoint.live, ("v1", "v2"), strict=True)
    )
    assert replace(endpoint, live=none_left).pick("r").release.version == "delay@v2"


def test_versions_and_endpoints_that_are_not_there(switchboard: Switchboard, release: Release, route: Route) -> None:
    """Unknown names are refused with the known ones."""
    route(release("v1"))
    table = _change_over(switchboard)
    assert table.endpoint("delay").version("delay@v1").release.version == "delay@v1"
    with pytest.raises(UnknownName, match=r"delay@v1"):
        table.endpoint("delay").version("delay@v9")
    with pytest.raises(UnknownName, match="Known: delay"):
        table.endpoint("churn")


def test_tokens_name_callers(switchboard: Switchboard, release: Release, route: Route) -> None:
    """A known token gives a name; an unknown one is anonymous, or refused where a token is wanted."""
    tokens = {SECRET_SHA256: Caller(name="shop", team="sales")}
    route(release("v1"), tokens=tokens)
    table = _change_over(switchboard)
    endpoint = table.endpoint("delay")
    assert [table.caller(token, endpoint=endpoint) for token in ("secret", "guess", "")] == [
        "shop",
        "anonymous",
        "anonymous",
    ]
    route(release("v1"), tokens=tokens, callers="token", generation=2)
    table = _change_over(switchboard)
    closed = table.endpoint("delay")
    assert table.caller("secret", endpoint=closed) == "shop"
    for token in ("guess", ""):
        with pytest.raises(CredentialRefused):
            table.caller(token, endpoint=closed)
