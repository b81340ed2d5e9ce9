"""``ratchet ledger``: sign the ledger, prove what is in it, show whether it was changed, and erase what must go.

Invariant: what changes anything for good asks a person first; what only reads needs no running workspace.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.groups import Group
from ratchet.cli.proofs import consistency_command, prove_command, verify_command, verify_proof_command
from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.store.checkpoints import Checkpoint
    from ratchet.workspace import Workspace


@click.group(
    "ledger",
    cls=Group,
    epilog=examples(
        "ratchet ledger verify",
        "ratchet ledger checkpoint",
        "ratchet ledger prove 42 > entry-42.tlog-proof",
        "ratchet ledger verify-proof entry-42.tlog-proof --key ledger.pub",
    ),
)
def ledger_command() -> None:
    """Sign the ledger, prove entries, and show whether any was changed.

    All entries are leaves of one Merkle tree. A checkpoint is the tree's root, signed; kept elsewhere, it shows any
    later change of what it covers, to anybody who has the public key.
    """


for _command in (verify_command, prove_command, verify_proof_command, consistency_command):
    ledger_command.add_command(_command)


# ---- checkpoints and where they are kept


@ledger_command.command("checkpoint", epilog=examples("ratchet ledger checkpoint", "ratchet ledger checkpoint > now"))
@with_session
def checkpoint_command(session: Session) -> None:
    """Sign the ledger as it stands, and print the signed text.

    `ratchet up` does so once an hour when something was appended. The text goes to the anchors of ratchet.toml, too.
    """
    from ratchet.cli import console, keys

    with session.workspace() as workspace:
        checkpoints = workspace.checkpoints
        keys.warn_of(checkpoints.key)
        if not checkpoints.is_current():
            with workspace.by_command("make_checkpoint", {}, subject=checkpoints.origin):
                made = checkpoints.seal()
        else:
            made = checkpoints.seal()
        failed = _anchor_all(workspace)
    if session.as_json:
        console.print_json(_as_json(made))
    else:
        click.echo(made.note, nl=False)
    _end_with(failed)


def _anchor_all(workspace: "Workspace") -> list[str]:
    return [str(error) for _, error in workspace.checkpoints.anchor_all() if error is not None]


def _end_with(failed: list[str]) -> None:
    """Say what did not work out after what did was said, and end with the code of a failure."""
    if failed:
        raise Refused("\n".join(failed))


def _as_json(checkpoint: "Checkpoint") -> dict[str, Any]:
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "note": checkpoint.note,
    }


@ledger_command.command(
    "anchor",
    epilog=examples(
        "ratchet ledger anchor",
        "ratchet ledger anchor file:/mnt/audit/flights.checkpoints",
        "ratchet ledger anchor git:../audit",
    ),
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@with_session
def anchor_command(session: Session, *, targets: tuple[str, ...]) -> None:
    """Write the newest checkpoint elsewhere: to a file, or as a commit in a git repository.

    TARGET is file:PATH or git:REPOSITORY; without one, the anchors of ratchet.toml are meant ([ledger] anchor). A
    commit goes to the branch ratchet-ledger, or git:REPOSITORY#BRANCH, and touches nothing else. An anchor that holds
    another state of the ledger refuses, and says so.
    """
    from ratchet.cli import console, keys
    from ratchet.store.anchors import parse_anchors

    with session.workspace() as workspace:
        checkpoints = workspace.checkpoints
        chosen = parse_anchors(targets, project=Path.cwd()) if targets else checkpoints.anchors
        if not chosen:
            raise click.UsageError(
                'There is no anchor. Name one, such as file:PATH, or add anchor = ["file:PATH"] below [ledger] in '
                "ratchet.toml."
            )
        keys.warn_of(checkpoints.key)
        newest = checkpoints.latest() or checkpoints.seal()
        checkpoints.anchors = chosen
        done = checkpoints.anchor_all()
    if session.as_json:
        places = [{"anchor": anchor.name, "error": str(error or "")} for anchor, error in done]
        console.print_json({"size": newest.size, "root": newest.root.hex(), "anchors": places})
    else:
        for anchor, error in done:
            if error is None:
                console.say(f"{anchor.name} holds the checkpoint over {newest.size} entries.")
    _end_with([str(error) for _, error in done if error is not None])


@ledger_command.command("export", epilog=examples("ratchet ledger export --output ledger.jsonl"))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; stdout by default.")
@with_session
def export_command(session: Session, *, output: Path | None) -> None:
    """Write the ledger with each entry's exact bytes, so that others can verify it without the database.

    The first line says whose ledger it is; then comes one entry a line. For reading, `ratchet events --json` is better.
    """
    from ratchet.cli import console
    from ratchet.store import entries

    with session.workspace() as workspace:
        origin = workspace.checkpoints.origin
        lines = entries.export(workspace.database, origin)
        if output is None:
            for line in lines:
                sys.stdout.buffer.write(line)
            return
        temporary = output.with_name(f".{output.name}.partial")
        try:
            with temporary.open("wb") as file:
                count = sum(1 for line in lines if file.write(line)) - 1
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    if session.as_json:
        console.print_json({"origin": origin, "entries": count, "path": str(output)})
    else:
        console.say(f"{console.count(count, 'entry') if count == 1 else f'{count} entries'} in {output}")


# ---- the key


@ledger_command.command(
    "key",
    epilog=examples(
        "ratchet ledger key",
        "ratchet ledger key --pem > ledger.pub",
        "ratchet ledger key --rotate",
    ),
)
@click.option("--pem", is_flag=True, help="Print it as a PEM file, as OpenSSL reads it.")
@click.option("--rotate", is_flag=True, help="Make a new key; the old one signs it and is overwritten.")
@click.option("--lost", is_flag=True, help="With --rotate: the old key is lost and cannot sign the new one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_session
def key_command(session: Session, *, pem: bool, rotate: bool, lost: bool, yes: bool) -> None:
    """Print the public key that checks checkpoints and proofs, or change the key.

    Give this line to whoever shall be able to check: it is no secret. The private key lies in .ratchet/keys, or where
    ratchet.toml says ([ledger] key).
    """
    from ratchet.cli import console, keys

    if lost and not rotate:
        raise click.UsageError("--lost goes together with --rotate.")
    with session.workspace() as workspace:
        checkpoints = workspace.checkpoints
        if rotate:
            _ask(session, "The old key will be overwritten. Make a new one?", yes=yes)
            with workspace.by_command("rotate_ledger_key", {"lost": lost}, subject=checkpoints.origin):
                public = checkpoints.rotate(is_old_lost=lost)
        else:
            public = checkpoints.public_key()
        path = checkpoints.key
        keys.warn_of(path)
    if session.as_json:
        console.print_json({"key": public.line, "pem": public.pem.decode(), "private_key": str(path)})
    else:
        click.echo(public.pem.decode() if pem else public.line, nl=not pem)


# ---- erasure


@ledger_command.command("erase", epilog=examples('ratchet ledger erase 42 --reason "the customer asked for it"'))
@click.argument("event", metavar="ID|NUMBER")
@click.option("--reason", required=True, help="Why; it is kept for ever.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_session
def erase_command(session: Session, *, event: str, reason: str, yes: bool) -> None:
    """Delete what an event says, for good, and keep that it happened.

    Its payload and the salt go, the envelope stays: type, subject, time, who, and the salted digest, from which
    nothing can be guessed. All proofs stay valid. Copies elsewhere, such as backups and files, are not reached.
    """
    from ratchet.cli import console
    from ratchet.cli.events import find_event
    from ratchet.store import erasure

    if not reason.strip():
        raise click.UsageError("--reason must say something.")
    with session.workspace() as workspace:
        found = find_event(workspace, event)
        erasure.refuse_needed(workspace.database, found)
        _ask(
            session,
            f"#{found.seq} {found.type} of {found.subject} has {_names(found.data)}. This cannot be taken back, and "
            "levels or figures that need it lose it. Erase it?",
            yes=yes,
        )
        asked = {"id": found.id, "seq": found.seq, "reason": reason}
        with workspace.by_command("erase_payload", asked, subject=found.id):
            said = erasure.erase_payload(workspace.database, workspace.ledger, found, reason=reason)
    if session.as_json:
        console.print_json({"erased": {"seq": found.seq, "id": found.id}, "event": {"seq": said.seq, "id": said.id}})
    else:
        console.say(f"The payload of #{found.seq} is erased; entry #{said.seq} says so. Proofs of it stay valid.")


def _names(data: dict[str, Any]) -> str:
    return f"the fields {', '.join(data)}" if data else "no fields"


@ledger_command.command("forget", epilog=examples("ratchet ledger forget person-1", "ratchet ledger forget 3f2a..."))
@click.argument("actor")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_session
def forget_command(session: Session, *, actor: str, yes: bool) -> None:
    """Delete whose pseudonym it is: events keep a person's pseudonym, and nothing tells the name any more.

    ACTOR is the account's name or the pseudonym. Should the account give a command again, it gets the same pseudonym,
    and the name comes back with it; see the page on proofs for how to end that.
    """
    from ratchet.cli import console
    from ratchet.store import erasure

    with session.workspace() as workspace:
        authid = erasure.find_actor(workspace.database, actor)
        _ask(session, f"The name behind the pseudonym {authid} will be gone for good. Forget it?", yes=yes)
        with workspace.by_command("forget_actor", {"authid": authid}, subject=authid):
            erasure.forget_actor(workspace.database, authid)
    if session.as_json:
        console.print_json({"authid": authid, "is_forgotten": True})
    else:
        console.say(f"Nothing here tells any more who {authid} is.")


def _ask(session: Session, question: str, *, yes: bool) -> None:
    """Let a person agree, or refuse.

    Raises:
        Refused: Nobody is there to ask, or the answer was no.
    """
    if yes:
        return
    if session.as_json or not sys.stdin.isatty():
        raise Refused("This asks for a person's consent, and nobody is there to ask. Give it with --yes.")
    if not click.confirm(question, err=True):
        raise Refused("Nothing was changed.")
