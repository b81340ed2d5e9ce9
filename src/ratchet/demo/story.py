"""The demo's year: what happens in the world, what people do, and when rules take over.

Invariant: the year is a list of moments made from the data and the scenario alone; a moment that is done again changes
nothing, so a year that broke off goes on where its clock stood.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from importlib import resources as package_files
from pathlib import Path
from typing import Any

from ratchet import clock, config, faults
from ratchet.demo.flights import NEW_YORK, Flights
from ratchet.demo.outside import Airline
from ratchet.loop import predictions
from ratchet.records import Event
from ratchet.workspace import Workspace

PIPELINE = "flight-delay"
START = datetime(2013, 1, 1, tzinfo=NEW_YORK)
END = datetime(2014, 1, 1, 3, tzinfo=NEW_YORK)
TRAINED_AT = datetime(2013, 1, 31, 18, tzinfo=NEW_YORK)
DEPLOYED_AT = datetime(2013, 1, 31, 19, tzinfo=NEW_YORK)
ADOPTED_AT = {
    1: datetime(2013, 1, 31, 20, tzinfo=NEW_YORK),
    2: datetime(2013, 3, 1, 9, tzinfo=NEW_YORK),
    3: datetime(2013, 5, 1, 9, tzinfo=NEW_YORK),
}
OWN_RULE_AT = datetime(2013, 8, 1, 9, tzinfo=NEW_YORK)
PERSON = "you"
_MONDAY = 0


@dataclass(frozen=True)
class Scenario:
    """What is different from the demo's story; the controls that show what a level is made of.

    Attributes:
        levels: Whose presets are adopted.
        own_rule: Whether the person writes a rule in Python.
        disabled: Whether presets are adopted but switched off.
        trains_by_hand: The person starts each weekly training, and no rule that trains is adopted.
        deploys_by_hand: The person promotes what passed its gate each Monday morning.
    """

    levels: tuple[int, ...] = (1, 2, 3)
    own_rule: bool = True
    disabled: bool = False
    trains_by_hand: bool = False
    deploys_by_hand: bool = False


SCENARIOS = {
    "story": Scenario(),
    "no-own-rule": Scenario(own_rule=False),
    "training-by-hand": Scenario(own_rule=False, trains_by_hand=True),
    "deployment-by-hand": Scenario(levels=(1,), own_rule=False, deploys_by_hand=True),
    "deployment-by-hand-all-presets": Scenario(levels=(1, 3), deploys_by_hand=True),
    "presets-disabled": Scenario(disabled=True, own_rule=False),
}


@dataclass(frozen=True)
class Moment:
    """Something that happens at a time."""

    at: datetime
    name: str
    do: Callable[[], object]


def write_project(folder: Path, *, seed: int, database: str = "") -> None:
    """Write the demo's project, unless it is there."""
    if (folder / config.FILE_NAME).exists():
        return
    shipped = package_files.files("ratchet.demo").joinpath("project")
    (folder / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "flights").mkdir(parents=True, exist_ok=True)
    policy = "policies/three-levels.toml"
    (folder / policy).write_text(shipped.joinpath(policy).read_text())
    flights = shipped.joinpath("flights.py").read_text()
    (folder / "flights.py").write_text(flights.replace("seed: int = 0", f"seed: int = {seed}"))
    settings = shipped.joinpath("ratchet.toml").read_text()
    if database:
        settings = config.with_database(settings, database)
    # Last, because it says that the project is whole.
    (folder / config.FILE_NAME).write_text(settings.replace("seed = 0", f"seed = {seed}"))


class Story:
    """One year in a workspace.

    Args:
        workspace: A running workspace in the demo's project.
        flights: The data.
        airline: The system that asks for predictions and sends outcomes.
        scenario: What is different.
    """

    def __init__(self, workspace: Workspace, flights: Flights, airline: Airline, *, scenario: Scenario) -> None:
        self._workspace = workspace
        self._flights = flights
        self._airline = airline
        self._scenario = scenario
        self._person = workspace.person(PERSON)

    def play(self, *, until: datetime, progress: Callable[[datetime], None]) -> None:
        """Go through all moments that have not been, each when everything before it has settled."""
        reached = clock.now()
        for moment in self.moments(until):
            if moment.at < reached:
                continue
            clock.advance(moment.at.astimezone(UTC))
            faults.point("clock.advanced")
            moment.do()
            self._workspace.clockwork.tick(clock.now())
            self._workspace.settle()
            progress(moment.at)

    def moments(self, until: datetime) -> list[Moment]:
        """Return all moments up to a time, in order."""
        found = [*self._days(until), *self._hours(until), *self._people()]
        return sorted((one for one in found if one.at <= until), key=lambda one: one.at)

    # ---- what happens by itself

    def _days(self, until: datetime) -> Iterator[Moment]:
        day = START.date()
        while (midnight := _local(day)) <= until:
            if midnight > DEPLOYED_AT:
                yield Moment(midnight, "outcomes", partial(self._send_outcomes, day))
                yield Moment(midnight + timedelta(minutes=45), "seal", self._seal)
            if day.weekday() == _MONDAY:
                yield from self._monday(day)
            day += timedelta(days=1)

    def _monday(self, day: date) -> Iterator[Moment]:
        for hour, minute in ((1, 0), (1, 10), (1, 20), (1, 30)):
            yield Moment(_local(day, hour, minute), "schedule", _nothing)
        yield Moment(_local(day, 2), "new data", self._write_files)
        if self._scenario.trains_by_hand and _local(day) > ADOPTED_AT[1]:
            yield Moment(_local(day, 3), "training by hand", partial(self._train, f"monday/{day}"))
        else:
            yield Moment(_local(day, 3), "schedule", _nothing)
        if self._scenario.deploys_by_hand and _local(day) > ADOPTED_AT[2]:
            yield Moment(_local(day, 9, 30), "deployment by hand", partial(self._promote_newest, f"monday/{day}"))

    def _hours(self, until: datetime) -> Iterator[Moment]:
        for hour in self._airline.hours(min(until, END)):
            # A minute past, so that what people and schedules do at the full hour has been done.
            at = hour + timedelta(minutes=1)
            yield Moment(at.astimezone(NEW_YORK), "requests", partial(self._airline.ask, hour))

    def _send_outcomes(self, day: date) -> None:
        start = max(_local(day - timedelta(days=1)), DEPLOYED_AT)
        self._airline.send_outcomes(start, _local(day), key=f"landed/{day.isoformat()}")

    def _seal(self) -> None:
        predictions.tend(self._workspace.resources)

    def _write_files(self) -> None:
        folder = self._workspace.project / "data" / "flights"
        self._flights.write_month_files(folder, as_of=clock.now())
        self._workspace.look_for_data()

    # ---- what people do

    def _people(self) -> Iterator[Moment]:
        yield Moment(TRAINED_AT, "training by hand", partial(self._train, "january"))
        yield Moment(DEPLOYED_AT, "deployment by hand", partial(self._promote_newest, "january"))
        for level in self._scenario.levels:
            yield Moment(ADOPTED_AT[level], f"level {level}", partial(self._adopt, level))
        if self._scenario.own_rule:
            yield Moment(OWN_RULE_AT, "own rule", self._write_own_rule)

    def _train(self, key: str) -> None:
        self._command("start_run", {"pipeline": PIPELINE}, subject=PIPELINE, key=f"demo/train/{key}")

    def _promote_newest(self, key: str) -> None:
        live = self._workspace.live(PIPELINE)
        passed = [
            event.data["version"]
            for event in self._workspace.ledger.read(types=["gate.evaluated"], newest_first=True, limit=8)
            if event.data["decision"] == "pass"
        ]
        if passed and (live is None or live.model_version != passed[0]):
            self._command("promote", {"version": passed[0]}, subject=passed[0], key=f"demo/promote/{key}")

    def _command(self, action: str, parameters: dict[str, Any], *, subject: str, key: str) -> Event:
        return self._workspace.command(
            action, parameters, subject=subject, pipeline=PIPELINE, actor=self._person, key=key
        )

    def _adopt(self, level: int) -> None:
        leave_out = "start_run" if self._scenario.trains_by_hand else ""
        self._workspace.adopt(
            level, PIPELINE, actor=self._person, enabled=not self._scenario.disabled, leave_out=leave_out
        )

    def _write_own_rule(self) -> None:
        source = package_files.files("ratchet.demo").joinpath("project").joinpath("holidays.py").read_text()
        (self._workspace.project / "holidays.py").write_text(source)
        self._workspace.sync(actor=self._person)


def _nothing() -> None:
    """Let only the clock tick."""


def _local(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), NEW_YORK)
