"""Airflow 2 and 3: DAG runs, and the task instances that settings name.

Invariant: a run that another DAG set off goes back to the start of that run, however long the way; where the records do
not show which run it was, or turn in a circle, the start is unknown.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ratchet.importers.exports import Export, read_exports
from ratchet.importers.readings import Place, Reading, Sections, Witness, initiator_id, read, whole_of
from ratchet.importers.tables import kinds
from ratchet.importers.templates import look_up

SYSTEM = "airflow"
_TRIGGERING = "TriggerDagRunOperator"
_SET_OFF = ("manual", "operator_triggered")
RunKey = tuple[str, str]


def read_files(files: list[Path], *, sections: Sections, witness: Witness) -> tuple[list[Reading], dict[str, int]]:
    """Return what exported files stand for, and how many records Airflow claims to have.

    Args:
        files: Pages of DAG runs and task instances, in any mixture.
        sections: ``[import.airflow]``.
        witness: Who tells us.

    Raises:
        ExportUnreadable: A file is no export.
        RecordInvalid: A record lacks something, or says something impossible.
    """
    table = kinds(SYSTEM)
    export = read_exports(files, table)
    family = _Family(export)

    def reading(name: str, place: Place, record: dict[str, Any]) -> Reading:
        return read(table, name, record, place=place, sections=sections, witness=witness)

    runs: dict[RunKey, tuple[dict[str, Any], Reading]] = {}
    readings = []
    for place, record in export.of("dag_run"):
        one = reading("dag_run", place, record | {"parent": family.start_of_parent(record)})
        runs[_key(record)] = (record, one)
        readings.append(one)
    for place, record in export.of("task_instance"):
        one = reading("task_instance", place, _task(record, runs.get(_key(record))))
        readings += [one] if one.is_mapped else []
    return readings, {SYSTEM: _claimed(export, readings)} if export.claimed else {}


class _Family:
    """Which run was set off by a task of which other."""

    def __init__(self, export: Export) -> None:
        self._runs = {_key(record): record for _, record in export.of("dag_run")}
        self._tasks: dict[str, list[dict[str, Any]]] = {}
        for _, task in export.of("task_instance"):
            child = look_up(task, "rendered_fields.trigger_dag_id")
            if _TRIGGERING in str(task.get("operator") or task.get("operator_name") or "") and child:
                self._tasks.setdefault(str(child), []).append(task)

    def start_of_parent(self, run: dict[str, Any]) -> str | None:
        """Return the id of the event that began the chain of runs that led to this one; ``None`` for one without."""
        seen = {_key(run)}
        parent = self._parent(run)
        while parent is not None and parent not in seen:
            seen.add(parent)
            record = self._runs.get(parent)
            further = self._parent(record) if record else None
            if further is None:
                return initiator_id(SYSTEM, f"dag_run/{parent[0]}/{parent[1]}")
            parent = further
        # A circle has no beginning: it goes back to a start of its own that nobody has written.
        return None if parent is None else initiator_id(SYSTEM, f"circle/{'/'.join(_key(run))}")

    def _parent(self, run: dict[str, Any]) -> RunKey | None:
        """Return the run whose task set a run off: the task that names it, else the only one that was at work then."""
        by = str(run.get("triggered_by") or "operator").casefold()
        if str(run.get("run_type")) not in _SET_OFF or by != "operator":
            return None
        tasks = self._tasks.get(str(run.get("dag_id")), [])
        named = [one for one in tasks if look_up(one, "rendered_fields.trigger_run_id") == run.get("dag_run_id")]
        unnamed = [
            one for one in tasks if not look_up(one, "rendered_fields.trigger_run_id") and _was_at_work(one, run)
        ]
        found = {_key(one) for one in named} or {_key(one) for one in unnamed}
        return next(iter(found)) if len(found) == 1 else None


def _was_at_work(task: dict[str, Any], run: dict[str, Any]) -> bool:
    """Tell whether a task was under way when a run was queued."""
    began, ended = _moment(task.get("start_date")), _moment(task.get("end_date"))
    at = _moment(run.get("queued_at") or run.get("start_date"))
    return began is not None and at is not None and began <= at and (ended is None or at <= ended)


def _moment(text: Any) -> datetime | None:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None


def _key(record: dict[str, Any]) -> RunKey:
    return str(record.get("dag_id")), str(record.get("dag_run_id"))


def _task(record: dict[str, Any], run: tuple[dict[str, Any], Reading] | None) -> dict[str, Any]:
    """Return a task with the run that it is a part of."""
    joined = {"map_index": record.get("map_index", -1)}
    if run is None:
        return record | joined
    at = look_up(run[0], "queued_at|start_date|logical_date|execution_date")
    return record | joined | {"run": whole_of(run[1], at=at)}


def _claimed(export: Export, readings: list[Reading]) -> int:
    """Return how many records are claimed; pages of one list repeat the same number, and parts are left out."""
    by_kind: dict[str, set[int]] = {}
    for (kind, _), total in export.claimed.items():
        by_kind.setdefault(kind, set()).add(total)
    tasks = len({one.key for one in readings if one.kind == "task_instance"})
    return sum(by_kind.get("dag_run", {len(export.of("dag_run"))})) + tasks
