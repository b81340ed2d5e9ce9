"""How the golden year is told: single events, and the chains that a release, a training or an incident leaves.

Invariant: moments are given in the organisation's local time (America/New_York) and written in UTC, in the form of
an exported ledger; an event's id is made of its time and of its place in the telling.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ledger_again import STAGE_OF

ZONE = ZoneInfo("America/New_York")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
Row = dict[str, Any]
Actor = tuple[str, str, Row]

PERSON_1 = ("user", "person-1", {})
PERSON_2 = ("user", "person-2", {})
PERSON_3 = ("user", "person-3", {})
ENGINE = ("system", "engine", {"minted_by": "engine"})
RULE = ("system", "rule", {"minted_by": "rule"})
WAREHOUSE = ("service_account", "warehouse", {"system": "warehouse"})
NOBODY = ("unknown", "", {})
ENVIRONMENTS = {
    "flight-delay": (["scikit-learn"], ["numpy==1.26.4", "pandas==2.2.1", "scikit-learn==1.4.1"]),
    "credit-risk": (["xgboost"], ["numpy==1.26.4", "pandas==2.1.4", "xgboost==2.0.3"]),
    "restock": (["scikit-learn", "lightgbm"], ["lightgbm==4.3.0", "numpy==1.26.4", "scikit-learn==1.4.1"]),
}
ENDPOINTS = {"flight-delay": "delays", "credit-risk": "credit", "restock": "restock-batch", "price-forecast": "prices"}


def local(text: str, *, fold: int = 0) -> datetime:
    """Return a moment of 2024 given as local time, such as ``03-31 23:30`` or ``03-31 23:30:04``, in UTC."""
    return datetime.fromisoformat(f"2024-{text}").replace(tzinfo=ZONE, fold=fold).astimezone(UTC)


def wire(moment: datetime) -> str:
    """Return a moment as it stands in an exported ledger."""
    return moment.isoformat().replace("+00:00", "Z")


def ulid(moment: datetime, number: int) -> str:
    """Return an identifier of 26 characters that begins with its time."""
    value = (int(moment.timestamp() * 1000) << 80) | number
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


class Year:
    """The events in the order in which they are told; sorted by the time of recording when they are written."""

    def __init__(self) -> None:
        """Start with no events."""
        self.rows: list[Row] = []
        self.versions: dict[str, Row] = {}
        self.rules: dict[str, Row] = {}
        self.live: dict[str, dict[str, float]] = {}

    def add(
        self,
        at: datetime,
        kind: str,
        subject: str,
        data: Row | None = None,
        *,
        by: Actor = ENGINE,
        cause: Row | None = None,
        pipeline: str = "",
        **envelope: Any,
    ) -> Row:
        """Append one event and return it."""
        number = len(self.rows) + 1
        event_id = ulid(at, number)
        row = {
            "type": kind,
            "subject": subject,
            "data": data or {},
            "id": event_id,
            "source": "ratchet",
            "time": wire(at),
            "recordedtime": wire(at),
            "specversion": "1.0",
            "correlationid": cause["correlationid"] if cause else event_id,
            "causationid": cause["id"] if cause else "",
            "authtype": by[0],
            "authid": by[1],
            "authclaims": by[2],
            "pipeline": pipeline or (cause["pipeline"] if cause else ""),
            "stage": STAGE_OF.get(kind, "").replace("code", ""),
            "team": "",
            "env": "",
            "evidence": "native",
            "trigger": "unknown",
            "seq": 0,
        }
        row.update(envelope)
        self.rows.append(row)
        return row

    def written(self) -> list[Row]:
        """Return the rows in the order of recording, numbered from 1."""
        ordered = sorted(enumerate(self.rows), key=lambda pair: (pair[1]["recordedtime"], pair[0]))
        return [row | {"seq": seq} for seq, (_, row) in enumerate(ordered, start=1)]

    # ---- people, rules, clocks

    def command(self, at: datetime, action: str, pipeline: str, by: Actor, **data: Any) -> Row:
        """Let somebody ask for something."""
        body = {"action": action, "channel": "cli", **data}
        return self.add(at, "command.issued", pipeline or action, body, by=by, pipeline=pipeline)

    def rule(self, at: datetime, name: str, pipeline: str, cause: Row, **data: Any) -> Row:
        """Write a rule that is enabled from now on."""
        body = {"rule_id": name, "digest": f"rule-{name}", "enabled": True, "cron": "", "time_zone": str(ZONE), **data}
        self.rules[name] = self.add(at, "rule.created", name, body, cause=cause, by=PERSON_1, pipeline=pipeline)
        return self.rules[name]

    def fire(self, at: datetime, name: str, trigger: Row) -> Row:
        """Let a rule fire on an event."""
        rule = self.rules[name]
        known = {key: rule["data"][key] for key in ("rule_id", "digest", "origin")}
        body = {**known, "condition_result": True, "trigger_event": trigger["id"]}
        return self.add(at, "rule.fired", name, body, cause=trigger, pipeline=rule["pipeline"])

    def tick(self, at: datetime, name: str) -> Row:
        """Let a rule's schedule come due and the rule fire."""
        body = {"rule_id": name, "slot": wire(at), "late_seconds": 0}
        ticked = self.add(at, "clock.ticked", name, body, pipeline=self.rules[name]["pipeline"])
        return self.fire(at, name, ticked)

    # ---- chains

    def train(
        self,
        at: datetime,
        pipeline: str,
        number: int,
        cause: Row,
        *,
        data: str,
        until: str,
        accuracy: float,
        champion: float | None,
        decision: str = "pass",
        hours: float = 2,
        seed: int | None = 7,
        code: str = "",
        params: str = "p1",
    ) -> Row:
        """Train one version: queued at ``at``, finished hours later, verdict half an hour after; return the verdict."""
        version, run_id = f"{pipeline}@v{number}", f"run-{pipeline}-{number}"
        done = at + timedelta(hours=hours)
        frameworks, libraries = ENVIRONMENTS[pipeline]
        work: Row = {"run_id": run_id, "params_digest": params, "inputs": [data], "seed": seed}
        work["code_sha"] = code or f"code-{pipeline}"
        queued = self.add(at, "run.queued", run_id, work, cause=cause, pipeline=pipeline)
        environment = {"frameworks": frameworks, "libraries": libraries}
        result = {**work, "outcome": "success", "candidate": True, "environment": environment}
        finished = self.add(done, "run.finished", run_id, result, cause=queued)
        about = {"run_id": run_id, "version": version, "artifact_digest": f"bytes-{pipeline}-{number}"}
        body = {**about, "model": pipeline, "data_until": until}
        registered = self.add(done, "model.version.registered", version, body, cause=finished)
        scores: Row = {"kind": "quality", "outcome": "passed" if decision == "pass" else "failed"}
        rival = {"metrics": {"accuracy": champion}} if champion is not None else None
        scores |= {"metrics": {"accuracy": accuracy}, "champion": rival, "severity": "blocking"}
        suite = self.add(done, "fitness.suite.finished", version, about | scores, cause=registered)
        verdict = {**about, "environment": "production", "decision": decision, "suites": ["data", "quality"]}
        gate = self.add(done + timedelta(minutes=30), "gate.evaluated", version, verdict, cause=suite)
        self.versions[version] = gate
        return gate

    def request(self, at: datetime, version: str, cause: Row, **more: Any) -> Row:
        """Ask for a version to serve production."""
        gate = self.versions[version]
        pipeline = gate["pipeline"]
        number = sum(row["type"] == "deployment.requested" for row in self.rows) + 1
        endpoint = ENDPOINTS[pipeline]
        before = next(iter(self.live.get(endpoint, {})), "")
        body = {"deployment_id": f"D{number:02d}", "endpoint": endpoint, "env": "production", "model_version": version}
        body |= {"artifact_digest": gate["data"]["artifact_digest"], "prev_version": before, "strategy": "replace"}
        return self.add(at, "deployment.requested", body["deployment_id"], body | more, cause=cause, pipeline=pipeline)

    def shift(self, at: datetime, requested: Row, weights: dict[str, float] | None = None, **more: Any) -> Row:
        """Let what was asked for serve."""
        data = requested["data"]
        version = data["model_version"]
        shares = weights or {version: 1.0}
        digests = {version: data["artifact_digest"]}
        body = {**data, "weights": shares, "role": "live", "artifact_digests": digests, **more}
        if body["role"] == "live":
            self.live[data["endpoint"]] = shares
        return self.add(at, "traffic.shifted", data["endpoint"], body, cause=requested)

    def approve(self, asked_at: datetime, given_at: datetime, requested: Row, role: str, by: Actor) -> Row:
        """Ask for a required approval of a deployment, and let a person give it; return the last of both."""
        subject = f"{requested['subject']}/{role}"
        body = {"target": requested["subject"], "policy_required": True, "role": role}
        asked = self.add(asked_at, "approval.requested", subject, body, cause=requested)
        return self.add(given_at, "approval.decided", subject, body | {"decision": "approved"}, cause=asked, by=by)

    def incident(self, name: str, onset: str, found: str, service: str, pipeline: str, **more: Any) -> Row:
        """Let a monitor find an incident; moments are local."""
        body = {"incident": name, "service": service, "onset": wire(local(onset)), "onset_from": "monitor", **more}
        return self.add(local(found), "incident.detected", name, body, pipeline=pipeline)

    def restore(
        self,
        detected: Row,
        mitigated: str,
        restored: str,
        *,
        by: Actor = ENGINE,
        remedy: Row | None = None,
        **more: Any,
    ) -> Row:
        """Let an incident be mitigated, perhaps by a remedy, and be over; moments are local."""
        name = {"incident": detected["data"]["incident"]}
        body = name | {"remedy": remedy["id"] if remedy else "", **more}
        first = self.add(local(mitigated), "incident.mitigated", name["incident"], body, cause=detected, by=by)
        over = name | {"back_in_bounds": wire(local(restored))}
        return self.add(local(restored), "incident.resolved", name["incident"], over, cause=first)
