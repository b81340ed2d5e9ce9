"""Counts of pages: each event once, whenever somebody asks."""

from ratchet.measure.initiators import acting_class
from ratchet.records import Actor, Event
from ratchet.web.tallies import Tallies
from tests.ledgers import PERSON
from tests.unit.web.conftest import Site


def test_counts_are_those_of_the_ledger(site: Site) -> None:
    """Counted at once or bit by bit, before and after more has come: the same as adding up all events."""
    tallies = Tallies(site.workspace.ledger)
    assert (tallies.predictions, tallies.alerts, tallies.of("flight-delay").alerts) == (None, None, None)
    tallies.catch_up()
    before = tallies.predictions
    usage = list(site.workspace.ledger.read(types=["usage.recorded"]))
    assert before == sum(event.data["rows"] for event in usage)
    assert tallies.alerts == tallies.of("flight-delay").alerts == 0
    read = site.workspace.ledger.read(types=["command.issued"])
    commands = [event for event in read if acting_class(event) == "human"]
    assert tallies.commands.total() == len(commands)
    assert tallies.of("flight-delay").commands.total() == sum(one.pipeline == "flight-delay" for one in commands)
    tallies.catch_up()
    assert tallies.predictions == before


def test_what_is_new_is_added(site: Site) -> None:
    """An alert counts until it is cleared, usage adds up, and a machine's command is no person's."""
    tallies = Tallies(site.workspace.ledger)
    tallies.catch_up()
    root = next(site.workspace.ledger.read(limit=1))

    def add(kind: str, subject: str, *, pipeline: str = "new", actor: Actor = PERSON, **data: object) -> None:
        cause = "" if kind == "command.issued" else root.id
        known = {"authtype": actor.authtype, "authid": actor.authid, "authclaims": actor.claims}
        event = Event(type=kind, subject=subject, pipeline=pipeline, data=data, causationid=cause, **known)
        site.workspace.ledger.record(event)
        tallies.catch_up()

    total = tallies.predictions or 0
    add("usage.recorded", "new", rows=5)
    add("usage.recorded", "new", rows=7)
    assert (tallies.of("new").predictions, tallies.predictions) == (12, total + 12)
    assert tallies.of("new").alerts is None
    add("monitor.evaluated", "drift")
    assert tallies.of("new").alerts == 0
    add("monitor.alert.raised", "drift")
    add("monitor.alert.raised", "drift")
    assert (tallies.of("new").alerts, tallies.alerts) == (1, 1)
    add("monitor.alert.cleared", "drift")
    assert (tallies.of("new").alerts, tallies.alerts) == (0, 0)
    add("command.issued", "new", action="start_run")
    robot = Actor(authtype="service_account", authid="r", claims={"system": "towers"})
    add("command.issued", "new", actor=robot, action="start_run")
    assert tallies.of("new").commands.total() == 1
