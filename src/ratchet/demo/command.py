"""`ratchet demo`: a year of real flights through the closed loop, on this machine, in a few minutes.

Invariant: what it prints was computed from the ledger and the logs of the run; broken off, the same command goes on.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from ratchet import clock
from ratchet.demo import report
from ratchet.demo.flights import NEW_YORK, Flights, locate, prepare
from ratchet.demo.outside import Airline
from ratchet.demo.story import DEPLOYED_AT, END, PIPELINE, SCENARIOS, START, Story, write_project
from ratchet.errors import DayInvalid, DemoDiffers
from ratchet.store import ownership
from ratchet.store.artifacts import write_durably
from ratchet.store.database import Database, url_to_keep
from ratchet.store.formats import extras
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from ratchet.web.server import address_of, listen, serving
from ratchet.workspace import CLOCK_FILE, Workspace

DEFAULT_FOLDER = "ratchet-demo"


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo was started with; a folder keeps it, so that it goes on as it began."""

    seed: int = 0
    scenario: str = "story"
    database: str = ""

    def as_words(self) -> str:
        """Return the options as somebody would give them."""
        words = [f"--seed {self.seed}"]
        words += [f"--scenario {self.scenario}"] if self.scenario != "story" else []
        return " ".join([*words, f"--database {self.database}"] if self.database else words)


def run_demo(
    *,
    keep: Path | None = None,
    until: str | None = None,
    seed: int = 0,
    database: str = "",
    scenario: str = "story",
    as_json: bool = False,
) -> int:
    """Replay the year and print what came of it.

    Args:
        keep: The project's folder, left as a project in which every command works; ``./ratchet-demo`` by default.
        until: Last day to replay, such as ``2013-04-30``; the whole year by default.
        seed: Of the training sample and the traffic sample.
        database: URL of a PostgreSQL database; SQLite in the folder by default.
        scenario: A key of ``SCENARIOS``.
        as_json: Print the figures as JSON instead of a table.

    Returns:
        The exit status.

    Raises:
        DemoDiffers: The folder holds a demo with another seed, scenario or database.
        DemoDataMissing: The flights are not installed.
        LibraryMissing: What the demo trains with is not installed.
        DatabaseTaken: The database holds a workspace already, and this is a new demo.
    """
    folder = (keep or Path(DEFAULT_FOLDER)).resolve()
    extras.require("pandas", "sklearn", "skops", what="The demo", extra="demo")
    if not folder.exists():
        locate()
    end = _end(until)
    _check_options(
        folder, DemoOptions(seed=seed, scenario=scenario, database=url_to_keep(database) if database else "")
    )
    flights = Flights(prepare(folder / ".ratchet" / "demo"))
    write_project(folder, seed=seed, database=database)
    clock.simulate(folder / ".ratchet" / CLOCK_FILE, start=START)
    with Workspace(folder) as workspace, _stopping_on_signal():
        workspace.start(die_together=True)
        workspace.sync(actor=workspace.person("you"))
        with (
            _page(workspace, quiet=as_json) as web,
            closing(Airline(workspace, flights, endpoint=PIPELINE, web=web, seed=seed, since=DEPLOYED_AT)) as airline,
            report.progress(START, end, quiet=as_json) as advance,
        ):
            Story(workspace, flights, airline, scenario=SCENARIOS[scenario]).play(until=end, progress=advance)
        figures = report.compute(workspace, until=end)
        report.write_page(workspace)
    sys.stdout.write(report.as_json(figures) if as_json else report.as_text(figures, folder=folder))
    return 0


def _end(until: str | None) -> datetime:
    if until is None:
        return END
    try:
        day = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=NEW_YORK)
    except ValueError as error:
        raise DayInvalid(option="--until", value=until) from error
    # Three hours into the next day: then the last day's outcomes have come and its log is sealed.
    return min(END, day + timedelta(days=1, hours=3))


def _check_options(folder: Path, options: DemoOptions) -> None:
    """Keep what a new demo is started with, and see that one that goes on is started as it was begun."""
    path = folder / ".ratchet" / "demo" / "options.json"
    if path.exists():
        found = msgspec.json.decode(path.read_bytes(), type=DemoOptions)
        if found != options:
            raise DemoDiffers(folder=str(folder), found=found.as_words(), wanted=options.as_words())
        return
    if options.database:
        with closing(Database(options.database)) as database:
            ownership.refuse_taken(database, project=folder.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, msgspec.json.encode(options))


@contextmanager
def _page(workspace: Workspace, *, quiet: bool) -> Iterator[str]:
    """Serve the web application while the year is replayed: outcomes come in there, and people can watch."""
    app = create_app(workspace)
    listener = listen("127.0.0.1", 0)
    address = address_of(listener)
    with serving(app, listener):
        if not quiet:
            sys.stderr.write(f"Watch the year go by: {login_link(app, address)}\n")
        yield address


@contextmanager
def _stopping_on_signal() -> Iterator[None]:
    """Turn SIGTERM into the same orderly end that Ctrl-C has."""

    def stop(_number: int, _frame: FrameType | None) -> Any:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Nothing is lost: the same command goes on from here.\n")
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
