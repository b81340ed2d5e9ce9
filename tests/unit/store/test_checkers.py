"""Several processes read one ledger: what is found is the same, whoever finds it, and none of them stays behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet.errors import ExportInvalid
from ratchet.store import checkers, entries, verification
from ratchet.store.checkers import Job, check_all
from ratchet.store.findings import ChunkReport, check_chunk
from ratchet.store.verification import Verification
from tests import tampering
from tests.sealing import ORIGIN, Sealed, said
from tests.waiting import is_alive, next_line, until

CHUNK = 64
PAYLOAD = "its payload is not the one that its envelope was written with"
# It tells the process that it starts, gives one report, and waits to be ended.
PROGRAM = """
import subprocess, sys
from pathlib import Path
from ratchet import clock
from ratchet.store import checkers, entries

class Told(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        print(self.pid, flush=True)

entries.CHUNK_ENTRIES = 64
subprocess.Popen = Told
jobs = [(chunk, []) for chunk in entries.chunks_of_export(Path(sys.argv[1]))]
for report in checkers.check_all(jobs, others=1):
    print(report.count, flush=True)
    clock.sleep(600)
"""


@pytest.fixture
def sealed(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sealed]:
    """Give a ledger of seven small chunks, of which any number is read by several processes."""
    monkeypatch.setattr(entries, "CHUNK_ENTRIES", CHUNK)
    monkeypatch.setattr(verification, "PARALLEL_FROM_ENTRIES", 0)
    sealed = Sealed(sqlite_url, tmp_path)
    sealed.emit(300)
    sealed.seal()
    sealed.emit(120)
    yield sealed
    sealed.database.close()


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take down the first entry of each chunk that this process checks itself."""
    starts: list[int] = []

    def check(*arguments: Any) -> ChunkReport:
        starts.append(arguments[0].start + 1)
        return check_chunk(*arguments)

    monkeypatch.setattr(checkers, "check_chunk", check)
    return starts


def jobs_of(sealed: Sealed) -> list[Job]:
    """Return the chunks of a database."""
    return [(chunk, []) for chunk in entries.chunks_of_database(sealed.database)]


def verify(sealed: Sealed) -> Verification:
    """Read a database by two processes."""
    chunks, key = entries.chunks_of_database(sealed.database), sealed.checkpoints.known_key()
    return verification.verify(chunks, origin=ORIGIN, key=key, database=sealed.database, workers=2)


def test_reports_come_in_the_order_of_the_chunks(sealed: Sealed, tmp_path: Path, read_here: list[int]) -> None:
    """Of the database and of an export, however the work was shared; the first chunks are another process's."""
    exported: list[Job] = [(chunk, []) for chunk in entries.chunks_of_export(sealed.export(tmp_path / "export"))]
    of_database = jobs_of(sealed)
    for jobs, database in ((of_database, sealed.database), (exported, None)):
        alone = [check_chunk(chunk, sizes, database) for chunk, sizes in jobs]
        assert [report.first for report in alone] == [1, 65, 129, 193, 257, 321, 385]
        assert list(check_all(jobs, others=2, database=database)) == alone
    assert 1 not in read_here


@pytest.mark.parametrize("seq", [1, 100, 128, 400])
def test_the_first_bad_entry_is_named_whoever_reads_it(sealed: Sealed, read_here: list[int], seq: int) -> None:
    """The first two chunks are read by another process; an entry is named in its chunks as in ours, the first first."""
    tampering.without_guards(sealed.database, f"UPDATE payload SET body = CAST('x' AS BLOB) WHERE seq IN ({seq}, 421)")
    done = verify(sealed)
    assert said(done) == [(seq, PAYLOAD), (421, PAYLOAD)]
    assert done.findings[0].id == f"e{seq}"
    assert {1, 65}.isdisjoint(read_here)
    assert read_here


def test_an_edited_envelope_is_named_by_another_process(sealed: Sealed, read_here: list[int]) -> None:
    """Its hash is compared with the kept one there, and its leaf goes into the root here."""
    tampering.rewrite(sealed.database, 70, with_tree=False, subject="another")
    found = said(verify(sealed))
    assert found[0][0] == 70
    assert (301, "among entries 1 to 300, one or more were changed since it was signed") in found
    assert 65 not in read_here


def test_keys_are_compared_across_processes(sealed: Sealed, tmp_path: Path) -> None:
    """In an export nothing else guards them: an entry of one chunk that has the key of another's is named."""
    path = sealed.export(tmp_path / "export")
    path.write_text(path.read_text().replace('\\"id\\":\\"e400\\"', '\\"id\\":\\"e7\\"'))
    done = sealed.verify_export(path, workers=2)
    assert (400, "an entry before it has its source and id") in said(done)


class _Dead(subprocess.Popen[bytes]):
    """A process that dies before it has done anything."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kill()


def test_what_a_dead_process_leaves_is_done_here(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody kills it, or the system does for want of memory: nothing is missing."""
    jobs = jobs_of(sealed)
    alone = [check_chunk(chunk, sizes, sealed.database) for chunk, sizes in jobs]
    monkeypatch.setattr(subprocess, "Popen", _Dead)
    assert list(check_all(jobs, others=2, database=sealed.database)) == alone


def test_a_process_may_die_at_any_time(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here after the first report: what it was doing is done again, in its place."""
    started: list[subprocess.Popen[bytes]] = []

    class Known(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    jobs = jobs_of(sealed)
    alone = [check_chunk(chunk, sizes, sealed.database) for chunk, sizes in jobs]
    monkeypatch.setattr(subprocess, "Popen", Known)
    reports = check_all(jobs, others=1, database=sealed.database)
    found = [next(reports)]
    started[0].kill()
    assert [*found, *reports] == alone
    assert started[0].returncode == -signal.SIGKILL


def test_the_first_line_that_is_no_entry_is_told(sealed: Sealed, tmp_path: Path) -> None:
    """This process meets the later one first; the earlier one is told, as if one had read alone."""
    path = sealed.export(tmp_path / "export")
    lines = path.read_text().splitlines()
    lines[100] = lines[300] = "nothing"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ExportInvalid, match=rf"{path}:101: "):
        sealed.verify_export(path, workers=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_stays_behind(sealed: Sealed, tmp_path: Path, number: signal.Signals) -> None:
    """Whoever reads is interrupted, ended or killed: the other process ends as well, and says nothing."""
    path, program = sealed.export(tmp_path / "export"), tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(path)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        other = int(next_line(process.stdout, "the other process"))
        next_line(process.stdout, "the first report", containing=str(CHUNK))
        assert is_alive(other)
        # To the whole group, as a terminal does.
        os.killpg(process.pid, number)
        _, told = process.communicate()
    until(lambda: not is_alive(other), "the end of the other process")
    assert told.count("Traceback") == (number == signal.SIGINT)


def test_a_file_of_the_users_is_not_taken_for_a_module(
    sealed: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_here: list[int]
) -> None:
    """A project may have a file that is named like one of Python's modules; the other process does not import it."""
    (tmp_path / "gc.py").write_text("")
    (tmp_path / "subprocess.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    list(check_all(jobs_of(sealed), others=1, database=sealed.database))
    assert 1 not in read_here
