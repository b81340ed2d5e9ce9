"""What was said about moments that are over, kept so that it is not worked out again.

Invariant: an answer is never replaced by what an earlier state of the ledger gave; whatever is here can be worked out
again from the ledger, and nothing here is needed.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import OperationalError

from ratchet.records import KeptAnswer
from ratchet.store.database import Database
from ratchet.store.schema import answer


class Answers:
    """Keeps one answer for each name and moment.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, name: str) -> dict[int, KeptAnswer]:
        """Return the kept answers of a name by their moment, in microseconds since 1970, UTC."""
        query = select(answer).where(answer.c.name == name)
        with self._database.read() as connection:
            return {row["moment_us"]: KeptAnswer(**row) for row in connection.execute(query).mappings()}

    def keep(self, found: Sequence[KeptAnswer]) -> bool:
        """Keep answers in place of those that were read earlier; return False where the database cannot be written."""
        try:
            with self._database.write() as transaction:
                for one in found:
                    _replace(transaction, one)
        except OperationalError:
            return False
        return True


def _replace(transaction: Connection, one: KeptAnswer) -> None:
    here = (answer.c.name == one.name) & (answer.c.moment_us == one.moment_us)
    present = transaction.execute(select(answer.c.seq).where(here)).scalar()
    if present is not None and present > one.seq:
        return
    transaction.execute(delete(answer).where(here))
    values = {name: getattr(one, name) for name in one.__struct_fields__}
    transaction.execute(insert(answer), values)
