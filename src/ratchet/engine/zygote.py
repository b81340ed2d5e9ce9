"""A small process that has the heavy libraries loaded and forks a child per run: milliseconds instead of seconds.

Invariant: it has no threads of its own and no database, so forking is safe; it waits for requests and for nothing else;
it dies with the process that started it, and its children with it.
Started as ``python -m ratchet.engine.zygote DESCRIPTOR PARENT MODULE...``.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator

from ratchet.engine import child


def main(arguments: list[str]) -> None:
    """Load the modules, then fork a child for each socket that comes in."""
    descriptor, parent, *modules = arguments
    child.die_with_parent(int(parent))
    # Ctrl-C reaches the whole terminal group; the parent decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    for module in modules:
        # A missing extra shows where it is used, with a better message than here.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # A child's collector would write into every object that is here, and have its page copied for that.
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": true}')
    untold: deque[bytes] = deque()
    while True:
        readable, _, _ = select.select([control], [], [], 0.2)
        untold.extend(_reap())
        _tell(control, untold)
        if not readable:
            # Asked only where something has come: recv_fds takes flags such as MSG_DONTWAIT and ignores them.
            continue
        try:
            message, descriptors, _flags, _address = socket.recv_fds(control, 64, 1)
        except OSError:
            os._exit(0)  # the parent is gone or has closed its end: nobody is left to fork for
        if not message:
            os._exit(0)
        _fork(control, descriptors[0])


def _fork(control: socket.socket, descriptor: int) -> None:
    zygote = os.getpid()
    if os.fork():
        os.close(descriptor)
        return
    child.die_with_parent(zygote)
    control.close()
    code = 1
    try:
        child.main(socket.socket(fileno=descriptor))
        code = 0
    finally:
        # Not sys.exit: what the zygote would do at its end is none of the child's business.
        os._exit(code)


def _reap() -> Iterator[bytes]:
    """Give how each child ended that is gone by now."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield json.dumps({"pid": pid, "exit": os.waitstatus_to_exitcode(status)}).encode()


def _tell(control: socket.socket, untold: deque[bytes]) -> None:
    """Send what the parent's end has room for; the rest waits: who waits here forks for nobody."""
    with contextlib.suppress(OSError):
        while untold:
            control.send(untold[0], socket.MSG_DONTWAIT)
            untold.popleft()


if __name__ == "__main__":
    main(sys.argv[1:])
