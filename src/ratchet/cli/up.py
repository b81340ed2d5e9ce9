"""``ratchet up``: the workspace, its endpoint and its web pages, until stopped.

Invariant: SIGTERM and Ctrl-C end it in order, with nothing left running and nothing that was accepted lost; a mistake
in a file of the project is said, and what was in force before stays.
"""

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ratchet import clock
from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    import uvicorn

    from ratchet.workspace import Workspace

PORT = 8750
LOG_FILE = "up.log"
_WRITING_SECONDS = 0.05
_LOOKS = 20
_log = logging.getLogger(__name__)


@click.command("up", epilog=examples("ratchet up", "ratchet up --port 0            any free port"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the web pages listen.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 for any free port.")
@click.option("--name", "names", multiple=True, help="A further host name under which the pages may be reached.")
@click.option(
    "--runs",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="How many runs at once; 0 leaves them to workers.",
)
@with_session
def up_command(session: Session, *, host: str, port: int, names: tuple[str, ...], runs: int) -> None:
    """Run the workspace: rules, endpoint and web pages, until stopped.

    Changes of ratchet.toml, of Python files and of data are taken in while it runs. Ctrl-C or SIGTERM stops it;
    what was under way goes on at the next start.
    """
    from ratchet.cli import keys
    from ratchet.cli.console import note, progress
    from ratchet.web.server import listen

    with session.workspace() as workspace, _interrupted_by_sigterm() as asked:
        with progress("starting") as shown:
            _log_to(workspace.resources.logs / LOG_FILE)
            workspace.start(runs=runs)
            listener = listen(host, port)
            shown.show("reading the project")
            # What changes after this look is taken in by a beat, however long the start takes.
            files = ProjectFiles(workspace.project)
            workspace.reload()
            workspace.sync()
            shown.show("waiting for the endpoint")
            endpoint = workspace.endpoint_address()
        keys.warn_of(workspace.checkpoints.key)
        _serve(session, workspace, listener, files=files, endpoint=endpoint, names=(*names, host), asked=asked)
        note("Stopping; what is under way goes on at the next start.")


def _serve(
    session: Session,
    workspace: "Workspace",
    listener: socket.socket,
    *,
    files: "ProjectFiles",
    endpoint: str,
    names: tuple[str, ...],
    asked: threading.Event,
) -> None:
    from ratchet.web.app import create_app
    from ratchet.web.auth import LOOPBACK, login_link
    from ratchet.web.server import address_of, make_server, run

    app = create_app(workspace, hosts=(*LOOPBACK, *names))
    address = address_of(listener)

    def announce() -> None:
        _announce(session, workspace, address=address, login=login_link(app, address), endpoint=endpoint)

    server = make_server(app, on_started=announce)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(workspace, files, stop), name="heartbeat")
    with _stopped_by_signals(server):
        if asked.is_set():
            return
        beat.start()
        try:
            run(server, listener)
        finally:
            stop.set()
            beat.join()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[threading.Event]:
    """Let SIGTERM end the start as Ctrl-C does, before the server listens to it: what was started is stopped.

    Gives what is set once the signal came: it may come while Python carries out a callback, such as that of a module's
    lock, and what is raised there is lost.
    """
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _stopped_by_signals(server: "uvicorn.Server") -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the server; it hands them on to us when it is done, and then they are spent."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(session: Session, workspace: "Workspace", *, address: str, login: str, endpoint: str) -> None:
    import os

    from ratchet.cli import console

    values: dict[str, Any] = {
        "address": address,
        "login": login,
        "endpoint_address": endpoint,
        "logs": str(workspace.resources.logs),
        "pid": os.getpid(),
    }
    if session.as_json:
        console.print_json_line(values)
        return
    console.say(f"{workspace.config.project.name} runs. Open this once to sign in:\n\n  {login}\n")
    console.say(
        console.facts(
            [
                ("web pages", address),
                ("endpoint", f"{endpoint}/v2/models/NAME/infer"),
                ("logs", values["logs"]),
                ("stop", "Ctrl-C"),
            ]
        )
    )


# ---- what is done each second


def _beat(workspace: "Workspace", files: "ProjectFiles", stop: threading.Event) -> None:
    from ratchet.cli.console import note
    from ratchet.errors import DatabaseAway, RatchetError
    from ratchet.workspace import HEARTBEAT_SECONDS

    complaint, has_news, is_away = "", False, False
    told, is_told = frozenset[str](), False
    while not stop.is_set():
        try:
            # What failed for no fault of the files, such as a database that was busy, is tried again.
            has_news = files.have_changed() or has_news
            if has_news:
                workspace.reload()
                workspace.sync()
                complaint, has_news = "", False
                is_told = False
            if not is_told:
                told, is_told = _tell_of_rings(workspace, told), True
            workspace.heartbeat()
            workspace.seal_when_due()
            if is_away:
                is_away = False
                note("The database answers again.")
        except DatabaseAway as error:
            # Said once, however the reasons change while a server stops, starts and recovers.
            if not is_away:
                _complain(str(error))
            is_away = True
        except RatchetError as error:
            has_news = False
            if str(error) != complaint:
                complaint = str(error)
                _complain(complaint)
        except Exception:  # noqa: BLE001, the border of the server: one bad beat must not be the last
            _log.exception("heartbeat failed")
        stop.wait(HEARTBEAT_SECONDS)


def _tell_of_rings(workspace: "Workspace", told: frozenset[str]) -> frozenset[str]:
    """Say which rules in force may drive one another in a ring, and was not said yet; return all that there are."""
    from ratchet.automation.cycles import cycles
    from ratchet.cli.console import note

    found = frozenset(str(ring) for ring in cycles(workspace.rules().rules))
    for ring in sorted(found - told):
        note(f"Rules may drive one another in a ring: {ring}. What ends that: ratchet rules check")
    return found


def _complain(message: str) -> None:
    from rich.text import Text

    from ratchet.cli.console import stderr

    _log.error("%s", message)
    stderr().print(Text(message, style="red"), soft_wrap=True)


class ProjectFiles:
    """Tells when ``ratchet.toml``, a policy or a Python file of the project was changed.

    Args:
        project: The project's folder.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._seen = self._look()

    def have_changed(self) -> bool:
        """Tell whether any has since the last look; one that is being written is waited for a moment."""
        before, self._seen = self._seen, self._look()
        if before == self._seen:
            return False
        for _ in range(_LOOKS):
            clock.sleep(_WRITING_SECONDS)
            latest, self._seen = self._seen, self._look()
            if latest == self._seen:
                break
        return True

    def _look(self) -> frozenset[tuple[str, int, int]]:
        from ratchet.loop.snapshots import python_files

        found = set()
        settings = [*self._project.glob("*.toml"), *self._project.glob("policies/*.toml")]
        for path in (*settings, *python_files(self._project)):
            try:
                state = path.stat()
            except FileNotFoundError:
                # It went between the listing and the look; the next listing leaves it out.
                continue
            found.add((str(path), state.st_mtime_ns, state.st_size))
        return frozenset(found)


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=path, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
