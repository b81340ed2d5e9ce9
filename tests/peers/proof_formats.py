"""All model formats with their real libraries, the heavy ones, too: ``make proof-formats``.

Invariant: CatBoost and PyTorch live in an environment of their own; no test of a format is skipped there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.peers import environments
from tests.peers.environments import ROOT

TESTS = ("tests/unit/store/formats", "tests/unit/store/trust", "tests/e2e/test_formats.py")
EXTRAS = "catboost,lightgbm,onnx,postgres,torch"
# XGBoost without its gigabyte for GPUs, and what the tests themselves need.
BESIDE = ("xgboost-cpu", "pytest", "pytest-timeout", "hypothesis", "threadpoolctl")


def main() -> int:
    """Run the tests of all formats.

    Returns:
        The exit status of the tests.
    """
    parser = argparse.ArgumentParser(description="Test all model formats with their libraries.")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "ratchet-formats")
    # Such as torch==2.13.0+cpu, where an index has a build without CUDA.
    parser.add_argument("--torch", default="torch>=2.6,<2.16", help="what to install as PyTorch")
    options = parser.parse_args()
    python = environments.made(options.environment, [options.torch], [*BESIDE, "-e", f"{ROOT}[{EXTRAS}]"])
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"RATCHET_ALL_FORMATS": "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
