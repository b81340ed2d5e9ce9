"""The other parts of the soak, in small: each finds what is planted in what it compares."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from ratchet import clock
from ratchet.config import STATE_FOLDER
from ratchet.store.database import Database, sqlite_url
from ratchet.workspace import Workspace
from tests.soak import claims, clocks, redelivery, reliability, takeover
from tests.soak.tally import Tally

MINUTES = 2


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which two schedulers claimed the slots of some minutes."""
    folder = tmp_path_factory.mktemp("claims") / "shop"
    slots, faults = claims.claim(folder, processes=2, minutes=MINUTES)
    assert (slots, faults) == (claims.RULES * MINUTES, [])
    return folder


@pytest.fixture
def workspace(claimed: Path) -> Iterator[Workspace]:
    """The workspace of that project."""
    with Workspace(claimed) as workspace:
        yield workspace


def test_a_lost_job_of_a_slot_is_found(claimed: Path, workspace: Workspace) -> None:
    """Two schedulers claim each slot once; a slot without its job, or without its tick, is found."""
    assert claims.wrong(workspace, MINUTES) == []
    assert claims.wrong(workspace, MINUTES + 1) != []
    with closing(Database(sqlite_url(claimed / STATE_FOLDER / "ratchet.db"))) as database:
        with database.write() as transaction:
            query = "SELECT min(workflow_uuid) FROM workflow_status WHERE name = 'dispatch'"
            job = transaction.execute(text(query)).scalar_one()
            transaction.execute(text("DELETE FROM workflow_status WHERE workflow_uuid = :job"), {"job": job})
        assert claims.wrong(workspace, MINUTES) == [
            f"{claims.RULES * MINUTES - 1} jobs for {claims.RULES * MINUTES} slots"
        ]


def test_what_a_redelivery_lost_or_added_is_found() -> None:
    """An act that is missing and one that is there twice are told apart."""
    first, second = ("rule.fired", "two", "A", "event-1"), ("sample.taken", "churn", "B", "A")
    calm = Counter([first, second])
    assert redelivery.differences(calm, Counter([second, first])) == []
    assert redelivery.differences(calm, Counter([first])) == [f"lost: {second[:3]}"]
    assert redelivery.differences(calm, Counter([first, first, second])) == [f"done twice or new: {first[:3]}"]


def test_a_shifted_clock_moves_the_time_of_day_alone(tmp_path: Path) -> None:
    """A process under way sees another day at once, in Python and in SQLite, and sleeps as long as it always did."""
    code = (
        "import datetime, sqlite3, sys, time\n"
        "for line in sys.stdin:\n"
        "    before = time.monotonic()\n"
        "    time.sleep(0.01)\n"
        "    day = datetime.datetime.now(datetime.UTC).date().isoformat()\n"
        "    same = sqlite3.connect(':memory:').execute(\"select date('now')\").fetchone()[0]\n"
        "    print(day, same, time.monotonic() - before < 3600, flush=True)\n"
    )
    file = tmp_path / "shift"
    clocks.shift(file, 0)
    variables = clocks.variables(tmp_path, file)
    if variables is None:
        pytest.skip("no C compiler is installed")
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **variables}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for days in (0, 1, -1, 0):
            clocks.shift(file, days)
            told = set()
            for moment in (clock.real_seconds(), clock.real_seconds() + 60):  # midnight may come in between
                day = datetime.fromtimestamp(moment + days * 86_400, UTC).date()
                told.add(f"{day} {day} True")
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() in told
        process.stdin.close()


def test_a_takeover_that_takes_too_long_is_found() -> None:
    """Ten seconds are allowed."""
    assert takeover.too_long(9.9) == []
    assert takeover.too_long(10.1) == ["a run stood still for 10.1 s"]


def test_the_page_has_what_was_counted(tmp_path: Path) -> None:
    """Figures and faults stand between the marks, what was not counted is named, and the rest stays as it was."""
    page = tmp_path / "reliability.md"
    page.write_text(f"Before.\n\n{reliability.BEGIN}old\n{reliability.END}\nAfter.\n")
    tally = Tally(tmp_path)
    tally.add("kills", counts={"kills": 1200, "kills of server": 1200, "accepted": 7}, faults=[], database="sqlite")
    tally.add("takeover", counts={"blows": 1}, faults=["slow"], seconds=11.5, blow="killed")
    reliability.write(tally, page)
    text = page.read_text()
    assert text.startswith("Before.\n\n")
    assert text.endswith("\nAfter.\n")
    assert "| `kill -9`, SQLite (server 1,200) | 1,200 | 7 events | 0 |" in text
    assert "| Workers killed in a step | 1 | median 11.5 s, longest 11.5 s | 1 |" in text
    assert "Not counted yet: `kill -9`, PostgreSQL;" in text
    assert "old" not in text
