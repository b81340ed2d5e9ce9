"""Brings a database to the schema of this version, and refuses one that is newer.

Invariant: a database is changed only forward, one numbered step a transaction, and never by a version that does not
know it; a file is copied before its first step, as it was.
"""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from ratchet import clock
from ratchet.errors import DatabaseForeign, WorkspaceTooNew
from ratchet.store import copies, schema
from ratchet.store.artifacts import sync_path
from ratchet.store.database import Database

_GUARDED = ("ledger", "payload")


def _first(connection: Connection) -> None:
    """Make all tables, and the triggers that refuse to change what was recorded."""
    schema.metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        _guard_sqlite(connection)
    else:
        _guard_postgres(connection)


def _guard_sqlite(connection: Connection) -> None:
    for statement in (
        "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        "CREATE TRIGGER payload_no_update BEFORE UPDATE ON payload "
        "BEGIN SELECT RAISE(ABORT, 'payloads never change'); END",
    ):
        connection.exec_driver_sql(statement)


def _guard_postgres(connection: Connection) -> None:
    connection.execute(
        text(
            "CREATE OR REPLACE FUNCTION ratchet_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        )
    )
    for table, occasion in (("ledger", "UPDATE OR DELETE OR TRUNCATE"), ("payload", "UPDATE OR TRUNCATE")):
        connection.execute(
            text(
                f"CREATE TRIGGER {table}_guard BEFORE {occasion} ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION ratchet_refuse()"
            )
        )


def _add_tree(connection: Connection) -> None:
    """Make the tables of the Merkle tree; entries that are there already come into it at the next checkpoint."""
    schema.metadata.create_all(connection, tables=[schema.ledger_tree, schema.ledger_tile])
    connection.execute(schema.ledger_tree.insert(), {"id": 1, "size": 0, "frontier": b"", "leaves": b""})
    if connection.dialect.name == "sqlite":
        for occasion in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER ledger_tile_no_{occasion.lower()} BEFORE {occasion} ON ledger_tile "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
    else:
        connection.execute(
            text(
                "CREATE TRIGGER ledger_tile_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_tile "
                "FOR EACH STATEMENT EXECUTE FUNCTION ratchet_refuse()"
            )
        )


def _add_projections(connection: Connection) -> None:
    """Make the tables of what is folded out of the ledger; they fill when they are first asked for."""
    for table in (schema.transition, schema.transition_fold, schema.projection, schema.standing):
        table.create(connection, checkfirst=True)


def _add_answers(connection: Connection) -> None:
    """Make the table of what was said about moments that are over; it fills when somebody asks."""
    folds = (schema.transition, schema.transition_fold, schema.projection, schema.standing)
    if "activity" not in {column["name"] for column in inspect(connection).get_columns(schema.transition_fold.name)}:
        # For half an hour of its life version 3 had no such column. What was folded is folded again.
        for table in folds:
            table.drop(connection)
            table.create(connection)
    schema.answer.create(connection, checkfirst=True)


def _add_workers(connection: Connection) -> None:
    """Make the table of the processes that carry out jobs."""
    schema.worker.create(connection, checkfirst=True)


def _add_step_results(connection: Connection) -> None:
    """Make the table of what steps gave; it fills as runs end."""
    schema.step_result.create(connection, checkfirst=True)


STEPS: tuple[Callable[[Connection], None], ...] = (
    _first,
    _add_tree,
    _add_projections,
    _add_answers,
    _add_workers,
    _add_step_results,
)
LATEST = len(STEPS)


def version_of(connection: Connection) -> int:
    """Return the schema version of a database, 0 where it has none."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return int(connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0)


def migrate(database: Database, *, keeps_copy: bool = True) -> None:
    """Bring a database to this version's schema.

    Args:
        keeps_copy: Leave a copy of a SQLite file that an earlier version wrote beside it, as it was.

    Raises:
        WorkspaceTooNew: A later version wrote it; nothing is changed.
        DatabaseForeign: It has tables of another program that are called like ours; nothing is changed.
        CopyFailed: There is no room for the copy; nothing is changed.
    """
    with database.read() as connection:
        found = version_of(connection)
    if found > LATEST:
        raise WorkspaceTooNew(found=found, supported=LATEST)
    if 0 < found < LATEST and database.is_sqlite and keeps_copy:
        _keep_copy(database, found)
    while found < LATEST:
        with database.write() as connection:
            # Read again under the lock: two processes may open a workspace at once.
            found = version_of(connection)
            if found == 0:
                refuse_foreign(connection, database)
            # In a new one nothing is worth keeping half-way.
            found = _step_forward(connection, found, last=LATEST if found == 0 else min(found + 1, LATEST))


def copy_of(path: Path, version: int) -> Path:
    """Return where the copy of a SQLite file lies that had a schema version before it was changed."""
    return path.with_name(f"{path.name}.schema-{version}")


def _keep_copy(database: Database, version: int) -> None:
    path = copies.sqlite_file(database)
    temporary = path.with_name(f".{path.name}.{clock.new_id()}")
    try:
        copies.copy_file(database, temporary)
        sync_path(temporary)
        temporary.replace(copy_of(path, version))
    finally:
        temporary.unlink(missing_ok=True)
    sync_path(path.parent)


def refuse_foreign(connection: Connection, database: Database) -> None:
    """Raise where a database without our schema has tables that are called like ours.

    Raises:
        DatabaseForeign: It has; another program made them.
    """
    present = sorted(set(inspect(connection).get_table_names()) & set(schema.metadata.tables))
    if present:
        raise DatabaseForeign(database=database.name, tables=", ".join(present))


def _step_forward(connection: Connection, found: int, *, last: int) -> int:
    connection.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)"))
    for number in range(found + 1, last + 1):
        STEPS[number - 1](connection)
        connection.execute(text("INSERT INTO schema_version (version) VALUES (:number)"), {"number": number})
    return max(found, last)
