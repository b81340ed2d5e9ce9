"""The processes of a workspace that is killed: started, found by a mark in their environment, killed, counted.

Invariant: only processes that carry this cluster's mark are ever looked at or killed.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ratchet import clock
from ratchet.loop.serving import claim
from tests.killing import is_spare

MARK = "RATCHET_SOAK"
ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60.0
LEFT_SECONDS = 5.0
# A child lives for half a second, so one that is wanted is waited for.
CHILD_SECONDS = 2.0
# One that ends by itself has a reason that takes time to go, such as a server that is not there yet.
PAUSE_SECONDS = 3.0
# How often each kind is chosen. Children are alive only now and then, and a server takes seconds to come back.
WEIGHTS = {"server": 0.1, "child": 0.5, "endpoint": 0.2, "zygote": 0.2, "worker": 0.15}
# The last one is what ends a process that has not come to listen to signals yet.
_IN_ORDER = (0, 130, -signal.SIGTERM)


class Kept:
    """A process that is started again whenever it has ended.

    Args:
        kind: ``server`` or ``worker``.
        command: How it is started.
        environment: Of it and of all that it starts.
        errors: File that gets what it says of its troubles.
    """

    def __init__(self, kind: str, command: Sequence[str], *, environment: dict[str, str], errors: Path) -> None:
        self.kind = kind
        self.starts = 0
        self.was_killed = False
        self.process: subprocess.Popen[bytes] | None = None
        self._command = [sys.executable, "-m", "ratchet", *command]
        self._environment = environment
        self._errors = errors
        self._not_before = 0.0

    def start(self) -> str:
        """Start it where it does not run; returns why the last one ended, where nobody had killed it."""
        if self.process is not None and self.process.poll() is None:
            return ""
        if clock.monotonic() < self._not_before:
            return ""
        if self.process is not None and not self.was_killed:
            self._not_before = clock.monotonic() + PAUSE_SECONDS
            tail = self._errors.read_text(errors="replace")[-1500:]
            complaint = f"the {self.kind} ended by itself with {self.process.returncode}: {tail}"
            self.process = None
            return complaint
        self.was_killed = False
        self.starts += 1
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        return ""

    def stop(self) -> list[str]:
        """Stop it in order and return what is wrong with how it ended."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return []
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return [f"the {self.kind} did not stop within {STOP_SECONDS:g} s"]
        return [f"the {self.kind} stopped with {process.returncode}"] if process.returncode not in _IN_ORDER else []


class Cluster:
    """The processes of one workspace.

    Args:
        folder: The project.
        name: The mark, used by nobody else.
        workers: How many machines there are beside the server; PostgreSQL only.
        options: Further ones of the server's command line.
        variables: Further ones of the environment of all.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        workers: int = 0,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.port = free_port()
        self.kills: Counter[str] = Counter()
        self.faults: list[str] = []
        self.complaints: Counter[str] = Counter()
        kept = environment(name, **(variables or {}))
        server = ["up", "--port", str(self.port), "--json", "--workspace", str(folder), *options]
        self._kept = [Kept("server", server, environment=kept, errors=self._errors("server"))]
        for number in range(workers):
            command = ["worker", "--workspace", str(folder), "--folder", f"{folder}.worker-{number}"]
            self._kept.append(Kept("worker", command, environment=kept, errors=self._errors(f"worker-{number}")))
        self._lock = threading.Lock()
        self._wanted = False
        self._keeper: threading.Thread | None = None

    def _errors(self, name: str) -> Path:
        return self.folder.parent / f"{self.folder.name}.{name}.errors"

    @property
    def starts(self) -> int:
        """Return how often the server was started."""
        return self._kept[0].starts

    # ---- starting and stopping

    def start(self) -> None:
        """Keep all processes running from now on, until ``stop``."""
        self._wanted = True
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        while self._keeper is not None:
            with self._lock:
                for kept in self._kept if self._wanted else []:
                    complaint = kept.start()
                    if complaint and kept.kind == "server":
                        self.faults.append(complaint)
                    elif complaint:
                        # A worker ends where there is no server yet, and is started again.
                        self.complaints[complaint] += 1
            clock.sleep(0.02)

    def stop(self) -> list[str]:
        """Stop all in order and return what is wrong: what was left running, a status that is not 0."""
        with self._lock:
            self._wanted = False
        found = [one for kept in reversed(self._kept) for one in kept.stop()]
        self.end_endpoint()
        deadline = clock.monotonic() + LEFT_SECONDS
        while (left := marked(self.name)) and clock.monotonic() < deadline:
            clock.sleep(0.05)
        return found + [f"left running: {pid} {' '.join(command_line(pid)[:4])}" for pid in left]

    def end_endpoint(self) -> None:
        """End an endpoint that a killed server left behind: it goes on serving on purpose, also after the next one."""
        for pid in self.victims()["endpoint"]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def end(self) -> None:
        """Kill whatever is left."""
        with self._lock:
            self._wanted = False
            self._keeper = None
        end_marked(self.name)
        for kept in self._kept:
            if kept.process is not None:
                kept.process.wait()
                kept.process = None

    # ---- killing

    def kill_one(self, chance: random.Random) -> str:
        """Kill one process, of a kind that chance chooses, and return the kind; ``""`` where none of it runs."""
        kinds = {kind: weight for kind, weight in WEIGHTS.items() if kind != "worker" or len(self._kept) > 1}
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        running = self.victims()[kind]
        deadline = clock.monotonic() + CHILD_SECONDS
        while kind == "child" and not running and clock.monotonic() < deadline:
            clock.sleep(0.02)
            running = self.victims()[kind]
        if not running:
            return ""
        pid = chance.choice(running)
        if not self.strike(pid, signal.SIGKILL):
            return ""
        self.kills[kind] += 1
        return kind

    def strike(self, pid: int, blow: signal.Signals) -> bool:
        """Send a signal to one process, whose end is nobody's fault then; returns whether it was there."""
        with self._lock:
            for kept in self._kept:
                if kept.process is not None and kept.process.pid == pid:
                    kept.was_killed = True
            try:
                os.kill(pid, blow)
            except ProcessLookupError:
                return False
        return True

    def victims(self) -> dict[str, list[int]]:
        """Return the processes by kind."""
        found: dict[str, list[int]] = {kind: [] for kind in WEIGHTS}
        zygotes = []
        for pid in marked(self.name):
            words = command_line(pid)
            if "ratchet.loop.serving" in words:
                found["endpoint"].append(pid)
            elif "ratchet.engine.zygote" in words:
                zygotes.append(pid)
            elif "up" in words:
                found["server"].append(pid)
            elif "worker" in words:
                found["worker"].append(pid)
        for pid in zygotes:
            # A child is forked from a zygote and has its command line. To kill one that has nothing to do shows little.
            if not is_spare(pid):
                found["child" if parent_of(pid) in zygotes else "zygote"].append(pid)
        return found

    def endpoint_address(self) -> tuple[str, int] | None:
        """Return where the endpoint listens, or ``None`` while none does."""
        holder = claim.holder(self.folder / ".ratchet" / "serving")
        return (holder.host, holder.port) if holder else None


def environment(name: str, **more: str) -> dict[str, str]:
    """Return the environment of a marked process."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": path, MARK: name, **more}


def marked(name: str) -> list[int]:
    """Return the living processes that carry a mark, but not this one."""
    return [pid for pid, mark in _marks() if mark == name]


def end_marked(name: str) -> None:
    """Kill all processes that carry a mark, until none is left."""
    deadline = clock.monotonic() + STOP_SECONDS
    while (left := marked(name)) and clock.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        clock.sleep(0.02)


def _marks() -> Iterator[tuple[int, str]]:
    prefix = f"{MARK}=".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        for variable in variables:
            if variable.startswith(prefix) and state not in "ZX":
                yield int(entry.name), variable[len(prefix) :].decode()


def command_line(pid: int) -> list[str]:
    """Return the words of a process's command line, none where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def parent_of(pid: int) -> int:
    """Return the parent of a process, 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
