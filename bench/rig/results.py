"""What was measured, as a file of JSON and as the page docs/benchmarks.md, which is made of that file alone.

Invariant: each figure carries the day, the machine and the versions that it was measured with; a goal that is missed
and a peer that is faster stand there like the others.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.rig import machine
from bench.rig.environments import ROOT
from ratchet.records import Record

FILE = ROOT / "bench" / "results" / "latest.json"
PAGE = ROOT / "docs" / "benchmarks.md"
_MARKS = {"at most": "<=", "at least": ">="}
_HEADINGS = {
    "what": "",
    "how": "How",
    "wall_ms": "ms",
    "cpu_ms": "processor, ms",
    "fastest_ms": "fastest",
    "slowest_ms": "slowest",
    "ratio": "ratio",
    "rounds": "rounds",
}
_INTRODUCTION = """# Benchmarks

Made by `make bench` from `bench/results/latest.json`; nothing on this page is written by hand. All contestants of a
table were measured on one machine in one run, in turn, each in an environment of its own, in its defaults but for
telemetry, which is off. Figures are medians. A machine with two cores that others use as well is noisy, so ratios say
more than milliseconds, and the processor's time more than the clock's. A ratio is that to our first line.
"""


class Goal(Record, frozen=True):
    """A limit that we have set ourselves.

    Attributes:
        kind: ``at most`` or ``at least``.
        what: What is limited, with its unit.
        value: What was measured.
        limit: The limit.
    """

    kind: str
    what: str
    value: float
    limit: float

    @property
    def is_met(self) -> bool:
        """Tell whether the limit is kept."""
        return self.value <= self.limit if self.kind == "at most" else self.value >= self.limit


class Section(Record, frozen=True):
    """What one measurement found.

    Attributes:
        title: Of its part of the page.
        about: What was measured, and how.
        rows: One for each contestant, all with the same keys.
        goals: Limits.
        skipped: What could not be measured, with the reason.
        notes: What has to be known to read the figures.
    """

    title: str
    about: str
    rows: list[dict[str, Any]]
    goals: list[Goal] = msgspec.field(default_factory=list)
    skipped: dict[str, str] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)

    def publish(self) -> dict[str, Any]:
        """Print it and return it as plain values."""
        sys.stdout.write("\n".join([f"## {self.title}", "", *_table(self.rows), "", *self.lines(), ""]))
        sys.stdout.flush()
        values: dict[str, Any] = msgspec.to_builtins(self)
        return {**values, "is_within_limits": all(goal.is_met for goal in self.goals)}

    def lines(self) -> list[str]:
        """Return its goals, what was skipped and its notes, each in a line."""
        goals = [
            f"- Goal: {goal.what} {_MARKS[goal.kind]} {_shown(goal.limit)}: "
            f"{'met' if goal.is_met else 'MISSED'} with {_shown(goal.value)}."
            for goal in self.goals
        ]
        skipped = [f"- Not measured: {name}: {' '.join(reason.split())[:300]}" for name, reason in self.skipped.items()]
        return [*goals, *skipped, *(f"- {note}" for note in self.notes)]


def compared(rows: list[dict[str, Any]], key: str, *, of: str) -> None:
    """Say in each row how many times as much it is as that of one contestant, whatever it is."""
    one = next((row[key] for row in rows if row["what"] == of), None)
    if one:
        for row in rows:
            if isinstance(row.get(key), int | float):
                row["ratio"] = round(row[key] / one, 2)


def keep(name: str, found: dict[str, Any]) -> None:
    """Write down what a measurement found, beside what others did, and make the page anew."""
    known: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    known[name] = {"measured_on": machine.describe(), "peers": machine.peers(), **found}
    FILE.parent.mkdir(exist_ok=True)
    _replace(FILE, json.dumps(known, indent=1, sort_keys=False) + "\n")
    _replace(PAGE, draw(known))


def draw(known: dict[str, Any]) -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for found in known.values():
        if "title" not in found:
            continue
        section = msgspec.convert({name: found[name] for name in Section.__struct_fields__}, Section)
        lines = "\n".join(section.lines())
        parts.append(f"## {section.title}\n\n{section.about}\n\n" + "\n".join(_table(section.rows)) + f"\n\n{lines}\n")
    parts.append(_measured_on(known))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _measured_on(known: dict[str, Any]) -> str:
    rows = ["| Section | Day | Machine | Ours | Peers |", "| --- | --- | --- | --- | --- |"]
    for found in known.values():
        if "title" not in found:
            continue
        on = dict(found["measured_on"])
        day, commit = on.pop("date"), on.pop("commit")
        cores = f"{on.pop('cores')} cores of {on.pop('processor')}"
        place = f"{cores}, {on.pop('memory_gb')} GB, Linux {on.pop('kernel')}"
        ours = ", ".join([f"commit {commit}", *(f"{name} {version}" for name, version in on.items() if version)])
        peers = ", ".join(f"{name} {version}" for name, version in found["peers"].items())
        rows.append(f"| {found['title']} | {day} | {place} | {ours} | {peers} |")
    return "## Measured on\n\n" + "\n".join(rows) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "parts"))
    lines = [
        "| " + " | ".join(_HEADINGS.get(key, key.replace("_", " ")) for key in keys) + " |",
        "|" + "".join(" --- |" for _ in keys),
    ]
    return lines + ["| " + " | ".join(_shown(row.get(key)) for key in keys) + " |" for row in rows]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)
