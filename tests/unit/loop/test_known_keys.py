"""What one process knows of the keys under which results of steps are kept."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event, insert

from ratchet.loop.known_keys import KnownKeys
from ratchet.records import digest_of
from ratchet.store.database import Database
from ratchet.store.schema import step_result
from tests.loops import Stage

ONE, OTHER, NEW = (digest_of(name) for name in ("one", "other", "new"))


@pytest.fixture
def questions(stage: Stage) -> Iterator[list[str]]:
    """Give what the database is asked from now on."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    with stage.database.write() as transaction:
        rows = [{"key": key, "used_us": 0, "record": ""} for key in (ONE, OTHER)]
        transaction.execute(insert(step_result), rows)
    event.listen(stage.database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(stage.database.engine, "before_cursor_execute", note)


def test_what_is_kept_is_asked_for_once(stage: Stage, questions: list[str]) -> None:
    """What was kept before this process came, and what it keeps itself, may be there; nothing else is asked for."""
    keys = KnownKeys(stage.database)
    keys.add([NEW])  # by another thread, while what is there was being read
    assert [keys.may_have(key) for key in (ONE, OTHER, NEW, digest_of("later"))] == [True, True, True, False]
    keys.add([digest_of("later")])
    assert keys.may_have(digest_of("later"))
    assert len(questions) == 1


def test_a_server_is_asked_each_time(questions: list[str]) -> None:
    """There others keep as well, and what they have kept is taken at once."""
    database = Database("postgresql://nobody@localhost/none")
    assert KnownKeys(database).may_have(NEW)
    database.close()
    assert questions == []
