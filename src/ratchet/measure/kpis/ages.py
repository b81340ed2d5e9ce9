"""Model freshness: how old what serves production is.

Invariant: an age that is unknown stays unknown; it is in no median and never 0.
"""

from datetime import UTC, datetime

import numpy as np

from ratchet.clock import to_us
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.inputs import model_of
from ratchet.measure.kpis.logs import last_of_each
from ratchet.measure.kpis.quantiles import quantile
from ratchet.measure.kpis.questions import Answer, Kpi, Question, share
from ratchet.measure.kpis.shifts import live_places, shifts_of
from ratchet.measure.kpis.ways import trainings_of
from ratchet.records import Event, Record

_HOURS_A_DAY = 24
_SECONDS_AN_HOUR = 3600


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
    found = _Ages(question, used)
    shifts, texts = found.shifts, question.view.inputs.words.texts
    for place in live_places(question).tolist():
        endpoint = texts[shifts.rows["endpoint"][place]]
        pairs = shifts.pairs_at(place)
        weights = dict(zip(shifts.version[pairs].tolist(), shifts.weight[pairs].tolist(), strict=True))
        model = model_of(min(texts[code] for code in weights))
        name = model if model not in by else f"{model} ({endpoint})"
        ages = found.of(weights, _last_batches(question.view).get(endpoint))
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


class _Ages:
    """Tells how old versions are; whatever stands behind that is added to ``used``."""

    def __init__(self, question: Question, used: list[Event | str]) -> None:
        view = question.view
        self.shifts, self._trainings, self._used = shifts_of(view), trainings_of(view), used
        self._words, self._now_us = view.inputs.words, view.at_us
        self._registrations = view.seen(view.inputs.registrations)
        self._registered = last_of_each(self._registrations["version"], len(self._words))
        self._data_until: dict[int, int | None] = {}

    def of(self, weights: dict[int, float], batch: Batch | None) -> dict[str, float | None]:
        """Return the ages of what serves, by the shares of versions; a batch has those of the one that did it."""
        if batch:
            weights = {self._words.known(batch.version): 1.0}
        total = sum(weights.values())
        ages: dict[str, float | None] = {"data_age_days": 0.0, "train_age_days": 0.0, "serving_age_days": 0.0}
        for version, weight in weights.items():
            since = self._since(version)
            if batch:
                since["serving_age_days"] = to_us(batch.at)
            for name, start in since.items():
                so_far = ages[name]
                ages[name] = None if start is None or so_far is None else so_far + weight / total * self._days(start)
        if batch:
            self._used.append(batch.event_id)
        return ages

    def _since(self, version: int) -> dict[str, int | None]:
        """Return since when each age of a version counts; what was never met has the code -1."""
        nothing: dict[str, int | None] = dict.fromkeys(("data_age_days", "train_age_days", "serving_age_days"))
        if version < 0:
            return nothing
        registration, run = int(self._registered[version]), int(self._trainings.of[version])
        began = int(self.shifts.first_live[version])
        found = nothing
        for name, rows, place in (
            ("data_age_days", self._registrations, registration),
            ("train_age_days", self._trainings.runs, run),
            ("serving_age_days", self.shifts.rows, began),
        ):
            if place >= 0:
                self._used.append(rows.id(place))
                found[name] = int(rows.time_us[place])
        if registration >= 0:
            found["data_age_days"] = self._newest(int(self._registrations["data_until"][registration]))
        return found

    def _newest(self, code: int) -> int | None:
        if code not in self._data_until:
            moment = _moment(self._words.texts[code])
            self._data_until[code] = None if moment is None else to_us(moment)
        return self._data_until[code]

    def _days(self, since_us: int) -> float:
        return (self._now_us - since_us) / 1e6 / _SECONDS_AN_HOUR / _HOURS_A_DAY


def data_until(registration: Event) -> datetime | None:
    """Return the newest moment of the data that a version learned from; a time without a zone is read as UTC."""
    text = registration.data.get("data_until")
    return _moment(text) if isinstance(text, str) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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
