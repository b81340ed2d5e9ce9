"""Who bears what a resource cost: owners of pipelines, callers of endpoints, or nobody.

Invariant: the parts of a cost add up to it; a correction is spread as what it corrects was, and rewrites nothing.
"""

from collections.abc import Sequence
from datetime import datetime, time

import msgspec
import numpy as np
import numpy.typing as npt

from ratchet.clock import to_us
from ratchet.config import PricesSection
from ratchet.measure.kpis.bulk import Rows
from ratchet.measure.kpis.columns import Codes, Mask, dated, months, of_node, sums_by
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.questions import Question
from ratchet.measure.kpis.usage import is_call, teams_of_callers
from ratchet.records import Record, digest_of

UNATTRIBUTED, IDLE = "unattributed", "idle"
NOBODY = (UNATTRIBUTED, IDLE)
Shares = Sequence[tuple[str, float]]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


class Spread(Record, frozen=True):
    """All costs, each in the parts that somebody bears.

    Attributes:
        rows: The row of the cost that a part belongs to, shape ``(parts,)``.
        bearers: The place of its bearer among the names, shape ``(parts,)``.
        amounts: Money, shape ``(parts,)``.
        names: Bearers: ``unattributed`` and ``idle`` first, then teams.
        subjects: For each cost the row that it is about: its own, or that of the cost that it corrects, shape
            ``(rows,)``.
        unpriced: Which costs have no price, and count as nothing, shape ``(rows,)``.
    """

    rows: Places
    bearers: Places
    amounts: Floats
    names: tuple[str, ...]
    subjects: Places
    unpriced: Mask


def spread(question: Question) -> Spread:
    """Return all costs that were known, each with who bears it; it is worked out once for a view and its prices."""
    prices = question.settings.prices
    digest = digest_of([msgspec.to_builtins(prices), question.settings.time_zone])
    return question.view.once(f"costs at {digest}", lambda view: _spread(question, view.costs))


def _spread(question: Question, costs: Rows) -> Spread:
    amounts, unpriced = _amounts(question, costs)
    subjects = _subjects(costs)
    serving = costs.equals("step", "serve")
    split: dict[int, Shares] = {}
    if serving.any():
        callers = _Callers(question.view)
        split = {row: callers.shares(costs, row) for row in np.flatnonzero(serving).tolist()}
    names: dict[str, int] = {UNATTRIBUTED: 0, IDLE: 1}
    owners = _owners(question, costs, names)
    rows, bearers, parts = [], [], []
    # Most costs have one bearer; only serving is split, and what corrects it.
    is_split = np.isin(subjects, np.fromiter(split, dtype=np.intp, count=len(split)))
    plain = np.flatnonzero(~is_split)
    for row in np.flatnonzero(is_split).tolist():
        for name, share in split[int(subjects[row])]:
            rows.append(row)
            bearers.append(names.setdefault(name, len(names)))
            parts.append(amounts[row] * share)
    return Spread(
        rows=np.concatenate([plain, np.array(rows, dtype=np.intp)]),
        bearers=np.concatenate([owners[subjects[plain]], np.array(bearers, dtype=np.intp)]),
        amounts=np.concatenate([amounts[plain], np.array(parts, dtype=np.float64)]),
        names=tuple(names),
        subjects=subjects,
        unpriced=unpriced,
    )


# ---- what a question is about


class Costs(Record, frozen=True):
    """The parts of costs that a question is about.

    Attributes:
        rows: The row of the cost that each part belongs to, shape ``(parts,)``.
        bearers: The place of its bearer among the names, shape ``(parts,)``.
        amounts: Money, shape ``(parts,)``.
        names: Bearers: ``unattributed`` and ``idle`` first, then teams.
        table: All costs.
    """

    rows: Places
    bearers: Places
    amounts: Floats
    names: tuple[str, ...]
    table: Rows

    @property
    def time_us(self) -> npt.NDArray[np.int64]:
        """Return when each part's cost arose, in microseconds since 1970, UTC, shape ``(parts,)``."""
        return self.table.time_us[self.rows]

    @property
    def total(self) -> float:
        """Return the sum."""
        return float(self.amounts.sum())

    def only(self, parts: Mask) -> "Costs":
        """Return some of the parts."""
        return Costs(
            rows=self.rows[parts],
            bearers=self.bearers[parts],
            amounts=self.amounts[parts],
            names=self.names,
            table=self.table,
        )

    def of_step(self, step: str) -> float:
        """Return what a step cost: ``train``, ``serve`` or another; each step of a run is one of training."""
        table = self.table
        is_run = ~table.equals("run_id", "") & ~table.equals("step", "serve")
        rows = table.equals("step", "train") | is_run if step == "train" else table.equals("step", step)
        return float(self.amounts[rows[self.rows]].sum())

    def by_month(self, question: Question) -> tuple[list[str], Codes]:
        """Return the local months, and the place of each part's month among them."""
        return months(self.time_us, question.zone)


def costs_of(question: Question) -> Costs:
    """Return the costs that the scope covers.

    A part of the organisation has what its teams bear, by what they belonged to at the time; a pipeline has the costs
    of its events, an endpoint those that name it, whoever bears them.
    """
    found = spread(question)
    table = question.view.costs
    every = Costs(rows=found.rows, bearers=found.bearers, amounts=found.amounts, names=found.names, table=table)
    if question.scope.kind == "organisation":
        return every
    if question.scope.kind == "node":
        if not question.scope.name:
            return every.only(every.bearers < len(NOBODY))
        is_team = every.bearers >= len(NOBODY)
        return every.only(is_team & of_node(question, every.time_us, names=every.names, codes=every.bearers))
    return every.only(_about(question, found, table)[every.rows])


def _about(question: Question, found: Spread, table: Rows) -> Mask:
    """Return which costs are about a pipeline, an endpoint or a model."""
    kind, name = question.scope.kind, question.scope.name
    if kind in ("pipeline", "endpoint"):
        return table.equals(kind, name)[found.subjects]
    covered = np.array([question.covers_pipeline(one) for one in table.words("pipeline")], dtype=np.bool_)
    return covered[table.code("pipeline")][found.subjects]


def unpriced(question: Question, costs: Costs) -> dict[str, float]:
    """Return how much of each resource has no price, and so counts as nothing."""
    table, rows = costs.table, np.unique(costs.rows)
    rows = rows[spread(question).unpriced[rows]]
    return sums_by(table.words("resource"), table.code("resource")[rows], table.number("qty")[rows])


# ---- how much


def _amounts(question: Question, costs: Rows) -> tuple[Floats, Mask]:
    """Return the money of each cost, and which have no price."""
    amounts = np.zeros(len(costs))
    settings = question.settings.prices
    is_correction = ~costs.equals("adjusts", "")
    # Money in another currency than that of the prices is never added to it.
    is_ours = costs.equals("currency", settings.currency) | costs.equals("currency", "")
    priced = is_correction & is_ours
    amounts[priced] = costs.number("amount")[priced]
    for resource, unit in {(item.resource, item.unit) for item in settings.item}:
        rows = ~is_correction & costs.equals("resource", resource) & costs.equals("unit", unit)
        held, found = _prices(question, settings, (resource, unit), costs.time_us[rows])
        amounts[rows] = costs.number("qty")[rows] * held
        priced[np.flatnonzero(rows)[found]] = True
    return amounts, ~priced


def _prices(
    question: Question, settings: PricesSection, of: tuple[str, str], times_us: npt.NDArray[np.int64]
) -> tuple[Floats, Mask]:
    """Return the price in force at some moments, 0 before the first, and where there was one."""
    items = sorted(
        (item for item in settings.item if (item.resource, item.unit) == of),
        key=lambda item: item.since,
    )
    since = np.array([to_us(datetime.combine(item.since, time(), question.zone)) for item in items], dtype=np.int64)
    places = np.searchsorted(since, times_us, side="right")
    return np.array([0.0, *(item.amount for item in items)])[places], places > 0


def _subjects(costs: Rows) -> Places:
    """Return the row that each cost is about; a correction of something unknown is about itself."""
    subjects = np.arange(len(costs))
    corrections = np.flatnonzero(~costs.equals("adjusts", "")).tolist()
    if not corrections:
        return subjects
    words, codes = costs.words("adjusts"), costs.code("adjusts")
    wanted = {words[codes[row]] for row in corrections}
    places = {costs.id(row): row for row in range(len(costs)) if costs.id(row) in wanted}
    for row in corrections:
        # What is corrected came before, so this ends; a correction of a correction is about the first.
        target = places.get(words[codes[row]], row)
        subjects[row] = subjects[target] if target < row else row
    return subjects


# ---- who


def _owners(question: Question, costs: Rows, names: dict[str, int]) -> Places:
    """Return the owner of each cost's pipeline at its time; new names are added."""
    changes: dict[str, list[datetime]] = {}
    for event in question.view.of("pipeline.declared", "ownership.changed"):
        changes.setdefault(event.pipeline, []).append(event.at)

    def timeline(pipeline: str) -> list[tuple[datetime, str]]:
        owned = [(since, question.owner(pipeline, since)) for since in changes.get(pipeline, ()) if pipeline]
        return owned or [(question.as_of, "")]

    owners, codes = dated(costs.words("pipeline"), costs.code("pipeline"), costs.time_us, timeline)
    known = [names.setdefault(owner or UNATTRIBUTED, len(names)) for owner in owners]
    return np.array(known, dtype=np.intp)[codes] if known else codes


class _Callers:
    """The calls of each endpoint in the order of time, for looking up who called within a period."""

    def __init__(self, view: View) -> None:
        usage = view.usage
        calls = np.flatnonzero(is_call(usage))
        order = calls[np.lexsort((usage.time_us[calls], usage.code("endpoint")[calls]))]
        teams, codes = teams_of_callers(view)
        self._names = [team or UNATTRIBUTED for team in teams]
        self._endpoints = usage.words("endpoint")
        self._times = usage.time_us[order]
        self._callers = codes[order]
        self._seconds = usage.number("cpu_s")[order]
        self._counts = usage.number("count")[order]
        self._edges = np.searchsorted(usage.code("endpoint")[order], np.arange(len(self._endpoints) + 1))
        self._codes = {name: code for code, name in enumerate(self._endpoints)}
        self._segments = {name: code for code, name in enumerate(usage.words("segment"))}
        self._by_segment = np.argsort(usage.code("segment")[order], kind="stable")
        self._segment_edges = np.searchsorted(
            usage.code("segment")[order][self._by_segment], np.arange(len(self._segments) + 1)
        )

    def shares(self, costs: Rows, row: int) -> Shares:
        """Return who bears what share of a serving cost; they add up to 1.

        By the compute-seconds of its calls, of what the machine could have done; where no call has any, by their
        number, and then nothing is known to be idle. Its calls are those of its segment of the prediction log, else
        those to its endpoint in its period.
        """
        calls = self._calls(costs, row)
        if calls is None:
            return [(UNATTRIBUTED, 1.0)]
        seconds = np.bincount(self._callers[calls], weights=self._seconds[calls], minlength=len(self._names))
        capacity = max(float(costs.number("capacity_cpu_s")[row]), float(seconds.sum()))
        if not seconds.any():
            seconds = np.bincount(self._callers[calls], weights=self._counts[calls], minlength=len(self._names))
            capacity = float(seconds.sum())
        if not seconds.any():
            return [(IDLE, 1.0)]
        found = [(self._names[code], float(seconds[code]) / capacity) for code in np.flatnonzero(seconds).tolist()]
        return [*found, (IDLE, 1.0 - sum(share for _, share in found))]

    def _calls(self, costs: Rows, row: int) -> slice | Places | None:
        """Return which calls a cost is for; ``None`` where it does not say."""
        segment = costs.words("segment")[costs.code("segment")[row]]
        if segment:
            # Sealed in one go: the day is over when its calls are recorded, so no period would find them.
            code = self._segments.get(segment)
            if code is None:
                return slice(0, 0)
            return self._by_segment[self._segment_edges[code] : self._segment_edges[code + 1]]
        period = _period(costs, row)
        return None if period is None else self._between(costs.words("endpoint")[costs.code("endpoint")[row]], *period)

    def _between(self, endpoint: str, since: datetime, until: datetime) -> slice:
        code = self._codes.get(endpoint)
        if code is None:
            return slice(0, 0)
        start, end = self._edges[code], self._edges[code + 1]
        inside = self._times[start:end]
        return slice(start + np.searchsorted(inside, to_us(since)), start + np.searchsorted(inside, to_us(until)))


def _period(costs: Rows, row: int) -> tuple[datetime, datetime] | None:
    """Return the period of a serving cost; ``None`` where it does not say."""
    texts = [costs.words(name)[costs.code(name)[row]] for name in ("from", "until")]
    try:
        since, until = map(datetime.fromisoformat, texts)
    except ValueError:
        return None
    return (since, until) if since.tzinfo and until.tzinfo else None
