"""The database, the ledger in it, and what the ledger's clock says.

Invariant: the database is opened for looking alone; where it does not answer, that is one finding, and the checks that
need it are left out.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from ratchet import clock
from ratchet.diagnosis.findings import Finding
from ratchet.diagnosis.place import Place
from ratchet.store import soundness
from ratchet.store.anchors import FileAnchor
from ratchet.store.checkpoints import BESIDE, parse_checkpoint
from ratchet.store.database import Database
from ratchet.store.migrations import LATEST

DATABASE, LEDGER, CLOCK = "database", "ledger", "clock"
SKEW_SECONDS = 2.0
_AHEAD = timedelta(seconds=5)
_BACK = timedelta(seconds=1)


class Storage:
    """Checks of a database that answers.

    Args:
        place: Where.
        database: Opened for looking.
    """

    def __init__(self, place: Place, database: Database) -> None:
        self._place = place
        self._database = database

    def check_database(self) -> Iterator[Finding]:
        """Look at version, settings, damage, schema."""
        with self._database.read() as connection:
            version, problem = soundness.version_problem(connection)
            unsafe = soundness.unsafe_settings(connection)
            found = soundness.schema_version(connection)
        if problem:
            remedy = "Install a newer one."
            yield Finding(area=DATABASE, check="version", status="problem", said=f"{version}: {problem}", remedy=remedy)
        else:
            yield Finding(area=DATABASE, check="version", status="ok", said=version)
        if unsafe:
            said = f"a power failure may cost what was accepted: {', '.join(unsafe)}"
            remedy = "Switch them on in postgresql.conf, and reload the server."
            yield Finding(area=DATABASE, check="settings", status="problem", said=said, remedy=remedy)
        elif not self._place.is_file:
            yield Finding(area=DATABASE, check="settings", status="ok", said="what was confirmed is on the disk")
        yield _schema(found)

    def check_pages(self) -> Iterator[Finding]:
        """Have SQLite read all pages."""
        if not self._place.is_file:
            return
        file = self._place.database_file
        problem = soundness.damage(file)
        if problem:
            said, remedy = f"damaged: {problem}", "Restore a backup: ratchet restore FILE FOLDER"
            yield Finding(area=DATABASE, check="pages", status="problem", said=said, remedy=remedy)
        else:
            size = file.stat().st_size / 1e6
            yield Finding(area=DATABASE, check="pages", status="ok", said=f"all pages sound ({size:,.1f} MB)")

    def check_numbers(self) -> Iterator[Finding]:
        """Look for gaps in the ledger, and hash its end again."""
        with self._database.read() as connection:
            if not soundness.schema_version(connection):
                return
            known = soundness.numbers(connection)
        remedy = "See what is missing: ratchet ledger verify. Then restore a backup."
        if known.is_dense:
            yield Finding(area=LEDGER, check="numbers", status="ok", said=f"{known.count:,} entries, none missing")
        else:
            said = f"{known.count:,} entries from {known.first:,} to {known.last:,}: some are missing"
            yield Finding(area=LEDGER, check="numbers", status="problem", said=said, remedy=remedy)
        if not known.count:
            return
        problem = soundness.tail_problem(self._database, known) or self._beside(known.last)
        if problem:
            remedy = "Read all of it: ratchet ledger verify"
            yield Finding(area=LEDGER, check="proof", status="problem", said=problem, remedy=remedy)
        elif known.tree_size < known.last:
            said = (
                f"its tree covers {known.tree_size:,} of {known.last:,} entries; the next checkpoint brings in the rest"
            )
            yield Finding(area=LEDGER, check="proof", status="ok", said=said)
        else:
            said = "the newest entries are as they were written; all of them: ratchet ledger verify"
            yield Finding(area=LEDGER, check="proof", status="ok", said=said)

    def _beside(self, last: int) -> str:
        path = self._place.state / BESIDE
        held = FileAnchor(path).read() if path.exists() else []
        size = parse_checkpoint(held[-1], where=BESIDE)[0].size if held else 0
        return f"{BESIDE} has a checkpoint over {size:,} entries, and there are {last:,}" if size > last else ""

    def check_clock(self) -> Iterator[Finding]:
        """Compare this machine's time with the newest entries and with the server's."""
        simulated = self._place.state / "clock"
        if simulated.exists():
            microseconds = int.from_bytes(simulated.read_bytes(), "little", signed=True)
            said = f"simulated in this workspace, and stands at {clock.from_us(microseconds):%Y-%m-%d %H:%M} UTC"
            yield Finding(area=CLOCK, check="time", status="ok", said=said)
            return
        yield from self._times(datetime.fromtimestamp(clock.real_seconds(), UTC))
        with self._database.read() as connection:
            theirs, ours = soundness.server_seconds(connection), clock.real_seconds()
        if theirs is not None:
            apart = abs(theirs - ours)
            said = f"the server's clock is {apart:.1f} s from this machine's"
            if apart > SKEW_SECONDS:
                remedy = "Let both keep the same time: timedatectl set-ntp true"
                yield Finding(area=CLOCK, check="server", status="problem", said=said, remedy=remedy)
            else:
                yield Finding(area=CLOCK, check="server", status="ok", said=said)

    def _times(self, now: datetime) -> Iterator[Finding]:
        with self._database.read() as connection:
            moments = soundness.newest_times(self._database) if soundness.schema_version(connection) else []
        if moments and max(moments) > now + _AHEAD:
            said = f"an entry was recorded at {max(moments):%Y-%m-%d %H:%M:%S}, and it is {now:%Y-%m-%d %H:%M:%S} UTC"
            remedy = "This machine's clock was set back, or another's is ahead: timedatectl set-ntp true"
            yield Finding(area=CLOCK, check="time", status="problem", said=said, remedy=remedy)
            return
        back = [one for one, following in pairwise(moments) if following < one - _BACK]
        if back:
            said = f"among the newest {len(moments)} entries the clock went back after {back[-1]:%Y-%m-%d %H:%M:%S}"
            remedy = "Ages and levels may be off by as much. Let the clock be kept: timedatectl set-ntp true"
            yield Finding(area=CLOCK, check="time", status="warning", said=said, remedy=remedy)
        else:
            yield Finding(area=CLOCK, check="time", status="ok", said=f"{now:%Y-%m-%d %H:%M:%S} UTC, no entry is later")


def _schema(found: int) -> Finding:
    said = f"schema version {found}, and this Ratchet knows {LATEST}"
    if found > LATEST:
        remedy = "Install a newer mlratchet: pip install --upgrade mlratchet"
        return Finding(area=DATABASE, check="schema", status="problem", said=said, remedy=remedy)
    if 0 < found < LATEST:
        remedy = "Take a backup; the next command brings it up to date, and keeps a copy of a file as it was."
        return Finding(area=DATABASE, check="schema", status="warning", said=said, remedy=remedy)
    if not found:
        remedy = "Nothing is in it yet: the first command makes the tables."
        return Finding(area=DATABASE, check="schema", status="warning", said="it has no tables of ours", remedy=remedy)
    return Finding(area=DATABASE, check="schema", status="ok", said=f"schema version {found}")


def is_there(place: Place) -> bool:
    """Tell whether a database may be asked for: a file that is not there yet is no problem."""
    return not place.is_file or os.path.lexists(place.database_file)
