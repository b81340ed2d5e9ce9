"""All model formats with their real libraries, the heavy ones, too: ``make proof-formats``.

Invariant: CatBoost and PyTorch live in an environment of their own; no test of a format is skipped there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ("tests/unit/store/formats", "tests/unit/store/trust", "tests/e2e/test_formats.py")
EXTRAS = "catboost,lightgbm,onnx,postgres,torch"
# XGBoost without its gigabyte for GPUs, and what the tests themselves need.
BESIDE = ("xgboost-cpu", "pytest", "pytest-timeout", "hypothesis", "threadpoolctl")


def environment(folder: Path, *, torch: str) -> Path:
    """Make the environment, once, and return its Python.

    Args:
        folder: Where it lies.
        torch: What to install as PyTorch, such as ``torch==2.13.0+cpu`` where an index has a build without CUDA.
    """
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        # One that was broken off half-way is made anew.
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, torch], check=True)
        subprocess.run([*pip, *BESIDE, "-e", f"{ROOT}[{EXTRAS}]"], check=True)
        done.touch()
    return python


def main() -> int:
    """Run the tests of all formats.

    Returns:
        The exit status of the tests.
    """
    parser = argparse.ArgumentParser(description="Test all model formats with their libraries.")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "ratchet-formats")
    parser.add_argument("--torch", default="torch>=2.6,<2.16", help="what to install as PyTorch")
    options = parser.parse_args()
    python = environment(options.environment, torch=options.torch)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"RATCHET_ALL_FORMATS": "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
