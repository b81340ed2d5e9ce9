"""Measures what was promised: ``python -m bench [name ...]`` runs all measurements but the largest, or those named.

Invariant: each measurement is a module with ``run() -> dict`` that prints its own table; nothing here knows a number.
What one gives that has a title is kept, and shown on docs/benchmarks.md.
"""

import sys
import time
from importlib import import_module
from pathlib import Path

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
# A million events take minutes, and ten million half an hour and twenty gigabytes: only where they are asked for.
ONLY_BY_NAME = ("ledger_size", "report")


def main(names: list[str]) -> int:
    """Run measurements; return how many found a limit broken."""
    unknown = [name for name in names if name not in MODULES]
    if unknown:
        sys.stderr.write(f"No measurement named {', '.join(unknown)}. Known: {', '.join(MODULES)}.\n")
        return 2
    broken = 0
    for name in names or [name for name in MODULES if name not in ONLY_BY_NAME]:
        began = time.perf_counter()
        result = import_module(f"bench.{name}").run()
        if "title" in result:
            from bench.rig import results

            results.keep(name, result)
        sys.stdout.write(f"bench {name}: {time.perf_counter() - began:.0f} s\n\n")
        sys.stdout.flush()
        broken += not result.get("is_within_limits", True)
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
