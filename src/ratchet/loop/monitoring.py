"""Monitoring: have the inputs moved away from what the model knows, and has its metric fallen.

Invariant: an alert needs enough rows and k of the last n windows over the threshold; too few rows are "insufficient",
never "ok" and never an alert.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from ratchet import clock, origin
from ratchet.config import MonitorSection
from ratchet.loop import feedback, incidents, predictions, profiles, registry
from ratchet.loop.resources import Resources
from ratchet.loop.sampling import endpoint_of
from ratchet.records import NATIVE_SOURCE, Event

OK, ALERT, INSUFFICIENT = "ok", "alert", "insufficient"
_METRIC = "roc_auc"


def evaluate(resources: Resources, pipeline: str) -> list[Event]:
    """Evaluate a pipeline's monitors over the last window, inside an origin with a key.

    Returns:
        ``monitor.evaluated`` of each monitor, and alerts that were raised or cleared; empty where nothing serves.
    """
    endpoint = endpoint_of(resources, pipeline)
    with resources.database.read() as connection:
        live = registry.live_release(connection, endpoint)
    if live is None:
        return []
    section = resources.config.monitor.get(pipeline, MonitorSection())
    end = clock.now()
    window = (end - timedelta(days=section.window_days), end)
    found = [_drift(resources, endpoint, section, window), _performance(resources, endpoint, section, window)]
    events: list[Event] = []
    for measured in found:
        events += _record(resources, pipeline, endpoint, section, window=window, measured=measured)
    return events


def _drift(
    resources: Resources, endpoint: str, section: MonitorSection, window: tuple[datetime, datetime]
) -> dict[str, Any]:
    """Compare the window's counts with those of training, for each version by its own reference."""
    first = window[0].astimezone(predictions.zone(resources)).date().isoformat()
    recent = [one for one in predictions.segments(resources, endpoint) if one.day >= first]
    totals: dict[str, dict[str, list[int]]] = {}
    rows: dict[str, int] = {}
    for segment in recent:
        for version, counts in segment.counts.items():
            _add(totals.setdefault(version, {}), counts)
            rows[version] = rows.get(version, 0) + segment.versions[version]
    columns: dict[str, float] = {}
    for version, counts in totals.items():
        reference = {one.name: one.counts for one in predictions.profile_of(resources, version).columns}
        share = rows[version] / sum(rows.values())
        for name, counted in counts.items():
            if name not in section.ignore:
                index = profiles.population_stability_index(reference[name], counted)
                columns[name] = columns.get(name, 0.0) + share * index
    worst = max(columns, key=lambda name: columns[name], default="")
    return {
        "monitor": "drift",
        "kind": "drift",
        "rows": sum(rows.values()),
        "value": round(columns[worst], 4) if worst else None,
        "column": worst,
        "columns": {name: round(value, 4) for name, value in sorted(columns.items())},
        "threshold": section.drift_threshold,
    }


def _add(total: dict[str, list[int]], counts: dict[str, list[int]]) -> None:
    for name, counted in counts.items():
        known = total.get(name)
        total[name] = counted if known is None else [one + other for one, other in zip(known, counted, strict=True)]


def _performance(
    resources: Resources, endpoint: str, section: MonitorSection, window: tuple[datetime, datetime]
) -> dict[str, Any]:
    """Compare the live metric with what the live version showed at its gate, and with what the gate asks for."""
    found = feedback.metrics(resources, endpoint, by="all", since=window[0])
    value = found[0].value if found else None
    expected = _expected(resources, endpoint)
    fall = None if value is None or expected is None else round(expected - value, 4)
    floor = _floor(resources, endpoint)
    below = None
    if value is not None and floor is not None and found[0].labelled >= section.minimum_rows:
        below = value < floor
    return {
        "monitor": "performance",
        "kind": "performance",
        "rows": found[0].labelled if found else 0,
        "value": fall,
        "live": None if value is None else round(value, 4),
        "at_gate": expected,
        "threshold": section.performance_drop,
        "floor": floor,
        "below_floor": below,
    }


def _expected(resources: Resources, endpoint: str) -> float | None:
    with resources.database.read() as connection:
        live = registry.live_release(connection, endpoint)
        if live is None:
            return None
        version = registry.model_version(connection, live.model_version)
    metrics = registry.run(resources.database, version.run_id).metrics
    return float(metrics[_METRIC]) if _METRIC in metrics else None


def _floor(resources: Resources, endpoint: str) -> float | None:
    """Return the least metric that the gate to production asks for now; ``None`` where it asks for none."""
    with resources.database.read() as connection:
        live = registry.live_release(connection, endpoint)
        pipeline = registry.model_version(connection, live.model_version).pipeline if live else ""
    floors = [
        one.at_least
        for one in resources.config.fitness
        if one.pipeline == pipeline and one.metric == _METRIC and one.at_least is not None
    ]
    return max(floors, default=None)


def _record(
    resources: Resources,
    pipeline: str,
    endpoint: str,
    section: MonitorSection,
    *,
    window: tuple[datetime, datetime],
    measured: dict[str, Any],
) -> list[Event]:
    name = f"{endpoint}/{measured['monitor']}"
    known = resources.ledger.done_before("monitor.evaluated", name)
    if known is not None:
        # Evaluated by an attempt that broke off: it must not count as a window before itself.
        return [known, *(one for one in resources.ledger.caused_by(known.id) if one.type.startswith("monitor.alert."))]
    enough = measured["rows"] >= section.minimum_rows and measured["value"] is not None
    over = enough and measured["value"] > measured["threshold"]
    past = list(
        resources.ledger.read(
            types=["monitor.evaluated"],
            subject=name,
            source=NATIVE_SOURCE,
            newest_first=True,
            limit=max(section.windows - 1, 1),
        )
    )
    overs = int(over) + sum(1 for event in past[: section.windows - 1] if event.data["over"])
    status = INSUFFICIENT if not enough else ALERT if over and overs >= section.windows_over else OK
    with resources.database.write() as transaction:
        evaluated = resources.ledger.append(
            transaction,
            Event(
                type="monitor.evaluated",
                subject=name,
                pipeline=pipeline,
                data={
                    **measured,
                    "monitor": name,
                    "window": {"start": window[0].isoformat(), "end": window[1].isoformat()},
                    "over": over,
                    "status": status,
                },
            ),
        )[0]
        _judge_floor(resources, transaction, endpoint, section, evaluated=evaluated, past=past)
        was_raised = bool(registry.state(transaction, f"alert/{name}", default=False))
        is_raised = status == ALERT if status != INSUFFICIENT else was_raised
        if is_raised == was_raised:
            return [evaluated]
        registry.put_state(transaction, f"alert/{name}", is_raised)
        source = origin.current()
        with origin.use(origin.following(evaluated, key=source.key if source else "")):
            kind = "monitor.alert.raised" if is_raised else "monitor.alert.cleared"
            data = {
                "monitor": name,
                "kind": measured["kind"],
                "score": measured["value"],
                "threshold": measured["threshold"],
                "windows": overs,
                "column": measured.get("column", ""),
            }
            alert = resources.ledger.append(
                transaction, Event(type=kind, subject=name, pipeline=pipeline, trigger="metric", data=data)
            )[0]
    return [evaluated, alert]


def _judge_floor(
    resources: Resources,
    transaction: Connection,
    endpoint: str,
    section: MonitorSection,
    *,
    evaluated: Event,
    past: list[Event],
) -> None:
    """Tell of an incident where the live metric is below what the gate asks for, in enough windows; and of its end."""
    is_below = evaluated.data.get("below_floor")
    below = [one for one in (evaluated, *past[: section.windows - 1]) if one.data.get("below_floor")]
    if is_below and len(below) >= section.windows_over:
        live, floor = evaluated.data["live"], evaluated.data["floor"]
        incidents.detect(
            resources,
            transaction,
            endpoint=endpoint,
            pipeline=evaluated.pipeline,
            signal="metric",
            onset=below[-1].at,
            cause=evaluated,
            title=f"{_METRIC} is {live:g}, and the gate asks for {floor:g}",
        )
    elif is_below is False:
        incidents.resolve(resources, transaction, endpoint=endpoint, signal="metric", back=evaluated.at)
