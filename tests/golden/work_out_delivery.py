"""The indicators of delivery: how old, how fast, how many, how much is asked, how it is built.

Invariant: a version counts from its first live traffic, and what never got there is counted and never dropped.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta

from incidents_again import moment
from ledger_again import Ledger, Row, acting, at, hours, product_limit_median, quantile
from terms import (
    SETTINGS,
    ZONE,
    Result,
    calls,
    first_live,
    last_approval,
    model_of,
    month,
    months_until,
    share,
    trained,
)


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


def starts(ledger: Ledger) -> list[Row]:
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
    all_versions = starts(ledger)
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
        others = [other for other in all_versions if other["live"] and model_of(other["version"]) == model]
        later = [at(other["live"]) for other in others if other["since"]["trained"] > since]
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
    fields = {"calls_count": "count", "rows_count": "rows", "errors_count": "errors", "retries_count": "retries"}
    values = {name: sum(row["data"][field] for row in online) for name, field in fields.items()}
    values["missing_minutes"] = sum(row["data"]["minutes_missing"] for row in online)
    values["batch_rows_count"] = sum(row["data"]["rows"] for row in calls(ledger) if row["data"]["mode"] == "batch")
    by = {name: dict(sorted(counts.items())) for name, counts in (groups | {"excluded": excluded}).items()}
    return values, by, calls(ledger)


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
              "improvements_count": len(better), "accuracy_gained": sum(one[2] for one in better)}  # fmt: skip
    return values, {"improvements": [list(one) for one in better]}, used


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
    releases = [row for row in ledger.of("pipeline_version.released") if row["data"]["tests"] == "passed"]
    released = {link["id"] for row in releases if acting(row) == "automation" for link in ledger.chain(row)}
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
