"""What the result of a run depends on besides its code and data: versions of libraries, frameworks, the machine.

Invariant: what a run is said to have used is what its lock names, also where the installation has changed since.
"""

import os
import platform
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ratchet.errors import ArtifactCorrupt, ArtifactMissing
from ratchet.loop.resources import Resources
from ratchet.records import Run

_OTHER_FRAMEWORKS = ("xgboost", "lightgbm", "catboost", "torch", "tensorflow", "keras", "jax", "statsmodels")
_FRAMEWORKS = ("scikit-learn", *_OTHER_FRAMEWORKS)
_FORMATS = ("onnx", "onnxruntime", "safetensors", "xgboost-cpu")
_LOCKED = ("numpy", "pandas", "scikit-learn", "scipy", "skops", "duckdb", "mlratchet", *_OTHER_FRAMEWORKS, *_FORMATS)


def lock() -> bytes:
    """Return the versions of what a run's result depends on, as text."""
    # To read them takes longer than many a run; an installation changes its folder.
    folders = {folder: Path(folder or ".") for folder in sys.path}
    return _lock_of(tuple((name, one.stat().st_mtime_ns) for name, one in folders.items() if one.exists()))


@lru_cache(maxsize=1)
def _lock_of(_folders: tuple[tuple[str, int], ...]) -> bytes:
    lines = [f"python=={platform.python_version()}"]
    for name in _LOCKED:
        try:
            lines.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return "\n".join(lines).encode()


def environment(resources: Resources, run: Run) -> dict[str, list[str]]:
    """Return the frameworks and the libraries, with versions, that a run's lock names; none where it is damaged."""
    locked = locked_versions(resources, run)
    if not locked:
        return {}
    libraries = [f"{name}=={version}" for name, version in locked.items() if name != "python"]
    return {"frameworks": [name for name in locked if name in _FRAMEWORKS], "libraries": libraries}


def locked_versions(resources: Resources, run: Run) -> dict[str, str]:
    """Return the versions that a run's lock names, by library; none where it is damaged."""
    try:
        lines = resources.artifacts.read(run.lock).decode().splitlines()
    except (ArtifactCorrupt, ArtifactMissing):
        return {}
    return dict(line.split("==", 1) for line in lines if "==" in line)


def hardware() -> dict[str, Any]:
    """Return what this machine is: its kind, its cores, its memory in gigabytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"machine": platform.machine(), "cores": os.cpu_count(), "memory_gb": round(memory / 2**30)}
