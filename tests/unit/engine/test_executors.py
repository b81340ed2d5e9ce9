"""Children that crash, hang, grow, are cancelled or killed: none takes the parent with it, and finished steps stay."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet import clock
from ratchet.engine import wire
from ratchet.engine.executors import Limits, Session, Task, Zygotes, describe_request, kill_quietly, log_file
from ratchet.errors import (
    ChildDied,
    MemoryExceeded,
    NoChild,
    NondeterministicPipeline,
    RunCancelled,
    StepFailed,
    StepTimeout,
)
from tests.killing import children_of, is_spare, working_children_of
from tests.waiting import is_alive, until

Execute = Callable[[], wire.Frame]


class Recorder:
    """Stands in for durable steps: remembers each answer by its place, and gives it again."""

    def __init__(self) -> None:
        self.answers: dict[int, wire.Frame] = {}
        self.asked: list[str] = []

    def __call__(self, request: wire.Frame, execute: Execute) -> wire.Frame:
        """Answer a step from now or from before, and a call with its parameters."""
        self.asked.append(describe_request(request))
        if request["op"] == "call":
            return {"value": request["parameters"]}
        if request["index"] not in self.answers:
            self.answers[request["index"]] = execute()
        return self.answers[request["index"]]


@pytest.fixture(scope="module")
def zygotes() -> Iterator[Zygotes]:
    """One zygote for all tests of this file."""
    zygotes = Zygotes(preload=["json", "no_such_module"])
    yield zygotes
    zygotes.close()


@pytest.fixture
def session(zygotes: Zygotes, tmp_path: Path) -> Callable[..., Session]:
    """Make a conversation about a body of ``bodies.py``."""

    def make(
        body: str, *, limits: Limits | None = None, is_cancelled: Callable[[], bool] = lambda: False, **spec: Any
    ) -> Session:
        task = Task(
            name=body,
            entry=f"tests.unit.engine.bodies:{body}",
            spec={"folder": str(tmp_path), **spec},
            log=log_file(tmp_path / "logs", body),
        )
        return Session(zygotes, task, limits=limits or Limits(), is_cancelled=is_cancelled)

    return make


def trace(folder: Path) -> list[str]:
    """Return what the bodies noted."""
    return (folder / "trace").read_text().split()


def child_of(folder: Path) -> int:
    """Return the process id of the child that hangs."""
    return int((folder / "pids").read_text().split()[0])


def test_steps_run_in_the_child(session: Callable[..., Session], tmp_path: Path) -> None:
    """Each step is asked for, computed once in the child, and its value reaches the body."""
    recorder = Recorder()
    conversation = session("steps")
    assert conversation.converse(recorder) == [1, 1, {"rows": 2}]
    assert recorder.asked == ["step 1 'first'", "step 2 'second'", "call 3 'sample'"]
    assert (conversation.steps, trace(tmp_path)) == (3, ["first", "second"])


def test_what_was_loaded_is_not_collected_again(session: Callable[..., Session]) -> None:
    """A collector that walks over it would write into each object, and its memory would no longer be shared."""
    is_frozen, is_seen = session("collects").converse(Recorder())
    assert is_frozen
    assert not is_seen


@pytest.fixture
def begun(session: Callable[..., Session], tmp_path: Path) -> Callable[..., tuple[Session, int]]:
    """Have a child begin with a body before it is asked, and give its number beside the conversation."""

    def make(body: str, **limits: Any) -> tuple[Session, int]:
        # Only a zygote that has loaded what it needs gives a child at once.
        assert session("steps").converse(Recorder()) == [1, 1, {"rows": 2}]
        conversation = session(body, limits=Limits(**limits))
        conversation.begin()
        until((tmp_path / "pids").exists, "the child at work")
        return conversation, child_of(tmp_path)

    return make


def test_a_child_begins_before_it_is_asked(begun: Callable[..., tuple[Session, int]]) -> None:
    """It has come as far as its first question when the conversation begins, and the same child goes on."""
    conversation, number = begun("steps_in")
    assert conversation.converse(Recorder()) == number


def test_a_child_that_began_for_nothing_is_ended(begun: Callable[..., tuple[Session, int]]) -> None:
    """Also one that hangs in the code that it loads, and would never find out that nobody is there."""
    conversation, number = begun("hangs_at_once")
    conversation.close()
    until(lambda: not is_alive(number), "its end")


def test_a_child_that_died_before_it_was_asked_is_replaced(begun: Callable[..., tuple[Session, int]]) -> None:
    """That counts as one of its deaths, and another one does the task."""
    conversation, number = begun("steps_in", attempts=2)
    os.kill(number, signal.SIGKILL)
    assert conversation.converse(Recorder()) != number


class MuteChildren:
    """Children that say nothing and read nothing, as a zygote gives them that stands still."""

    is_ready = True

    def __init__(self) -> None:
        self.others: list[socket.socket] = []

    def new_child(self) -> socket.socket:
        """Give one end of a connection whose other end nobody looks at."""
        ours, theirs = socket.socketpair()
        self.others.append(theirs)
        return ours

    def exit_reason(self, _pid: int) -> str:
        """Say how a child ended."""
        return "signal 9"


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_child_that_never_reads_is_given_up_at_the_limit(tmp_path: Path, has_begun: bool) -> None:
    """Whatever it should be told, and however much that is."""
    children = MuteChildren()
    task = Task(name="steps", entry="x:y", spec={"much": "x" * 4_000_000}, log=str(tmp_path / "log"))
    conversation = Session(children, task, limits=Limits(timeout_seconds=0.2), is_cancelled=lambda: False)
    if has_begun:
        conversation.begin()
    with pytest.raises(StepTimeout):
        conversation.converse(Recorder())
    assert len(children.others) == 1 + has_begun
    for one in children.others:
        one.close()


def test_nobody_waits_for_a_zygote_to_begin(tmp_path: Path) -> None:
    """Where none has loaded what it needs, there is nothing to begin with, and the conversation starts one."""
    zygotes = Zygotes()
    task = Task(
        name="steps",
        entry="tests.unit.engine.bodies:steps",
        spec={"folder": str(tmp_path)},
        log=log_file(tmp_path / "logs", "steps"),
    )
    begun = Session(zygotes, task, limits=Limits(), is_cancelled=lambda: False)
    begun.begin()
    assert zygotes.pid is None
    begun.close()
    assert begun.converse(Recorder()) == [1, 1, {"rows": 2}]
    assert zygotes.is_ready
    zygotes.close()


def test_a_zygote_that_ends_while_it_loads_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wants a child is told how it ended, after three starts."""
    (tmp_path / "ends_at_once.py").write_text(
        "import os, pathlib\n"
        "with (pathlib.Path(__file__).parent / 'starts').open('a') as file:\n    file.write('x')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    zygotes = Zygotes(preload=["ends_at_once"])
    with pytest.raises(NoChild, match=r"it ended while it was loading libraries \(signal 9, SIGKILL\), 3 times"):
        zygotes.new_child()
    assert (tmp_path / "starts").read_text() == "xxx"
    zygotes.close()


def test_a_system_that_gives_no_process_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is passed on, and once it gives one again, children are to be had."""
    zygotes = Zygotes()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(NoChild, match=r"it could not be started \(.*No such file"):
            zygotes.new_child()
    zygotes.new_child().close()
    zygotes.close()


def test_children_that_nobody_asks_about_hold_nobody_up(zygotes: Zygotes, session: Callable[..., Session]) -> None:
    """How a child ended is told, and mostly not asked for: more of that than a socket holds is in nobody's way."""
    for connection in [zygotes.new_child() for _ in range(400)]:
        connection.close()
    assert zygotes.pid is not None
    until(lambda: not working_children_of(zygotes.pid or 0), "the end of all children")
    assert session("steps").converse(Recorder()) == [1, 1, {"rows": 2}]
    with pytest.raises(ChildDied, match="SIGKILL"):
        session("dies", times=99).converse(Recorder())


def test_a_child_is_kept_in_hand(zygotes: Zygotes, session: Callable[..., Session]) -> None:
    """While none is under way, one that was forked already waits; it carries out the next task, and another follows."""
    assert session("steps").converse(Recorder()) == [1, 1, {"rows": 2}]
    spares = []
    for _ in range(2):
        until(lambda: [is_spare(pid) for pid in children_of(zygotes.pid or 0)] == [True], "a child in hand")
        spares += children_of(zygotes.pid or 0)
        assert session("tells_its_number").converse(Recorder()) == spares[-1]
    assert len(set(spares)) == 2


def test_a_child_in_hand_that_was_killed_is_replaced(zygotes: Zygotes, session: Callable[..., Session]) -> None:
    """A task that comes after its end gets a child all the same, and so does one that comes before anybody saw it."""
    assert session("tells_its_number").converse(Recorder()) > 0
    for _ in range(3):
        until(lambda: any(is_spare(pid) for pid in children_of(zygotes.pid or 0)), "a child in hand")
        for pid in children_of(zygotes.pid or 0):
            kill_quietly(pid)
        assert session("tells_its_number").converse(Recorder()) > 0


@pytest.mark.parametrize("ends", ["", "1"])
def test_a_child_in_hand_that_is_not_ready_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Where it hangs or ends while it warms up, who asks gets a child all the same, and is not told of its ends."""
    monkeypatch.setenv("SPARE_ENDS", ends)
    zygotes = Zygotes(preload=["tests.unit.engine.hanging"])
    try:
        for number in range(3):
            task = Task(
                name="task",
                entry="tests.unit.engine.bodies:tells_its_number",
                spec={},
                log=log_file(tmp_path / "logs", str(number)),
            )
            session = Session(zygotes, task, limits=Limits(), is_cancelled=lambda: False)
            assert session.converse(Recorder()) > 0
            clock.sleep(0.1)
        assert len(zygotes._exits) <= 3
    finally:
        zygotes.close()


def test_children_beside_one_another(zygotes: Zygotes, session: Callable[..., Session]) -> None:
    """Who asks while the child in hand is taken gets one that is forked for it, and none waits for another."""
    connections = [zygotes.new_child() for _ in range(3)]
    pids = [wire.receive(connection)["pid"] for connection in connections]
    assert len(set(pids)) == 3
    for connection in connections:
        connection.close()
    assert session("steps").converse(Recorder()) == [1, 1, {"rows": 2}]


def test_the_body_goes_on_while_a_step_is_recorded(session: Callable[..., Session], tmp_path: Path) -> None:
    """What stands between two steps is done meanwhile; the next step is not computed before the first is recorded."""
    recorder, seen = Recorder(), []

    def record(request: wire.Frame, execute: Execute) -> wire.Frame:
        answer = recorder(request, execute)
        if request["name"] == "first":
            until(lambda: trace(tmp_path)[-1] == "between", "the body to go on")
            seen.extend(trace(tmp_path))
        return answer

    assert session("dies_between_steps", times=0).converse(record) == 1
    assert (seen, trace(tmp_path)) == (["first", "between"], ["first", "between", "second"])


def test_a_body_ends_after_its_last_step_was_recorded(session: Callable[..., Session], tmp_path: Path) -> None:
    """The child that has nothing more to ask waits until its last step is recorded, so no other one takes over."""
    recorder = Recorder()

    def record(request: wire.Frame, execute: Execute) -> wire.Frame:
        answer = recorder(request, execute)
        clock.sleep(0.05)
        return answer

    assert session("dies_between_steps", times=0).converse(record) == 1
    assert recorder.asked == ["step 1 'first'", "step 2 'second'"]
    assert trace(tmp_path) == ["first", "between", "second"]


def test_large_values_do_not_meet(session: Callable[..., Session]) -> None:
    """The next question is on its way while a step is recorded: more than a socket holds does not block the reply."""
    assert session("large").converse(Recorder()) == 600_000


def test_recorded_steps_do_not_run_again(session: Callable[..., Session], tmp_path: Path) -> None:
    """A run that is taken over gets the recorded answers and computes only what is new."""
    recorder = Recorder()
    recorder.answers[0] = {"value": "recorded"}
    assert session("steps").converse(recorder) == ["recorded", 1, {"rows": 2}]
    assert trace(tmp_path) == ["second"]


def test_recorded_errors_are_raised_again(session: Callable[..., Session]) -> None:
    """A step that failed before fails again at replay, with the same words, and is not tried."""
    recorder = Recorder()
    recorder.answers[0] = {"error": {"step": "first", "error_type": "KeyError", "message": "'x'", "traceback": ""}}
    with pytest.raises(StepFailed, match="Step 'first' failed: KeyError: 'x'"):
        session("steps").converse(recorder)


def test_crash_is_survived(session: Callable[..., Session], tmp_path: Path) -> None:
    """A child that dies in a step is replaced: the step runs again, those before it do not."""
    assert session("dies", times=1).converse(Recorder()) == "survived"
    assert trace(tmp_path) == ["first", "second", "second"]


def test_crash_between_steps_is_survived(session: Callable[..., Session], tmp_path: Path) -> None:
    """A child that dies between two steps is replaced, and is led to where the last one was."""
    assert session("dies_between_steps", times=2).converse(Recorder()) == 1
    assert trace(tmp_path) == ["first", "between", "between", "between", "second"]


@pytest.mark.parametrize(
    ("body", "reason", "doing"),
    [("dies", "signal 9, SIGKILL", "second"), ("dies_between_steps", "exit code 3", "dies_between_steps")],
)
def test_dying_each_time_ends_the_run(
    session: Callable[..., Session], tmp_path: Path, body: str, reason: str, doing: str
) -> None:
    """After three deaths at one place the run ends, with the reason and the place."""
    with pytest.raises(ChildDied) as caught:
        session(body, times=99).converse(Recorder())
    assert (caught.value.step, caught.value.reason, caught.value.attempts) == (doing, reason, 3)
    assert trace(tmp_path).count("first") == 1


@pytest.mark.parametrize(("in_step", "doing"), [(True, "hanging"), (False, "hangs")])
def test_hanging_ends_at_the_limit(
    session: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_step: bool, doing: str
) -> None:
    """A child that hangs, in a step or between two, is killed when its time is up."""
    # Time flies once it hangs, and not before: a machine that is slow to start the child is no reason to stop it.
    minutes = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "monotonic", lambda: 60.0 * next(minutes) if (tmp_path / "hanging").exists() else 0.0)
        conversation = session("hangs", limits=Limits(timeout_seconds=90.0), in_step=in_step)
        with pytest.raises(StepTimeout, match=rf"'{doing}' was stopped: it ran longer than 90 s"):
            conversation.converse(Recorder())
    until(lambda: not is_alive(child_of(tmp_path)), "the end of the child")


def test_growing_ends_at_the_limit(session: Callable[..., Session]) -> None:
    """A child that takes more memory than it may is killed, and the message says how much."""
    with pytest.raises(MemoryExceeded, match="'growing' was stopped") as caught:
        session("grows", limits=Limits(memory_mb=150)).converse(Recorder())
    assert caught.value.used_mb > caught.value.limit_mb == 150


@pytest.mark.parametrize("in_step", [True, False])
def test_cancelling_kills_the_child(session: Callable[..., Session], tmp_path: Path, in_step: bool) -> None:
    """A cancelled run ends while its step still works, and the child with it; it is no crash to be tried again."""
    conversation = session("hangs", is_cancelled=(tmp_path / "pids").exists, in_step=in_step)
    with pytest.raises(RunCancelled):
        conversation.converse(Recorder())
    until(lambda: not is_alive(child_of(tmp_path)), "the end of the child")
    spent = conversation.broken_off
    if not in_step:
        assert spent is None
        return
    assert spent is not None
    assert (spent["step"], spent["index"]) == ("hanging", 0)
    assert spent["wall_seconds"] > 0
    assert spent["cpu_seconds"] >= 0
    assert spent["peak_memory_mb"] > 1


def test_another_sequence_at_replay_is_refused(session: Callable[..., Session]) -> None:
    """A body that asks for another step in its second life fails loudly, and both steps are named."""
    with pytest.raises(NondeterministicPipeline) as caught:
        session("changes_its_mind").converse(Recorder())
    assert (caught.value.expected, caught.value.found) == ("step 1 'life 1'", "step 1 'life 2'")


def test_errors_of_the_user_come_whole(session: Callable[..., Session], tmp_path: Path) -> None:
    """An error of the user's code has its type, message and traceback, and a body may catch it."""
    with pytest.raises(StepFailed) as caught:
        session("raises").converse(Recorder())
    error = caught.value
    assert (error.step, error.error_type, error.message) == ("raised", "ValueError", "bad {row}")
    assert "in fail" in error.traceback
    assert "caught Step 'caught' failed: ValueError: bad {row}" in (tmp_path / "logs" / "raises.log").read_text()


def test_leaving_python_is_an_error(session: Callable[..., Session]) -> None:
    """A body that calls sys.exit has failed."""
    with pytest.raises(StepFailed, match="'exits' failed: SystemExit: 4"):
        session("exits").converse(Recorder())


def test_missing_entry_is_an_error(session: Callable[..., Session]) -> None:
    """An entry that does not exist is reported as what it is."""
    with pytest.raises(StepFailed, match=r"AttributeError.*no_such_body"):
        session("no_such_body").converse(Recorder())


def test_prints_are_in_the_log_when_the_step_is_done(session: Callable[..., Session], tmp_path: Path) -> None:
    """What a body prints is in its log: of a step, before the step counts as done."""
    log = tmp_path / "logs" / "prints.log"
    seen: list[str] = []

    def record(_request: wire.Frame, execute: Execute) -> wire.Frame:
        answer = execute()
        seen.append(log.read_text())
        return answer

    session("prints").converse(record)
    # What the body prints afterwards may be there as well: it goes on while the step is recorded.
    assert [text.startswith("from the body\nfrom the step\n") for text in seen] == [True]
    assert log.read_text() == "from the body\nfrom the step\nto stderr\n"


def test_steps_are_metered(session: Callable[..., Session]) -> None:
    """A step's answer has its processor seconds, wall seconds and the peak of memory."""
    recorder = Recorder()
    session("meters").converse(recorder)
    cost = recorder.answers[0]["cost"]
    assert cost["cpu_seconds"] > 0
    assert cost["wall_seconds"] > 0
    assert cost["peak_memory_mb"] > 64


def test_no_child_outlives_its_run(session: Callable[..., Session], tmp_path: Path) -> None:
    """A run whose recorder fails leaves no child behind."""

    def fail(_request: wire.Frame, _execute: Execute) -> wire.Frame:
        message = "the database is gone"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="the database is gone"):
        session("hangs", in_step=True).converse(fail)
    until(lambda: not is_alive(child_of(tmp_path)), "the end of the child")


def test_killed_zygote_is_replaced(session: Callable[..., Session], zygotes: Zygotes) -> None:
    """After the zygote was killed, the next task gets a child of a new one."""
    session("steps").converse(Recorder())
    before = zygotes.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: not is_alive(before), "the end of the zygote")
    assert session("steps").converse(Recorder())[2] == {"rows": 2}
    assert zygotes.pid not in (None, before)


def test_zygote_killed_under_a_run_costs_one_attempt(
    session: Callable[..., Session], zygotes: Zygotes, tmp_path: Path
) -> None:
    """A child dies with its zygote; the run goes on in a child of the next one."""
    killed: list[int] = []

    def record(request: wire.Frame, execute: Execute) -> wire.Frame:
        if request["name"] == "second" and not killed:
            assert zygotes.pid is not None
            killed.append(zygotes.pid)
            os.kill(zygotes.pid, signal.SIGKILL)
            until(lambda: not is_alive(killed[0]), "the end of the zygote")
        return execute()

    assert session("dies", times=0).converse(record) == "survived"
    assert trace(tmp_path) == ["first", "second"]


def test_close_ends_all() -> None:
    """Closing ends the zygote; forking afterwards starts another one."""
    zygotes = Zygotes()
    assert zygotes.pid is None
    zygotes.new_child().close()
    pid = zygotes.pid
    assert pid is not None
    zygotes.close()
    assert zygotes.pid is None
    until(lambda: not is_alive(pid), "the end of the zygote")
    zygotes.new_child().close()
    assert zygotes.pid not in (None, pid)
    zygotes.close()


def test_closing_what_never_started() -> None:
    """Closing before anything was started is quiet."""
    Zygotes().close()


EARLY = """
import os
from pathlib import Path
from ratchet.engine.executors import Zygotes
zygotes = Zygotes()
zygotes.start()
zygotes.new_child().close()
children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
print(len(children))
os._exit(0)
"""


def test_starting_early_starts_one_zygote() -> None:
    """A fork that comes while the zygote loads waits for it, and does not start another one."""
    found = subprocess.run([sys.executable, "-c", EARLY], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "1"


HOST = """
import sys
from ratchet.engine.executors import Limits, Session, Task, Zygotes
task = Task(name="hangs", entry="tests.unit.engine.bodies:hangs",
            spec={"folder": sys.argv[1], "in_step": True}, log=sys.argv[1] + "/log")
session = Session(Zygotes(), task, limits=Limits(), is_cancelled=lambda: False)
session.converse(lambda request, execute: execute())
"""


def test_killed_parent_takes_all_with_it(tmp_path: Path) -> None:
    """When the parent is killed, its zygote and its child die, too: nobody works on for nobody."""
    host = subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)])
    pids = tmp_path / "pids"
    until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the child")
    child, zygote = map(int, pids.read_text().split())
    assert is_alive(child)
    assert is_alive(zygote)
    host.kill()
    host.wait()
    until(lambda: not is_alive(child) and not is_alive(zygote), "the end of zygote and child")


def test_killing_what_is_gone_is_quiet() -> None:
    """A process that is gone already is no error."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    kill_quietly(process.pid)
