"""A run of ten tiny steps, each of which stores what it returns: ours beside those of four other platforms.

Invariant: all are warm, none takes a result from a cache unless its line says so, and each is measured in two sweeps
with the others between them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.rig import servers
from bench.rig.environments import ROOT, Missing, python_of
from bench.rig.process_trees import Cost, middle
from bench.rig.results import Goal, Section, compared
from bench.rig.warm import Failed, Warm, warm
from ratchet.records import Record

LIMIT_MS = 40.0
SWEEPS = 2
WARM_UPS = 5
ROUNDS = 3
# Who takes longer than this for the first run is asked once a sweep.
SLOW_SECONDS = 10.0
# The processor's time is counted in hundredths of a second: what takes less is done some times over.
OURS_A_ROUND = 20


class Contestant(Record, frozen=True):
    """A way of running ten steps.

    Attributes:
        name: As it is shown.
        start: Gives it, warm.
        times: How many runs make one round.
        about: How it isolates and keeps what the steps do.
    """

    name: str
    start: Callable[[Path], Any]
    times: int
    about: str


@contextmanager
def _ours(folder: Path, *, is_postgres: bool = False, way: str = "") -> Iterator[Warm]:
    program, path = "ratchet_steps.py", str(ROOT / "src")
    python = Path(sys.executable)
    if not is_postgres:
        with warm(python, program, "", way, folder=folder, PYTHONPATH=path) as found:
            yield found
        return
    with ExitStack() as stack:
        server = stack.enter_context(servers.Postgres())
        url = stack.enter_context(server.database())
        yield stack.enter_context(warm(python, program, url, way, folder=folder, beside=[server.pid], PYTHONPATH=path))


@contextmanager
def _prefect(folder: Path) -> Iterator[Warm]:
    with servers.prefect(folder / "server") as (server, _):
        home = {"PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": f"{server.address}/api"}
        program = folder / "program"
        with warm(python_of("prefect"), "prefect_steps.py", folder=program, beside=[server.pid], **home) as found:
            yield found


def _dagster(way: str, folder: Path) -> Any:
    home = folder / "home"
    home.mkdir(parents=True)
    return warm(python_of("dagster"), "dagster_steps.py", way, folder=folder, DAGSTER_HOME=str(home))


def _zenml(way: str, folder: Path) -> Any:
    return warm(python_of("zenml"), "zenml_steps.py", way, folder=folder, ZENML_CONFIG_PATH=str(folder / "config"))


def _metaflow(folder: Path) -> Any:
    home = str(folder / "home")
    return warm(python_of("metaflow"), "metaflow_steps.py", folder=folder, METAFLOW_HOME=home, HOME=home)


_CHILD = "a child process, each step metered and recorded"
CONTESTANTS = (
    Contestant("Ratchet, SQLite", _ours, OURS_A_ROUND, _CHILD),
    Contestant("Ratchet, PostgreSQL", partial(_ours, is_postgres=True), OURS_A_ROUND, _CHILD),
    Contestant("Ratchet, SQLite, each step cached", partial(_ours, way="cached"), OURS_A_ROUND, _CHILD),
    Contestant("Dagster, `execute_in_process`", partial(_dagster, "process"), 1, "the caller's own process"),
    Contestant("Dagster, default executor", partial(_dagster, "default"), 1, "a process for each step"),
    Contestant("ZenML, local stack", partial(_zenml, ""), 1, "the caller's own process"),
    Contestant("ZenML, local stack, each step cached", partial(_zenml, "cached"), 1, "nothing is computed"),
    Contestant("Prefect, server on SQLite", _prefect, 1, "the caller's own process, a server beside it"),
    Contestant("Metaflow, local", _metaflow, 1, "a process for each step"),
)


def measure(
    folder: Path,
    found: dict[str, list[Cost]],
    missing: dict[str, str],
    parts: dict[str, list[dict[str, float]]],
    sweep: int,
) -> None:
    """Let all contestants run once over."""
    for number, one in enumerate(CONTESTANTS):
        if one.name in missing:
            continue
        try:
            with one.start(folder / f"{sweep}-{number}") as program:
                first = program.work(1 if one.times == 1 else WARM_UPS)
                rounds = 1 if first.wall_seconds > SLOW_SECONDS else ROUNDS
                found.setdefault(one.name, []).extend(program.work(one.times) for _ in range(rounds))
                parts.setdefault(one.name, []).extend(program.figures[-rounds * one.times :])
        except (Missing, Failed) as error:
            missing[one.name] = str(error)
            found.pop(one.name, None)
            sys.stdout.write(f"  SKIPPED {one.name}: {error}\n")
        sys.stdout.flush()


def _told(figures: list[dict[str, float]]) -> str:
    """Return the medians of what a program told of its runs, in words."""
    return ", ".join(f"{median(one[name] for one in figures):.1f} ms {name}" for name in figures[0])


def run() -> dict[str, Any]:
    """Measure and print."""
    found: dict[str, list[Cost]] = {}
    missing: dict[str, str] = {}
    parts: dict[str, list[dict[str, float]]] = {}
    with servers.scratch() as folder:
        for sweep in range(SWEEPS):
            measure(folder, found, missing, parts, sweep)
    rows = []
    for one in CONTESTANTS:
        if one.name in found:
            rows.append({"what": one.name, "how": one.about, **middle(found[one.name], parts=one.times)})
    compared(rows, "wall_ms", of="Ratchet, SQLite")
    section = Section(
        title="A run of ten tiny steps",
        about=(
            "Each step returns a short list, which is stored. Wall time is that from the request to the recorded end "
            "of the run; the processor's time is that of all processes that take part, servers and databases included. "
            f"Ours: from the command, through its action and the queue of runs; mean of {OURS_A_ROUND} runs a round."
        ),
        rows=rows,
        goals=[Goal("at most", f"{row['what']}, ms", row["wall_ms"], LIMIT_MS) for row in rows[:2]],
        skipped=missing,
        notes=[f"{name}, where the time goes: {_told(some)}." for name, some in parts.items() if some and some[0]],
    )
    return section.publish()


if __name__ == "__main__":
    run()
