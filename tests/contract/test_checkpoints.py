"""What checkpoints, keys, anchors, proofs and erasure promise, on SQLite and on PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.event import listen

from ratchet import clock, origin
from ratchet.errors import LedgerCut, LedgerDiffers, NotErasable, ProofInvalid, SigningKeyUnusable, UnknownName
from ratchet.records import Actor, Event
from ratchet.store import erasure, notes, schema
from ratchet.store.anchors import FileAnchor
from ratchet.store.checkpoints import parse_checkpoint
from ratchet.store.proofs import EntryProof, prove_consistency, prove_entry, verify_bundle
from tests import tampering
from tests.contract.databases import OnPostgreSQL, OnSQLite
from tests.sealing import ORIGIN, Sealed, said

OLD = Path(__file__).parents[1] / "assets" / "old_workspaces"


class CheckpointContract:
    """The promises; a subclass says on which database."""

    @pytest.fixture
    def sealed(self, url: str, tmp_path: Path) -> Iterator[Sealed]:
        """Give an empty ledger."""
        sealed = Sealed(url, tmp_path)
        yield sealed
        sealed.database.close()

    # ---- sealing

    def test_a_checkpoint_is_an_event_that_covers_all_before_it(self, sealed: Sealed) -> None:
        """It is signed by the key, stands in the ledger and beside it, and names origin, size and root."""
        sealed.emit(5)
        made = sealed.seal()
        event = list(sealed.ledger.read())[-1]
        assert (event.type, event.subject, event.seq, event.causationid) == ("ledger.checkpoint", ORIGIN, 6, "")
        assert event.data["note"] == made.note
        assert sealed.checkpoints.beside.read() == [made.note]
        found, note = parse_checkpoint(made.note, where="test")
        assert (found.origin, found.size, found.root.hex()) == (ORIGIN, 5, event.data["root"])
        assert note.is_signed_by(sealed.checkpoints.public_key())
        assert event.data["key"] == sealed.checkpoints.public_key().line

    def test_a_kill_between_ledger_and_file_is_made_good(self, sealed: Sealed) -> None:
        """The checkpoint is an event already; the next one who asks writes it beside the ledger, too."""
        sealed.emit(5)
        made = sealed.seal()
        sealed.checkpoints.beside.path.unlink()
        assert sealed.seal() == made
        assert sealed.checkpoints.beside.read() == [made.note]
        sealed.checkpoints.beside.path.write_text(made.note[:-9])
        sealed.emit(1)
        again = sealed.seal()
        assert sealed.checkpoints.beside.read() == [again.note]

    def test_a_proof_that_is_not_ours_is_refused_in_words(self, sealed: Sealed) -> None:
        """Whatever stands in the place of the entry or its number: faults are said, nothing breaks."""
        (event,) = sealed.emit(1)
        proof = prove_entry(sealed.checkpoints, event)
        key = sealed.checkpoints.public_key()
        for envelope in (b"[]", b"{}", b"x", b'{"seq":"1","datadigest":"d"}', b"\xff"):
            assert "its entry is none of a ledger" in msgspec.structs.replace(proof, envelope=envelope).faults(key)[0]
        with pytest.raises(ProofInvalid, match="'index' is missing"):
            EntryProof.from_text(proof.to_text().replace("index 0", "index " + 5000 * "9"), where="proof")

    def test_nothing_new_is_not_signed_again(self, sealed: Sealed) -> None:
        """A checkpoint alone is no reason for another."""
        sealed.emit(1)
        assert sealed.seal() == sealed.seal()
        assert sealed.ledger.last_seq() == 2
        sealed.emit(1)
        assert sealed.seal().size == 3
        assert sealed.checkpoints.sizes() == [1, 3]
        assert sealed.checkpoints.at(3) == sealed.checkpoints.latest()
        assert sealed.checkpoints.at(2) is None

    def test_it_is_due_an_hour_after_the_last_if_something_happened(self, sealed: Sealed) -> None:
        """Neither an empty ledger nor one without news is due."""
        checkpoints = sealed.checkpoints
        first = Event(type="custom.emitted", subject="s")
        with origin.use(origin.Origin(actor=Actor())):
            assert not checkpoints.is_due(clock.now())
            begun = sealed.ledger.record(first)[0].recordedtime
            assert begun is not None
            assert not checkpoints.is_due(begun + timedelta(minutes=59))
            assert checkpoints.is_due(begun + timedelta(minutes=60))
            sealed.seal()
            assert not checkpoints.is_due(begun + timedelta(days=9))
            sealed.emit(1)
            assert not checkpoints.is_due(begun + timedelta(minutes=59))
            assert checkpoints.is_due(begun + timedelta(days=9))

    def test_what_contradicts_an_earlier_signature_is_not_signed(self, sealed: Sealed) -> None:
        """A ledger whose end was cut off, with its tree, is not signed again; nor is one that was written anew."""
        sealed.emit(70)
        sealed.seal()
        before = sealed.ledger.last_seq()
        tampering.cut(sealed.database, 60)
        sealed.emit(1)
        with pytest.raises(LedgerCut, match=r"ends with entry 61, but file:.* knows of 70"):
            sealed.seal()
        tampering.rewrite(sealed.database, 3, subject="another")
        sealed.emit(40)
        with pytest.raises(LedgerDiffers, match="another state of the first 70 entries"):
            sealed.seal()
        assert sealed.ledger.last_seq() == 101 > before

    # ---- keys

    def test_a_missing_or_foreign_key_signs_nothing(self, sealed: Sealed) -> None:
        """Once there are checkpoints, another key comes in by a rotation only."""
        sealed.emit(1)
        sealed.seal()
        sealed.emit(1)
        path = sealed.checkpoints.key
        path.rename(path.with_name("away"))
        with pytest.raises(SigningKeyUnusable, match="No such file"):
            sealed.seal()
        notes.write_key(notes.make_key(ORIGIN), path)
        with pytest.raises(SigningKeyUnusable, match="checkpoints so far were signed with"):
            sealed.seal()
        assert sealed.ledger.last_seq() == 3

    def test_a_new_key_is_vouched_for_by_the_old_one(self, sealed: Sealed) -> None:
        """After a rotation the new key signs; who trusts either key can check all checkpoints."""
        sealed.emit(1)
        sealed.seal()
        old = sealed.checkpoints.public_key()
        new = sealed.rotate()
        second = sealed.seal()
        assert notes.parse_note(second.note, where="").is_signed_by(new)
        assert sorted(one.name for one in sealed.checkpoints.key.parent.iterdir()) == ["ledger.pem", "ledger.pub"]
        for key in (old, new):
            done = sealed.verify(second, key=key)
            assert (said(done), done.checkpoints, done.anchored) == ([], 2, {"a friend": 3})
        stranger = notes.make_key(ORIGIN).public
        assert [one.what for one in sealed.verify(key=stranger).findings] == [
            "its checkpoint is not signed by the key that is trusted"
        ] * 2

    def test_a_rotation_that_was_broken_off_is_finished(self, sealed: Sealed) -> None:
        """The key counts from its event on, although the process died before it took the file's place."""
        sealed.emit(1)
        sealed.seal()
        checkpoints = sealed.checkpoints
        checkpoints._take_next_key = lambda _key: None  # type: ignore[method-assign]  # the process dies here
        new = sealed.rotate(checkpoints)
        assert sealed.seal().size == 3
        assert sealed.checkpoints.public_key() == new
        assert said(sealed.verify()) == []

    def test_a_lost_key_is_not_vouched_for(self, sealed: Sealed) -> None:
        """A new key without the old one's signature is found by whoever trusts the old one."""
        sealed.emit(1)
        sealed.seal()
        old = sealed.checkpoints.public_key()
        sealed.checkpoints.key.unlink()
        sealed.rotate(is_old_lost=True)
        sealed.seal()
        done = sealed.verify(key=old)
        assert said(done) == [(4, "its checkpoint is not signed by the key that is trusted")]
        assert any("without a signature of the old one" in one for one in done.remarks)
        assert said(sealed.verify()) == []

    # ---- anchors

    def test_an_anchor_gets_the_newest_once(self, sealed: Sealed, tmp_path: Path) -> None:
        """Anchoring again changes nothing, and a later checkpoint is added."""
        far = FileAnchor(tmp_path / "far")
        sealed.emit(3)
        first = sealed.seal()
        assert [sealed.checkpoints.anchor(far), sealed.checkpoints.anchor(far)] == [True, False]
        sealed.emit(3)
        second = sealed.seal()
        assert sealed.checkpoints.anchor(far)
        assert far.read() == [first.note, second.note]

    def test_an_anchor_refuses_another_history(self, sealed: Sealed, tmp_path: Path) -> None:
        """What was cut or written anew, with the key and the file beside, cannot be anchored."""
        far = FileAnchor(tmp_path / "far")
        sealed.emit(10)
        sealed.seal()
        sealed.checkpoints.anchor(far)
        sealed.checkpoints.beside.path.unlink()
        tampering.cut(sealed.database, 5)
        sealed.emit(1)
        sealed.seal()
        with pytest.raises(LedgerCut, match="far knows of 10"):
            sealed.checkpoints.anchor(far)
        sealed.emit(10)
        sealed.seal()
        with pytest.raises(LedgerDiffers):
            sealed.checkpoints.anchor(far)

    def test_one_anchor_that_fails_does_not_keep_others(self, sealed: Sealed, tmp_path: Path) -> None:
        """Each is tried, and each says what became of it."""
        bad, good = FileAnchor(tmp_path / "nowhere" / "far"), FileAnchor(tmp_path / "far")
        sealed.anchors = [bad, good]
        sealed.emit(1)
        made = sealed.seal()
        done = sealed.checkpoints.anchor_all()
        assert [error is None for _, error in done] == [False, True]
        assert good.read() == [made.note]

    # ---- proofs

    def test_a_proof_needs_nothing_but_the_key(self, sealed: Sealed) -> None:
        """The proof of an entry, as text or as JSON, says yes to the key, and no when anything in it is changed."""
        events = sealed.emit(100)
        key = sealed.checkpoints.public_key()
        proof = prove_entry(sealed.checkpoints, events[41])
        assert EntryProof.from_text(proof.to_text(), where="test") == proof
        assert verify_bundle(msgspec.json.decode(msgspec.json.encode(proof.to_bundle())), key) == []
        assert (proof.fields["id"], proof.data) == ("e42", {"who": "person-42"})
        bare = proof.without_payload()
        assert (bare.faults(key), bare.data) == ([], None)
        stranger = notes.make_key(ORIGIN).public
        changed = {
            "the checkpoint is not signed by this key": proof.faults(stranger),
            "the payload is not the one": _faults(proof, key, payload=b'{"who":"person-43"}'),
            "the entry is not in the ledger": _faults(proof, key, envelope=proof.envelope.replace(b"s42", b"s43")),
            "the entry calls itself number 42": _faults(proof, key, index=42),
            "is no valid checkpoint": _faults(proof, key, checkpoint="nothing"),
        }
        for expected, faults in changed.items():
            assert any(expected in fault for fault in faults), (expected, faults)

    def test_a_proof_of_what_is_not_signed_yet_signs_it(self, sealed: Sealed) -> None:
        """A checkpoint is made where none covers the entry, and none where one does."""
        first = sealed.emit(1)[0]
        sealed.seal()
        prove_entry(sealed.checkpoints, first)
        assert sealed.checkpoints.sizes() == [1]
        second = sealed.emit(1)[0]
        proof = prove_entry(sealed.checkpoints, second)
        assert sealed.checkpoints.sizes() == [1, 3]
        assert proof.faults(sealed.checkpoints.public_key()) == []

    def test_consistency_is_proved_from_a_kept_checkpoint(self, sealed: Sealed) -> None:
        """A newer checkpoint begins with a kept one, and not with one of a ledger that was another."""
        sealed.emit(67)
        kept = sealed.seal()
        sealed.emit(130)
        newer = sealed.seal()
        proof = prove_consistency(sealed.database, older=kept.size, newer=newer)
        key = sealed.checkpoints.public_key()
        assert type(proof).from_text(proof.to_text(), where="test") == proof
        assert proof.faults(kept, key) == []
        other = msgspec.structs.replace(kept, root=bytes(32))
        assert proof.faults(other, key) == ["the newer ledger does not begin with the older one"]
        longer = msgspec.structs.replace(kept, size=68)
        assert proof.faults(longer, key) == ["the older checkpoint has 68 entries, and the proof is for 67"]
        assert "signed" in proof.faults(kept, notes.make_key(ORIGIN).public)[0]

    # ---- erasure

    def test_an_erased_payload_is_gone_and_proofs_stay(self, sealed: Sealed) -> None:
        """Payload and salt go, an event says why, verification counts it as erased, and an old proof still holds."""
        event = sealed.emit(5)[2]
        proof = prove_entry(sealed.checkpoints, event)
        command = sealed.ledger.record(Event(type="command.issued", subject="erase"))[0]
        with origin.use(origin.following(command)):
            said_so = erasure.erase_payload(sealed.database, sealed.ledger, event, reason="asked for")
        assert (said_so.type, said_so.subject, said_so.causationid) == ("payload.erased", "e3", command.id)
        assert (said_so.data["seq"], said_so.data["reason"]) == (3, "asked for")
        with sealed.database.read() as connection:
            kept = connection.execute(select(schema.payload.c.seq)).scalars().all()
        assert 3 not in kept
        sealed.seal()
        done = sealed.verify()
        assert (said(done), done.erased) == ([], 1)
        key = sealed.checkpoints.public_key()
        assert proof.without_payload().faults(key) == []
        later = prove_entry(sealed.checkpoints, event)
        assert (later.faults(key), later.payload) == ([], None)

    def test_what_the_ledger_needs_is_not_erased(self, sealed: Sealed) -> None:
        """Checkpoints, rotations and erasures stay; nothing is erased twice; and a refusal changes nothing."""
        first = sealed.emit(1)[0]
        sealed.seal()
        sealed.rotate()
        command = sealed.ledger.record(Event(type="command.issued", subject="erase"))[0]
        with origin.use(origin.following(command)):
            erased = erasure.erase_payload(sealed.database, sealed.ledger, first, reason="x")
        for event in (*sealed.ledger.read(types=["ledger.checkpoint", "ledger.key.rotated"]), erased, first):
            before = sealed.ledger.last_seq()
            with pytest.raises(NotErasable):
                erasure.erase_payload(sealed.database, sealed.ledger, event, reason="x")
            assert sealed.ledger.last_seq() == before

    def test_an_erasure_without_its_event_did_not_happen(self, sealed: Sealed) -> None:
        """The payload goes with the event that says so, or stays: here the event has no cause and is refused."""
        event = sealed.emit(1)[0]
        with pytest.raises(Exception, match="cause"):
            erasure.erase_payload(sealed.database, sealed.ledger, event, reason="x")
        assert sealed.ledger.get(event.id) == event

    def test_a_forgotten_actor_has_no_name(self, sealed: Sealed) -> None:
        """The mapping goes, found by name or by pseudonym; what was done stays."""
        with sealed.database.write() as transaction:
            transaction.execute(schema.pseudonym.insert(), {"authid": "f00", "account": "person-1"})
            transaction.execute(schema.pseudonym.insert(), {"authid": "f01", "account": "person-2"})
        assert erasure.find_actor(sealed.database, "person-1") == erasure.find_actor(sealed.database, "f00") == "f00"
        erasure.forget_actor(sealed.database, "f00")
        with pytest.raises(UnknownName, match="Known: person-2"):
            erasure.find_actor(sealed.database, "person-1")


def _faults(proof: EntryProof, key: notes.PublicKey, **changes: object) -> list[str]:
    return msgspec.structs.replace(proof, **changes).faults(key)


class TestCheckpointsOnSQLite(OnSQLite, CheckpointContract):
    """The promises on SQLite."""

    def test_a_ledger_from_before_the_tree_is_verified_and_sealed(self, url: str, tmp_path: Path) -> None:
        """Its entries are sound as they are; verification says that they wait, and the checkpoint takes them in."""
        with sqlite3.connect(tmp_path / "ratchet.db") as connection:
            connection.executescript((OLD / "schema_1.sql").read_text())
        connection.close()
        sealed = Sealed(url, tmp_path)
        before = sealed.verify()
        assert (said(before), before.entries, before.unsigned) == ([], 5, 5)
        assert any("covers 0 of 5 entries" in one for one in before.remarks)
        assert sealed.seal().size == 5
        after = sealed.verify()
        assert (said(after), after.checkpoints, after.unsigned) == ([], 1, 1)
        assert not any("covers" in one for one in after.remarks)
        tampering.rewrite(sealed.database, 2, with_tree=False, subject="another")
        assert said(sealed.verify())[0][0] == 2
        sealed.database.close()

    def test_what_is_erased_is_in_no_file(self, sealed: Sealed, tmp_path: Path) -> None:
        """Neither the database's file nor its log holds the bytes that were erased."""
        secret = "the name of person-1 and much that belongs to nobody else"
        # Some builds of SQLite overwrite what is deleted anyway; this one must not, or the test could not fail.
        sealed.database.close()
        listen(sealed.database.engine, "connect", lambda made, _record: made.execute("PRAGMA secure_delete = OFF"))
        event = sealed.ledger.record(Event(type="custom.emitted", subject="s", data={"secret": secret}))[0]
        sealed.emit(30)
        command = sealed.ledger.record(Event(type="command.issued", subject="erase"))[0]
        assert secret.encode() in _bytes(tmp_path)
        with origin.use(origin.following(command)):
            erasure.erase_payload(sealed.database, sealed.ledger, event, reason="asked for")
        assert secret.encode() not in _bytes(tmp_path)
        with sqlite3.connect(tmp_path / "ratchet.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("ratchet.db*")))


class TestCheckpointsOnPostgreSQL(OnPostgreSQL, CheckpointContract):
    """The promises on PostgreSQL."""

    def test_what_is_erased_is_taken_out_of_the_table(self, sealed: Sealed) -> None:
        """No dead row is left behind for somebody with the files."""
        event = sealed.emit(3)[0]
        command = sealed.ledger.record(Event(type="command.issued", subject="erase"))[0]
        with origin.use(origin.following(command)):
            erasure.erase_payload(sealed.database, sealed.ledger, event, reason="asked for")
        with sealed.database.read() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pgstattuple"))
            dead = connection.execute(text("SELECT dead_tuple_count FROM pgstattuple('payload')")).scalar()
        assert dead == 0
