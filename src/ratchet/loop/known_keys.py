"""Under which keys results of steps are kept, as one process knows it: most steps ask for one that is not there.

Invariant: what is not known costs that a step is computed again; what is known and gone costs a question.
"""

from collections.abc import Iterable

from sqlalchemy import select

from ratchet.store.database import Database
from ratchet.store.schema import step_result


class KnownKeys:
    """The keys of one workspace.

    Args:
        database: In a file it is that of one process; on a server others keep as well, and it is asked each time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_read = False
        self._keys: set[int] = set()

    def may_have(self, key: str) -> bool:
        """Tell whether something may be kept under a key; it is to be looked for, then."""
        if not self._database.is_sqlite:
            return True
        if not self._is_read:
            with self._database.read() as connection:
                kept = connection.execute(select(step_result.c.key)).scalars().all()
            self.add(kept)
            self._is_read = True
        return hash(key) in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Note keys under which something is being kept."""
        if self._database.is_sqlite:
            # Two that look alike cost a question; whole keys would take five times the memory.
            self._keys.update(hash(one) for one in keys)
