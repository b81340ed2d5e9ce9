"""The registry: runs, dataset versions, model versions and releases, kept in the ledger's transactions.

Invariant: versions are numbered densely by name and never change; a run's row only moves forward.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, text

from ratchet.errors import UnknownName
from ratchet.records import DatasetVersion, ModelVersion, Record, Release, Run
from ratchet.store import schema
from ratchet.store.database import Database

R = TypeVar("R", bound=Record)


def _encode(record: Record) -> str:
    return msgspec.json.encode(record).decode()


def _rows(connection: Connection, query: Any, kind: type[R]) -> list[R]:
    return [msgspec.json.decode(row.record, type=kind) for row in connection.execute(query)]


def _put(transaction: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    # Delete and insert in one transaction: the one form of "insert or replace" that both databases share.
    matches = [table.c[name] == value for name, value in key.items()]
    transaction.execute(delete(table).where(*matches))
    transaction.execute(insert(table), {**key, **values})


# ---- runs

# Composed once: a run asks for itself and writes itself some ten times.
_A_RUN = "INSERT INTO run (id, pipeline, status, record) VALUES (:id, :pipeline, :status, :record) ON CONFLICT (id) "
_ADD_RUN = text(_A_RUN + "DO NOTHING")
_PUT_RUN = text(
    _A_RUN + "DO UPDATE SET pipeline = excluded.pipeline, status = excluded.status, record = excluded.record"
)
_GET_RUN = text("SELECT record FROM run WHERE id = :id")


def put_run(transaction: Connection, run: Run) -> None:
    """Write a run's row."""
    transaction.execute(_PUT_RUN, _columns_of(run))


def add_run(transaction: Connection, run: Run) -> None:
    """Write a new run's row; one that is there stays as it is."""
    transaction.execute(_ADD_RUN, _columns_of(run))


def _columns_of(run: Run) -> dict[str, str]:
    return {"id": run.id, "pipeline": run.pipeline, "status": run.status, "record": _encode(run)}


def run(database: Database, run_id: str) -> Run:
    """Return a run by its id, or by the beginning of one.

    Raises:
        UnknownName: No run, or more than one, begins like this.
    """
    with database.read() as connection:
        # To look for a beginning is to look at all of them.
        if (whole := connection.execute(_GET_RUN, {"id": run_id}).scalar()) is not None:
            return msgspec.json.decode(whole, type=Run)
        begins = schema.run.c.id.startswith(run_id.upper(), autoescape=True)
        found = _rows(connection, select(schema.run.c.record).where(begins).limit(2), Run)
    if len(found) != 1:
        known = [f"{other.id[:8]} ({other.status})" for other in runs(database, limit=5)]
        raise UnknownName(kind="run", name=run_id, known=", ".join(known) or "none yet")
    return found[0]


def run_in(connection: Connection, run_id: str) -> Run:
    """Return a run that is known to be there, as it stands in a transaction."""
    return msgspec.json.decode(connection.execute(_GET_RUN, {"id": run_id}).scalar_one(), type=Run)


def runs(database: Database, *, pipeline: str = "", limit: int = 50) -> list[Run]:
    """Return runs, the latest first."""
    query = select(schema.run.c.record)
    if pipeline:
        query = query.where(schema.run.c.pipeline == pipeline)
    with database.read() as connection:
        found = _rows(connection, query, Run)
    return sorted(found, key=lambda one: (one.queued_at, one.id), reverse=True)[:limit]


# ---- dataset versions


def add_dataset_version(transaction: Connection, version: DatasetVersion) -> None:
    """Add a version's row."""
    transaction.execute(
        insert(schema.dataset_version),
        {
            "dataset": version.dataset,
            "number": version.number,
            "digest": version.manifest,
            "record": _encode(version),
        },
    )


def latest_dataset_version(connection: Connection, dataset: str) -> DatasetVersion | None:
    """Return a dataset's latest version, or ``None``."""
    table = schema.dataset_version
    query = select(table.c.record).where(table.c.dataset == dataset).order_by(table.c.number.desc()).limit(1)
    return next(iter(_rows(connection, query, DatasetVersion)), None)


def dataset_version(connection: Connection, dataset: str, number: int) -> DatasetVersion:
    """Return one version of a dataset.

    Raises:
        UnknownName: There is none.
    """
    table = schema.dataset_version
    query = select(table.c.record).where(table.c.dataset == dataset, table.c.number == number)
    found = next(iter(_rows(connection, query, DatasetVersion)), None)
    if found is None:
        newest = latest_dataset_version(connection, dataset)
        raise UnknownName(kind="dataset version", name=f"{dataset}@v{number}", known=newest.name if newest else "none")
    return found


def dataset_versions(database: Database, dataset: str) -> list[DatasetVersion]:
    """Return a dataset's versions in order."""
    table = schema.dataset_version
    query = select(table.c.record).where(table.c.dataset == dataset).order_by(table.c.number)
    with database.read() as connection:
        return _rows(connection, query, DatasetVersion)


# ---- model versions


def next_model_number(transaction: Connection, model: str) -> int:
    """Return the number that the next version of a model gets."""
    table = schema.model_version
    query = select(func.coalesce(func.max(table.c.number), 0)).where(table.c.model == model)
    return int(transaction.execute(query).scalar_one()) + 1


def add_model_version(transaction: Connection, version: ModelVersion) -> None:
    """Add a version's row."""
    transaction.execute(
        insert(schema.model_version),
        {"model": version.model, "number": version.number, "run_id": version.run_id, "record": _encode(version)},
    )


def model_version(connection: Connection, name: str) -> ModelVersion:
    """Return a version by its name, such as ``flight-delay@v7``.

    Raises:
        UnknownName: There is none.
    """
    model, _, number = name.partition("@v")
    table = schema.model_version
    query = select(table.c.record).where(
        table.c.model == model, table.c.number == (int(number) if number.isdecimal() else -1)
    )
    found = next(iter(_rows(connection, query, ModelVersion)), None)
    if found is None:
        names = select(table.c.model, table.c.number).order_by(table.c.number.desc()).limit(5)
        known = [f"{row.model}@v{row.number}" for row in connection.execute(names)]
        raise UnknownName(kind="model version", name=name, known=", ".join(known) or "none yet")
    return found


def model_version_of_run(connection: Connection, run_id: str) -> ModelVersion | None:
    """Return the version that a run registered, or ``None``."""
    query = select(schema.model_version.c.record).where(schema.model_version.c.run_id == run_id)
    return next(iter(_rows(connection, query, ModelVersion)), None)


def model_versions(database: Database, *, model: str = "") -> list[ModelVersion]:
    """Return the versions of one model or of all, in order."""
    table = schema.model_version
    query = select(table.c.record).order_by(table.c.model, table.c.number)
    if model:
        query = query.where(table.c.model == model)
    with database.read() as connection:
        return _rows(connection, query, ModelVersion)


# ---- releases


def put_release(transaction: Connection, release: Release) -> None:
    """Write a release's row."""
    values = {"endpoint": release.endpoint, "status": release.status, "record": _encode(release)}
    _put(transaction, schema.release, {"deployment_id": release.deployment_id}, values)


def releases(connection: Connection, *, endpoint: str = "", statuses: Sequence[str] = ()) -> list[Release]:
    """Return releases in the order in which they were requested."""
    query = select(schema.release.c.record)
    if endpoint:
        query = query.where(schema.release.c.endpoint == endpoint)
    if statuses:
        query = query.where(schema.release.c.status.in_(statuses))
    found = _rows(connection, query, Release)
    return sorted(found, key=lambda one: (one.shifted_at or one.requested_at, one.deployment_id))


def live_release(connection: Connection, endpoint: str) -> Release | None:
    """Return what serves on an endpoint, or ``None``."""
    return next(iter(releases(connection, endpoint=endpoint, statuses=("live",))), None)


# ---- small values


def put_state(transaction: Connection, name: str, value: Any) -> None:
    """Keep a JSON value under a name."""
    _put(transaction, schema.state, {"name": name}, {"value": msgspec.json.encode(value).decode()})


# Made once: to compose a query takes as long as to answer it.
_STATE = select(schema.state.c.value).where(schema.state.c.name == bindparam("name"))


def state(connection: Connection, name: str, default: Any = None) -> Any:
    """Return the value kept under a name, or the default."""
    found = connection.execute(_STATE, {"name": name}).scalar()
    return default if found is None else msgspec.json.decode(found)
