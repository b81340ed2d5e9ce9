"""The demo's year as a list of moments."""

from collections import defaultdict
from datetime import date, datetime
from pathlib import Path

import pytest

from ratchet import clock, config
from ratchet.demo.flights import NEW_YORK, Flights, prepare
from ratchet.demo.outside import Airline
from ratchet.demo.story import (
    ADOPTED_AT,
    DEPLOYED_AT,
    END,
    OWN_RULE_AT,
    SCENARIOS,
    START,
    TRAINED_AT,
    Moment,
    Story,
    write_project,
)
from ratchet.workspace import CLOCK_FILE, Workspace


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """Return the year's flights."""
    return Flights(prepare(tmp_path_factory.mktemp("flights")))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the demo's project."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, seed=3)
    return folder


def _moments(project: Path, flights: Flights, scenario: str, until: datetime = END) -> list[Moment]:
    clock.simulate(project / ".ratchet" / CLOCK_FILE, start=START)
    try:
        with Workspace(project) as workspace:
            airline = Airline(
                workspace, flights, endpoint="flight-delay", web="http://127.0.0.1:9", seed=0, since=DEPLOYED_AT
            )
            return Story(workspace, flights, airline, scenario=SCENARIOS[scenario]).moments(until)
    finally:
        clock.stop_simulating()


def test_each_day_asks_about_a_third_of_its_flights(project: Path, flights: Flights) -> None:
    """At least 200 flights of every day, whole hours of them, drawn by the seed and not by how long the year is."""
    with Workspace(project) as workspace:
        first, again, other = (
            Airline(workspace, flights, endpoint="e", web="http://127.0.0.1:9", seed=seed, since=START)
            for seed in (1, 1, 2)
        )
    hours = first.hours(END)
    assert hours == again.hours(END) != other.hours(END)
    asked: dict[date, int] = defaultdict(int)
    flown: dict[date, int] = defaultdict(int)
    for hour in flights.hours_between(START, END):
        flown[hour.astimezone(NEW_YORK).date()] += flights.count(hour)
    for hour in hours:
        assert flights.count(hour) == len(flights.asked_at(hour)["flight_id"])
        asked[hour.astimezone(NEW_YORK).date()] += flights.count(hour)
    assert min(asked.values()) >= 200
    assert all(1 / 3 <= asked[day] / flown[day] < 0.45 for day in flown if flown[day] > 600)
    noon = datetime(2013, 7, 4, 12, tzinfo=NEW_YORK)
    assert first.hours(noon) == [hour for hour in hours if hour < noon]


def test_the_project_is_valid_and_carries_its_seed(project: Path) -> None:
    """The shipped settings load, and the seed reaches pipeline and sample."""
    settings = config.load(project)
    assert settings.sample["flight-delay"].seed == 3
    assert "seed: int = 3" in (project / "flights.py").read_text()


def test_writing_the_project_again_changes_nothing(project: Path) -> None:
    """A project that is there, perhaps edited, is left as it is."""
    before = (project / "ratchet.toml").read_text()
    write_project(project, seed=9)
    assert (project / "ratchet.toml").read_text() == before


def test_moments_are_in_order_and_their_times_are_unique(project: Path, flights: Flights) -> None:
    """A moment can be found again by its time, which a broken-off year needs."""
    times = [moment.at for moment in _moments(project, flights, "story")]
    assert times == sorted(times)
    assert len(set(times)) == len(times)


def test_people_act_when_the_story_says(project: Path, flights: Flights) -> None:
    """One training, one deployment, three adoptions and one rule of one's own, at their times."""
    names = {moment.at: moment.name for moment in _moments(project, flights, "story")}
    assert names[TRAINED_AT] == "training by hand"
    assert names[DEPLOYED_AT] == "deployment by hand"
    assert [names[ADOPTED_AT[level]] for level in (1, 2, 3)] == ["level 1", "level 2", "level 3"]
    assert names[OWN_RULE_AT] == "own rule"
    assert sum(name == "training by hand" for name in names.values()) == 1


def test_by_hand_every_monday_has_its_training(project: Path, flights: Flights) -> None:
    """The control without a training rule has a person's command each Monday after January."""
    moments = _moments(project, flights, "training-by-hand")
    by_hand = [moment.at for moment in moments if moment.name == "training by hand" and moment.at > TRAINED_AT]
    assert len(by_hand) == 48
    assert {at.weekday() for at in by_hand} == {0}


def test_a_shorter_year_is_the_beginning_of_the_long_one(project: Path, flights: Flights) -> None:
    """What happens by a day does not depend on how long the demo goes on."""
    until = datetime(2013, 3, 15, tzinfo=NEW_YORK)
    short = [(moment.at, moment.name) for moment in _moments(project, flights, "story", until)]
    long = [(moment.at, moment.name) for moment in _moments(project, flights, "story")]
    assert short == [one for one in long if one[0] <= until]
