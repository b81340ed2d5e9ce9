"""Fails where a part that must not break is tested too little: ``python tests/coverage_floor.py .coverage.json``.

Invariant: the floor counts statements and branches of each guarded part by itself: none can lend to another.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

FLOOR_PERCENT = 85.0
GUARDED = ("store", "engine", "automation", "measure")


@dataclass
class Count:
    """How much of a part was run: statements and branches together, as ``coverage report`` counts."""

    covered: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        """Return the share that was run, 0 where nothing was measured."""
        return 100.0 * self.covered / self.total if self.total else 0.0


def count(report: Path) -> dict[str, Count]:
    """Add up a JSON report of coverage by part: ``store`` for all of ``src/ratchet/store/``."""
    parts: dict[str, Count] = {}
    for name, entry in json.loads(report.read_text())["files"].items():
        inside = Path(name).as_posix().partition("ratchet/")[2]
        summary = entry["summary"]
        part = parts.setdefault(inside.partition("/")[0], Count())
        part.covered += summary["covered_lines"] + summary["covered_branches"]
        part.total += summary["num_statements"] + summary["num_branches"]
    return parts


def main(report: Path) -> int:
    """Print what each part has, and return 1 where a guarded one has too little."""
    parts = count(report)
    too_low = [name for name in GUARDED if parts.get(name, Count()).percent < FLOOR_PERCENT]
    for name in sorted(set(parts) | set(GUARDED)):
        floor = f", {FLOOR_PERCENT:g} needed" if name in GUARDED else ""
        verdict = " <- TOO LOW" if name in too_low else ""
        sys.stdout.write(f"coverage {name:<16}{parts.get(name, Count()).percent:6.1f} %{floor}{verdict}\n")
    return 1 if too_low else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
