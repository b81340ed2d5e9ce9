"""The way of each version to production, in columns; tests/property/test_columns.py holds it against the events."""

from ratchet.measure.kpis.logs import NEVER
from ratchet.measure.kpis.ways import trainings_of, ways_of
from tests.kpis import asked
from tests.ledgers import LedgerBuilder


def test_of_two_first_versions_in_one_shift_the_first_by_name_began_the_work() -> None:
    """The start of the work counts once for a model."""
    ledger = LedgerBuilder()
    ledger.declare()
    cause = ledger.command()
    for version in ("m@v2", "m@v1", "m@v3"):
        ledger.add("run.finished", f"run {version}", {"run_id": f"run {version}"}, cause=cause)
        ledger.add("model.version.registered", version, {"run_id": f"run {version}"}, cause=cause)
    ledger.shift({"m@v2": 0.5, "m@v1": 0.5}, cause=cause)
    ledger.shift({"m@v3": 1.0}, cause=cause)
    ways = ways_of(asked(ledger).view)
    begun = [ways.name(way) for way, at in enumerate(ways.started_us("started").tolist()) if at != NEVER]
    assert begun == ["m@v1"]
    assert sorted(map(ways.name, range(len(ways.version)))) == ["m@v1", "m@v2", "m@v3"]


def test_what_was_trained_elsewhere_is_known_by_its_gate() -> None:
    """A registration says more than a gate; without one, the gate says which run made a version."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    runs = [ledger.add("run.finished", name, cause=cause) for name in ("r1", "r2")]
    ledger.add("gate.evaluated", "m@v1", {"version": "m@v1", "run_id": "r1"}, cause=cause)
    ledger.add("gate.evaluated", "m@v2", {"version": "m@v2", "run_id": "r1"}, cause=cause)
    ledger.add("model.version.registered", "m@v2", {"run_id": "r2"}, cause=cause)
    view = asked(ledger).view
    trained = trainings_of(view)
    found = {name: trained.runs.id(trained.of[view.inputs.words.known(name)]) for name in ("m@v1", "m@v2")}
    assert found == {"m@v1": runs[0].id, "m@v2": runs[1].id}


def test_a_version_that_waits_is_superseded_by_a_later_one() -> None:
    """It was seen to wait until the first one that was trained after it went live, else until now."""
    ledger = LedgerBuilder()
    cause = ledger.command()
    for number in (1, 2, 3, 4):
        ledger.add("run.finished", f"r{number}", cause=cause)
        ledger.add("model.version.registered", f"m@v{number}", {"run_id": f"r{number}"}, cause=cause)
        ledger.wait(hours=1)
    ledger.shift({"m@v3": 1.0}, cause=cause)
    ways = ways_of(asked(ledger.wait(hours=7)).view)
    waiting = [way for way in range(len(ways.version)) if not ways.is_live[way]]
    hours, superseded = ways.waited(waiting)
    assert (sorted(map(round, hours)), superseded) == ([3, 4, 8], 2)
