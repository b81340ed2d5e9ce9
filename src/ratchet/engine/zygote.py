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
_LONGEST_PAUSE_SECONDS = 60.0
_MANY = 4096
_WARM = b"w"
SPARE_NAME = "ratchet-spare"
Warming = Callable[[], object]


class _Spare(NamedTuple):
    """A child that was forked before anybody asked for it.

    Attributes:
        link: On which it says that it is ready, and is given its connection to the parent; whoever closes it ends the
            child.
    """

    pid: int
    link: socket.socket

    @property
    def is_ready(self) -> bool:
        """Tell whether it has said so; one that still warms up, or hangs at it, is nobody's."""
        try:
            return self.link.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == _WARM
        except OSError:
            return False


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
    _Zygote(control, warmings).serve()


def _warm_up(warmings: list[Warming]) -> None:
    for warming in warmings:
        # What it makes ready is made ready again where it is needed, and told of there.
        with contextlib.suppress(Exception):
            warming()


class _Zygote:
    """Forks children for whoever asks, and one beforehand while none is under way.

    Args:
        control: Brings the sockets of the children that are asked for, and takes how each has ended.
        warmings: What a child that is kept in hand goes through.
    """

    def __init__(self, control: socket.socket, warmings: list[Warming]) -> None:
        self._control = control
        self._warmings = warmings
        self._untold: deque[bytes] = deque()
        self._spare: _Spare | None = None
        self._under_way = 0
        self._pause_seconds = 0.0
        # Has something to read whenever a child has ended.
        self._ended, self._told_by_kernel = socket.socketpair()
        self._told_by_kernel.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._told_by_kernel.fileno(), warn_on_full_buffer=False)

    def serve(self) -> NoReturn:
        """Go on until the parent is gone."""
        while True:
            # A child beside one that runs would only slow that down: the next one is forked once there is none.
            wants_spare = self._spare is None and self._under_way == 0
            patience_seconds = self._pause_seconds if wants_spare else _LOOK_SECONDS
            readable, _, _ = select.select([self._control, self._ended], [], [], patience_seconds)
            if self._ended in readable:
                self._ended.recv(_MANY)
            self._bury()
            _tell(self._control, self._untold)
            # Asked only where something has come: recv_fds takes flags such as MSG_DONTWAIT and ignores them.
            if self._control in readable:
                self._answer()
            elif wants_spare and not readable:
                self._fork_spare()

    def _bury(self) -> None:
        for pid, code in _reap():
            self._under_way -= 1
            if self._spare is not None and self._spare.pid == pid:
                # Nobody knows of it. Whatever ended it may end the next one.
                self._spare.link.close()
                self._spare = None
                self._wait_longer()
            else:
                self._untold.append(json.dumps({"pid": pid, "exit": code}).encode())

    def _wait_longer(self) -> None:
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, max(_LOOK_SECONDS, 2 * self._pause_seconds))

    def _answer(self) -> None:
        try:
            message, descriptors, _flags, _address = socket.recv_fds(self._control, 64, 1)
        except OSError:
            os._exit(0)  # the parent is gone or has closed its end: nobody is left to fork for
        if not message:
            os._exit(0)
        if not self._hand_out(descriptors[0]):
            # Where there is no room for a child, its connection ends, and whoever asked tries again.
            with contextlib.suppress(OSError):
                self._fork(descriptors[0])
        os.close(descriptors[0])

    def _hand_out(self, descriptor: int) -> bool:
        """Give a connection to the child in hand, and tell whether there was one that is ready."""
        spare = self._spare
        if spare is None or not spare.is_ready:
            return False
        self._spare, self._pause_seconds = None, 0.0
        with spare.link:
            try:
                socket.send_fds(spare.link, [b"begin"], [descriptor])
            except OSError:
                return False
        return True

    def _fork_spare(self) -> None:
        ours, theirs = socket.socketpair()
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            # Nobody has asked for it, so nobody is told that there is no room for it.
            ours.close()
            theirs.close()
            self._wait_longer()
            return
        if pid:
            theirs.close()
            self._spare = _Spare(pid, ours)
            self._under_way += 1
            return
        try:
            self._leave(zygote)
            child.call_itself(SPARE_NAME)
            ours.close()
            _warm_up(self._warmings)
            theirs.send(_WARM)
            message, descriptors, _flags, _address = socket.recv_fds(theirs, 64, 1)
            theirs.close()
            if message:
                _be_child(descriptors[0])
        finally:
            os._exit(1)  # whatever went wrong, it must not go on as a second zygote

    def _fork(self, descriptor: int) -> None:
        zygote = os.getpid()
        if os.fork():
            self._under_way += 1
            return
        try:
            self._leave(zygote)
            if self._spare is not None:
                self._spare.link.close()
            _be_child(descriptor)
        finally:
            os._exit(1)

    def _leave(self, zygote: int) -> None:
        """Leave behind, in a child, what is the zygote's."""
        child.die_with_parent(zygote)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._control, self._ended, self._told_by_kernel):
            one.close()


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
