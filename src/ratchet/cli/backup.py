"""``ratchet backup`` and ``ratchet restore``: a workspace as one file, and a workspace made of such a file.

Invariant: what is printed as done is on the disk; what failed has left nothing under the name that was asked for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.backups.restoring import Restored
    from ratchet.backups.taking import Taken

_SHOWN = 5


@click.command(
    "backup",
    epilog=examples(
        "ratchet backup shop-monday.tar.zst",
        "ratchet backup /mnt/safe/shop.tar.zst --with-keys --with-data",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Put the private keys into it; keep the file as safe as them.")
@click.option("--with-data", is_flag=True, help="Put the project's data files into it as well.")
@click.option("--leave-out-damaged", is_flag=True, help="Save what there is, though files are missing or damaged.")
@with_session
def backup_command(session: Session, *, file: Path, with_keys: bool, with_data: bool, leave_out_damaged: bool) -> None:
    """Write the whole workspace to FILE.tar or FILE.tar.zst, also while it runs.

    In it: the ledger, the registry and the jobs that are under way, as they stand at one moment; the prediction log,
    outcomes, the artifacts that are named anywhere; ratchet.toml and the project's own files. Not in it: logs, data
    files and private keys. Versions of datasets need no data files.
    """
    from ratchet.backups.archives import SUFFIXES
    from ratchet.backups.taking import take
    from ratchet.cli import console

    if not file.name.endswith(SUFFIXES):
        raise click.UsageError(f"'{file.name}' should end with .tar or, compressed, with .tar.zst.")
    if not file.parent.is_dir():
        raise click.UsageError(f"There is no folder {file.parent}.")
    with session.workspace() as workspace, _bar() as report:
        taken = take(
            workspace.resources,
            file.absolute(),
            with_keys=with_keys,
            with_data=with_data,
            leave_out_damaged=leave_out_damaged,
            report=report,
        )
    if session.as_json:
        console.print_json(taken)
    else:
        _print_taken(taken)


@click.command(
    "restore",
    epilog=examples(
        "ratchet restore shop-monday.tar.zst shop",
        "ratchet restore shop.tar.zst shop --database postgresql://ratchet@db.example.org/shop",
        "ratchet restore shop.tar.zst shop --database sqlite",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("target", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--database", metavar="URL", default="", help="Where the ledger goes: an empty database, or: sqlite.")
@click.option("--despite-findings", is_flag=True, help="Restore a ledger that is not as it was signed.")
@with_session
def restore_command(session: Session, *, file: Path, target: Path, database: str, despite_findings: bool) -> None:
    """Make a workspace in FOLDER of what ratchet backup has written to FILE.

    FOLDER is new or empty. All of the file is checked first, and the ledger is read again. By default the ledger goes
    where the saved ratchet.toml says; --database names another place, also one of another kind. Jobs that were under
    way go on when the workspace is started: stop the one that the backup was taken of first.
    """
    from ratchet.backups.restoring import restore
    from ratchet.cli import console

    with _bar() as report:
        made = restore(file, target, database=database, despite_findings=despite_findings, report=report)
    if session.as_json:
        console.print_json(made)
    else:
        _print_restored(made)


def _print_taken(taken: "Taken") -> None:
    from ratchet.cli import console

    console.say(f"{taken.path} has the whole workspace as it stood at {taken.taken_at[:16].replace('T', ' ')} UTC.\n")
    pairs = [
        ("ledger", f"{taken.entries:,} entries, root {taken.root[:12] or 'not known'}"),
        ("files", f"{taken.artifacts:,} artifacts, {taken.files:,} others"),
        ("jobs", f"{taken.pending_jobs} under way; they go on after a restore"),
        ("size", f"{taken.size_bytes / 1e6:,.1f} MB"),
    ]
    console.say(console.facts(pairs))
    if taken.has_keys:
        _warn("The private keys are in it: whoever has this file can sign as this workspace.")
    else:
        console.say("\nThe keys are not in it: keep .ratchet/keys apart, and as safe.")
    _print_gaps(taken.missing, taken.left_out)


def _print_restored(made: "Restored") -> None:
    from ratchet.cli import console

    console.say(f"{made.folder} is the workspace as it stood at {made.taken_at[:16].replace('T', ' ')} UTC.\n")
    pairs = [
        ("ledger", f"{made.entries:,} entries, root {made.root[:12] or 'not known'}, read again"),
        ("signed", f"{console.count(made.checkpoints, 'checkpoint')} that fit"),
        ("database", made.database),
        ("artifacts", f"{made.artifacts:,}"),
        ("jobs", f"{made.pending_jobs} go on at the next start"),
    ]
    console.say(console.facts(pairs))
    if not made.has_keys:
        _warn("The keys were not in it: put ledger.pem and pseudonym.key back into .ratchet/keys before you start it.")
    for finding in made.findings[:_SHOWN]:
        _warn(f"The ledger is not as it was signed: {finding}")
    _print_gaps(made.missing, made.left_out)
    console.say(f"\nNext: ratchet up --workspace {made.folder}")


def _print_gaps(missing: tuple[str, ...], left_out: tuple[str, ...]) -> None:
    from ratchet.cli import console

    if missing:
        _warn(f"Missing or damaged, so not in it: {_some(missing)}")
    if left_out:
        console.say(f"\nNot in it: {_some(left_out)}")


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _warn(message: str) -> None:
    from rich.text import Text

    from ratchet.cli.console import stderr

    stderr().print(Text(f"Warning: {message}", style="yellow"), soft_wrap=True)


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    """Show on a terminal what is done, and how much of it is."""
    from ratchet.cli.console import stderr

    if not stderr().is_terminal:
        yield lambda _what, _share: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task("beginning", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)
