"""A process that ticks for all schedules at one moment; two of them at once must tick once."""

import sys
from datetime import datetime
from pathlib import Path

from ratchet.automation.clockwork import Clockwork
from ratchet.engine.executors import Zygotes
from tests.loops import Stage


def main(folder: Path, moment: str) -> None:
    """Tick in the workspace of a folder, as soon as the other one is ready."""
    stage = Stage(folder, Zygotes(), settings=(folder / "ratchet.toml").read_text())
    clockwork = Clockwork(stage.resources)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{len(clockwork.tick(datetime.fromisoformat(moment)))}\n")
    stage.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
