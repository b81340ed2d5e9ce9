"""Compares two ledgers of the same story: nothing lost, nothing done twice, whatever was killed in one of them."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

Line = dict[str, Any]

# What is measured differs from run to run, and so does what is hashed together with it.
MEASURED = {"latency_ms_p50", "latency_ms_p99", "sha256", "late_seconds"}
SUMMED = {
    "usage.recorded": (("endpoint", "day", "version", "caller"), ("count", "rows", "errors")),
    "cost.recorded": (("run_id", "step", "resource", "endpoint", "day"), ()),
    "prediction_log.segment.sealed": (("endpoint", "day"), ("rows",)),
}
# What is signed holds the ids of a run, which are another run's never.
SIGNED = {"report.published", "ledger.checkpoint"}
ROOTS = {"command.issued", "clock.ticked", "dataset.version.published", "ledger.checkpoint"}


def read(lines: Iterable[str]) -> list[Line]:
    """Return exported events."""
    return [json.loads(line) for line in lines if line.strip()]


def fingerprints(events: list[Line]) -> Counter[tuple[str, ...]]:
    """Return the multiset of (type, subject, type of cause, payload digest) of all events that are not summed."""
    types = {event["id"]: event["type"] for event in events}
    found: Counter[tuple[str, ...]] = Counter()
    for event in events:
        if event["type"] not in SUMMED:
            cause = types.get(event["causationid"], "?") if event["causationid"] else ""
            data = {} if event["type"] in SIGNED else event["data"]
            found[event["type"], event["subject"], cause, _digest(data)] += 1
    return found


def sums(events: list[Line]) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Return, for usage, costs and segments, the sums of rows by key; a cost counts as one row.

    A day that was sealed in two parts, because a kill made some of it late, has the costs of serving twice.
    """
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for event in events:
        if event["type"] in SUMMED:
            keys, values = SUMMED[event["type"]]
            key = (event["type"], *(str(event["data"].get(name, "")) for name in keys))
            row = [1] if not values else [int(event["data"][name]) for name in values]
            if event["data"].get("step") == "serve":
                found[key] = row
                continue
            found[key] = [one + other for one, other in zip(found[key] or [0] * len(row), row, strict=True)]
    return {key: tuple(row) for key, row in found.items()}


def differences(expected: list[Line], actual: list[Line]) -> list[str]:
    """Say what one ledger has and the other has not; empty where they tell the same story."""
    wanted, found = fingerprints(expected), fingerprints(actual)
    lost = [f"lost: {key[:3]} x{count}" for key, count in (wanted - found).items()]
    added = [f"done twice or new: {key[:3]} x{count}" for key, count in (found - wanted).items()]
    wanted_sums, found_sums = sums(expected), sums(actual)
    unequal = [
        f"rows differ: {key} {wanted_sums.get(key)} != {found_sums.get(key)}"
        for key in sorted(wanted_sums.keys() | found_sums.keys())
        if wanted_sums.get(key) != found_sums.get(key)
    ]
    return sorted(lost) + sorted(added) + unequal


def orphans(events: list[Line]) -> list[str]:
    """Return events that have no cause and are no roots, or whose cause is not in the ledger."""
    known = {event["id"] for event in events}
    found = []
    for event in events:
        if not event["causationid"] and event["type"] not in ROOTS:
            found.append(f"{event['seq']} {event['type']} has no cause")
        if event["causationid"] and event["causationid"] not in known:
            found.append(f"{event['seq']} {event['type']} has an unknown cause {event['causationid']}")
    return found


def gaps(events: list[Line]) -> list[int]:
    """Return the sequence numbers that are missing or out of order."""
    return [number for number, event in enumerate(events, start=1) if event["seq"] != number]


def month_end(month: str, time_zone: str = "America/New_York") -> datetime:
    """Return the moment at which a month such as ``2013-04`` is over."""
    year, number = map(int, month.split("-"))
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(_without_measured(data), sort_keys=True).encode()).hexdigest()


def _without_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_measured(one) for name, one in value.items() if name not in MEASURED}
    if isinstance(value, list):
        return [_without_measured(one) for one in value]
    return value
