"""Answers that are kept, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from ratchet.records import KeptAnswer
from ratchet.store import migrations
from ratchet.store.answers import Answers
from ratchet.store.database import Database

ONE = KeptAnswer(name="kpi/x", moment_us=5, definition="d" * 64, seq=7, record="1")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def answers(request: pytest.FixtureRequest) -> Iterator[Answers]:
    """Give an empty table."""
    database = Database(request.getfixturevalue(f"{request.param}_url"))
    migrations.migrate(database)
    yield Answers(database)
    database.close()


def test_each_moment_has_one_answer(answers: Answers) -> None:
    """What is kept comes back by its moment; names are apart."""
    other, later = replace(ONE, name="kpi/y"), replace(ONE, moment_us=6)
    assert answers.keep([ONE, other, later])
    assert answers.of("kpi/x") == {5: ONE, 6: later}
    assert answers.of("kpi/z") == {}


def test_a_later_reading_stays(answers: Answers) -> None:
    """An answer takes the place of one that was read no later, and of no other."""
    answers.keep([ONE])
    for seq, expected in ((7, 7), (9, 9), (8, 9)):
        answers.keep([replace(ONE, seq=seq, record=f"{seq}")])
        assert answers.of("kpi/x")[5].record == f"{expected}"


def test_a_database_that_is_open_for_reading_keeps_nothing(tmp_path: Path) -> None:
    """Where nothing can be written, that is said, and nothing fails."""
    path = tmp_path / "a.db"
    database = Database(f"sqlite:///{path}")
    migrations.migrate(database)
    database.close()
    database = Database(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert not Answers(database).keep([ONE])
    assert Answers(database).of("kpi/x") == {}
    database.close()
