"""What rules and commands can do: names, and the functions of the loop behind them.

Invariant: an action that is done again under the same origin changes nothing more; it returns the last event that it
caused, which is the cause of the next action in a list.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ratchet.errors import UnknownName
from ratchet.loop import feedback, monitoring, releases, sampling, training
from ratchet.loop.resources import Resources
from ratchet.records import Event, Record


class Product(Record, frozen=True):
    """An event that an action brings about, by itself or by what follows from it without a rule.

    Attributes:
        type: Its short name.
        data: What is known of its payload beforehand.
    """

    type: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


def _products(*types: str, **data: Any) -> tuple[Product, ...]:
    return tuple(Product(type=name, data=data) for name in types)


class Action(Record, frozen=True):
    """Something that can be done.

    Attributes:
        name: A verb phrase, as rules write it.
        stage: The stage of the loop that it belongs to.
        main: The parameter that the short form ``{ name = value }`` gives.
        perform: Does it: (resources, event that led here, parameters) -> last event or ``None``.
        about: One sentence.
        products: What it brings about. Files that come from outside are no product, although a run takes them in;
            neither is what callers of an endpoint cause.
    """

    name: str
    stage: str
    main: str
    perform: Callable[[Resources, Event, dict[str, Any]], Event | None]
    about: str
    products: tuple[Product, ...] = ()


# Keys of ``start_run`` that are none of the pipeline's own.
_NO_PARAMETERS = ("pipeline", "because", "no_cache", "repeats")


def _start_run(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    chosen = {name: value for name, value in parameters.items() if name not in _NO_PARAMETERS}
    if "repeats" in parameters:
        return training.repeat_run(resources, str(parameters["repeats"]), chosen)
    no_cache = bool(parameters.get("no_cache", False))
    return training.start_run(resources, _pipeline(event, parameters), chosen, no_cache=no_cache)


def _promote(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    version = parameters.get("version") or event.data.get("version")
    if not version:
        raise UnknownName(kind="model version", name="", known="say which: { promote = 'MODEL@vN' }")
    return releases.promote(resources, str(version), bypass=str(parameters.get("bypass", "")))


def _rollback(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event:
    endpoint = parameters.get("endpoint") or event.data.get("endpoint") or event.subject
    return releases.rollback(resources, str(endpoint), because_of=event.id)


def _monitor(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event | None:
    events = monitoring.evaluate(resources, _pipeline(event, parameters))
    return events[-1] if events else None


def _take_sample(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event | None:
    return sampling.take_sample(resources, _pipeline(event, parameters))


def _join_feedback(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event | None:
    pipeline = _pipeline(event, parameters)
    return feedback.join_feedback(resources, sampling.endpoint_of(resources, pipeline))


def _build_dataset(resources: Resources, event: Event, parameters: dict[str, Any]) -> Event | None:
    return sampling.build_dataset(resources, _pipeline(event, parameters))


def _cancel_run(resources: Resources, _event: Event, parameters: dict[str, Any]) -> Event:
    return training.cancel_run(resources, parameters["run"])


def _pipeline(event: Event, parameters: dict[str, Any]) -> str:
    return str(parameters.get("pipeline") or event.pipeline)


_DEPLOYED = _products(
    "deployment.requested", "deployment.started", "deployment.completed", "deployment.failed", "traffic.shifted"
)
_ALL = (
    Action(
        name="start_run",
        stage="train",
        main="pipeline",
        perform=_start_run,
        about="Queue a run of a pipeline; further keys are its parameters.",
        products=(
            *_products("run.queued", "run.started", "run.finished", "cost.recorded", "artifact.published"),
            *_products("model.version.registered", "fitness.suite.finished", "gate.evaluated"),
        ),
    ),
    Action(
        name="promote",
        stage="deploy",
        main="version",
        perform=_promote,
        about="Let a version that passed its gate serve in production; by default the one that the event is about.",
        products=(*_DEPLOYED, *_products("gate.bypassed", "fitness.suite.finished")),
    ),
    Action(
        name="rollback",
        stage="deploy",
        main="endpoint",
        perform=_rollback,
        about="Let the version serve again that served before.",
        products=(*_DEPLOYED, *_products("deployment.rolledback", "fitness.suite.finished")),
    ),
    Action(
        name="monitor",
        stage="monitor",
        main="pipeline",
        perform=_monitor,
        about="Evaluate drift and performance over the last window.",
        products=_products(
            "monitor.evaluated",
            "monitor.alert.raised",
            "monitor.alert.cleared",
            "incident.detected",
            "incident.resolved",
        ),
    ),
    Action(
        name="take_sample",
        stage="sample",
        main="pipeline",
        perform=_take_sample,
        about="Draw a sample from the predictions since the last one.",
        products=_products("sample.taken"),
    ),
    Action(
        name="join_feedback",
        stage="label",
        main="pipeline",
        perform=_join_feedback,
        about="Join outcomes that have come to their predictions.",
        products=_products("feedback.joined"),
    ),
    Action(
        name="build_dataset",
        stage="dataset",
        main="pipeline",
        perform=_build_dataset,
        about="Make a new dataset version of sampled predictions and their outcomes.",
        products=(*_products("dataset.generated"), *_products("dataset.version.published", generated=True)),
    ),
    Action(
        name="cancel_run",
        stage="train",
        main="run",
        perform=_cancel_run,
        about="Stop a run.",
        products=_products("run.finished", outcome="cancelled"),
    ),
)

ACTIONS: dict[str, Action] = {action.name: action for action in _ALL}


def action(name: str) -> Action:
    """Return an action by its name.

    Raises:
        UnknownName: There is none.
    """
    if name not in ACTIONS:
        raise UnknownName(kind="action", name=name, known=", ".join(ACTIONS))
    return ACTIONS[name]
