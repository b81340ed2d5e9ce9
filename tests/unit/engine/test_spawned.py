"""Children without a zygote."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ratchet.engine.executors import Limits, Session, Task
from ratchet.engine.spawned import Spawned
from ratchet.errors import ChildDied
from tests.waiting import is_alive, next_line, until

BODIES = "tests.unit.engine.bodies"


def converse(tmp_path: Path, body: str, **spec: object) -> Any:
    """Talk with spawned children about a body, and return its result."""
    task = Task(name="body", entry=f"{BODIES}:{body}", spec=spec, log=str(tmp_path / "log"))
    limits = Limits(timeout_seconds=60, attempts=2)
    with closing(Spawned()) as children:
        session = Session(children, task, limits=limits, is_cancelled=lambda: False)
        return session.converse(lambda _request, execute: execute())


def test_another_child_goes_on_where_one_died(tmp_path: Path) -> None:
    """A child that is killed is followed by another, which is given what was done."""
    assert converse(tmp_path, "dies", folder=str(tmp_path), times=1) == "survived"
    assert (tmp_path / "trace").read_text().split() == ["first", "second", "second"]


def test_a_child_that_dies_too_often_says_how(tmp_path: Path) -> None:
    """The error names the signal."""
    with pytest.raises(ChildDied, match="signal 9, SIGKILL"):
        converse(tmp_path, "dies", folder=str(tmp_path), times=9)


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """Nothing is left when the process that started it is killed."""
    program = (
        "from pathlib import Path; from tests.unit.engine.test_spawned import converse; "
        f"folder = Path({str(tmp_path)!r}); print('ready', flush=True); "
        "converse(folder, 'hangs', folder=str(folder), in_step=False)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        next_line(parent.stdout, "the parent")
        until((tmp_path / "hanging").exists, "the child")
        child, its_parent = map(int, (tmp_path / "pids").read_text().split())
        assert (its_parent, is_alive(child)) == (parent.pid, True)
        parent.kill()
    until(lambda: not is_alive(child), "the end of the child")
