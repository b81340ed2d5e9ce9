"""Which change an incident came from, worked out by hand: remedy, canary, sole candidate, several, none.

Invariant: the onset decides and never the time of the report; what people say later stands beside it, not over it.
"""

from datetime import datetime, timedelta
from typing import Any

from ledger_again import HUMAN_MODES, STAGE_OF, Ledger, Row, _transition, at, initiator

DEPLOY_WINDOW, DATA_WINDOW = timedelta(hours=24), timedelta(days=7)
REMEDY_WINDOW = timedelta(hours=4)
ACKNOWLEDGE = timedelta(minutes=30)
DEPLOY_KINDS = ("traffic.shifted", "config.changed")
DATA_KINDS = ("dataset.version.published", "feature_view.published", "label.batch.ingested")
RULE_KINDS = ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")
EDITS = ("param_edit", "data_fix", "manual_upload")


def moment(text: str) -> datetime:
    """Return a moment written in a payload."""
    return datetime.fromisoformat(text)


def incidents(ledger: Ledger) -> list[Row]:
    """Return the incidents known at the moment, by name, with onset, detection, mitigation and end."""
    found = []
    for row in [*ledger.of("incident.detected"), *ledger.of("incident.reported")]:
        data = row["data"]
        later = {
            kind: next((r for r in ledger.of(f"incident.{kind}") if r["data"]["incident"] == data["incident"]), None)
            for kind in ("mitigated", "resolved", "attributed")
        }
        resolved = later["resolved"]
        back = None if resolved is None else resolved["data"].get("back_in_bounds") or resolved["time"]
        found.append({
            "name": data["incident"], "row": row, "service": data["service"], "pipeline": row["pipeline"],
            "services": [data["service"], *data.get("upstreams", [])],
            "is_ticket": data["onset_from"] == "ticket", "onset": moment(data.get("onset") or data["opened_at"]),
            "detected": at(row), "mitigated": later["mitigated"], "attributed": later["attributed"],
            "resolved": resolved, "back": moment(back) if back else None,
        })  # fmt: skip
    return sorted(found, key=lambda one: str(one["name"]))


def candidates(ledger: Ledger, incident: Row) -> list[Row]:
    """Return the changes of a service, or of its pipeline's data, in the window that ends at the onset."""
    onset, found = incident["onset"], []
    for row in ledger.rows:
        data = row["data"]
        if row["type"] in DEPLOY_KINDS:
            service = data.get("service") or data.get("endpoint")
            is_near = service in incident["services"] and onset - DEPLOY_WINDOW <= at(row) <= onset
            is_live = row["type"] != "traffic.shifted" or (data["env"], data["role"]) == ("production", "live")
            found += [row] if is_near and is_live else []
        elif row["type"] in (*DATA_KINDS, *RULE_KINDS):
            window = DATA_WINDOW if row["type"] in DATA_KINDS else DEPLOY_WINDOW
            is_near = row["pipeline"] == incident["pipeline"] and onset - window <= at(row) <= onset
            found += [row] if is_near else []
    return found


def attribution(ledger: Ledger, incident: Row) -> Row:
    """Return the cause, its weights and the verdict of one incident."""
    near = candidates(ledger, incident)
    remedied = [row for row in near if _is_remedied(ledger, incident, row)]
    worse = [row for row in near if _was_worse(ledger, row)]
    if remedied or worse:
        cause, verdict = (remedied or worse)[-1:], "proven"
    elif near:
        cause, verdict = near, "likely" if len(near) == 1 else "ambiguous"
    else:
        cause, verdict = [], "not change-induced"
    said = incident["attributed"]
    result: dict[str, Any] = {
        "service": incident["service"],
        "candidates": sorted(row["id"] for row in near),
        "cause": cause[0]["id"] if len(cause) == 1 else None,
        "weights": {row["id"]: 1 / len(cause) for row in cause},
        "verdict": verdict,
        **_human(ledger, incident, cause),
        "adjudicated": said["data"]["verdict"] if said else None,
    }
    result["disagrees"] = bool(said) and (said["data"]["cause"] or None, said["data"]["verdict"]) != (
        result["cause"], verdict)  # fmt: skip
    return result


def _is_remedied(ledger: Ledger, incident: Row, candidate: Row) -> bool:
    """Tell whether the restoring action reverses a candidate and the service was back in bounds soon after."""
    mitigated = incident["mitigated"]
    remedy = ledger.by_id.get(mitigated["data"]["remedy"]) if mitigated else None
    if remedy is None or incident["back"] is None or incident["back"] > at(remedy) + REMEDY_WINDOW:
        return False
    if remedy["type"] == "config.changed" and candidate["type"] == "config.changed":
        new, old = remedy["data"], candidate["data"]
        return bool(new["target"] == old["target"] and new["new_digest"] == old["old_digest"])
    if remedy["type"] == "traffic.shifted" and candidate["type"] == "traffic.shifted":
        return bool(remedy["data"]["prev_version"] == candidate["data"]["model_version"])
    return False


def _was_worse(ledger: Ledger, candidate: Row) -> bool:
    """Tell whether a canary of the deployment had been judged worse than what served before."""
    return candidate["type"] == "traffic.shifted" and any(
        row["data"]["deployment_id"] == candidate["data"]["deployment_id"] and row["data"]["verdict"] == "worse"
        for row in ledger.of("canary.judged")
    )


def mode_of_change(ledger: Ledger, row: Row) -> str:
    """Return the mode in which a change of production was made."""
    if row["type"] == "traffic.shifted":
        return str(_transition(ledger, row, "deploy")["mode"])
    root = initiator(ledger, row, STAGE_OF.get(row["type"], ""))[0]
    return {"human": "assisted", "automation": "auto", "unknown": "unknown"}[root]


def _human(ledger: Ledger, incident: Row, cause: list[Row]) -> Row:
    """Return whether a person's act was at fault, and which kind: the first that holds."""
    mode = mode_of_change(ledger, cause[0]) if len(cause) == 1 else None
    kind = ""
    if mode in HUMAN_MODES:
        kind = _kind_of_act(ledger, cause[0])
    elif not cause and _was_late(ledger, incident):
        kind = "omission"
    return {"mode": mode, "human_induced": kind not in ("", "gate-gap"), "class": kind or None}


def _kind_of_act(ledger: Ledger, row: Row) -> str:
    data = row["data"]
    if row["type"] != "traffic.shifted":
        return "slip"
    if any(one["data"]["deployment_id"] == data["deployment_id"] for one in ledger.of("gate.bypassed")):
        return "bypass"
    verdicts = [one["data"]["decision"] for one in ledger.of("gate.evaluated")
                if one["data"]["artifact_digest"] == data["artifact_digest"] and at(one) <= at(row)]  # fmt: skip
    approved = any(one["data"]["target"] == data["deployment_id"] for one in ledger.of("approval.decided"))
    if verdicts[-1:] == ["fail"]:
        return "approval-of-failing" if approved else "bypass"
    touched = [
        one["data"]["kind"] for one in ledger.of("touch.recorded") if one["data"]["target"] == data["deployment_id"]
    ]
    if set(touched) & set(EDITS) or data.get("execution") == "manual":
        return "edit"
    return "gate-gap" if verdicts else "slip"


def _was_late(ledger: Ledger, incident: Row) -> bool:
    """Tell whether a page about the service from before the onset was not acknowledged in time."""
    for row in ledger.of("page.sent"):
        if (
            row["data"]["service"] != incident["service"]
            or not incident["onset"] - DEPLOY_WINDOW <= at(row) <= incident["onset"]
        ):
            continue
        answers = [at(one) for one in ledger.of("page.acknowledged") if one["data"]["page"] == row["id"]]
        if min(answers, default=ledger.as_of) > at(row) + ACKNOWLEDGE:
            return True
    return False
