"""The indicators of reliability: failures, rework, repair, people's errors, feedback, pages, service levels.

Invariant: open cases are censored and never dropped, and each failure is blamed on what the attribution names.
"""

import math
from collections import Counter
from datetime import date, timedelta

from incidents_again import attribution, incidents, mode_of_change, moment
from ledger_again import HUMAN_MODES, Ledger, Row, at, hours, product_limit_median, quantile
from terms import AUTOMATED, SETTINGS, ZONE, Result, share


def blamed(ledger: Ledger, verdicts: tuple[str, ...]) -> set[str]:
    """Return the ids of the changes that incidents were attributed to."""
    found = [attribution(ledger, one) for one in incidents(ledger)]
    return {event for one in found if one["verdict"] in verdicts for event in one["weights"]}


def change_failure_rate(ledger: Ledger) -> Result:
    """The share of mature production deployments with at least one failure attributed to them."""
    rows = [one["row"] for one in ledger.deployments()]
    mature = [row for row in rows if at(row) <= ledger.as_of - timedelta(hours=24)]
    failed = [row for row in mature if row["id"] in blamed(ledger, ("proven", "likely"))]
    perhaps = [row for row in mature if row["id"] in blamed(ledger, ("proven", "likely", "ambiguous"))]
    worse = {row["data"]["deployment_id"] for row in ledger.of("canary.judged") if row["data"]["verdict"] == "worse"}
    back = {row["data"]["deployment_id"] for row in ledger.of("deployment.rolledback")}
    caught = [row for row in mature if row["data"]["deployment_id"] in worse & back and row not in perhaps]
    values = {"share": share(len(failed), len(mature)), "upper_share": share(len(perhaps), len(mature)),
              "caught_share": share(len(caught), len(mature)), "failed_count": len(failed),
              "deployments_count": len(mature), "immature_count": len(rows) - len(mature)}  # fmt: skip
    return values, {"failed": sorted(row["id"] for row in failed)}, rows


def rework_rate(ledger: Ledger) -> Result:
    """The share of production deployments whose causes contain an incident or a rollback."""
    rows = [one["row"] for one in ledger.deployments()]
    rework = [row for row in rows
              if any(link["type"].startswith("incident.") or link["type"] == "deployment.rolledback"
                     for link in ledger.chain(row))]  # fmt: skip
    values = {"share": share(len(rework), len(rows)), "rework_count": len(rework), "deployments_count": len(rows)}
    return values, {}, rows


def merged(ledger: Ledger) -> list[Row]:
    """Return the incidents, those of a service that flared up again within 30 minutes as one."""
    found: list[Row] = []
    for one in sorted(incidents(ledger), key=lambda one: (one["service"], one["onset"])):
        last = found[-1] if found else None
        if last and last["service"] == one["service"] and last["back"] and (
                one["onset"] - last["back"] <= timedelta(minutes=30)):  # fmt: skip
            found[-1] = {**last, "back": one["back"], "names": [*last["names"], one["name"]]}
        else:
            found.append({**one, "names": [one["name"]]})
    return found


def time_to_restore(ledger: Ledger) -> Result:
    """Hours from the first bad bucket until the service was back in bounds; open ones censored."""
    found = merged(ledger)
    over, open_ones = [one for one in found if one["back"]], [one for one in found if not one["back"]]
    times = [hours(one["onset"], one["back"]) for one in over]
    detect = [hours(one["onset"], one["detected"]) for one in found if not one["is_ticket"]]
    mitigate = [hours(one["onset"], at(one["mitigated"])) for one in over if one["mitigated"]]
    since_deployed = []
    for one in over:
        cause = attribution(ledger, one)
        if cause["verdict"] in ("proven", "likely") and ledger.by_id[cause["cause"]]["type"] == "traffic.shifted":
            since_deployed.append(hours(at(ledger.by_id[cause["cause"]]), one["back"]))
    values = {"p50_hours": quantile(times, 0.5), "p90_hours": quantile(times, 0.9),
              "kaplan_meier_median_hours": product_limit_median(
                  times, [hours(one["onset"], ledger.as_of) for one in open_ones]),
              "detect_p50_hours": quantile(detect, 0.5), "mitigate_p50_hours": quantile(mitigate, 0.5),
              "since_deployment_p50_hours": quantile(since_deployed, 0.5),
              "restored_count": len(over), "open_count": len(open_ones),
              "ticket_only_count": sum(one["is_ticket"] for one in found),
              "merged_count": sum(len(one["names"]) - 1 for one in found)}  # fmt: skip
    by = {one["name"]: hours(one["onset"], one["back"]) if one["back"] else None for one in found}
    return values, by, [one["row"] for one in incidents(ledger)]


def human_induced_errors(ledger: Ledger) -> Result:
    """Incidents that a person's act is at fault for, by class, and the risk of human against automated changes."""
    found = {one["name"]: attribution(ledger, one) for one in incidents(ledger)}
    classes = Counter(one["class"] for one in found.values() if one["class"])
    at_fault = blamed(ledger, ("proven", "likely"))
    changes = [one["row"] for one in ledger.deployments()] + ledger.of("config.changed")
    modes = {row["id"]: mode_of_change(ledger, row) for row in changes}
    human = [key for key, mode in modes.items() if mode in HUMAN_MODES]
    auto = [key for key, mode in modes.items() if mode in AUTOMATED]
    a, c = sum(key in at_fault for key in human), sum(key in at_fault for key in auto)
    ratio, low, high = relative_risk(a, len(human), c, len(auto))
    induced = sum(one["human_induced"] for one in found.values())
    late = classes["omission"]
    said = [one for one in found.values() if one["adjudicated"]]
    values = {"human_induced_count": induced, "per_100_human_changes": share(100 * (induced - late), len(human)),
              "human_changes_count": len(human), "human_failed_count": a,
              "automated_changes_count": len(auto), "automated_failed_count": c,
              "unknown_changes_count": len(modes) - len(human) - len(auto),
              "relative_risk": ratio, "relative_risk_low": low, "relative_risk_high": high,
              "gate_gap_count": classes["gate-gap"],
              "disagreement_share": share(sum(one["disagrees"] for one in said), len(said))}  # fmt: skip
    by = {name: classes[name] for name in ("slip", "bypass", "edit", "omission", "approval-of-failing")}
    return values, by, changes + [one["row"] for one in incidents(ledger)]


def relative_risk(a: int, n: int, c: int, m: int) -> tuple[float | None, float | None, float | None]:
    """Return the risk a/n over the risk c/m with its 95 % interval, by the logarithm; 0.5 to all cells if one is 0."""
    if not n or not m:
        return None, None, None
    cells = [float(one) for one in (a, n - a, c, m - c)]
    if 0 in cells:
        cells = [one + 0.5 for one in cells]
    bad, good, worse, better = cells
    ratio = (bad / (bad + good)) / (worse / (worse + better))
    error = math.sqrt(1 / bad - 1 / (bad + good) + 1 / worse - 1 / (worse + better))
    spread = 1.959963984540054 * error
    return ratio, math.exp(math.log(ratio) - spread), math.exp(math.log(ratio) + spread)


def feedback_time(ledger: Ledger) -> Result:
    """Hours from each act to what tells of its effect."""
    runs = {row["data"]["run_id"]: row for row in ledger.of("run.finished")}
    gates = ledger.of("gate.evaluated")
    pushes = {
        row["id"]: next((link for link in ledger.chain(row) if link["type"] == "code.pushed"), None) for row in gates
    }
    found = [one for one in merged(ledger) if not one["is_ticket"]]
    times = {
        "push_to_verdict": [hours(at(push), at(row)) for row in gates if (push := pushes[row["id"]])],
        "run_to_verdict": [hours(at(runs[row["data"]["run_id"]]), at(row)) for row in gates],
        "prediction_to_outcome": [row["data"]["median_delay_hours"] for row in ledger.of("feedback.joined")],
        "onset_to_alert": [hours(one["onset"], one["detected"]) for one in found],
        "alert_to_fixed": [hours(one["detected"], one["back"]) for one in found if one["back"]],
    }
    values = {f"{name}_{tag}_hours": quantile(one, part) for name, one in times.items()
              for tag, part in (("p50", 0.5), ("p90", 0.9))}  # fmt: skip
    return values, {name: len(one) for name, one in times.items()}, gates + ledger.of("feedback.joined")


def pages(ledger: Ledger) -> Result:
    """Pages per week, out of working hours and for each 100 deployments."""
    sent, hours_of = ledger.of("page.sent"), SETTINGS["working_hours"]
    outside = []
    for row in sent:
        when = at(row).astimezone(ZONE)
        is_working = (
            f"{when:%a}".lower() in hours_of["days"] and hours_of["from"] <= f"{when:%H:%M}" < hours_of["until"]
        )
        outside += [] if is_working else [row]
    answered = {row["data"]["page"]: at(row) for row in ledger.of("page.acknowledged")}
    limit = SETTINGS["incidents"]["acknowledge_minutes"] / 60
    late = [row for row in sent if hours(at(row), answered.get(row["id"], ledger.as_of)) > limit]
    days = (ledger.as_of.astimezone(ZONE).date() - date(2024, 1, 1)).days
    values = {"count": len(sent), "per_week": len(sent) / (days / 7), "out_of_hours_count": len(outside),
              "out_of_hours_share": share(len(outside), len(sent)), "late_count": len(late),
              "per_100_deployments": share(100 * len(sent), len(ledger.deployments()))}  # fmt: skip
    return values, {}, sent


def service_levels(ledger: Ledger) -> Result:
    """Good answers over the last 30 days as an interval, what is left of the budget, and how fast it burns."""

    def over(**span: float) -> list[Row]:
        since = ledger.as_of - timedelta(**span)
        return [row for row in ledger.of("slo.window.closed") if since < moment(row["data"]["until"]) <= ledger.as_of]

    def sums(rows: list[Row]) -> tuple[int, int, int]:
        good, total, missing = (sum(row["data"][name] for row in rows) for name in ("good", "total", "missing"))
        return good, total, missing

    good, total, missing = sums(over(days=30))
    target = ledger.of("slo.window.closed")[-1]["data"]["target"] if total else 0.0
    allowed = (1 - target) * total
    values: Row = {"attained_share": share(good, total - missing), "lower_share": share(good, total),
                   "upper_share": share(good + missing, total),
                   "budget_left_share": 1 - (total - good - missing) / allowed if total else None,
                   "missing_count": missing}  # fmt: skip
    for name, span in (("1h", {"hours": 1}), ("6h", {"hours": 6}), ("3d", {"days": 3})):
        part, whole, gap = sums(over(**span))
        values[f"burn_{name}"] = (whole - part - gap) / (whole - gap) / (1 - target) if whole - gap else None
    return values, {}, over(days=30)
