"""Bodies that children carry out in the tests of the executors; each leaves traces in the folder of its spec."""

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ratchet import clock
from ratchet.engine.child import Child

Spec = dict[str, Any]


def note(spec: Spec, line: str) -> int:
    """Write a line to the trace and return how many such lines there are now."""
    trace = Path(spec["folder"]) / "trace"
    with trace.open("a") as file:
        file.write(f"{line}\n")
    return trace.read_text().split("\n").count(line)


def steps(child: Child, spec: Spec) -> Any:
    """Ask for two steps and a call, and return what they gave."""
    first = child.step({"name": "first"}, lambda: note(spec, "first"))
    second = child.step({"name": "second"}, lambda: note(spec, "second"))
    return [first, second, child.call("sample", {"rows": 2})]


def tells_its_number(_child: Child, _spec: Spec) -> int:
    """Return the number of the process."""
    return os.getpid()


def collects(_child: Child, _spec: Spec) -> Any:
    """Collect what is no longer used, and return whether the collector passed over what was loaded before the fork."""
    gc.collect()
    return [gc.get_freeze_count() > 0, any(one is os.__dict__ for one in gc.get_objects())]


def large(child: Child, _spec: Spec) -> Any:
    """Give a step's large value to the next step."""
    value = child.step({"name": "first"}, lambda: "x" * 600_000)
    return child.step({"name": "second", "arguments": value}, lambda: len(value))


def dies(child: Child, spec: Spec) -> Any:
    """Do one step, then a second one that kills its process in the first ``times`` attempts."""
    child.step({"name": "first"}, lambda: note(spec, "first"))

    def die() -> str:
        if note(spec, "second") <= spec["times"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    return child.step({"name": "second"}, die)


def dies_between_steps(child: Child, spec: Spec) -> Any:
    """Do one step, then kill the process outside of any step in the first ``times`` attempts."""
    child.step({"name": "first"}, lambda: note(spec, "first"))
    if note(spec, "between") <= spec["times"]:
        os._exit(3)
    return child.step({"name": "second"}, lambda: note(spec, "second"))


def hangs(child: Child, spec: Spec) -> Any:
    """Tell the process ids and wait for ever, in a step or between two; a file says that the waiting has begun."""
    _tell_number(spec)

    def wait() -> None:
        (Path(spec["folder"]) / "hanging").touch()
        while True:
            clock.sleep(0.05)

    return child.step({"name": "hanging"}, wait) if spec["in_step"] else wait()


def _tell_number(spec: Spec) -> None:
    file = Path(spec["folder"]) / "pids"
    file.with_suffix(".new").write_text(f"{os.getpid()} {os.getppid()}\n")
    file.with_suffix(".new").rename(file)


def steps_in(child: Child, spec: Spec) -> Any:
    """Tell the process ids, and say in a step which process carries it out."""
    _tell_number(spec)
    return child.step({"name": "number"}, os.getpid)


def hangs_at_once(_child: Child, spec: Spec) -> Any:
    """Tell the process ids, and hang before anything is asked for."""
    _tell_number(spec)
    clock.sleep(600)


def grows(child: Child, spec: Spec) -> Any:
    """Take more memory than a test allows, and keep it: a parent that is slow to look must not cost the machine all."""
    taken: list[bytearray] = []

    def grow() -> None:
        while True:
            if len(taken) < 25:
                taken.append(bytearray(os.urandom(1 << 20) * 20))
            clock.sleep(0.02)

    return child.step({"name": "growing"}, grow)


def changes_its_mind(child: Child, spec: Spec) -> Any:
    """Ask for a step under another name in each life."""
    child.step({"name": f"life {note(spec, 'life')}"}, lambda: 1)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return child.step({"name": "dies"}, die)


def raises(child: Child, _spec: Spec) -> Any:
    """Catch the error of one step, and let that of the next one through."""

    def fail() -> None:
        message = "bad {row}"
        raise ValueError(message)

    try:
        child.step({"name": "caught"}, fail)
    except Exception as error:  # noqa: BLE001, as careless as users are
        print(f"caught {error}")
    return child.step({"name": "raised"}, fail)


def exits(_child: Child, _spec: Spec) -> Any:
    """Leave Python, as a careless library may."""
    sys.exit(4)


def prints(child: Child, _spec: Spec) -> Any:
    """Print in the body, in a step and to the error stream."""
    print("from the body")
    child.step({"name": "step"}, lambda: print("from the step"))
    print("to stderr", file=sys.stderr)
    return None


def meters(child: Child, _spec: Spec) -> Any:
    """Use processor time and memory in a step."""

    def work() -> int:
        taken = bytearray(os.urandom(1 << 20) * 64)
        return sum(number * number for number in range(200_000)) % 7 + len(taken) * 0

    return child.step({"name": "work"}, work)
