"""What callers used and what it took: measured at each answer, added up in the ledger, borne by who asked."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ratchet import clock
from ratchet.config import PriceSection, PricesSection
from ratchet.loop import predictions, registry, usage
from ratchet.loop.frames import connect, write_parquet
from ratchet.loop.serving.log import Frame, PredictionLog
from ratchet.measure.kpis.bearers import costs_of
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import EVERYTHING, Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.records import ModelVersion
from tests import projects
from tests.loops import Stage

NEXT_DAY = projects.START + timedelta(days=1, hours=1)
PRICES = PricesSection(item=(PriceSection(resource="cpu_seconds", unit="s", amount=0.5),))


@pytest.fixture
def version(stage: Stage, simulated: None) -> ModelVersion:
    """A version that serves."""
    made = stage.add_version()
    stage.make_live(made)
    return made


def answer(stage: Stage, version: ModelVersion, *, name: str, caller: str = "shop", rows: int = 1, **more: Any) -> None:
    """Log one answered request with its readings."""
    values = projects.customers(rows, seed=7)
    with stage.database.read() as connection:
        live = registry.live_release(connection, version.model)
    assert live is not None
    log = PredictionLog(stage.resources.serving, writer=clock.new_id())
    log.append(
        Frame(
            **{
                "request_id": name,
                "endpoint": version.model,
                "version": version.name,
                "traffic_id": live.traffic_event,
                "caller": caller,
                "time": int(projects.START.timestamp() * 1e6),
                "latency_us": 500,
                "status": 200,
                "prediction_ids": [f"{caller}/{name}.{row}" for row in range(rows)],
                "columns": {one: values[one].tolist() for one in projects.FEATURES},
                "scores": [0.5] * rows,
            }
            | more
        )
    )
    log.close()


def read(path: Path) -> pd.DataFrame:
    """Return a file's rows."""
    with connect() as connection:
        return connection.sql(f"SELECT * FROM read_parquet('{path}')").df()


def seal(stage: Stage) -> None:
    """Seal what is over on the next day."""
    clock.advance(NEXT_DAY)
    predictions.tend(stage.resources)


def taken(cpu_s: float, process_cpu_s: float, *, wall_s: float = 0.0, memory_mb: float = 0.0) -> dict[str, Any]:
    """Return the readings of an answer."""
    return {
        "cpu_us": round(cpu_s * 1e6),
        "process_cpu_us": round(process_cpu_s * 1e6),
        "process_wall_us": round(wall_s * 1e6),
        "memory_mb": memory_mb,
    }


def test_usage_carries_what_the_answers_took(stage: Stage, version: ModelVersion) -> None:
    """By caller; a request of several rows counts once, and memory counts as long as it was held."""
    answer(stage, version, name="a", rows=3, **taken(0.5, 2.0, wall_s=10, memory_mb=200))
    answer(stage, version, name="b", **taken(0.25, 0.5, wall_s=5, memory_mb=400))
    answer(stage, version, name="a", caller="app", **taken(0.125, 0.125))
    seal(stage)
    found = {event.data["caller"]: event.data for event in stage.events("usage.recorded")}
    named = ("cpu_s", "process_cpu_s", "process_wall_s", "process_memory_mb_s")
    assert [found["shop"][name] for name in named] == [0.75, 2.5, 15.0, 4000.0]
    assert [found["app"][name] for name in named] == [0.125, 0.125, 0.0, 0.0]


def test_serving_costs_what_the_process_took(stage: Stage, version: ModelVersion) -> None:
    """One cost for processor time and one for memory, of the day of the segment, caused by the traffic."""
    answer(stage, version, name="a", **taken(0.5, 2.0, wall_s=10, memory_mb=200))
    seal(stage)
    costs = stage.events("cost.recorded")
    assert [(one.data["resource"], one.data["qty"], one.data["unit"]) for one in costs] == [
        ("cpu_seconds", 2.0, "s"),
        ("memory_mb_seconds", 2000.0, "MB s"),
    ]
    (shifted,) = stage.events("traffic.shifted")
    assert {one.causationid for one in costs} == {shifted.id}
    # Known on the next day, and charged to this one.
    assert {one.at for one in costs} == {projects.START.replace(hour=23, minute=59, second=59, microsecond=999_999)}
    assert all(one.recordedtime and one.recordedtime > one.at for one in costs)
    day = {"from": "2026-01-05T00:00:00+00:00", "until": "2026-01-06T00:00:00+00:00", "segment": "churn/2026-01-05"}
    assert all(one.data.items() >= ({"step": "serve", "endpoint": "churn"} | day).items() for one in costs)


def test_callers_bear_what_their_answers_took_and_the_rest_is_idle(stage: Stage, version: ModelVersion) -> None:
    """The KPI of costs needs nobody to send anything: three seconds of the process, two of them for answers."""
    answer(stage, version, name="a", **taken(1.5, 2.0))
    answer(stage, version, name="b", caller="app", **taken(0.5, 1.0))
    seal(stage)
    facts = Facts()
    facts.fold(stage.ledger.read())
    view = facts.as_of(clock.now())
    for scope in (EVERYTHING, Scope(kind="endpoint", name="churn"), Scope(kind="pipeline", name="churn")):
        costs = costs_of(Question(view, Settings(prices=PRICES), scope))
        borne = dict.fromkeys(costs.names, 0.0)
        for place, amount in zip(costs.bearers.tolist(), costs.amounts.tolist(), strict=True):
            borne[costs.names[place]] += amount
        assert borne == {"unattributed": 0.0, "idle": 0.5, "shop": 0.75, "app": 0.25}
        assert costs.of_step("serve") == 1.5


def test_what_was_predicted_anew_took_its_time_as_well(stage: Stage, version: ModelVersion) -> None:
    """After a kill a request is answered twice: one use, and both times are counted."""
    for _ in range(2):
        answer(stage, version, name="a", **taken(0.5, 1.0))
    seal(stage)
    (used,) = stage.events("usage.recorded")
    assert (used.data["count"], used.data["process_cpu_s"]) == (1, 2.0)
    assert stage.events("cost.recorded")[0].data["qty"] == 2.0


def test_a_segment_has_no_readings(stage: Stage, version: ModelVersion) -> None:
    """The same predictions are the same sample, however long they took."""
    answer(stage, version, name="a", **taken(0.5, 2.0))
    seal(stage)
    (path,) = predictions.files(stage.resources, "churn")
    assert not set(read(path).columns) & set(usage.READINGS)


def test_parts_from_before_there_were_readings_are_read(stage: Stage, version: ModelVersion) -> None:
    """A log that an earlier release wrote took an unknown time, which counts as none."""
    answer(stage, version, name="a", **taken(0.5, 2.0))
    predictions.collect(stage.resources)
    (part,) = predictions.files(stage.resources, "churn")
    write_parquet(part, read(part).drop(columns=list(usage.READINGS)))
    with connect() as connection:
        usage.open_parts(connection, [part])
        (use,) = usage.read(connection)
    assert (use.requests, use.process_cpu_s) == (1, 0.0)
    seal(stage)
    assert [one.data["qty"] for one in stage.events("cost.recorded")] == [0.0, 0.0]
