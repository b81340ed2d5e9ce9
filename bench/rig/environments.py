"""Environments of the peers, each of its own and with the versions that are named here.

Invariant: an environment is whole or not used: what could not be installed is told with its reason, and skipped.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("BENCH_CACHE", ROOT / ".bench"))
INSTALL_SECONDS = 900
# The newest of each that installs and runs as it is published. Prefect 3.8.8 does not say which FastAPI it can do with.
PEERS: dict[str, tuple[str, ...]] = {
    "prefect": ("prefect==3.8.8", "prefect-redis==0.2.13", "fastapi==0.139.0"),
    "dagster": ("dagster==1.13.14", "dagster-webserver==1.13.14"),
    "zenml": ("zenml[server]==0.98.0",),
    "metaflow": ("metaflow==2.19.29",),
}
# Telemetry is off in all of them: it is no part of what is measured, and nothing here speaks to other hosts.
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "METAFLOW_USER": "bench",
}


class Missing(Exception):
    """Something that a measurement needs is not here; the text says what."""


@cache
def python_of(name: str) -> Path:
    """Return the Python of an environment, made where it is not there.

    Args:
        name: A peer's, or ``core`` for our own package without extras.

    Raises:
        Missing: It could not be installed.
    """
    folder = CACHE / name
    python, done = folder / "bin" / "python", folder / "installed"
    wanted = _wanted(name)
    # Ours is made anew each time: its sources have changed.
    if name not in PEERS or not done.exists() or done.read_text() != " ".join(wanted):
        done.unlink(missing_ok=True)
        _run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _run("uv", "pip", "install", "--quiet", "--python", str(python), *wanted)
        done.write_text(" ".join(wanted))
    return python


def versions_of(name: str) -> dict[str, str]:
    """Return the versions of all distributions in an environment, by name."""
    listed = _run("uv", "pip", "list", "--format", "json", "--python", str(python_of(name)))
    found: list[dict[str, Any]] = json.loads(listed)
    return {one["name"]: one["version"] for one in found}


def size_mb(name: str) -> float:
    """Return what an environment's packages take on the disk, in megabytes, without what Python compiles of them."""
    return sum(sizes_mb(name).values())


def sizes_mb(name: str) -> dict[str, float]:
    """Return the megabytes of an environment's packages by name, the largest first; extensions count to theirs."""
    (packages,) = (CACHE / name / "lib").glob("python*/site-packages")
    found: dict[str, float] = {}
    for path in packages.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            package = path.relative_to(packages).parts[0].partition(".")[0].strip("_")
            found[package] = found.get(package, 0.0) + path.stat().st_size / 1e6
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a process that is measured: bytecode is kept, telemetry is off."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    own = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return kept | own | QUIET | more


def _wanted(name: str) -> tuple[str, ...]:
    return PEERS[name] if name in PEERS else (str(_copy()),)


def _copy() -> Path:
    """Return a folder with what our package is built from, so that the build leaves nothing among the sources."""
    folder = CACHE / "source"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, folder / name)
    return folder


def _run(*command: str) -> str:
    program = Path(sys.executable).parent / command[0]
    try:
        done = subprocess.run(
            [str(program) if program.exists() else command[0], *command[1:]],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{command[0]} could not be run: {error}"
        raise Missing(message) from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        message = f"{' '.join(command[:3])} failed: {said}"
        raise Missing(message)
    return done.stdout
