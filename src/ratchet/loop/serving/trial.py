"""Models are tried in a process of their own before the endpoint takes them in.

The child loads each model as the endpoint would, lets it predict once, and says what came of it. Started as
``python -m ratchet.loop.serving.trial --artifacts ADDRESS``; releases come as JSON on its input.

Invariant: a model that crashes, ends, hangs or fills the memory does so in the child: it is refused, and neither the
endpoint nor the models tried after it notice.
"""

import argparse
import ctypes
import faulthandler
import os
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from ratchet import clock
from ratchet.errors import ArtifactCorrupt, ArtifactMissing, ArtifactsUnreachable, ModelUnusable, RatchetError
from ratchet.loop.serving import vouchers
from ratchet.loop.serving.models import load_model, preload_libraries
from ratchet.loop.serving.routes import ReleaseRoute
from ratchet.records import Record
from ratchet.store.addresses import open_artifacts
from ratchet.store.artifacts import Artifacts

START_SECONDS = 120.0
_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_FIRST_OF_ALL_TO_GO = "1000"
# Serving comes first where cores are few.
_NICENESS = 5


class Limits(Record, frozen=True):
    """What a model may use while it is tried.

    Attributes:
        seconds: Time for loading and one prediction.
        memory_mb: Resident memory of the process, libraries included.
    """

    seconds: float = 60.0
    memory_mb: float = 8192.0


class Verdict(Record, frozen=True):
    """What the child says: that it is ready (``place`` -1), or what came of one release.

    Attributes:
        place: Which of the releases, from 0.
        outcome: ``ready``, ``fit``, ``unfit``, or ``unread`` where the artifact's bytes could not be had.
        reason: Why it is unfit.
    """

    place: int
    outcome: str
    reason: str = ""


class Trials:
    """Tries models, and remembers by vouchers which ones need not be tried again.

    Args:
        folder: The serving folder.
        artifacts: Where models lie.
        limits: What a model may use.
    """

    def __init__(self, folder: Path, *, artifacts: Artifacts, limits: Limits | None = None) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._limits = limits or Limits()

    def refusals(self, releases: Sequence[ReleaseRoute]) -> dict[str, str]:
        """Try the releases that nobody has vouched for; some seconds for the first, so call it beside the event loop.

        Returns:
            Why models are refused, by ``vouchers.name_of`` their releases.
        """
        waiting = [one for one in releases if not vouchers.is_vouched_for(self._folder, one)]
        refused: dict[str, str] = {}
        while waiting:
            waiting = self._try(waiting, refused)
        return refused

    def _try(self, releases: list[ReleaseRoute], refused: dict[str, str]) -> list[ReleaseRoute]:
        """Try releases in one child, and return those that it did not come to."""
        child = _ChildProcess(self._artifacts, releases)
        try:
            verdict, ending = child.next(seconds=START_SECONDS, memory_mb=self._limits.memory_mb)
            if verdict is None:
                reason = f"it could not be tried, because the process for that did not start: {ending}"
                refused.update({vouchers.name_of(one): reason for one in releases})
                return []
            for place, release in enumerate(releases):
                verdict, ending = child.next(seconds=self._limits.seconds, memory_mb=self._limits.memory_mb)
                if verdict is None:
                    refused[vouchers.name_of(release)] = f"in a process of its own, where it was tried first, {ending}"
                    return releases[place + 1 :]
                if verdict.outcome == "unfit":
                    refused[vouchers.name_of(release)] = verdict.reason
                elif verdict.outcome == "fit":
                    vouchers.vouch(self._folder, release, libraries=vouchers.LIBRARIES)
            return []
        finally:
            child.close()


class _ChildProcess:
    """The parent's side of one child."""

    def __init__(self, artifacts: Artifacts, releases: Sequence[ReleaseRoute]) -> None:
        command = [sys.executable, "-m", "ratchet.loop.serving.trial", "--artifacts", artifacts.address]
        self._process = subprocess.Popen(  # noqa: S603, our own command line
            [*command, "--parent", str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None, "the input is a pipe"
        assert self._process.stdout is not None, "the output is a pipe"
        self._output: IO[bytes] = self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._unread = b""
        # One that ended before it read says so by its exit.
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(releases))
            self._process.stdin.close()

    def next(self, *, seconds: float, memory_mb: float) -> tuple[Verdict | None, str]:
        """Return what the child says next, or None and how it ended instead."""
        deadline = clock.monotonic() + seconds
        while b"\n" not in self._unread:
            if self._selector.select(_POLL_SECONDS):
                content = os.read(self._output.fileno(), 1 << 16)
                if not content:
                    return None, _describe_end(self._process.wait())
                self._unread += content
            if clock.monotonic() > deadline:
                return None, f"it took longer than {seconds:g} s and was stopped"
            used = _resident_mb(self._process.pid)
            if used > memory_mb:
                return None, f"it used {used:.0f} MB of memory, where {memory_mb:.0f} MB are allowed, and was stopped"
        line, _, self._unread = self._unread.partition(b"\n")
        return msgspec.json.decode(line, type=Verdict), ""

    def close(self) -> None:
        """End the child, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._output.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]  # it is a pipe


def _describe_end(code: int) -> str:
    if code < 0:
        return f"it crashed with signal {-code}, {signal.Signals(-code).name}"
    return f"it ended the process with exit code {code}"


def _resident_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


# ---- in the child


def main(arguments: list[str] | None = None) -> None:
    """Try the releases that come in, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m ratchet.loop.serving.trial", description="Try models.")
    parser.add_argument("--artifacts", required=True, help="the address of the store where models lie")
    parser.add_argument("--parent", type=int, required=True, help="the process to end with")
    options = parser.parse_args(arguments)
    _be_expendable(options.parent)
    # What models print goes where their errors go: the answers have the output for themselves.
    answers = os.dup(1)
    os.dup2(2, 1)
    releases = msgspec.json.decode(sys.stdin.buffer.read(), type=list[ReleaseRoute])
    artifacts = open_artifacts(options.artifacts)
    preload_libraries()
    _say(answers, Verdict(place=-1, outcome="ready"))
    for place, release in enumerate(releases):
        _say(answers, _try_one(place, release, artifacts=artifacts))


def _try_one(place: int, release: ReleaseRoute, *, artifacts: Artifacts) -> Verdict:
    try:
        load_model(release, artifacts=artifacts)
    except (ArtifactMissing, ArtifactCorrupt, ArtifactsUnreachable):
        # The endpoint finds that itself, and says it as it always does.
        return Verdict(place=place, outcome="unread")
    except ModelUnusable as error:
        return Verdict(place=place, outcome="unfit", reason=error.reason)
    except RatchetError as error:
        return Verdict(place=place, outcome="unfit", reason=str(error).rstrip("."))
    return Verdict(place=place, outcome="fit")


def _say(answers: int, verdict: Verdict) -> None:
    os.write(answers, msgspec.json.encode(verdict) + b"\n")


def _be_expendable(parent: int) -> None:
    """Die with the parent, yield to it, be the first to go where memory ends, and leave a trace and no core behind.

    Source: prctl(2), PR_SET_PDEATHSIG; proc(5), oom_score_adj.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_OF_ALL_TO_GO)
    faulthandler.enable()


if __name__ == "__main__":
    main()
    # A model may have left threads that compute; nothing of theirs is waited for.
    os._exit(0)
