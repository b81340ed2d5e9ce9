"""A small past to hold rules against: alerts on a simulated clock, with the numbers of conditions as of then."""

from collections.abc import Callable
from datetime import datetime, timedelta

from ratchet import clock, config
from ratchet.automation import rules
from ratchet.automation.hindsight import Hindsight
from ratchet.automation.rehearsal import Rehearsal, Rehearsing
from ratchet.loop import projects as declared
from ratchet.measure.history import History
from ratchet.measure.kpis.desk import Desk
from ratchet.measure.kpis.settings import Settings
from ratchet.records import Event
from tests import projects
from tests.loops import Stage

Ruled = Callable[..., Stage]


def history_of(stage: Stage) -> History:
    """Return the measure's view of the whole ledger."""
    history = History()
    history.fold(stage.ledger.read())
    return history


def hindsight_of(stage: Stage) -> Hindsight:
    """Return what gives numbers as of then; a level is the number of the day in the month."""
    desk = Desk(lambda: history_of(stage), settings=lambda: Settings.of(stage.resources.config), policies=lambda: [])
    return Hindsight(lambda: history_of(stage), ask=desk.ask, level=lambda _, at: float(at.day))


def rehearse(stage: Stage, name: str, *, since: datetime = projects.START, until: datetime | None = None) -> Rehearsal:
    """Hold a rule against what happened since the simulated clock began."""
    rehearsing = Rehearsing(stage.resources, numbers=hindsight_of(stage).numbers)
    rule, place = rehearsing.find(name)
    start = since - timedelta(seconds=1)
    return rehearsing.rehearse(rule, place=place, since=start, until=until or clock.now())


def put(stage: Stage, text: str, *, key: str) -> None:
    """Put the rules of a text in force, and those of the Python files."""
    stage.configure(projects.SETTINGS + text)
    path = stage.resources.project / config.FILE_NAME
    found = rules.read(stage.resources.config, declared.current(stage.resources)[1], path=path)
    with stage.command(key):
        rules.put_in_force(stage.resources, found)


def alert(stage: Stage, key: str, **data: object) -> Event:
    """Append an alert, caused by a command."""
    with stage.command(key):
        event = Event(
            type="monitor.alert.raised", subject=f"churn/{key}", pipeline="churn", data={"score": 0.3, **data}
        )
        return stage.ledger.record(event)[0]


def later(**span: float) -> None:
    """Let the simulated clock go on."""
    clock.advance(clock.now() + timedelta(**span))


def rule(name: str, do: str = '{ cancel_run = "R" }', *, more: str = "", on: str = "monitor.alert.raised") -> str:
    """Return the text of a rule; by default its action is refused."""
    return f'\n[[rule]]\nname = "{name}"\non = "{on}"\ndo = {do}\n{more}\n'
