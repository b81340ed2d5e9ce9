"""Write the golden year: the ledger of five pipelines in 2024, event by event, the same bytes each time.

Invariant: nothing here is random, and nothing is taken from the product.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from telling import ENDPOINTS, NOBODY, PERSON_1, PERSON_2, PERSON_3, WAREHOUSE, Actor, Row, Year, local, wire

YEAR = Path(__file__).parent / "year.jsonl"


def declarations(year: Year) -> None:
    """January: pipelines are declared, rules written, goals set, paths approved, values declared."""
    at = local("01-02 09:00")
    sync = year.command(at, "sync", "", PERSON_1)
    for name, owner, more in (
        ("flight-delay", "delays", {"target_days": {"data_age": 70}}),
        ("credit-risk", "lending", {"na": {"sample": "no sampling: every case is decided by hand later"}}),
        ("churn", "growth", {}),
        ("price-forecast", "growth", {}),
        ("restock", "delays", {"serving": "batch"}),
    ):
        body = {"pipeline": name, "model": name, "owner": owner, "datasets": [name], "na": {}, **more}
        year.add(at, "pipeline.declared", name, body, cause=sync, by=PERSON_1, pipeline=name)
    operate = ["monitor", "sample", "label", "dataset"]
    cron = "0 3 5 */2 *"
    year.rule(at, "operate", "flight-delay", sync, origin="template", on="clock.ticked", cron=cron, leads_to=operate)
    for name, pipeline, on, leads_to in (
        ("retrain", "flight-delay", "dataset.version.published", ["train"]),
        ("release", "flight-delay", "gate.evaluated", ["deploy"]),
        ("retrain-restock", "restock", "dataset.version.published", ["train"]),
        ("release-restock", "restock", "gate.evaluated", ["deploy"]),
    ):
        year.rule(at, name, pipeline, sync, origin="template", on=on, leads_to=leads_to)
    every = "0 3 15 1-11/2 *"
    year.rule(
        at, "bimonthly", "credit-risk", sync, origin="template", on="clock.ticked", cron=every, leads_to=["train"]
    )
    year.rule(at, "warm-cache", "flight-delay", sync, origin="user", on="traffic.shifted", leads_to=[])
    goal = {"share": 0.5, "level": 2, "by": "2024-12-31", "policy": "standard", "owner": "person-2"}
    year.add(at, "goal.set", "half at level 2", goal, cause=sync, by=PERSON_1)
    for model, value in (("flight-delay", 200), ("credit-risk", 1000)):
        body = {"model": model, "value_per_day": value, "currency": "USD"}
        year.add(at, "assessment.recorded", model, body, cause=sync, by=PERSON_1, evidence="declared", pipeline=model)
    for path, expires in (("fast", "2025-06-30T00:00:00Z"), ("old", "2024-04-01T04:00:00Z")):
        body = {"path": path, "environments": ["production"], "by_role": "risk officer", "expires_at": expires}
        year.add(at, "path.approved", path, body, cause=sync, by=PERSON_2)
    year.add(local("04-01 00:00"), "path.expired", "old", {"path": "old"}, cause=sync)


# month, data digest, data until, accuracy, champion, path
CYCLES = (
    ("02", "d-02", "2024-02-01T05:00:00Z", 0.80, None, "old"),
    ("04", "d-04", "2024-04-01T04:00:00Z", 0.82, 0.80, "old"),
    ("06", "d-06", "2024-06-01T04:00:00Z", 0.83, 0.82, "fast"),
    ("08", "d-08", "2024-08-01T04:00:00Z", 0.85, 0.83, "fast"),
    ("10", "d-10", "2024-10-01T04:00:00Z", 0.86, 0.85, "fast"),
    ("12", "d-12", "2024-12-01T05:00:00Z", 0.87, 0.86, "fast"),
)


def flight_delay(year: Year) -> dict[str, Row]:
    """The loop that runs by itself each second month; return the shifts by version."""
    shifts = {}
    number = 0
    for month, digest, until, accuracy, champion, path in CYCLES:
        number += 2 if month == "10" else 1
        at = local(f"{month}-05 03:00")
        ticked = year.tick(at, "operate")
        window = {"start": wire(at - timedelta(days=60)), "end": wire(at)}
        body = {"monitor": "flight-delay/drift", "kind": "drift", "value": 0.1, "status": "ok", "window": window}
        year.add(at, "monitor.evaluated", "flight-delay/drift", body, cause=ticked)
        sample = {"strategy": "uniform", "rows": 100}
        taken = year.add(at + timedelta(minutes=10), "sample.taken", "delays", sample, cause=ticked)
        body = {"rows": 100, "senders": [{"authtype": "service_account", "claims": {"system": "towers"}}]}
        body["median_delay_hours"] = 48 if number % 2 else 24
        joined = year.add(at + timedelta(minutes=20), "feedback.joined", "delays", body, cause=taken)
        body = {"dataset": "flight-delay", "rows": 100}
        made = year.add(at + timedelta(minutes=30), "dataset.generated", "flight-delay", body, cause=joined)
        body = {"dataset": "flight-delay", "generated": True, "digest": digest, "data_until": until}
        published = year.add(at + timedelta(minutes=30), "dataset.version.published", digest, body, cause=made)
        start = at + timedelta(minutes=30)
        gate = year.train(
            start, "flight-delay", number, year.fire(start, "retrain", published),
            data=digest, until=until, accuracy=accuracy, champion=champion, code="code-2" if number > 5 else "",
        )  # fmt: skip
        asked_at = start + timedelta(hours=2, minutes=30)
        version = f"flight-delay@v{number}"
        requested = year.request(asked_at, version, year.fire(asked_at, "release", gate), path=path)
        if month == "04":
            body = {"deployment_id": requested["subject"], "endpoint": "delays", "version": version, "verdict": "worse"}
            year.add(asked_at + timedelta(minutes=30), "canary.judged", version, body, cause=requested)
        ramp = {"flight-delay@v6": 0.75, version: 0.25} if month == "12" else None
        live = year.shift(asked_at + timedelta(hours=1), requested, ramp)
        shifts[version] = live
        if ramp:
            year.shift(local("12-12 07:00"), requested, {"flight-delay@v6": 0.2, version: 0.8})
        if month in ("06", "08", "10"):
            fired = year.fire(asked_at + timedelta(hours=1), "warm-cache", live)
            known = {key: fired["data"][key] for key in ("rule_id", "digest", "origin", "trigger_event")}
            body = {**known, "action": "warm", "position": 0}
            year.add(asked_at + timedelta(hours=1), "rule.action.succeeded", "warm-cache", body, cause=fired)
    return shifts


def canary(year: Year) -> None:
    """September: a push is tested, released and trained; its canary is worse and is taken back after two hours."""
    body = {"repo": "delays", "sha": "abc1", "author": "person-1"}
    pushed = year.add(local("09-10 09:00"), "code.pushed", "delays", body, by=PERSON_1, pipeline="flight-delay")
    body = {"code_digest": "code-2", "tests": "passed", "rules_digest": "r1"}
    released = year.add(local("09-10 09:20"), "pipeline_version.released", "flight-delay", body, cause=pushed)
    gate = year.train(
        local("09-10 09:30"), "flight-delay", 5, released,
        data="d-08", until="2024-08-01T04:00:00Z", accuracy=0.85, champion=0.85, code="code-2",
    )  # fmt: skip
    requested = year.request(local("09-10 12:00"), "flight-delay@v5", year.fire(local("09-10 12:00"), "release", gate))
    share = {"flight-delay@v4": 0.9, "flight-delay@v5": 0.1}
    shifted = year.shift(local("09-10 13:00"), requested, share, strategy="canary")
    body = {"deployment_id": requested["subject"], "endpoint": "delays", "version": "flight-delay@v5"}
    body["verdict"] = "worse"
    judged = year.add(local("09-10 15:00"), "canary.judged", "flight-delay@v5", body, cause=shifted)
    body = {**shifted["data"], "weights": {"flight-delay@v4": 1.0}, "strategy": "rollback", "artifact_digests": {}}
    body["model_version"] = "flight-delay@v4"
    year.live["delays"] = {"flight-delay@v4": 1.0}
    back = year.add(local("09-10 15:00"), "traffic.shifted", "delays", body, cause=judged)
    body = {"deployment_id": requested["subject"], "endpoint": "delays", "env": "production"}
    body |= {"from": "flight-delay@v5", "to": "flight-delay@v4", "because_of": judged["id"]}
    year.add(local("09-10 15:00"), "deployment.rolledback", "delays", body, cause=back)
    shadow = year.request(local("11-05 10:00"), "flight-delay@v5", year.command(
        local("11-05 10:00"), "shadow", "flight-delay", PERSON_1))  # fmt: skip
    year.shift(local("11-05 10:10"), shadow, {"flight-delay@v5": 1.0}, role="shadow")


def credit_trainings(year: Year) -> dict[str, Row]:
    """Each second month a scheduled training of credit-risk; return the verdicts by version."""
    gates = {}
    for month, number, data, until, accuracy, champion, decision in (
        ("01", 1, "c-01", "2024-01-01T05:00:00Z", 0.70, None, "pass"),
        ("03", 2, "c-03", "2024-03-01T05:00:00Z", 0.71, 0.70, "pass"),
        ("05", 3, "c-03", "2024-03-01T05:00:00Z", 0.69, 0.71, "fail"),
        ("07", 5, "c-07", "2024-07-01T04:00:00Z", 0.74, 0.72, "pass"),
        ("09", 6, "c-09", "2024-09-01T04:00:00Z", 0.75, 0.74, "pass"),
        ("11", 7, "c-11", "2024-11-01T04:00:00Z", 0.73, 0.75, "fail"),
    ):
        at = local(f"{month}-15 03:00")
        seed = None if number == 7 else 7
        gates[f"credit-risk@v{number}"] = year.train(
            at, "credit-risk", number, year.tick(at, "bimonthly"),
            data=data, until=until, accuracy=accuracy, champion=champion, decision=decision, seed=seed,
            params="p2" if number == 3 else "p1",
        )  # fmt: skip
    return gates


def press(year: Year, at: str, version: str, by: Actor, **more: Any) -> Row:
    """Let a person ask for a deployment of credit-risk; the moment is local."""
    asked = year.command(local(at), "deploy", "credit-risk", by, version=version)
    return year.request(local(at), version, asked, **more)


def back_to(year: Year, at: str, by: Actor, shifted: Row, *, version: str, detected: Row) -> Row:
    """Let a person take a deployment of credit-risk back; return the shift."""
    asked = year.command(local(at), "rollback", "credit-risk", by, incident=detected["data"]["incident"])
    body = {**shifted["data"], "model_version": version, "strategy": "rollback", "weights": {version: 1.0}}
    digest = year.versions[version]["data"]["artifact_digest"]
    body |= {"artifact_digest": digest, "artifact_digests": {version: digest}}
    body |= {"prev_version": shifted["data"]["model_version"], "deployment_id": shifted["data"]["deployment_id"] + "R"}
    back = year.add(local(at), "traffic.shifted", "credit", body, cause=asked)
    year.live["credit"] = {version: 1.0}
    body = {"deployment_id": shifted["data"]["deployment_id"], "endpoint": "credit", "env": "production"}
    body |= {"from": shifted["data"]["model_version"], "to": version, "because_of": asked["id"]}
    year.add(local(at), "deployment.rolledback", "credit", body, cause=back)
    return back


def credit_risk(year: Year) -> None:
    """The pipeline whose versions people put into production, and what went wrong with it."""
    gates = credit_trainings(year)
    # A setting edited by hand in February, and put back.
    asked = year.command(local("02-12 10:00"), "configure", "credit-risk", PERSON_1)
    body = {"service": "credit", "target": "credit/threshold", "old_digest": "t1", "new_digest": "t2"}
    changed = year.add(local("02-12 10:00"), "config.changed", "credit/threshold", body, cause=asked, by=PERSON_1)
    found = year.incident("INC-01", "02-12 10:30", "02-12 11:00", "credit", "credit-risk")
    asked = year.command(local("02-12 12:00"), "configure", "credit-risk", PERSON_1, incident="INC-01")
    body = body | {"old_digest": "t2", "new_digest": "t1", "reverts": changed["id"]}
    undone = year.add(local("02-12 12:00"), "config.changed", "credit/threshold", body, cause=asked, by=PERSON_1)
    year.restore(found, "02-12 12:00", "02-12 12:30", by=PERSON_1, remedy=undone, responders=1)
    # The last evening of March: two required approvals, then live at 23:30, which is April in UTC.
    requested = press(year, "03-29 09:00", "credit-risk@v2", PERSON_1, path="old")
    year.approve(local("03-29 09:00"), local("03-29 15:00"), requested, "risk", PERSON_2)
    year.approve(local("03-29 09:00"), local("03-31 21:30"), requested, "security", PERSON_3)
    year.shift(local("03-31 23:30"), requested)
    # May: version 3 failed its gate, was forced through and taken back; a hotfix the next day.
    requested = press(year, "05-20 09:00", "credit-risk@v3", PERSON_1)
    body = {"version": "credit-risk@v3", "artifact_digest": "bytes-credit-risk-3", "by": "person-1"}
    body |= {"reason": "urgent", "deployment_id": requested["subject"]}
    year.add(local("05-20 09:00"), "gate.bypassed", "credit-risk@v3", body, cause=requested, by=PERSON_1)
    third = year.shift(local("05-20 10:00"), requested)
    found = year.incident("INC-03", "05-20 12:00", "05-20 12:30", "credit", "credit-risk")
    paged = page(year, found, "05-20 12:30", "05-20 12:40", PERSON_2)
    undone = back_to(year, "05-20 14:00", PERSON_2, third, version="credit-risk@v2", detected=found)
    year.restore(found, "05-20 14:00", "05-20 15:00", by=PERSON_2, remedy=undone, responders=2, page=paged["id"])
    gate = year.train(
        local("05-21 08:00"), "credit-risk", 4, year.add(
            local("05-21 08:00"), "command.issued", "credit-risk",
            {"action": "start_run", "channel": "cli", "incident": "INC-03"},
            by=PERSON_1, cause=found),
        data="c-05", until="2024-05-01T04:00:00Z", accuracy=0.72, champion=0.71,
    )  # fmt: skip
    fixed = year.add(local("05-21 11:00"), "command.issued", "credit-risk",
        {"action": "deploy", "channel": "cli", "version": "credit-risk@v4"}, by=PERSON_1, cause=gate)  # fmt: skip
    requested = year.request(local("05-21 11:00"), "credit-risk@v4", fixed)
    year.shift(local("05-21 12:00"), requested)
    credit_autumn(year, gates)


def credit_autumn(year: Year, gates: dict[str, Row]) -> None:
    """July to November of credit-risk."""
    # July: a rubber stamp after three seconds; the model was worse than its gate could see.
    requested = press(year, "07-18 09:00", "credit-risk@v5", PERSON_1, path="fast")
    year.approve(local("07-18 09:00"), local("07-18 09:00:03"), requested, "risk", PERSON_2)
    year.shift(local("07-18 10:00"), requested)
    found = year.incident("INC-04", "07-18 13:00", "07-18 13:30", "credit", "credit-risk")
    over = year.restore(found, "07-18 14:00", "07-18 15:00", responders=1)
    body = {"incident": "INC-04", "cause": "", "class": "", "verdict": "not change-induced", "reference": "review-4"}
    year.add(local("07-25 10:00"), "incident.attributed", "INC-04", body, cause=over, by=PERSON_2)
    # September: parameters edited by hand on the way into production, and taken back.
    requested = press(year, "09-18 09:00", "credit-risk@v6", PERSON_1)
    body = {"target": requested["subject"], "kind": "param_edit"}
    year.add(local("09-18 09:30"), "touch.recorded", requested["subject"], body, by=PERSON_1, pipeline="credit-risk")
    sixth = year.shift(local("09-18 10:00"), requested)
    found = year.incident("INC-08", "09-18 16:00", "09-18 16:10", "credit", "credit-risk")
    paged = page(year, found, "09-18 16:10", "09-18 16:20", PERSON_2)
    undone = back_to(year, "09-18 18:00", PERSON_2, sixth, version="credit-risk@v5", detected=found)
    year.restore(found, "09-18 18:00", "09-18 18:30", by=PERSON_2, remedy=undone, responders=1, page=paged["id"])
    # October: version 5 again under another name, the same bytes.
    year.versions["credit-risk@v5-again"] = gates["credit-risk@v5"]
    requested = press(year, "10-10 09:00", "credit-risk@v5-again", PERSON_1)
    year.shift(local("10-10 09:30"), requested)
    # November: version 7 failed its gate, and a person approved it all the same.
    requested = press(year, "11-18 09:00", "credit-risk@v7", PERSON_1)
    year.approve(local("11-18 09:00"), local("11-18 11:00"), requested, "risk", PERSON_3)
    year.shift(local("11-18 12:00"), requested)
    found = year.incident("INC-09", "11-18 20:00", "11-18 20:30", "credit", "credit-risk")
    year.restore(found, "11-18 22:00", "11-18 23:00", responders=1)


def page(year: Year, cause: Row, sent: str, acknowledged: str, by: Actor) -> Row:
    """Call somebody; moments are local; return the page."""
    body = {"route": "on-call", "severity": "high", "service": cause["data"].get("service", "delays")}
    called = year.add(local(sent), "page.sent", "on-call", body, cause=cause)
    body = {"page": called["id"]}
    year.add(local(acknowledged), "page.acknowledged", "on-call", body, cause=called, by=by)
    return called


def other_incidents(year: Year, shifts: dict[str, Row]) -> None:
    """Incidents of the other services: canary evidence, flaps, drift, an omission, an open one, a ticket."""
    found = year.incident("INC-02", "04-05 11:00", "04-05 11:30", "delays", "flight-delay")
    year.restore(found, "04-05 12:30", "04-05 13:00", responders=1)
    for name, onset, end in (("INC-11", "03-12 10:00", "03-12 10:40"), ("INC-12", "03-12 11:00", "03-12 11:30")):
        found = year.incident(name, onset, onset, "delays", "flight-delay")
        year.restore(found, end, end)
    found = year.incident("INC-05", "06-21 04:00", "06-21 05:00", "restock-batch", "restock")
    year.restore(found, "06-21 08:00", "06-21 10:00", responders=1)
    found = year.incident("INC-06", "07-02 02:00", "07-02 02:30", "restock-batch", "restock")
    paged = page(year, found, "07-02 02:30", "07-02 02:45", PERSON_3)
    year.restore(found, "07-02 04:00", "07-02 05:00", by=PERSON_3, responders=1, page=paged["id"])
    body = {"monitor": "flight-delay/drift", "kind": "drift", "score": 0.4, "threshold": 0.2, "service": "delays"}
    evaluated = year.rows[[row["type"] for row in year.rows].index("monitor.evaluated")]
    alert = year.add(local("08-24 08:00"), "monitor.alert.raised", "flight-delay/drift", body, cause=evaluated)
    page(year, alert, "08-24 08:00", "08-24 10:00", PERSON_1)
    found = year.incident("INC-07", "08-24 09:00", "08-24 09:30", "delays", "flight-delay")
    year.restore(found, "08-24 11:00", "08-24 12:00", by=PERSON_1, responders=1)
    body = {"incident": "INC-13", "service": "churn", "opened_at": wire(local("10-22 09:00")), "onset_from": "ticket"}
    told = year.add(local("10-22 09:00"), "incident.reported", "INC-13", body, by=PERSON_3, pipeline="churn")
    body = {"incident": "INC-13"}
    year.add(local("10-22 15:00"), "incident.resolved", "INC-13", body, cause=told, by=PERSON_3)
    year.incident("INC-10", "12-28 12:00", "12-28 12:30", "delays", "flight-delay")


def restock(year: Year) -> None:
    """The batch model: trained on each delivery of data, released by rule after a person's approval."""
    shifted: dict[str, Row] = {}
    for month, number, accuracy, champion in (
        ("02", 1, 0.60, None), ("04", 2, 0.61, 0.60), ("06", 3, 0.63, 0.61), ("08", 4, 0.64, 0.63)
    ):  # fmt: skip
        at = local(f"{month}-20 02:00")
        body = {"dataset": "restock", "digest": f"s-{month}", "data_until": wire(at - timedelta(hours=2))}
        sent = year.add(at, "dataset.version.published", f"s-{month}", body, by=WAREHOUSE, pipeline="restock")
        fired = year.fire(at, "retrain-restock", sent)
        gate = year.train(
            at, "restock", number, fired, hours=1,
            data=f"s-{month}", until=wire(at - timedelta(hours=2)), accuracy=accuracy, champion=champion,
        )  # fmt: skip
        asked_at = at + timedelta(hours=1, minutes=30)
        fired = year.fire(asked_at, "release-restock", gate)
        requested = year.request(asked_at, f"restock@v{number}", fired)
        given_at = at + timedelta(hours=8) if number < 4 else local("12-31 10:00")
        year.approve(asked_at, given_at, requested, "buyer", PERSON_2)
        shifted[f"restock@v{number}"] = year.shift(given_at, requested)
    for day, version, outcome in (
        ("03-05 04:00", "restock@v1", "success"), ("06-29 04:00", "restock@v3", "success"),
        ("09-28 04:00", "restock@v3", "success"), ("12-20 04:00", "restock@v3", "success"),
        ("12-27 04:00", "restock@v3", "failed"),
    ):  # fmt: skip
        counts = {"count": 1, "rows": 500 if outcome == "success" else 0, "errors": int(outcome == "failed")}
        more = {"mode": "batch", "outcome": outcome, "cpu_s": 100, **counts}
        usage(year, day, version, "delays", shifted[version], **more)


def usage(year: Year, at: str, version: str, caller: str, cause: Row, *, fold: int = 0, **more: Any) -> Row:
    """Record what one caller asked of one version up to a local moment."""
    pipeline = version.split("@")[0]
    endpoint = ENDPOINTS[pipeline]
    body: Row = {"endpoint": endpoint, "version": version, "caller": caller, "kind": "call", "role": "live"}
    body |= {"count": 0, "rows": 0, "errors": 0, "retries": 0, "cpu_s": 0, "minutes_missing": 0, "mode": "online"}
    return year.add(local(at, fold=fold), "usage.recorded", endpoint, body | more, cause=cause, pipeline=pipeline)


def serving(year: Year, shifts: dict[str, Row], credit: Row) -> None:
    """What was asked of the models; one record for each caller and month or so."""
    for at, number, caller, count, errors, cpu in (
        ("02-29 12:00", 1, "web", 1000, 10, 100), ("03-31 23:30", 1, "web", 2000, 0, 200),
        ("04-30 12:00", 2, "web", 1500, 30, 150), ("06-15 12:00", 3, "web", 3000, 0, 300),
        ("06-15 12:00", 3, "lending", 1000, 0, 100), ("08-30 12:00", 4, "web", 2500, 5, 250),
        ("10-31 12:00", 6, "web", 2200, 0, 220), ("12-15 12:00", 7, "lending", 800, 8, 80),
    ):  # fmt: skip
        version = f"flight-delay@v{number}"
        body = {"count": count, "rows": 2 * count, "errors": errors, "cpu_s": cpu}
        usage(year, at, version, caller, shifts[version], **body)
    last = shifts["flight-delay@v6"]
    for fold in (0, 1):
        usage(year, "11-03 01:30", "flight-delay@v6", "web", last, fold=fold, count=60, rows=60, cpu_s=6)
    usage(year, "12-10 12:00", "flight-delay@v7", "web", shifts["flight-delay@v7"],
          count=500, rows=500, retries=25, minutes_missing=7, cpu_s=50)  # fmt: skip
    usage(year, "12-10 12:00", "flight-delay@v7", "probe", shifts["flight-delay@v7"], kind="health", count=900)
    usage(year, "12-10 12:00", "flight-delay@v7", "probe", shifts["flight-delay@v7"],
          kind="synthetic", count=40)  # fmt: skip
    usage(year, "12-10 12:00", "flight-delay@v5", "web", last, role="shadow", count=500, cpu_s=50)
    for at, number, count in (("04-30 12:00", "2", 100), ("06-20 12:00", "4", 200), ("09-12 12:00", "5", 300),
                              ("12-12 12:00", "7", 150)):  # fmt: skip
        usage(year, at, f"credit-risk@v{number}", "lending", credit, count=count, rows=count, cpu_s=count)


def imported(year: Year) -> None:
    """Churn runs elsewhere: a scheduler and a registry are imported, actors are mostly unknown, a chain is broken."""
    common: Row = {"by": NOBODY, "pipeline": "churn", "evidence": "imported"}
    asked = year.command(local("07-01 00:00"), "change_owner", "churn", PERSON_2)
    body = {"pipeline": "churn", "from": "growth", "to": "lending"}
    year.add(local("07-01 00:00"), "ownership.changed", "churn", body, cause=asked, by=PERSON_2)
    for number, (day, trigger) in enumerate(
        (("01-10", "schedule"), ("03-10", "unknown"), ("05-10", "unknown"), ("08-10", "schedule"), ("11-10", "ui")), 1
    ):
        run_id, version = f"airflow-{number}", f"churn@v{number}"
        about = {"run_id": run_id, "version": version, "artifact_digest": f"bytes-churn-{number}"}
        source = {"source": "airflow", "trigger": trigger, **common}
        work = {"run_id": run_id, "outcome": "success", "candidate": True}
        starts = {"schedule": "clock.ticked", "ui": "command.issued", "unknown": "custom.emitted"}
        asked = None
        if number != 3:
            body = {"action": "start_run", "channel": "api", "name": run_id}
            asked = year.add(local(f"{day} 04:00"), starts[trigger], run_id, body, **source)
        finished = year.add(local(f"{day} 06:00"), "run.finished", run_id, work, cause=asked, **source)
        if number == 3:
            finished["causationid"] = "0000000000000000000MISSING"
        body = {**about, "model": "churn"}
        if number > 3:
            body["data_until"] = wire(local(f"{day} 00:00"))
        mlflow = {"source": "mlflow", **common}
        year.add(local(f"{day} 07:00"), "model.version.registered", version, body, cause=finished, **mlflow)
        body = {**about, "decision": "pass", "suites": ["quality"]}
        year.add(local(f"{day} 08:00"), "gate.evaluated", version, body, cause=finished, **source)
        if number in (2, 4):
            # Version 4's source clock is wrong: it was live an hour before its training ended.
            at = local(f"{day} 12:00") if number == 2 else local(f"{day} 05:00")
            body = {"endpoint": "churn", "env": "production", "model_version": version, "weights": {version: 1.0}}
            body |= {"artifact_digest": about["artifact_digest"], "deployment_id": f"mlflow-{number}", "role": "live"}
            body["artifact_digests"] = {version: about["artifact_digest"]}
            moved = {"action": "move_alias", "channel": "api", "version": version}
            asked = year.add(at, "command.issued", version, moved, trigger="unknown", **mlflow)
            shifted = year.add(at, "traffic.shifted", "churn", body, cause=asked, **mlflow)
    for name, day, count in (("airflow", "11-30", 16), ("mlflow", "11-30", 9)):
        body = {"source": name, "from": "2024-01-01T05:00:00Z", "to": "2024-12-01T05:00:00Z", "count": count}
        year.add(local(f"{day} 23:00"), "source.cursor", name, body)
    body = {"endpoint": "churn", "version": "churn@v4", "caller": "growth", "count": 400, "rows": 400, "errors": 4}
    body |= {"kind": "call", "role": "live", "mode": "online", "retries": 0, "cpu_s": 0, "minutes_missing": 0}
    year.add(local("12-14 12:00"), "usage.recorded", "churn", body, cause=shifted, source="mlflow", **common)


def dormant(year: Year) -> None:
    """Price-forecast: made by hand, put live by hand, asked nothing after March, archived in October."""
    upload = year.command(local("01-20 10:00"), "upload", "price-forecast", PERSON_3)
    body = {"model": "price-forecast", "version": "price-forecast@v1", "artifact_digest": "bytes-price-1"}
    body["execution"] = "manual"
    year.add(local("01-20 10:00"), "model.version.registered", "price-forecast@v1", body, cause=upload, by=PERSON_3)
    asked = year.command(local("01-20 10:10"), "deploy", "price-forecast", PERSON_3)
    body = {"endpoint": "prices", "env": "production", "model_version": "price-forecast@v1", "role": "live"}
    body |= {"weights": {"price-forecast@v1": 1.0}, "artifact_digests": {"price-forecast@v1": "bytes-price-1"}}
    body |= {"deployment_id": "P01", "execution": "manual", "artifact_digest": "bytes-price-1"}
    shifted = year.add(local("01-20 10:20"), "traffic.shifted", "prices", body, cause=asked)
    usage(year, "03-20 12:00", "price-forecast@v1", "growth", shifted, count=50, rows=50, cpu_s=5)
    asked = year.command(local("10-15 10:00"), "archive", "price-forecast", PERSON_3)
    body = {**body, "weights": {}, "artifact_digests": {}}
    year.add(local("10-15 10:00"), "traffic.shifted", "prices", body, cause=asked)
    body = {"endpoint": "prices", "env": "production"}
    year.add(local("10-15 10:00"), "service.removed", "prices", body, cause=asked)
    body = {"pipeline": "price-forecast", "reason": "not asked for since March"}
    year.add(local("10-15 10:00"), "pipeline.archived", "price-forecast", body, cause=asked, by=PERSON_3)


def money(year: Year) -> None:
    """Costs of training and serving, an adjustment, and the bill of June."""
    finished = {row["subject"]: row for row in year.rows if row["type"] == "run.finished"}
    for run_id, at, qty in (
        ("run-flight-delay-1", "02-05 06:00", 36000), ("run-credit-risk-2", "03-15 05:00", 18000),
        ("run-flight-delay-3", "06-05 06:00", 36000), ("run-flight-delay-4", "08-05 06:00", 36000),
        ("airflow-3", "06-10 06:00", 7200), ("airflow-4", "08-10 06:00", 7200),
    ):  # fmt: skip
        body = {"run_id": run_id, "step": "train", "resource": "cpu_seconds", "qty": qty, "unit": "s"}
        cause = finished[run_id]
        year.add(local(at), "cost.recorded", run_id, body, cause=cause, pipeline=cause["pipeline"])
    declared = next(
        row for row in year.rows if row["type"] == "pipeline.declared" and row["pipeline"] == "price-forecast"
    )
    body = {"step": "train", "resource": "cpu_seconds", "qty": 3600, "unit": "s"}
    year.add(local("03-20 13:00"), "cost.recorded", "backtest", body, cause=declared)
    command = year.command(local("06-30 20:00"), "record_cost", "", WAREHOUSE)
    body = {"step": "serve", "resource": "machine_hours", "qty": 720, "unit": "h", "endpoint": "delays"}
    body |= {"from": wire(local("06-01 00:00")), "until": wire(local("07-01 00:00")), "capacity_cpu_s": 800}
    served = year.add(local("06-30 20:00"), "cost.recorded", "delays", body, cause=command, pipeline="flight-delay")
    body = {"step": "storage", "resource": "gb_months", "qty": 50, "unit": "GB.month"}
    year.add(local("06-30 20:00"), "cost.recorded", "bucket-7", body, cause=command)
    for number, (cost, service) in enumerate((("73.00", "Compute"), ("1.00", "Storage")), start=1):
        body = {"file": "bill.csv", "row_digest": f"row-{number}", "billed_cost": cost, "currency": "USD"}
        body |= {
            "period_start": wire(local("06-01 00:00")),
            "period_end": wire(local("07-01 00:00")),
            "service": service,
        }
        year.add(local("07-05 09:00"), "bill.imported", f"bill.csv#{number}", body, by=PERSON_2)
    body = {"adjusts": served["id"], "step": "serve", "resource": "adjustment", "amount": -7.2, "currency": "USD"}
    year.add(local("08-15 09:00"), "cost.recorded", "delays", body | {"qty": 0, "unit": ""}, cause=command,
             pipeline="flight-delay")  # fmt: skip


def parts(year: Year) -> None:
    """Modules, pushes of the other pipelines, service levels, unhelpful pages, overrides."""
    sync = year.rows[0]
    for pipeline, team, owner, name, kind, digest, ast, vendor in (
        ("flight-delay", "delays", "delays", "clean-times", "pre-processing", "m1", "a1", False),
        ("restock", "delays", "delays", "clean-times", "pre-processing", "m1", "a1", False),
        ("flight-delay", "delays", "delays", "weather", "feature view", "m2", "a2", False),
        ("credit-risk", "lending", "delays", "weather", "feature view", "m2", "a2", False),
        ("credit-risk", "lending", "lending", "scores", "extractor", "m3", "a3", False),
        ("churn", "growth", "growth", "my-scores", "extractor", "m4", "a3", False),
        ("restock", "delays", "", "json", "extractor", "m5", "a5", True),
    ):
        body = {"module": name, "kind": kind, "digest": digest, "ast_digest": ast, "vendor": vendor}
        body |= {"owner_team": owner, "user_team": team}
        year.add(local("02-01 09:00"), "module.used", name, body, cause=sync, pipeline=pipeline, team=team)
    for at, pipeline, by_engine in (("05-02 09:00", "credit-risk", False), ("05-03 09:00", "restock", True),
                                    ("11-20 09:00", "restock", True)):  # fmt: skip
        body = {"repo": pipeline, "sha": f"sha-{at[:5]}", "author": "person-1"}
        pushed = year.add(local(at), "code.pushed", pipeline, body, by=PERSON_1, pipeline=pipeline)
        if by_engine:
            body = {"code_digest": f"code-{at[:5]}", "tests": "passed"}
            year.add(local(at) + timedelta(minutes=20), "pipeline_version.released", pipeline, body, cause=pushed)
    for until, minutes, good, total, missing in (
        ("06-30 23:00", 43200, 9980, 10000, 10), ("09-30 23:00", 43200, 9950, 10000, 0),
        ("12-29 00:00", 38880, 9000, 9050, 40), ("12-31 17:30", 3930, 740, 750, 0),
        ("12-31 22:30", 300, 149, 150, 0), ("12-31 23:30", 60, 49, 50, 0),
    ):  # fmt: skip
        end = local(until)
        body = {"slo": "delays answers", "service": "delays", "target": 0.99, "good": good, "total": total}
        body |= {"missing": missing, "from": wire(end - timedelta(minutes=minutes)), "until": wire(end)}
        year.add(end, "slo.window.closed", "delays answers", body, cause=sync, pipeline="flight-delay")


def write(path: Path = YEAR) -> str:
    """Tell the whole year, write it and return what was written."""
    year = Year()
    declarations(year)
    shifts = flight_delay(year)
    canary(year)
    credit_risk(year)
    restock(year)
    other_incidents(year, shifts)
    credit = next(row for row in year.rows if row["type"] == "traffic.shifted" and row["subject"] == "credit")
    serving(year, shifts, credit)
    imported(year)
    dormant(year)
    money(year)
    parts(year)
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in year.written())
    path.write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    write()
