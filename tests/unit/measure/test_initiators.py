"""Who started a transition and in which mode it ran, case by case, and the ways to cheat that do not work."""

from datetime import timedelta

import pytest

from ratchet.measure.initiators import acting_class, mode_of
from ratchet.measure.transitions import Transition, transitions
from ratchet.records import Actor, Event
from tests.ledgers import ENGINE, LAPTOP, PERSON, PIPELINE, LedgerBuilder


def read(ledger: LedgerBuilder, stage: str) -> list[Transition]:
    """Return the transitions of a stage at the ledger's present."""
    return transitions(ledger.history().as_of(ledger.now), PIPELINE, stage)


def modes(ledger: LedgerBuilder, stage: str) -> list[str]:
    """Return the modes of a stage's transitions."""
    return [transition.mode for transition in read(ledger, stage)]


def edit(ledger: LedgerBuilder, event: Event, **fields: object) -> Event:
    """Change an event that was written already."""
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    ledger.events[event.seq - 1] = Event(**(values | fields))
    return ledger.events[event.seq - 1]


def last(ledger: LedgerBuilder, type_: str) -> Event:
    """Return the last event of a type."""
    return next(event for event in reversed(ledger.events) if event.type == type_)


# ---- who started it


def test_schedule_is_automation() -> None:
    """A training by a recurring rule is automatic, and names the rule."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    (training,) = read(ledger, "train")
    assert (training.mode, training.root_class, training.rule_id) == ("auto", "automation", "retrain weekly")


def test_command_is_its_credential() -> None:
    """A button, pressed or called with curl, is a person's; a CI job's own token is automation."""
    ledger = LedgerBuilder()
    ledger.train(ledger.command())
    ledger.train(ledger.command(actor=Actor(authtype="api_key", claims={"person": True})))
    ledger.train(ledger.command(actor=Actor(authtype="service_account", claims={"minted_by": "oidc"})))
    ledger.train(ledger.command(actor=LAPTOP))
    assert modes(ledger, "train") == ["assisted", "assisted", "auto", "unknown"]


def test_evaluation_after_training_by_hand_is_automatic() -> None:
    """The chain leaves the stage at the training, so whoever started that did not start the evaluation."""
    ledger = LedgerBuilder()
    ledger.train(ledger.command())
    assert modes(ledger, "evaluate") == ["auto"]


def test_deployment_is_started_by_who_requested_it() -> None:
    """The smoke test before the shift of traffic belongs to the deployment: the walk goes on to its request."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    ledger.deploy(ledger.command("promote"), gate)
    (deployment,) = read(ledger, "deploy")
    assert (deployment.mode, deployment.root_event) == ("assisted", last(ledger, "command.issued").id)


def test_person_publishes_data_and_a_rule_trains() -> None:
    """What a person did in another stage belongs there: the training is automatic."""
    ledger = LedgerBuilder()
    rule = ledger.rule("train on data", leads_to=["train"], on="dataset.version.published", origin="template")
    data = ledger.add("dataset.version.published", "flights@v1", {"digest": "d"}, cause=ledger.command())
    ledger.train(ledger.fire(rule, data))
    assert (modes(ledger, "train"), modes(ledger, "data")) == (["auto"], ["assisted"])


def test_person_moves_champion_and_rule_deploys() -> None:
    """An act of promotion is part of the deployment, so the walk looks through the rule at the person."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    rule = ledger.rule("follow champion", leads_to=["deploy"], on="custom.emitted", origin="template")
    data = {"name": "alias.moved", "declared_signal": True}
    moved = ledger.add("custom.emitted", "champion", data, actor=PERSON, stage="deploy")
    ledger.deploy(ledger.fire(rule, moved), gate)
    assert modes(ledger, "deploy") == ["assisted"]


@pytest.mark.parametrize(
    ("trigger", "expected"), [("schedule", "auto"), ("rerun", "assisted"), ("", "assisted"), ("operator", "unknown")]
)
def test_imported_schedule_under_a_persons_name(trigger: str, expected: str) -> None:
    """A job that the source ran on schedule is automatic, whoever's name stands beside it."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.command())
    ledger.events = [e for e in ledger.events if e.type != "command.issued"]
    ledger.events = [e for e in ledger.events if not e.type.startswith("run.")]
    done = {"run_id": gate.data["run_id"], "outcome": "success", "candidate": True}
    ledger.events.append(
        Event(
            type="run.finished",
            subject="run-1",
            data=done,
            id="gh-1",
            source="github",
            time=ledger.now,
            recordedtime=ledger.now,
            authtype="user",
            authid="anna",
            pipeline=PIPELINE,
            evidence="imported",
            trigger=trigger,
            seq=100,
        )
    )
    assert modes(ledger, "train") == [expected]


def test_claims_of_others_only_weaken() -> None:
    """Only what we read from the source itself can turn a name into automation; a claim that was sent cannot."""
    claim = Event(type="run.finished", subject="r", authtype="user", evidence="attested", trigger="schedule")
    pressed = Event(
        type="run.finished",
        subject="r",
        authtype="service_account",
        authclaims={"minted_by": "oidc"},
        evidence="attested",
        trigger="ui",
    )
    assert (acting_class(claim), acting_class(pressed)) == ("human", "human")


def test_broken_and_circular_chains_are_unknown() -> None:
    """A cause that is missing, or that leads back, makes the start unknown."""
    ledger = LedgerBuilder()
    ledger.scheduled_training(weeks=2)
    queued = [event for event in ledger.events if event.type == "run.queued"]
    started = [event for event in ledger.events if event.type == "run.started"]
    edit(ledger, queued[0], causationid="nowhere")
    edit(ledger, queued[1], causationid=started[1].id)
    assert modes(ledger, "train") == ["unknown", "unknown"]


def test_cause_of_its_own_source_comes_first() -> None:
    """Two sources may use one id: an event's cause is looked for in its own source, then among native events."""
    ledger = LedgerBuilder()
    command = ledger.command()
    tick = ledger.tick(ledger.weekly())
    edit(ledger, command, source="airflow", id=tick.id)
    run = {"run_id": "r", "outcome": "success", "candidate": True}
    ledger.add("run.finished", "r", run, cause=tick, source="airflow")
    ledger.add("gate.evaluated", "m@v1", {"run_id": "r", "decision": "pass", "suites": ["data"]})
    assert modes(ledger, "train") == ["assisted"]


def test_declared_evidence_is_unknown() -> None:
    """What somebody only declared says nothing about who started it."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    edit(ledger, last(ledger, "run.started"), evidence="declared")
    assert modes(ledger, "train") == ["unknown"]


# ---- rules that are a person's hand


def test_one_shot_rule_is_a_person_until_it_fires_again() -> None:
    """The first firing of an event rule counts as a person's, and becomes automatic when the rule fires again."""
    ledger = LedgerBuilder()
    rule = ledger.rule("own", leads_to=["train"], on="dataset.version.published")
    ledger.train(ledger.fire(rule, ledger.add("dataset.version.published", "d@v1", {"digest": "1"})))
    assert modes(ledger, "train") == ["assisted"]
    ledger.train(ledger.fire(rule, ledger.add("dataset.version.published", "d@v2", {"digest": "2"})))
    assert modes(ledger, "train") == ["auto", "auto"]


@pytest.mark.parametrize(
    ("cron", "origin", "expected"),
    [
        ("0 3 * * MON", "user", "auto"),
        ("0 3 5 1 *", "user", "assisted"),
        ("0 3 5 1 * 0 2026", "user", "assisted"),
        ("0 3 5 1 * 0 2026", "template", "auto"),
        ("not a schedule", "user", "assisted"),
    ],
)
def test_cron_with_one_slot_is_a_person(cron: str, origin: str, expected: str) -> None:
    """A schedule with fewer than two slots in the window is single-use, unless the rule is a shipped preset."""
    ledger = LedgerBuilder()
    ledger.train(ledger.tick(ledger.rule("own", leads_to=["train"], cron=cron, origin=origin)))
    assert modes(ledger, "train") == [expected]


def test_one_shot_rule_that_was_switched_off_is_a_person() -> None:
    """A weekly schedule that fired once and was switched off has not recurred and will not."""
    ledger = LedgerBuilder()
    rule = ledger.weekly()
    ledger.train(ledger.tick(rule))
    ledger.toggle(rule, is_enabled=False)
    assert modes(ledger, "train") == ["assisted"]


def test_two_rules_toggled_per_run_are_a_person() -> None:
    """Switching two rules on and off in turn, for one firing each, is pressing a button."""
    ledger = LedgerBuilder()
    rules = [ledger.rule(name, leads_to=["train"], cron="0 3 * * *", origin="template") for name in ("a", "b")]
    for rule in rules:
        ledger.toggle(rule, is_enabled=False)
    for turn in range(6):
        ledger.toggle(rules[turn % 2], is_enabled=True)
        ledger.train(ledger.tick(rules[turn % 2]))
        ledger.toggle(rules[turn % 2], is_enabled=False)
    assert modes(ledger, "train") == ["assisted"] * 6


def test_rule_edited_before_each_run_is_a_person() -> None:
    """Each version of a rule must prove itself: editing it before every run is no automation."""
    ledger = LedgerBuilder()
    rule = ledger.rule("own", leads_to=["train"], on="dataset.version.published")
    for turn in range(3):
        edited = ledger.add("rule.updated", "own", {**rule.data, "digest": f"edit-{turn}"}, actor=PERSON)
        data = ledger.add("dataset.version.published", f"d@v{turn}", {"digest": str(turn)})
        ledger.train(ledger.fire(edited, data))
    assert modes(ledger, "train") == ["assisted"] * 3


def test_button_behind_a_rule_is_a_person() -> None:
    """A signal that nobody declared and a person sent is a button, also behind two rules."""
    ledger = LedgerBuilder()
    first = ledger.rule("relay", leads_to=[], on="custom.emitted", origin="template")
    second = ledger.rule("own", leads_to=["train"], on="custom.emitted", origin="template")
    ledger.train(ledger.fire(second, ledger.signal()))
    relayed = ledger.add("custom.emitted", "go2", {"name": "go2"}, cause=ledger.fire(first, ledger.signal()))
    ledger.train(ledger.fire(second, relayed))
    ledger.train(ledger.fire(second, ledger.add("custom.emitted", "go", {"name": "go"}, actor=PERSON, stage="data")))
    ledger.train(ledger.fire(second, ledger.signal(is_declared=True)))
    assert modes(ledger, "train") == ["assisted", "assisted", "assisted", "auto"]


def test_rule_with_trigger_in_the_same_stage_is_looked_through() -> None:
    """A rule that trains because a training failed passes on who started the first one."""
    ledger = LedgerBuilder()
    rule = ledger.rule("again", leads_to=["train"], on="run.finished", origin="template")
    failed = ledger.add("run.finished", "r", {"run_id": "r", "outcome": "failed"}, cause=ledger.command())
    ledger.train(ledger.fire(rule, failed))
    assert modes(ledger, "train") == ["assisted"]


def test_list_of_actions_belongs_to_its_rule() -> None:
    """Where a rule first builds a dataset and then trains, the training is the rule's, and so is its being one-shot."""
    ledger = LedgerBuilder()
    rule = ledger.rule("once", leads_to=["dataset", "train"], cron="0 3 5 1 *")
    ledger.train(ledger.dataset(ledger.tick(rule)))
    assert (modes(ledger, "dataset"), modes(ledger, "train")) == (["assisted"], ["assisted"])
    assert read(ledger, "train")[0].rule_id == "once"


def test_stranger_who_borrows_a_cause_is_unknown() -> None:
    """A token from a laptop that names a real firing as its cause is unknown all the same."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    edit(ledger, last(ledger, "run.finished"), authtype=LAPTOP.authtype, authclaims={})
    assert modes(ledger, "train") == ["unknown"]


def test_person_who_borrows_a_cause_has_a_hand_in_it() -> None:
    """A person's step inside an automated chain is a touch."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    edit(ledger, last(ledger, "run.started"), authtype="user", authclaims={})
    assert modes(ledger, "train") == ["semi"]


def test_person_who_posts_a_firing_is_a_person() -> None:
    """A firing that a person posted under a rule's name is that person's act."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    edit(ledger, last(ledger, "rule.fired"), authtype="user", authclaims={})
    assert modes(ledger, "train") == ["assisted"]


# ---- labels: chain and sender


@pytest.mark.parametrize(
    ("senders", "expected"),
    [
        ([{"authtype": "service_account", "claims": {"system": "towers"}}], "auto"),
        ([{"authtype": "service_account", "claims": {"system": "t"}}, {"authtype": "user"}], "assisted"),
        ([{"authtype": "user"}, {"authtype": "service_account", "claims": {}}], "unknown"),
        ([], "unknown"),
    ],
)
def test_outcomes_take_chain_and_sender(senders: list[dict[str, object]], expected: str) -> None:
    """Joined outcomes are as automatic as the weakest of their senders."""
    ledger = LedgerBuilder()
    rule = ledger.rule("join", leads_to=["label"], cron="0 5 * * *")
    data = {"rows": 10, "senders": senders}
    ledger.add("feedback.joined", "delays", data, cause=ledger.tick(rule))
    assert modes(ledger, "label") == [expected]


def test_label_batch_takes_creation_and_ingestion() -> None:
    """A batch that a person created is assisted though its ingestion is automatic; labelling itself is no touch."""
    ledger = LedgerBuilder()
    rule = ledger.rule("ingest", leads_to=["label"], cron="0 5 * * *")
    for creator in (ledger.command(), ledger.tick(rule)):
        subject = f"batch-{creator.seq}"
        created = ledger.add("label.batch.created", subject, {}, cause=creator)
        submitted = ledger.add("label.submitted", "item", {}, cause=created, actor=PERSON)
        ledger.add("label.batch.ingested", subject, {}, cause=ledger.tick(rule))
        assert submitted.actor_class == "human"
    assert modes(ledger, "label") == ["assisted", "auto"]


# ---- approvals


def deployed_after(ledger: LedgerBuilder, approval: Event) -> None:
    """Deploy by rule because an approval was closed."""
    rule = ledger.rule("deploy when approved", leads_to=["deploy"], on="approval.closed", origin="template")
    ledger.deploy(ledger.fire(rule, approval), ledger.train(ledger.tick(ledger.weekly())))


def test_approval_asked_for_by_automation_is_gated() -> None:
    """Automation asks, a person approves as the policy requires, a rule deploys: gated."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    deployed_after(ledger, ledger.approve(gate))
    (deployment,) = read(ledger, "deploy")
    assert (deployment.mode, deployment.gates, deployment.touches) == ("gated", 1, 0)


def test_approval_asked_for_by_a_person_is_assisted() -> None:
    """A person asks, so a person started the deployment, whoever approves."""
    ledger = LedgerBuilder()
    deployed_after(ledger, ledger.approve(ledger.command("ask")))
    assert modes(ledger, "deploy") == ["assisted"]


def test_approval_that_nobody_required_is_a_touch() -> None:
    """An approval that the policy does not require is a hand on the deployment."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    deployed_after(ledger, ledger.approve(gate, required=False))
    assert modes(ledger, "deploy") == ["semi"]


def test_approval_by_the_requester_is_a_touch() -> None:
    """Who approves what his own agent asked for guards nothing."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    closed = ledger.approve(gate)
    agent = {"minted_by": "rule", "on_behalf_of": PERSON.authid}
    edit(ledger, last(ledger, "approval.requested"), authtype="service_account", authclaims=agent)
    deployed_after(ledger, closed)
    assert modes(ledger, "deploy") == ["semi"]


def test_quick_approvals_are_counted() -> None:
    """An approval within five seconds still gates, and is reported as a rubber stamp."""
    ledger = LedgerBuilder()
    gate = ledger.scheduled_training()
    deployed_after(ledger, ledger.approve(gate, minutes=0))
    (deployment,) = read(ledger, "deploy")
    assert (deployment.mode, deployment.rubber_stamps) == ("gated", 1)


# ---- touches and overrides


@pytest.mark.parametrize("kind", ["param_edit", "data_fix", "retry", "login_shell"])
def test_hand_on_a_run_makes_it_semi(kind: str) -> None:
    """Whatever a person did to a run on its way makes it semi-automated; what a machine did does not."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    queued = last(ledger, "run.started")
    ledger.touch("run-1", kind, actor=ENGINE)
    touch = ledger.touch("run-1", kind)
    edit(ledger, ledger.events[-2], time=queued.at, recordedtime=queued.recordedtime)
    assert modes(ledger, "train") == ["auto"]
    edit(ledger, touch, time=queued.at, recordedtime=queued.recordedtime)
    assert modes(ledger, "train") == ["semi"]


def test_abort_within_a_day_overrides() -> None:
    """An automated outcome that a person aborts within a day is overridden; later it is not."""
    ledger = LedgerBuilder()
    ledger.scheduled_training()
    finished = last(ledger, "run.finished")
    touch = ledger.touch("run-1", "abort")
    assert modes(ledger, "train") == ["auto"]
    soon = finished.at + timedelta(hours=23)
    edit(ledger, touch, time=soon, recordedtime=soon)
    assert modes(ledger, "train") == ["overridden"]


@pytest.mark.parametrize(("hours", "expected"), [(23, "overridden"), (25, "auto")])
def test_reversal_by_a_person(hours: int, expected: str) -> None:
    """A deployment that a person rolls back within a day is overridden; later only the rollback is assisted."""
    ledger = LedgerBuilder()
    rule = ledger.release_rule()
    first = ledger.train(ledger.tick(ledger.weekly()))
    ledger.deploy(ledger.fire(rule, first), first)
    ledger.wait(days=7)
    second = ledger.train(ledger.tick(ledger.weekly()))
    ledger.deploy(ledger.fire(rule, second), second)
    ledger.wait(hours=hours)
    ledger.deploy(ledger.command("rollback"), first)
    assert modes(ledger, "deploy") == ["auto", expected, "assisted"]


def test_reversal_by_a_stranger_overrides_too() -> None:
    """A rollback by nobody knows whom counts against the deployment like a person's: unknown never helps."""
    ledger = LedgerBuilder()
    first, second = (ledger.train(ledger.tick(ledger.weekly())) for _ in range(2))
    ledger.deploy(ledger.fire(ledger.release_rule(), first), first)
    ledger.deploy(ledger.fire(ledger.release_rule(), second), second)
    ledger.deploy(ledger.command("rollback", actor=LAPTOP), first)
    assert modes(ledger, "deploy") == ["auto", "overridden", "unknown"]


def test_reversal_by_rule_or_replacement_is_no_override() -> None:
    """An automated rollback overrides nothing, nor does a newer version that a person deploys."""
    ledger = LedgerBuilder()
    rule = ledger.release_rule()
    gates = [ledger.train(ledger.tick(ledger.weekly())) for _ in range(3)]
    ledger.deploy(ledger.fire(rule, gates[0]), gates[0])
    ledger.deploy(ledger.fire(rule, gates[1]), gates[1])
    back = ledger.rule("roll back", leads_to=["deploy"], on="monitor.alert.raised", origin="template")
    alert = ledger.add("monitor.alert.raised", "errors", {}, cause=ledger.monitor(ledger.tick(ledger.weekly())))
    ledger.deploy(ledger.fire(back, alert), gates[0])
    ledger.deploy(ledger.command("promote"), gates[2])
    assert modes(ledger, "deploy") == ["auto", "auto", "auto", "assisted"]


def test_failed_gate_that_a_person_forces_is_overridden() -> None:
    """Going past a failed gate overrides its verdict and the deployment."""
    ledger = LedgerBuilder()
    gate = ledger.train(ledger.tick(ledger.weekly()), decision="fail")
    ledger.deploy(ledger.bypass(gate), gate)
    assert (modes(ledger, "evaluate"), modes(ledger, "deploy")) == (["overridden"], ["overridden"])


def test_model_made_by_hand_is_manual() -> None:
    """An uploaded artifact that no run produced and that went to a gate is a training by hand."""
    ledger = LedgerBuilder()
    about = {"version": "flight-delay@v9", "artifact_digest": "a", "run_id": ""}
    registered = ledger.add("model.version.registered", "flight-delay@v9", about, cause=ledger.command("upload"))
    ledger.add("gate.evaluated", "flight-delay@v9", {**about, "decision": "pass", "suites": ["data"]}, cause=registered)
    assert modes(ledger, "train") == ["manual"]


def test_the_mode_that_counts_least_wins() -> None:
    """Where several things hold of a transition, it is what counts least."""
    assert mode_of("unknown", touches=1, gates=1, is_overridden=True, is_manual=True) == "unknown"
    assert mode_of("automation", touches=1, gates=1, is_overridden=True, is_manual=True) == "manual"
    assert mode_of("automation", touches=1, gates=1, is_overridden=True) == "overridden"
    assert mode_of("automation", touches=1, gates=1) == "semi"
    assert mode_of("human", touches=0, gates=1) == "assisted"
