"""What is kept of transitions says what the events say, however they came in."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ratchet.measure.history import History
from ratchet.measure.incidents.candidates import Ground
from ratchet.measure.initiators import Mode
from ratchet.measure.kpis.automation import STAGES as KPI_STAGES
from ratchet.measure.kpis.automation import level_bucket, sample
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import Policy, parse, shipped
from ratchet.measure.projection import Fold, fold_name, standings
from ratchet.measure.sampled import Recent, Sample, read_sampled
from ratchet.measure.standings import Standing, standing_of
from ratchet.measure.transitions import Transition, transitions
from ratchet.records import Event
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.projections import Projections
from tests.ledgers import PERSON, LedgerBuilder
from tests.rows import write_rows

POLICIES = [shipped(name) for name in ("standard", "strict", "manual-semi-full", "google-0-2", "microsoft-0-4")]
STAGES = POLICIES[2].stages
TEXT = (
    'policy = "n"\ndefaults = {{ {0} }}\n[[level]]\nid = 1\nname = "T"\nall = [{{ stage = "{1}", measure = "init" }}]\n'
)
FEW = parse(TEXT.format('N = 4, W = "30d", theta = 0.6, approval = "neutral"', "deploy").encode(), where="n.toml")
FIRM = parse(TEXT.format('evidence_min = "native"', "train").encode(), where="n.toml")


Told = tuple[dict[tuple[str, str], list[tuple[str, str]]], dict[tuple[str, str], str]]


class Site:
    """A database with a ledger that grows, folded now and then."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(sqlite_url(folder / "ratchet.db"))
        migrations.migrate(self.database)
        self.kept = Projections(self.database, name=fold_name(STAGES))
        self.fold = Fold(self.kept, STAGES)
        self.recent = Recent()
        self.events: list[Event] = []

    def add(self, events: list[Event]) -> None:
        """Write events behind those that are there; each gets the next place."""
        start = len(self.events)
        placed = [replace(event, seq=start + number) for number, event in enumerate(events, start=1)]
        write_rows(self.database, placed)
        self.events += placed

    def standings(self, policy: Policy, at: timedelta = timedelta(hours=1)) -> dict[str, Standing]:
        """Return where pipelines stand a while after the last event, from what is kept."""
        self.fold.catch_up(self.now)
        found, open_ = standings(self.kept, policy, at=self.now + at)
        assert open_ == []
        return {one.pipeline: one for one in found}

    def measured(self, policy: Policy, at: timedelta = timedelta(hours=1)) -> dict[str, Standing]:
        """Return the same from the events."""
        history = History()
        history.fold(self.events)
        when = self.now + at
        return {
            name: standing_of(measure_level(history, name, policy, as_of=when)) for name in sorted(history.pipelines)
        }

    def sampled(self, at: datetime) -> Told:
        """Return the samples and levels of all pipelines from what is kept; none may be left open."""
        self.fold.catch_up(self.now)
        seq = len(self.events)
        found = read_sampled(
            self.kept, POLICIES[:2], by=POLICIES[0], stages=KPI_STAGES, at=at, seq=seq, recent=self.recent
        )
        names = {event.pipeline for event in self.events} - {""}
        samples = {(name, stage): found.sample(name, stage) or Sample() for name in names for stage in KPI_STAGES}
        return _sorted(samples), {(name, p.name): str(found.bucket(name, p)) for name in names for p in POLICIES[:2]}

    def reports(self, at: datetime) -> list[str]:
        """Return the pipelines whose full report differs where transitions that were read before are taken over."""
        self.fold.catch_up(self.now)
        found = read_sampled(
            self.kept, POLICIES[:2], by=POLICIES[0], stages=KPI_STAGES, at=at, seq=len(self.events), recent=self.recent
        )
        history = History()
        history.fold(self.events)
        return [
            name
            for name in history.pipelines
            for policy in POLICIES[:2]
            if measure_level(history, name, policy, as_of=at, known=found.transitions(name))
            != measure_level(history, name, policy, as_of=at)
        ]

    def sampled_from_events(self, at: datetime) -> Told:
        """Return the same from the events."""
        facts = Facts(History())
        facts.fold(self.events)
        question = Question(facts.as_of(at), Settings(), policies=POLICIES[:2])
        names = facts.history.pipelines
        samples = {(name, stage): sample(question, name, stage) for name in names for stage in KPI_STAGES}
        buckets = {(name, p.name): level_bucket(question, name, p) for name in names for p in POLICIES[:2]}
        return _sorted(samples), buckets

    def modes(self, at: datetime) -> tuple[dict[str, Mode | None], dict[str, Mode | None]]:
        """Return the modes of deployments that are kept, and those that the events give for the same ones."""
        self.fold.catch_up(self.now)
        seq = len(self.events)
        found = read_sampled(self.kept, (), by=POLICIES[0], stages=KPI_STAGES, at=at, seq=seq)
        facts = Facts(History())
        facts.fold(self.events)
        ground = Ground(facts.as_of(at).snapshot)
        shifts = {one: shift for one, shift in ground.shifts.items() if found.mode_of_deployment(shift.event.seq)}
        assert len(shifts) == len({one.event_id for one in self._deployments(at)})
        kept = {one: found.mode_of_deployment(shift.event.seq) for one, shift in shifts.items()}
        return kept, {one: ground.mode_of_shift(shift) for one, shift in shifts.items()}

    def _deployments(self, at: datetime) -> list[Transition]:
        history = History()
        history.fold(self.events)
        snapshot = history.as_of(at)
        return [one for name in history.pipelines for one in transitions(snapshot, name, "deploy")]

    @property
    def now(self) -> datetime:
        """Return when the last event was recorded."""
        return max(event.recordedtime for event in self.events if event.recordedtime)


def _sorted(samples: dict[tuple[str, str], Sample]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    return {key: sorted(zip(one.event_ids, one.modes, strict=True)) for key, one in samples.items()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give an empty database."""
    site = Site(tmp_path)
    yield site
    site.database.close()


def year(*, pipeline: str = "flight-delay", weeks: int = 5) -> LedgerBuilder:
    """Return some weeks of automated work with a few flaws."""
    ledger = LedgerBuilder(pipeline=pipeline)
    ledger.declare(cadence_days=7, na={"features": "none"})
    for week in range(weeks):
        ledger.automated_week()
        if week == 1:
            ledger.deploy(ledger.command("promote"), next(e for e in ledger.events if e.type == "gate.evaluated"))
        if week == 2:
            ledger.train(ledger.tick(ledger.rule("yearly", leads_to=["train"], cron="0 3 1 1 *")))
    ledger.own_rule_at_work()
    return ledger


@pytest.mark.parametrize("policy", [*POLICIES, FEW, FIRM], ids=lambda policy: policy.name)
def test_kept_is_what_the_events_say(site: Site, policy: Policy) -> None:
    """The standing from the table is that of the full report, by every policy."""
    site.add(year().events)
    assert site.standings(policy) == site.measured(policy)


def test_each_event_alone_gives_the_same_as_all_at_once(site: Site) -> None:
    """Folded after each few events, what is kept is always what the events say."""
    events = year(weeks=4).events
    for start in range(0, len(events), 17):
        site.add(events[start : start + 17])
        for policy in POLICIES[:2]:
            assert site.standings(policy) == site.measured(policy)


def test_a_first_firing_counts_once_its_rule_fires_again(site: Site) -> None:
    """A rule that fired once is a person's hand, and the same row is automation when it fires again."""
    ledger = LedgerBuilder()
    for number in range(3):
        own = ledger.rule(f"mine {number}", leads_to=["train"], on="dataset.version.published")
        published = ledger.add("dataset.version.published", "flights", {"digest": str(number)})
        ledger.train(ledger.fire(own, published))
    site.add(ledger.events)
    assert site.standings(POLICIES[0])["flight-delay"].level == 0
    before = len(ledger.events)
    for number in range(3):
        published = ledger.add("dataset.version.published", "flights", {"digest": f"again {number}"})
        ledger.fire(ledger.rule(f"mine {number}", leads_to=["train"]), published)
    site.add(ledger.events[before:])
    assert site.standings(POLICIES[0])["flight-delay"].level == 1
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])


def test_a_rule_of_no_pipeline_that_fires_elsewhere_counts(site: Site) -> None:
    """Where a rule that belongs to no pipeline fires for another one, the first one's rows follow."""
    ledger = LedgerBuilder()
    for _ in range(3):
        own = ledger.rule(f"everyone {len(ledger.events)}", leads_to=["train"], on="dataset.version.published")
        ledger.events[own.seq - 1] = replace(own, pipeline="")
        published = ledger.add("dataset.version.published", "flights", {"digest": str(len(ledger.events))})
        ledger.train(ledger.fire(own, published, pipeline=""))
    site.add(ledger.events)
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])
    assert site.standings(POLICIES[0])["flight-delay"].level == 0
    other = LedgerBuilder(pipeline="other")
    other.now = ledger.now
    other.events = list(ledger.events)
    for event in [e for e in ledger.events if e.type == "rule.fired"]:
        published = other.add("dataset.version.published", "other", {"digest": f"o{event.id}"})
        other.fire(_rule_of(ledger, event), published)
    site.add(other.events[len(ledger.events) :])
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])
    assert site.standings(POLICIES[0])["flight-delay"].level == 1


def _rule_of(ledger: LedgerBuilder, fired: Event) -> Event:
    return next(e for e in ledger.events if e.type == "rule.created" and e.subject == fired.subject)


def test_a_cause_that_comes_late_changes_the_rows_that_waited_for_it(site: Site) -> None:
    """A chain that was broken is read again when its cause arrives, even if that belongs to no pipeline."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    ticks = [event for event in ledger.events if event.type == "clock.ticked"]
    site.add([event for event in ledger.events if event not in ticks])
    assert site.standings(POLICIES[0])["flight-delay"].level == 0
    site.add([replace(event, recordedtime=ledger.now, pipeline="") for event in ticks])
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])
    assert site.standings(POLICIES[0])["flight-delay"].level == 1


def test_a_success_of_no_pipeline_counts_for_the_rule_that_fired(site: Site) -> None:
    """A rule of the team's own has worked as soon as its success is recorded, whichever pipeline that names."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    ledger.own_rule_at_work()
    successes = [event for event in ledger.events if event.type == "rule.action.succeeded"]
    site.add([event for event in ledger.events if event not in successes])
    assert site.standings(POLICIES[0])["flight-delay"].level == 3
    site.add([replace(event, pipeline="") for event in successes])
    assert site.standings(POLICIES[0])["flight-delay"].level == 4
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])


def test_a_touch_of_no_pipeline_reaches_its_target(site: Site) -> None:
    """An override that an importer reports without a pipeline changes the deployment that it names."""
    ledger = LedgerBuilder()
    for _ in range(3):
        ledger.automated_week()
    site.add(ledger.events)
    assert site.standings(POLICIES[0])["flight-delay"].level == 3
    last = [event for event in ledger.events if event.type == "traffic.shifted"][-1]
    touch = ledger.touch(str(last.data["deployment_id"]), "override", actor=PERSON)
    at = last.at + timedelta(hours=2)
    site.add([replace(touch, pipeline="", time=at, recordedtime=at)])
    assert site.standings(POLICIES[0])["flight-delay"].level == 1
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])


def test_stale_and_asked_for_are_seen_without_events(site: Site) -> None:
    """A stage that fell silent after a rule asked for it is stale in the table, too, at every later moment."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    ledger.wait(days=50)
    ledger.tick(ledger.weekly())
    site.add(ledger.events)
    for days in (0, 5, 40, 90, 130, 400):
        for policy in POLICIES:
            at = timedelta(days=days)
            assert site.standings(policy, at) == site.measured(policy, at), (days, policy.name)


def test_old_live_model_makes_its_training_stale(site: Site) -> None:
    """What was promised about the age of the live model is remembered in the table."""
    site.add(year(weeks=4).events)
    for days in (0, 20, 31, 45, 70):
        at = timedelta(days=days)
        assert site.standings(POLICIES[0], at) == site.measured(POLICIES[0], at), days


def test_a_policy_whose_window_decides_about_a_schedule_is_left_open(site: Site) -> None:
    """Where a rule's coming again depends on the window, the table does not answer for a policy with another one."""
    ledger = LedgerBuilder()
    ledger.train(ledger.tick(ledger.rule("quarterly", leads_to=["train"], cron="0 3 1 */2 *")))
    site.add(ledger.events)
    site.fold.catch_up(site.now)
    short = parse(TEXT.format('W = "30d"', "train").encode(), where="n.toml")
    assert standings(site.kept, short, at=site.now) == ([], ["flight-delay"])
    assert len(standings(site.kept, POLICIES[0], at=site.now)[0]) == 1


def test_nothing_new_folds_nothing(site: Site) -> None:
    """Asked again, nothing is folded; only the pipelines that something happened to are."""
    site.add(year(pipeline="a", weeks=1).events)
    more = [replace(e, id=f"b{e.id}", causationid=f"b{e.causationid}" if e.causationid else "")
            for e in year(pipeline="b", weeks=1).events]  # fmt: skip
    site.add(more)
    assert site.fold.catch_up(site.now) == 2
    assert site.fold.catch_up(site.now) == 0
    site.add([replace(site.events[0], id="new", pipeline="b", time=site.now, recordedtime=site.now)])
    assert site.fold.catch_up(site.now) == 1


def test_another_version_of_the_fold_starts_over(site: Site) -> None:
    """Rows of another version of the fold are thrown away, and come again."""
    site.add(year(weeks=2).events)
    site.fold.catch_up(site.now)
    other = Projections(site.database, name="transitions/0")
    assert other.cursor() == 0
    other.start_over()
    assert site.kept.facts() == {}
    assert site.standings(POLICIES[0]) == site.measured(POLICIES[0])


def test_one_pipeline_alone_gives_its_full_report(site: Site) -> None:
    """The history of one pipeline, read alone, gives the report that all events give."""
    site.add(year().events)
    whole = History()
    whole.fold(site.events)
    alone = site.fold.history("flight-delay")
    for policy in POLICIES:
        reports = [measure_level(h, "flight-delay", policy, as_of=site.now) for h in (alone, whole)]
        assert replace(reports[0], seq=0) == replace(reports[1], seq=0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 400), max_size=4),
    people=st.sets(st.integers(0, 400), max_size=6),
)
def test_any_order_and_any_cuts_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, order: Random, cuts: list[int], people: set[int]
) -> None:
    """Events that arrive in any order within the hour, folded at any places, leave what the events say."""
    events = year(weeks=3).events
    arrived = sorted(events, key=lambda event: event.at + timedelta(minutes=order.randint(0, 50)))
    strangers = {number % len(arrived) for number in people}
    changed = [
        replace(event, authtype="user", authclaims={}) if number in strangers else event
        for number, event in enumerate(arrived)
    ]
    latest = changed[0].at
    recorded = []
    for event in changed:
        latest = max(latest, event.at)
        recorded.append(replace(event, recordedtime=latest))
    site = Site(tmp_path_factory.mktemp("order"))
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(recorded)], strict=True):
        if recorded[start:end]:
            site.add(recorded[start:end])
            for hours in (0, 30):
                assert site.reports(site.now + timedelta(hours=hours)) == []
    for policy in POLICIES[:2]:
        assert site.standings(policy) == site.measured(policy)
    for days in (0, 20, 200):
        at = site.now + timedelta(days=days, hours=1)
        assert site.sampled(at) == site.sampled_from_events(at)
        kept, read = site.modes(at)
        assert kept == read
    site.database.close()
