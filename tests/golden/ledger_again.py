"""The ledger read a second time, by hand: causes, initiators, modes, transitions and levels, from MEASURE's words.

Invariant: nothing of the product is used here, so that an error in the product cannot hide in what it is checked by.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]
STAGES = {
    "data": ["dataset.version.published", "dataset.check.finished", "feature_view.published"],
    "experiment": ["experiment.started", "experiment.concluded"],
    "train": ["run.queued", "run.started", "run.finished", "artifact.published", "model.version.registered"],
    "evaluate": ["fitness.suite.finished", "gate.evaluated"],
    "deploy": [
        *("gate.bypassed", "path.approved", "path.expired", "approval.requested", "approval.decided"),
        *("approval.closed", "deployment.requested", "deployment.started", "deployment.completed"),
        *("deployment.failed", "traffic.shifted", "deployment.rolledback", "canary.judged", "service.removed"),
        "config.changed",
    ],
    "serve": ["usage.recorded", "prediction_log.segment.sealed"],
    "monitor": ["monitor.evaluated", "monitor.alert.raised", "monitor.alert.cleared", "slo.window.closed"],
    "sample": ["sample.taken"],
    "label": ["feedback.joined", "label.batch.created", "label.batch.ingested", "label.submitted"],
    "dataset": ["dataset.generated"],
    "code": ["code.pushed", "pipeline_version.released"],
}
STAGE_OF = {kind: stage for stage, kinds in STAGES.items() for kind in kinds}
PROFILE = ("data", "train", "evaluate", "deploy", "monitor", "sample", "label", "dataset")
WINDOW = timedelta(days=180)
DAY = timedelta(days=1)
HUMAN_MODES = ("assisted", "semi", "overridden", "manual")


def at(row: Row) -> datetime:
    """Return when an event happened; nothing in this year is backdated by more than an hour."""
    return datetime.fromisoformat(row["time"])


def hours(since: datetime, until: datetime) -> float:
    """Return the hours from one moment to another."""
    return (until - since).total_seconds() / 3600


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return a quantile by linear interpolation between order statistics: place (n - 1) x share, from 0."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def product_limit_median(done: list[float], censored: list[float]) -> float | None:
    """Return the Kaplan-Meier median: the first time at which the survival is 1/2 or less; None if it never is.

    Cases censored at the same time as an end still count as at risk then.
    """
    survival = 1.0
    for time in sorted(set(done)):
        at_risk = sum(one >= time for one in [*done, *censored])
        survival *= 1 - done.count(time) / at_risk
        if survival <= 0.5 + 1e-12:
            return time
    return None


def actor_class(kind: str, claims: Row) -> str:
    """Return human, automation or unknown, from the credential alone."""
    if kind in ("user", "app_user") or (kind == "api_key" and claims.get("person")):
        return "human"
    if kind not in ("system", "service_account", "api_key"):
        return "unknown"
    return "automation" if claims.get("minted_by") or claims.get("system") else "unknown"


def acting(row: Row) -> str:
    """Return the class of whoever did something; in imported events the trigger of the source decides."""
    if row["evidence"] == "imported":
        said = {"schedule": "automation", "code": "automation", "data": "automation", "ui": "human", "cli": "human"}
        if row["trigger"] in said:
            return said[row["trigger"]]
    return actor_class(row["authtype"], row["authclaims"])


def weakest(classes: Iterable[str]) -> str:
    """Return unknown before human before automation."""
    return min(classes, key=("unknown", "human", "automation").index)


class Ledger:
    """The events recorded up to a moment."""

    def __init__(self, rows: list[Row], as_of: datetime) -> None:
        """Keep what was recorded by then, in the order of time."""
        self.as_of = as_of
        self.rows = [row for row in rows if datetime.fromisoformat(row["recordedtime"]) <= as_of]
        self.rows.sort(key=lambda row: (at(row), row["seq"]))
        self.by_id = {row["id"]: row for row in self.rows}

    def of(self, kind: str, pipeline: str | None = None) -> list[Row]:
        """Return the events of one type, of one pipeline if it is named."""
        return [row for row in self.rows if row["type"] == kind and pipeline in (None, row["pipeline"])]

    def chain(self, row: Row) -> list[Row]:
        """Return an event and its causes up to the root, or to where the chain breaks."""
        links = [row]
        while (cause := self.by_id.get(links[-1]["causationid"])) is not None:
            links.append(cause)
        return links

    def is_broken(self, row: Row) -> bool:
        """Tell whether a chain ends at a cause that is not in the ledger."""
        return bool(self.chain(row)[-1]["causationid"])

    @property
    def pipelines(self) -> list[str]:
        """Return the declared pipelines, in the order of their names."""
        return sorted(row["pipeline"] for row in self.of("pipeline.declared"))

    @property
    def archived(self) -> list[str]:
        """Return the archived pipelines."""
        return sorted(row["pipeline"] for row in self.of("pipeline.archived"))

    @property
    def active(self) -> list[str]:
        """Return pipelines with an event in the last 90 days that are not archived."""
        recent = {row["pipeline"] for row in self.rows if at(row) >= self.as_of - 90 * DAY}
        return [name for name in self.pipelines if name in recent and name not in self.archived]

    def shifts(self, pipeline: str | None = None) -> list[Row]:
        """Return the shifts of live production traffic, each with what was live before and what is newly live.

        ``kind`` is ``new``, ``rollback`` (a version that was live on the endpoint before), ``again`` (a version whose
        bytes were) or ``""`` where nothing became live.
        """
        live: dict[str, Row] = {}
        seen: dict[str, set[str]] = {}
        found = []
        for row in self.of("traffic.shifted"):
            data = row["data"]
            if (data["env"], data["role"]) != ("production", "live"):
                continue
            place = data["endpoint"]
            before = live.get(place, {})
            new = sorted(set(data["weights"]) - set(before))
            known, digests = seen.setdefault(place, set()), {data["artifact_digests"].get(one, "") for one in new}
            kind = "" if not new else "rollback" if set(new) <= known else "again" if digests <= known else "new"
            known |= set(new) | digests
            live[place] = data["weights"]
            bytes_of = {one: data["artifact_digests"].get(one, "") for one in new}
            found.append({"row": row, "endpoint": place, "before": before, "after": data["weights"], "new": new,
                          "kind": kind, "digests": bytes_of})  # fmt: skip
        return [one for one in found if pipeline in (None, one["row"]["pipeline"])]

    def deployments(self) -> list[Row]:
        """Return the production deployments: what made a version live, without rollbacks and the same bytes again."""
        return [one for one in self.shifts() if one["kind"] == "new"]

    def live(self) -> dict[str, dict[str, float]]:
        """Return the shares of the live versions, by endpoint."""
        last = {one["endpoint"]: one["after"] for one in self.shifts()}
        return {place: shares for place, shares in last.items() if shares}


# ---- who started it


def initiator(ledger: Ledger, row: Row, stage: str) -> tuple[str, list[Row]]:
    """Return the class of whoever started an event, and the events on the way to the start."""
    links, fired = [row], []
    while True:
        current = links[-1]
        if current["type"] == "command.issued":
            break
        cause = ledger.by_id.get(current["causationid"])
        if cause is None:
            if current["causationid"] or current["type"] == "rule.fired":
                return "unknown", links
            break
        cause_stage = STAGE_OF.get(cause["type"], "")
        if current["type"] == "rule.fired":
            fired.append(current)
            if cause["type"] not in ("command.issued", "clock.ticked") and cause_stage != stage:
                break
        elif cause_stage not in ("", stage):
            break
        links.append(cause)
    if any(acting(link) == "unknown" and link["evidence"] == "native" for link in links):
        return "unknown", links
    classes = [acting(links[-1]), *(acting(one) for one in fired)]
    classes += ["human" for one in fired if _is_single_use(ledger, one)]
    return weakest(classes), links


def _is_single_use(ledger: Ledger, fired: Row) -> bool:
    """Tell whether a rule that somebody wrote fired only once; a shipped one always comes again."""
    firings = [row for row in ledger.of("rule.fired") if row["subject"] == fired["subject"]]
    return fired["data"]["origin"] != "template" and len(firings) < 2


# ---- transitions


def transitions(ledger: Ledger, pipeline: str, stage: str) -> list[Row]:
    """Return the completed changes of a stage with their mode, all of them, in order."""
    if stage == "train":
        at_gate = {row["data"]["run_id"] for row in ledger.of("gate.evaluated", pipeline)}
        runs = ledger.of("run.finished", pipeline)
        rows = [row for row in runs if row["data"]["outcome"] == "success" and row["data"]["run_id"] in at_gate]
        rows = _first_of_same(rows, _work)
    elif stage == "deploy":
        shifts = [one for one in ledger.shifts(pipeline) if one["new"]]
        keys = {one["row"]["id"]: str((one["endpoint"], sorted(one["before"]), sorted(one["after"]), one["digests"]))
                for one in shifts}  # fmt: skip
        rows = _first_of_same([one["row"] for one in shifts], lambda row: keys[row["id"]])
    else:
        kinds = {"data": "dataset.version.published", "evaluate": "gate.evaluated", "monitor": "monitor.evaluated",
                 "sample": "sample.taken", "label": "feedback.joined", "dataset": "dataset.generated"}  # fmt: skip
        rows = [row for row in ledger.of(kinds[stage], pipeline) if not row["data"].get("generated")]
    return [_transition(ledger, row, stage) for row in rows]


def _work(row: Row) -> str:
    data = row["data"]
    return str((data["inputs"], data["code_sha"], data["params_digest"])) if data.get("inputs") else row["id"]


def _first_of_same(rows: list[Row], key: Callable[[Row], str]) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(key(row), row)
    return list(first.values())


def _transition(ledger: Ledger, row: Row, stage: str) -> Row:
    root, links = initiator(ledger, row, stage)
    for sender in row["data"].get("senders", []):
        root = weakest([root, actor_class(sender["authtype"], sender["claims"])])
    target = row["data"].get("deployment_id") or row["data"].get("run_id")
    gates = [one for one in ledger.of("approval.decided") if one["data"]["target"] == target]
    touches = [one for one in ledger.of("touch.recorded") if one["data"]["target"] == target and stage == "deploy"]
    if row["data"].get("execution") == "manual":
        mode = "manual"
    elif (stage == "deploy" and is_overridden(ledger, row)) or (stage == "evaluate" and _is_forced(ledger, row)):
        mode = "overridden"
    elif touches:
        mode = "semi"
    else:
        mode = "assisted" if root == "human" else "gated" if gates and stage == "deploy" else "auto"
    mode = "unknown" if root == "unknown" else mode
    stamps = [one for one in gates if stage == "deploy" and _is_rubber_stamp(ledger, one)]
    return {"row": row, "mode": mode, "root": root, "links": links, "rubber_stamps": stamps}


def _is_rubber_stamp(ledger: Ledger, decided: Row) -> bool:
    return at(decided) - at(ledger.by_id[decided["causationid"]]) < timedelta(seconds=5)


def is_overridden(ledger: Ledger, shifted: Row) -> bool:
    """Tell whether a deployment went past its gate, or anyone but automation took it back within a day."""
    data = shifted["data"]
    if any(one["data"]["deployment_id"] == data["deployment_id"] for one in ledger.of("gate.bypassed")):
        return True
    shifts = [one for one in ledger.shifts() if one["endpoint"] == data["endpoint"]]
    mine = next(one for one in shifts if one["row"] is shifted)
    for later in shifts[shifts.index(mine) + 1 :]:
        if not set(mine["new"]) & set(later["after"]):
            is_back = not later["after"] or set(later["after"]) & set(mine["before"])
            is_soon = at(later["row"]) <= at(shifted) + DAY
            return bool(is_back and is_soon and initiator(ledger, later["row"], "deploy")[0] != "automation")
    return False


def _is_forced(ledger: Ledger, gate: Row) -> bool:
    """Tell whether a person went past a failed verdict within a day."""
    return gate["data"]["decision"] == "fail" and any(
        one["data"]["artifact_digest"] == gate["data"]["artifact_digest"] and at(gate) < at(one) <= at(gate) + DAY
        for one in ledger.of("gate.bypassed")
    )


def sample(ledger: Ledger, pipeline: str, stage: str) -> list[Row]:
    """Return the transitions that count: the last 20 within 180 days."""
    return [one for one in transitions(ledger, pipeline, stage) if at(one["row"]) >= ledger.as_of - WINDOW][-20:]


# ---- levels


def stage_share(ledger: Ledger, pipeline: str, stage: str, modes: tuple[str, ...]) -> Row:
    """Return how many of a stage's sampled transitions ran in some modes, and whether that is enough."""
    found = sample(ledger, pipeline, stage)
    failing = [one["row"]["id"] for one in found if one["mode"] not in modes]
    n, k = len(found), len(found) - len(failing)
    status = "insufficient" if n < 3 else "met" if k / n >= 0.8 else "not met"
    if status == "met" and _is_stale(ledger, pipeline, stage, found):
        status = "stale"
    return {"stage": stage, "status": status, "k": k, "n": n, "failing": failing}


def _is_stale(ledger: Ledger, pipeline: str, stage: str, found: list[Row]) -> bool:
    """Tell whether a stage went quiet although an enabled rule asked for it (no freshness is promised this year)."""
    moments = [at(one["row"]) for one in found]
    gaps = [(after - before).total_seconds() for before, after in pairwise(moments)]
    if ledger.as_of - moments[-1] <= max(timedelta(seconds=3 * median(gaps)), 30 * DAY):
        return False
    leading = {row["subject"] for row in ledger.of("rule.created", pipeline) if stage in row["data"]["leads_to"]}
    return any(row["subject"] in leading and at(row) > moments[-1] for row in ledger.of("rule.fired", pipeline))


def _gate_share(ledger: Ledger, pipeline: str) -> Row:
    """Return how many sampled deployments had a pass as the last verdict on their bytes."""
    shifts = {one["row"]["id"]: one for one in ledger.shifts(pipeline)}
    gates = [one for one in ledger.of("gate.evaluated", pipeline) if acting(one) != "unknown"]
    found = [shifts[one["row"]["id"]] for one in sample(ledger, pipeline, "deploy")]
    failing = []
    for one in found:
        verdicts = {gate["data"]["artifact_digest"]: gate["data"]["decision"]
                    for gate in gates if at(gate) <= at(one["row"])}  # fmt: skip
        if not all(verdicts.get(digest) == "pass" for digest in one["digests"].values()):
            failing.append(one["row"]["id"])
    n, k = len(found), len(found) - len(failing)
    status = "insufficient" if n < 3 else "met" if k / n >= 0.8 else "not met"
    return {"stage": "gate_before_deploy", "status": status, "k": k, "n": n, "failing": failing}


def own_rules(ledger: Ledger, pipeline: str) -> Row:
    """Return how many user-written rules fired twice and succeeded on a pipeline."""
    triggers: dict[str, set[str]] = {}
    for row in ledger.of("rule.action.succeeded", pipeline):
        if row["data"]["origin"] == "user":
            triggers.setdefault(row["subject"], set()).add(row["data"]["trigger_event"])
    k = sum(len(one) >= 2 for one in triggers.values())
    return {"stage": "user_rules_fired", "status": "met" if k else "not met", "k": k, "n": 1, "failing": []}


def closures(ledger: Ledger, pipeline: str) -> Row:
    """Return how often the loop closed: labels or alert, dataset, training, passed gate, live, with nobody in it."""
    k = 0
    for one in transitions(ledger, pipeline, "deploy"):
        kinds = [(row["type"], row["data"].get("decision") or row["data"].get("outcome"))
                 for row in ledger.chain(one["row"])]  # fmt: skip
        wanted = [("gate.evaluated", "pass"), ("run.finished", "success"), ("dataset.generated", None)]
        places = [kinds.index(kind) if kind in kinds else -1 for kind in wanted]
        begun = any(kind in ("feedback.joined", "monitor.alert.raised") for kind, _ in kinds[max(places) :])
        k += one["mode"] in ("auto", "gated") and -1 not in places and places == sorted(places) and begun
    return {"stage": "loop_closure", "status": "met" if k else "not met", "k": k, "n": 1, "failing": []}


def level(ledger: Ledger, pipeline: str, policy: str) -> Row:
    """Return a pipeline's level under ``standard`` or ``strict``, and what keeps it from the next one."""
    is_strict = policy == "strict"
    init = ("auto",) if is_strict else ("auto", "gated")
    work = init if is_strict else ("auto", "gated", "assisted")
    asked: list[list[Row]] = [
        [stage_share(ledger, pipeline, "train", init)],
        [*(stage_share(ledger, pipeline, one, work) for one in ("evaluate", "deploy")), _gate_share(ledger, pipeline)],
        [_unless_na(ledger, pipeline, stage_share(ledger, pipeline, stage, init)) for stage in PROFILE[4:]],
        [own_rules(ledger, pipeline), *([closures(ledger, pipeline)] if is_strict else [])],
    ]  # fmt: skip
    reached = 0
    for criteria in asked:
        if not all(one["status"] in ("met", "n/a") for one in criteria):
            break
        reached += 1
    blocking = [one for one in asked[reached] if one["status"] not in ("met", "n/a")] if reached < 4 else []
    modes = [one["mode"] for one in sample(ledger, pipeline, "deploy")]
    suffix = "g" if reached >= 2 and modes.count("gated") > len(modes) / 2 else ""
    return {"level": reached, "label": f"{reached}{suffix}", "blocking": blocking}


def _unless_na(ledger: Ledger, pipeline: str, result: Row) -> Row:
    declared = ledger.of("pipeline.declared", pipeline)[-1]["data"]["na"]
    may = result["stage"] in ("sample", "label") and declared.get(result["stage"])
    return result | {"status": "n/a", "k": 0, "n": 0, "failing": []} if may else result


def read(path: Path) -> list[Row]:
    """Return the events of an exported ledger."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
