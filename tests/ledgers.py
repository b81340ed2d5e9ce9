"""Ledgers made by hand: a builder that writes the chains of events that the engine would write.

Invariant: every event gets a dense sequence, a time, and the cause that it has in a real ledger.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from ratchet.measure.history import History
from ratchet.records import Actor, Event, digest_of

PERSON = Actor(authtype="user", authid="anna")
ENGINE = Actor(authtype="system", authid="engine", claims={"minted_by": "engine"})
RULE = Actor(authtype="system", authid="rule", claims={"minted_by": "rule"})
LAPTOP = Actor(authtype="service_account", authid="ci-token")
SYSTEM = Actor(authtype="service_account", authid="towers", claims={"system": "towers"})
START = datetime(2026, 1, 5, 3, tzinfo=UTC)
PIPELINE = "flight-delay"
ENDPOINT = "delays"


class LedgerBuilder:
    """Writes events one after another; its own clock moves only by ``wait``, and a second with each event."""

    def __init__(self, *, pipeline: str = PIPELINE, start: datetime = START) -> None:
        """Start an empty ledger."""
        self.pipeline = pipeline
        self.now = start
        self.events: list[Event] = []
        self.live: dict[str, float] = {}
        self._runs = 0
        self._rules: dict[str, Event] = {}

    # ---- single events

    def add(
        self,
        type_: str,
        subject: str = "",
        data: dict[str, Any] | None = None,
        *,
        cause: Event | None = None,
        actor: Actor = ENGINE,
        **envelope: Any,
    ) -> Event:
        """Append one event."""
        self.now += timedelta(seconds=1)
        seq = len(self.events) + 1
        fields: dict[str, Any] = {
            "id": f"E{seq:05d}",
            "time": self.now,
            "recordedtime": self.now,
            "pipeline": self.pipeline,
            "causationid": cause.id if cause else "",
            "correlationid": (cause.correlationid or cause.id) if cause else "",
            "authtype": actor.authtype,
            "authid": actor.authid,
            "authclaims": actor.claims,
            "seq": seq,
        }
        event = Event(type=type_, subject=subject or type_, data=data or {}, **(fields | envelope))
        self.events.append(event)
        return event

    def wait(self, **duration: float) -> Self:
        """Let time pass, given as to ``timedelta``."""
        self.now += timedelta(**duration)
        return self

    def history(self) -> History:
        """Return all events folded."""
        history = History()
        history.fold(self.events)
        return history

    # ---- rules, clocks, people

    def declare(self, **data: Any) -> Event:
        """Declare the pipeline."""
        return self.add("pipeline.declared", self.pipeline, {"pipeline": self.pipeline, **data}, actor=PERSON)

    def rule(
        self, name: str, *, leads_to: list[str], on: str = "clock.ticked", cron: str = "", origin: str = "user"
    ) -> Event:
        """Write a rule that is enabled from now on; one that exists is left alone."""
        if name not in self._rules:
            data = {
                "rule_id": name,
                "digest": digest_of([name, on, cron]),
                "origin": origin,
                "enabled": True,
                "on": on,
                "cron": cron,
                "time_zone": "UTC",
                "actions": [],
                "leads_to": leads_to,
            }
            self._rules[name] = self.add("rule.created", name, data, actor=PERSON)
        return self._rules[name]

    def toggle(self, rule: Event, *, is_enabled: bool) -> Event:
        """Switch a rule on or off by hand."""
        return self.add("rule.enabled" if is_enabled else "rule.disabled", rule.subject, rule.data, actor=PERSON)

    def fire(self, rule: Event, trigger: Event, **envelope: Any) -> Event:
        """Let a rule fire on an event."""
        known = {name: rule.data[name] for name in ("rule_id", "digest", "origin")}
        data = {**known, "condition_result": True, "trigger_event": trigger.id}
        return self.add("rule.fired", rule.subject, data, cause=trigger, **envelope)

    def succeed(self, fired: Event, last: Event) -> Event:
        """Record that a rule's action succeeded."""
        known = {name: fired.data[name] for name in ("rule_id", "digest", "origin")}
        return self.add("rule.action.succeeded", fired.subject, {**known, "action": "x", "position": 0}, cause=last)

    def tick(self, rule: Event) -> Event:
        """Let a rule's schedule come due and the rule fire."""
        data = {"rule_id": rule.subject, "slot": self.now.isoformat(), "late_seconds": 0}
        return self.fire(rule, self.add("clock.ticked", rule.subject, data))

    def command(self, action: str = "start_run", *, actor: Actor = PERSON) -> Event:
        """Let somebody ask for something."""
        return self.add("command.issued", self.pipeline, {"action": action, "channel": "cli"}, actor=actor)

    def signal(self, *, actor: Actor = PERSON, is_declared: bool = False) -> Event:
        """Let somebody send a signal of their own."""
        return self.add("custom.emitted", "go", {"name": "go", "declared_signal": is_declared}, actor=actor)

    def weekly(self) -> Event:
        """Return the shipped rule that trains each week."""
        return self.rule("retrain weekly", leads_to=["train"], cron="0 3 * * MON", origin="template")

    def release_rule(self) -> Event:
        """Return the shipped rule that deploys what passed its gate."""
        return self.rule("deploy on pass", leads_to=["deploy"], on="gate.evaluated", origin="template")

    # ---- whole chains

    def train(
        self,
        cause: Event,
        *,
        inputs: list[str] | None = None,
        decision: str = "pass",
        candidate: bool = True,
        actor: Actor = ENGINE,
    ) -> Event:
        """Train a candidate because of something and let its gate judge; return the verdict."""
        self._runs += 1
        run_id, version = f"run-{self._runs}", f"{self.pipeline}@v{self._runs}"
        work = {
            "run_id": run_id,
            "params_digest": "p",
            "inputs": inputs or [f"data-{self._runs}"],
            "code_sha": "c",
        }
        queued = self.add("run.queued", run_id, work, cause=cause, actor=actor)
        started = self.add("run.started", run_id, work, cause=queued)
        self.wait(minutes=5)
        done = {**work, "outcome": "success", "candidate": candidate}
        finished = self.add("run.finished", run_id, done, cause=started)
        if not candidate:
            return finished
        digest = f"artifact-{self._runs}"
        about = {"run_id": run_id, "version": version, "artifact_digest": digest}
        until = {"model": self.pipeline, "data_until": self.now.isoformat()}
        registered = self.add("model.version.registered", version, {**about, **until}, cause=finished)
        suite = {**about, "outcome": "passed"}
        data = self.add("fitness.suite.finished", version, {**suite, "kind": "data"}, cause=registered)
        quality = self.add("fitness.suite.finished", version, {**suite, "kind": "quality"}, cause=data)
        verdict = {**about, "environment": "production", "decision": decision, "suites": ["data", "quality"]}
        return self.add("gate.evaluated", version, verdict, cause=quality)

    def deploy(self, cause: Event, gate: Event, *, version: str = "", digest: str = "") -> Event:
        """Make the version of a verdict live because of something; return the shift of traffic."""
        version = version or gate.data["version"]
        digest = digest or gate.data["artifact_digest"]
        deployment = f"deployment-{len(self.events)}"
        about = {"deployment_id": deployment, "endpoint": ENDPOINT, "env": "production", "model_version": version}
        requested = self.add("deployment.requested", deployment, about, cause=cause)
        started = self.add("deployment.started", deployment, about, cause=requested)
        smoke = {"version": version, "kind": "smoke", "outcome": "passed"}
        tested = self.add("fitness.suite.finished", version, smoke, cause=started)
        return self.shift({version: 1.0}, cause=tested, deployment_id=deployment, digests={version: digest})

    def shift(
        self,
        weights: dict[str, float],
        *,
        cause: Event,
        deployment_id: str = "",
        digests: dict[str, str] | None = None,
        **envelope: Any,
    ) -> Event:
        """Shift traffic on the endpoint."""
        data = {
            "endpoint": ENDPOINT,
            "env": "production",
            "role": "live",
            "weights": weights,
            "artifact_digests": digests or {},
            "deployment_id": deployment_id,
        }
        return self.add("traffic.shifted", ENDPOINT, data, cause=cause, **envelope)

    def bypass(self, gate: Event, deployment_id: str = "") -> Event:
        """Let a person go past a gate."""
        data = {name: gate.data[name] for name in ("version", "artifact_digest")}
        by = {"by": "anna", "reason": "urgent", "deployment_id": deployment_id}
        return self.add("gate.bypassed", gate.subject, {**data, **by}, cause=self.command("bypass"), actor=PERSON)

    def touch(self, target: str, kind: str, *, actor: Actor = PERSON) -> Event:
        """Let somebody lay hands on something."""
        return self.add("touch.recorded", target, {"target": target, "kind": kind}, actor=actor)

    def approve(self, cause: Event, *, actor: Actor = PERSON, required: bool = True, minutes: float = 9) -> Event:
        """Ask for an approval because of something, and let somebody give it; return its closing."""
        subject = f"approval-{len(self.events)}"
        data = {"target": subject, "policy_required": required, "opened_at": self.now.isoformat()}
        asked = self.add("approval.requested", subject, data, cause=cause)
        self.wait(minutes=minutes)
        given = self.add("approval.decided", subject, {**data, "decision": "approved"}, cause=asked, actor=actor)
        return self.add("approval.closed", subject, {**data, "decision": "approved"}, cause=given, actor=actor)

    def monitor(self, cause: Event, *, kinds: tuple[str, ...] = ("drift", "performance"), status: str = "ok") -> Event:
        """Evaluate monitors because of something; return the last evaluation."""
        window = {"start": (self.now - timedelta(days=7)).isoformat(), "end": self.now.isoformat()}
        about = {"window": window, "value": 0.1, "status": status}
        for kind in kinds:
            self.add("monitor.evaluated", kind, {"monitor": kind, "kind": kind, **about}, cause=cause)
        return self.events[-1]

    def sample(self, cause: Event) -> Event:
        """Take a sample of the traffic because of something."""
        return self.add("sample.taken", ENDPOINT, {"strategy": "uniform", "rows": 100}, cause=cause)

    def label(self, cause: Event, *, sender: Actor = SYSTEM) -> Event:
        """Join outcomes that somebody sent, because of something."""
        senders = [{"authtype": sender.authtype, "claims": sender.claims}]
        return self.add("feedback.joined", ENDPOINT, {"rows": 100, "senders": senders}, cause=cause)

    def dataset(self, cause: Event) -> Event:
        """Build a dataset because of something; return its published version."""
        generated = self.add("dataset.generated", "flights", {"dataset": "flights", "rows": 100}, cause=cause)
        data = {"dataset": "flights", "generated": True, "digest": f"generated-{len(self.events)}"}
        return self.add("dataset.version.published", "flights@v", data, cause=generated)

    # ---- what happens in a week

    def scheduled_training(self, *, weeks: int = 1) -> Event:
        """Train each week by the shipped rule; return the last verdict."""
        rule = self.weekly()
        for _ in range(weeks):
            self.train(self.tick(rule))
            self.wait(days=7)
        return self.events[-1]

    def automated_week(self) -> Event:
        """Train, release and monitor by rule; sample, label and build a dataset by rule; return the last event."""
        gate = self.train(self.tick(self.weekly()))
        self.deploy(self.fire(self.release_rule(), gate), gate)
        self.wait(days=1)
        watch = self.rule("watch", leads_to=["monitor"], cron="0 4 * * *", origin="template")
        self.monitor(self.tick(watch))
        collect = self.rule("collect", leads_to=["sample", "label", "dataset"], cron="0 5 * * *", origin="template")
        dataset = self.dataset(self.label(self.sample(self.tick(collect))))
        self.wait(days=6)
        return dataset

    def own_rule_at_work(self, *, times: int = 2) -> None:
        """Let a rule of the team's own fire on dataset versions and succeed, so many times."""
        rule = self.rule("notify", leads_to=[], on="dataset.version.published")
        for _ in range(times):
            published = self.add("dataset.version.published", "flights@v", {"digest": f"d-{len(self.events)}"})
            fired = self.fire(rule, published)
            self.succeed(fired, fired)
