"""The acceptance cases of the shipped level policies, and what a report says."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from ratchet.measure.gaps import configured_level
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.policies import Policy, parse, shipped
from tests.ledgers import LAPTOP, PIPELINE, LedgerBuilder

STANDARD, STRICT = shipped("standard"), shipped("strict")


def measure(ledger: LedgerBuilder, policy: Policy = STANDARD) -> LevelReport:
    """Return the level at the ledger's present."""
    return measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now)


def status(report: LevelReport, stage: str) -> str:
    """Return how a stage's criterion of a level came out."""
    return next(r.status for level in report.levels for r in level.results if r.criterion.stage == stage)


def test_no_events_is_level_0() -> None:
    """A pipeline that nothing is known about is at level 0, for lack of evidence."""
    report = measure(LedgerBuilder())
    assert (report.level, report.seq, status(report, "train")) == (0, 0, "insufficient")


def test_two_trainings_are_insufficient() -> None:
    """Two automated trainings give level 0, shown as insufficient and not as a bad share."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    report = measure(ledger)
    assert (report.level, status(report, "train")) == (0, "insufficient")
    assert report.explanation == (
        "Level 1 (Training automated) is not reached: "
        "Within 180 days there were 2 trainings, and at least 3 are needed to say anything."
    )


def test_a_want_of_evidence_is_told_from_a_finding() -> None:
    """Level 0 is a finding once enough was seen; with too little it is none."""
    ledger = LedgerBuilder()
    assert measure(ledger).is_insufficient
    for _ in range(3):
        ledger.train(ledger.command())
    assert (measure(ledger).level, measure(ledger).is_insufficient) == (0, False)


def test_no_training_says_what_counts_and_what_was_left_out() -> None:
    """Whoever trained without a gate learns why it is no training."""
    ledger = LedgerBuilder()
    ledger.train(ledger.command(), candidate=False)
    assert measure(ledger).explanation.endswith(
        "there were 0 trainings, and at least 3 are needed to say anything. A training counts when its run ended well "
        "and a gate judged its candidate. Left out: 1 without a candidate."
    )


def test_what_does_not_count_says_why() -> None:
    """Of the trainings that do not count each kind is named, and those that count are not."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    for _ in range(3):
        ledger.train(ledger.command())
    ledger.train(ledger.command(actor=LAPTOP))
    assert measure(ledger).explanation.endswith(
        "2 of the last 6 trainings were started by automation (33%); 80% is asked for. "
        "Not counted: 3 started by a person, 1 started by nobody who is known."
    )


def test_one_time_is_once() -> None:
    """What is asked for is a sentence for people."""
    sentences = [result.sentence for level in measure(LedgerBuilder(), STRICT).levels for result in level.results]
    assert any("closed 0 times with no person in it, and once is asked for." in sentence for sentence in sentences)


def test_what_is_known_too_weakly_says_so() -> None:
    """Automated trainings of another system do not count where the policy asks for our own record."""
    ledger = LedgerBuilder()
    weekly = ledger.weekly()
    for _ in range(3):
        slot = ledger.add("clock.ticked", weekly.subject, evidence="imported", trigger="schedule")
        ledger.train(ledger.fire(weekly, slot))
    assert measure(ledger).level == 1
    report = measure(ledger, replace(STANDARD, evidence_min="native"))
    assert report.explanation.endswith("Not counted: 3 known only as imported.")


def test_three_trainings_are_level_1() -> None:
    """Three automated trainings give level 1."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    report = measure(ledger)
    assert (report.level, report.name, report.label) == (1, "Training automated", "1")
    assert report.weakest_evidence == "native"


def test_three_quarters_are_not_enough() -> None:
    """15 automated and 5 hand-started trainings give level 0, and the report names the five."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=15)
    by_hand = []
    for _ in range(5):
        ledger.train(ledger.command())
        by_hand.append(next(e.id for e in reversed(ledger.events) if e.type == "run.finished"))
        ledger.wait(days=1)
    report = measure(ledger)
    result = report.levels[0].results[0]
    assert (report.level, result.status, result.k, result.n, result.share) == (0, "not met", 15, 20, 0.75)
    assert result.failing == tuple(by_hand)
    assert report.profile["train"].modes == {"auto": 15, "assisted": 5}
    assert "15 of the last 20 trainings were started by automation (75%); 80% is asked for" in report.explanation


def test_four_fifths_are_enough() -> None:
    """A share of exactly 80 % is met."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=4)
    ledger.train(ledger.command())
    assert measure(ledger).level == 1


def deployed_by_button() -> LedgerBuilder:
    """Return weekly trainings, each deployed by a person at a button."""
    ledger = LedgerBuilder()
    rule = ledger.weekly()
    for _ in range(20):
        gate = ledger.train(ledger.tick(rule))
        ledger.deploy(ledger.command("promote"), gate)
        ledger.wait(days=7)
    return ledger


def test_buttons_are_level_2_in_standard_and_1_in_strict() -> None:
    """20 deployments by a button count as carried out by automation in standard, and not in strict."""
    ledger = deployed_by_button()
    assert measure(ledger).level == 2
    assert measure(ledger, STRICT).level == 1
    assert measure(ledger).profile["deploy"].modes == {"assisted": 20}


def automated(*, weeks: int = 4) -> LedgerBuilder:
    """Return some weeks in which no person did anything."""
    ledger = LedgerBuilder()
    for _ in range(weeks):
        ledger.automated_week()
    return ledger


def test_everything_automated_without_own_rule_is_level_3() -> None:
    """Shipped rules alone give level 3."""
    report = measure(automated())
    assert report.level == 3
    assert report.explanation.startswith("Level 4 (Own automation) is not reached: 0 of the team's own rules fired")


def test_own_rule_fired_twice_is_level_4() -> None:
    """A rule of the team's own that fired twice and succeeded gives level 4; strict waits for the loop."""
    ledger = automated()
    ledger.own_rule_at_work(times=1)
    assert measure(ledger).level == 3
    ledger.own_rule_at_work(times=1)
    assert measure(ledger).level == 4
    assert measure(ledger).explanation == ""
    strict = measure(ledger, STRICT)
    assert (strict.level, strict.blocking[0].criterion.measure) == (3, "loop_closure")


def test_closed_loop_is_level_4_in_strict() -> None:
    """Once the loop has closed by itself, strict gives level 4 as well."""
    ledger = automated()
    ledger.own_rule_at_work()
    close_the_loop(ledger)
    report = measure(ledger, STRICT)
    assert (report.level, len(report.closures)) == (4, 1)


def close_the_loop(ledger: LedgerBuilder) -> None:
    """Let an alert lead to live traffic, by rules only."""
    evaluated = ledger.monitor(ledger.tick(ledger.rule("watch", leads_to=["monitor"], cron="0 4 * * *")))
    alert = ledger.add("monitor.alert.raised", "drift", {"score": 0.3}, cause=evaluated)
    rule = ledger.rule("react", leads_to=["sample", "train"], on="monitor.alert.raised", origin="template")
    dataset = ledger.dataset(ledger.label(ledger.sample(ledger.fire(rule, alert))))
    gate = ledger.train(dataset)
    ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)


def without_labels(**declared: object) -> LedgerBuilder:
    """Return automated weeks in which no outcome ever arrived."""
    ledger = automated()
    ledger.declare(**declared)
    ledger.own_rule_at_work()
    ledger.events = [e for e in ledger.events if e.type != "feedback.joined"]
    samples = {e.id: e for e in ledger.events if e.type == "sample.taken"}
    ids = iter(samples)
    for index, event in enumerate(ledger.events):
        if event.type == "dataset.generated":
            values = {name: getattr(event, name) for name in event.__struct_fields__}
            ledger.events[index] = type(event)(**(values | {"causationid": next(ids)}))
    return ledger


def test_missing_labels_are_level_2_and_named() -> None:
    """Without labels the level stays at 2, and the report says that labels are insufficient."""
    report = measure(without_labels())
    assert (report.level, status(report, "label")) == (2, "insufficient")
    assert [r.criterion.stage for r in report.blocking] == ["label"]


def test_labels_declared_not_to_apply_are_level_4() -> None:
    """A stage declared not to apply, with a reason, does not hold the level up; without a reason it does."""
    report = measure(without_labels(na={"label": "outcomes come with the data"}))
    assert (report.level, status(report, "label")) == (4, "n/a")
    assert report.not_applicable == {"label": "outcomes come with the data"}
    assert measure(without_labels(na={"label": " "})).level == 2


def test_stage_that_may_not_be_left_out_is_not() -> None:
    """A stage that the policy does not list cannot be declared away."""
    ledger = LedgerBuilder()
    ledger.declare(na={"train": "we never train"})
    assert (measure(ledger).level, status(measure(ledger), "train")) == (0, "insufficient")


def test_training_by_hand_and_the_rest_automated_is_level_0_with_profile() -> None:
    """With trainings by hand the level is 0, and the profile shows what is automated all the same."""
    ledger = LedgerBuilder()
    for _ in range(3):
        gate = ledger.train(ledger.command())
        ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)
        ledger.wait(days=7)
    report = measure(ledger)
    assert report.level == 0
    assert report.profile["train"].init.status == "not met"
    assert report.profile["train"].exec.status == "met"
    assert report.profile["evaluate"].init.status == "met"
    assert report.profile["deploy"].init.status == "met"


def test_bypassed_gates_cost_twice() -> None:
    """A deployment past its gate is overridden, and did not pass a gate either."""
    ledger = LedgerBuilder()
    for _ in range(3):
        gate = ledger.train(ledger.tick(ledger.weekly()), decision="fail")
        ledger.deploy(ledger.bypass(gate), gate)
        ledger.wait(days=7)
    report = measure(ledger)
    assert report.profile["deploy"].modes == {"overridden": 3}
    assert [r.status for r in report.levels[1].results] == ["not met"] * 3


def test_gate_must_have_seen_the_very_artifact() -> None:
    """A deployment whose artifact no gate has seen counts as not gated, whatever its version is called."""
    ledger = LedgerBuilder()
    for number in range(3):
        gate = ledger.train(ledger.tick(ledger.weekly()))
        ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate, digest=f"other-{number}")
        ledger.wait(days=7)
    report = measure(ledger)
    gate_result = report.levels[1].results[2]
    assert (report.level, gate_result.status, gate_result.k) == (1, "not met", 0)


def gated() -> LedgerBuilder:
    """Return deployments by rule that each waited for a required approval."""
    ledger = LedgerBuilder()
    approved = ledger.rule("deploy when approved", leads_to=["deploy"], on="approval.closed", origin="template")
    for _ in range(4):
        gate = ledger.train(ledger.tick(ledger.weekly()))
        closed = ledger.approve(ledger.fire(ledger.release_rule(), gate))
        ledger.deploy(ledger.fire(approved, closed), gate)
        ledger.wait(days=7)
    return ledger


def test_gated_deployments_are_level_2g() -> None:
    """Required approvals keep the level in standard, shown as 2g; in strict they are a person's start."""
    report = measure(gated())
    assert (report.level, report.label, report.approvals, report.rubber_stamps) == (2, "2g", 4, 0)
    assert measure(gated(), STRICT).level == 1


def test_neutral_approvals_leave_the_sample() -> None:
    """Where approvals are neutral, gated deployments neither count nor weigh."""
    text = (
        'policy = "n"\ndefaults = { approval = "neutral" }\n[[level]]\nid = 1\nname = "D"\n'
        'all = [{ stage = "deploy", measure = "init" }]\n'
    )
    report = measure(gated(), parse(text.encode(), where="n.toml"))
    assert (report.levels[0].results[0].n, report.levels[0].results[0].status) == (0, "insufficient")


def test_evidence_outside_the_window_does_not_count() -> None:
    """Trainings older than the window are no evidence, unless the declared cadence widens it."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    ledger.wait(days=200)
    assert status(measure(ledger), "train") == "insufficient"
    ledger.declare(cadence_days=90)
    assert measure(ledger).levels[0].results[0].n == 3


def test_only_the_most_recent_twenty_count() -> None:
    """Old sins are forgotten once twenty better transitions followed."""
    ledger = LedgerBuilder()
    for _ in range(30):
        ledger.train(ledger.command())
    ledger.scheduled_training(weeks=20)
    result = measure(ledger).levels[0].results[0]
    assert (result.k, result.n, measure(ledger).level) == (20, 20, 1)


def test_silence_after_a_rule_asked_is_stale() -> None:
    """Evidence is stale when the stage has been quiet for long although an enabled rule asked for it."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    ledger.wait(days=60)
    assert status(measure(ledger), "train") == "met"
    ledger.tick(ledger.weekly())
    report = measure(ledger)
    assert (report.level, status(report, "train")) == (0, "stale")
    assert "the rule 'retrain weekly' asked for one since" in report.explanation


def test_silence_with_a_model_older_than_promised_is_stale() -> None:
    """Evidence is stale when the live model has grown older than its declared cadence."""
    ledger = automated()
    ledger.declare(cadence_days=7)
    assert measure(ledger).level == 3
    ledger.wait(days=60)
    report = measure(ledger)
    assert (report.level, status(report, "train")) == (0, "stale")
    assert "where 7 were promised" in report.explanation


def test_levels_of_the_past_stay_as_they_were() -> None:
    """The level as of a moment is read from what was recorded until then, whatever came later."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    then = ledger.now
    before = measure_level(ledger.history(), PIPELINE, STANDARD, as_of=then)
    for _ in range(20):
        ledger.train(ledger.command())
        ledger.wait(days=1)
    history = ledger.history()
    assert measure_level(history, PIPELINE, STANDARD, as_of=then) == before
    assert measure_level(history, PIPELINE, STANDARD, as_of=ledger.now).level == 0


def test_declared_and_unknown_evidence_never_counts() -> None:
    """Runs that a stranger's token posted stay in the sample and count for nothing."""
    ledger = LedgerBuilder()
    for _ in range(3):
        rule = ledger.weekly()
        queued = ledger.train(ledger.tick(rule), actor=LAPTOP)
        assert queued.type == "gate.evaluated"
    report = measure(ledger)
    assert report.profile["train"].modes == {"unknown": 3}
    assert (report.level, report.levels[0].results[0].status) == (0, "not met")


@pytest.mark.parametrize(("rules", "expected"), [((), 0), (("train",), 1), (("train", "deploy"), 2)])
def test_configured_level_is_what_enabled_rules_would_give(rules: tuple[str, ...], expected: int) -> None:
    """The configured level follows from the stages that enabled rules lead to."""
    ledger = LedgerBuilder()
    for stage in rules:
        ledger.rule(f"automate {stage}", leads_to=[stage], origin="template")
    assert configured_level(ledger.history(), PIPELINE, STANDARD, as_of=ledger.now) == expected


def test_configured_level_falls_when_a_rule_is_switched_off() -> None:
    """A rule that is switched off gives nothing any more."""
    ledger = LedgerBuilder()
    rule = ledger.rule("automate train", leads_to=["train"], origin="template")
    ledger.toggle(rule, is_enabled=False)
    assert configured_level(ledger.history(), PIPELINE, STANDARD, as_of=ledger.now) == 0


def test_backdated_transitions_are_flagged_and_ordered_by_recording() -> None:
    """A training that claims another day counts when it was recorded, and the profile names it."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=3)
    run = next(e for e in ledger.events if e.type == "run.finished")
    shifted = {"time": run.at - timedelta(days=300)}
    values = {name: getattr(run, name) for name in run.__struct_fields__}
    ledger.events[run.seq - 1] = type(run)(**(values | shifted))
    report = measure(ledger)
    assert (report.level, report.profile["train"].backdated) == (1, (run.id,))
