"""Libraries in C that stand between a process and its kernel, compiled when they are needed.

Invariant: a machine without a compiler is told so, and nothing is counted there.
"""

import shutil
import subprocess
from pathlib import Path

MISSING = "no C compiler is installed, so {what}. As root: apt-get install gcc libc6-dev"


def build(name: str, folder: Path) -> Path | None:
    """Compile a library of this folder and return it, or ``None`` where there is no compiler.

    Args:
        name: Its file, without ``.c``.
        folder: Where it is put.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    target = folder / f"{name}.so"
    source = Path(__file__).parent / f"{name}.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", target, source, "-ldl"], check=True)
    return target
