"""What becomes of events that were accepted when the server is killed: ours and Prefect's, by the same test.

Invariant: an event counts as accepted when its request was answered, and nothing is sent again after the restart.
"""

import sys
import time
from pathlib import Path
from typing import Any

from bench.rig import servers
from bench.rig.environments import Missing
from bench.rig.reacting import OURS, PEERS, Platform
from bench.rig.results import Goal, Section

EVENTS = 100
KILLED_AFTER_SECONDS = (1.0, 5.0)
# Ours is done with a hundred events by then: killed at once, it still has nearly all of them to act on.
OURS_KILLED_AFTER_SECONDS = (0.0, *KILLED_AFTER_SECONDS)
LOOKS_SECONDS = (25.0, 60.0)
_LOOK_SECONDS = 0.2


def trial(platform: Platform, folder: Path, pause_seconds: float) -> dict[str, Any]:
    """Send the events, kill the server, start it again, and return how many were acted on by when."""
    with platform.start(folder) as side:
        side.send(1)
        before = side.wait(1, limit_seconds=30, look_seconds=_LOOK_SECONDS)
        side.send(EVENTS)
        time.sleep(pause_seconds)
        side.server.kill()
        side.server.start()
        began = time.monotonic()
        row: dict[str, Any] = {"what": platform.name, "killed_after_s": pause_seconds}
        found = 0
        for seconds in LOOKS_SECONDS:
            left = began + seconds - time.monotonic()
            found = side.wait(before + EVENTS, limit_seconds=max(0.0, left), look_seconds=_LOOK_SECONDS) - before
            row[f"acted_on_within_{seconds:.0f}_s"] = found
        if found > EVENTS:
            row["acted_on_twice"] = found - EVENTS
        return {**row, "lost": max(0, EVENTS - found), "lock_errors": side.lock_errors()}


def run() -> dict[str, Any]:
    """Measure and print."""
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    with servers.scratch() as folder:
        for platform in (*OURS, *PEERS):
            for pause in OURS_KILLED_AFTER_SECONDS if platform in OURS else KILLED_AFTER_SECONDS:
                try:
                    rows.append(trial(platform, folder / f"{platform.name}-{pause}".replace(" ", "-"), pause))
                except (Missing, OSError) as error:
                    skipped[f"{platform.name}, killed after {pause:.0f} s"] = str(error)
                    sys.stdout.write(f"  SKIPPED {platform.name}: {error}\n")
    ours = [one.name for one in OURS]
    goals = [
        Goal("at most", f"{row['what']}, killed after {row['killed_after_s']:.0f} s, events lost", row["lost"], 0)
        for row in rows
        if row["what"] in ours
    ]
    section = Section(
        title="Accepted events at kill -9",
        about=(
            f"{EVENTS} events are sent in one request. So many seconds after it was answered the server is killed "
            "with `kill -9` and started again; databases and Redis go on running. One trial of each kind."
        ),
        rows=rows,
        goals=goals,
        skipped=skipped,
    )
    return section.publish()


if __name__ == "__main__":
    run()
