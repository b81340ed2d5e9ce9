"""Fitness functions and the gate: what a candidate must show before it may enter an environment.

Invariant: a gate passes only if each of its fitness functions passed or did not apply, and at least one of them says
something about quality; each verdict keeps the values and limits that it was made from.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import origin
from ratchet.config import FitnessSection
from ratchet.engine.child import Child
from ratchet.engine.executors import Session, Task, log_file
from ratchet.errors import SmokeTestFailed
from ratchet.loop import profiles, registry
from ratchet.loop.resources import Resources
from ratchet.loop.serving import vouchers
from ratchet.loop.serving.models import load_model
from ratchet.loop.serving.routes import ModelReference, ModelSchema, ReleaseRoute
from ratchet.records import Event, ModelVersion, derive_id, digest_of
from ratchet.store import storers
from ratchet.store.addresses import open_artifacts
from ratchet.store.artifacts import Artifacts
from ratchet.store.formats import extras

PRODUCTION = "production"
MINIMUM_HOLDOUT_ROWS = 50
SMOKE_ROWS = 20
SMOKE_SECONDS = 300.0

# Name -> (function of scikit-learn, whether it wants scores rather than classes).
METRICS: dict[str, tuple[str, bool]] = {
    "roc_auc": ("roc_auc_score", True),
    "average_precision": ("average_precision_score", True),
    "log_loss": ("log_loss", True),
    "brier": ("brier_score_loss", True),
    "accuracy": ("accuracy_score", False),
    "f1": ("f1_score", False),
    "mae": ("mean_absolute_error", True),
    "rmse": ("root_mean_squared_error", True),
    "r2": ("r2_score", True),
}
_TWO = (0, 1)
_SHOWN_VALUES = 3


# ---- in the parent


def score(resources: Resources, *, pipeline: str, candidate: dict[str, Any]) -> dict[str, Any]:
    """Measure a candidate and the champion on the candidate's holdout, in a child process.

    Returns:
        ``metrics`` of the candidate, ``champion`` with its name and metrics or ``None``, ``rows``, ``problems`` of
        the holdout, ``output``: what its scores are, and ``profile``: the sha256 of what monitoring compares with.

    Raises:
        RatchetError: The model cannot be measured.
    """
    with resources.database.read() as connection:
        champion = _champion(connection, pipeline)
    sections = [one for one in resources.config.fitness if one.pipeline == pipeline]
    task = Task(
        name=f"fitness of {pipeline}",
        entry="ratchet.loop.fitness:measure",
        spec={
            "artifacts": resources.artifacts.address,
            "candidate": candidate,
            "champion": msgspec.to_builtins(champion) if champion else None,
            "metrics": sorted({one.metric for one in sections}),
        },
        log=log_file(resources.logs, "fitness"),
    )
    session = Session(resources.zygotes, task, limits=resources.limits, is_cancelled=lambda: False)
    scores: dict[str, Any] = session.converse(lambda _request, execute: execute())
    return scores


def _champion(connection: Connection, pipeline: str) -> ModelVersion | None:
    declared: dict[str, Any] = registry.state(connection, "pipelines", {})
    model = declared[pipeline]["model"] if pipeline in declared else pipeline
    live = registry.live_release(connection, model)
    return registry.model_version(connection, live.model_version) if live else None


def judge(resources: Resources, transaction: Connection, version: ModelVersion, scores: dict[str, Any]) -> str:
    """Append the verdicts of a version's suites and its gate, and return ``pass`` or ``fail``."""
    sections = [
        one for one in resources.config.fitness if one.pipeline == version.pipeline and one.gate in ("", PRODUCTION)
    ]
    registered = resources.ledger.find_in(transaction, version.event_id)
    assert registered is not None, "a version's row is written with its event"
    data_checks = [{"name": "holdout", "outcome": "failed", "reason": one} for one in scores["problems"]]
    data_outcome = "failed" if data_checks else "passed"
    data_suite = _append_suite(
        resources,
        transaction,
        version,
        registered,
        kind="data",
        outcome=data_outcome,
        checks=data_checks,
        scores=scores,
    )
    checks = [check for section in sections for check in _checks(section, scores)]
    outcome = _outcome(checks)
    quality = _append_suite(
        resources, transaction, version, data_suite, kind="quality", outcome=outcome, checks=checks, scores=scores
    )
    decision = "pass" if data_outcome == "passed" and outcome == "passed" else "fail"
    with origin.use(origin.following(quality)):
        resources.ledger.append(
            transaction,
            Event(
                type="gate.evaluated",
                subject=version.name,
                id=derive_id(version.run_id, "gate", PRODUCTION),
                pipeline=version.pipeline,
                env=PRODUCTION,
                data={
                    "run_id": version.run_id,
                    "version": version.name,
                    "artifact_digest": version.artifact,
                    "environment": PRODUCTION,
                    "policy_digest": digest_of(msgspec.to_builtins(sections)),
                    "decision": decision,
                    "suites": ["data", "quality"],
                    "reason": _reason(decision, [*data_checks, *checks]),
                },
            ),
        )
    return decision


def _checks(section: FitnessSection, scores: dict[str, Any]) -> list[dict[str, Any]]:
    value = scores["metrics"].get(section.metric)
    checks = []
    if section.at_least is not None:
        checks.append(_check(f"{section.metric} at least", value, section.at_least, lambda got, limit: got >= limit))
    if section.at_most is not None:
        checks.append(_check(f"{section.metric} at most", value, section.at_most, lambda got, limit: got <= limit))
    if section.no_worse_than is not None:
        checks.append(_comparison(section, value, scores["champion"]))
    return checks


def _check(name: str, value: float | None, limit: float, holds: Callable[[float, float], bool]) -> dict[str, Any]:
    outcome = "passed" if value is not None and holds(value, limit) else "failed"
    return {"name": name, "value": value, "limit": limit, "outcome": outcome}


def _comparison(section: FitnessSection, value: float | None, champion: dict[str, Any] | None) -> dict[str, Any]:
    assert section.no_worse_than is not None, "called for comparisons only"
    margin = section.no_worse_than.champion
    name = f"{section.metric} no worse than champion"
    if champion is None:
        return {"name": name, "value": value, "limit": None, "outcome": "not_applicable", "reason": "no champion"}
    theirs = champion["metrics"].get(section.metric)
    if theirs is None:
        # The holdout is good for nothing; the data suite says why, and fails.
        return {"name": name, "value": value, "limit": None, "outcome": "not_applicable", "reason": "not measured"}
    if is_loss(section.metric):
        check = _check(name, value, theirs + margin, lambda got, limit: got <= limit)
    else:
        check = _check(name, value, theirs - margin, lambda got, limit: got >= limit)
    return {**check, "champion": champion["name"]}


def is_loss(metric: str) -> bool:
    """Tell whether a smaller value of a metric is better."""
    return metric in ("log_loss", "brier", "mae", "rmse")


def _outcome(checks: list[dict[str, Any]]) -> str:
    outcomes = {check["outcome"] for check in checks}
    if "failed" in outcomes:
        return "failed"
    return "passed" if "passed" in outcomes else "not_applicable"


def _reason(decision: str, checks: list[dict[str, Any]]) -> str:
    if decision == "pass":
        return ""
    failed = [check for check in checks if check["outcome"] == "failed"]
    if not failed:
        return "no fitness function with a threshold guards it; add [[fitness]] to ratchet.toml"
    return "; ".join(_describe(check) for check in failed)


def _describe(check: dict[str, Any]) -> str:
    if "limit" not in check:
        return str(check["reason"])
    value = "nothing" if check["value"] is None else f"{check['value']:.4f}"
    return f"{check['name']} {check['limit']:.4f}, got {value}"


def _append_suite(
    resources: Resources,
    transaction: Connection,
    version: ModelVersion,
    cause: Event,
    *,
    kind: str,
    outcome: str,
    checks: list[dict[str, Any]],
    scores: dict[str, Any],
) -> Event:
    with origin.use(origin.following(cause)):
        return resources.ledger.append(
            transaction,
            Event(
                type="fitness.suite.finished",
                subject=version.name,
                id=derive_id(version.run_id, "suite", kind),
                pipeline=version.pipeline,
                data={
                    "run_id": version.run_id,
                    "version": version.name,
                    "kind": kind,
                    "outcome": outcome,
                    "metrics": scores["metrics"],
                    "champion": scores["champion"],
                    "rows": scores["rows"],
                    "checks": checks,
                    "threshold_digest": digest_of([[check["name"], check.get("limit")] for check in checks]),
                    "severity": "blocking",
                },
            ),
        )[0]


# ---- in the child


def measure(_child: Child, spec: dict[str, Any]) -> dict[str, Any]:
    """Load candidate, champion and holdout, and measure; the entry of a child process."""
    artifacts = open_artifacts(spec["artifacts"])
    candidate = spec["candidate"]
    holdout = storers.load("frame", artifacts.read(candidate["holdout"]["sha256"]))
    model = storers.open_model(candidate["model"]["storer"], artifacts.read(candidate["model"]["sha256"]))
    columns = [one["name"] for one in candidate["inputs"]]
    problems = _problems(holdout, label=candidate["label"], columns=columns)
    problems = problems or _class_problems(model, holdout[candidate["label"]])
    profile = profiles.make(holdout, candidate["inputs"])
    truth = holdout[candidate["label"]].to_numpy() if not problems else None
    return {
        "metrics": _metrics(model, holdout[columns], truth, spec["metrics"]),
        "champion": _champion_metrics(artifacts, spec["champion"], holdout, truth, spec["metrics"]),
        "rows": len(holdout),
        "problems": problems,
        "output": output_of(model),
        "profile": artifacts.write(msgspec.json.encode(profile)),
    }


def _problems(holdout: Any, *, label: str, columns: list[str]) -> list[str]:
    missing = [name for name in [*columns, label] if name not in holdout.columns]
    if missing:
        return [f"holdout lacks column '{missing[0]}'"]
    if len(holdout) < MINIMUM_HOLDOUT_ROWS:
        return [f"holdout has {len(holdout)} rows, at least {MINIMUM_HOLDOUT_ROWS} are needed"]
    if holdout[label].isna().any():
        return [f"label '{label}' is missing in {int(holdout[label].isna().sum())} rows of the holdout"]
    if holdout[label].nunique() < 2:  # noqa: PLR2004, one value only cannot be told apart
        return [f"label '{label}' has one value only in the holdout"]
    return []


def _class_problems(model: Any, truth: Any) -> list[str]:
    """Say why a model with classes cannot be measured by the probability of the second of two."""
    if not hasattr(model, "predict_proba"):
        return []
    values = sorted(map(str, truth.unique()))
    shown = ", ".join(values[:_SHOWN_VALUES]) + (", ..." if len(values) > _SHOWN_VALUES else "")
    if len(getattr(model, "classes_", _TWO)) != len(_TWO) or len(values) > len(_TWO):
        return [f"label '{truth.name}' has more than two classes ({shown}); models with two are measured and served"]
    if not set(truth.unique()) <= set(_TWO):
        return [f"label '{truth.name}' has the values {shown}; write 1 for what is to be predicted and 0 for the rest"]
    return []


def _metrics(model: Any, rows: Any, truth: Any, names: list[str]) -> dict[str, float]:
    if truth is None:
        return {}
    scores = predict(model, rows)
    return {name: round(metric(name, truth, scores), 6) for name in names}


def _champion_metrics(
    artifacts: Artifacts, champion: dict[str, Any] | None, holdout: Any, truth: Any, names: list[str]
) -> dict[str, Any] | None:
    if champion is None:
        return None
    version = msgspec.convert(champion, ModelVersion)
    model = storers.open_model(version.storer, artifacts.read(version.artifact))
    rows = holdout[[one["name"] for one in version.inputs]]
    return {"name": version.name, "metrics": _metrics(model, rows, truth, names)}


def output_of(model: Any) -> str:
    """Return what a model's scores are: ``probability`` of the second class, or ``prediction`` of a number."""
    return "probability" if hasattr(model, "predict_proba") else "prediction"


def predict(model: Any, rows: Any) -> Any:
    """Return a model's scores: the probability of the second class, or the prediction where there are no classes."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(rows)[:, 1]
    return model.predict(rows)


def metric(name: str, truth: Any, scores: Any) -> float:
    """Return a metric of scores against the truth.

    Args:
        name: A key of ``METRICS``; the settings take no other.

    Raises:
        LibraryMissing: scikit-learn is not installed.

    Source: scikit-learn's ``sklearn.metrics``, which this only looks up.
    """
    extras.require("sklearn", what=f"The fitness function '{name}'")
    import sklearn.metrics

    function, wants_scores = METRICS[name]
    given = scores if wants_scores else (scores >= 0.5).astype(int)  # noqa: PLR2004, the usual cut
    return float(getattr(sklearn.metrics, function)(truth, given))


# ---- the smoke test in staging


def smoke(resources: Resources, version: ModelVersion) -> dict[str, Any]:
    """Load a version as an endpoint would and let it predict some rows of its holdout, in a child process.

    Returns:
        ``rows``: how many were predicted.

    Raises:
        RatchetError: It cannot be loaded or does not give a number for each row.
    """
    task = Task(
        name=f"smoke test of {version.name}",
        entry="ratchet.loop.fitness:smoke_test",
        spec={"artifacts": resources.artifacts.address, "version": msgspec.to_builtins(version)},
        log=log_file(resources.logs, "fitness"),
    )
    # A model that hangs here is not waited for as long as a step is that trains one.
    limits = msgspec.structs.replace(
        resources.limits, timeout_seconds=min(resources.limits.timeout_seconds, SMOKE_SECONDS)
    )
    session = Session(resources.zygotes, task, limits=limits, is_cancelled=lambda: False)
    outcome: dict[str, Any] = session.converse(lambda _request, execute: execute())
    vouchers.vouch(resources.serving, release_of(version), libraries=outcome.pop("libraries"))
    return outcome


def release_of(version: ModelVersion, *, traffic_id: str = "", deployment_id: str = "") -> ReleaseRoute:
    """Return a version as the release that answers all callers of its endpoint."""
    return ReleaseRoute(
        version=version.name,
        model=ModelReference(sha256=version.artifact, storer=version.storer),
        schema=msgspec.convert({"inputs": version.inputs, "output": version.output}, ModelSchema),
        role="live",
        share=1.0,
        traffic_id=traffic_id,
        deployment_id=deployment_id,
    )


def smoke_test(_child: Child, spec: dict[str, Any]) -> dict[str, Any]:
    """Predict the first rows of a holdout; the entry of a child process."""
    import numpy as np

    version = msgspec.convert(spec["version"], ModelVersion)
    artifacts = open_artifacts(spec["artifacts"])
    rows = storers.load("frame", artifacts.read(version.holdout)).head(SMOKE_ROWS)
    # All that the endpoint demands of a model, demanded here first: its columns, its classes, one prediction.
    model = load_model(release_of(version), artifacts=artifacts).estimator
    scores = np.asarray(predict(model, rows[[one["name"] for one in version.inputs]]), dtype=float)
    if scores.shape != (len(rows),) or not np.isfinite(scores).all():
        raise SmokeTestFailed(version=version.name, rows=len(rows), shape=str(scores.shape))
    return {"rows": len(rows), "libraries": vouchers.LIBRARIES}
