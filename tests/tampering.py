"""Changes what must not be changed, as somebody with the rights of the database's owner could."""

import msgspec
from sqlalchemy import text

from ratchet.store import tree
from ratchet.store.database import Database

GUARDS = {
    "sqlite": (
        "DROP TRIGGER IF EXISTS ledger_no_update",
        "DROP TRIGGER IF EXISTS ledger_no_delete",
        "DROP TRIGGER IF EXISTS payload_no_update",
        "DROP TRIGGER IF EXISTS ledger_tile_no_update",
        "DROP TRIGGER IF EXISTS ledger_tile_no_delete",
    ),
    "postgresql": (
        "DROP TRIGGER IF EXISTS ledger_guard ON ledger",
        "DROP TRIGGER IF EXISTS payload_guard ON payload",
        "DROP TRIGGER IF EXISTS ledger_tile_guard ON ledger_tile",
    ),
}


def without_guards(database: Database, *statements: str, **values: object) -> None:
    """Drop the triggers that refuse changes, and carry out some statements."""
    with database.write() as transaction:
        for guard in GUARDS[database.engine.dialect.name]:
            transaction.execute(text(guard))
        for statement in statements:
            query = text(statement)
            transaction.execute(query, {name: values[name] for name in query.compile().params})


def cut(database: Database, size: int) -> None:
    """Cut off the end of a ledger, and make its tree that of what is left: nothing inside shows it."""
    without_guards(
        database,
        "DELETE FROM ledger WHERE seq > :size",
        "DELETE FROM payload WHERE seq > :size",
        "DELETE FROM ledger_tile",
        "DELETE FROM ledger_tree",
        size=size,
    )
    tree.catch_up(database)


def rewrite(database: Database, seq: int, *, with_tree: bool = True, **changes: str) -> None:
    """Change what an envelope says, with its columns; with the tree as well, nothing but a signature shows it."""
    with database.read() as connection:
        kept = bytes(
            connection.execute(text("SELECT envelope FROM ledger WHERE seq = :seq"), {"seq": seq}).scalar_one()
        )
    fields = {**msgspec.json.decode(kept), **changes}
    columns = ", ".join(["envelope = :envelope", *(f"{name} = :{name}" for name in changes)])
    values = {"seq": seq, "envelope": msgspec.json.encode(fields), **changes}
    without_guards(database, f"UPDATE ledger SET {columns} WHERE seq = :seq", **values)
    if with_tree:
        without_guards(database, "DELETE FROM ledger_tile", "DELETE FROM ledger_tree")
        tree.catch_up(database)
