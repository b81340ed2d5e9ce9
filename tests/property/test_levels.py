"""What must hold of levels for every history, not only for those that we thought of."""

from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ratchet.measure.history import History
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.policies import SHIPPED, shipped
from ratchet.records import Event
from tests.ledgers import LAPTOP, PERSON, PIPELINE, LedgerBuilder

POLICIES = tuple(shipped(name) for name in SHIPPED)
WORK = ("train", "deploy", "monitor", "sample", "label", "dataset")
STARTS = ("rule", "person", "stranger", "button", "touched", "approved", "manual", "overridden")
AUTOMATED = ("rule",) * len(WORK)
COMPLETED = {
    "train": "run.finished",
    "deploy": "traffic.shifted",
    "monitor": "monitor.evaluated",
    "sample": "sample.taken",
    "label": "feedback.joined",
    "dataset": "dataset.generated",
}
weeks = st.lists(st.tuples(*[st.sampled_from(STARTS) for _ in WORK]), min_size=1, max_size=6)
flaws = st.dictionaries(st.tuples(st.integers(0, 7), st.integers(0, 5)), st.sampled_from(STARTS), max_size=4)


@st.composite
def nearly_automated(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Draw weeks of automated work with a few flaws, so that levels lie near their thresholds."""
    count, found = draw(st.integers(3, 8)), draw(flaws)
    return [tuple(found.get((week, work), "rule") for work in range(len(WORK))) for week in range(count)]


def write(plan: list[tuple[str, ...]], *, reversals: frozenset[int] = frozenset()) -> LedgerBuilder:
    """Return a ledger in which each week does all work, started as planned, with some deployments taken back."""
    ledger = LedgerBuilder()
    ledger.declare(na={"features": "none"})
    ledger.own_rule_at_work()
    previous = None
    for number, starts in enumerate(plan):
        how = dict(zip(WORK, starts, strict=True))
        gate = ledger.train(_start(ledger, "train", how["train"]))
        _spoil(ledger, "train", how["train"], gate)
        ledger.deploy(_start(ledger, "deploy", how["deploy"]), gate)
        _spoil(ledger, "deploy", how["deploy"], gate)
        if number in reversals and previous is not None:
            ledger.wait(hours=1)
            ledger.deploy(ledger.command("rollback"), previous)
        ledger.wait(days=1)
        ledger.monitor(_start(ledger, "monitor", how["monitor"]), kinds=("drift",))
        _spoil(ledger, "monitor", how["monitor"], gate)
        ledger.sample(_start(ledger, "sample", how["sample"]))
        _spoil(ledger, "sample", how["sample"], gate)
        ledger.label(_start(ledger, "label", how["label"]))
        _spoil(ledger, "label", how["label"], gate)
        ledger.dataset(_start(ledger, "dataset", how["dataset"]))
        _spoil(ledger, "dataset", how["dataset"], gate)
        _release(ledger, number)
        ledger.wait(days=6)
        previous = gate
    return ledger


def _start(ledger: LedgerBuilder, stage: str, how: str) -> Event:
    """Begin a piece of work; every way takes as many events' time, so that only the start differs."""
    rule = ledger.rule(f"automate {stage}", leads_to=[stage], cron="0 3 * * *", origin="template")
    if how in ("person", "stranger"):
        return ledger.command(actor=PERSON if how == "person" else LAPTOP)
    if how == "button":
        return ledger.fire(rule, ledger.signal())
    if how == "approved":
        return ledger.approve(ledger.tick(rule))
    return ledger.tick(rule)


def _spoil(ledger: LedgerBuilder, stage: str, how: str, gate: Event) -> None:
    """Lay hands on what was just done, make it by hand, or override it afterwards, if that was planned."""
    if how == "touched" and stage in ("train", "deploy"):
        _touch_inside(ledger, gate)
    last = max(event.seq for event in ledger.events if event.type == COMPLETED[stage])
    done = ledger.events[last - 1]
    if how == "manual":
        ledger.events[last - 1] = replace(done, data={**done.data, "execution": "manual"})
    elif how == "overridden":
        about = {"target": done.id, "kind": "override"}
        at = ledger.events[-1].at + timedelta(seconds=1)
        ledger.add("touch.recorded", done.subject, about, actor=PERSON, time=at, recordedtime=at)


def _release(ledger: LedgerBuilder, number: int) -> None:
    """Release the pipeline by itself after somebody's push."""
    pushed = ledger.add("code.pushed", "repo", {"sha": str(number)}, actor=PERSON)
    rule = ledger.rule("release", leads_to=["pipeline-ci"], on="code.pushed", origin="template")
    ledger.add("pipeline_version.released", f"p@{number}", {}, cause=ledger.fire(rule, pushed))


def _touch_inside(ledger: LedgerBuilder, gate: Event) -> None:
    """Lay hands on the last run or deployment while it was on its way."""
    for event in reversed(ledger.events):
        if event.type in ("run.started", "deployment.started"):
            ledger.add(
                "touch.recorded",
                event.subject,
                {"target": event.subject, "kind": "param_edit"},
                actor=PERSON,
                time=event.at,
                recordedtime=event.at,
            )
            return
    raise AssertionError(gate)


def measure(events: list[Event], at: datetime) -> list[LevelReport]:
    """Return the reports of all shipped policies."""
    history = History()
    history.fold(events)
    return [measure_level(history, PIPELINE, policy, as_of=at) for policy in POLICIES]


def levels(ledger: LedgerBuilder) -> list[int]:
    """Return the levels by all shipped policies, a while after the last event."""
    return [report.level for report in measure(ledger.events, ledger.now + timedelta(hours=1))]


@settings(max_examples=150, deadline=None)
@given(
    plan=nearly_automated(),
    reversals=st.frozensets(st.integers(0, 5)),
    where=st.tuples(st.integers(0, 7), st.integers(0, 5)),
    how=st.sampled_from(STARTS[1:]),
)
@example(plan=[AUTOMATED] * 3, reversals=frozenset({1}), where=(1, 1), how="person")
def test_replacing_automation_never_raises_a_level(
    plan: list[tuple[str, ...]], reversals: frozenset[int], where: tuple[int, int], how: str
) -> None:
    """Whatever an automated piece of work is replaced with, no level is higher afterwards."""
    week, work = where[0] % len(plan), where[1]
    changed = [list(starts) for starts in plan]
    changed[week][work] = how
    before = [*plan]
    before[week] = (*plan[week][:work], "rule", *plan[week][work + 1 :])
    after = levels(write([tuple(starts) for starts in changed], reversals=reversals))
    assert all(a <= b for a, b in zip(after, levels(write(before, reversals=reversals)), strict=True))


@settings(max_examples=60, deadline=None)
@given(plan=weeks | nearly_automated(), picks=st.lists(st.integers(0, 10_000), max_size=20))
def test_redelivery_changes_nothing(plan: list[tuple[str, ...]], picks: list[int]) -> None:
    """Events that arrive again, anywhere in the stream, change no part of the report."""
    ledger = write(plan)
    again = [ledger.events[pick % len(ledger.events)] for pick in picks]
    at = ledger.now + timedelta(hours=1)
    assert measure([*ledger.events, *again], at) == measure(ledger.events, at)


@settings(max_examples=60, deadline=None)
@given(plan=weeks | nearly_automated(), delays=st.lists(st.integers(0, 3500), min_size=7, max_size=31))
def test_order_of_arrival_changes_nothing(plan: list[tuple[str, ...]], delays: list[int]) -> None:
    """Events that arrive within the hour, in any order, give the same report but for their places."""
    ledger = write(plan)
    last = ledger.events[-1].at
    arrivals = [event.at + timedelta(seconds=delays[event.seq % len(delays)]) for event in ledger.events]
    arrived = sorted(zip(arrivals, ledger.events, strict=True), key=lambda pair: pair[0])
    shuffled = [_recorded(event, at=at, seq=seq) for seq, (at, event) in enumerate(arrived, start=1)]
    at = last + timedelta(hours=2)
    assert [_facts(r) for r in measure(shuffled, at)] == [_facts(r) for r in measure(_prompt(ledger.events), at)]


@settings(max_examples=80, deadline=None)
@given(plan=weeks | nearly_automated(), pick=st.integers(0, 10_000), actor=st.sampled_from(["human", "automation"]))
@example(plan=[*[AUTOMATED] * 2, ("person", *AUTOMATED[1:])], pick=-2, actor="human")
def test_unknown_never_raises_a_level(plan: list[tuple[str, ...]], pick: int, actor: str) -> None:
    """Taking away what is known about an actor raises no level, whichever event it is."""
    ledger = write(plan, reversals=frozenset({1}))
    before = levels(ledger)
    known = [number for number, event in enumerate(ledger.events) if event.actor_class == actor]
    index = known[pick % len(known)]
    event = ledger.events[index]
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    ledger.events[index] = Event(**(values | {"authtype": "unknown", "authclaims": {}}))
    assert all(after <= earlier for after, earlier in zip(levels(ledger), before, strict=True))


def _recorded(event: Event, *, at: datetime, seq: int) -> Event:
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    return Event(**(values | {"recordedtime": at, "seq": seq}))


def _prompt(events: list[Event]) -> list[Event]:
    """Return the events as recorded the moment they happened, so that none is flagged."""
    return [_recorded(event, at=event.at, seq=event.seq) for event in events]


def _facts(report: LevelReport) -> dict[str, object]:
    """Return a report without the places in the ledger."""
    return {name: getattr(report, name) for name in report.__struct_fields__ if name != "seq"}


def test_plans_reach_the_levels_that_the_properties_are_about() -> None:
    """Automated weeks are at the top of each scale but one, so that a fall can be seen."""
    assert levels(write([AUTOMATED] * 4)) == [4, 3, 2, 2, 4]
    for how in STARTS[1:]:
        fallen = levels(write([AUTOMATED, (how,) * len(WORK), AUTOMATED]))
        assert fallen != levels(write([AUTOMATED] * 3)), how
