"""Programs that are started once and then do the same work again and again, when they are told to.

Invariant: what is timed lies between the word and the answer; starting, loading and warming up are not in it.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.rig.environments import ROOT, environment
from bench.rig.process_trees import Cost, timed

PROGRAMS = ROOT / "bench" / "peers"
READY_SECONDS = 180.0
WORK_SECONDS = 120.0
_SAID = 2000


class Failed(Exception):
    """A program ended, gave no answer in time, or said that its work failed."""


class Warm:
    """A program that waits for its work.

    Attributes:
        figures: What it told of each piece of work.

    Args:
        process: Runs it.
        channel: To it.
        log: What it prints.
        beside: Further processes whose trees do a part of the work, such as a server's.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", channel: socket.socket, log: Path, beside: Sequence[int]
    ) -> None:
        self._process = process
        self._channel = channel
        self._log = log
        self._beside = tuple(beside)
        self._answers = channel.makefile("r")
        self.figures: list[dict[str, float]] = []

    def wait_until_ready(self) -> None:
        """Return when it has loaded what it needs."""
        self._channel.settimeout(READY_SECONDS)
        self._expect("ready")
        self._channel.settimeout(WORK_SECONDS)

    def work(self, times: int = 1) -> Cost:
        """Let it work some times over, and return what all of it cost."""
        return timed(lambda: [self._once() for _ in range(times)], self._process.pid, *self._beside)

    def _once(self) -> None:
        self._channel.sendall(b"work\n")
        self.figures.append(json.loads(self._expect("done")))

    def _expect(self, word: str) -> str:
        """Return what follows the word that has to come."""
        try:
            said, _, more = self._answers.readline().strip().partition(" ")
        except TimeoutError:
            said, more = "no answer in time", ""
        if said != word:
            message = f"{said or 'it ended'}: {self._log.read_text(errors='replace')[-_SAID:]}"
            raise Failed(message)
        return more


@contextmanager
def warm(
    python: Path, program: str, *arguments: str, folder: Path, beside: Sequence[int] = (), **variables: str
) -> Iterator[Warm]:
    """Start a program of ``bench/peers`` and stop it at the end, with all that it started.

    Args:
        python: The interpreter that runs it.
        program: Its file.
        arguments: Its own.
        folder: Where it works; made.
        beside: Further processes whose cost counts.
        variables: Of its environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = socket.socketpair()
    command = [str(python), str(PROGRAMS / program), str(theirs.fileno()), *arguments]
    log = folder / "program.log"
    with log.open("ab") as printed:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**variables),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
    theirs.close()
    try:
        with ours:
            found = Warm(process, ours, log, beside)
            found.wait_until_ready()
            yield found
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all others of its session: asked first, then killed."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
