"""Independent oracle: automation levels from an exported ledger, written from the definition of levels alone."""
import json
import sys
import tomllib
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from croniter import croniter_range

DAY, GONE, GRADES = timedelta(days=1), "rule.deleted", ["native", "attested", "imported", "inferred"]
DEFAULTS = {"N": 20, "W": "180d", "n_min": 3, "theta": 0.8, "evidence_min": "inferred", "min": 1, "fires": 2}
COUNTED = {"init": ("auto",), "exec": ("auto", "human")}  # modes (2.3); no type of the payloads makes gated or semi
BROKEN = {"type": "broken", "evidence": "none", "at": ""}  # stands for a cause that is missing or was met before
STAGES = {"dataset.generated": "dataset", "dataset": "data", "code": "data", "run": "train", "artifact": "train",
          "model": "train", "fitness": "evaluate", "gate": "evaluate", "deployment": "deploy", "traffic": "deploy",
          "monitor": "monitor", "sample": "sample", "label": "label", "feedback": "label"}
PLAIN = ("dataset.version.published", "monitor.evaluated", "sample.taken", "feedback.joined", "dataset.generated")

def parse(lines):
    """Yield events by seq, data and envelope in one dict, with the stage as `at` and the time of 2.4 as `when`."""
    for row in sorted(map(json.loads, filter(str.strip, lines)), key=lambda row: row["seq"]):
        event = (row["data"] or {}) | {key: value for key, value in row.items() if value not in ("", None)}
        recorded, time = (datetime.fromisoformat(row[key]) for key in ("recordedtime", "time"))
        trusted = time <= recorded if event.get("evidence") == "imported" else abs(recorded - time) <= DAY / 24
        seen = min(recorded, time) if event.get("evidence") == "imported" else recorded
        event |= {"recorded": recorded, "seen": seen, "when": time if trusted else recorded, "new": {}}
        own = "deploy" if event.get("kind") == "smoke" else event.get("target_stage") or STAGES.get(row["type"])
        yield event | {"at": own or STAGES.get(row["type"].partition(".")[0]) or event.get("stage", "")}

def actor(e):
    """Class an actor AUTO, HUMAN or UNKNOWN: from best to worst in the order of the alphabet (1.1)."""
    claims, kind = e.get("authclaims") or e.get("claims") or {}, e.get("authtype")
    if e.get("evidence") == "imported" and e.get("trigger") in ("schedule", "data", "code", "metric"): return "AUTO"
    if claims.get("on_behalf_of"): return "AUTO" if claims.get("minted_by") == "rule" else "HUMAN"
    if kind in ("user", "app_user") or claims.get("person"): return "HUMAN"
    known = claims.get("minted_by") in ("rule", "engine", "oidc") or claims.get("system")
    return "AUTO" if known and kind in ("system", "service_account", "api_key") else "UNKNOWN"

class Ledger:
    """One pipeline's events as of a moment, measured by one policy; `of` lists them by type, in order."""
    def __init__(self, events, policy, pipeline, as_of):
        self.policy = policy if isinstance(policy, dict) else tomllib.loads(Path(policy).read_text())
        self.options, self.as_of, self.of = DEFAULTS | self.policy.get("defaults", {}), as_of, defaultdict(list)
        self.index = {(e["source"], e["id"]): e for e in events if e["seen"] <= as_of}
        mine = [e for e in self.index.values() if e.get("pipeline") == pipeline]
        for e in sorted(mine, key=lambda e: (e["when"], e["seq"])): self.of[e["type"]].append(e)
        declared, days = (self.of["pipeline.declared"] or [{}])[-1], int(self.options["W"].rstrip("d"))
        self.start = as_of.astimezone(UTC) - max(days, 4 * (declared.get("cadence_days") or 0)) * DAY
        self.rules = {e["rule_id"]: e if e["enabled"] and e["type"] != GONE else {} for e in mine if "enabled" in e}
        self.na, self.shifts = declared.get("na") or {}, list(self.scan())
    def scan(self):
        """Yield shifts of live production traffic with the versions live `now` and `before`, and what is `new`."""
        live, gates = defaultdict(set), self.of["gate.evaluated"]
        for e in (e for e in self.of["traffic.shifted"] if (e["env"], e["role"]) == ("production", "live")):
            before, now = live[e["endpoint"]], {version for version, share in e["weights"].items() if share > 0}
            new = {version: e["artifact_digests"].get(version) for version in now - before}
            passes = {g["artifact_digest"] for g in gates if g["decision"] == "pass" and g["when"] <= e["when"]}
            yield e | {"now": now, "before": before, "new": new, "gate_before_deploy": passes >= {*new.values()}}
            live[e["endpoint"]] = now
    def chain(self, event):
        """List an event and its causes, up to the root or to BROKEN."""
        path = [event]
        while ref := path[-1].get("causationid") or path[-1].get("trigger_event"):
            cause = self.index.get((path[-1]["source"], ref)) or self.index.get(("ratchet", ref), BROKEN)
            path.append(BROKEN if cause in path else cause)
        return path
    def walk(self, stage, start):
        """Class what started an event of a stage (2.2)."""
        path, grades = self.chain(start), GRADES[:GRADES.index(self.options["evidence_min"]) + 1]
        for event, cause in zip(path, path[1:] + [None]):
            if event.get("evidence", "native") not in grades: return "UNKNOWN"
            if event["type"] == "command.issued" or not cause: return actor(event)
            signal = cause.get("declared_signal", cause["type"] != "custom.emitted")  # false: a button in disguise
            leaves = signal and cause is not BROKEN and cause["at"] != stage
            if event["type"] == "rule.fired" and self.single_use(event["rule_id"]): return "HUMAN"
            if event["type"] == "rule.fired" and leaves: return "AUTO"
            if leaves and cause["at"] and cause["type"] not in ("command.issued", "rule.fired"): return actor(event)
    def single_use(self, name):
        """Tell whether a rule fired less than twice and is no enabled preset and no enabled recurring cron."""
        rule, fires = self.rules.get(name, {}), [e for e in self.of["rule.fired"] if e["rule_id"] == name]
        slots = croniter_range(self.start, self.as_of.astimezone(UTC), rule["cron"]) if rule.get("cron") else ()
        return len(fires) < 2 and rule.get("origin") != "template" and len(list(zip("ab", slots))) < 2
    def transitions(self, stage):
        """List completed object changes of a stage (2.1): each the event, then others whose starts count too."""
        found, gates, tests = defaultdict(dict), self.of["gate.evaluated"], self.of["fitness.suite.finished"]
        for e in (e for kind in PLAIN for e in self.of[kind] if e["at"] == stage and not e.get("generated")):
            found[str(e.get("window", e["id"]))].setdefault(e.get("monitor"), e)
        for e in gates if stage == "evaluate" else ():
            suites = {t["kind"]: t for t in tests if t.get("run_id") == e["run_id"] and t["seq"] < e["seq"]}
            if set(e["suites"]) <= suites.keys(): found[e["id"]] = {"": e} | suites
        for e in self.of["run.finished"] if stage == "train" else ():
            if e["outcome"] == "success" and e["run_id"] in [gate["run_id"] for gate in gates]:
                found[str((sorted(e["inputs"]), e["code_sha"], e["params_digest"]))].setdefault("", e)
        return [[e] for e in self.shifts if stage == "deploy" and e["new"]] + [[*f.values()] for f in found.values()]
    def mode(self, stage, first, *more):
        """Name the mode of a transition; "human" is what 2.3 calls assisted."""
        who = max([self.walk(stage, e) for e in (first, *more)] + [actor(s) for s in first.get("senders") or ()])
        back = [e for e in self.shifts if first["new"] and e["endpoint"] == first["endpoint"] and DAY * 0 < e["when"] -
                first["when"] <= DAY and e["now"] <= first["before"] and not e["now"] & first["new"].keys()]
        forced = first["new"] and first.get("deployment_id") in [e["deployment_id"] for e in self.of["gate.bypassed"]]
        if forced or (who == "AUTO" and "HUMAN" in [self.walk(stage, e) for e in back]): return "overridden"
        made = {e["artifact_digest"] for e in self.of["model.version.registered"] if e.get("run_id")}
        return "manual" if {*first["new"].values()} - made else who.lower()
    def closed(self, deploy):
        """Tell whether live traffic goes back to an alert or label threshold by automatically started links (2.5)."""
        path, steps = self.chain(deploy), ("gate.evaluated", "run.finished", "dataset.generated")
        links = zip(path, path[1:] + [BROKEN])
        order = all(any(e["type"] == step for e, _ in links) for step in steps)
        ends = [e for e, up in links if e["type"] == "rule.fired" and (up["at"] == "label" or "raised" in up["type"])]
        return order and ends != [] and all(self.walk(e["at"], e) == "AUTO" for e in path[:path.index(ends[0]) + 1])
    def stale(self, stage, whens):
        """Tell whether the last transition is old although an enabled rule for the stage had cause since (2.4)."""
        limit = max(3 * median([whens[n] - whens[n - 1] for n in range(1, len(whens))] or [DAY]), 30 * DAY)
        later = [e for e in self.of["rule.fired"] + self.of["rule.suppressed"] if e["when"] > whens[-1]]
        names = [e["rule_id"] for e in later if e["condition_result"]] if self.as_of - whens[-1] > limit else []
        return any(stage in self.rules.get(name, {}).get("leads_to", ()) for name in names)
    def met(self, level, criterion):
        """Tell whether a criterion holds (2.4, 2.5)."""
        c, kind, stage = self.options | criterion, criterion["measure"], criterion.get("stage", "deploy")
        if criterion.get("stage") in level.get("na_allowed", ()) and self.na.get(stage): return True
        if kind == "loop_closure": return sum(self.closed(e) for e in self.shifts if e["new"]) >= c["min"]
        if kind == "user_rules_fired":
            done = {(f["rule_id"], f["id"]) for e in self.of["rule.action.succeeded"] if e["origin"] == "user"
                    for f in self.chain(e) if f["type"] == "rule.fired" and f["rule_id"] == e["rule_id"]}
            return sum(n >= c["fires"] for n in Counter(name for name, _ in done).values()) >= c["min"]
        sample = [t for t in self.transitions(stage) if t[0]["when"] > self.start][-c["N"]:]
        good = [self.mode(stage, *t) in COUNTED[kind] if kind in COUNTED else t[0][kind] for t in sample]
        enough = len(good) >= c["n_min"] and sum(good) / len(good) >= c["theta"]
        return enough and not self.stale(stage, [t[0]["when"] for t in sample])
    def level(self):
        """Find the highest level that is met with all below it (2.5)."""
        ranks = sorted(self.policy["level"], key=lambda rank: rank["id"])
        met = [all(self.met(rank, criterion) for criterion in rank["all"]) for rank in ranks] + [False]
        return [0, *(rank["id"] for rank in ranks)][met.index(False)]

def levels(lines, *, policy, pipeline, as_of):
    """Compute the level of a pipeline as of a moment."""
    return Ledger(parse(lines), policy, pipeline, as_of).level()

def month_ends(lines, policy, pipeline, time_zone="America/New_York"):
    """Compute the level at the end of each month, from that of the pipeline's first event to that of its last."""
    events, zone = list(parse(lines)), ZoneInfo(time_zone)
    days = [e["seen"].astimezone(zone) for e in events if e.get("pipeline") == pipeline]
    months = [day.year * 12 + day.month for day in days] or [0]
    ends = [datetime(n // 12, n % 12 + 1, 1, tzinfo=zone) for n in range(min(months), max(months) + 1) if n]
    return {f"{end - DAY:%Y-%m}": Ledger(events, policy, pipeline, end).level() for end in ends}

if __name__ == "__main__":
    for row in month_ends(Path(sys.argv[1]).read_text().split("\n"), *sys.argv[2:]).items(): print(*row)
