"""The long proof of the demo: the year with seeds 1 to 3, the controls, and twenty kills and all fault points.

Run by ``make demo-proof``. Each part writes its figures as it is done, so that a run that breaks off keeps them; with
``--only PART`` one part is run. With ``--database URL`` all of it runs on PostgreSQL: on the server of that URL, in
databases that are made anew for each demo and are called ``ratchet_proof_...``.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from ratchet.workspace import Workspace
from tests import killing, ledger_checker, oracle

PIPELINE = "flight-delay"
POLICIES = Path(__file__).parents[1] / "src" / "ratchet" / "measure" / "shipped"
ZONE = "America/New_York"
MINIMUM_GAIN = 0.02

# By scenario: the highest level that each policy may ever show, and the one that it must end with.
CONTROLS: dict[str, dict[str, tuple[int, int]]] = {
    "no-own-rule": {"standard": (3, 3)},
    "training-by-hand": {"standard": (0, 0), "strict": (0, 0)},
    "deployment-by-hand": {"standard": (2, 2), "strict": (1, 1)},
    "deployment-by-hand-all-presets": {"standard": (4, 4), "strict": (1, 1)},
    "presets-disabled": {"standard": (0, 0), "strict": (0, 0)},
}
DUE = {1: "2013-02", 2: "2013-04", 3: "2013-07", 4: "2013-10"}


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        database: URL of a PostgreSQL server's database; SQLite where it is empty.
        timed: How many kills come at moments of their own, beside one at each fault point.
        until: The last day of the demo that is killed.
    """

    database: str = ""
    timed: int = 20
    until: str = "2013-09-30"

    def new_database(self, folder: Path) -> str:
        """Return the URL of an empty database for the demo in a folder; none where it is a file in there."""
        if not self.database:
            return ""
        name = "ratchet_proof_" + "_".join(folder.parts[-2:]).replace("-", "_").replace(".", "_")
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return make_url(self.database).set(database=name).render_as_string(hide_password=False)


def year(folder: Path, seed: int, plan: Plan) -> dict[str, Any]:
    """Replay a whole year and hold it against what it must show."""
    database = plan.new_database(folder)
    begun = time.monotonic()
    figures = killing.run_demo(folder, until="", seed=seed, database=database)
    seconds = time.monotonic() - begun
    levels = {month["month"]: month["level"] for month in figures["months"]}  # type: ignore[attr-defined]
    for level, month in DUE.items():
        late = {name: found for name, found in levels.items() if name >= month and found < level}
        assert not late, f"seed {seed}: level {level} is due from {month} on, found {late}"
    assert figures["gain"] >= MINIMUM_GAIN, f"seed {seed}: {figures}"  # type: ignore[operator]
    assert figures["gain_low"] > 0, f"seed {seed}: {figures}"  # type: ignore[operator]
    assert figures["closures"] >= 1, f"seed {seed}: the loop never closed by itself"  # type: ignore[operator]
    lines = killing.export(folder)
    events = ledger_checker.read(lines)
    assert ledger_checker.gaps(events) == []
    assert ledger_checker.orphans(events) == []
    agree(folder, lines)
    names = ("gain", "gain_low", "gain_high", "closures", "trainings", "deployments", "refused", "flights", "events")
    return {"seed": seed, "seconds": round(seconds), **{name: figures[name] for name in names}, "levels": levels}


def agree(folder: Path, lines: list[str]) -> dict[str, dict[str, int]]:
    """Compare the oracle's levels with ours at each month's end, and return them by policy."""
    found = {}
    with Workspace(folder) as workspace:
        for policy in ("standard", "strict"):
            months = oracle.month_ends(lines, POLICIES / f"{policy}.toml", PIPELINE, ZONE)
            theirs = {month: level for month, level in months.items() if month <= "2013-12"}
            ours = {
                month: workspace.level(PIPELINE, policy=policy, as_of=ledger_checker.month_end(month)).level
                for month in theirs
            }
            assert ours == theirs, f"{policy}: the oracle finds {theirs}, we find {ours}"
            found[policy] = theirs
    return found


def control(folder: Path, scenario: str, plan: Plan) -> dict[str, Any]:
    """Replay a year with something left out and hold its levels against what that must lead to."""
    killing.run_demo(folder, until="", seed=1, scenario=scenario, database=plan.new_database(folder))
    levels = agree(folder, killing.export(folder))
    for policy, (highest, last) in CONTROLS[scenario].items():
        by_month = levels[policy]
        final = by_month["2013-12"]
        assert max(by_month.values()) <= highest, f"{scenario}, {policy}: {by_month}"
        assert final == last, f"{scenario}, {policy}: ends at {final}, expected {last}: {by_month}"
    return {"scenario": scenario, "levels": levels}


def kills(folder: Path, seed: int, asked: Plan) -> dict[str, Any]:
    """Kill at seeded moments and once at every fault point, and compare with an undisturbed run on a file."""
    until = asked.until
    killing.run_demo(folder / "calm", until=until, seed=seed)
    plan = killing.plan(seed, timed=asked.timed)
    database = asked.new_database(folder)
    record = killing.run_killed(folder / "killed", plan, until=until, seed=seed, database=database)
    calm, killed = (ledger_checker.read(killing.export(folder / name)) for name in ("calm", "killed"))
    found = ledger_checker.differences(calm, killed)
    assert found == [], f"{len(found)} differences, the first: " + "; ".join(found[:20])
    missed = [kill.point or kill.victim for kill in plan]
    for done in record.kills:
        missed.remove(done)
    assert missed == [], f"the demo came to its end before {missed}"
    return {"kills": len(record.kills), "done": sorted(record.kills), "events": len(killed)}


def parts(folder: Path, plan: Plan) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return all parts of the proof by name."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for seed in (1, 2, 3):
        found[f"year-{seed}"] = lambda seed=seed: year(folder / f"year-{seed}", seed, plan)
    for scenario in CONTROLS:
        found[scenario] = lambda scenario=scenario: control(folder / scenario, scenario, plan)
    found["kills"] = lambda: kills(folder / "kills", 1, plan)
    return found


def main() -> int:
    """Run the parts and print what each showed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo-proof"))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--database", default="", help="a PostgreSQL server, as postgresql://USER@HOST/postgres")
    parser.add_argument("--timed", type=int, default=Plan.timed, help="kills at moments of their own")
    parser.add_argument("--until", default=Plan.until, help="last day of the demo that is killed")
    options = parser.parse_args()
    plan = Plan(database=options.database, timed=options.timed, until=options.until)
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, run in parts(options.folder, plan).items():
        if options.only and name not in options.only:
            continue
        shutil.rmtree(options.folder / name, ignore_errors=True)
        begun = time.monotonic()
        try:
            shown = run()
        except AssertionError as error:
            failed += 1
            shown = {"failed": str(error)}
        shown["minutes"] = round((time.monotonic() - begun) / 60, 1)
        sys.stdout.write(f"{name}: {json.dumps(shown)}\n")
        sys.stdout.flush()
        with (options.folder / "figures.jsonl").open("a") as file:
            file.write(json.dumps({"part": name, **shown}) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
