"""Steps on a real Ray cluster of two nodes, in an environment of its own: ``make proof-ray``.

Invariant: Ray and what it brings stay out of the environment of the other tests; no test of a cluster is skipped there.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.peers import environments
from tests.peers.environments import ROOT

TESTS = ("tests/e2e/test_ray.py", "tests/e2e/test_ray_anew.py")
BESIDE = ("pytest", "pytest-timeout", "hypothesis")


def main() -> int:
    """Run the tests of steps on a cluster.

    Returns:
        The exit status of the tests.
    """
    parser = argparse.ArgumentParser(description="Test steps on a real Ray cluster.")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "ratchet-ray")
    options = parser.parse_args()
    python = environments.made(options.environment, [*BESIDE, "-e", f"{ROOT}[ray,sklearn]"])
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
