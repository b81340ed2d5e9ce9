"""What served production when, in columns: all shifts of live traffic, and which of them were deployments.

Invariant: it says what ``deliveries.live_shifts`` says of the same view, shift by shift.
"""

from functools import cached_property

import numpy as np

from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.inputs import SHIFTED
from ratchet.measure.kpis.logs import NEVER, Codes, Floats, Mask, Places, Seen, Whole, first_of_each
from ratchet.measure.kpis.questions import Ids, Question
from ratchet.measure.kpis.traces import Trace, trace_of
from ratchet.records import Event

NEW, ROLLBACK, AGAIN, NOTHING = 1, 2, 3, 0


class Shifts:
    """The shifts of a view in the order of their own time; arrays are of shape ``(shifts,)`` if nothing else is said.

    Attributes:
        rows: What was logged of them.
        at: Of each version that has a share after a shift, the place of the shift; of shape ``(pairs,)``.
        version: That version, shape ``(pairs,)``.
        model: Its model, shape ``(pairs,)``.
        weight: Its share, above 0, shape ``(pairs,)``.
        is_new: Whether it was not live just before, shape ``(pairs,)``.
        before: The place of the shift before on the same endpoint, -1 where there is none.
        kind: ``NEW`` for a production deployment, ``ROLLBACK``, ``AGAIN`` or ``NOTHING``.
    """

    def __init__(self, view: View) -> None:
        """Read a view; ``shifts_of`` makes these."""
        self._view = view
        inputs = view.inputs
        self.rows: Seen = view.seen(inputs.shifts)
        self.at, pairs = inputs.pairs_of(self.rows)
        self.version: Codes = inputs.pairs["version"].values[pairs]
        self.model: Codes = inputs.pairs["model"].values[pairs]
        self.weight: Floats = inputs.weights.values[pairs]
        digest = inputs.pairs["digest"].values[pairs]
        self.before = _before(self.rows["endpoint"])
        self.is_new = self._is_new()
        self.kind = self._kinds(digest)

    def __len__(self) -> int:
        return len(self.rows)

    def _is_new(self) -> Mask:
        size = len(self._view.inputs.words)
        keys = self.at * size + self.version
        earlier = self.before[self.at]
        found: Mask = (earlier < 0) | ~np.isin(earlier * size + self.version, keys)
        return found

    def _kinds(self, digest: Codes) -> Codes:
        """Return the kind of each shift: by what the endpoint had served before, version by version, byte by byte."""
        at, size = self.at[self.is_new], len(self._view.inputs.words)
        endpoint = self.rows["endpoint"].astype(np.int64)[at] * size
        is_known = _came_before(endpoint + self.version[self.is_new], at)
        bytes_ = digest[self.is_new]
        is_same = (bytes_ > 0) & _came_before(endpoint + bytes_, at)
        kind = np.zeros(len(self), dtype=np.int32)
        kind[at] = NEW
        has_fresh, has_other = np.zeros(len(self), dtype=np.bool_), np.zeros(len(self), dtype=np.bool_)
        has_fresh[at[~is_known]] = True
        has_other[at[~is_same]] = True
        kind[(kind == NEW) & has_fresh & ~has_other] = AGAIN
        kind[(kind > 0) & ~has_fresh] = ROLLBACK
        return kind

    # ---- what follows

    @cached_property
    def until_us(self) -> Whole:
        """Return when the next shift of the same endpoint was; the view's moment where there is none."""
        found = np.full(len(self), self._view.at_us, dtype=np.int64)
        has_before = self.before >= 0
        found[self.before[has_before]] = self.rows.time_us[has_before]
        return found

    @cached_property
    def serves(self) -> Mask:
        """Return which shifts left something that serves."""
        found: Mask = self.rows["pairs"] > 0
        return found

    @cached_property
    def last(self) -> Places:
        """Return the last shift of each endpoint, in the order in which endpoints appeared."""
        endpoints = self.rows["endpoint"]
        is_last = np.ones(len(self), dtype=np.bool_)
        is_last[self.before[self.before >= 0]] = False
        places = np.flatnonzero(is_last)
        appeared = first_of_each(endpoints, len(self._view.inputs.words))[endpoints[places]]
        found: Places = places[np.argsort(appeared)]
        return found

    def pairs_at(self, place: int) -> slice:
        """Return where among the pairs those of one shift stand."""
        return slice(*np.searchsorted(self.at, [place, place + 1]).tolist())

    @cached_property
    def first_live(self) -> Places:
        """Return the place of the shift by which each version was first live, -1 where it never was; by its code."""
        found = np.full(len(self._view.inputs.words), -1, dtype=np.intp)
        first = first_of_each(self.version[self.is_new], len(found))
        seen = first >= 0
        found[seen] = self.at[self.is_new][first[seen]]
        return found

    @cached_property
    def full(self) -> Whole:
        """Return when each version first had all of an endpoint's traffic, ``NEVER`` where it had not; by its code."""
        alone = self.rows["pairs"][self.at] == 1
        first = first_of_each(self.version[alone], len(self._view.inputs.words))
        found = np.full(len(first), NEVER, dtype=np.int64)
        seen = first >= 0
        found[seen] = self.rows.time_us[self.at[alone][first[seen]]]
        return found

    # ---- what led to them

    @cached_property
    def walked(self) -> dict[int, Trace]:
        """Return what led to the shifts of which the columns cannot say it, by place."""
        return walked(self._view, self.rows, *SHIFTED)


def shifts_of(view: View) -> Shifts:
    """Return all shifts of live production traffic; they are read once for a view."""
    return view.once("shifts", Shifts)


def deployed(question: Question) -> Places:
    """Return the places of the production deployments that the scope covers, among all shifts."""
    shifts = shifts_of(question.view)
    places = np.flatnonzero(shifts.kind == NEW)
    return places[covered(question, shifts.rows, *SHIFTED)[places]]


def deployment_ids(question: Question) -> Ids:
    """Return the ids of the production deployments that the scope covers."""

    def read(view: View) -> Ids:
        return Ids(shifts_of(view).rows.ids(deployed(question)))

    return (
        question.view.once("ids of deployments", read) if question.scope.kind == "organisation" else read(question.view)
    )


def live_places(question: Question) -> Places:
    """Return the places of the last shifts of the endpoints that serve something now, as far as the scope has them."""
    shifts = shifts_of(question.view)
    places = shifts.last[shifts.serves[shifts.last]]
    if question.scope.kind == "organisation":
        return places
    seqs = [event.seq for event in question.view.of(*SHIFTED) if question.covers(event, at=question.as_of)]
    return places[np.isin(shifts.rows.seq[places], np.array(seqs, dtype=np.int64))]


def live_versions(question: Question) -> list[str]:
    """Return the versions that serve production now, by name; one on two endpoints is one."""
    shifts = shifts_of(question.view)
    is_live = np.zeros(len(shifts), dtype=np.bool_)
    is_live[live_places(question)] = True
    return sorted(set(question.view.inputs.words.of(shifts.version[is_live[shifts.at]])))


def covered(question: Question, rows: Seen, *types: str) -> Mask:
    """Return which rows of a log the scope covers.

    Args:
        question: Of what part.
        rows: What is asked about.
        types: Those of the events that are in the log.
    """
    if question.scope.kind == "organisation":
        return np.ones(len(rows), dtype=np.bool_)
    seqs = [event.seq for event in question.view.of(*types) if question.covers(event)]
    found: Mask = np.isin(rows.seq, np.array(seqs, dtype=np.int64))
    return found


def covered_rows(question: Question, rows: Seen, *types: str) -> Places:
    """Return the places of the rows of a log that the scope covers, as ``covered`` tells."""
    return np.flatnonzero(covered(question, rows, *types))


def walked(view: View, rows: Seen, *types: str) -> dict[int, Trace]:
    """Return what led to the events in those places where it has to be read from their chains."""
    places = np.flatnonzero(rows["is_open"] | rows.is_later)
    if not len(places):
        return {}
    events: dict[int, Event] = {event.seq: event for event in view.of(*types)}
    return {place: trace_of(view.chain(events[int(rows.seq[place])])[1:]) for place in places.tolist()}


def traced(rows: Seen, name: str, walked: dict[int, Trace]) -> Whole:
    """Return a moment that traces hold of some rows, ``NEVER`` where there is none; shape ``(rows,)``."""
    found: Whole = rows[name].copy()
    for place, trace in walked.items():
        found[place] = getattr(trace, name)
    return found


def _before(endpoints: Codes) -> Places:
    """Return the place before on the same endpoint, -1 where there is none."""
    order = np.argsort(endpoints, kind="stable")
    found = np.full(len(endpoints), -1, dtype=np.intp)
    is_same = endpoints[order[1:]] == endpoints[order[:-1]]
    found[order[1:][is_same]] = order[:-1][is_same]
    return found


def _came_before(keys: Whole, at: Places) -> Mask:
    """Return which keys had come at an earlier place; both are in the order of places."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    found: Mask = at[first][inverse] < at
    return found
