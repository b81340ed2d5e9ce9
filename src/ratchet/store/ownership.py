"""Whose workspace a database on a server holds: one project's, and no second one's.

Invariant: a database that holds a project's ledger is never taken for another one; whoever comes with the wrong URL is
told so before anything is written.
"""

from pathlib import Path

import msgspec
from sqlalchemy import Connection, inspect, select, update

from ratchet import clock
from ratchet.errors import DatabaseTaken
from ratchet.records import Record
from ratchet.store import migrations, schema
from ratchet.store.artifacts import write_durably
from ratchet.store.database import Database

FILE_NAME = "workspace"
_KEY = "workspace"


class Owner(Record, frozen=True):
    """What a database says about its workspace.

    Attributes:
        id: Stands in a file of the workspace's state, too, so that a project may be renamed.
        project: The name of the project.
    """

    id: str
    project: str


def claim(database: Database, *, project: str, folder: Path) -> None:
    """Bring a database to this version's schema and make it that of a project, unless it is another one's.

    Args:
        project: The project's name.
        folder: Where the workspace's state is.

    Raises:
        DatabaseTaken: It is another project's; so is nothing changed where it is a later version's or a foreign one.
    """
    if database.is_sqlite:
        # A file in the project's own folder needs no owner.
        migrations.migrate(database)
        return
    path = folder / FILE_NAME
    with database.read() as connection:
        owner = _owner(connection)
    own_id = path.read_text().strip() if path.exists() else ""
    if owner is not None and owner.id != own_id and owner.project != project:
        raise DatabaseTaken(database=database.name, owner=owner.project, project=project)
    migrations.migrate(database)
    if owner is None:
        _take(database, project=project, own_id=own_id or _write_id(path))
    elif owner.project != project:
        with database.write() as transaction:
            _put(transaction, Owner(id=owner.id, project=project))


def _write_id(path: Path) -> str:
    # Before the database names it: an owner whom nobody knows could open nothing.
    own_id = clock.new_id()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, own_id.encode())
    return own_id


def _take(database: Database, *, project: str, own_id: str) -> None:
    with database.write() as transaction:
        owner = _owner(transaction) or _put(transaction, Owner(id=own_id, project=project))
    if owner.id != own_id and owner.project != project:
        raise DatabaseTaken(database=database.name, owner=owner.project, project=project)


def refuse_taken(database: Database, *, project: str) -> None:
    """Raise where a database is not free for a new project.

    Raises:
        DatabaseTaken: It holds a workspace already, whatever its name.
        DatabaseForeign: Another program has tables there that are called like ours.
    """
    with database.read() as connection:
        if migrations.version_of(connection):
            owner = _owner(connection)
            raise DatabaseTaken(database=database.name, owner=owner.project if owner else "no name", project=project)
        migrations.refuse_foreign(connection, database)


def _owner(connection: Connection) -> Owner | None:
    if not inspect(connection).has_table(schema.state.name):
        return None
    value = connection.execute(select(schema.state.c.value).where(schema.state.c.name == _KEY)).scalar()
    return None if value is None else msgspec.json.decode(str(value), type=Owner)


def _put(transaction: Connection, owner: Owner) -> Owner:
    value = msgspec.json.encode(owner).decode()
    changed = transaction.execute(update(schema.state).where(schema.state.c.name == _KEY).values(value=value))
    if not changed.rowcount:
        transaction.execute(schema.state.insert(), {"name": _KEY, "value": value})
    return owner
