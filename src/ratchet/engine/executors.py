"""Where bodies of user code run: in children forked from a zygote, watched by the parent.

Invariant: a child that hangs, grows too large, is cancelled or dies never takes the parent with it, and a child that
takes over is given the recorded answers, so that finished steps do not run again.
"""

import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ratchet import clock, faults
from ratchet.engine import wire
from ratchet.engine.child import status_mb
from ratchet.errors import (
    ChildDied,
    MemoryExceeded,
    NoChild,
    NondeterministicPipeline,
    RatchetError,
    RunCancelled,
    StepFailed,
    StepTimeout,
)
from ratchet.records import Record

POLL_SECONDS = 0.05
START_SECONDS = 600.0
REAP_SECONDS = 10.0
_HELLO_SECONDS = 1.0
_EXITS_KEPT = 256
_STARTS = 3


class Limits(Record, frozen=True):
    """What a child may use.

    Attributes:
        timeout_seconds: Wall time of one step, or of the body between two steps.
        memory_mb: Resident memory of the child.
        attempts: How often one step may be tried when its process dies.
    """

    timeout_seconds: float = 3600.0
    memory_mb: float = 8192.0
    attempts: int = 3


class Task(Record, frozen=True):
    """What a child is to do.

    Attributes:
        name: For messages.
        entry: ``module:function``, called with the child's side and the spec.
        spec: JSON values.
        log: File that gets what the child prints.
    """

    name: str
    entry: str
    spec: dict[str, Any]
    log: str


# Called for each step that a child asks for: (request, execute) -> answer. ``execute`` lets the child compute it.
Recorder = Callable[[wire.Frame, Callable[[], wire.Frame]], wire.Frame]


class Children(Protocol):
    """Where children come from."""

    @property
    def is_ready(self) -> bool:
        """Tell whether a child is to be had at once."""

    def new_child(self) -> socket.socket:
        """Return the socket of a fresh child."""

    def exit_reason(self, pid: int) -> str:
        """Return in words how a child ended."""


class Zygotes:
    """Keeps one zygote alive, starts it when it is first needed, and forks children from it.

    Args:
        preload: Modules that it loads before the first fork.
    """

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._wanted: queue.Queue[threading.Event | None] = queue.Queue()
        self._keeper: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started: threading.Event | None = None
        self._control: socket.socket | None = None
        self._exits: dict[int, int] = {}
        self._problem = ""

    @property
    def pid(self) -> int | None:
        """Return the zygote's process id, or ``None`` while it does not run."""
        process = self._process  # another thread may be about to end it
        return process.pid if process is not None and process.poll() is None else None

    @property
    def is_ready(self) -> bool:
        """Tell whether the zygote has loaded what it needs."""
        started = self._started  # another thread may be about to end it
        return started is not None and started.is_set() and self.pid is not None

    def start(self) -> None:
        """Begin to load the zygote; returns at once."""
        with self._lock:
            self._request_start()

    def new_child(self) -> socket.socket:
        """Return the socket of a fresh child.

        Raises:
            NoChild: The zygote ends again and again while it loads what it is to load.
        """
        reason = ""
        with self._lock:
            for _ in range(_STARTS):
                self._ensure_started()
                if (connection := self._ask_for_child()) is not None:
                    return connection
                reason = self._how_it_ended()
                self._stop_process()
        raise NoChild(reason=reason, attempts=_STARTS)

    def _ask_for_child(self) -> socket.socket | None:
        if self.pid is None:
            return None
        assert self._control is not None, "a running zygote has a control socket"
        self._drain()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"fork"], [theirs.fileno()])
            except OSError:
                ours.close()
                return None
        return ours

    def exit_reason(self, pid: int) -> str:
        """Return in words how a child ended."""
        deadline = clock.monotonic() + REAP_SECONDS
        while pid not in self._exits and clock.monotonic() < deadline:
            is_reaping = self.pid is not None
            with self._lock:
                self._drain()
            if not is_reaping:
                break
            clock.sleep(0.01)
        code = self._exits.pop(pid, None)
        return "the zygote ended" if code is None else in_words(code)

    def close(self) -> None:
        """End the zygote and all its children."""
        with self._lock:
            self._stop_process()
            if self._keeper is not None:
                self._wanted.put(None)
                self._keeper.join()
                self._keeper = None
            # One that was being started when the first call came.
            self._stop_process()

    def _ensure_started(self) -> None:
        self._request_start()
        assert self._started is not None, "it was requested"
        # One that is being started is waited for, not started again.
        assert self._started.wait(START_SECONDS), "a zygote loads its modules within ten minutes"

    def _how_it_ended(self) -> str:
        if self._process is None:
            return f"it could not be started ({self._problem})"
        try:
            return f"it ended while it was loading libraries ({in_words(self._process.wait(REAP_SECONDS))})"
        except subprocess.TimeoutExpired:
            return "it does not answer"

    def _request_start(self) -> None:
        # PR_SET_PDEATHSIG follows the thread that forks, not the process: one thread that lives as long as we do
        # starts every zygote.
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="zygote-keeper", daemon=True)
            self._keeper.start()
        if self._started is None:
            self._started = threading.Event()
            self._wanted.put(self._started)

    def _keep(self) -> None:
        while (started := self._wanted.get()) is not None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            command = [sys.executable, "-m", "ratchet.engine.zygote", str(theirs.fileno()), str(os.getpid())]
            # BLAS keeps threads from its import on, and a process with threads should not fork.
            environment = {
                **os.environ,
                "OPENBLAS_NUM_THREADS": "1",
                "JE_ARROW_MALLOC_CONF": "background_thread:false",
                # One core stays for the control plane and the endpoint: OpenMP threads that wait for a busy core spin.
                "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1))),
            }
            try:
                self._process = subprocess.Popen(  # noqa: S603, our own command line
                    [*command, *self._preload], pass_fds=[theirs.fileno()], env=environment
                )
            except OSError as error:
                self._problem = str(error)
            theirs.close()
            self._control = ours
            with suppress(OSError):
                ours.recv(64)
            started.set()

    def _drain(self) -> None:
        while self._control is not None and select.select([self._control], [], [], 0)[0]:
            try:
                message = self._control.recv(256)
            except OSError:
                return
            if not message:
                return
            exited = json.loads(message)
            self._exits[exited["pid"]] = exited["exit"]
            if len(self._exits) > _EXITS_KEPT:
                # Most children end well, and nobody asks how.
                del self._exits[next(iter(self._exits))]

    def _stop_process(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._started = None


class Session:
    """A conversation with a child about one task, carried on by another child where one dies.

    Args:
        children: Gives the children.
        task: What is to be done.
        limits: What a child may use.
        is_cancelled: Asked now and then while the child works.

    Attributes:
        broken_off: The step under way when the child was ended, and what it had used; ``None`` for none.
    """

    def __init__(self, children: Children, task: Task, *, limits: Limits, is_cancelled: Callable[[], bool]) -> None:
        self._children = children
        self._task = task
        self._limits = limits
        self._is_cancelled = is_cancelled
        self._history: list[tuple[wire.Frame, wire.Frame]] = []
        self._connection: socket.socket | None = None
        self._is_met = False
        self._pid = 0
        self._deaths = 0
        self._is_computed = False
        self._doing = task.name
        self._meter: _OutsideMeter | None = None
        self.broken_off: wire.Frame | None = None

    def begin(self) -> None:
        """Have a child load the task's code while something else is done; only where one is to be had at once.

        Nobody watches what it uses until the conversation begins: what comes between is to be short.
        """
        if not self._children.is_ready:
            return
        try:
            self._connection = self._children.new_child()
            self._connection.settimeout(POLL_SECONDS)
            wire.send(self._connection, self._first_frame)
        except (NoChild, wire.PeerGone):
            # Whatever is wrong shows again when it is asked.
            self._kill()

    def close(self) -> None:
        """End the child, where there is one; after a conversation there is none."""
        self._kill()

    def converse(self, record: Recorder) -> Any:
        """Let the child do its task, answer what it asks for, and return its result.

        Args:
            record: Called for each step and call; returns the answer, from now or from before.

        Raises:
            StepFailed: The user's code raised.
            StepTimeout: It ran too long.
            MemoryExceeded: It grew too large.
            ChildDied: Its process died too often.
            RunCancelled: Somebody cancelled.
        """
        try:
            while True:
                frame = self._next()
                if frame["op"] in ("finished", "raised"):
                    self._pid = 0  # it ends by itself, and its number may soon be another process's
                if frame["op"] == "finished":
                    return frame["value"]
                if frame["op"] == "raised":
                    raise StepFailed(**frame["error"])
                self._answer(frame, record)
        finally:
            self._kill()

    def converse_one_step(self) -> wire.Frame:
        """Let the child do a task that is one step, and return its value or error, its cost and what it noted.

        Raises:
            StepFailed: The user's code raised before it came to the step; else that is the answer.
            RatchetError: As for ``converse``.
        """
        answers: list[wire.Frame] = []

        def record(_request: wire.Frame, execute: Callable[[], wire.Frame]) -> wire.Frame:
            answers.append(execute())
            return {name: answers[0][name] for name in ("value", "error") if name in answers[0]}

        try:
            self.converse(record)
        except StepFailed:
            if not answers:
                raise
        return answers[0]

    @property
    def steps(self) -> int:
        """Return how many steps and calls were answered."""
        return len(self._history)

    def execute(self, request: wire.Frame) -> wire.Frame:
        """Let the child compute the step that it asked for, and return its value or error and its cost."""
        self._doing = request["name"]
        self._deaths = 0
        while True:
            try:
                self._meter = _OutsideMeter(self._pid, request)
                self._send({"do": "run"})
                done = self._wait()
            except wire.PeerGone:
                self._after_death()
                self._expect(self._next(), request)
                continue
            assert done["op"] == "done", "a child that was told to run answers when it is done"
            self._meter = None
            self._is_computed = True
            faults.point("step.before_record")
            return {key: value for key, value in done.items() if key != "op"}

    def _answer(self, request: wire.Frame, record: Recorder) -> None:
        running = len(self._history)
        self._is_computed = False
        answer = record(request, lambda: self.execute(request))
        self._history.append((request, answer))
        assert len(self._history) == running + 1, "one question at a time"
        self._doing = self._task.name
        try:
            # Who computed it has it, and its next question may be on its way: two large frames would block each other.
            self._send({"do": "take"} if self._is_computed else {"do": "take", **answer})
        except wire.PeerGone:
            self._after_death()

    def _next(self) -> wire.Frame:
        """Return the child's next question, from another child where this one is gone."""
        while True:
            try:
                if not self._is_met:
                    self._meet()
                return self._wait()
            except wire.PeerGone:
                self._after_death()

    @property
    def _first_frame(self) -> wire.Frame:
        return {"name": self._task.name, "entry": self._task.entry, "spec": self._task.spec, "log": self._task.log}

    def _meet(self) -> None:
        """Start a child, unless one has begun, and lead it to where the last one was."""
        has_begun = self._connection is not None
        if self._connection is None:
            self._connection = self._children.new_child()
            self._connection.settimeout(POLL_SECONDS)
        self._pid = self._wait()["pid"]
        self._is_met = True
        if not has_begun:
            self._send(self._first_frame)
        for request, answer in self._history:
            self._expect(self._wait(), request)
            self._send({"do": "take", **answer})

    def _expect(self, found: wire.Frame, expected: wire.Frame) -> None:
        if asked_for(found) != asked_for(expected):
            raise NondeterministicPipeline(
                pipeline=self._task.name, expected=describe_request(expected), found=describe_request(found)
            )

    def _send(self, frame: wire.Frame) -> None:
        if self._connection is None:
            raise wire.PeerGone
        self._connection.settimeout(None)
        wire.send(self._connection, frame)
        self._connection.settimeout(POLL_SECONDS)

    def _wait(self) -> wire.Frame:
        assert self._connection is not None, "only a begun session waits"
        deadline = clock.monotonic() + self._limits.timeout_seconds
        while True:
            try:
                return wire.receive(self._connection)
            except TimeoutError:
                self._check(deadline)

    def _check(self, deadline: float) -> None:
        reason = self._reason_to_end(deadline)
        if reason is not None:
            # Nobody can ask the child any more how much its step has used.
            self.broken_off = self._meter.read() if self._meter is not None else None
            raise reason

    def _reason_to_end(self, deadline: float) -> RatchetError | None:
        if self._is_cancelled():
            return RunCancelled(run_id=self._task.name)
        if clock.monotonic() > deadline:
            return StepTimeout(step=self._doing, limit_seconds=self._limits.timeout_seconds)
        used = status_mb(self._pid, "VmRSS") if self._pid else 0.0
        if used > self._limits.memory_mb:
            return MemoryExceeded(step=self._doing, used_mb=used, limit_mb=self._limits.memory_mb)
        return None

    def _after_death(self) -> None:
        reason = self._children.exit_reason(self._pid) if self._pid else "it did not start"
        self._kill()
        self._deaths += 1
        if self._deaths >= self._limits.attempts:
            raise ChildDied(step=self._doing, reason=reason, attempts=self._deaths)

    def _kill(self) -> None:
        if self._connection is None:
            return
        if not self._is_met:
            # The first that a child says is its number, before it loads anything. One that says it later ends by that.
            self._connection.settimeout(_HELLO_SECONDS)
            with suppress(wire.PeerGone, TimeoutError):
                self._pid = wire.receive(self._connection)["pid"]
        self._connection.close()
        self._connection = None
        self._is_met = False
        if self._pid:
            kill_quietly(self._pid)
            self._pid = 0


class _OutsideMeter:
    """Counts from outside what a child uses for a step, for the case that it cannot tell: it is ended first.

    Args:
        pid: The child.
        request: The step.
    """

    def __init__(self, pid: int, request: wire.Frame) -> None:
        self._pid = pid
        self._step = {"step": request["name"], "index": request["index"]}
        self._cpu = _cpu_seconds(pid)
        self._wall = clock.monotonic()

    def read(self) -> wire.Frame:
        """Return the step and what it has used: processor and wall seconds, and the peak of memory in megabytes."""
        return {
            **self._step,
            "cpu_seconds": round(max(0.0, _cpu_seconds(self._pid) - self._cpu), 4),
            "wall_seconds": round(clock.monotonic() - self._wall, 4),
            "peak_memory_mb": round(status_mb(self._pid, "VmHWM"), 1),
        }


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and of those that it has waited for, 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def in_words(code: int) -> str:
    """Return in words how a process ended."""
    return f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def asked_for(request: wire.Frame) -> wire.Frame:
    """Return what makes a child's question the same one again: all of it but where its answer may be kept."""
    return {key: value for key, value in request.items() if key != "cache"}


def describe_request(request: wire.Frame) -> str:
    """Return a child's question in a few words."""
    if request["op"] in ("step", "call"):
        return f"{request['op']} {request['index'] + 1} '{request.get('name') or request.get('action')}'"
    return f"the end ({request['op']})"


def kill_quietly(pid: int) -> None:
    """Kill a process that may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def log_file(folder: Path, name: str) -> str:
    """Return the log file of a task, its folder made."""
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"{name}.log")
