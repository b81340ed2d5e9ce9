"""Taking jobs from a line, and saying how they ended: by statements that are composed once, where DBOS composes anew.

Invariant: a job is found and marked as taken by one statement, so that no two processes take it, and ends once, by who
has it then; the rows are as DBOS would have written them, so that its recovery sees no difference.
"""

import sys
from typing import Any

from sqlalchemy import Row, TextClause, text

from ratchet.store.database import Database

# What DBOS reads of a job before it carries it out; two of them have another name there.
_READ = (
    "workflow_uuid, status, name, recovery_attempts, config_name, class_name, authenticated_user, authenticated_roles, "
    "assumed_role, queue_name, executor_id, created_at, updated_at, application_version, application_id, "
    "workflow_deadline_epoch_ms, workflow_timeout_ms, deduplication_id, priority, queue_partition_key, forked_from, "
    "parent_workflow_id, started_at_epoch_ms, serialization, delay_until_epoch_ms, attributes, schedule_name, "
    "debounce_deadline_epoch_ms, is_debounced, application_name"
)
_CALLED = {"application_version": "app_version", "application_id": "app_id"}
# As DBOS asks for the time there; the database knows the second form wherever it is asked.
_NOW_IN_FILE = (
    "CAST(strftime('%s', 'now') * 1000 AS BIGINT)"
    if sys.version_info < (3, 12)
    else "CAST(unixepoch('subsec') * 1000 AS BIGINT)"
)
_END = text(
    "UPDATE workflow_status SET status = :status, deduplication_id = NULL, owner_xid = NULL, "  # noqa: S608, constants
    f"updated_at = {_NOW_IN_FILE}, completed_at = {_NOW_IN_FILE} "
    "WHERE workflow_uuid = :job AND status = 'PENDING' AND (:owner IS NULL OR owner_xid = :owner)"
)
_KEEP_OUTPUT = text(
    "INSERT INTO workflow_output (workflow_uuid, output, error) VALUES (:job, :output, :error) "
    "ON CONFLICT (workflow_uuid) DO UPDATE SET output = excluded.output, error = excluded.error"
)


class Claimant:
    """What one process takes.

    Args:
        database: In which jobs wait.
        application: Whose they are.

    Attributes:
        ends_jobs: Whether ``end`` is to be called; a server is told by DBOS, by one statement.
    """

    def __init__(self, database: Database, application: str) -> None:
        self._database = database
        self._application = application
        self.ends_jobs = database.is_sqlite
        self._waiting, self._take = _statements(is_sqlite=database.is_sqlite)

    def take(self, queue: str, room: int, *, executor: str, version: str, owner: str) -> list[dict[str, Any]]:
        """Mark the next jobs of a line as taken by this process.

        Args:
            queue: The line.
            room: How many at most.
            executor: This process.
            version: The one that it carries out.
            owner: Names this taking: who records something for a job later is asked for it.

        Returns:
            What DBOS wants to know of each, in the order of the line.
        """
        wanted = {"queue": queue, "room": room, "version": version, "application": self._application}
        if room <= 0 or (self._database.is_sqlite and not self._waits(wanted)):
            return []  # to look must not take the lock of the file
        with self._database.at_once() as connection:
            rows = connection.execute(self._take, {**wanted, "executor": executor, "owner": owner}).all()
        return [_status(row) for row in sorted(rows, key=lambda row: (row.priority, row.created_at))]

    def end(
        self,
        system: Any,
        job_id: str,
        status: str,
        *,
        output: str | None = None,
        error: str | None = None,
        owner_xid: str | None = None,
    ) -> bool:
        """Say how a job ended, in a file.

        Args:
            system: DBOS's own database, as it was when the job was taken: jobs may end behind the engine.
            job_id: The job.
            status: How it ended.
            output: What it gave.
            error: What it raised.
            owner_xid: Who took it, where it was not begun; else it is known.

        Returns:
            Whether it was this attempt's; else somebody has cancelled it, or has it now.
        """
        from dbos._context import current_owner_xid
        from dbos._sys_db import db_retry

        row = {"job": job_id, "status": status, "owner": owner_xid or current_owner_xid(job_id)}

        # As DBOS has it: a file that is locked is waited for.
        @db_retry(sys_db=system)
        def write() -> bool:
            with self._database.jobs_engine.begin() as connection:
                if connection.execute(_END, row).rowcount == 0:
                    return False
                connection.execute(_KEEP_OUTPUT, {"job": job_id, "output": output, "error": error})
                return True

        return bool(write())

    def _waits(self, wanted: dict[str, Any]) -> bool:
        with self._database.read() as connection:
            return connection.execute(self._waiting, {**wanted, "room": 1}).first() is not None


def _status(row: Row[Any]) -> dict[str, Any]:
    found = {_CALLED.get(name, name): value for name, value in row._mapping.items()}
    return {**found, "is_debounced": bool(row.is_debounced), "shard_key": None}


def _statements(*, is_sqlite: bool) -> tuple[TextClause, TextClause]:
    """Return what finds the jobs of a line that wait, and what takes them."""
    schema = "" if is_sqlite else "dbos."
    # SQLite takes the index only where its own condition stands in the statement, word for word.
    indexed = " AND status IN ('ENQUEUED', 'PENDING')" if is_sqlite else ""
    waiting = (
        f"SELECT workflow_uuid FROM {schema}workflow_status "  # noqa: S608, constants
        f"WHERE queue_name = :queue AND status = 'ENQUEUED'{indexed} AND application_version = :version "
        "AND (application_name = :application OR application_name IS NULL) "
        "ORDER BY priority, created_at LIMIT :room"
    )
    # Apart, so that it is asked once: a limit inside the condition may be applied anew for each row.
    apart = "" if is_sqlite else f"WITH chosen AS MATERIALIZED ({waiting} FOR UPDATE SKIP LOCKED) "
    chosen = waiting if is_sqlite else "SELECT workflow_uuid FROM chosen"
    now = _NOW_IN_FILE if is_sqlite else "CAST(EXTRACT(epoch FROM now()) * 1000 AS BIGINT)"
    take = (
        f"{apart}UPDATE {schema}workflow_status "  # noqa: S608, constants
        "SET status = 'PENDING', owner_xid = :owner, executor_id = :executor, application_name = :application, "
        f"started_at_epoch_ms = {now}, updated_at = {now}, rate_limited = FALSE, "
        f"recovery_attempts = recovery_attempts + 1 WHERE workflow_uuid IN ({chosen}) AND status = 'ENQUEUED' "
        f"RETURNING {_READ}, coalesce((SELECT i.inputs FROM {schema}workflow_input i "
        f"WHERE i.workflow_uuid = {schema}workflow_status.workflow_uuid), inputs) AS inputs"
    )
    return text(waiting), text(take)
