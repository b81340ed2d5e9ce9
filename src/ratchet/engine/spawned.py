"""Children without a zygote: each a new Python process, for where one is needed now and then and not in milliseconds.

Invariant: a child dies with the process that started it, and sees its environment as it is: libraries may use all the
threads that they are given.
Started as ``python -m ratchet.engine.spawned DESCRIPTOR PARENT``.
"""

import os
import socket
import subprocess
import sys

from ratchet.engine import child
from ratchet.engine.executors import REAP_SECONDS, in_words


class Spawned:
    """Starts one child after the other."""

    is_ready = False

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def new_child(self) -> socket.socket:
        """Return the socket of a fresh child; the one before has ended."""
        self._reap()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "ratchet.engine.spawned", str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603, our own command line
        theirs.close()
        return ours

    def exit_reason(self, pid: int) -> str:
        """Return in words how a child ended."""
        assert self._process is not None, "only asked of a child that was started"
        assert self._process.pid == pid, "there is one at a time"
        return in_words(self._reap())

    def close(self) -> None:
        """End the child, if there still is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _reap(self) -> int:
        if self._process is None:
            return 0
        try:
            return self._process.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def main(arguments: list[str]) -> None:
    """Carry out one entry function that the parent names."""
    descriptor, parent = map(int, arguments)
    child.die_with_parent(parent)
    child.main(socket.socket(fileno=descriptor))
    # Not sys.exit: threads that the user's code left behind would keep the process.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
