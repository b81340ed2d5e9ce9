"""Changes what must not be changed, as somebody with the rights of the database's owner could."""

from sqlalchemy import text

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
            transaction.execute(text(statement), values)
