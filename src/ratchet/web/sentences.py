"""Events in plain words, for people who do not know the catalogue by heart.

Invariant: a sentence says only what the event says; a type without a sentence of its own is named as it is.
"""

from collections.abc import Callable
from typing import Any

from ratchet.records import Event

_SHORT = 10


def sentence(event: Event, *, who: str) -> str:
    """Return what happened, in one line without a full stop.

    Args:
        event: An event of the ledger; missing parts of its payload are left out.
        who: The name of whoever did it, for what people do.
    """
    write = _SENTENCES.get(event.type)
    if write is None:
        return f"{event.type.replace('.', ' ').replace('_', ' ').capitalize()}: {_short(event.subject)}".rstrip(": ")
    return write(event, event.data, who)


def _short(text: str) -> str:
    """Return a name as it is, and the beginning of an identifier or digest."""
    is_identifier = len(text) >= 2 * _SHORT and text.replace("-", "").isalnum() and any(c.isdigit() for c in text)
    return f"{text[:_SHORT]}…" if is_identifier else text


def _command(event: Event, data: dict[str, Any], who: str) -> str:
    verb = str(data.get("action", "something")).replace("_", " ")
    return f"{who} asked: {verb} {_short(event.subject)}".rstrip()


def _gate(event: Event, data: dict[str, Any], _who: str) -> str:
    reason = f": {data['reason']}" if data.get("reason") else ""
    if data.get("decision") == "pass":
        return f"The gate let {event.subject} pass"
    return f"The gate turned {event.subject} back{reason}"


def _suite(event: Event, data: dict[str, Any], _who: str) -> str:
    metrics = data.get("metrics") or {}
    values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if isinstance(value, int | float))
    detail = f" ({values})" if values else ""
    return f"The {data.get('kind', '')} checks of {event.subject} {data.get('outcome', 'finished')}{detail}"


def _shift(event: Event, data: dict[str, Any], _who: str) -> str:
    weights = data.get("weights") or {}
    shares = ", ".join(f"{version} {share:.0%}" for version, share in weights.items())
    return f"Traffic of {event.subject} goes to {shares or 'nothing'}"


def _monitored(event: Event, data: dict[str, Any], _who: str) -> str:
    value = data.get("value")
    limit = f", limit {data['threshold']}" if data.get("threshold") is not None else ""
    shown = f" at {value:g}{limit}" if isinstance(value, int | float) else ""
    return f"Monitor {event.subject}: {data.get('status', '')}{shown}"


def _usage(event: Event, data: dict[str, Any], _who: str) -> str:
    version, caller = data.get("version") or event.subject, data.get("caller") or "?"
    return f"{data.get('rows', '?')} predictions of {version} for {caller}"


def _cost(event: Event, data: dict[str, Any], who: str) -> str:
    if data.get("cached"):
        run = _short(str(data.get("from_run", "?")))
        return f"The step {data.get('step', '?')} cost nothing: taken from the run {run}"
    return _plain("The step {step} took {qty} {unit} ({resource})")(event, data, who)


def _run_over(event: Event, data: dict[str, Any], who: str) -> str:
    steps = [str(one.get("step", "?")) for one in data.get("cached") or () if isinstance(one, dict)]
    taken = f"; taken from other runs: {', '.join(steps)}" if steps else ""
    return _plain("The run {subject} finished: {outcome}")(event, data, who) + taken


def _rows(verb: str) -> Callable[[Event, dict[str, Any], str], str]:
    def write(event: Event, data: dict[str, Any], _who: str) -> str:
        rows = data.get("rows", data.get("row_count"))
        return f"{f'{rows:,} rows' if isinstance(rows, int) else 'Rows'} {verb} {event.subject}"

    return write


def _plain(text: str) -> Callable[[Event, dict[str, Any], str], str]:
    """Return a writer that fills ``{subject}``, ``{who}`` and parts of the payload into a text."""

    def write(event: Event, data: dict[str, Any], who: str) -> str:
        values = {name: str(value) for name, value in data.items()}
        values |= {"subject": _short(event.subject), "who": who}
        return text.format_map(_Parts(values))

    return write


class _Parts(dict[str, str]):
    """Parts of a payload; what is missing is written as a question mark."""

    def __missing__(self, _key: str) -> str:
        return "?"


_SENTENCES: dict[str, Callable[[Event, dict[str, Any], str], str]] = {
    "command.issued": _command,
    "clock.ticked": _plain("The schedule of '{subject}' came due"),
    "custom.emitted": _plain("{who} sent the signal '{name}'"),
    "code.pushed": _plain("{who} pushed code to {repo}"),
    "rule.created": _plain("The rule '{subject}' was written"),
    "rule.updated": _plain("The rule '{subject}' was changed"),
    "rule.enabled": _plain("The rule '{subject}' was switched on"),
    "rule.disabled": _plain("The rule '{subject}' was switched off"),
    "rule.deleted": _plain("The rule '{subject}' was removed"),
    "rule.fired": _plain("The rule '{subject}' fired"),
    "rule.suppressed": _plain("The rule '{subject}' was held back: {reason}"),
    "rule.action.succeeded": _plain("The rule '{subject}' did: {action}"),
    "rule.action.failed": _plain("The rule '{subject}' could not do: {action}"),
    "dataset.version.published": _rows("published as"),
    "dataset.generated": _rows("generated for"),
    "pipeline.declared": _plain("The pipeline {subject} was declared"),
    "run.queued": _plain("The run {subject} was queued"),
    "run.started": _plain("The run {subject} started"),
    "run.finished": _run_over,
    "model.version.registered": _plain("{subject} was registered"),
    "artifact.published": _plain("A {kind} was stored as {subject}"),
    "fitness.suite.finished": _suite,
    "gate.evaluated": _gate,
    "gate.bypassed": _plain("{who} bypassed the gate of {subject}: {reason}"),
    "deployment.requested": _plain("Deployment of {model_version} was asked for"),
    "deployment.started": _plain("Deployment of {model_version} started"),
    "deployment.completed": _plain("Deployment of {model_version} is complete"),
    "deployment.failed": _plain("Deployment of {model_version} failed: {error}"),
    "deployment.rolledback": _plain("{subject} went back to {to}"),
    "traffic.shifted": _shift,
    "usage.recorded": _usage,
    "prediction_log.segment.sealed": _rows("of predictions sealed as"),
    "monitor.evaluated": _monitored,
    "monitor.alert.raised": _plain("Alert: {subject} at {score}, limit {threshold}"),
    "monitor.alert.cleared": _plain("The alert {subject} is over"),
    "sample.taken": _rows("sampled from"),
    "feedback.joined": _rows("of outcomes joined for"),
    "cost.recorded": _cost,
    "budget.exceeded": _plain(
        "The budget of the {scope} {name} for {month} was passed: {spent} of {amount} {currency}"
    ),
    "bill.imported": _plain("{billed_cost} {currency} were billed for {service}"),
    "level.policy.published": _plain("The level policy '{subject}' was published"),
    "credential.issued": _plain("A token was issued: {subject}"),
    "credential.revoked": _plain("The token {subject} was revoked"),
    "incident.detected": _plain("Incident: {subject}"),
    "incident.mitigated": _plain("The harm of incident {subject} has stopped"),
    "incident.resolved": _plain("Incident {subject} is over"),
    "incident.attributed": _plain("{who} named the cause of {subject}: {verdict}"),
    "page.sent": _plain("{route} was called about {service}"),
    "page.acknowledged": _plain("{who} answered a page"),
    "config.changed": _plain("A setting was changed: {subject}"),
    "incident.reported": _plain("{who} reported an incident: {subject}"),
    "touch.recorded": _plain("{who} laid hands on {subject}: {kind}"),
}
