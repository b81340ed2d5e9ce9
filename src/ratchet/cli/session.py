"""What all commands share: their common options, the workspace they open, and how they end.

Invariant: a command that only reads opens the database and starts nothing; an error that a person can do something
about is one line, and any other leaves its traceback in a log file that is named.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

FAILED = 1
INTERRUPTED = 130
LOG_FILE = "cli.log"


class Refused(click.ClickException):
    """Something was asked for that is not done, with the reason as its message."""


class Session:
    """One call of ``ratchet``.

    Attributes:
        folder: What ``--workspace`` said, ``""`` for the current folder.
        as_json: Whether output is for a program.
        project: The project's folder, once it was found.
    """

    def __init__(self) -> None:
        self.folder = ""
        self.as_json = False
        self.project: Path | None = None

    @contextmanager
    def workspace(self) -> Iterator["Workspace"]:
        """Open the workspace of the folder, or of the nearest one above it.

        Raises:
            WorkspaceNotFound: There is none.
            ConfigInvalid: Its ``ratchet.toml`` means nothing in one of its lines.
        """
        from ratchet import config

        self.project = config.find(Path(self.folder or "."))
        from ratchet.workspace import Workspace

        with Workspace(self.project) as workspace:
            yield workspace

    @property
    def logs(self) -> Path | None:
        """Return the folder of log files, or ``None`` while no project was found."""
        from ratchet import config

        return self.project / config.STATE_FOLDER / "logs" if self.project else None


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all have, and the session as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and nothing else.")
    @click.option(
        "--workspace", "folder", metavar="DIR", default="", help="The project; by default found from here upwards."
    )
    @click.pass_context
    def command(context: click.Context, /, *, as_json: bool, folder: str, **options: Any) -> Any:
        session: Session = context.obj
        session.as_json = session.as_json or as_json
        session.folder = folder or session.folder
        return function(session, **options)

    functools.update_wrapper(command, function)
    return command


def examples(*lines: str) -> str:
    """Return the last part of a help page; click keeps paragraphs that begin with a backspace as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def end(session: Session, error: BaseException) -> int:
    """Say on stderr what went wrong, and return the exit code."""
    from ratchet.errors import RatchetError

    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone, such as `head`: nobody is left to tell, not even at the flush on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    if isinstance(error, click.UsageError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        _print_error(error.format_message())
        return error.exit_code
    if isinstance(error, RatchetError):
        _print_error(str(error))
    else:
        _print_error(_trouble(error) or _fault(session, error))
    return FAILED


def _fault(session: Session, error: BaseException) -> str:
    return f"{type(error).__name__}: {error}\nThis is a fault of Ratchet. {_keep_traceback(session, error)}"


def _trouble(error: BaseException) -> str:
    """Say what is wrong with the disk, a file or the database; ``""`` where it is something else."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}. What was complete before is kept; mend that, and do it again."
    kind = type(error)
    if kind.__module__.startswith("sqlalchemy.") and kind.__name__ == "OperationalError":
        said = str(getattr(error, "orig", error)).strip()
        return (
            f"The database did not do it: {said}. What was under way was taken back as a whole. Is there room on the "
            "disk, may this account write there, does the server run? Then do it again."
        )
    return ""


def _print_error(message: str) -> None:
    from rich.text import Text

    from ratchet.cli.console import stderr

    text = Text.assemble(("Error: ", "bold red"), (message, "red"))
    stderr().print(text, soft_wrap=True)


def _keep_traceback(session: Session, error: BaseException) -> str:
    """Write a traceback to the log, and return a sentence that says where it is."""
    from traceback import format_exception

    from ratchet import clock

    text = "".join(format_exception(error))
    if session.logs is None:
        return f"Please report it with this:\n{text}"
    path = session.logs / LOG_FILE
    try:
        session.logs.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{clock.now().isoformat()} {' '.join(sys.argv)}\n{text}\n")
    except OSError:
        return f"Please report it with this:\n{text}"
    return f"Please report it with what stands in {path}."
