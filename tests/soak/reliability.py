"""The figures of the soak as a table in ``docs/reliability.md``, between two marks.

Invariant: nothing but what the tally says stands between the marks.
"""

from pathlib import Path
from typing import Any

from tests.soak import takeover
from tests.soak.tally import Tally

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"


def write(tally: Tally, page: Path = PAGE) -> None:
    """Put the tally's figures between the marks of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + table(tally) + END + after)


def table(tally: Tally) -> str:
    """Return all figures as Markdown."""
    pieces = tally.pieces()
    days = sorted({str(one["at"])[:10] for one in pieces})
    machines = sorted({str(one["machine"]) for one in pieces})
    when = f"{days[0]} to {days[-1]}" if len(days) > 1 else "".join(days)
    lines = [f"\nMeasured {when} on {'; '.join(machines)}.\n" if pieces else "\nNothing was counted yet.\n"]
    lines += ["| What was done | How often | What was checked after it | Faults |", "| --- | ---: | --- | ---: |"]
    rows = [*_rows_by_database(tally), *_other_rows(tally)]
    lines += [_row(*one) for one in rows if one[1]]
    missing = [what.partition(" (")[0] for what, times, _, _ in rows if not times]
    lines += [f"\nNot counted yet: {'; '.join(missing)}."] if missing else []
    return "\n".join(lines) + "\n\n"


def _row(what: str, times: int, checked: str, faults: int) -> str:
    return f"| {what} | {times:,} | {checked} | {faults} |"


def _faults(tally: Tally, part: str, **about: Any) -> int:
    pieces = [one for one in tally.pieces(part) if all(one.get(name) == value for name, value in about.items())]
    return sum(bool(one["faults"]) for one in pieces)


def _rows_by_database(tally: Tally) -> list[tuple[str, int, str, int]]:
    names = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
    found = []
    for key, name in names.items():
        counts = tally.total("kills", database=key)
        kinds = ", ".join(
            f"{kind.removeprefix('kills of ')} {count:,}" for kind, count in sorted(counts.items()) if " of " in kind
        )
        found.append(
            (f"`kill -9`, {name} ({kinds})", counts["kills"], _checked(counts), _faults(tally, "kills", database=key))
        )
    for key, name in names.items():
        counts = tally.total("clocks", database=key)
        what = f"Clock of all processes a day ahead or back, {name}"
        found.append((what, counts["jumps"], _checked(counts), _faults(tally, "clocks", database=key)))
    for key, name in names.items():
        counts = tally.total("redelivery", database=key)
        checked = f"{counts['deliveries']:,} deliveries"
        what = f"Events three times and in any order, {name}"
        found.append((what, counts["events"], checked, _faults(tally, "redelivery", database=key)))
    for processes in (2, 5):
        for key, name in names.items():
            about = {"database": key, "processes": processes}
            what = f"Slots claimed by {processes} schedulers, {name}"
            count = tally.total("claims", **about)["slots"]
            found.append((what, count, "each ticked once, with one job", _faults(tally, "claims", **about)))
    return found


def _other_rows(tally: Tally) -> list[tuple[str, int, str, int]]:
    counts = tally.total("restarts")
    found = [("Sudden ends of the PostgreSQL server", counts["restarts"], _checked(counts), _faults(tally, "restarts"))]
    for way in ("full", "full once", "broken once"):
        counts = tally.total("disk", way=way)
        checked = f"{counts['told']:,} times somebody was told; all ended as in peace"
        found.append((f"Writes to a disk that is {way}", counts["writes"], checked, _faults(tally, "disk", way=way)))
    for blow in takeover.BLOWS:
        seconds = takeover.seconds_of(tally, blow)
        pieces = [one for one in tally.pieces("takeover") if one["blow"] == blow]
        faults = sum(bool(one["faults"]) for one in pieces)
        found.append((f"Workers {blow} in a step", len(seconds), takeover.summary(seconds), faults))
    return found


def _checked(counts: dict[str, int]) -> str:
    names = {
        "accepted": "events",
        "acts": "acts",
        "runs": "runs",
        "predictions": "predictions",
        "deployments": "releases",
    }
    return ", ".join(f"{counts[key]:,} {name}" for key, name in names.items() if counts.get(key)) or "nothing yet"
