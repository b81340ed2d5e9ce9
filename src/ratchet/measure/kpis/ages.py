"""Model freshness: how old what serves production is.

Invariant: an age that is unknown stays unknown; it is in no median and never 0.
"""

from datetime import UTC, datetime

import numpy as np

from ratchet.measure.kpis.deliveries import LiveShift, first_live, live, registered, trained
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, hours, model_of, share
from ratchet.records import Event, Record

_HOURS_A_DAY = 24


class Batch(Record, frozen=True):
    """The last successful batch of an endpoint.

    Attributes:
        event_id: Id of its ``usage.recorded``.
        version: Which version worked it off.
        at: When (UTC).
    """

    event_id: str
    version: str
    at: datetime


def model_freshness(question: Question) -> Answer:
    """Return the ages of what serves: one entry for each live model, weighted by its versions' traffic."""
    by: dict[str, dict[str, float | None]] = {}
    used: list[Event | str] = []
    target = question.settings.target("model_freshness")
    for endpoint, shift in live(question).items():
        model = model_of(min(shift.after))
        name = model if model not in by else f"{model} ({endpoint})"
        batch = _last_batches(question.view).get(endpoint)
        ages = _ages(question, shift, batch, used)
        age = ages["data_age_days"]
        by[name] = {**ages, "ratio_to_target": None if age is None or not target else age / target}
    known = [age for entry in by.values() if (age := entry["data_age_days"]) is not None]
    return Answer.of(
        {
            "median_data_age_days": quantile(known, 0.5),
            "oldest_data_age_days": max(known, default=None),
            "unknown_count": len(by) - len(known),
            "within_target_share": None if target is None else share(sum(age <= target for age in known), len(known)),
        },
        by,
        used,
    )


def _ages(
    question: Question, shift: LiveShift, batch: Batch | None, used: list[Event | str]
) -> dict[str, float | None]:
    view, now = question.view, question.as_of
    weights = {batch.version: 1.0} if batch else shift.after
    total = sum(weights.values())
    ages: dict[str, float | None] = {"data_age_days": 0.0, "train_age_days": 0.0, "serving_age_days": 0.0}
    for version, weight in weights.items():
        registration, run = registered(view).get(version), trained(view).get(version)
        began = first_live(view).get(version)
        served_since = began.at if began else None
        since = {
            "data_age_days": data_until(registration),
            "train_age_days": run.at if run else None,
            "serving_age_days": batch.at if batch else served_since,
        }
        for name, start in since.items():
            so_far = ages[name]
            if start is None or so_far is None:
                ages[name] = None
            else:
                ages[name] = so_far + weight / total * hours(start, now) / _HOURS_A_DAY
        used += [event for event in (registration, run, began.event if began else None) if event is not None]
    if batch:
        used.append(batch.event_id)
    return ages


def data_until(registration: Event | None) -> datetime | None:
    """Return the newest moment of the data that a version learned from; a time without a zone is read as UTC."""
    text = registration.data.get("data_until") if registration else None
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _last_batches(view: View) -> dict[str, Batch]:
    return view.once("last batches", _read_last_batches)


def _read_last_batches(view: View) -> dict[str, Batch]:
    usage = view.usage
    if not len(usage):
        return {}
    wanted = usage.equals("mode", "batch") & usage.equals("outcome", "success")
    wanted &= usage.equals("kind", "call") & usage.equals("role", "live")
    places = np.flatnonzero(wanted)
    places = places[np.argsort(usage.time_us[places], kind="stable")]
    endpoints, versions = usage.words("endpoint"), usage.words("version")
    found = {}
    for place in places:
        row = int(place)
        found[endpoints[usage.code("endpoint")[row]]] = Batch(
            event_id=usage.id(row),
            version=versions[usage.code("version")[row]],
            at=usage.moment(row),
        )
    return found


KPIS = (
    Kpi(
        name="model_freshness",
        title="Model freshness",
        sentence="How old the newest data is that the models in production learned from; less is fresher.",
        unit="days",
        headline="median_data_age_days",
        formula=(
            "For each live endpoint, weighted by the versions' shares of its traffic: now minus the newest moment of "
            "the training data, minus the end of the training, minus the first live traffic. The median of the data "
            "ages stands for all."
        ),
        edge_cases=(
            "A rollback makes it older, which is right; training again on the same data makes it no fresher.",
            "A batch model has the ages of its last successful batch's version; its serving age counts from there.",
            "A version that does not say how new its data was is unknown: counted, and in no median.",
            "Shadow traffic does not serve.",
        ),
        direction="down",
        timing="leading",
        nature="risk",
        answer=model_freshness,
    ),
)
