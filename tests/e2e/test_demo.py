"""The demo to the end of April: its story, its kills, its oracle, and every promise that its ledger can show."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ratchet.workspace import Workspace
from tests import killing, ledger_checker, oracle

UNTIL = "2013-04-30"
SEED = 1
PIPELINE = "flight-delay"
POLICIES = Path(__file__).parents[2] / "src" / "ratchet" / "measure" / "shipped"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the undisturbed demo."""
    return tmp_path_factory.mktemp("demo") / "calm"


@pytest.fixture(scope="module")
def figures(folder: Path) -> dict[str, Any]:
    """Return what the undisturbed demo prints."""
    return killing.run_demo(folder, until=UNTIL, seed=SEED)


@pytest.fixture(scope="module")
def lines(folder: Path, figures: dict[str, Any]) -> list[str]:
    """Return the undisturbed demo's ledger, exported."""
    assert figures["months"]
    return killing.export(folder)


@pytest.fixture(scope="module")
def events(lines: list[str]) -> list[ledger_checker.Line]:
    """Return the undisturbed demo's events."""
    return ledger_checker.read(lines)


def test_the_levels_climb_when_they_are_due(figures: dict[str, Any]) -> None:
    """Level 1 is reached at the end of February and level 2 at the end of April."""
    levels = {month["month"]: month["level"] for month in figures["months"]}
    assert levels["2013-01"] == 0
    assert levels["2013-02"] == 1
    assert levels["2013-04"] == 2


def test_retraining_pays(figures: dict[str, Any]) -> None:
    """In March and April the live models rank the same flights better than January's."""
    gains = {month["month"]: month["live"] - month["january"] for month in figures["months"] if month["live"]}
    assert gains["2013-03"] + gains["2013-04"] > 0.04


def test_every_flight_after_the_first_deployment_is_predicted(figures: dict[str, Any]) -> None:
    """At least 200 flights a day go over HTTP, and the cancelled ones stay in the coverage."""
    for month, days in (("2013-02", 28), ("2013-03", 31), ("2013-04", 30)):
        row = next(one for one in figures["months"] if one["month"] == month)
        assert row["predictions"] >= 200 * days
        assert 0.8 < row["labelled"] / row["predictions"] < 1


def test_in_january_one_training_and_one_deployment_by_a_person(events: list[ledger_checker.Line]) -> None:
    """Nothing but the two commands that the story tells of was done by hand."""
    commands = [
        event["data"]["action"]
        for event in events
        if event["type"] == "command.issued" and event["data"]["action"] in ("start_run", "promote")
    ]
    assert commands == ["start_run", "promote"]


def test_the_ledger_is_dense_and_every_event_has_a_cause(events: list[ledger_checker.Line]) -> None:
    """No number is missing, and only the named roots stand without a cause."""
    assert ledger_checker.gaps(events) == []
    assert ledger_checker.orphans(events) == []


def test_prediction_ids_are_unique(folder: Path, figures: dict[str, Any]) -> None:
    """Each prediction is in the log once."""
    import duckdb

    assert figures["flights"] > 0
    with duckdb.connect() as connection:
        pattern = folder / ".ratchet" / "predictions" / PIPELINE / "2013-*.parquet"
        row = connection.execute(
            f"SELECT count(*), count(DISTINCT prediction_id) FROM read_parquet('{pattern}')"
        ).fetchone()
    assert row is not None
    assert row[0] == row[1] >= figures["flights"]


def test_the_oracle_finds_the_same_levels(lines: list[str], folder: Path, figures: dict[str, Any]) -> None:
    """A program written from the definition alone reads the exported ledger and agrees at each month's end."""
    for policy in ("standard", "strict"):
        found = oracle.month_ends(lines, POLICIES / f"{policy}.toml", PIPELINE, "America/New_York")
        with Workspace(folder) as workspace:
            for month in figures["months"]:
                end = ledger_checker.month_end(month["month"])
                assert workspace.level(PIPELINE, policy=policy, as_of=end).level == found[month["month"]]


def test_a_demo_that_was_killed_tells_the_same_story(
    tmp_path: Path, events: list[ledger_checker.Line], figures: dict[str, Any]
) -> None:
    """After kills of its processes and at fault points, the ledger is that of the undisturbed run."""
    kills = [
        killing.Kill(victim="endpoint", day=datetime(2013, 2, 11, tzinfo=UTC)),
        killing.Kill(victim="server", day=datetime(2013, 3, 11, tzinfo=UTC)),
        killing.Kill(point="action.before_record", passage=random.Random(SEED).randint(1, 3)),
    ]
    record = killing.run_killed(tmp_path / "killed", kills, until=UNTIL, seed=SEED)
    assert len(record.kills) == len(kills)
    killed = ledger_checker.read(killing.export(tmp_path / "killed"))
    assert ledger_checker.differences(events, killed) == []
    assert ledger_checker.gaps(killed) == []


@pytest.mark.postgres
def test_the_demo_tells_the_same_story_on_postgresql(
    tmp_path: Path, events: list[ledger_checker.Line], postgres_url: str
) -> None:
    """Event by event, with all that was measured, until the middle of February; the server is killed on the way."""
    folder, end = tmp_path / "demo", "2013-02-17T00:00:00"
    kills = [killing.Kill(victim="server", day=datetime(2013, 2, 4, tzinfo=UTC))]
    record = killing.run_killed(folder, kills, until="2013-02-17", seed=SEED, database=postgres_url)
    assert len(record.kills) == len(kills)
    found = ledger_checker.read(killing.export(folder))
    wanted, ours = ([one for one in ledger if one["time"] < end] for ledger in (events, found))
    assert len(ours) > 100
    assert ledger_checker.differences(wanted, ours) == []
    assert ledger_checker.gaps(found) == []


def test_the_checker_sees_a_planted_loss_and_a_planted_double_act(events: list[ledger_checker.Line]) -> None:
    """A checker that cannot fail proves nothing."""
    position = next(number for number, event in enumerate(events) if event["type"] == "rule.action.succeeded")
    lost = [*events[:position], *events[position + 1 :]]
    doubled = [*events, {**events[position], "id": "ANOTHER", "seq": len(events) + 1}]
    assert any(line.startswith("lost") for line in ledger_checker.differences(events, lost))
    assert any(line.startswith("done twice") for line in ledger_checker.differences(events, doubled))
    sealed = next(n for n, event in enumerate(events) if event["type"] == "prediction_log.segment.sealed")
    assert ledger_checker.differences(events, [*events[:sealed], *events[sealed + 1 :]])
