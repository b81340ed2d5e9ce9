"""The oracle (tests/oracle.py) on hand-made ledgers: the acceptance cases of the definition of levels."""

import importlib.util
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ORACLE = Path(__file__).parents[1] / "oracle.py"
spec = importlib.util.spec_from_file_location("oracle", ORACLE)
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)

START = datetime(2013, 1, 7, 6, tzinfo=UTC)
PIPELINE = "flight-delay"
ENGINE = {"authtype": "system", "authclaims": {"minted_by": "engine"}}
PERSON = {"authtype": "user", "authclaims": {}}
LAPTOP = {"authtype": "service_account", "authclaims": {}}
STANDARD = """
policy = "standard"
defaults = { N = 20, W = "180d", n_min = 3, theta = 0.8, approval = "auto", evidence_min = "inferred" }
[[level]]
id = 1
all = [{ stage = "train", measure = "init" }]
[[level]]
id = 2
all = [{ stage = "evaluate", measure = "exec" }, { stage = "deploy", measure = "exec" },
       { measure = "gate_before_deploy", theta = 0.8 }]
[[level]]
id = 3
all = [{ stage = "monitor", measure = "init" }, { stage = "sample", measure = "init" },
       { stage = "label", measure = "init" }, { stage = "dataset", measure = "init" }]
na_allowed = ["sample", "label"]
[[level]]
id = 4
all = [{ measure = "user_rules_fired", min = 1, fires = 2 }]
"""
STRICT = STANDARD.replace('"exec"', '"init"').replace("fires = 2 }", 'fires = 2 }, { measure = "loop_closure" }')


class Book:
    """A ledger written by hand: every event an hour after the one before."""

    def __init__(self):
        """Declare the pipeline and the preset rules that the helpers fire."""
        self.rows, self.now, self.version = [], START, 0
        self.declare()
        for name in ("retrain", "promote", "watch", "respond"):
            self.rule(name, origin="template")

    def add(self, kind, cause="", /, *, who=ENGINE, **data):
        """Append an event and return its id; keys of the envelope may be overridden in `envelope`."""
        self.now += timedelta(hours=1)
        envelope = data.pop("envelope", {})
        seq = self.rows[-1]["seq"] + 1 if self.rows else 1
        stamp = self.now.isoformat().replace("+00:00", "Z")
        row = {"id": f"e{seq}", "source": "ratchet", "type": kind, "subject": data.pop("subject", "x"), "time": stamp}
        row |= {"recordedtime": stamp, "specversion": "1.0", "correlationid": "", "causationid": cause, "authid": "a"}
        row |= {"pipeline": PIPELINE, "stage": "", "team": "", "env": "", "evidence": "native", "trigger": "unknown"}
        self.rows.append(row | who | {"seq": seq, "data": data} | envelope)
        return row["id"]

    def declare(self, **data):
        """Declare the pipeline."""
        return self.add("pipeline.declared", pipeline=PIPELINE, **data)

    def rule(self, name, origin="user", cron="", kind="created", enabled=True, leads_to=()):
        """Write a rule."""
        shape = {"digest": "d", "origin": origin, "enabled": enabled, "on": "x", "cron": cron, "time_zone": "UTC"}
        return self.add(f"rule.{kind}", rule_id=name, leads_to=list(leads_to), who=PERSON, **shape)

    def fire(self, name, trigger="", origin="template"):
        """Fire a rule, by a clock where no trigger is named."""
        trigger = trigger or self.add("clock.ticked", rule_id=name)
        shape = {"rule_id": name, "origin": origin, "condition_result": True, "trigger_event": trigger}
        return self.add("rule.fired", trigger, **shape)

    def press(self, stage="train", who=PERSON):
        """Let somebody command something."""
        return self.add("command.issued", who=who, action="do", target_stage=stage, channel="cli")

    def train(self, cause, params="", outcome="success", gate="pass"):
        """Train a candidate and take it to a gate; return the id of the gate's event."""
        self.version += 1
        run, version = f"r{self.version}", f"{PIPELINE}@v{self.version}"
        recipe = {"run_id": run, "params_digest": params or run, "inputs": ["i"], "code_sha": "c"}
        last = self.add("run.finished", self.add("run.queued", cause, **recipe), outcome=outcome, **recipe)
        if outcome != "success" or not gate:
            return last
        made = {"version": version, "run_id": run, "artifact_digest": f"sha-{version}"}
        last = self.add("model.version.registered", last, **made)
        last = self.add("fitness.suite.finished", last, run_id=run, kind="quality", outcome="passed")
        return self.add("gate.evaluated", last, decision=gate, suites=["quality"], **made)

    def deploy(self, cause, version=None, deployment="", weights=None):
        """Make a version live, by default the latest."""
        name = f"{PIPELINE}@v{version or self.version}"
        deployment = deployment or f"d{len(self.rows)}"
        last = self.add("deployment.requested", cause, deployment_id=deployment, endpoint="delay")
        last = self.add("fitness.suite.finished", last, run_id="", kind="smoke", outcome="passed")
        weights = weights or {name: 1.0}
        digests = {version: f"sha-{version}" for version in weights}
        where = {"endpoint": "delay", "env": "production", "role": "live", "deployment_id": deployment}
        return self.add("traffic.shifted", last, weights=weights, artifact_digests=digests, **where)

    def monitor(self, cause, day):
        """Evaluate the two monitors of one window."""
        for monitor in ("drift", "performance"):
            self.add("monitor.evaluated", cause, monitor=monitor, window={"start": day, "end": day}, status="ok")

    def answer(self, cause, senders=()):
        """Sample, label and generate a data set in one go; return the id of the published data set."""
        last = self.add("sample.taken", cause, rows=9)
        last = self.add("feedback.joined", last, rows=9, senders=list(senders))
        last = self.add("dataset.generated", last, rows=9)
        return self.add("dataset.version.published", last, generated=True)

    def lines(self):
        """Export the ledger."""
        return [json.dumps(row) for row in self.rows]

    def level(self, policy=STANDARD, as_of=None):
        """Measure the level at the end, or as of a moment."""
        policy = oracle.tomllib.loads(policy)
        return oracle.levels(self.lines(), policy=policy, pipeline=PIPELINE, as_of=as_of or self.now)

    def modes(self, stage):
        """Name the modes of a stage's transitions."""
        ledger = oracle.Ledger(oracle.parse(self.lines()), {"level": []}, PIPELINE, self.now)
        return [ledger.mode(stage, *transition) for transition in ledger.transitions(stage)]


def automated(times=3, senders=(), closed=False):
    """Write a ledger in which every stage runs by itself, the loop open unless told otherwise."""
    book = Book()
    for day in range(times):
        gate = book.train(book.fire("retrain"))
        book.deploy(book.fire("promote", gate))
        book.monitor(book.fire("watch"), day)
        alert = book.add("monitor.alert.raised", monitor="drift")
        data = book.answer(book.fire("respond", alert), senders)
        if closed:
            book.deploy(book.fire("promote", book.train(data)))
    return book


def own_rule(book, fires=2):
    """Let a rule of the user's fire and succeed."""
    book.rule("mine")
    for _ in range(fires):
        fired = book.fire("mine", origin="user")
        book.add("rule.action.succeeded", fired, rule_id="mine", origin="user", action="notify", position=0)
        book.add("rule.action.succeeded", fired, rule_id="mine", origin="user", action="tag", position=1)


def test_no_events_is_level_0():
    """No events -> 0, and no month to show."""
    assert oracle.levels([], policy=oracle.tomllib.loads(STANDARD), pipeline=PIPELINE, as_of=START) == 0
    assert oracle.month_ends([], oracle.tomllib.loads(STANDARD), PIPELINE) == {}


@pytest.mark.parametrize(
    ("auto", "by_hand", "level"),
    [(2, 0, 0), (3, 0, 1), (15, 5, 0), (16, 4, 1), (4, 1, 1), (3, 1, 0), (0, 3, 0)],
)
def test_share_of_automatic_trainings(auto, by_hand, level):
    """Level 1 needs three trainings and four in five by automation."""
    book = Book()
    for _ in range(by_hand):
        book.train(book.press())
    for _ in range(auto):
        book.train(book.fire("retrain"))
    assert book.level() == level


def test_sample_is_the_latest_n_within_w():
    """Old trainings by hand fall out of N and out of W."""
    book = Book()
    for _ in range(5):
        book.train(book.press())
    for _ in range(19):
        book.train(book.fire("retrain"))
    assert book.level() == 1
    book = Book()
    for _ in range(3):
        book.train(book.fire("retrain"))
    assert book.level(as_of=book.now + timedelta(days=179)) == 1
    assert book.level(as_of=book.now + timedelta(days=181)) == 0
    book.declare(cadence_days=91)
    assert book.level(as_of=book.now + timedelta(days=181)) == 1


def test_deploys_by_button_are_level_2_but_not_strictly():
    """Train auto, deploy 20 times assisted -> 2, strict 1."""
    book = Book()
    for _ in range(20):
        book.train(book.fire("retrain"))
        book.deploy(book.press("deploy"))
    assert book.modes("deploy") == ["human"] * 20
    assert (book.level(), book.level(STRICT)) == (2, 1)


def test_everything_automatic_is_3_and_4_with_an_own_rule():
    """Everything auto -> 3; a user's rule fired once -> 3, twice -> 4; strict only once the loop has closed."""
    book = automated()
    assert book.level() == 3
    own_rule(book, 1)
    assert book.level() == 3
    own_rule(book, 1)
    assert (book.level(), book.level(STRICT)) == (4, 3)
    book = automated(closed=True)
    own_rule(book)
    assert book.level(STRICT) == 4


def test_loop_is_not_closed_by_hand():
    """A loop whose answer a person started is no closure, though its later links started by themselves."""
    book = automated(4)
    own_rule(book)
    book.deploy(book.fire("promote", book.train(book.answer(book.press("sample")))))
    assert book.level(STRICT) == 3


def test_label_empty_or_not_applicable():
    """Label empty -> 2; N/A with a reason and a user's rule -> 4; N/A for a stage that may not be -> 2."""
    book = automated()
    book.rows = [row for row in book.rows if row["type"] != "feedback.joined"]
    for row in book.rows:
        if row["type"] == "dataset.generated":
            row["causationid"] = ""
    assert book.level() == 2
    own_rule(book)
    book.declare(na={"label": "outcomes are never known"})
    assert book.level() == 4
    book.rows = [row for row in book.rows if row["type"] != "monitor.evaluated"]
    book.declare(na={"label": "never known", "monitor": "no wish"})
    assert book.level() == 2


def test_outcomes_sent_by_hand_or_by_an_unknown_are_not_automatic():
    """A label transition is as automatic as the worst of its senders."""
    by_system = {"authtype": "service_account", "claims": {"system": "airport"}}
    assert automated(senders=[by_system]).level() == 3
    for sender in ({"authtype": "user", "claims": {}}, {"authtype": "service_account", "claims": {}}):
        assert automated(senders=[by_system, sender]).level() == 2


def test_trained_by_hand_the_rest_by_automation_is_level_0():
    """Train by hand, rest auto -> 0; the evaluations count as automatic."""
    book = Book()
    for _ in range(3):
        book.deploy(book.fire("promote", book.train(book.press())))
    assert (book.level(), book.modes("train"), book.modes("evaluate")) == (0, ["human"] * 3, ["auto"] * 3)


@pytest.mark.parametrize(
    ("who", "mode"),
    [
        (PERSON, "human"),
        (LAPTOP, "unknown"),
        ({"authtype": "api_key", "authclaims": {"person": True}}, "human"),
        ({"authtype": "service_account", "authclaims": {"minted_by": "oidc"}}, "auto"),
        ({"authtype": "service_account", "authclaims": {"system": "airflow"}}, "auto"),
        ({"authtype": "service_account", "authclaims": {"minted_by": "oidc", "on_behalf_of": "ann"}}, "human"),
        ({"authtype": "service_account", "authclaims": {"minted_by": "rule", "on_behalf_of": "ann"}}, "auto"),
        ({"authtype": "unauthenticated", "authclaims": {}}, "unknown"),
    ],
)
def test_class_of_a_credential(who, mode):
    """A command is of the class of its credential; a token from a laptop -> unknown."""
    book = Book()
    book.train(book.press(who=who))
    assert book.modes("train") == [mode]


def test_schedule_elsewhere_under_a_human_name_is_automatic():
    """GitHub cron under a human name -> auto; the same started by hand -> human."""
    book = Book()
    for trigger in ("schedule", "ui"):
        run = {"run_id": trigger, "params_digest": trigger, "inputs": [], "code_sha": "c"}
        envelope = {"evidence": "imported", "trigger": trigger, "source": "github"}
        book.add("run.finished", who=PERSON, outcome="success", envelope=envelope, **run)
        book.add("gate.evaluated", run_id=trigger, decision="pass", artifact_digest="a", suites=[])
    assert book.modes("train") == ["auto", "human"]


def test_button_in_disguise():
    """Curl of a custom event -> human; of a declared signal -> auto; one sent by a rule's action -> auto."""
    book = Book()
    for declared in (False, True):
        book.train(book.fire("retrain", book.add("custom.emitted", who=PERSON, declared_signal=declared)))
    book.train(book.fire("retrain", book.add("custom.emitted", book.fire("watch"), declared_signal=False)))
    assert book.modes("train") == ["human", "auto", "auto"]


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({}, "human"),
        ({"cron": "0 6 1 1 *"}, "human"),
        ({"cron": "0 6 * * 1"}, "auto"),
        ({"cron": "0 6 * * 1", "enabled": False}, "human"),
        ({"origin": "template"}, "auto"),
    ],
)
def test_rule_that_fired_once(options, mode):
    """One-shot rule -> human, unless it is an enabled preset or a recurring cron."""
    book = Book()
    book.rule("once", **options)
    book.train(book.fire("once"))
    assert book.modes("train") == [mode]


def test_first_firing_counts_once_the_rule_has_fired_again():
    """A rule is single-use only until it fires again; a preset that was deleted is single-use too."""
    book = Book()
    book.rule("twice")
    book.train(book.fire("twice"))
    book.train(book.fire("twice"))
    assert book.modes("train") == ["auto", "auto"]
    book.train(book.fire("retrain"))
    book.rule("retrain", origin="template", kind="deleted")
    assert book.modes("train") == ["auto", "auto", "human"]


def test_person_moves_the_alias_and_a_rule_deploys():
    """Human alias + rule -> human, for the trigger lies in the stage itself."""
    book = Book()
    book.train(book.fire("retrain"))
    book.deploy(book.fire("promote", book.press("deploy")))
    book.train(book.fire("retrain"))
    alias = book.add("alias.moved", who=PERSON, envelope={"stage": "deploy"})
    book.deploy(book.fire("promote", alias))
    assert book.modes("deploy") == ["human", "human"]


def test_person_publishes_data_and_a_rule_trains():
    """A person's data or code, whereupon a rule trains -> auto."""
    book = Book()
    data = book.add("dataset.version.published", book.press("data"), generated=False)
    book.train(book.fire("retrain", data))
    assert (book.modes("train"), book.modes("data")) == (["auto"], ["human"])


def test_bypassed_gate_is_overridden_and_costs_twice():
    """Bypassed gate -> overridden, neither in init nor in exec."""
    book = Book()
    for _ in range(3):
        book.train(book.fire("retrain"), gate="fail")
        forced = book.add("gate.bypassed", book.press("deploy"), deployment_id=f"b{book.version}", by="ann")
        book.deploy(forced, deployment=f"b{book.version}")
    assert book.modes("deploy") == ["overridden"] * 3
    assert book.level() == 1


def test_deploy_of_what_passed_no_gate():
    """Fewer than four in five deploys behind a gate -> 1, though all are automatic."""
    book = Book()
    for decision in ("pass", "pass", "fail"):
        book.deploy(book.fire("promote", book.train(book.fire("retrain"), gate=decision)))
    assert (book.level(), book.modes("deploy")) == (1, ["auto"] * 3)


@pytest.mark.parametrize(("hours", "mode"), [(1, "overridden"), (30, "auto")])
def test_reversal_by_a_person_within_a_day(hours, mode):
    """A person's rollback overrides the automatic deploy before it, within 24 hours only, and is itself a start."""
    book = Book()
    for _ in range(2):
        book.deploy(book.fire("promote", book.train(book.fire("retrain"))))
    book.now += timedelta(hours=hours)
    book.deploy(book.press("deploy"), version=1)
    assert book.modes("deploy") == ["auto", mode, "human"]


def test_rollback_by_a_rule_overrides_nothing():
    """A rollback by a rule is an automatic deploy; so is the one that it takes back."""
    book = Book()
    for _ in range(2):
        book.deploy(book.fire("promote", book.train(book.fire("retrain"))))
    book.deploy(book.fire("respond", book.add("monitor.alert.raised")), version=1)
    assert book.modes("deploy") == ["auto"] * 3


def test_ramp_counts_once_and_a_version_without_a_run_is_manual():
    """A version becomes live once on its ramp; one that no run has made is manual."""
    book = Book()
    for _ in range(2):
        gate = book.train(book.fire("retrain"))
    one, two = f"{PIPELINE}@v1", f"{PIPELINE}@v2"
    for weights in ({one: 1}, {one: 0.9, two: 0.1}, {one: 0.5, two: 0.5}, {one: 0, two: 1}):
        book.deploy(book.fire("promote", gate), weights=weights)
    book.deploy(book.fire("promote", gate), version=99)
    assert book.modes("deploy") == ["auto", "auto", "manual"]


def test_transitions_of_training():
    """Failed runs, runs without a gate and equal runs are no transitions; of equal ones the earliest counts."""
    book = Book()
    book.train(book.press(), params="same")
    for _ in range(10):
        book.train(book.fire("retrain"), params="same")
    book.train(book.fire("retrain"), outcome="failed")
    book.train(book.fire("retrain"), gate="")
    assert book.modes("train") == ["human"]


def test_gate_without_its_suites_is_no_evaluation():
    """A gate counts once every suite that it names has run."""
    book = Book()
    book.add("gate.evaluated", run_id="r", decision="pass", artifact_digest="a", suites=["quality"])
    assert book.modes("evaluate") == []


def test_suite_run_by_hand():
    """A suite by hand makes the evaluation assisted, even where a rule evaluates the gate."""
    book = Book()
    book.add("fitness.suite.finished", book.press("evaluate"), run_id="r", kind="bias", outcome="passed")
    gate = {"run_id": "r", "decision": "pass", "artifact_digest": "a"}
    book.add("gate.evaluated", book.fire("watch"), suites=["bias"], **gate)
    assert book.modes("evaluate") == ["human"]


def test_monitors_of_one_window_are_one_transition():
    """Evaluations are grouped by window, the first of each monitor counts, and one by hand spoils the window."""
    book = Book()
    book.monitor(book.fire("watch"), "mon")
    book.monitor(book.press("monitor"), "mon")
    book.monitor(book.press("monitor"), "tue")
    assert book.modes("monitor") == ["auto", "human"]


def test_broken_chains_are_unknown():
    """Cause cycle, dangling cause or declared evidence -> unknown."""
    book = Book()
    book.train("nowhere")
    book.train(book.fire("retrain", "nowhere"))
    book.train("cycle")
    queued = next(row for row in book.rows if row["causationid"] == "cycle")
    queued["causationid"] = next(row["id"] for row in book.rows if row["causationid"] == queued["id"])
    book.train(book.fire("retrain"))
    [row for row in book.rows if row["type"] == "run.finished"][-1]["evidence"] = "declared"
    assert book.modes("train") == ["unknown"] * 4


def test_cause_is_resolved_in_its_own_source_first():
    """An id that exists in two sources means the one of the event's own source."""
    book = Book()
    press = book.press()
    command = {"id": press, "source": "github", "evidence": "attested"}
    book.add("command.issued", who={"authtype": "api_key", "authclaims": {"minted_by": "oidc"}}, envelope=command)
    book.train(press)
    book.train(press)
    for row in book.rows:
        if row["type"].startswith("run.") and row["data"]["run_id"] == "r2":
            row["source"] = "github"
    assert book.modes("train") == ["human", "auto"]


def test_backdated_event_is_ordered_by_its_recording():
    """A `time` more than an hour from `recordedtime` does not order the sample."""
    book = Book()
    for _ in range(3):
        book.train(book.fire("retrain"))
    for row in book.rows:
        row["time"] = (START - timedelta(days=400)).isoformat()
    assert book.level() == 1


def test_imported_event_counts_when_it_happened():
    """What was imported later is there from its own `time` on, and is ordered by it."""
    book = Book()
    for _ in range(3):
        book.train(book.fire("retrain"))
    for row in book.rows:
        row["evidence"], row["trigger"] = "imported", "schedule"
        row["time"] = (datetime.fromisoformat(row["time"]) - timedelta(days=400)).isoformat()
    assert book.level() == 0
    assert book.level(as_of=book.now - timedelta(days=399)) == 1
    assert book.level(as_of=book.now - timedelta(days=500)) == 0


def test_stale_training():
    """An old last transition is stale only if an enabled rule that leads to the stage has fired since."""
    book = Book()
    book.rule("weekly", cron="0 6 * * 1", leads_to=["train"])
    for _ in range(3):
        book.train(book.fire("weekly"))
    book.now += timedelta(days=40)
    assert book.level() == 1
    book.fire("weekly")
    assert book.level() == 0
    book.rule("weekly", cron="0 6 * * 1", leads_to=["train"], kind="disabled", enabled=False)
    assert book.level() == 1


def test_as_of_reads_what_was_recorded_by_then():
    """Levels as of a moment see the events recorded until it; months end at midnight in the time zone."""
    book = Book()
    for days in (0, 18, 0):
        book.now += timedelta(days=days)
        book.train(book.fire("retrain"))
    assert book.level(as_of=START + timedelta(days=15)) == 0
    book.now = datetime(2013, 3, 1, 3, tzinfo=UTC)
    book.train(book.fire("retrain"))
    policy = oracle.tomllib.loads(STANDARD)
    assert oracle.month_ends(book.lines(), policy, PIPELINE) == {"2013-01": 1, "2013-02": 1, "2013-03": 1}
    assert list(oracle.month_ends(book.lines(), policy, PIPELINE, "UTC")) == ["2013-01", "2013-02", "2013-03"]


def test_other_pipelines_do_not_count():
    """Events of another pipeline raise no level."""
    book = automated()
    policy = oracle.tomllib.loads(STANDARD)
    assert oracle.levels(book.lines(), policy=policy, pipeline="other", as_of=book.now) == 0


def test_command_line(tmp_path):
    """The oracle prints a line a month from files."""
    (tmp_path / "events.jsonl").write_text("\n".join(automated().lines()) + "\n")
    (tmp_path / "standard.toml").write_text(STANDARD)
    command = [sys.executable, ORACLE, tmp_path / "events.jsonl", tmp_path / "standard.toml", PIPELINE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["2013-01", "3"]
