"""How long a command takes to say what it can do, and what an installation brings along: ours beside those of peers.

Invariant: each is installed into an environment of its own and started from there, with its bytecode compiled.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.rig import servers
from bench.rig.environments import PEERS, Missing, environment, python_of, size_mb, sizes_mb, versions_of
from bench.rig.process_trees import Cost, middle
from bench.rig.results import Goal, Section, compared

ROUNDS = 5
LIMIT_HELP_MS = 100.0
LIMIT_MB = 250.0
LIMIT_DISTRIBUTIONS = 45.0
OURS = "ratchet"
LARGEST = 5
ENVIRONMENTS = {"core": OURS, **{name: name for name in PEERS}}


def cost(command: list[str], folder: Path) -> Cost:
    """Return what a command takes, from its start to its end."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    variables = environment(HOME=str(folder))
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        message = f"{Path(command[0]).name} {command[1]} failed: {done.stderr.decode(errors='replace')[-300:]}"
        raise Missing(message)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_seconds=wall, cpu_seconds=cpu)


def _commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands that are timed, by name; those that could not be installed are left out."""
    found: dict[str, list[str]] = {}
    for name, program in ENVIRONMENTS.items():
        try:
            script = str(python_of(name).parent / program)
        except Missing as error:
            sys.stdout.write(f"  SKIPPED {program}: {error}\n")
            continue
        found[f"`{program} --help`"] = [script, "--help"]
        if name == "core":
            project = str(folder / "project")
            cost([script, "init", project], folder)
            found["`ratchet status`, in a new project"] = [script, "status", "--workspace", project]
    return found


def _help(folder: Path) -> list[dict[str, Any]]:
    commands = _commands(folder)
    costs: dict[str, list[Cost]] = {}
    # The first one compiles what it imports.
    for round_ in range(ROUNDS + 1):
        for name, command in commands.items():
            spent = cost(command, folder)
            if round_:
                costs.setdefault(name, []).append(spent)
    return [{"what": name, **middle(some)} for name, some in costs.items()]


def _sizes(skipped: dict[str, str]) -> list[dict[str, Any]]:
    rows = []
    for name, program in ENVIRONMENTS.items():
        try:
            count = len(versions_of(name))
            rows.append({"what": f"{program}, installed", "mb": round(size_mb(name), 1), "distributions": count})
        except Missing as error:
            skipped[program] = str(error)
    return rows


def _largest(name: str) -> str:
    return ", ".join(f"{package} {mb:.0f} MB" for package, mb in list(sizes_mb(name).items())[:LARGEST])


def run() -> dict[str, Any]:
    """Measure and print."""
    skipped: dict[str, str] = {}
    with servers.scratch() as folder:
        helped = _help(folder)
    compared(helped, "wall_ms", of="`ratchet --help`")
    sizes = _sizes(skipped)
    goals = []
    for row in (*helped, *sizes):
        if row["what"] == "`ratchet --help`":
            goals.append(Goal("at most", "`ratchet --help`, ms", row["wall_ms"], LIMIT_HELP_MS))
        if row["what"] == "ratchet, installed":
            goals.append(Goal("at most", "ratchet, installed, MB", row["mb"], LIMIT_MB))
            goals.append(Goal("at most", "ratchet, distributions", float(row["distributions"]), LIMIT_DISTRIBUTIONS))
    section = Section(
        title="First contact",
        about=(
            "The command's help, from the start of the process to its end, and what lies in a new environment after "
            "the installation: megabytes without bytecode, and the number of distributions. Ours is the core without "
            "extras."
        ),
        rows=[*helped, *sizes],
        goals=goals,
        skipped=skipped,
        notes=[
            f"The largest of ours: {_largest('core')}. Libraries of data frames and models come with ours as extras, "
            "and are left to their users by peers."
        ],
    )
    return section.publish()


if __name__ == "__main__":
    run()
