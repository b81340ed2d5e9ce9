"""Words that all indicators of the golden year share: months, versions, calls, approvals, the settings.

Invariant: each is a plain reading of the ledger; what an indicator counts is decided in the indicator.
"""

import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ledger_again import Ledger, Row, at

FOLDER = Path(__file__).parent
SETTINGS = tomllib.loads((FOLDER / "settings.toml").read_text(encoding="utf-8"))
ZONE = ZoneInfo(SETTINGS["project"]["time_zone"])
AUTOMATED = ("auto", "gated")
Result = tuple[Row, Row, list[Row]]


def month(when: datetime) -> str:
    """Return the local month."""
    return f"{when.astimezone(ZONE):%Y-%m}"


def months_until(ledger: Ledger) -> list[str]:
    """Return the local months of the year up to the moment."""
    last = (ledger.as_of - timedelta(seconds=1)).astimezone(ZONE).month
    return [f"2024-{number:02d}" for number in range(1, last + 1)]


def share(part: float, whole: float) -> float | None:
    """Return a quotient; None where there is nothing to divide by."""
    return part / whole if whole else None


def model_of(version: str) -> str:
    """Return the model of a version."""
    return version.split("@")[0]


def trained(ledger: Ledger) -> dict[str, Row]:
    """Return the run that finished, by the version that it trained."""
    runs = {row["data"]["run_id"]: row for row in ledger.of("run.finished")}
    found = {
        row["data"]["version"]: runs.get(row["data"].get("run_id")) for row in ledger.of("model.version.registered")
    }
    return {version: run for version, run in found.items() if run is not None}


def first_live(ledger: Ledger) -> dict[str, Row]:
    """Return the shift by which each version was first live in production."""
    found: dict[str, Row] = {}
    for one in ledger.shifts():
        for version in one["new"]:
            found.setdefault(version, one["row"])
    return found


def calls(ledger: Ledger) -> list[Row]:
    """Return the records of real calls: no shadow, no health checks, nothing synthetic."""
    return [
        row for row in ledger.of("usage.recorded") if (row["data"]["kind"], row["data"]["role"]) == ("call", "live")
    ]


def last_approval(ledger: Ledger, deployment: str) -> tuple[datetime, datetime, list[Row]] | None:
    """Return when the first required approval was asked for, when the last was given, and all of them."""
    given = [row for row in ledger.of("approval.decided")
             if row["data"]["target"] == deployment and row["data"]["policy_required"]]  # fmt: skip
    asked = [ledger.by_id[row["causationid"]] for row in given]
    return (min(map(at, asked)), max(map(at, given)), given) if given else None
