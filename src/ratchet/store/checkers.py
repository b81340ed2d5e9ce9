"""Processes that share the checking of a ledger's chunks, this one among them; what they come to is given in order.

Invariant: what comes out depends on the chunks alone: what a process cannot do, or leaves undone when it dies, this one
does; none of them outlives this one, however it ends.
"""

import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import msgspec

from ratchet.garbage import without_collector
from ratchet.store.database import Database
from ratchet.store.entries import Chunk
from ratchet.store.findings import ChunkReport, check_chunk

# A chunk, and the sizes of trees in it whose roots are wanted.
Job = tuple[Chunk, Sequence[int]]
# Between the processes go these and nothing that is run when it is read.
_ENCODE = msgspec.msgpack.Encoder().encode
_JOB = msgspec.msgpack.Decoder(Job)
_REPORT = msgspec.msgpack.Decoder(ChunkReport | None)
# One that is worked on and one that waits: the process goes on while this one is busy with a chunk of its own.
_AT_ONCE = 2
_PATIENCE_SECONDS = 10


def check_all(jobs: Sequence[Job], *, others: int, database: Database | None = None) -> Iterator[ChunkReport]:
    """Check chunks in several processes; give what each came to, in their order.

    Args:
        jobs: All chunks.
        others: Processes to start besides this one.
        database: That of the chunks, where this process has it open already.

    Raises:
        ExportInvalid: A line of an export is no entry; it is the first such line.
    """
    todo = deque(range(len(jobs)))
    done: dict[int, ChunkReport | None] = {}
    with _started(others) as checkers:
        for turn in range(len(jobs)):
            while turn not in done:
                _hand_out(jobs, todo, checkers)
                if todo:
                    number = todo.popleft()
                    done[number] = _attempt(jobs[number], database)
                else:
                    wait([one.pipe for one in checkers])
                _collect(todo, checkers, done)
            # What could not be checked is tried again when its turn has come, and raises what there is to raise.
            yield done.pop(turn) or check_chunk(*jobs[turn], database)


class _Checker:
    """A process that checks one chunk after the other."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        # Not the folder that one is in: a file of the user's may have the name of a module. In a session of its own,
        # because Ctrl-C is this process's matter: the other one ends when the pipe does.
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(  # noqa: S603, our own command line
            command, pass_fds=[theirs.fileno()], stdin=nothing, stdout=nothing, start_new_session=True
        )
        theirs.close()
        self.under_way: deque[int] = deque()

    def stop(self) -> None:
        """Wait until the process has ended; its pipe is closed."""
        try:
            self.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _started(count: int) -> Iterator[list[_Checker]]:
    """Run processes; in the list are those that live."""
    checkers: list[_Checker] = []
    all_of_them: list[_Checker] = []
    try:
        for _ in range(count):
            checkers.append(_Checker())
            all_of_them.append(checkers[-1])
        yield checkers
    finally:
        for one in all_of_them:
            one.pipe.close()
        for one in all_of_them:
            one.stop()


def _hand_out(jobs: Sequence[Job], todo: deque[int], checkers: list[_Checker]) -> None:
    for one in checkers:
        while todo and len(one.under_way) < _AT_ONCE:
            try:
                one.pipe.send_bytes(_ENCODE(jobs[todo[0]]))
            except OSError:
                # It has died; what it was doing is collected.
                break
            one.under_way.append(todo.popleft())


def _collect(todo: deque[int], checkers: list[_Checker], done: dict[int, ChunkReport | None]) -> None:
    """Take what is done; all that a process had when it died is to be done again."""
    for one in list(checkers):
        try:
            while one.pipe.poll():
                report = _REPORT.decode(one.pipe.recv_bytes())
                done[one.under_way.popleft()] = report
        except (EOFError, OSError):
            checkers.remove(one)
            todo.extendleft(reversed(one.under_way))


def _attempt(job: Job, database: Database | None = None) -> ChunkReport | None:
    try:
        return check_chunk(*job, database)
    except Exception:  # noqa: BLE001, an earlier chunk may raise first, maybe in another process: it must be told first
        return None


# ---- in the other process


def _serve(descriptor: int) -> None:
    """Check what comes through a pipe until its other end is closed."""
    with Connection(descriptor) as pipe, without_collector():
        try:
            while True:
                pipe.send_bytes(_ENCODE(_attempt(_JOB.decode(pipe.recv_bytes()))))
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
