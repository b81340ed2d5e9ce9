"""Releases: through gate, smoke test and the endpoint's word into production, and back again."""

from collections.abc import Iterator

import pytest

from ratchet.errors import GateNotPassed, NoEndpointProcess, NothingToRollBack, ReleaseRefused, StepFailed, UnknownName
from ratchet.loop import credentials, registry, releases
from ratchet.loop.credentials import Credential
from ratchet.loop.serving.routes import ROUTES_FILE, read_routes
from ratchet.records import Event, ModelVersion
from tests import projects
from tests.loops import Stage
from tests.unit.loop.endpoints import FakeEndpoint, endpoint


@pytest.fixture
def served(stage: Stage) -> Iterator[FakeEndpoint]:
    """An endpoint that follows what it is told."""
    with endpoint(stage.resources.serving) as made:
        yield made


def promote(stage: Stage, version: ModelVersion, *, key: str = "", bypass: str = "") -> Event:
    """Promote a version by a command."""
    with stage.command(key or f"promote {version.name}"):
        return releases.promote(stage.resources, version.name, bypass=bypass)


def roll_back(stage: Stage, *, key: str = "back") -> Event:
    """Roll back by a command."""
    with stage.command(key):
        return releases.rollback(stage.resources, "churn")


def live(stage: Stage) -> str:
    """Return what the ledger calls live."""
    with stage.database.read() as connection:
        found = registry.live_release(connection, "churn")
    return found.model_version if found else ""


def routed(stage: Stage) -> str:
    """Return what the routes say."""
    table = read_routes(stage.resources.serving)
    return table.endpoints["churn"].releases[0].version if "churn" in table.endpoints else ""


def test_a_version_that_passed_its_gate_goes_live(stage: Stage, served: FakeEndpoint) -> None:
    """Each event follows from the one before; the routes name deployment and traffic event."""
    version = stage.add_version()
    before = stage.ledger.last_seq()
    done = promote(stage, version)
    events = list(stage.ledger.read(after=before + 1))
    assert [event.type for event in events] == [
        "deployment.requested",
        "deployment.started",
        "fitness.suite.finished",
        "traffic.shifted",
        "deployment.completed",
    ]
    assert [event.causationid for event in events[1:]] == [event.id for event in events[:-1]]
    assert done == events[-1]
    assert live(stage) == routed(stage) == served.live["churn"] == "churn@v1"
    (route,) = read_routes(stage.resources.serving).endpoints["churn"].releases
    assert route.traffic_id == events[3].id
    assert events[3].data["weights"] == {"churn@v1": 1.0}
    assert events[2].data["kind"] == "smoke"


def test_the_next_version_replaces_the_first(stage: Stage, served: FakeEndpoint) -> None:
    """One is live; the other is kept as replaced."""
    promote(stage, stage.add_version())
    done = promote(stage, stage.add_version())
    assert live(stage) == "churn@v2"
    assert done.data["prev_version"] == "churn@v1"
    with stage.database.read() as connection:
        assert [one.status for one in registry.releases(connection, endpoint="churn")] == ["replaced", "live"]


@pytest.mark.parametrize("gate", ["", "fail"])
def test_without_a_passed_gate_nothing_is_promoted(stage: Stage, served: FakeEndpoint, gate: str) -> None:
    """The message says why, and what a person may do; no event is written."""
    version = stage.add_version(gate=gate)
    before = stage.ledger.last_seq()
    with pytest.raises(
        GateNotPassed, match=r"Cannot promote churn@v1 to production: its gate was not evaluated.*bypass"
    ):
        promote(stage, version)
    assert stage.types(after=before) == ["command.issued"]
    assert routed(stage) == ""


def test_the_gate_of_another_system_says_nothing_about_ours(stage: Stage, served: FakeEndpoint) -> None:
    """A verdict that comes from outside under our version's name neither lets it through nor gives the reason."""
    version = stage.add_version(gate="fail")
    with stage.command("someone"):
        data = {"decision": "pass", "reason": "because we say so"}
        foreign = {"source": "elsewhere", "pipeline": "theirs", "evidence": "attested"}
        stage.ledger.record(Event(type="gate.evaluated", subject=version.name, data=data, **foreign))
    with pytest.raises(GateNotPassed, match="its gate was not evaluated"):
        promote(stage, version)


def test_a_person_who_bypasses_a_gate_is_named(stage: Stage, served: FakeEndpoint) -> None:
    """With the reason; a bypass that is not needed leaves no trace."""
    promote(stage, stage.add_version(gate="fail"), bypass="the holdout was wrong")
    (bypassed,) = stage.events("gate.bypassed")
    assert (bypassed.data["by"], bypassed.data["reason"]) == ("anna", "the holdout was wrong")
    assert bypassed.actor_class == "human"
    promote(stage, stage.add_version(gate="pass"), bypass="to be sure")
    assert len(stage.events("gate.bypassed")) == 1
    assert live(stage) == "churn@v2"


def test_an_unknown_version_cannot_be_promoted(stage: Stage) -> None:
    """Those that there are stand in the message."""
    stage.add_version()
    with stage.command("promote"), pytest.raises(UnknownName, match="churn@v1"):
        releases.promote(stage.resources, "churn@v7")


def test_a_promotion_that_is_done_again_changes_nothing(stage: Stage, served: FakeEndpoint) -> None:
    """Killed behind the commit: the same event comes back, and no second deployment."""
    version = stage.add_version()
    done = promote(stage, version)
    before = stage.ledger.last_seq()
    assert promote(stage, version) == done
    assert stage.ledger.last_seq() == before


def test_back_to_the_version_before(stage: Stage, served: FakeEndpoint) -> None:
    """The event says from what to what, and because of what."""
    promote(stage, stage.add_version())
    promote(stage, stage.add_version())
    with stage.command("back"):
        done = releases.rollback(stage.resources, "churn", because_of="E1")
    assert live(stage) == routed(stage) == "churn@v1"
    (back,) = stage.events("deployment.rolledback")
    assert (back.data["from"], back.data["to"], back.data["because_of"]) == ("churn@v2", "churn@v1", "E1")
    assert done.causationid == back.id


def test_a_rollback_that_is_done_again_stays_back(stage: Stage, served: FakeEndpoint) -> None:
    """Killed behind the commit: it must not go forward again to the version that was bad."""
    promote(stage, stage.add_version())
    promote(stage, stage.add_version())
    done = roll_back(stage)
    before = stage.ledger.last_seq()
    assert roll_back(stage) == done
    assert stage.ledger.last_seq() == before
    assert live(stage) == routed(stage) == "churn@v1"


def test_without_an_earlier_version_there_is_no_way_back(stage: Stage, served: FakeEndpoint) -> None:
    """Neither from the first version nor from none."""
    for _ in range(2):
        with pytest.raises(NothingToRollBack, match=r"'churn' has no earlier release.*Promote"):
            roll_back(stage)
        if not live(stage):
            promote(stage, stage.add_version())
    assert live(stage) == "churn@v1"


def test_a_corrupt_artifact_is_refused_in_staging(stage: Stage, served: FakeEndpoint) -> None:
    """What was live goes on, and the failed deployment says why."""
    promote(stage, stage.add_version())
    bad = stage.add_version(model=_other_model())
    projects.damage(stage.resources.artifacts.path(bad.artifact))
    with pytest.raises(StepFailed, match=r"ArtifactCorrupt.*corrupt.*Restore it from a backup"):
        promote(stage, bad)
    assert live(stage) == routed(stage) == "churn@v1"
    assert "is corrupt" in stage.events("deployment.failed")[0].data["error"]


def test_what_the_endpoint_refuses_is_withdrawn(stage: Stage, served: FakeEndpoint) -> None:
    """The routes are restored, so that a restart of the endpoint does not try it again."""
    promote(stage, stage.add_version())
    served.refuses.add("churn@v2")
    with pytest.raises(ReleaseRefused, match=r"refused churn@v2: churn@v2 is corrupt\. What was live before goes on"):
        promote(stage, stage.add_version())
    assert live(stage) == routed(stage) == served.live["churn"] == "churn@v1"
    with stage.database.read() as connection:
        assert [one.status for one in registry.releases(connection, endpoint="churn")] == ["live", "refused"]
    assert stage.types()[-1] == "deployment.failed"
    served.refuses.clear()
    promote(stage, stage.add_version())
    assert live(stage) == "churn@v3"


def test_a_fault_after_the_endpoint_has_followed_is_withdrawn(
    stage: Stage, served: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the ledger will never call live does not go on serving, whatever went wrong."""
    promote(stage, stage.add_version())

    def fail(name: str) -> None:
        if name == "routes.acknowledged":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(releases.faults, "point", fail)
    with pytest.raises(OSError, match="No space left"):
        promote(stage, stage.add_version())
    assert live(stage) == routed(stage) == "churn@v1"
    assert stage.types()[-1] == "deployment.failed"


def test_without_an_endpoint_nothing_goes_live(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody acknowledged: the ledger does not call it live, and the routes are restored."""
    monkeypatch.setattr(releases, "ACKNOWLEDGE_SECONDS", 0.05)
    with pytest.raises(NoEndpointProcess, match=r"within 0.05 s.*ratchet up"):
        promote(stage, stage.add_version())
    assert live(stage) == routed(stage) == ""


def test_routes_written_by_another_meanwhile_do_not_count_as_ours(
    stage: Stage, served: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is issued while a deployment waits: those routes lack the new version, so it is not live yet."""
    promote(stage, stage.add_version())
    publish = releases.publish_routes
    others: list[int] = []

    def interrupted(*args: object, **kwargs: object) -> int:
        generation = publish(*args, **kwargs)  # type: ignore[arg-type]
        if not others:
            others.append(publish(stage.resources))
        return generation

    monkeypatch.setattr(releases, "publish_routes", interrupted)
    promote(stage, stage.add_version())
    assert live(stage) == routed(stage) == served.live["churn"] == "churn@v2"


def test_routes_hold_whoever_may_call(stage: Stage, served: FakeEndpoint) -> None:
    """Tokens by their hash; the generation rises with each change."""
    promote(stage, stage.add_version())
    with stage.command("issue"):
        token = credentials.issue(stage.resources, Credential(name="shop", kind="system", system="shop", team="growth"))
    before = read_routes(stage.resources.serving).generation
    assert releases.publish_routes(stage.resources) == before + 1
    table = read_routes(stage.resources.serving)
    assert table.tokens[credentials.hash_token(token)].name == "shop"
    assert table.endpoints["churn"].callers == "token"


def test_routes_are_newer_than_those_of_a_lost_database(stage: Stage, served: FakeEndpoint) -> None:
    """After a restore from a backup the endpoint follows all the same."""
    promote(stage, stage.add_version())
    with stage.database.write() as transaction:
        registry.put_state(transaction, "routes", 0)
    assert releases.publish_routes(stage.resources) == read_routes(stage.resources.serving).generation > 1


def test_a_damaged_route_file_is_replaced(stage: Stage, served: FakeEndpoint) -> None:
    """What the registry knows is written again, with a later generation."""
    promote(stage, stage.add_version())
    before = read_routes(stage.resources.serving).generation
    (stage.resources.serving / ROUTES_FILE).write_text("{ half")
    assert releases.publish_routes(stage.resources) > before
    assert routed(stage) == "churn@v1"


def test_each_model_has_an_endpoint_of_its_own(stage: Stage, served: FakeEndpoint) -> None:
    """A deployment leaves the others as they are."""
    promote(stage, stage.add_version())
    promote(stage, stage.add_version(name="value"))
    assert served.live == {"churn": "churn@v1", "value": "value@v1"}


def _other_model() -> object:
    from sklearn.linear_model import LogisticRegression

    rows = projects.customers(200)
    return LogisticRegression(C=0.01).fit(rows[["visits", "spend"]], rows["left"])
