"""The indicators of automation: people's hours, shares, overrides, levels, reuse, value, completeness.

Invariant: an unknown start is its own share and never counts as automation.
"""

from collections import Counter
from datetime import timedelta

from incidents_again import moment
from ledger_again import PROFILE, Ledger, Row, acting, at, hours, level, sample
from terms import AUTOMATED, SETTINGS, Result, first_live, last_approval, model_of, month, months_until, share
from work_out_delivery import starts


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
            waited += max(0.0, hours(max(since, end) if end else since, until) / 24)
            end = max(end, until) if end else until
        by[model] = {"waiting_days": waited, "usd": waited * row["data"]["value_per_day"]}
        used.append(row)
    good = [one for one in starts(ledger) if one["live"] and one["since"]["trained"] <= at(one["live"])]
    days = [hours(one["since"]["trained"], at(one["live"])) / 24 for one in good]
    spent = operations_overhead(ledger)[0]["hours"]
    base = SETTINGS["baseline"]
    values = {"waiting_days": sum(one["waiting_days"] for one in by.values()),
              "usd": sum(one["usd"] for one in by.values()),
              "saved_days": sum(base["days_to_deployment"] - one for one in days),
              "saved_hours": base["hours_per_deployment"] * len(ledger.deployments()) - spent}  # fmt: skip
    return values, by, used


def audit_completeness(ledger: Ledger) -> Result:
    """Imported events among those that the sources claim; unknown initiators; broken chains of causes."""
    by: Row = {}
    for row in ledger.of("source.cursor"):
        data = row["data"]
        since, until = moment(data["from"]), moment(data["to"])
        events = [one for one in ledger.rows if one["source"] == data["source"] and since <= at(one) < until]
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
