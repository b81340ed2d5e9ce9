"""Steps on a real Ray cluster of two nodes, in an environment of its own: ``make proof-ray``.

Invariant: Ray and what it brings stay out of the environment of the other tests; no test of a cluster is skipped there.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ("tests/e2e/test_ray.py", "tests/e2e/test_ray_anew.py")
BESIDE = ("pytest", "pytest-timeout", "hypothesis")


def environment(folder: Path) -> Path:
    """Make the environment in a folder, once, and return its Python."""
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        # One that was broken off half-way is made anew.
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *BESIDE, "-e", f"{ROOT}[ray]"], check=True)
        done.touch()
    return python


def main() -> int:
    """Run the tests of steps on a cluster.

    Returns:
        The exit status of the tests.
    """
    parser = argparse.ArgumentParser(description="Test steps on a real Ray cluster.")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "ratchet-ray")
    options = parser.parse_args()
    python = environment(options.environment)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
