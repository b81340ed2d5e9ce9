"""An attempt at a job: carries out its steps in order, and passes over those that an earlier attempt has recorded.

Invariant: a step is recorded once, by the attempt that owns the job at that moment; what is recorded are rows as DBOS
would have written them, so that its listing, its collection and its recovery see no difference.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, TextClause, text

from ratchet import clock
from ratchet.errors import DatabaseAway, NondeterministicPipeline, RunCancelled
from ratchet.records import Record
from ratchet.store.database import BrokenOff, Database, refuse_inside_write


class Statements:
    """What is asked and written about jobs and their steps, composed once for a database.

    Args:
        is_sqlite: Whether it is SQLite; PostgreSQL keeps the engine's tables in a schema of their own.
    """

    def __init__(self, *, is_sqlite: bool) -> None:
        schema = "" if is_sqlite else "dbos."
        # On PostgreSQL the row stays locked until the commit, so that the job cannot be handed on in between.
        lock = "" if is_sqlite else " FOR NO KEY UPDATE"
        owner = f"SELECT status, owner_xid FROM {schema}workflow_status WHERE workflow_uuid = :job"  # noqa: S608, constants
        self.owner: TextClause = text(owner)
        self.locked_owner: TextClause = text(owner + lock)
        self.recorded: TextClause = text(
            "SELECT s.status, o.function_id, o.function_name, o.output, o.error, o.serialization "  # noqa: S608, constants
            f"FROM {schema}workflow_status s LEFT JOIN {schema}operation_outputs o "
            "ON o.workflow_uuid = s.workflow_uuid WHERE s.workflow_uuid = :job ORDER BY o.function_id"
        )
        # Nothing comes back where the job is another attempt's. A row that was there already and has the same time is
        # this one, whose reply was lost.
        self.record: TextClause = text(
            f"INSERT INTO {schema}operation_outputs AS o "  # noqa: S608, constants
            "(workflow_uuid, function_id, function_name, output, error, serialization, application_name, "
            "started_at_epoch_ms, completed_at_epoch_ms, retention_timestamp) "
            "SELECT workflow_uuid, :number, :name, :output, :error, :serialization, :application, "
            f":began, :ended, :ended FROM {schema}workflow_status "
            f"WHERE workflow_uuid = :job AND owner_xid = :token{lock} "
            "ON CONFLICT (workflow_uuid, function_id) DO UPDATE SET completed_at_epoch_ms = o.completed_at_epoch_ms "
            "RETURNING completed_at_epoch_ms"
        )


class _Recorded(Record, frozen=True):
    number: int
    name: str
    output: str | None
    error: str | None
    serialization: str | None


class Attempt:
    """The context of one job that DBOS carries out, made inside it.

    Args:
        database: Where jobs are recorded.
        statements: For that database.
    """

    def __init__(self, database: Database, statements: Statements) -> None:
        from dbos import DBOS
        from dbos._context import current_owner_xid
        from dbos._dbos import _get_dbos_instance

        assert DBOS.workflow_id is not None, "a context is made inside a job"
        self._database = database
        self._statements = statements
        self.job_id: str = DBOS.workflow_id
        self._token = current_owner_xid(self.job_id)
        self._system = _get_dbos_instance()._sys_db
        self._serializer, self._application = self._system.serializer, self._system.app_name
        self._asked = 0
        self._known: dict[int, _Recorded] | None = None

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Carry out a part once, or return what it gave the first time.

        Raises:
            NondeterministicPipeline: Another step was recorded at this place.
            RunCancelled: Somebody cancelled the job.
        """
        refuse_inside_write("A step")
        # What the engine writes about a step may find the server away as well; that breaks the job off.
        with self._database.telling():
            known = self._read()
            self._asked += 1
            recorded = known.get(self._asked)
            return self._carry_out(name, function) if recorded is None else self._again(recorded, name)

    def _again(self, recorded: _Recorded, name: str) -> Any:
        from dbos._serialization import deserialize_exception, deserialize_value

        if recorded.name != name:
            raise NondeterministicPipeline(pipeline=self.job_id, expected=f"step '{recorded.name}'", found=name)
        if recorded.error is not None:
            raise deserialize_exception(recorded.error, recorded.serialization, self._serializer)
        return deserialize_value(recorded.output, recorded.serialization, self._serializer)

    def _carry_out(self, name: str, function: Callable[[], Any]) -> Any:
        from dbos._serialization import serialize_exception, serialize_value

        began = _milliseconds()
        try:
            result = function()
        except Exception as error:
            kept, serialization = serialize_exception(error, None, self._serializer)
            self._record(name, began, output=None, error=kept, serialization=serialization)
            raise
        value, serialization = serialize_value(result, None, self._serializer)
        self._record(name, began, output=value, error=None, serialization=serialization)
        return result

    def _read(self) -> dict[int, _Recorded]:
        """Return what is recorded of this job, by number: asked once, since from then on only its owner records.

        A number is missing where a step has failed in a way that could not be recorded, and the job went on.
        """
        if self._known is None:
            with self._database.read() as connection:
                rows = connection.execute(self._statements.recorded, {"job": self.job_id}).all()
            if rows and rows[0].status == "CANCELLED":
                raise self._cancelled()
            self._known = {row.function_id: _Recorded(*row[1:]) for row in rows if row.function_id is not None}
        return self._known

    def _record(
        self, name: str, began: int, *, output: str | None, error: str | None, serialization: str | None
    ) -> None:
        from dbos._error import DBOSWorkflowConflictIDError
        from dbos._sys_db import db_retry

        step = _Recorded(self._asked, name, output, error, serialization)
        ended = _milliseconds()
        own = {"job": self.job_id, "token": self._token, "application": self._application}
        row = {**msgspec.structs.asdict(step), **own, "began": began, "ended": ended}

        # As DBOS has it: a server that is away and a file that is locked are waited for.
        @db_retry(sys_db=self._system)
        def write() -> int | None:
            with self._database.at_once() as connection:
                found: int | None = connection.execute(self._statements.record, row).scalar()
                return found

        recorded = write()
        if recorded is None:
            # Whoever cancels a job takes it away from its process, which finds that out when it records something.
            raise self._cancelled() if self._was_cancelled() else DBOSWorkflowConflictIDError(self.job_id)
        if recorded != ended:
            raise NondeterministicPipeline(pipeline=self.job_id, expected="one step at this place", found=name)
        # Only what it is called is asked for again.
        self._read()[step.number] = msgspec.structs.replace(step, output=None, error=None)

    def recorded_steps(self) -> list[str]:
        """Return the names of the steps that attempts of this job have recorded, in order."""
        return [one.name for one in self._read().values()]

    def catch_up(self) -> list[tuple[str, Any]]:
        """Pass over what earlier attempts have recorded and this one did not come to; names and results, in order."""
        passed = []
        for one in [one for one in self._read().values() if one.number > self._asked]:
            self._asked = one.number - 1
            passed.append((one.name, self.step(one.name, _never)))
        return passed

    def is_cancelled(self) -> bool:
        """Tell whether somebody cancelled this job, or another process has taken it over."""
        try:
            row = self._owner()
        except (BrokenOff, DatabaseAway):
            return False  # nobody knows; what a child computes meanwhile is not lost by that
        return row is None or row.status == "CANCELLED" or row.owner_xid != self._token

    def _owner(self) -> Any:
        with self._database.read() as connection:
            return connection.execute(self._statements.owner, {"job": self.job_id}).one_or_none()

    def _was_cancelled(self) -> bool:
        row = self._owner()
        return row is not None and row.status == "CANCELLED"

    def _cancelled(self) -> RunCancelled:
        return RunCancelled(run_id=self.job_id.partition(":")[2])

    def refuse_superseded(self, transaction: Connection) -> None:
        """Keep an attempt that was taken for dead from writing; called first in each of its write transactions.

        One that was cancelled may still write down what it has cost: nobody else can, and nobody will go on with it.
        The row stays locked until the end, so that the job cannot be handed on between this look and the commit.
        """
        if self._database.is_sqlite:
            return  # nobody else can have taken it: one process at a time, by its lock
        from dbos._error import DBOSWorkflowConflictIDError

        row = transaction.execute(self._statements.locked_owner, {"job": self.job_id}).one_or_none()
        if row is None or (row.owner_xid != self._token and row.status != "CANCELLED"):
            # What DBOS raises itself where an attempt records a step that is another's by now; it ends such attempts.
            raise DBOSWorkflowConflictIDError(self.job_id)


def _milliseconds() -> int:
    return int(clock.real_seconds() * 1000)


def _never() -> Any:
    """Stand in for what was recorded, and is not done again."""
    message = "a recorded step is not carried out"
    raise AssertionError(message)
