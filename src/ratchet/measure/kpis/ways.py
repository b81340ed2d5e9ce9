"""The way of each version from its training to production, in columns.

Invariant: a version that never got there is among them, and so is one that was live before it was trained; a moment
that is not known is ``NEVER``, and nothing is worked out from it.
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from ratchet.clock import to_us
from ratchet.measure.kpis.deliveries import approvals
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.inputs import model_of
from ratchet.measure.kpis.logs import (
    NEVER,
    Codes,
    Floats,
    Mask,
    Places,
    Seen,
    Whole,
    first_of_each,
    hours_between,
    last_of_each,
)
from ratchet.measure.kpis.shifts import shifts_of, traced


class Trainings:
    """Which run made which version.

    Attributes:
        runs: All finished runs.
        of: The place of the run behind each version, -1 where there is none; by the version's code.
    """

    def __init__(self, view: View) -> None:
        """Read a view; ``trainings_of`` makes these."""
        inputs = view.inputs
        self.runs: Seen = view.seen(inputs.runs)
        gates, registrations = view.seen(inputs.gates), view.seen(inputs.registrations)
        size = len(inputs.words)
        made_by = np.full(size, -1, dtype=np.int64)
        # What was trained elsewhere may be registered nowhere; then the gate that looked at it says which run made it.
        for said in (gates, registrations):
            last = last_of_each(said["version"], size)
            known = last >= 0
            made_by[known] = said["run"][last[known]]
        place_of = last_of_each(self.runs["run"], size)
        self.of: Places = np.where(made_by >= 0, place_of[made_by], -1)

    def hours_until(self, versions: Codes, until_us: Whole) -> Floats:
        """Return the hours from the training of some versions to some moments, where they were trained before.

        Live before it was trained is an error in the data, and no time.
        """
        places = self.of[versions]
        known = places >= 0
        found = hours_between(self.runs.time_us[places[known]], until_us[known])
        return found[found >= 0]


def trainings_of(view: View) -> Trainings:
    """Return which run made which version; it is read once for a view."""
    return view.once("trainings", Trainings)


class Ways:
    """The ways of all versions that were trained; arrays are of shape ``(ways,)``.

    Attributes:
        version: The versions, by their codes.
        run: The place of each one's run.
        shift: The place of the shift by which it was first live, -1 where it never was.
        trained_us: When its run ended.
        live_us: When it was first live; ``NEVER`` where it never was.
        is_live: Whether it got there.
        is_error: Whether it was live before it was trained.
    """

    def __init__(self, view: View) -> None:
        """Read a view; ``ways_of`` makes these."""
        self._view = view
        self.shifts, self.trainings = shifts_of(view), trainings_of(view)
        self.version: Codes = np.flatnonzero(self.trainings.of >= 0).astype(np.int32)
        self.run: Places = self.trainings.of[self.version]
        self.shift: Places = self.shifts.first_live[self.version]
        self.trained_us: Whole = self.trainings.runs.time_us[self.run]
        self.is_live: Mask = self.shift >= 0
        self.live_us: Whole = self._of_shift(self.shifts.rows.time_us)
        self.is_error: Mask = self.is_live & (self.trained_us > self.live_us)

    def _of_shift(self, moments: Whole) -> Whole:
        """Return what is known of each way's shift."""
        found = np.full(len(self.version), NEVER, dtype=np.int64)
        found[self.is_live] = moments[self.shift[self.is_live]]
        return found

    # ---- where it began

    def started_us(self, name: str) -> Whole:
        """Return when the ways began, as one of the starts has it, for those that got there; ``NEVER`` if unknown."""
        if name == "started":
            return self._started_us
        if name == "trained":
            return np.where(self.is_live, self.trained_us, NEVER)
        if name == "approved":
            return self._approved[1]
        return self._of_shift(
            traced(self.shifts.rows, f"{'push' if name == 'code' else 'data'}_us", self.shifts.walked)
        )

    @cached_property
    def _started_us(self) -> Whole:
        """Return when work on the pipeline began, for the first version of each model that was live."""
        inputs = self._view.inputs
        begun = self._view.seen(inputs.begun)
        first = first_of_each(begun["pipeline"], len(inputs.words))
        begun_us = np.where(first >= 0, begun.time_us[first], NEVER) if len(begun) else np.full(len(first), NEVER)
        found = np.full(len(self.version), NEVER, dtype=np.int64)
        firsts = self._firsts()
        found[firsts] = begun_us[self.trainings.runs["pipeline"][self.run[firsts]]]
        return found

    def _firsts(self) -> Places:
        """Return the way of the first version of each model that was live; of several at once the first by name."""
        shifts, size = self.shifts, len(self._view.inputs.words)
        model_by_version = np.zeros(size, dtype=np.int64)
        model_by_version[shifts.version] = shifts.model
        ways = np.flatnonzero(self.is_live)
        models, places = model_by_version[self.version[ways]], self.shift[ways]
        order = np.lexsort((places, models))
        ways, models, places = ways[order], models[order], places[order]
        is_first = np.ones(len(ways), dtype=np.bool_)
        is_first[1:] = models[1:] != models[:-1]
        same_as_before = ~is_first
        same_as_before[1:] &= places[1:] == places[:-1]
        found = dict(zip(models[is_first].tolist(), ways[is_first].tolist(), strict=True))
        for place in np.flatnonzero(same_as_before).tolist():
            model, way = int(models[place]), int(ways[place])
            rival = found[model]
            if self.shift[rival] == self.shift[way]:
                found[model] = min(rival, way, key=self.name)
        return np.array(list(found.values()), dtype=np.intp)

    def name(self, way: int) -> str:
        """Return the version of a way by name."""
        return self._view.inputs.words.texts[int(self.version[way])]

    # ---- its parts

    @cached_property
    def _approved(self) -> tuple[Whole, Whole]:
        """Return when the required approvals were first asked for, and last given; ``NEVER`` where there were none."""
        words = self._view.inputs.words
        given = [(words.known(name), one) for name, one in approvals(self._view).items()]
        known = {code: (to_us(one.asked_at), to_us(one.given_at)) for code, one in given if code >= 0}
        found = np.full((2, len(words)), NEVER, dtype=np.int64)
        if known:
            found[:, list(known)] = np.array(list(known.values()), dtype=np.int64).T
        deployments = self.shifts.rows["deployment"]
        return self._of_shift(found[0][deployments]), self._of_shift(found[1][deployments])

    def parts_hours(self, ways: Mask) -> dict[str, Floats]:
        """Return the hours that the parts of some ways took, by part, for those that got there and as far as known."""
        inputs, size = self._view.inputs, len(self._view.inputs.words)
        gates, requests = self._view.seen(inputs.gates), self._view.seen(inputs.requests)
        judged_us = _moments(gates.time_us, first_of_each(gates["version"], size))[self.version]
        asked_by = _moments(requests.time_us, last_of_each(requests["deployment"], size))
        asked_us = self._of_shift(asked_by[self.shifts.rows["deployment"]])
        approval_asked_us, given_us = self._approved
        ready_us = np.where(given_us == NEVER, asked_us, given_us)
        spans = {
            "evaluate": (self.trained_us, judged_us),
            "queue": (judged_us, asked_us),
            "approval_wait": (approval_asked_us, given_us),
            "staging": (np.where(asked_us == NEVER, NEVER, ready_us), self.live_us),
            "canary": (self.live_us, self.shifts.full[self.version]),
        }
        return {name: _between(since, until, ways & self.is_live) for name, (since, until) in spans.items()}

    def hours_since(self, start: str, ways: Mask) -> Floats:
        """Return the hours from one of the starts to production, of some ways, as far as it is known."""
        return _between(self.started_us(start), self.live_us, ways & self.is_live)

    # ---- those that never got there

    def waited(self, ways: Iterable[int]) -> tuple[list[float], int]:
        """Return for how many hours versions were seen to wait, and for how many of them a later one went live."""
        lives = self._lives()
        words, now = self._view.inputs.words, self._view.at_us
        models: dict[str, int] = {}
        ends, superseded, began = [], 0, []
        for way in ways:
            model = model_of(self.name(way))
            code = models.setdefault(model, words.known(model))
            made_us, earliest_us = lives.get(code, (None, None))
            at = int(self.trained_us[way])
            place = 0 if made_us is None else int(np.searchsorted(made_us, at, side="right"))
            is_superseded = made_us is not None and earliest_us is not None and place < len(made_us)
            superseded += is_superseded
            ends.append(int(earliest_us[place]) if is_superseded and earliest_us is not None else now)
            began.append(at)
        hours = hours_between(np.array(began, dtype=np.int64), np.array(ends, dtype=np.int64))
        return hours.tolist(), superseded

    def _lives(self) -> dict[int, tuple[Whole, Whole]]:
        """Return when a model's live versions were trained, in order, and when the first went live from there on."""
        ways = np.flatnonzero(self.is_live)
        model_by_version = np.zeros(len(self._view.inputs.words), dtype=np.int64)
        model_by_version[self.shifts.version] = self.shifts.model
        models = model_by_version[self.version[ways]]
        order = np.lexsort((self.trained_us[ways], models))
        ways, models = ways[order], models[order]
        codes, starts = np.unique(models, return_index=True)
        found = {}
        for code, these in zip(codes.tolist(), np.split(ways, starts[1:]), strict=False):
            earliest = np.minimum.accumulate(self.live_us[these][::-1])[::-1]
            found[code] = (self.trained_us[these], earliest)
        return found


def ways_of(view: View) -> Ways:
    """Return the ways of all versions that were trained; they are read once for a view."""
    return view.once("ways", Ways)


def _moments(times_us: Whole, places: Places) -> Whole:
    """Return the moments of some places, ``NEVER`` for -1."""
    found = np.full(len(places), NEVER, dtype=np.int64)
    known = places >= 0
    found[known] = times_us[places[known]]
    return found


def _between(since_us: Whole, until_us: Whole, wanted: Mask) -> Floats:
    """Return the hours between moments, where they are wanted and both are known."""
    known = wanted & (since_us != NEVER) & (until_us != NEVER)
    return hours_between(since_us[known], until_us[known])
