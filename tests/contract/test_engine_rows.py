"""What we write into DBOS's tables beside DBOS: rows like its own, on SQLite and on PostgreSQL."""

import contextlib
import inspect
import threading
from typing import Any

import pytest
from dbos import DBOS
from dbos._dbos import _get_dbos_instance
from sqlalchemy import text

from ratchet.engine.queues import Limit, _Looking
from ratchet.engine.runs import INTERPRETER, JobContext
from ratchet.errors import StepFailed
from tests.contract.databases import OnPostgreSQL, OnSQLite
from tests.contract.hosts import Host, HostContract
from tests.waiting import PATIENCE_SECONDS


def _fail() -> None:
    raise StepFailed(step="s", error_type="ValueError", message="no")


def _without_times(step: Any) -> dict[str, Any]:
    return {name: str(value) for name, value in step.items() if not name.endswith("_epoch_ms")}


class EngineRowContract(HostContract):
    """The promises; a subclass says on which database."""

    def test_what_is_recorded_looks_like_the_engine_s_own(self, host: Host) -> None:
        """A step's row has the same columns, filled alike, as one that DBOS records itself, and is read back by it."""

        def work(context: JobContext, spec: dict[str, Any]) -> Any:
            step = context.step if spec["is_ours"] else lambda name, function: DBOS.run_step({"name": name}, function)
            with contextlib.suppress(StepFailed):
                step("fails", _fail)
            return step("gives", lambda: {"x": [1, None]})

        host.launch(work)
        for job, is_ours in (("ours", True), ("theirs", False)):
            host.enqueue(job, {"is_ours": is_ours})
            assert host.wait(job) == ("SUCCESS", {"x": [1, None]})
        ours, theirs = (DBOS.list_workflow_steps(job) for job in ("ours", "theirs"))
        assert [_without_times(one) for one in ours] == [_without_times(one) for one in theirs]
        table = "operation_outputs" if host.database.is_sqlite else "dbos.operation_outputs"
        with host.database.read() as connection:
            rows = (
                connection.execute(text(f"SELECT * FROM {table} ORDER BY workflow_uuid, function_id")).mappings().all()
            )
        assert len(rows) == 4
        for mine, other in zip(rows[:2], rows[2:], strict=True):
            assert set(mine) == set(other) >= {"started_at_epoch_ms", "completed_at_epoch_ms", "retention_timestamp"}
            for name in mine:
                if name.endswith(("_epoch_ms", "_timestamp")):
                    assert abs(mine[name] - other[name]) < 60_000, name
                elif name != "workflow_uuid":
                    assert mine[name] == other[name], name

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_job_is_taken_and_ended_as_the_engine_does_it(self, host: Host, fails: bool) -> None:
        """Its rows are, while it is under way and when it has ended, those of a job that DBOS took and ended itself."""
        schema = "" if host.database.is_sqlite else "dbos."
        under_way: dict[str, list[dict[str, Any]]] = {}

        def rows(job: str) -> list[dict[str, Any]]:
            found = []
            with host.database.read() as connection:
                for table in ("workflow_status", "workflow_input", "workflow_output"):
                    asked = text(f"SELECT * FROM {schema}{table} WHERE workflow_uuid = :job")
                    found += [dict(row) for row in connection.execute(asked, {"job": job}).mappings()]
            return found

        def work(_context: JobContext, spec: dict[str, Any]) -> int:
            under_way[spec["job"]] = rows(spec["job"])
            if fails:
                _fail()
            return 1

        host.runs.register("act", work)
        for job, limits in (("ours", {}), ("theirs", {"reactions": Limit(at_once=100)})):
            host.enqueue(job, {"job": job})
            host.runs._claimant.ends_jobs = job == "ours" and host.database.is_sqlite
            host.runs.launch(limits=limits)
            host.wait(job)
            host.runs.close()
        assert len(under_way["ours"]) == 2
        assert under_way["ours"][0]["status"] == "PENDING"
        assert len(rows("ours")) == 3
        own = {"workflow_uuid", "owner_xid", "creator_xid", "inputs", "executor_id"}
        for found in (under_way, {job: rows(job) for job in under_way}):
            for mine, other in zip(found["ours"], found["theirs"], strict=True):
                assert list(mine) == list(other)
                assert bool(mine.get("owner_xid")) == bool(other.get("owner_xid"))
                for name in set(mine) - own:
                    if isinstance(mine[name], int) and mine[name] > 1_000_000:
                        assert abs(mine[name] - other[name]) < 60_000, name
                    else:
                        assert mine[name] == other[name], name

    def test_a_job_that_ends_behind_the_engine_has_ended(self, host: Host) -> None:
        """One that was under way when the engine was closed says how it ended, and is not carried out again."""
        begun, goes_on = threading.Event(), threading.Event()

        def work(*_: Any) -> int:
            begun.set()
            assert goes_on.wait(PATIENCE_SECONDS), "the engine is closed"
            return 1

        host.launch(work)
        host.enqueue("job")
        assert begun.wait(PATIENCE_SECONDS), "the job has not begun"
        host.runs.close()
        goes_on.set()
        assert host.wait("job") == ("SUCCESS", 1)

    def test_a_job_whose_input_cannot_be_read_ends(self, host: Host) -> None:
        """With the reason, and not again at each start."""
        table = "workflow_input" if host.database.is_sqlite else "dbos.workflow_input"
        host.enqueue("job")
        with host.database.aside() as connection:
            connection.execute(text(f"UPDATE {table} SET inputs = 'no pickle'"))
        host.launch(lambda *_: 1)
        assert host.wait("job")[0] == "ERROR"
        assert host.runs.pending() == []

    def test_what_stands_in_for_the_engine_takes_what_that_takes(self, host: Host) -> None:
        """Each function that is replaced can be called as DBOS calls its own."""
        host.launch(lambda *_: 1)
        real = _get_dbos_instance()._sys_db
        looking = _Looking(_get_dbos_instance(), host.runs._claimant, lambda *_: None)
        replaced = [name for name in vars(looking._sys_db) if not name.startswith("_")]
        assert {"start_queued_workflows", "get_workflow_statuses"} <= set(replaced)
        for name in replaced:
            kinds = inspect.Parameter
            ours = inspect.signature(getattr(looking._sys_db, name)).parameters
            is_open = any(one.kind is kinds.VAR_KEYWORD for one in ours.values())
            for theirs in inspect.signature(getattr(real, name)).parameters.values():
                if theirs.kind is kinds.KEYWORD_ONLY:
                    assert is_open or theirs.name in ours, f"{name}({theirs.name}=...)"

    def test_jobs_are_taken_in_the_order_in_which_they_came(self, host: Host) -> None:
        """Each once, no more than there is room for, and none of another version."""
        table = "workflow_status" if host.database.is_sqlite else "dbos.workflow_status"
        for number in range(5):
            host.enqueue(f"job-{number}")
            with host.database.aside() as connection:
                # Apart in time, against the order of their names.
                connection.execute(
                    text(f"UPDATE {table} SET created_at = created_at - :ms WHERE workflow_uuid = :job"),
                    {"ms": 1000 * number, "job": f"job-{number}"},
                )
        with host.database.aside() as connection:
            other = "UPDATE {} SET application_version = 'another' WHERE workflow_uuid = 'job-3'"
            connection.execute(text(other.format(table)))

        def take(room: int) -> list[str]:
            taken = host.runs._claimant.take("reactions", room, executor="me", version=INTERPRETER, owner="x")
            return [str(one["workflow_uuid"]) for one in taken]

        assert [take(0), take(2), take(9), take(9)] == [[], ["job-4", "job-2"], ["job-1", "job-0"], []]


class TestEngineRowsOnSQLite(OnSQLite, EngineRowContract):
    """On the file of a laptop."""


class TestEngineRowsOnPostgreSQL(OnPostgreSQL, EngineRowContract):
    """On a server."""
