"""What KPIs read from columns is what the events say one by one, whatever comes in, in whatever order and pieces."""

import math
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.deliveries import first_live, live_shifts
from ratchet.measure.kpis.effort import model_months
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.failures import errors_by_month
from ratchet.measure.kpis.inputs import SHIFTED
from ratchet.measure.kpis.questions import EVERYTHING, Question, Scope
from ratchet.measure.kpis.shifts import AGAIN, NEW, NOTHING, ROLLBACK, shifts_of
from ratchet.measure.kpis.value import _saved_days
from ratchet.records import Event
from tests import plain_failures, plain_kpis
from tests.property.test_months import mixed
from tests.unit.measure.reports import golden

END = datetime(2025, 1, 2, tzinfo=UTC)
KINDS = {NEW: "new", ROLLBACK: "rollback", AGAIN: "again", NOTHING: ""}
CAUSES = ("code.pushed", "dataset.version.published", "monitor.alert.raised", "incident.detected", "custom.emitted")


def near(value: object) -> object:
    """Return a value with sums that do not depend on the order of adding."""
    if isinstance(value, dict):
        return {name: near(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [near(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) and math.isfinite(value) else value


def told(question: Question) -> dict[str, Any]:
    """Return what the columns say."""
    found: dict[str, Any] = {name: KPIS[name].answer(question) for name in plain_kpis.PLAIN}
    return {name: (one.status, near(one.values), near(one.by), one.events) for name, one in found.items()} | {
        "errors": errors_by_month(question),
        "model months": model_months(question),
        "saved": near(_saved_days(question)),
    }


def told_plainly(question: Question) -> dict[str, Any]:
    """Return what the events say."""
    found: dict[str, Any] = {name: plain(question) for name, plain in plain_kpis.PLAIN.items()}
    return {name: (one.status, near(one.values), near(one.by), one.events) for name, one in found.items()} | {
        "errors": plain_failures.errors_by_month(question),
        "model months": plain_kpis.model_months(question),
        "saved": near(plain_kpis._saved_days(question)),
    }


def compare(events: list[Event], moments: list[datetime], scope: Scope = EVERYTHING) -> None:
    """Ask at some moments as the ledger grows; columns and events must say the same."""
    facts, asked = Facts(), golden.question()
    for piece in (events[: len(events) // 2], events[len(events) // 2 :]):
        facts.fold(piece)
        for moment in moments:
            for seq in (None, facts.history.last_seq * 2 // 3):
                question = Question(facts.as_of(moment, seq=seq), asked.settings, scope)
                assert told(question) == told_plainly(question)
                view, words = question.view, question.view.inputs.words
                shifts = shifts_of(view)
                plain = live_shifts(view)
                assert shifts.rows.ids() == [one.event.id for one in plain]
                assert [KINDS[kind] for kind in shifts.kind.tolist()] == [one.kind for one in plain]
                firsts = {words.texts[code]: place for code, place in enumerate(shifts.first_live) if place >= 0}
                assert {name: shifts.rows.id(place) for name, place in firsts.items()} == {
                    name: one.event.id for name, one in first_live(view).items()
                }


def random_ledger(seed: int, size: int = 120) -> list[Event]:
    """Return events of few versions, endpoints and bytes, so that they meet, with causes near and far."""
    chance = Random(seed)
    moment, events = datetime(2024, 11, 1, tzinfo=UTC), list[Event]()
    for seq in range(1, size + 1):
        moment += timedelta(minutes=chance.choice([0, 3, 600]))
        # Chains stay within a source for a while, so that they are long.
        source = "elsewhere" if (seq + seed) % 40 >= 28 else "ratchet"
        is_imported = source == "elsewhere" and chance.random() < 0.5
        time = moment - timedelta(days=chance.choice([0, 0, 0, 9, 40])) if is_imported else moment
        version = f"m{chance.randrange(3)}@v{chance.randrange(4)}"
        run, deployment = f"r{chance.randrange(6)}", f"d{chance.randrange(8)}"
        other = f"m{chance.randrange(3)}@v{chance.randrange(4)}"
        weights = chance.choice([{}, {version: 1.0}, {version: 0.9, other: 0.1}, {version: 0.0, other: 1.0}])
        digests = {name: chance.choice(["", "a", "b", "c"]) for name in weights}
        live = {"endpoint": f"e{chance.randrange(2)}", "env": "production", "weights": weights}
        gains = {"metrics": {"accuracy": chance.random()}, "champion": {"metrics": {"accuracy": 0.5}}}
        kinds: list[tuple[str, dict[str, Any]]] = [
            ("traffic.shifted", {**live, "artifact_digests": digests, "deployment_id": deployment}),
            ("traffic.shifted", {**live, "artifact_digests": digests, "path": "fast"}),
            ("service.removed", {"endpoint": live["endpoint"]}),
            (
                "run.finished",
                {"run_id": run, "code_sha": chance.choice(["", "c"]), "environment": {"frameworks": [run]}},
            ),
            ("model.version.registered", {"version": version, "run_id": run, "data_until": "2024-10-01"}),
            ("gate.evaluated", {"version": version, "run_id": run, "decision": chance.choice(["pass", "fail"])}),
            ("deployment.requested", {"deployment_id": deployment}),
            ("fitness.suite.finished", {"kind": "quality", "version": version, **gains}),
            ("run.queued", {"run_id": run}),
            ("feedback.joined", {"median_delay_hours": chance.choice([None, 3, 4.5])}),
            ("config.changed", {"service": live["endpoint"]}),
            ("deployment.rolledback", {"deployment_id": deployment, "from": version}),
            ("path.approved", {"path": "fast"}),
            ("command.issued", {"action": "x"}),
            ("label.submitted", {}),
            *((kind, {}) for kind in (*CAUSES, *CAUSES[:3])),
        ]
        kind, data = chance.choice(kinds)
        cause = chance.choice(
            ["", f"E{seq - 1}", f"E{seq - 1}", f"E{max(1, seq - 2)}", f"E{chance.randrange(1, size + 10)}"]
        )
        events.append(
            Event(
                type=kind,
                subject=chance.choice([version, run]),
                data=data,
                id=f"E{seq}",
                source=source,
                time=time,
                recordedtime=moment - timedelta(hours=chance.choice([0, 0, 0, 5])),
                causationid=cause,
                authtype=chance.choice(["user", "system"]),
                authid=f"person-{chance.randrange(3)}",
                pipeline=f"p{chance.randrange(3)}",
                evidence="imported" if is_imported else "native",
                seq=seq,
            )
        )
    return events


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 100_000))
def test_random_ledgers_are_read_alike(seed: int) -> None:
    """Shifts, trainings, verdicts and their causes in any order give the same by columns as one by one."""
    events = random_ledger(seed)
    now = events[-1].recordedtime or END
    compare(events, [now - timedelta(days=2), now + timedelta(hours=1)])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    imported=st.sampled_from([0.0, 0.05, 0.3]),
    moved=st.sampled_from([0.0, 0.05]),
    held=st.sampled_from([0.0, 0.2]),
)
def test_a_year_that_was_mixed_up_is_read_alike(*, seed: int, imported: float, moved: float, held: float) -> None:
    """What was imported of long ago, came late or was held up stands in the columns where it stands in the events."""
    events = mixed(seed, dropped=0.1, imported=imported, moved=moved, held=held)
    compare(events, [datetime(2024, 7, 1, tzinfo=UTC), END])


@pytest.mark.parametrize(
    "scope",
    [
        Scope(kind="node", name="lending"),
        Scope(kind="pipeline", name="credit-score"),
        Scope(kind="endpoint", name="credit-score"),
        Scope(kind="model", name="credit-score"),
    ],
)
def test_a_part_of_the_whole_is_read_alike(scope: Scope) -> None:
    """A team, a pipeline, an endpoint or a model has what its events say."""
    events = mixed(7, dropped=0.0, imported=0.05, moved=0.02, held=0.1)
    compare(events, [END], scope)


def test_ids_that_two_systems_share_are_counted_alike() -> None:
    """The same id from two sources is one piece of evidence, however it is counted."""
    events = random_ledger(5)
    twins = [
        replace(one, source="third", data=one.data | {"endpoint": "other"}) for one in events if one.type in SHIFTED
    ]
    mixed_in = [replace(one, seq=seq) for seq, one in enumerate([*events, *twins], start=1)]
    compare(mixed_in, [END])
