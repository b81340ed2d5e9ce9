"""What a verification finds, on SQLite and on PostgreSQL: each fault is planted in the database itself."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ratchet.errors import CheckpointInvalid, ExportInvalid, LedgerDiffers
from ratchet.records import Event
from ratchet.store import entries, notes, tree, verification
from ratchet.store.checkpoints import Checkpoint
from ratchet.store.proofs import prove_entry
from ratchet.store.verification import Verification
from tests import tampering
from tests.contract.databases import OnPostgreSQL, OnSQLite
from tests.sealing import ORIGIN, Sealed, said

CHANGED = "its envelope was changed after it was appended: it has not the hash that was kept of it"
PAYLOAD = "its payload is not the one that its envelope was written with"


class VerificationContract:
    """What is found; a subclass says on which database."""

    @pytest.fixture
    def sealed(self, url: str, tmp_path: Path) -> Iterator[Sealed]:
        """Give a ledger with a checkpoint over 80 entries, one over 161, and 9 entries after it."""
        sealed = Sealed(url, tmp_path)
        sealed.emit(80)
        sealed.seal()
        sealed.emit(80)
        sealed.seal()
        sealed.emit(9)
        yield sealed
        sealed.database.close()

    def change(self, sealed: Sealed, *statements: str, **values: object) -> None:
        """Do something that must not be done."""
        tampering.without_guards(sealed.database, *statements, **values)

    # ---- the tree that is kept

    @pytest.mark.parametrize(
        ("statement", "seq", "what"),
        [
            ("UPDATE ledger_tile SET root = leaves WHERE number = 1", 65, "the hash that was kept of the 64 entries"),
            ("DELETE FROM ledger_tile WHERE number = 1", 0, "does not fit together"),
            ("UPDATE ledger_tree SET frontier = leaves", 0, "does not fit together"),
            ("UPDATE ledger_tree SET size = 5", 0, "does not fit together"),
        ],
    )
    def test_a_tree_that_was_changed_is_found(self, sealed: Sealed, statement: str, seq: int, what: str) -> None:
        """Proofs are made from it: an honest ledger whose tree is spoilt would give false ones."""
        self.change(sealed, statement)
        done = sealed.verify()
        assert any(one.seq == seq and what in one.what for one in done.findings)

    def test_a_spoilt_tree_neither_signs_nor_stops_the_ledger(self, sealed: Sealed) -> None:
        """Events go on being recorded; a checkpoint is refused until somebody has looked."""
        self.change(sealed, "UPDATE ledger_tree SET frontier = leaves")
        sealed.emit(3)
        with pytest.raises(LedgerDiffers, match="its own tree"):
            sealed.seal()

    def test_a_payload_without_an_entry_is_found(self, sealed: Sealed) -> None:
        """It would keep the next event from being appended."""
        self.change(sealed, "INSERT INTO payload (seq, body, salt) SELECT 172, body, salt FROM payload WHERE seq = 1")
        assert [(one.seq, one.what) for one in sealed.verify().findings] == [
            (172, "a payload stands there, and no entry")
        ]

    def test_bytes_that_became_text_are_exported_as_they_were(self, sealed: Sealed, tmp_path: Path) -> None:
        """SQLite keeps text where bytes belong; whoever does that changes nothing, and breaks nothing."""
        before = sealed.export(tmp_path / "before").read_bytes()
        if sealed.database.is_sqlite:
            self.change(sealed, "UPDATE payload SET body = CAST(body AS TEXT)")
            self.change(sealed, "UPDATE ledger SET envelope = CAST(envelope AS TEXT)")
        assert sealed.export(tmp_path / "after").read_bytes() == before
        assert said(sealed.verify()) == []
        assert prove_entry(sealed.checkpoints, next(sealed.ledger.read())).faults(sealed.checkpoints.public_key()) == []

    def test_an_anchor_may_be_shared_by_several_ledgers(self, sealed: Sealed) -> None:
        """Another ledger's checkpoints beside ours are no fault of ours; a place with nothing but others' is."""
        kept = sealed.checkpoints.latest()
        assert kept is not None
        other = kept.note.replace(ORIGIN, "ratchet/another")
        shared = [verification.Held(where="shared", note=note) for note in (kept.note, other)]
        assert said(sealed.verify_held(shared)) == []
        assert "has a checkpoint of ratchet/another" in said(sealed.verify_held(shared[1:]))[0][1]

    # ---- nothing

    def test_a_ledger_as_it_was_written_is_sound(self, sealed: Sealed, tmp_path: Path) -> None:
        """Nothing is found in the database nor in its export, and what no reading could show is said."""
        kept = sealed.checkpoints.latest()
        assert kept is not None
        for done in (sealed.verify(kept), sealed.verify_export(sealed.export(tmp_path / "export"), kept)):
            assert said(done) == []
            assert (done.entries, done.checkpoints, done.unsigned, done.erased) == (171, 2, 10, 0)
            assert done.anchored == {"a friend": 161}
            assert "never recorded" in done.remarks[-1]
        with sealed.database.read() as connection:
            state = tree.load(connection)
        assert state is not None
        assert done.root == state.root.hex()

    def test_an_empty_ledger_is_sound(self, url: str, tmp_path: Path) -> None:
        """It has no entries, and nothing is wrong with them."""
        empty = Sealed(url, tmp_path)
        done = empty.verify()
        empty.database.close()
        assert (said(done), done.entries) == ([], 0)

    def test_without_a_checkpoint_elsewhere_it_says_what_it_cannot_see(self, sealed: Sealed) -> None:
        """The line is there without one, also with the file that lies beside, and goes with one from elsewhere."""
        kept = sealed.checkpoints.latest()
        assert kept is not None
        for done, is_there in (
            (sealed.verify(), True),
            (sealed.verify(beside=True), True),
            (sealed.verify(kept), False),
        ):
            assert any("could have written all of the ledger anew" in one for one in done.remarks) == is_there

    # ---- an edited row

    def test_an_edited_column_is_named(self, sealed: Sealed) -> None:
        """Columns are what is searched by, so one that says something else than its envelope is found."""
        self.change(sealed, "UPDATE ledger SET pipeline = 'x' WHERE seq = 70")
        assert said(sealed.verify()) == [(70, "its column pipeline says 'x', and its envelope ''")]

    def test_an_edited_payload_is_named(self, sealed: Sealed, tmp_path: Path) -> None:
        """What an entry says was changed, and nothing else: in the database, and in an export of it."""
        self.change(sealed, "UPDATE payload SET body = :body WHERE seq = 150", body=b'{"who":"person-2"}')
        done = sealed.verify()
        assert said(done) == [(150, PAYLOAD)]
        assert done.findings[0].id == "e150"
        assert said(sealed.verify_export(sealed.export(tmp_path / "export"))) == [(150, PAYLOAD)]

    def test_an_edited_envelope_is_named(self, sealed: Sealed, tmp_path: Path) -> None:
        """Its kept hash names the entry; the signatures say among which entries it is, also in an export."""
        tampering.rewrite(sealed.database, 100, with_tree=False, subject="another")
        signed = (162, "among entries 81 to 161, one or more were changed since it was signed")
        assert said(sealed.verify()) == [(100, CHANGED), signed, (0, _other_root(171))]
        assert said(sealed.verify_export(sealed.export(tmp_path / "export"))) == [signed]

    def test_an_edit_after_the_last_checkpoint_is_named(self, sealed: Sealed) -> None:
        """The hash that is kept with each entry covers the time until the next signature."""
        tampering.rewrite(sealed.database, 170, with_tree=False, subject="another")
        assert said(sealed.verify()) == [(170, CHANGED), (0, _other_root(171))]

    def test_an_edit_with_its_tree_is_found_by_the_signature(self, sealed: Sealed) -> None:
        """Who makes the tree anew has still not the key: the first checkpoint that covers the entry does not fit."""
        tampering.rewrite(sealed.database, 100, subject="another")
        done = sealed.verify()
        assert said(done) == [(162, "among entries 81 to 161, one or more were changed since it was signed")]
        assert (done.checkpoints, done.unsigned) == (1, 91)

    def test_a_changed_hash_is_not_taken_for_a_changed_entry(self, sealed: Sealed) -> None:
        """Where a signature covers the entry, it is the hash in the tile that somebody changed."""
        self.change(sealed, "UPDATE ledger_tile SET leaves = :leaves WHERE number = 1", leaves=bytes(64 * 32))
        found = said(sealed.verify())
        assert found[0] == (65, "the hash that was kept of it was changed; the entry itself is as it was signed")
        assert len(found) == 64

    def test_an_envelope_that_cannot_be_read_is_named(self, sealed: Sealed) -> None:
        """Bytes that are no JSON are a finding, and no fault of the reader."""
        self.change(sealed, "UPDATE ledger SET envelope = :envelope WHERE seq = 5", envelope=b"nonsense")
        assert sealed.verify().findings[0].seq == 5

    # ---- a cut

    def test_a_missing_entry_is_named(self, sealed: Sealed, tmp_path: Path) -> None:
        """Numbers are dense; beyond the gap no root can be compared, and that is said by its absence."""
        self.change(sealed, "DELETE FROM ledger WHERE seq = 40")
        done = sealed.verify()
        assert (said(done), done.root) == ([(40, "entry 40 is missing")], "")
        found = sealed.verify_export(sealed.export(tmp_path / "export"))
        assert said(found) == [(40, "entry 40 is missing")]

    def test_a_cut_end_is_seen_by_the_tree(self, sealed: Sealed) -> None:
        """The tree has more leaves than there are entries."""
        self.change(sealed, "DELETE FROM ledger WHERE seq > 165")
        what = "entries 166 to 171 are missing: the tree of the ledger had 171 leaves"
        assert said(sealed.verify()) == [(166, what)]

    def test_a_cut_end_with_its_tree_is_seen_by_what_lies_outside(self, sealed: Sealed) -> None:
        """Cut together with its checkpoint and tree, the ledger looks sound; any checkpoint outside shows it."""
        kept = sealed.checkpoints.latest()
        assert kept is not None
        tampering.cut(sealed.database, 100)
        done = sealed.verify()
        assert said(done) == []
        assert any("cut off its end" in one for one in done.remarks)
        what = "entries 101 to 161 are missing: a friend has a signed checkpoint over 161"
        assert said(sealed.verify(kept)) == [(101, what)]
        assert "ledger.checkpoints has a signed checkpoint over 161" in said(sealed.verify(beside=True))[0][1]

    # ---- a tail that was made anew

    def test_a_tail_made_anew_with_the_key_is_seen_by_a_kept_checkpoint_only(self, sealed: Sealed) -> None:
        """With database, folder and key all can be written anew; what somebody else holds cannot."""
        kept = sealed.checkpoints.latest()
        assert kept is not None
        tampering.cut(sealed.database, 100)
        sealed.checkpoints.beside.path.unlink()
        sealed.emit(90)
        sealed.seal()
        assert said(sealed.verify(beside=True)) == []
        what = "among entries 1 to 161, one or more were changed since a checkpoint was signed, which a friend holds"
        assert said(sealed.verify(kept)) == [(0, what)]

    def test_a_kept_checkpoint_that_fits_narrows_it_down(self, sealed: Sealed) -> None:
        """Of two checkpoints that are kept, the older fits and the newer does not."""
        older, newer = sealed.checkpoints.at(80), sealed.checkpoints.at(161)
        assert older is not None
        assert newer is not None
        tampering.rewrite(sealed.database, 100, subject="another")
        found = said(sealed.verify(older, newer))
        what = "among entries 81 to 161, one or more were changed since a checkpoint was signed, which a friend holds"
        assert (0, what) in found

    # ---- checkpoints and keys

    def test_a_forged_checkpoint_is_named(self, sealed: Sealed) -> None:
        """An entry that claims to be a checkpoint, and is signed by another key, does not count."""
        forger = notes.make_key(ORIGIN)
        _sign_as_entry(sealed, forger)
        assert said(sealed.verify()) == [(172, "its checkpoint is not signed by the key that is trusted")]
        assert said(sealed.verify(key=forger.public))[0][0] == 81

    def test_a_checkpoint_out_of_place_is_named(self, sealed: Sealed) -> None:
        """A true checkpoint that is appended again, later, covers less than it should."""
        old = sealed.checkpoints.at(80)
        assert old is not None
        data = {"size": 80, "root": old.root.hex(), "key": sealed.checkpoints.public_key().line, "note": old.note}
        sealed.ledger.record(Event(type="ledger.checkpoint", subject=ORIGIN, data=data))
        assert said(sealed.verify()) == [(172, "it covers 80 entries, and should cover the 171 before it")]

    def test_a_kept_checkpoint_of_another_ledger_or_key_is_named(self, sealed: Sealed) -> None:
        """What does not belong to this ledger is a finding, not a comfort."""
        other = notes.make_key("ratchet/other")
        text_of = f"ratchet/other\n1\n{base64.b64encode(bytes(32)).decode()}\n"
        foreign = Checkpoint(origin="x", size=1, root=b"", note=f"{text_of}\n{other.sign(text_of)}")
        assert said(sealed.verify(foreign)) == [
            (0, f"a friend has a checkpoint of ratchet/other, and this is {ORIGIN}")
        ]
        unsigned = msgspec.structs.replace(foreign, note=foreign.note.replace("ratchet/other", ORIGIN))
        assert "not signed by the key that is trusted" in said(sealed.verify(unsigned))[0][1]
        broken = msgspec.structs.replace(foreign, note="nothing")
        with pytest.raises(CheckpointInvalid):
            sealed.verify(broken)

    def test_an_export_alone_trusts_the_key_that_it_names(self, sealed: Sealed, tmp_path: Path) -> None:
        """That is said; a key that is given is trusted instead."""
        path = sealed.export(tmp_path / "export")
        assert any("the ledger itself names" in one for one in sealed.verify_export(path).remarks)
        public = sealed.checkpoints.public_key()
        assert not any("itself names" in one for one in sealed.verify_export(path, key=public).remarks)

    # ---- payloads

    def test_a_payload_that_is_gone_needs_its_reason(self, sealed: Sealed) -> None:
        """Erased by a statement and not by the command, it is found."""
        self.change(sealed, "DELETE FROM payload WHERE seq = 12")
        what = "its payload is gone, and no payload.erased says who took it away, and why"
        assert said(sealed.verify()) == [(12, what)]

    def test_an_erased_payload_that_is_back_is_named(self, sealed: Sealed) -> None:
        """What the ledger says was erased must not be there."""
        data = {"seq": 12, "id": "e12", "source": "ratchet", "type": "custom.emitted", "reason": "x"}
        sealed.ledger.record(Event(type="payload.erased", subject="e12", causationid="e1", data=data))
        assert said(sealed.verify()) == [(12, "its erased payload is back")]

    # ---- the whole

    def test_the_first_is_told_first(self, sealed: Sealed) -> None:
        """Findings stand in the order of the ledger."""
        self.change(
            sealed, "UPDATE ledger SET pipeline = 'x' WHERE seq IN (7, 90)", "DELETE FROM payload WHERE seq = 30"
        )
        assert [one.seq for one in sealed.verify().findings] == [7, 30, 90]

    def test_chunks_and_processes_change_nothing(
        self, sealed: Sealed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Read in chunks of 16 entries, or by several processes, a ledger comes to the same."""
        tampering.rewrite(sealed.database, 100, with_tree=False, subject="another")
        self.change(sealed, "UPDATE ledger SET pipeline = 'x' WHERE seq = 5", "DELETE FROM payload WHERE seq = 130")
        path = sealed.export(tmp_path / "export")
        kept = sealed.checkpoints.at(80)
        assert kept is not None
        whole, whole_export = sealed.verify(kept), sealed.verify_export(path, kept)
        assert whole.findings
        monkeypatch.setattr(verification, "PARALLEL_FROM_ENTRIES", 0)
        assert sealed.verify_export(path, kept, workers=2) == whole_export
        monkeypatch.setattr(verification, "PARALLEL_FROM_ENTRIES", 10**9)
        monkeypatch.setattr(entries, "CHUNK_ENTRIES", 64)
        assert sealed.verify(kept) == whole
        assert sealed.verify_export(path, kept) == whole_export


def _other_root(size: int) -> str:
    return f"the tree that the ledger keeps has another root over entries 1 to {size} than they have"


def _sign_as_entry(sealed: Sealed, key: notes.SigningKey) -> None:
    with sealed.database.read() as connection:
        state = tree.load(connection)
    assert state is not None
    content = f"{ORIGIN}\n{state.size}\n{base64.b64encode(state.root).decode()}\n"
    data = {
        "size": state.size,
        "root": state.root.hex(),
        "key": key.public.line,
        "note": f"{content}\n{key.sign(content)}",
    }
    sealed.ledger.record(Event(type="ledger.checkpoint", subject=ORIGIN, data=data))


class TestVerificationOnSQLite(OnSQLite, VerificationContract):
    """What is found on SQLite."""

    def test_text_in_place_of_bytes_is_read(self, sealed: Sealed) -> None:
        """SQLite keeps text in a column of bytes when somebody writes it there; it is read as what it says."""
        statement = "UPDATE ledger SET envelope = replace(CAST(envelope AS TEXT), 'custom', 'costum') WHERE seq = 9"
        self.change(sealed, statement)
        assert said(sealed.verify())[0] == (
            9,
            "its column type says 'custom.emitted', and its envelope 'costum.emitted'",
        )

    def test_a_key_that_is_there_twice_is_named(self, sealed: Sealed, tmp_path: Path) -> None:
        """Somebody took the table's own guard away: the second entry with a source and id is named."""
        columns = "seq, source, id, type, subject, pipeline, cause, envelope"
        self.change(
            sealed,
            "ALTER TABLE ledger RENAME TO guarded",
            f"CREATE TABLE ledger AS SELECT {columns} FROM guarded",
            "UPDATE ledger SET id = 'e3' WHERE seq = 171",
        )
        assert (171, "an entry before it has its source and id") in said(sealed.verify())

    # ---- exports, which need no database of any kind

    def test_an_export_that_was_edited_is_found(self, sealed: Sealed, tmp_path: Path) -> None:
        """A line that was taken out, repeated or edited is named; so is an entry with the key of another."""
        path = sealed.export(tmp_path / "export")
        kept = sealed.checkpoints.at(161)
        assert kept is not None
        header, *lines = path.read_text().splitlines()

        def verified(*changed: str) -> Verification:
            path.write_text("\n".join([header, *changed]) + "\n")
            return sealed.verify_export(path, kept, key=key)

        key = sealed.checkpoints.public_key()
        assert said(verified(*lines)) == []
        assert said(verified(*lines[:3], *lines[4:])) == [(4, "entry 4 is missing")]
        assert (4, "its number stands there twice, or out of order") in said(verified(*lines[:4], *lines[3:]))
        what = "entries 51 to 161 are missing: a friend has a signed checkpoint over 161"
        assert said(verified(*lines[:50])) == [(51, what)]
        line = json.loads(lines[9])
        line["envelope"] = json.loads(lines[8])["envelope"].replace('"seq":9', '"seq":10')
        found = said(verified(*lines[:9], json.dumps(line), *lines[10:]))
        assert (10, "an entry before it has its source and id") in found
        assert (10, PAYLOAD) in found

    @pytest.mark.parametrize(
        ("content", "where"),
        [
            ("", ":1: This is no first line"),
            ('{"format":"other","origin":"x"}', ":1: Its form is 'other'"),
            ('{"format":"ratchet-ledger-v1","origin":"x"}\nnothing\n', ":2: This line is no entry"),
            ('{"format":"ratchet-ledger-v1","origin":"x"}\n{"seq":1,"envelope":"{}","payload":"","salt":"z"}\n', ":2:"),
        ],
    )
    def test_what_is_no_export_is_refused(self, sealed: Sealed, tmp_path: Path, content: str, where: str) -> None:
        """The file and the line are named."""
        path = tmp_path / "export"
        path.write_text(content)
        with pytest.raises(ExportInvalid) as refused:
            sealed.verify_export(path)
        assert f"{path}{where}" in str(refused.value)

    def test_bytes_that_are_no_text_survive_an_export(self, sealed: Sealed, tmp_path: Path) -> None:
        """A payload is exported as it is, whatever it is; here it does not fit its envelope, and is named."""
        self.change(sealed, "UPDATE payload SET body = :body WHERE seq = 20", body=b"\xff\xfe")
        path = sealed.export(tmp_path / "export")
        assert json.loads(path.read_text().splitlines()[20])["encoding"] == "base64"
        assert said(sealed.verify_export(path)) == [(20, PAYLOAD)]


class TestVerificationOnPostgreSQL(OnPostgreSQL, VerificationContract):
    """What is found on PostgreSQL."""

    def test_a_password_in_the_url_reaches_the_chunks(self, sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
        """A chunk can be read by another process, which knows the database by its whole URL."""
        url = sealed.database.engine.url.set(password="secret")
        monkeypatch.setattr(sealed.database.engine, "url", url)
        assert all(":secret@" in chunk.place for chunk in entries.chunks_of_database(sealed.database))
