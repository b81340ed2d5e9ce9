"""A small process that has the heavy libraries loaded and forks a child per run: milliseconds instead of seconds.

While nobody asks, it keeps one child in hand that has been forked already. Invariant: it has no threads of its own and
no database, so forking is safe; it waits for requests and for nothing else; it dies with the process that started it,
and its children with it.
Started as ``python -m ratchet.engine.zygote DESCRIPTOR PARENT MODULE...``; a function ``warm_up`` of such a module is
called once here, and once in each child that is kept in hand.
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
from collections.abc import Callable, Iterator
from typing import NamedTuple, NoReturn

from ratchet.engine import child

_LOOK_SECONDS = 0.2
_MANY = 4096
SPARE_NAME = "ratchet-spare"
Warming = Callable[[], object]


class _Spare(NamedTuple):
    """A child that was forked before anybody asked for it.

    Attributes:
        link: By which it is given its connection to the parent; whoever closes it ends the child.
    """

    pid: int
    link: socket.socket


def main(arguments: list[str]) -> None:
    """Load the modules, then fork a child for each socket that comes in."""
    descriptor, parent, *modules = arguments
    child.die_with_parent(int(parent))
    # Ctrl-C reaches the whole terminal group; the parent decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    warmings: list[Warming] = []
    for module in modules:
        # A missing extra shows where it is used, with a better message than here.
        with contextlib.suppress(ImportError):
            loaded = importlib.import_module(module)
            warmings += [loaded.warm_up] if hasattr(loaded, "warm_up") else []
    _warm_up(warmings)
    # A child's collector would write into every object that is here, and have its page copied for that.
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": true}')
    _serve(control, warmings)


def _warm_up(warmings: list[Warming]) -> None:
    for warming in warmings:
        # What it makes ready is made ready again where it is needed, and told of there.
        with contextlib.suppress(Exception):
            warming()


def _serve(control: socket.socket, warmings: list[Warming]) -> None:
    untold: deque[bytes] = deque()
    spare: _Spare | None = None
    under_way, pause_seconds = 0, 0.0
    ended, _told_by_kernel = _noticing_ends()
    while True:
        # A child beside one that runs would only slow that down: the next one is forked once there is none.
        wants_spare = spare is None and under_way == 0
        readable, _, _ = select.select([control, ended], [], [], pause_seconds if wants_spare else _LOOK_SECONDS)
        for pid, code in _reap():
            under_way -= 1
            untold.append(json.dumps({"pid": pid, "exit": code}).encode())
            if spare is not None and spare.pid == pid:
                spare.link.close()
                spare, pause_seconds = None, _LOOK_SECONDS  # whatever ended it may end the next one
        _tell(control, untold)
        if ended in readable:
            ended.recv(_MANY)
        if control not in readable:
            # Asked only where something has come: recv_fds takes flags such as MSG_DONTWAIT and ignores them.
            if wants_spare:
                # Nobody has asked for it, so nobody is told where there is no room for it.
                with contextlib.suppress(OSError):
                    spare, under_way = _fork_spare(control, warmings), under_way + 1
            continue
        try:
            message, descriptors, _flags, _address = socket.recv_fds(control, 64, 1)
        except OSError:
            os._exit(0)  # the parent is gone or has closed its end: nobody is left to fork for
        if not message:
            os._exit(0)
        if not _hand_out(spare, descriptors[0]):
            _fork(control, descriptors[0])
            under_way += 1
        os.close(descriptors[0])
        spare, pause_seconds = None, 0.0


def _noticing_ends() -> tuple[socket.socket, socket.socket]:
    """Return a socket that has something to read whenever a child has ended, and its other end."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    return reading, writing


def _hand_out(spare: _Spare | None, descriptor: int) -> bool:
    """Give a connection to the spare child, and tell whether there was one that lives."""
    if spare is None:
        return False
    with spare.link:
        try:
            socket.send_fds(spare.link, [b"begin"], [descriptor])
        except OSError:
            return False
    return True


def _fork_spare(control: socket.socket, warmings: list[Warming]) -> _Spare:
    ours, theirs = socket.socketpair()
    zygote = os.getpid()
    if pid := os.fork():
        theirs.close()
        return _Spare(pid, ours)
    try:
        _leave_zygote(zygote, control)
        child.call_itself(SPARE_NAME)
        ours.close()
        _warm_up(warmings)
        message, descriptors, _flags, _address = socket.recv_fds(theirs, 64, 1)
        theirs.close()
        if message:
            _be_child(descriptors[0])
    finally:
        os._exit(1)  # whatever went wrong, it must not go on as a second zygote


def _fork(control: socket.socket, descriptor: int) -> None:
    zygote = os.getpid()
    if os.fork():
        return
    _leave_zygote(zygote, control)
    _be_child(descriptor)


def _leave_zygote(zygote: int, control: socket.socket) -> None:
    child.die_with_parent(zygote)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()


def _be_child(descriptor: int) -> NoReturn:
    code = 1
    try:
        child.main(socket.socket(fileno=descriptor))
        code = 0
    finally:
        # Not sys.exit: what the zygote would do at its end is none of the child's business.
        os._exit(code)


def _reap() -> Iterator[tuple[int, int]]:
    """Give each child that is gone by now, with its exit code."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _tell(control: socket.socket, untold: deque[bytes]) -> None:
    """Send what the parent's end has room for; the rest waits: who waits here forks for nobody."""
    with contextlib.suppress(OSError):
        while untold:
            control.send(untold[0], socket.MSG_DONTWAIT)
            untold.popleft()


if __name__ == "__main__":
    main(sys.argv[1:])
