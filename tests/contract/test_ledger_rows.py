"""The ledger's rows: what an append asks and writes, on SQLite and on PostgreSQL."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, text

from ratchet.records import Event
from ratchet.store import ledger_rows, tree
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.merkle import hash_leaf
from tests.contract.databases import DatabaseContract, OnPostgreSQL, OnSQLite


def entry(number: int, *, source: str = "s") -> tuple[int, str, str, str, str, str, str, bytes]:
    """Return an entry whose names are what SQL and arrays could take for something else."""
    return number, source, f"i'd {number}, {{\\}}", "type", "", 'pipe"line', "NULL", b"\0\xffe%s"


def add(transaction: Connection, numbers: Sequence[int], *, state: tree.State | None) -> None:
    """Write entries, each with a payload."""
    entries = [entry(number) for number in numbers]
    growth = tree.growth(state, [hash_leaf(one[-1]) for one in entries], first=numbers[0])
    ledger_rows.add(transaction, entries, [(number, b"{}\0", b"salt") for number in numbers], growth)


class RowContract(DatabaseContract):
    """The promises; a subclass says on which database."""

    @pytest.fixture
    def began(self, database: Database) -> Database:
        """Give an empty ledger whose tree has its row."""
        with database.write() as transaction:
            tree.up_to_date(transaction)
        return database

    def test_what_was_written_is_found_as_it_was(self, began: Database) -> None:
        """Any bytes and any names, one entry or many, by keys of more than one source."""
        with began.write() as transaction:
            add(transaction, [1], state=ledger_rows.stand(transaction, []).state)
            add(transaction, range(2, 201), state=ledger_rows.stand(transaction, []).state)
            ledger_rows.add(transaction, [entry(201, source="other")], [(201, b"[]", b"salt")], None)
        keys = [(one[1], one[2]) for one in (entry(7), entry(201, source="other"), entry(8, source="other"))]
        with began.read() as connection:
            found = ledger_rows.look_up(connection, keys)
            assert sorted((seq, bytes(envelope), bytes(body or b"")) for seq, envelope, body in found) == [
                (7, b"\0\xffe%s", b"{}\0"),
                (201, b"\0\xffe%s", b"[]"),
            ]
            whole = connection.execute(text("SELECT * FROM ledger WHERE seq = 7")).one()
        assert (*whole[:7], bytes(whole[7])) == entry(7)

    @pytest.mark.parametrize("asked", [0, 1, 3])
    def test_one_question_says_what_several_would(self, began: Database, asked: int) -> None:
        """Which entries of some keys are there, which is the last, how far the tree is: as each says by itself."""
        with began.write() as transaction:
            add(transaction, range(1, 71), state=ledger_rows.stand(transaction, []).state)
        keys = [(one[1], one[2]) for one in map(entry, (3, 70, 71)[:asked])]
        with began.read() as connection:
            stand = ledger_rows.stand(connection, keys)
            assert sorted(row[0] for row in stand.known) == [3, 70][:asked]
            assert sorted(stand.known) == sorted(ledger_rows.look_up(connection, keys))
            assert (stand.last, stand.state) == (tree.last_seq(connection), tree.load(connection))
        assert stand.state is not None
        assert (stand.state.size, len(stand.state.leaves)) == (70, 6 * 32)

    def test_a_tree_that_is_not_as_far_stays_as_it_is(self, began: Database) -> None:
        """Entries are written all the same, and where its row is gone the question is answered."""
        with began.write() as transaction:
            add(transaction, [1, 2], state=ledger_rows.stand(transaction, []).state)
            add(transaction, [3], state=None)
            stand = ledger_rows.stand(transaction, [])
            assert stand.state is not None
            assert (stand.last, stand.state.size) == (3, 2)
            transaction.execute(text("DELETE FROM ledger_tree"))
            assert ledger_rows.stand(transaction, []) == ledger_rows.Stand(known=[], last=3, state=None)

    def test_events_of_several_sources_are_told_apart(self, database: Database) -> None:
        """An id is one event's within a source; both are found by one question."""
        ledger = Ledger(database, lambda _transaction, _events: None)
        events = [Event(type="custom.emitted", subject=name, source=name, id="1") for name in ("a", "b")]
        first = ledger.record(*events)
        assert [one.seq for one in ledger.record(*reversed(events))] == [first[1].seq, first[0].seq]
        assert ledger.known(events) == {one.key: one for one in first}


class TestRowsOnSQLite(OnSQLite, RowContract):
    """On the file of a laptop."""


class TestRowsOnPostgreSQL(OnPostgreSQL, RowContract):
    """On a server."""
