"""``ratchet worker`` and ``ratchet workers``: machines that carry out runs and steps, and who they are.

Invariant: Ctrl-C and SIGTERM let the others go on with what was under way; nothing that was accepted is lost.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.session import Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.engine.capacity import Capacity
    from ratchet.engine.workers import Seen

FOLDER = "ratchet-worker"
LOG_FILE = "worker.log"


@click.command(
    "worker",
    epilog=examples(
        "ratchet worker --database postgresql://ratchet@db/ml",
        "ratchet worker --runs 2 --gpu 1        in the project's folder",
    ),
)
@click.option("--database", default="", metavar="URL", help="The workspace's database; by default the project's.")
@click.option("--artifacts", default="", metavar="PLACE", help="Where the artifacts are, seen from here.")
@click.option("--folder", "state", default="", metavar="DIR", help=f"For logs and code; by default ./{FOLDER}.")
@click.option("--runs", default=1, show_default=True, type=click.IntRange(0), help="How many runs at once.")
@click.option("--cpu", type=click.FloatRange(0), help="Processors for steps; by default all.")
@click.option("--memory-gb", type=click.FloatRange(0), help="Memory for steps; by default all.")
@click.option("--gpu", type=click.IntRange(0), help="Accelerators for steps; by default all that are found.")
@with_session
def worker_command(session: Session, **options: Any) -> None:
    """Carry out runs and steps for a workspace on PostgreSQL, on this machine, until stopped.

    Settings and code come from the database and the artifact store. What a worker has taken goes on elsewhere when
    it dies: after some seconds of silence, or at once when it is stopped.
    """
    from ratchet.cli.console import note, print_json_line, progress, say
    from ratchet.worker import WorkerProcess

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    url, folder, project = _places(session, options)
    with progress("starting"):
        given = options["artifacts"]
        process = WorkerProcess(url, folder, capacity=_capacity(options), artifacts=given, project=project)
        _log_to(folder / "logs" / LOG_FILE)
        process.start()
    worker = process.worker
    if session.as_json:
        print_json_line({"id": worker.id, "pid": worker.pid, "capacity": worker.capacity, "logs": str(folder / "logs")})
    else:
        say(f"{worker.id} works for {process.resources.config.project.name}: {_words(worker.capacity)}. Stop: Ctrl-C")
    stop.wait()
    note("Stopping; what is under way goes on elsewhere.")
    process.stop()
    # Threads of jobs that were given up wait for what the others make of them; nobody waits for these threads.
    sys.stdout.flush()
    os._exit(0)


@click.command("workers", epilog=examples("ratchet workers", "ratchet workers --json"))
@with_session
def workers_command(session: Session) -> None:
    """List the processes that carry out jobs: what they give, and when they gave a sign of life."""
    from ratchet.cli.console import print_json, say, table

    with session.workspace() as workspace:
        found = workspace.runs.workers()
    if session.as_json:
        print_json([_values(one) for one in found])
    elif not found:
        say("No process carries out jobs. Start one: ratchet up")
    else:
        shown = table("worker", "host", "pid", "gives", "Python", "state", right=["pid"], whole=["worker"])
        for one in found:
            shown.add_row(*_row(one))
        say(shown)


def _places(session: Session, options: dict[str, Any]) -> tuple[str, Path, Path | None]:
    """Return database, folder and, where none is named, the project around us, beside whose server we work."""
    from ratchet import config

    if options["database"]:
        return options["database"], Path(options["state"] or FOLDER).resolve(), None
    project = config.find(Path(session.folder or "."))
    state = project / config.STATE_FOLDER
    folder = Path(options["state"]).resolve() if options["state"] else state / "worker"
    return config.load(project).project.database or f"sqlite:///{state / 'ratchet.db'}", folder, project


def _capacity(options: dict[str, Any]) -> "Capacity":
    import msgspec

    from ratchet.engine.capacity import capacity_of_this_machine

    given = {name: options[name] for name in ("cpu", "memory_gb", "gpu") if options[name] is not None}
    return msgspec.structs.replace(capacity_of_this_machine(runs=options["runs"]), **given)


def _words(capacity: "Capacity") -> str:
    from ratchet.cli.console import count

    parts = [count(capacity.runs, "run"), f"{capacity.cpu:g} CPU", f"{capacity.memory_gb:g} GB"]
    return ", ".join([*parts, f"{capacity.gpu} GPU"] if capacity.gpu else parts)


def _values(one: "Seen") -> dict[str, Any]:
    worker = one.worker
    return {
        "id": worker.id,
        "kind": worker.kind,
        "host": worker.host,
        "pid": worker.pid,
        "is_alive": one.is_alive,
        "silent_seconds": round(one.silent_seconds, 1),
        "capacity": worker.capacity,
        "interpreter": worker.interpreter,
        "python": worker.python,
    }


def _row(one: "Seen") -> list[str]:
    worker = one.worker
    state = "alive" if one.is_alive else f"silent for {one.silent_seconds:.0f} s"
    return [worker.id, worker.host, str(worker.pid), _words(worker.capacity), worker.python, state]


def _log_to(path: Path) -> None:
    import logging

    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=path, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
