"""Places at which a test may kill the process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from ratchet import faults

PASSES = "from ratchet import faults\nfor number in range(4): faults.point('clock.advanced'); print(number, flush=True)"


def passing(wanted: str) -> tuple[int, str]:
    """Pass a point four times in a process of its own; return how it ended and what it printed."""
    environment = {**os.environ, faults.VARIABLE: wanted}
    found = subprocess.run([sys.executable, "-c", PASSES], env=environment, capture_output=True, text=True, check=False)
    return found.returncode, found.stdout.replace("\n", "")


def test_process_dies_at_the_wanted_passage_once(tmp_path: Path) -> None:
    """The third passage kills the process; the file is gone then, so that the next process lives."""
    token = tmp_path / "token"
    token.touch()
    wanted = f"clock.advanced:3:{token}"
    assert passing(wanted) == (-signal.SIGKILL, "01")
    assert not token.exists()
    assert passing(wanted) == (0, "0123")


def test_another_point_does_nothing(tmp_path: Path) -> None:
    """A process that passes other points than the wanted one lives."""
    token = tmp_path / "token"
    token.touch()
    assert passing(f"step.computed:1:{token}") == (0, "0123")
    assert token.exists()


def test_without_the_variable_nothing_happens() -> None:
    """In production a point is a look at the environment."""
    assert faults.VARIABLE not in os.environ
    faults.point("clock.advanced")


def test_every_point_stands_once_in_the_code() -> None:
    """The list of points is that of the code: none is forgotten, none is made up."""
    source = Path(faults.__file__).parent
    text = "".join(path.read_text() for path in source.rglob("*.py") if path != Path(faults.__file__))
    assert sorted(set(re.findall(r"faults\.point\(\"([\w.]+)\"\)", text))) == sorted(faults.POINTS)
