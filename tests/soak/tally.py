"""What the soak has done so far: one line for each piece that was checked, in a file that only grows.

Invariant: a piece counts once it was checked; what was under way when the soak itself was killed counts for nothing.
"""

import json
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

from ratchet import clock

FILE = "tally.jsonl"


class Tally:
    """The pieces of a state folder.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE

    def add(self, part: str, *, counts: dict[str, int], faults: list[str], **about: Any) -> None:
        """Add a piece that was checked."""
        line = {
            "part": part,
            "at": clock.now().isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "counts": counts,
            "faults": faults,
            **about,
        }
        with self._path.open("a+b") as file:
            # Behind the torn end of a killed write begins a line of its own.
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            start = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(start + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def pieces(self, part: str = "") -> list[dict[str, Any]]:
        """Return the pieces, those of one part where one is named; the torn end of a killed write is left out."""
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return [one for one in found if not part or one["part"] == part]

    def total(self, part: str, **about: Any) -> Counter[str]:
        """Return the sums of a part's counts, over those pieces that agree in what is said about them."""
        found: Counter[str] = Counter()
        for one in self.pieces(part):
            if all(one.get(name) == value for name, value in about.items()):
                found.update(one["counts"])
        return found

    def faults(self, part: str = "") -> list[str]:
        """Return all that was found wrong."""
        return [fault for one in self.pieces(part) for fault in one["faults"]]
