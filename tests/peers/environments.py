"""Environments of their own for what the other tests must not see, such as a peer or a library of gigabytes.

Invariant: one that was broken off half-way is made anew; one that is whole is used again.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def made(folder: Path, *installations: Sequence[str]) -> Path:
    """Return the Python of an environment, made where it is not there.

    Args:
        folder: Where it lies.
        installations: What is installed, one call of ``pip`` after the other.
    """
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for wanted in installations:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *wanted], check=True)
        done.touch()
    return python
