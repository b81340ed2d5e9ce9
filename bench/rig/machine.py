"""Says on what something was measured: processors, memory, kernel, versions.

Invariant: nothing in it names the machine, its owner, or a path on it.
"""

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.rig.environments import PEERS, ROOT, Missing, versions_of

_OURS = ("dbos", "sqlalchemy", "psycopg", "pandas", "scikit-learn")
_BESIDE = {"prefect": ("prefect", "prefect-redis", "fastapi")}


def describe() -> dict[str, Any]:
    """Return the date, the machine and the versions of our own side."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int((_first("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1e6, 1),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _version_of_postgres(),
        **{name: metadata.version(name) for name in _OURS},
    }


def peers() -> dict[str, str]:
    """Return the versions of the peers that are installed, and of what has to be told beside them."""
    found: dict[str, str] = {}
    for name in PEERS:
        try:
            versions = versions_of(name)
        except Missing:
            continue
        found |= {one: versions[one] for one in _BESIDE.get(name, (name,)) if one in versions}
    return found


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, check=False)
    return done.stdout.decode().strip()


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _version_of_postgres() -> str:
    from tests.servers import PostgresMissing, find_programs

    try:
        program = find_programs() / "postgres"
    except PostgresMissing:
        return ""
    said = subprocess.run([str(program), "--version"], capture_output=True, check=False).stdout.decode()
    return said.partition(")")[2].split()[0] if ")" in said else ""
