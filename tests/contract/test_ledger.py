"""What the ledger promises, on SQLite and on PostgreSQL."""

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy import event as notices
from sqlalchemy.exc import DBAPIError, IntegrityError

from ratchet import origin
from ratchet.catalogue import EVENT_TYPES
from ratchet.engine.runs import DurableRuns
from ratchet.errors import CauseMissing, LedgerConflict, NestedWrite, UnknownEventType
from ratchet.origin import Origin
from ratchet.records import Actor, Event
from ratchet.store import ledger as ledger_module
from ratchet.store import schema
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from tests.contract.databases import DatabaseContract, OnPostgreSQL, OnSQLite
from tests.waiting import until

ANNA = Actor(authtype="user", authid="anna")


class Listener:
    """A reaction that remembers what it was called with, and may write, enqueue or fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[Connection, list[Event]]] = []
        self.runs: DurableRuns | None = None
        self.fails = False

    def __call__(self, transaction: Connection, events: Sequence[Event]) -> None:
        """Note the call; enqueue a job for each event where there is an engine."""
        self.calls.append((transaction, list(events)))
        for event in events:
            transaction.execute(schema.state.insert(), {"name": f"{event.source}-{event.id}", "value": ""})
            if self.runs is not None:
                self.runs.enqueue(transaction, "dispatch", f"dispatch-{event.id}", {"event": event.id})
        if self.fails:
            message = "the reaction failed"
            raise RuntimeError(message)


def emitted(number: int = 0, **fields: object) -> Event:
    """Return a root event with an id of its own."""
    values: dict[str, object] = {"type": "custom.emitted", "subject": "s", "id": f"e{number}", **fields}
    return msgspec.convert(values, Event)


class LedgerContract(DatabaseContract):
    """The promises; a subclass says on which database."""

    @pytest.fixture
    def listener(self) -> Listener:
        """Give the reaction that the ledger calls."""
        return Listener()

    @pytest.fixture
    def ledger(self, database: Database, listener: Listener) -> Ledger:
        """Give an empty ledger."""
        return Ledger(database, listener)

    # ---- appending

    def test_sequence_is_dense_from_one(self, ledger: Ledger) -> None:
        """Events get the numbers 1, 2, 3 in the order in which they were appended."""
        ledger.record(emitted(1), emitted(2))
        ledger.record(emitted(3))
        assert [(event.seq, event.id) for event in ledger.read()] == [(1, "e1"), (2, "e2"), (3, "e3")]
        assert ledger.last_seq() == 3

    def test_two_writer_processes_leave_no_gap_and_no_double(self, ledger: Ledger, url: str, tmp_path: Path) -> None:
        """Two processes that append at once, partly the same keys, leave each key once and no gap."""
        count = 200
        command = [sys.executable, "-m", "tests.contract.programs", "append", url]
        writers = [subprocess.Popen([*command, name, str(count), str(tmp_path)]) for name in ("left", "right")]
        until(lambda: len(list(tmp_path.glob("*.ready"))) == 2, "both writers")
        (tmp_path / "go").touch()
        assert [writer.wait() for writer in writers] == [0, 0]
        events = list(ledger.read())
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        keys = [(event.source, event.id) for event in events]
        assert len(set(keys)) == len(keys) == count // 2 * 3

    def test_appending_again_changes_nothing(self, ledger: Ledger, listener: Listener) -> None:
        """An event whose key is known is returned as it stands, and nobody reacts a second time."""
        first = ledger.record(emitted(1, data={"a": 1}))
        second = ledger.record(emitted(1, data={"a": 1}))
        assert second == first
        assert ledger.last_seq() == 1
        assert len(listener.calls) == 1

    def test_twice_in_one_append_is_once(self, ledger: Ledger, listener: Listener) -> None:
        """The same key twice in one call is one event."""
        first, second = ledger.record(emitted(1), emitted(1))
        assert first == second
        assert [len(events) for _, events in listener.calls] == [1]

    def test_same_id_of_another_source_is_another_event(self, ledger: Ledger) -> None:
        """An id is unique within its source only."""
        ledger.record(emitted(1), emitted(1, source="elsewhere"))
        assert ledger.last_seq() == 2
        assert ledger.get("e1", source="elsewhere") != ledger.get("e1")

    def test_work_done_again_appends_nothing_twice(self, ledger: Ledger) -> None:
        """Within a key an event is named by type and subject, so that a repeat finds the first."""
        for _ in range(2):
            with origin.use(Origin(actor=ANNA, key="job 1")):
                ledger.record(Event(type="custom.emitted", subject="a"), Event(type="custom.emitted", subject="b"))
        assert [event.subject for event in ledger.read()] == ["a", "b"]

    def test_time_and_actor_are_filled_in(self, ledger: Ledger) -> None:
        """An event gets its time, actor, cause, correlation and stage from the moment and the origin."""
        root = ledger.record(emitted(1))[0]
        with origin.use(origin.following(root, actor=ANNA)):
            run = ledger.record(Event(type="run.queued", subject="r"))[0]
        assert run.time == run.recordedtime is not None
        assert (run.authtype, run.authid, run.stage) == ("user", "anna", "train")
        assert (run.causationid, run.correlationid, root.correlationid) == (root.id, root.id, root.id)

    def test_a_time_that_is_given_stays(self, ledger: Ledger) -> None:
        """What happened earlier keeps its time, and the ledger notes when it heard of it."""
        moment = datetime(2020, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
        event = ledger.record(emitted(1, time=moment))[0]
        assert event.time == moment
        assert event.recordedtime is not None
        assert event.recordedtime > moment
        assert list(ledger.read()) == [event]

    # ---- causes

    def test_no_event_without_cause_but_roots(self, ledger: Ledger) -> None:
        """Every type that is no root is refused without a cause, and accepted with one."""
        for kind in EVENT_TYPES.values():
            event = Event(type=kind.name, subject="s")
            if kind.is_root:
                ledger.record(event)
                continue
            with pytest.raises(CauseMissing):
                ledger.record(event)
            ledger.record(msgspec.structs.replace(event, causationid="e1"))
        assert ledger.last_seq() == len(EVENT_TYPES)

    def test_unknown_type_is_refused(self, ledger: Ledger) -> None:
        """A type that is not in the catalogue is refused, with the closest one named."""
        with pytest.raises(UnknownEventType, match=r"Did you mean 'run\.started'"):
            ledger.record(emitted(1, type="run.startd"))
        assert ledger.last_seq() == 0

    # ---- one transaction

    def test_reaction_is_called_in_the_same_transaction(
        self, ledger: Ledger, listener: Listener, database: Database
    ) -> None:
        """What reacts gets the appending transaction and the events as they stand in the ledger."""
        with database.write() as transaction:
            stored = ledger.append(transaction, emitted(1), emitted(2))
            assert listener.calls == [(transaction, stored)]
        assert [event.seq for event in stored] == [1, 2]

    def test_rollback_leaves_nothing(self, ledger: Ledger, listener: Listener, database: Database) -> None:
        """A transaction that fails after its append leaves no event, no row and no job."""
        listener.runs = DurableRuns(database)
        listener.runs.prepare()
        with pytest.raises(RuntimeError, match="later"), database.write() as transaction:  # noqa: PT012, the block is the transaction
            ledger.append(transaction, emitted(1))
            message = "later"
            raise RuntimeError(message)
        assert (ledger.last_seq(), listener.runs.pending(), _states(database)) == (0, [], [])
        ledger.record(emitted(1))
        assert (ledger.last_seq(), listener.runs.pending()) == (1, ["dispatch-e1"])
        listener.runs.close()

    def test_failing_reaction_leaves_nothing(self, ledger: Ledger, listener: Listener, database: Database) -> None:
        """Where the reaction fails, the event did not happen."""
        listener.fails = True
        with pytest.raises(RuntimeError, match="the reaction failed"):
            ledger.record(emitted(1))
        assert (ledger.last_seq(), _states(database)) == (0, [])

    def test_write_inside_a_write_is_refused(self, ledger: Ledger, database: Database) -> None:
        """A second write in the same flow of control would wait for itself: it is refused at once."""
        with database.write(), pytest.raises(NestedWrite):
            ledger.record(emitted(1))
        ledger.record(emitted(2))
        assert ledger.last_seq() == 1

    def test_readers_see_committed_events_only(self, ledger: Ledger, database: Database) -> None:
        """Until a transaction commits, nobody else sees its events."""
        with database.write() as transaction:
            ledger.append(transaction, emitted(1))
            assert list(ledger.read()) == []
            assert ledger.find_in(transaction, "e1") is not None
        assert [event.id for event in ledger.read()] == ["e1"]

    # ---- append-only

    @pytest.mark.parametrize("statement", ["UPDATE ledger SET subject = 'x'", "DELETE FROM ledger"])
    def test_ledger_cannot_be_changed(self, ledger: Ledger, database: Database, statement: str) -> None:
        """The database itself refuses to change or remove an event."""
        before = ledger.record(emitted(1))
        with pytest.raises(DBAPIError, match="append-only"), database.write() as transaction:
            transaction.execute(text(statement))
        assert list(ledger.read()) == before

    def test_payload_cannot_be_changed(self, ledger: Ledger, database: Database) -> None:
        """The database itself refuses to change a payload."""
        before = ledger.record(emitted(1, data={"a": 1}))
        with pytest.raises(DBAPIError), database.write() as transaction:
            transaction.execute(text("UPDATE payload SET body = salt"))
        assert list(ledger.read()) == before

    def test_erased_payload_leaves_the_event(self, ledger: Ledger, database: Database) -> None:
        """A payload may be erased: the event stays in every count, without its content."""
        stored = ledger.record(emitted(1, data={"name": "Anna"}), emitted(2))[0]
        with database.write() as transaction:
            transaction.execute(schema.payload.delete().where(schema.payload.c.seq == 1))
        assert next(ledger.read()) == msgspec.structs.replace(stored, data={})
        assert ledger.last_seq() == 2

    def test_envelope_proves_the_payload(self, ledger: Ledger, database: Database) -> None:
        """The envelope holds the salted digest of the payload, and a salt of its own for each event."""
        ledger.record(emitted(1, data={"a": 1}), emitted(2, data={"a": 1}))
        query = select(schema.ledger.c.envelope, schema.payload.c.body, schema.payload.c.salt).join(
            schema.payload, schema.payload.c.seq == schema.ledger.c.seq
        )
        with database.read() as connection:
            rows = connection.execute(query).all()
        for envelope, body, salt in rows:
            assert msgspec.json.decode(envelope)["datadigest"] == hashlib.sha256(salt + body).hexdigest()
        assert rows[0].salt != rows[1].salt

    # ---- events from outside

    def test_ingest_keeps_the_exact_bytes(self, ledger: Ledger, database: Database) -> None:
        """The payload of an event from outside is kept as it was received, blanks and order of keys included."""
        body = b'{ "b": 1.50,\n  "a": "\\u00e9" }'
        stored, is_new = ledger.ingest(emitted(1, source="x", data=msgspec.json.decode(body)), body)
        with database.read() as connection:
            kept = connection.execute(select(schema.payload.c.body)).scalar_one()
        assert (bytes(kept), is_new) == (body, True)
        assert list(ledger.read()) == [stored]
        assert stored.data == {"b": 1.5, "a": "é"}

    def test_redelivery_is_not_new(self, ledger: Ledger, listener: Listener) -> None:
        """The same event again is acknowledged, changes nothing, and nobody reacts."""
        first, _ = ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')
        again, is_new = ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')
        assert (again, is_new, ledger.last_seq(), len(listener.calls)) == (first, False, 1, 1)

    def test_conflict_is_refused_and_recorded(self, ledger: Ledger, listener: Listener) -> None:
        """A known key with another body is refused, the first one stays, and the conflict is an event, once."""
        first, _ = ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')
        for _ in range(2):
            with pytest.raises(LedgerConflict):
                ledger.ingest(emitted(1, source="x", data={"a": 2}), b'{"a":2}')
        events = list(ledger.read())
        assert events[0] == first
        assert [(event.type, event.causationid) for event in events[1:]] == [("ledger.conflict.detected", "e1")]
        assert [event.type for _, events in listener.calls for event in events][1:] == ["ledger.conflict.detected"]

    @pytest.mark.parametrize("changed", [{"subject": "another"}, {"type": "clock.ticked"}])
    def test_conflict_in_the_envelope_is_one_too(self, ledger: Ledger, changed: dict[str, str]) -> None:
        """A known key with the same payload and another type or subject is another event: it is refused."""
        ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')
        with pytest.raises(LedgerConflict):
            ledger.ingest(emitted(1, source="x", data={"a": 1}, **changed), b'{"a":1}')

    def test_redelivery_after_erasure_is_no_conflict(self, ledger: Ledger, database: Database) -> None:
        """What was erased and is delivered again by a sender that knows nothing of it is acknowledged, not refused."""
        ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')
        with database.write() as transaction:
            transaction.execute(schema.payload.delete())
        assert ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')[1] is False

    def test_what_comes_together_is_one_transaction(self, ledger: Ledger, listener: Listener) -> None:
        """In order, each new one once, also where one comes twice in one message, and with its own bytes."""
        first, _ = ledger.ingest(emitted(1, source="x", data={"a": 1}), b'{"a":1}')
        message = [(emitted(number, source="x", data={"a": number}), b'{ "a":%d}' % number) for number in (3, 1, 2, 3)]
        found = ledger.ingest_all(message)
        assert [(event.id, event.seq, is_new) for event, is_new in found] == [
            ("e3", 2, True),
            ("e1", 1, False),
            ("e2", 3, True),
            ("e3", 2, False),
        ]
        assert list(ledger.read()) == [first, found[0][0], found[2][0]]
        assert [event.data for event in ledger.read()] == [{"a": 1}, {"a": 3}, {"a": 2}]
        assert [[event.id for event in events] for _, events in listener.calls] == [["e1"], ["e3", "e2"]]
        assert ledger.ingest_all([]) == []

    @pytest.mark.parametrize("is_known", [True, False], ids=["known before", "in the message"])
    def test_a_conflict_ends_a_message(self, ledger: Ledger, is_known: bool) -> None:
        """What came before it stays, it is recorded, and what comes behind it is not taken."""
        known = emitted(1, source="x", data={"a": 1})
        if is_known:
            ledger.ingest(known, b'{"a":1}')
        message = [(known, b'{"a":1}'), (emitted(2, source="x"), b"{}"), (emitted(1, source="x"), b"{}")]
        with pytest.raises(LedgerConflict):
            ledger.ingest_all([*message, (emitted(3, source="x"), b"{}")])
        assert [event.id for event in ledger.read(source="x")] == ["e1", "e2"]
        assert [event.causationid for event in ledger.read(types=["ledger.conflict.detected"])] == ["e1"]

    # ---- reading

    def test_filters(self, ledger: Ledger) -> None:
        """Events are found by position, type, pipeline and subject, and by all of them together."""
        ledger.record(
            emitted(1, pipeline="p"),
            emitted(2, type="clock.ticked", pipeline="p"),
            emitted(3, pipeline="q", subject="t"),
            emitted(4, pipeline="p", subject="t"),
        )

        def ids(**filters: object) -> str:
            return "".join(event.id for event in ledger.read(**filters))  # type: ignore[arg-type]

        assert ids(after=2) == "e3e4"
        assert ids(types=["clock.ticked"]) == "e2"
        assert ids(types=["clock.ticked", "custom.emitted"]) == "e1e2e3e4"
        assert ids(pipeline="p") == "e1e2e4"
        assert ids(subject="t") == "e3e4"
        assert ids(pipeline="p", subject="t", types=["custom.emitted"], after=1) == "e4"
        assert ids(pipeline="nobody") == ""
        assert (ids(source="ratchet"), ids(source="elsewhere")) == ("e1e2e3e4", "")

    def test_one_event_is_read_by_its_place_from_the_end(self, ledger: Ledger) -> None:
        """The newest is the first; others do not count, and behind the last there is none."""
        ledger.record(*(emitted(number, subject="a" if number % 2 else "b") for number in range(1, 7)))

        def place(number: int, subject: str = "a", source: str = "ratchet") -> str:
            found = ledger.nth_newest(number, types=["custom.emitted"], subject=subject, source=source)
            return found.id if found else ""

        assert [place(number) for number in (1, 2, 3, 4)] == ["e5", "e3", "e1", ""]
        assert (place(1, subject="b"), place(1, source="elsewhere")) == ("e6", "")

    @pytest.mark.parametrize("newest_first", [False, True])
    @pytest.mark.parametrize("limit", [None, 0, 1, 3, 4, 7, 100])
    def test_pages_are_seamless(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, limit: int | None, newest_first: bool
    ) -> None:
        """However many pages a reading takes, each event comes once and in order."""
        monkeypatch.setattr(ledger_module, "_PAGE", 3)
        ledger.record(*(emitted(number) for number in range(1, 8)))
        expected = list(range(7, 2, -1)) if newest_first else list(range(3, 8))
        found = [event.seq for event in ledger.read(after=2, limit=limit, newest_first=newest_first)]
        assert found == expected[:limit]

    def test_a_page_passes_no_row_of_an_earlier_one(
        self, ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each page names one place to begin at, so what a page costs does not grow with those before it."""
        monkeypatch.setattr(ledger_module, "_PAGE", 3)
        ledger.record(*(emitted(number) for number in range(1, 8)))
        asked: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            asked.append(statement)

        notices.listen(database.engine, "before_cursor_execute", note)
        assert len(list(ledger.read(after=1))) == 6
        notices.remove(database.engine, "before_cursor_execute", note)
        pages = [statement for statement in asked if "LIMIT" in statement]
        assert len(pages) == 3
        assert all(page.count("ledger.seq >") == 1 for page in pages)

    def test_following_sees_what_is_appended_meanwhile(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reader that goes on from the last number it saw misses nothing and sees nothing twice."""
        monkeypatch.setattr(ledger_module, "_PAGE", 2)
        ledger.record(emitted(1), emitted(2))
        seen = [event.seq for event in ledger.read()]
        ledger.record(emitted(3), emitted(4), emitted(5))
        seen += [event.seq for event in ledger.read(after=seen[-1])]
        assert seen == [1, 2, 3, 4, 5]

    def test_found_by_id_and_by_cause(self, ledger: Ledger) -> None:
        """An event is found by its key, by its id alone, and by what caused it."""
        foreign = ledger.record(emitted(1, source="x"))[0]
        effect = ledger.record(Event(type="run.queued", subject="r", id="e2", causationid="e1"))[0]
        assert ledger.get("e1") is None
        assert ledger.find("e1") == foreign
        assert ledger.get("e2") == ledger.find("e2") == effect
        assert ledger.find("e3") is None
        assert ledger.caused_by("e1") == [effect]
        assert ledger.caused_by("e2") == []

    def test_every_field_comes_back(self, ledger: Ledger) -> None:
        """An event with all its fields is read as it was written."""
        event = Event(
            type="deployment.completed",
            subject="ü",
            data={"deep": [{"a": None}, 1.5, "x"]},
            id="e1",
            source="s",
            time=datetime(2024, 2, 29, tzinfo=UTC),
            correlationid="c0",
            causationid="c1",
            authtype="api_key",
            authid="k",
            authclaims={"person": True},
            pipeline="p",
            stage="deploy",
            team="t",
            env="production",
            evidence="attested",
            trigger="api",
        )
        stored = ledger.record(event)[0]
        assert list(ledger.read()) == [stored]
        assert msgspec.structs.replace(stored, seq=0, recordedtime=None) == event


def _states(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(schema.state.c.name)).scalars())


class TestLedgerOnSQLite(OnSQLite, LedgerContract):
    """The promises on SQLite."""

    def test_a_commit_that_failed_is_in_nobodys_way(self, database: Database, ledger: Ledger) -> None:
        """SQLite keeps a transaction open whose COMMIT it refuses, with its lock; the next write finds none."""
        with database.write() as transaction:
            transaction.exec_driver_sql("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
            transaction.exec_driver_sql(
                "CREATE TABLE children (id INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
            )
        with pytest.raises(IntegrityError), database.write() as transaction:
            transaction.exec_driver_sql("INSERT INTO children VALUES (1)")
        with sqlite3.connect(str(database.engine.url.database), timeout=0) as another:
            another.execute("INSERT INTO parents VALUES (2)")
        another.close()
        assert ledger.record(emitted())[0].seq == 1

    def test_connections_have_all_settings(self, database: Database) -> None:
        """Every connection has write-ahead logging, full syncing, patience, foreign keys, and takes locks at once."""
        with database.read() as first, database.read() as second:
            for connection in (first, second):
                found = {
                    name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
                }
                assert found == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30000, "foreign_keys": 1}
                assert connection.connection.driver_connection is not None
                assert connection.connection.driver_connection.isolation_level == "IMMEDIATE"

    def test_the_progress_of_jobs_waits_for_no_disk(self, database: Database) -> None:
        """What is done again where it is missing has all settings but one: an append waits for what came before it."""
        with database.jobs_engine.connect() as connection:
            names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "recursive_triggers")
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
        assert found == ["wal", 1, 30000, 1, 1]

    def test_replacing_is_refused_too(self, ledger: Ledger, database: Database) -> None:
        """SQLite's way to overwrite a row by inserting it again is refused like an UPDATE."""
        ledger.record(emitted(1))
        copy = (
            "INSERT OR REPLACE INTO ledger (seq, source, id, type, subject, pipeline, cause, envelope) "
            "SELECT seq, source, id, type, 'changed', pipeline, cause, envelope FROM ledger"
        )
        with pytest.raises(DBAPIError), database.write() as transaction:
            transaction.execute(text(copy))


class TestLedgerOnPostgreSQL(OnPostgreSQL, LedgerContract):
    """The promises on PostgreSQL."""

    def test_known_keys_are_asked_for_one_by_one(self, ledger: Ledger, database: Database) -> None:
        """Before the table was analysed, the server takes a source for a few entries, and would read all of them."""
        ledger.record(*(emitted(number) for number in range(4000)))
        rows = text(
            "SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read) FROM pg_stat_xact_user_tables "
            "WHERE relname IN ('ledger', 'payload')"
        )
        with database.write() as transaction:
            before = transaction.execute(rows).scalar() or 0
            ledger.append(transaction, *(emitted(number) for number in range(3900, 4100)))
            assert transaction.execute(rows).scalar_one() - before < 1000

    @pytest.mark.parametrize("table", ["ledger", "payload"])
    def test_tables_cannot_be_emptied(self, ledger: Ledger, database: Database, table: str) -> None:
        """TRUNCATE, which fires no trigger for rows, is refused, too."""
        ledger.record(emitted(1))
        with pytest.raises(DBAPIError, match="append-only"), database.write() as transaction:
            transaction.execute(text(f"TRUNCATE {table}"))
        assert ledger.last_seq() == 1

    def test_a_forgotten_transaction_does_not_hold_everybody_up(self, database: Database) -> None:
        """The server ends a transaction that its holder has left idle."""
        with database.read() as connection:
            assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "10s"
