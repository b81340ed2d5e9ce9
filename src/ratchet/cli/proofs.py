"""The commands of ``ratchet ledger`` that prove and check; some of them need no project.

Invariant: an answer is "sound" only where everything that was asked for was compared; exit code 1 says that it was not.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.session import FAILED, Refused, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.store.checkpoints import Checkpoint, Checkpoints
    from ratchet.store.notes import PublicKey
    from ratchet.store.verification import Held, Verification
    from ratchet.workspace import Workspace

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHOWN = 20


@click.command(
    "verify",
    epilog=examples(
        "ratchet ledger verify",
        "ratchet ledger verify --checkpoint /mnt/audit/flights.checkpoints",
        "ratchet ledger verify --file ledger.jsonl --key ledger.pub --checkpoint now",
    ),
)
@click.option("--file", "export", type=_FILE, help="Verify an exported ledger; no project is needed.")
@click.option("--checkpoint", "held", type=_FILE, multiple=True, help="A file with checkpoints that you kept.")
@click.option("--key", default="", help="The public key to trust: a PEM file, a file with its line, or the line.")
@with_session
def verify_command(session: Session, *, export: Path | None, held: tuple[Path, ...], key: str) -> None:
    """Read the whole ledger again and say whether it is what was written.

    Each entry is hashed anew, its payload and its columns are compared with it, numbers and ids are counted, and the
    tree's root is compared with all checkpoints: those in the ledger, those beside it, and those at the anchors.
    """
    from ratchet.cli import console
    from ratchet.store import entries, verification

    kept = _read_held(held)
    trusted = read_key(key) if key else None
    if export is not None:
        chunks = entries.chunks_of_export(export)
        with _bar(chunks[-1].until if chunks else 0) as report:
            done = verification.verify(
                chunks,
                origin=entries.read_origin(export),
                key=trusted,
                held=kept,
                workers=os.cpu_count() or 1,
                report=report,
            )
    else:
        with session.workspace() as workspace:
            done = _verify_workspace(workspace, trusted, kept)
    if session.as_json:
        console.print_json(_as_json(done))
    else:
        _print(done)
    click.get_current_context().exit(0 if done.is_sound else FAILED)


def _verify_workspace(workspace: "Workspace", trusted: "PublicKey | None", kept: "list[Held]") -> "Verification":
    import msgspec

    from ratchet.cli import keys
    from ratchet.errors import RatchetError, SigningKeyUnusable
    from ratchet.store import entries, verification
    from ratchet.store.findings import Finding
    from ratchet.store.verification import Held

    checkpoints = workspace.checkpoints
    keys.warn_of(checkpoints.key)
    faults = []
    for anchor in (checkpoints.beside, *checkpoints.anchors):
        try:
            is_own = anchor is checkpoints.beside
            kept += [Held(where=anchor.name, note=note, is_own=is_own) for note in anchor.read()]
        except RatchetError as error:
            faults.append(Finding(seq=0, id="", what=str(error)))
    try:
        known = trusted or checkpoints.known_key()
    except SigningKeyUnusable as error:
        known = None
        faults.append(Finding(seq=0, id="", what=str(error)))
    chunks = entries.chunks_of_database(workspace.database)
    with _bar(chunks[-1].until if chunks else 0) as report:
        done = verification.verify(
            chunks,
            origin=checkpoints.origin,
            key=known,
            held=kept,
            database=workspace.database,
            workers=os.cpu_count() or 1,
            report=report,
        )
    return msgspec.structs.replace(done, findings=(*done.findings, *faults))


def _read_held(paths: tuple[Path, ...]) -> "list[Held]":
    from ratchet.store.anchors import split_notes
    from ratchet.store.verification import Held

    kept = []
    for path in paths:
        found = split_notes(_text(path), where=str(path))
        if not found:
            raise Refused(f"{path} holds no checkpoint, so there is nothing to compare with. Name the file you kept.")
        kept += [Held(where=str(path), note=note) for note in found]
    return kept


def _text(path: Path) -> str:
    """Return what a file says.

    Raises:
        Refused: It is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is no text, so neither checkpoint, key nor proof. Name another file.") from error


def read_key(given: str) -> "PublicKey":
    """Return the public key that was given, as a file or as its line.

    Raises:
        SigningKeyUnusable: It is none.
    """
    from ratchet.store.notes import parse_public_key

    path = Path(given)
    is_file = "+" not in given or path.is_file()
    if is_file and not path.is_file():
        raise click.UsageError(
            f"--key is '{given}', which is neither a file nor a key such as ratchet/flights+1a2b+..."
        )
    return parse_public_key(_text(path) if is_file else given, where=given)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far the reading is; nothing where stderr is no terminal."""
    from ratchet.cli.console import stderr

    if not stderr().is_terminal:
        yield lambda _entries: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task("reading", total=total)
        yield lambda entries: progress.update(task, completed=entries)


def _as_json(done: "Verification") -> dict[str, Any]:
    import msgspec

    values: dict[str, Any] = msgspec.to_builtins(done)
    return {"is_sound": done.is_sound, **values}


def _print(done: "Verification") -> None:
    from ratchet.cli import console

    entries = "1 entry" if done.entries == 1 else f"{done.entries:,} entries"
    if done.is_sound:
        console.say(f"{done.origin}: {entries}, all as they were written.")
    else:
        first, *others = done.findings
        console.say(f"{done.origin}: {entries}, and not as they were written. The first that differs:\n")
        console.say(f"  {_place(first.seq, first.id)}{first.what}")
        for one in others[: _SHOWN - 1]:
            console.say(f"  {_place(one.seq, one.id)}{one.what}")
        if len(others) >= _SHOWN:
            console.say(f"  and {len(others) - _SHOWN + 1} more; all of them with --json")
    console.say("")
    pairs = [
        ("root", done.root or "none: entries are missing in between"),
        ("checkpoints", f"{done.checkpoints} inside the ledger fit"),
        *[("also signed", f"{where}: fits, up to entry {size:,}") for where, size in done.anchored.items()],
        ("erased", f"{console.count(done.erased, 'payload')}, as recorded" if done.erased else ""),
        ("not yet signed", f"{done.unsigned:,} at the end" if done.unsigned else ""),
    ]
    console.say(console.facts((name, value) for name, value in pairs if value))
    for remark in done.remarks:
        console.note(remark)


def _place(seq: int, event_id: str) -> str:
    if not seq:
        return ""
    return f"#{seq} {event_id}: " if event_id else f"#{seq}: "


# ---- proofs


@click.command("prove", epilog=examples("ratchet ledger prove 42 --output entry-42.tlog-proof"))
@click.argument("event", metavar="ID|NUMBER")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; stdout by default.")
@click.option("--without-payload", is_flag=True, help="Prove that it happened, and do not show what it says.")
@with_session
def prove_command(session: Session, *, event: str, output: Path | None, without_payload: bool) -> None:
    """Print a proof that an event is in the ledger, which anybody with the public key can check.

    The proof holds the event, the way to the root and the newest checkpoint; one is made where none covers the event.
    """
    from ratchet.cli import console
    from ratchet.cli.events import find_event
    from ratchet.store.artifacts import write_durably
    from ratchet.store.proofs import prove_entry

    with session.workspace() as workspace:
        proof = prove_entry(workspace.checkpoints, find_event(workspace, event))
    if without_payload:
        proof = proof.without_payload()
    if output is not None:
        write_durably(output, proof.to_text().encode())
        console.note(f"{output}: check it with ratchet ledger verify-proof {output} --key PUBLIC")
    elif session.as_json:
        console.print_json(proof.to_bundle())
    else:
        click.echo(proof.to_text(), nl=False)


@click.command(
    "consistency",
    epilog=examples(
        "ratchet ledger consistency kept-last-year",
        "ratchet ledger consistency 1200 3400 > step.proof",
    ),
)
@click.argument("older", metavar="OLDER")
@click.argument("newer", type=int, required=False, metavar="[NEWER]")
@with_session
def consistency_command(session: Session, *, older: str, newer: int | None) -> None:
    """Print a proof that the ledger of a checkpoint begins with an older one: that nothing before it changed.

    OLDER is a file with the checkpoint that you kept, or a number of entries. NEWER is the number of entries of a
    checkpoint in the ledger; the newest by default.
    """
    from ratchet.cli import console
    from ratchet.store.proofs import prove_consistency

    with session.workspace() as workspace:
        checkpoints = workspace.checkpoints
        end = _checkpoint(checkpoints, newer)
        kept = None if older.isdecimal() else _kept_checkpoint(Path(older))
        size = kept.size if kept else int(older)
        if not 1 <= size <= end.size:
            raise click.UsageError(f"The older ledger has {size} entries, and the newer one {end.size}.")
        proof = prove_consistency(workspace.database, older=size, newer=end)
        key = checkpoints.known_key()
    faults = proof.faults(kept, key) if kept and key else []
    if faults:
        from ratchet.errors import LedgerDiffers

        raise LedgerDiffers(where=older, size=size)
    if session.as_json:
        console.print_json({"older": size, "newer": end.size, "proof": proof.to_text()})
    else:
        click.echo(proof.to_text(), nl=False)


def _checkpoint(checkpoints: "Checkpoints", size: int | None) -> "Checkpoint":
    from ratchet.errors import UnknownName

    found = checkpoints.at(size) if size is not None else checkpoints.latest()
    if found is None:
        known = ", ".join(str(one) for one in checkpoints.sizes()[-10:])
        raise UnknownName(kind="checkpoint", name=str(size or "newest"), known=known or "none yet")
    return found


def _kept_checkpoint(path: Path) -> "Checkpoint":
    from ratchet.store.anchors import split_notes
    from ratchet.store.checkpoints import parse_checkpoint

    if not path.is_file():
        raise click.UsageError(f"OLDER is '{path}', which is neither a number nor a file.")
    kept = split_notes(_text(path), where=str(path))
    return parse_checkpoint(kept[-1] if kept else "", where=str(path))[0]


@click.command(
    "verify-proof",
    epilog=examples(
        "ratchet ledger verify-proof entry-42.tlog-proof --key ledger.pub",
        "ratchet ledger verify-proof step.proof --key ledger.pub --checkpoint kept-last-year",
    ),
)
@click.argument("file", type=_FILE)
@click.option("--key", default="", help="The public key to trust; by default that of the project you are in.")
@click.option("--checkpoint", "older", type=_FILE, help="For a proof of consistency: the checkpoint you kept.")
@with_session
def verify_proof_command(session: Session, *, file: Path, key: str, older: Path | None) -> None:
    """Check a proof, with nothing but a public key: no project, no database and no network is needed."""
    from ratchet.cli import console
    from ratchet.store.proofs import ConsistencyProof, EntryProof

    content = _text(file)
    trusted = read_key(key) if key else project_key(session)
    about: dict[str, Any] = {}
    if content.startswith("old "):
        if older is None:
            raise click.UsageError("A proof of consistency starts from a checkpoint that you kept: --checkpoint FILE.")
        step, kept = ConsistencyProof.from_text(content, where=str(file)), _kept_checkpoint(older)
        faults = step.faults(kept, trusted)
        shown = f"The ledger still begins with the {kept.size} entries of {older}."
    else:
        proof = EntryProof.from_text(content, where=str(file))
        faults = proof.faults(trusted)
        about = {"event": proof.fields, "data": proof.data} if not faults else {}
        shown = f"Entry {proof.index + 1} is in the ledger, as it stands in {file}."
    if session.as_json:
        console.print_json({"is_sound": not faults, "faults": faults, **about})
    elif faults:
        console.say(f"{file} proves nothing: {'; '.join(faults)}.")
    else:
        console.say(shown)
        _print_entry(about)
    click.get_current_context().exit(FAILED if faults else 0)


def project_key(session: Session) -> "PublicKey":
    """Return the public key of the project one is in.

    Raises:
        UsageError: It has none yet.
    """
    with session.workspace() as workspace:
        key = workspace.checkpoints.known_key()
    if key is None:
        raise click.UsageError("This project has no key yet. Name the one to trust with --key.")
    return key


def _print_entry(about: dict[str, Any]) -> None:
    import msgspec

    from ratchet.cli import console

    if not about:
        return
    event, data = about["event"], about["data"]
    names = ("id", "type", "subject", "time", "recordedtime", "authtype", "authid", "causationid", "pipeline")
    pairs = [(name, str(event[name])) for name in names if event.get(name)]
    said = "not in this proof, or erased" if data is None else msgspec.json.encode(data).decode()
    console.say(console.facts([*pairs, ("data", said)]))
