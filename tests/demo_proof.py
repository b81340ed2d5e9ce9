"""The long proof of the demo: the year with seeds 1 to 3, the controls, and twenty kills and all fault points.

Run by ``make demo-proof``. Each part writes its figures as it is done, so that a run that breaks off keeps them; with
``--only PART`` one part is run.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def year(folder: Path, seed: int) -> dict[str, Any]:
    """Replay a whole year and hold it against what it must show."""
    begun = time.monotonic()
    figures = killing.run_demo(folder, until="", seed=seed)
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


def control(folder: Path, scenario: str) -> dict[str, Any]:
    """Replay a year with something left out and hold its levels against what that must lead to."""
    killing.run_demo(folder, until="", seed=1, scenario=scenario)
    levels = agree(folder, killing.export(folder))
    for policy, (highest, last) in CONTROLS[scenario].items():
        by_month = levels[policy]
        final = by_month["2013-12"]
        assert max(by_month.values()) <= highest, f"{scenario}, {policy}: {by_month}"
        assert final == last, f"{scenario}, {policy}: ends at {final}, expected {last}: {by_month}"
    return {"scenario": scenario, "levels": levels}


def kills(folder: Path, seed: int) -> dict[str, Any]:
    """Kill twenty times at seeded moments and once at every fault point, and compare with an undisturbed run."""
    until = "2013-09-30"
    killing.run_demo(folder / "calm", until=until, seed=seed)
    plan = killing.plan(seed, timed=20)
    record = killing.run_killed(folder / "killed", plan, until=until, seed=seed)
    calm, killed = (ledger_checker.read(killing.export(folder / name)) for name in ("calm", "killed"))
    found = ledger_checker.differences(calm, killed)
    assert found == [], f"{len(found)} differences, the first: " + "; ".join(found[:20])
    missed = [kill.point or kill.victim for kill in plan]
    for done in record.kills:
        missed.remove(done)
    assert missed == [], f"the demo came to its end before {missed}"
    return {"kills": len(record.kills), "done": sorted(record.kills), "events": len(killed)}


def parts(folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return all parts of the proof by name."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for seed in (1, 2, 3):
        found[f"year-{seed}"] = lambda seed=seed: year(folder / f"year-{seed}", seed)
    for scenario in CONTROLS:
        found[scenario] = lambda scenario=scenario: control(folder / scenario, scenario)
    found["kills"] = lambda: kills(folder / "kills", 1)
    return found


def main() -> int:
    """Run the parts and print what each showed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/demo-proof"))
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, run in parts(options.folder).items():
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
