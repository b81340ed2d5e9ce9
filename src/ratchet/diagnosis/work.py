"""Processes, jobs, the prediction log, the newest backup: whether work goes on.

Invariant: asking for a lock takes none, and asking for jobs takes none.
"""

import http.client
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from ratchet import clock
from ratchet.backups import taking
from ratchet.diagnosis.findings import Finding, Status, counted
from ratchet.diagnosis.place import Place
from ratchet.engine import jobs, workers
from ratchet.engine.jobs import Job
from ratchet.engine.processes import is_locked
from ratchet.loop import registry
from ratchet.loop.serving import claim
from ratchet.loop.serving.claim import Holder
from ratchet.loop.serving.log import spool_files
from ratchet.store import soundness
from ratchet.store.database import Database

PROCESSES, WORK, LOG, BACKUP = "processes", "jobs", "prediction log", "backup"
REACTION_SECONDS = 600.0
WAITING_SECONDS = 3600.0
SPOOL_SECONDS = 600.0
BACKUP_DAYS = 7
_ASK_SECONDS = 3.0
_SHOWN = 3
_OK_STATUS = 200


class Work:
    """Checks of what goes on.

    Args:
        place: Where.
        database: Opened for looking, ``None`` where it does not answer.
    """

    def __init__(self, place: Place, database: Database | None) -> None:
        self._place = place
        self._database = database if database is not None and _has_tables(database) else None
        self._now = clock.real_seconds()

    # ---- processes

    def check_executor(self) -> Iterator[Finding]:
        """Ask who carries out jobs."""
        lock = self._place.state / "executor.lock"
        holder = lock.read_text().strip() if lock.exists() else ""
        if is_locked(lock):
            self._place.is_running = True
            yield Finding(area=PROCESSES, check="executor", status="ok", said=f"process {holder} runs the workspace")
            return
        alive = self._alive()
        self._place.is_running = bool(alive)
        if alive:
            said = ", ".join(f"{one.worker.kind} {one.worker.pid} on {one.worker.host}" for one in alive)
            yield Finding(area=PROCESSES, check="executor", status="ok", said=said)
        else:
            said = "nobody runs the workspace; commands work, rules and schedules do not"
            yield Finding(area=PROCESSES, check="executor", status="warning", said=said, remedy="Start it: ratchet up")

    def _alive(self) -> list[workers.Seen]:
        # In a file a row says nothing: whoever runs it holds the lock.
        if self._place.is_file or self._database is None:
            return []
        with self._database.read() as connection:
            return [one for one in workers.seen(connection) if one.is_alive]

    def check_endpoint(self) -> Iterator[Finding]:
        """Ask the endpoint process whether it is ready."""
        holder = claim.holder(self._place.state / "serving")
        live = self._live()
        if holder is None:
            if live and self._place.is_running:
                said, remedy = f"no process serves {', '.join(live)}", "See why: .ratchet/logs/endpoint.log"
                yield Finding(area=PROCESSES, check="endpoint", status="problem", said=said, remedy=remedy)
            elif live:
                said, remedy = f"no process serves {', '.join(live)}", "Start the workspace: ratchet up"
                yield Finding(area=PROCESSES, check="endpoint", status="warning", said=said, remedy=remedy)
            else:
                yield Finding(area=PROCESSES, check="endpoint", status="ok", said="nothing is to be served")
            return
        where = f"process {holder.pid} at {holder.host}:{holder.port}"
        problem = _ask(holder)
        if problem:
            remedy = f"See .ratchet/logs/endpoint.log; end it, and it is started again: kill {holder.pid}"
            said = f"{where} does not answer: {problem}"
            yield Finding(area=PROCESSES, check="endpoint", status="problem", said=said, remedy=remedy)
        elif not self._place.is_running:
            said = f"{where} serves, and nobody collects its log"
            remedy = "Start the workspace, which goes on with it: ratchet up"
            yield Finding(area=PROCESSES, check="endpoint", status="warning", said=said, remedy=remedy)
        else:
            yield Finding(area=PROCESSES, check="endpoint", status="ok", said=f"{where} is ready")

    def _live(self) -> list[str]:
        if self._database is None:
            return []
        with self._database.read() as connection:
            return [one.endpoint for one in registry.releases(connection, statuses=("live",))]

    # ---- jobs

    def check_jobs(self) -> Iterator[Finding]:
        """Look for jobs that nobody will finish."""
        if self._database is None:
            return
        with self._database.read() as connection:
            found = jobs.unfinished(connection)
        given_up = [one for one in found if one.status == jobs.GIVEN_UP]
        orphans = [one for one in found if one.is_orphan and one not in given_up]
        late = [one for one in found if one not in given_up and one not in orphans and self._is_late(one)]
        if given_up:
            remedy = "See why they died in .ratchet/logs/up.log, and give the command again."
            yield _about(given_up, "given up", status="problem", remedy=remedy)
        if orphans:
            remedy = "Run them with the version of mlratchet that made them, then upgrade."
            yield _about(orphans, "of a kind or version that this Ratchet does not carry out", "problem", remedy)
        if late and self._place.is_running:
            remedy = "See .ratchet/logs/up.log and ratchet runs; a restart goes on where they are: ratchet up"
            yield _about(late, "late, though the workspace runs", status="problem", remedy=remedy)
        elif late:
            remedy = "They are carried out at the next start: ratchet up"
            yield _about(late, "waiting for somebody to run the workspace", status="warning", remedy=remedy)
        if not given_up and not orphans and not late:
            yield Finding(area=WORK, check="waiting", status="ok", said=f"{len(found)} under way, none stuck")

    def _is_late(self, job: Job) -> bool:
        age = self._now - job.created_seconds
        if job.name in ("dispatch", "act"):
            return age > REACTION_SECONDS
        limits = self._place.config.limits if self._place.config else None
        longest = limits.timeout_seconds * limits.attempts if limits and job.status == "PENDING" else WAITING_SECONDS
        return age > max(WAITING_SECONDS, longest)

    def check_runs(self) -> Iterator[Finding]:
        """Look for runs that say they are under way, and of which there is no job."""
        if self._database is None:
            return
        known = {one.id for one in registry.runs(self._database, limit=500) if one.status in ("queued", "running")}
        with self._database.read() as connection:
            waiting = {job.id.removeprefix("run:") for job in jobs.unfinished(connection)}
        lost = sorted(known - waiting)
        if lost:
            said = f"{counted(len(lost), 'run')} under way by name, and without a job: {', '.join(lost[:_SHOWN])}"
            remedy = "Start them again: ratchet run PIPELINE"
            yield Finding(area=WORK, check="runs", status="problem", said=said, remedy=remedy)
        else:
            yield Finding(area=WORK, check="runs", status="ok", said=f"{len(known)} under way")

    # ---- log and backup

    def check_log(self) -> Iterator[Finding]:
        """Look for parts of the prediction log that nobody collects or seals."""
        files = spool_files(self._place.state / "serving")
        sizes = [one.path.stat() for one in files]
        total, oldest = (
            sum(one.st_size for one in sizes),
            min((one.st_mtime for one in sizes if one.st_size), default=0),
        )
        closed = [one for one in files if one.is_closed and one.path.stat().st_size]
        said = f"{counted(len(files), 'file')}, {total / 1e6:,.1f} MB"
        is_late = bool(closed) and self._now - oldest > SPOOL_SECONDS
        remedy = "They are collected while the workspace runs: ratchet up"
        if is_late and self._place.is_running:
            remedy = "The workspace runs and does not collect them: see .ratchet/logs/up.log"
            yield Finding(area=LOG, check="spool", status="problem", said=said, remedy=remedy)
        elif is_late:
            yield Finding(area=LOG, check="spool", status="warning", said=said, remedy=remedy)
        else:
            yield Finding(area=LOG, check="spool", status="ok", said=said)
        yield from self._open_days()

    def _open_days(self) -> Iterator[Finding]:
        today = self._today()
        days = [path.name for path in (self._place.state / "predictions").glob("*/open/*") if path.is_dir()]
        old = sorted(day for day in days if _day(day) is not None and (today - (_day(day) or today)).days >= 2)  # noqa: PLR2004, yesterday is sealed today
        if old:
            said = f"{counted(len(old), 'day')} over and not sealed, first {old[0]}"
            status: Status = "warning"
            remedy = "They are sealed while the workspace runs: ratchet up"
            if self._place.is_running:
                status, remedy = "problem", "The workspace runs and does not seal them: see .ratchet/logs/up.log"
            yield Finding(area=LOG, check="days", status=status, said=said, remedy=remedy)
        else:
            yield Finding(area=LOG, check="days", status="ok", said=f"{len(days)} open, none that is over")

    def _today(self) -> date:
        simulated = self._place.state / "clock"
        if simulated.exists():
            return clock.from_us(int.from_bytes(simulated.read_bytes(), "little", signed=True)).date()
        return datetime.fromtimestamp(self._now, UTC).date()

    def check_backup(self) -> Iterator[Finding]:
        """Ask when the workspace was saved last."""
        found = taking.last(self._place.state)
        remedy = "Take one: ratchet backup FILE.tar.zst"
        if found is None:
            said = "none was taken by ratchet backup"
            yield Finding(area=BACKUP, check="newest", status="warning", said=said, remedy=remedy)
            return
        age = timedelta(seconds=self._now - datetime.fromisoformat(found.taken_at).timestamp())
        said = f"{found.path}, {counted(age.days, 'day')} old, over {found.entries:,} entries"
        if age.days > BACKUP_DAYS:
            yield Finding(area=BACKUP, check="newest", status="warning", said=said, remedy=remedy)
        else:
            yield Finding(area=BACKUP, check="newest", status="ok", said=said)


def _has_tables(database: Database) -> bool:
    with database.read() as connection:
        return soundness.schema_version(connection) > 0


def _about(found: list[Job], what: str, status: Status, remedy: str) -> Finding:
    said = f"{counted(len(found), 'job')} {what}: {', '.join(one.id for one in found[:_SHOWN])}"
    return Finding(area=WORK, check="waiting", status=status, said=said, remedy=remedy)


def _ask(holder: Holder) -> str:
    connection = http.client.HTTPConnection(holder.host, holder.port, timeout=_ASK_SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if status == _OK_STATUS else f"it answers {status}"


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
