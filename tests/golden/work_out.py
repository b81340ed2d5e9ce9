"""Work out every indicator, level and incident of the golden year, with nothing but the standard library.

Invariant: one function for each indicator, under its name, that reads as its definition; the product is not used.
"""

import json
import math
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from incidents_again import attribution, incidents, mode_of_change, moment
from ledger_again import (
    HUMAN_MODES,
    PROFILE,
    Ledger,
    Row,
    acting,
    at,
    hours,
    level,
    product_limit_median,
    quantile,
    read,
    sample,
)
from work_out_money import cost

FOLDER = Path(__file__).parent
SETTINGS = tomllib.loads((FOLDER / "settings.toml").read_text(encoding="utf-8"))
ZONE = ZoneInfo(SETTINGS["project"]["time_zone"])
MOMENTS = {
    "2024-06-30": datetime(2024, 7, 1, 4, tzinfo=UTC),
    "2024-09-30": datetime(2024, 10, 1, 4, tzinfo=UTC),
    "2024-12-31": datetime(2025, 1, 1, 5, tzinfo=UTC),
}
AUTOMATED = ("auto", "gated")
Result = tuple[Row, Row, list[Row]]


def month(when: datetime) -> str:
    """Return the local month."""
    return f"{when.astimezone(ZONE):%Y-%m}"


def months_until(ledger: Ledger) -> list[str]:
    """Return the local months of the year up to the moment."""
    last = (ledger.as_of - timedelta(seconds=1)).astimezone(ZONE).month
    return [f"2024-{number:02d}" for number in range(1, last + 1)]


def share(part: float, whole: float) -> float | None:
    """Return a quotient; None where there is nothing to divide by."""
    return part / whole if whole else None


def model_of(version: str) -> str:
    """Return the model of a version."""
    return version.split("@")[0]


def trained(ledger: Ledger) -> dict[str, Row]:
    """Return the run that finished, by the version that it trained."""
    runs = {row["data"]["run_id"]: row for row in ledger.of("run.finished")}
    found = {
        row["data"]["version"]: runs.get(row["data"].get("run_id")) for row in ledger.of("model.version.registered")
    }
    return {version: run for version, run in found.items() if run is not None}


def first_live(ledger: Ledger) -> dict[str, Row]:
    """Return the shift by which each version was first live in production."""
    found: dict[str, Row] = {}
    for one in ledger.shifts():
        for version in one["new"]:
            found.setdefault(version, one["row"])
    return found


def calls(ledger: Ledger) -> list[Row]:
    """Return the records of real calls: no shadow, no health checks, nothing synthetic."""
    return [
        row for row in ledger.of("usage.recorded") if (row["data"]["kind"], row["data"]["role"]) == ("call", "live")
    ]


def last_approval(ledger: Ledger, deployment: str) -> tuple[datetime, datetime, list[Row]] | None:
    """Return when the first required approval was asked for, when the last was given, and all of them."""
    given = [row for row in ledger.of("approval.decided")
             if row["data"]["target"] == deployment and row["data"]["policy_required"]]  # fmt: skip
    asked = [ledger.by_id[row["causationid"]] for row in given]
    return (min(map(at, asked)), max(map(at, given)), given) if given else None


# ---- the indicators


def model_freshness(ledger: Ledger) -> Result:
    """Days since the newest data, the training and the first traffic of what serves, weighted by traffic."""
    registered = {row["data"]["version"]: row for row in ledger.of("model.version.registered")}
    runs, began = trained(ledger), first_live(ledger)
    batches = [row for row in calls(ledger) if row["data"]["mode"] == "batch" and row["data"]["outcome"] == "success"]
    by, used = {}, []
    for endpoint, shares in ledger.live().items():
        batch = [row for row in batches if row["data"]["endpoint"] == endpoint][-1:]
        weights = {batch[0]["data"]["version"]: 1.0} if batch else shares
        ages: dict[str, float | None] = {"data_age_days": 0.0, "train_age_days": 0.0, "serving_age_days": 0.0}
        for version, weight in weights.items():
            until = registered[version]["data"].get("data_until")
            since = {
                "data_age_days": moment(until) if until else None,
                "train_age_days": at(runs[version]) if version in runs else None,
                "serving_age_days": at(batch[0]) if batch else at(began[version]),
            }
            for name, start in since.items():
                old = ages[name]
                ages[name] = None if start is None or old is None else old + weight * hours(start, ledger.as_of) / 24
            used += [registered[version], *batch, began[version], *([runs[version]] if version in runs else [])]
        by[model_of(next(iter(weights)))] = ages
    known = [age["data_age_days"] for age in by.values() if age["data_age_days"] is not None]
    target = SETTINGS["kpi"]["model_freshness"]["target"]
    for age in by.values():
        age["ratio_to_target"] = None if age["data_age_days"] is None else age["data_age_days"] / target
    values = {"median_data_age_days": quantile(known, 0.5), "oldest_data_age_days": max(known, default=None),
              "unknown_count": len(by) - len(known),
              "within_target_share": share(sum(one <= target for one in known), len(known))}  # fmt: skip
    return values, by, used


def _starts(ledger: Ledger) -> list[Row]:
    """Return each version with its training, its first traffic and the other moments from which time is taken."""
    runs, began, found = trained(ledger), first_live(ledger), []
    declared = {row["pipeline"]: at(row) for row in ledger.of("pipeline.declared")}
    for version, run in runs.items():
        live = began.get(version)
        chain = ledger.chain(live) if live else []
        origin: dict[str, datetime | None] = {"trained": at(run), "started": declared.get(model_of(version))}
        for name, kind in (("code", "code.pushed"), ("data", "dataset.version.published")):
            origin[name] = next((at(row) for row in chain if row["type"] == kind), None)
        approval = last_approval(ledger, live["data"]["deployment_id"]) if live else None
        origin["approved"] = approval[1] if approval else None
        found.append({"version": version, "run": run, "live": live, "since": origin})
    firsts: set[str] = set()
    for one in sorted((one for one in found if one["live"]), key=lambda one: at(one["live"])):
        if model_of(one["version"]) in firsts:
            one["since"]["started"] = None
        firsts.add(model_of(one["version"]))
    return found


def time_to_deployment(ledger: Ledger) -> Result:
    """Hours from a start to the first production traffic, versions that never got there being censored."""
    all_versions = _starts(ledger)
    wrong = [one for one in all_versions if one["live"] and one["since"]["trained"] > at(one["live"])]
    good = [one for one in all_versions if one not in wrong]
    by: Row = {"data_errors": sorted(one["version"] for one in wrong)}
    for name in ("started", "trained", "approved", "code", "data"):
        times = [hours(one["since"][name], at(one["live"])) for one in good if one["live"] and one["since"][name]]
        by[name] = {"count": len(times), "p50_hours": quantile(times, 0.5), "p90_hours": quantile(times, 0.9)}
    censored, fates = [], Counter[str]()
    for one in good:
        if one["live"]:
            continue
        model, since = model_of(one["version"]), one["since"]["trained"]
        later = [at(other["live"]) for other in all_versions
                 if other["live"] and model_of(other["version"]) == model and other["since"]["trained"] > since]  # fmt: skip
        fates["superseded" if later else "open"] += 1
        censored.append(hours(since, min(later, default=ledger.as_of)))
    done = [hours(one["since"]["trained"], at(one["live"])) for one in good if one["live"]]
    by["segments_p50_hours"] = _segments(ledger, [one for one in good if one["live"]])
    values = {"deployed_count": len(done), "open_count": fates["open"], "superseded_count": fates["superseded"],
              "data_error_count": len(wrong), "p50_hours": quantile(done, 0.5), "p90_hours": quantile(done, 0.9),
              "kaplan_meier_median_hours": product_limit_median(done, censored)}  # fmt: skip
    return values, by, [one["run"] for one in all_versions] + [one["live"] for one in all_versions if one["live"]]


def _segments(ledger: Ledger, deployed: list[Row]) -> Row:
    """Return the median hours of the parts: evaluate, queue, approval wait, staging, canary."""
    parts: dict[str, list[float]] = {name: [] for name in ("evaluate", "queue", "approval_wait", "staging", "canary")}
    for one in deployed:
        live, version = one["live"], one["version"]
        gate = next((row for row in ledger.of("gate.evaluated") if row["data"]["version"] == version), None)
        asked = next((row for row in ledger.of("deployment.requested")
                      if row["data"]["deployment_id"] == live["data"]["deployment_id"]), None)  # fmt: skip
        approval = last_approval(ledger, live["data"]["deployment_id"])
        full = next((row for row in ledger.of("traffic.shifted")
                     if row["data"]["weights"].get(version) == 1 and row["data"]["role"] == "live"), None)  # fmt: skip
        if gate:
            parts["evaluate"].append(hours(at(one["run"]), at(gate)))
        if gate and asked:
            parts["queue"].append(hours(at(gate), at(asked)))
        if approval:
            parts["approval_wait"].append(hours(approval[0], approval[1]))
        if asked:
            parts["staging"].append(hours(approval[1] if approval else at(asked), at(live)))
        if full:
            parts["canary"].append(hours(at(live), at(full)))
    return {name: quantile(times, 0.5) for name, times in parts.items()}


def models_in_production(ledger: Ledger) -> Result:
    """Models with a live share above zero; zombies had no call in 30 days, though calls are recorded."""
    live = ledger.live()
    versions = sorted(version for shares in live.values() for version in shares)
    models = sorted({model_of(version) for version in versions})
    since = ledger.as_of - timedelta(days=30)
    asked = {model_of(row["data"]["version"]) for row in calls(ledger) if at(row) > since and row["data"]["count"] > 0}
    measured = {model_of(row["data"]["version"]) for row in ledger.of("usage.recorded")}
    zombies = [model for model in models if model in measured and model not in asked]
    unmeasured = [model for model in models if model not in measured]
    values = {"models_count": len(models), "versions_count": len(versions), "endpoints_count": len(live),
              "zombies_count": len(zombies), "unmeasured_count": len(unmeasured)}  # fmt: skip
    shifts = {one["endpoint"]: one["row"] for one in ledger.shifts() if one["endpoint"] in live}
    return (
        values,
        {"models": models, "versions": versions, "zombies": zombies, "unmeasured": unmeasured},
        list(shifts.values()),
    )


def new_models(ledger: Ledger) -> Result:
    """Models that are live for the first time ever, and versions newly live, by local month."""
    models: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    seen: set[str] = set()
    for one in ledger.deployments():
        versions[month(at(one["row"]))] += len(one["new"])
        fresh = {model_of(version) for version in one["new"]} - seen
        models[month(at(one["row"]))] += len(fresh)
        seen |= fresh
    all_months = months_until(ledger)
    by = {name: {"models_count": models[name], "versions_count": versions[name]} for name in all_months}
    values = {"models_count": sum(models.values()), "versions_count": sum(versions.values()),
              "models_per_month": sum(models.values()) / len(all_months),
              "versions_per_month": sum(versions.values()) / len(all_months)}  # fmt: skip
    return values, by, [one["row"] for one in ledger.deployments()]


def api_calls(ledger: Ledger) -> Result:
    """Online calls by caller, model, version, status and local month; rows and batches apart."""
    online = [row for row in calls(ledger) if row["data"]["mode"] == "online"]
    groups: dict[str, Counter[str]] = {name: Counter() for name in ("caller", "model", "version", "month", "status")}
    for row in online:
        data = row["data"]
        keys = {"caller": data["caller"], "model": model_of(data["version"]), "version": data["version"]}
        for name, key in (keys | {"month": month(at(row))}).items():
            groups[name][key] += data["count"]
        groups["status"]["ok"] += data["count"] - data["errors"]
        groups["status"]["error"] += data["errors"]
    excluded: Counter[str] = Counter()
    for row in ledger.of("usage.recorded"):
        if row not in calls(ledger):
            excluded["shadow" if row["data"]["role"] == "shadow" else row["data"]["kind"]] += row["data"]["count"]
    values = {f"{name}_count": sum(row["data"][field] for row in online)
              for name, field in (("calls", "count"), ("rows", "rows"), ("errors", "errors"), ("retries", "retries"))}  # fmt: skip
    values["missing_minutes"] = sum(row["data"]["minutes_missing"] for row in online)
    values["batch_rows_count"] = sum(row["data"]["rows"] for row in calls(ledger) if row["data"]["mode"] == "batch")
    by = {name: dict(sorted(counts.items())) for name, counts in (groups | {"excluded": excluded}).items()}
    return values, by, calls(ledger)


def operations_overhead(ledger: Ledger) -> Result:
    """Hours that people spent on commands, touches, approvals and incidents, from the sessions of their events."""
    kinds = ("command.issued", "touch.recorded", "approval.", "incident.")
    acts = [row for row in ledger.rows if row["type"].startswith(kinds) and acting(row) == "human"]
    sessions: list[list[Row]] = []
    for actor in sorted({row["authid"] for row in acts}):
        last = None
        for row in (row for row in acts if row["authid"] == actor):
            if last is None or at(row) - last > timedelta(minutes=15):
                sessions.append([])
            sessions[-1].append(row)
            last = at(row)
    spans = sum(hours(at(one[0]), at(one[-1])) for one in sessions)
    response = 0.0
    for row in ledger.of("incident.mitigated"):
        answered = [one for one in ledger.of("page.acknowledged") if one["data"]["page"] == row["data"].get("page")]
        response += sum(hours(at(one), at(row)) * row["data"]["responders"] for one in answered)
    total = spans + len(sessions) * 5 / 60
    waits = [
        last_approval(ledger, name) for name in sorted({r["data"]["target"] for r in ledger.of("approval.decided")})
    ]
    values = {"hours": total, "lower_hours": spans, "upper_hours": total + response, "sessions_count": len(sessions),
              "hours_per_deployment": share(total, len(ledger.deployments())),
              "model_months_count": _model_months(ledger),
              "hours_per_model_month": share(total, _model_months(ledger)),
              "approval_wait_hours": sum(hours(one[0], one[1]) for one in waits if one)}  # fmt: skip
    return values, {}, acts


def _model_months(ledger: Ledger) -> int:
    """Return the number of pairs of a model and a local month in which it was live at any moment."""
    found, shifts = set(), ledger.shifts()
    for one in shifts:
        later = (at(x["row"]) for x in shifts if x["endpoint"] == one["endpoint"] and at(x["row"]) > at(one["row"]))
        until = month(next(later, ledger.as_of) - timedelta(seconds=1))
        inside = [name for name in months_until(ledger) if month(at(one["row"])) <= name <= until]
        found |= {(model_of(version), name) for version in one["after"] for name in inside}
    return len(found)


def automation_share(ledger: Ledger) -> Result:
    """The mean over active pipelines of the share of a stage's sampled transitions that automation started."""
    values: Row = {}
    by: Row = {}
    used = []
    for stage in PROFILE:
        shares = []
        for pipeline in ledger.active:
            modes = [one["mode"] for one in sample(ledger, pipeline, stage)]
            used += [one["row"] for one in sample(ledger, pipeline, stage)]
            if modes:
                auto, unknown = sum(mode in AUTOMATED for mode in modes), modes.count("unknown")
                shares.append((auto / len(modes), unknown / len(modes)))
                by.setdefault(pipeline, {})[stage] = {"n": len(modes), "auto": auto, "unknown": unknown}
        for place, name in enumerate(("share", "unknown_share")):
            values[f"{stage}_{name}"] = sum(one[place] for one in shares) / len(shares) if shares else None
    known = [values[f"{stage}_share"] for stage in PROFILE if values[f"{stage}_share"] is not None]
    values["overall_share"] = share(sum(known), len(known))
    return values, by, used


def override_rate(ledger: Ledger) -> Result:
    """Overridden transitions among those that automation started or that were overridden, of the samples."""
    found = [one for p in ledger.active for stage in PROFILE for one in sample(ledger, p, stage)]
    found = [one for one in found if one["mode"] in (*AUTOMATED, "overridden")]
    overridden = sum(one["mode"] == "overridden" for one in found)
    stamps = {row["id"] for p in ledger.active for one in sample(ledger, p, "deploy") for row in one["rubber_stamps"]}
    values = {"share": share(overridden, len(found)), "overridden_count": overridden, "transitions_count": len(found),
              "rubber_stamps_count": len(stamps)}  # fmt: skip
    return values, {}, [one["row"] for one in found]


def level_distribution(ledger: Ledger) -> Result:
    """Active pipelines by level; level 0 for want of trainings is its own bucket; goals beside."""
    values: Row = {"active_count": len(ledger.active), "archived_count": len(ledger.archived)}
    by: Row = {"archived": ledger.archived, "goals": []}
    for policy in ("standard", "strict"):
        counts: Counter[str] = Counter()
        for pipeline in ledger.active:
            found = level(ledger, pipeline, policy)
            is_unsaid = found["level"] == 0 and found["blocking"][0]["status"] == "insufficient"
            counts["insufficient" if is_unsaid else str(found["level"])] += 1
        by[policy] = {name: counts[name] for name in ("0", "1", "2", "3", "4", "insufficient")}
    for goal in SETTINGS["goal"]:
        reached = sum(count for name, count in by[goal["policy"]].items()
                      if name.isdigit() and int(name) >= goal["level"])  # fmt: skip
        now = share(reached, len(ledger.active))
        by["goals"].append({"level": goal["level"], "by": str(goal["by"]), "target_share": goal["share"],
                            "share": now, "is_met": now is not None and now >= goal["share"]})  # fmt: skip
    values["goal_share"] = by["goals"][0]["share"]
    return values, by, [row for row in ledger.of("pipeline.declared") if row["pipeline"] in ledger.active]


def _blamed(ledger: Ledger, verdicts: tuple[str, ...]) -> set[str]:
    """Return the ids of the changes that incidents were attributed to."""
    found = [attribution(ledger, one) for one in incidents(ledger)]
    return {event for one in found if one["verdict"] in verdicts for event in one["weights"]}


def change_failure_rate(ledger: Ledger) -> Result:
    """The share of mature production deployments with at least one failure attributed to them."""
    rows = [one["row"] for one in ledger.deployments()]
    mature = [row for row in rows if at(row) <= ledger.as_of - timedelta(hours=24)]
    failed = [row for row in mature if row["id"] in _blamed(ledger, ("proven", "likely"))]
    perhaps = [row for row in mature if row["id"] in _blamed(ledger, ("proven", "likely", "ambiguous"))]
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


def _merged(ledger: Ledger) -> list[Row]:
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
    found = _merged(ledger)
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
    blamed = _blamed(ledger, ("proven", "likely"))
    changes = [one["row"] for one in ledger.deployments()] + ledger.of("config.changed")
    modes = {row["id"]: mode_of_change(ledger, row) for row in changes}
    human = [key for key, mode in modes.items() if mode in HUMAN_MODES]
    auto = [key for key, mode in modes.items() if mode in AUTOMATED]
    a, c = sum(key in blamed for key in human), sum(key in blamed for key in auto)
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


def iteration_time(ledger: Ledger) -> Result:
    """Hours from the push, dataset version or alert at the beginning of a chain to the new version live."""
    starts = ("code.pushed", "dataset.version.published", "monitor.alert.raised")
    times, used, gains = [], [], []
    suites = {row["data"]["version"]: row for row in ledger.of("fitness.suite.finished")}
    for one in ledger.deployments():
        begun = [row for row in ledger.chain(one["row"]) if row["type"] in starts]
        if begun:
            times.append(hours(at(begun[-1]), at(one["row"])))
            used += [begun[-1], one["row"]]
        for version in one["new"]:
            data = suites[version]["data"] if version in suites else {}
            if data.get("champion"):
                gain = data["metrics"]["accuracy"] - data["champion"]["metrics"]["accuracy"]
                gains.append((model_of(version), month(at(one["row"])), round(gain, 6)))
    better = [one for one in gains if one[2] > 0]
    values = {"p50_hours": quantile(times, 0.5), "p90_hours": quantile(times, 0.9), "count": len(times),
              "improvements_count": len(better), "accuracy_gained": round(sum(one[2] for one in better), 6)}  # fmt: skip
    return values, {"improvements": [list(one) for one in better]}, used


def feedback_time(ledger: Ledger) -> Result:
    """Hours from each act to what tells of its effect."""
    runs = {row["data"]["run_id"]: row for row in ledger.of("run.finished")}
    gates = ledger.of("gate.evaluated")
    pushes = {
        row["id"]: next((link for link in ledger.chain(row) if link["type"] == "code.pushed"), None) for row in gates
    }
    found = [one for one in _merged(ledger) if not one["is_ticket"]]
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


def pipelines_under_ci(ledger: Ledger) -> Result:
    """Active pipelines whose pushes are, four in five, tested and released automatically; slope over the months."""
    monthly = []
    for name in months_until(ledger):
        first = datetime(2024, int(name[5:]), 1, tzinfo=ZONE)
        end = (first + timedelta(days=32)).replace(day=1)
        monthly.append(_under_ci(Ledger(ledger.rows, end.astimezone(UTC)))[0] or 0.0)
    middle = (len(monthly) - 1) / 2
    spread = sum((place - middle) ** 2 for place in range(len(monthly)))
    slope = sum((place - middle) * one for place, one in enumerate(monthly)) / spread if spread else None
    now, names = _under_ci(ledger)
    releases = ledger.of("pipeline_version.released")
    values = {"share": now, "slope_per_month": slope, "releases_count": len(releases),
              "releases_per_month": len(releases) / len(monthly)}  # fmt: skip
    return values, {"pipelines": names, "share_by_month": monthly}, ledger.of("code.pushed") + releases


def _under_ci(ledger: Ledger) -> tuple[float | None, list[str]]:
    """Return the share of active pipelines under continuous integration, and which they are."""
    released = {link["id"] for row in ledger.of("pipeline_version.released")
                if row["data"]["tests"] == "passed" and acting(row) == "automation" for link in ledger.chain(row)}  # fmt: skip
    names = []
    for pipeline in ledger.active:
        pushes = ledger.of("code.pushed", pipeline)
        if pushes and sum(row["id"] in released for row in pushes) >= 0.8 * len(pushes):
            names.append(pipeline)
    return share(len(names), len(ledger.active)), names


def frameworks_and_libraries(ledger: Ledger) -> Result:
    """How many models run with how many frameworks and libraries, from the locks of the live versions' runs."""
    runs, frameworks, libraries, models, used = trained(ledger), set(), set(), set(), []
    versions = [version for shares in ledger.live().values() for version in shares]
    unknown = 0
    for version in versions:
        run = runs.get(version)
        locked = run["data"].get("environment") if run else None
        unknown += not locked
        if run and locked:
            models.add(model_of(version))
            frameworks |= set(locked["frameworks"])
            libraries |= {one.split("==")[0] for one in locked["libraries"]}
            used.append(run)
    first = min((at(row) for row in first_live(ledger).values()), default=None)
    months = sum(name >= month(first) for name in months_until(ledger)) if first else 0
    said = f"{len(models)} models with {len(frameworks)} frameworks and {len(libraries)} libraries in {months} months"
    values = {"models_count": len(models), "frameworks_count": len(frameworks), "libraries_count": len(libraries),
              "months_count": months, "unknown_count": unknown}  # fmt: skip
    return values, {"sentence": said, "frameworks": sorted(frameworks), "libraries": sorted(libraries)}, used


def reproducible_share(ledger: Ledger) -> Result:
    """The share of live versions whose code, data, configuration, environment and seed are all recorded."""
    runs, parts = trained(ledger), ("code_sha", "inputs", "params_digest", "environment", "seed")
    versions = sorted(version for shares in ledger.live().values() for version in shares)
    missing = {}
    for version in versions:
        data = runs[version]["data"] if version in runs else {}
        missing[version] = [part for part in parts if data.get(part) in (None, "", [], {})]
    whole = sum(not one for one in missing.values())
    values = {"share": share(whole, len(versions)), "reproducible_count": whole, "versions_count": len(versions)}
    return values, {"missing": missing}, [runs[version] for version in versions if version in runs]


def value_at_stake(ledger: Ledger) -> Result:
    """Declared value of the days that passed versions waited; days and hours saved against the baseline."""
    began, by, used = first_live(ledger), {}, []
    for row in ledger.of("assessment.recorded"):
        model, intervals = row["data"]["model"], []
        ready = {gate["data"]["version"]: at(gate) for gate in ledger.of("gate.evaluated", model)
                 if gate["data"]["decision"] == "pass"}  # fmt: skip
        for version, since in ready.items():
            live = began.get(version)
            approval = last_approval(ledger, live["data"]["deployment_id"]) if live else None
            later = [at(began[other]) for other in ready if other in began and ready[other] > since]
            until = at(live) if live else min(later, default=ledger.as_of)
            intervals.append((max(since, approval[1]) if approval else since, until))
        waited, end = 0.0, None
        for since, until in sorted(intervals):
            since = max(since, end) if end else since
            waited += max(0.0, hours(since, until) / 24)
            end = max(end, until) if end else until
        by[model] = {"waiting_days": waited, "usd": waited * row["data"]["value_per_day"]}
        used.append(row)
    good = [one for one in _starts(ledger) if one["live"] and one["since"]["trained"] <= at(one["live"])]
    days = [hours(one["since"]["trained"], at(one["live"])) / 24 for one in good]
    spent = operations_overhead(ledger)[0]["hours"]
    base = SETTINGS["baseline"]
    values = {"waiting_days": sum(one["waiting_days"] for one in by.values()),
              "usd": sum(one["usd"] for one in by.values()),
              "saved_days": sum(base["days_to_deployment"] - one for one in days),
              "saved_hours": base["hours_per_deployment"] * len(ledger.deployments()) - spent}  # fmt: skip
    return values, by, used


def paths(ledger: Ledger) -> Result:
    """The share and the time of deployments along a path that was approved and had not expired."""
    approved = {row["data"]["path"]: (at(row), moment(row["data"]["expires_at"])) for row in ledger.of("path.approved")}
    runs, along, outside = trained(ledger), [], []
    for one in ledger.deployments():
        since, until = approved.get(one["row"]["data"].get("path"), (ledger.as_of, ledger.as_of))
        (along if since <= at(one["row"]) < until else outside).append(one)
    values: Row = {"share": share(len(along), len(along) + len(outside)), "along_count": len(along)}
    for name, group in (("along", along), ("outside", outside)):
        times = [hours(at(runs[v]), at(one["row"])) for one in group for v in one["new"] if v in runs]
        values[f"{name}_p50_hours"] = quantile([time for time in times if time >= 0], 0.5)
    values["expired_count"] = sum(until <= ledger.as_of for _, until in approved.values())
    return values, {}, [one["row"] for one in along + outside] + ledger.of("path.approved")


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


def reuse_rate(ledger: Ledger) -> Result:
    """The share of uses of modules whose digest two or more pipelines use; forks are missed reuse."""
    uses = {
        (row["pipeline"], row["data"]["digest"]): row for row in ledger.of("module.used") if not row["data"]["vendor"]
    }
    users = Counter(digest for _, digest in uses)
    reused = [row for (_, digest), row in uses.items() if users[digest] >= 2]
    across = [row for row in reused if row["data"]["owner_team"] != row["data"]["user_team"]]
    trees: dict[str, set[str]] = {}
    for row in uses.values():
        trees.setdefault(row["data"]["ast_digest"], set()).add(row["data"]["module"])
    forks = [sorted(names) for names in trees.values() if len(names) > 1]
    by: Row = {"missed_reuse": sorted(forks), "kinds": {}}
    for kind in sorted({row["data"]["kind"] for row in uses.values()}):
        of_kind = [row for row in uses.values() if row["data"]["kind"] == kind]
        by["kinds"][kind] = share(sum(row in reused for row in of_kind), len(of_kind))
    values = {"share": share(len(reused), len(uses)), "cross_team_share": share(len(across), len(uses)),
              "uses_count": len(uses), "missed_reuse_count": len(forks)}  # fmt: skip
    return values, by, list(uses.values())


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


def audit_completeness(ledger: Ledger) -> Result:
    """Imported events among those that the sources claim; unknown initiators; broken chains of causes."""
    by: Row = {}
    for row in ledger.of("source.cursor"):
        data = row["data"]
        events = [one for one in ledger.rows
                  if one["source"] == data["source"] and moment(data["from"]) <= at(one) < moment(data["to"])]  # fmt: skip
        entry = by.setdefault(data["source"], {"imported_count": 0, "claimed_count": 0})
        entry["imported_count"] += len(events)
        entry["claimed_count"] += data["count"]
    got, claimed = (sum(one[name] for one in by.values()) for name in ("imported_count", "claimed_count"))
    found = [one for p in ledger.active for stage in PROFILE for one in sample(ledger, p, stage)]
    unknown = sum(one["root"] == "unknown" for one in found)
    broken = [row for row in ledger.rows if row["causationid"] and row["causationid"] not in ledger.by_id]
    complete = share(got, claimed)
    target = SETTINGS["kpi"]["audit_completeness"]["target"]
    values = {"share": complete, "imported_count": got, "claimed_count": claimed,
              "unknown_initiators_share": share(unknown, len(found)), "broken_chains_count": len(broken),
              "is_warning": None if complete is None else int(complete < target)}  # fmt: skip
    return values, by, ledger.of("source.cursor") + broken


KPIS: tuple[Callable[[Ledger], Result], ...] = (
    model_freshness, time_to_deployment, models_in_production, new_models, api_calls, cost, operations_overhead,
    automation_share, override_rate, level_distribution, change_failure_rate, rework_rate, time_to_restore,
    human_induced_errors, iteration_time, feedback_time, pipelines_under_ci, frameworks_and_libraries,
    reproducible_share, value_at_stake, paths, pages, reuse_rate, service_levels, audit_completeness,
)  # fmt: skip


def work_out() -> Row:
    """Return everything that is expected of the golden year."""
    rows = read(FOLDER / "year.jsonl")
    expected: Row = {"levels": {}, "incidents": {}}
    for name, as_of in MOMENTS.items():
        ledger = Ledger(rows, as_of)
        expected[name] = {kpi.__name__: _entry(*kpi(ledger)) for kpi in KPIS}
        expected["levels"][name] = {
            pipeline: {policy: level(ledger, pipeline, policy) for policy in ("standard", "strict")}
            for pipeline in ledger.pipelines
        }
        expected["incidents"][name] = {one["name"]: attribution(ledger, one) for one in incidents(ledger)}
    return expected


def _entry(values: Row, by: Row, used: list[Row]) -> Row:
    """Return a result as it is written; with no event behind it there is no evidence."""
    status = "ok" if used else "no evidence"
    return {
        "status": status,
        "values": rounded(values),
        "by": rounded(by),
        "events": sorted({row["id"] for row in used}),
    }


def rounded(value: Any) -> Any:
    """Return a value with all its quotients cut to nine places."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


def text() -> str:
    """Return what belongs into ``expected.json``."""
    return json.dumps(work_out(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (FOLDER / "expected.json").write_text(text(), encoding="utf-8")
