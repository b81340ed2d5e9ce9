"""What the Merkle tree in the database promises, on SQLite and on PostgreSQL."""

import pytest
from sqlalchemy import Connection, select, text

from ratchet.errors import LedgerCut, LedgerGap
from ratchet.records import Event
from ratchet.store import merkle, schema, tree
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.merkle import hash_leaf, root_of
from tests import tampering
from tests.contract.databases import DatabaseContract, OnPostgreSQL, OnSQLite


def emit(ledger: Ledger, count: int) -> None:
    """Append so many events more."""
    last = ledger.last_seq()
    ledger.record(*(Event(type="custom.emitted", subject="s", id=f"e{last + number}") for number in range(count)))


def leaves(connection: Connection) -> list[bytes]:
    """Return the leaves that the envelopes have, computed from all of them."""
    query = select(schema.ledger.c.envelope).order_by(schema.ledger.c.seq)
    return [hash_leaf(bytes(envelope)) for envelope in connection.execute(query).scalars()]


class TreeContract(DatabaseContract):
    """The promises; a subclass says on which database."""

    @pytest.fixture
    def ledger(self, database: Database) -> Ledger:
        """Give an empty ledger."""
        return Ledger(database, lambda _transaction, _events: None)

    def test_the_tree_is_as_far_as_the_ledger(self, ledger: Ledger, database: Database) -> None:
        """After each append, of whatever size, the root is that of all envelopes, and all leaves are kept."""
        for count in (1, 1, 61, 3, 64, 130, 1):
            emit(ledger, count)
            with database.read() as connection:
                state, expected = tree.load(connection), leaves(connection)
                assert state is not None
                assert (state.size, state.root) == (len(expected), root_of(expected))
                assert tree.split(tree.leaves_between(connection, 0, state.size)) == expected

    @pytest.mark.parametrize(("start", "end"), [(0, 64), (64, 128), (64, 129), (64, 100), (192, 200), (192, 400)])
    def test_leaves_are_given_from_a_tile_on(self, ledger: Ledger, database: Database, start: int, end: int) -> None:
        """Those that are asked for and no others, also where the end lies within a tile, or where there are fewer."""
        emit(ledger, 200)
        with database.read() as connection:
            expected = leaves(connection)
            assert tree.split(tree.leaves_between(connection, start, end)) == expected[start:end]

    def test_a_transaction_that_fails_leaves_no_leaf(self, ledger: Ledger, database: Database) -> None:
        """The leaf is there with its event, or neither is."""
        emit(ledger, 3)
        with pytest.raises(RuntimeError, match="later"), database.write() as transaction:  # noqa: PT012, the block is the transaction
            ledger.append(transaction, Event(type="custom.emitted", subject="s", id="lost"))
            message = "later"
            raise RuntimeError(message)
        emit(ledger, 1)
        with database.read() as connection:
            state = tree.load(connection)
            assert state is not None
            assert (state.size, state.root) == (4, root_of(leaves(connection)))

    def test_proofs_from_tiles_are_those_from_all_leaves(self, ledger: Ledger, database: Database) -> None:
        """Roots of all sizes, and proofs of leaves on both sides of a tile's border, come out as by definition."""
        emit(ledger, 200)
        with database.read() as connection:
            every = leaves(connection)
            for size in (1, 63, 64, 65, 127, 128, 129, 192, 199, 200):
                assert tree.root_at(connection, size) == root_of(every[:size])
                for index in {0, size // 2, size - 1}:
                    proof = tree.prove_inclusion(connection, index=index, size=size)
                    root = root_of(every[:size])
                    assert merkle.is_included(every[index], index=index, size=size, proof=proof, root=root)
                for first in {0, 1, size // 2, size - 1, size}:
                    proof = tree.prove_consistency(connection, first=first, second=size)
                    roots = {"first_root": root_of(every[:first]), "second_root": root_of(every[:size])}
                    assert merkle.is_consistent(first=first, second=size, proof=proof, **roots)

    def test_a_tile_cannot_be_changed(self, ledger: Ledger, database: Database) -> None:
        """The database itself refuses to change or remove what a full tile holds."""
        emit(ledger, 70)
        for statement in ("UPDATE ledger_tile SET root = leaves", "DELETE FROM ledger_tile"):
            with pytest.raises(Exception, match="append-only"), database.write() as transaction:
                transaction.execute(text(statement))

    def test_entries_from_before_the_tree_come_in_later(
        self, ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A ledger that is older than its tree goes on without it until it is brought up to date, in steps."""
        monkeypatch.setattr(tree, "_CATCH_UP_ENTRIES", 30)
        emit(ledger, 100)
        tampering.without_guards(database, "DELETE FROM ledger_tile", "DELETE FROM ledger_tree")
        emit(ledger, 5)
        sizes: list[int] = []
        tree.catch_up(database, report=sizes.append)
        assert sizes == [30, 60, 90, 105]
        emit(ledger, 40)
        with database.read() as connection:
            state = tree.load(connection)
            assert state is not None
            assert (state.size, state.root) == (145, root_of(leaves(connection)))

    def test_a_cut_end_and_a_gap_stop_the_tree(self, ledger: Ledger, database: Database) -> None:
        """Nothing is brought up to date over a ledger whose end was cut, or that has a hole."""
        emit(ledger, 10)
        tampering.without_guards(database, "DELETE FROM ledger WHERE seq = 10")
        with pytest.raises(LedgerCut, match="ends with entry 9, but its own tree knows of 10"):
            tree.catch_up(database)
        tampering.without_guards(database, "DELETE FROM ledger WHERE seq = 4", "DELETE FROM ledger_tree")
        with pytest.raises(LedgerGap, match="no entry 4; the next one is 5"):
            tree.catch_up(database)
        with pytest.raises(LedgerGap), database.write() as transaction:
            tree.up_to_date(transaction)


class TestTreeOnSQLite(OnSQLite, TreeContract):
    """The promises on SQLite."""


class TestTreeOnPostgreSQL(OnPostgreSQL, TreeContract):
    """The promises on PostgreSQL."""
