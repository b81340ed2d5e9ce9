"""What KPIs read of the events that come by the hundred thousand, in columns: shifts of traffic, trainings, verdicts.

Invariant: a row says what the event says and what its chain of causes holds, and nothing that depends on when it is
asked; events that a KPI would leave out at any moment are no rows.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from ratchet.measure.initiators import acting_class
from ratchet.measure.kpis.logs import Column, Log, Places, Seen, Words
from ratchet.measure.kpis.traces import Trace
from ratchet.records import Event

PARTS = ("code_sha", "inputs", "params_digest", "environment", "seed")
WORK = ("command.issued", "touch.recorded", "approval.requested", "approval.decided", "approval.closed")
INCIDENTS = (
    "incident.detected",
    "incident.reported",
    "incident.mitigated",
    "incident.resolved",
    "incident.attributed",
)
LABELLING = ("label.submitted", "label.batch.assigned", "label.batch.completed")
BEGUN = ("design.signed", "pipeline.declared", "run.queued", "run.finished")
SHIFTED = ("traffic.shifted", "service.removed")
_GAIN_PLACES = 6
_TRACED = {"is_open": np.bool_, "push_us": np.int64}
_UNSAID: tuple[Any, ...] = (None, "", [], {})


def model_of(version: str) -> str:
    """Return the model of a version such as ``flight-delay@v7``."""
    return version.split("@")[0]


def version_of(event: Event) -> str:
    """Return the version that an event is about."""
    return str(event.data.get("version") or event.subject)


def run_of(event: Event) -> str:
    """Return the id of the run that an event is about."""
    return str(event.data.get("run_id") or event.subject)


def is_live_production(event: Event) -> bool:
    """Tell whether an event says what serves callers in production."""
    environment = event.data.get("env") or event.env or ("production" if event.type == "service.removed" else "")
    return environment == "production" and event.data.get("role", "live") == "live"


def accuracy_gain(suite: dict[str, Any] | None) -> float | None:
    """Return by how much a version's accuracy is above its champion's; ``None`` where either is unknown."""
    own, champion = (_accuracy(suite), _accuracy(suite.get("champion"))) if suite else (None, None)
    return None if own is None or champion is None else round(own - champion, _GAIN_PLACES)


def _accuracy(scores: Any) -> float | None:
    metrics = scores.get("metrics") if isinstance(scores, dict) else None
    found = metrics.get("accuracy") if isinstance(metrics, dict) else None
    return float(found) if isinstance(found, int | float) else None


class Inputs:
    """All logs; each event that comes goes into those that it belongs to."""

    def __init__(self) -> None:
        self.words = Words()
        words = np.int32
        self.shifts = Log(
            endpoint=words, pipeline=words, deployment=words, path=words, first_pair=np.int64, pairs=np.int32,
            data_us=np.int64, reason_us=np.int64, reason=words, is_repair=np.bool_, **_TRACED,
        )  # fmt: skip
        self.pairs = {name: Column(words) for name in ("version", "model", "digest")}
        self.weights = Column(np.float64)
        self.runs = Log(run=words, pipeline=words, environment=words, missing=np.int8)
        self.registrations = Log(version=words, run=words, data_until=words)
        self.gates = Log(version=words, run=words, is_pass=np.bool_, **_TRACED)
        self.requests = Log(deployment=words)
        self.begun = Log(pipeline=words)
        self.suites = Log(version=words, gain=np.float64)
        self.acts = Log(author=words, is_labelling=np.bool_)
        self.joins = Log(delay=np.float64)
        self.firings = Log(rule=words)
        self._logs = (
            self.shifts, self.runs, self.registrations, self.gates, self.requests, self.begun, self.suites, self.acts,
            self.joins, self.firings,
        )  # fmt: skip
        self._begun: dict[tuple[str, bool], int] = {}
        self._fired: dict[tuple[str, bool], int] = {}
        self._takers: dict[str, list[Callable[[Event, int, Trace], None]]] = {}
        for types, taker in (
            (SHIFTED, self._take_shift),
            (("run.finished",), self._take_run),
            (("model.version.registered",), self._take_registration),
            (("gate.evaluated",), self._take_gate),
            (("deployment.requested",), self._take_request),
            (BEGUN, self._take_begun),
            (("fitness.suite.finished",), self._take_suite),
            ((*WORK, *INCIDENTS, *LABELLING), self._take_act),
            (("feedback.joined",), self._take_join),
            (("rule.fired",), self._take_firing),
        ):
            for type_ in types:
                self._takers.setdefault(type_, []).append(taker)

    def take(self, event: Event, time_us: int, trace: Trace) -> None:
        """Take in one event, in the order of the ledger.

        Args:
            event: Any.
            time_us: Its own time.
            trace: What its causes hold.
        """
        for taker in self._takers.get(event.type, ()):
            taker(event, time_us, trace)

    def settle(self) -> None:
        """Let what was taken in be seen."""
        # The pairs first: whoever sees a shift finds its versions.
        for column in (*self.pairs.values(), self.weights):
            column.settle()
        for log in self._logs:
            log.settle()

    # ---- kind by kind

    def _take_shift(self, event: Event, time_us: int, trace: Trace) -> None:
        if not is_live_production(event):
            return
        data, code = event.data, self.words.code
        digests = data.get("artifact_digests") or {}
        weights = data.get("weights") or {}
        after = {version: float(part) for version, part in weights.items() if part > 0}
        self.shifts.add(
            event,
            time_us,
            {
                "endpoint": code(str(data.get("endpoint") or event.subject)),
                "pipeline": code(event.pipeline),
                "deployment": code(str(data.get("deployment_id") or "")),
                "path": code(str(data.get("path") or "")),
                "first_pair": len(self.weights),
                "pairs": len(after),
                "is_open": trace.is_open,
                "push_us": trace.push_us,
                "data_us": trace.data_us,
                "reason_us": trace.reason_us,
                "reason": code(trace.reason_id),
                "is_repair": trace.is_repair,
            },
        )
        for version, part in after.items():
            self.pairs["version"].append(code(version))
            self.pairs["model"].append(code(model_of(version)))
            self.pairs["digest"].append(code(str(digests.get(version) or "")))
            self.weights.append(part)

    def _take_run(self, event: Event, time_us: int, _trace: Trace) -> None:
        data, code = event.data, self.words.code
        environment = data.get("environment")
        is_told = isinstance(environment, dict) and bool(environment)
        self.runs.add(
            event,
            time_us,
            {
                "run": code(run_of(event)),
                "pipeline": code(event.pipeline),
                "environment": code(msgspec.json.encode(environment).decode() if is_told else ""),
                "missing": sum(1 << place for place, part in enumerate(PARTS) if data.get(part) in _UNSAID),
            },
        )

    def _take_registration(self, event: Event, time_us: int, _trace: Trace) -> None:
        data, code = event.data, self.words.code
        until = data.get("data_until")
        self.registrations.add(
            event,
            time_us,
            {
                "version": code(version_of(event)),
                "run": code(str(data.get("run_id") or "")),
                "data_until": code(until if isinstance(until, str) else ""),
            },
        )

    def _take_gate(self, event: Event, time_us: int, trace: Trace) -> None:
        data, code = event.data, self.words.code
        self.gates.add(
            event,
            time_us,
            {
                "version": code(version_of(event)),
                "run": code(str(data.get("run_id") or "")),
                "is_pass": data.get("decision") == "pass",
                "is_open": trace.is_open,
                "push_us": trace.push_us,
            },
        )

    def _take_request(self, event: Event, time_us: int, _trace: Trace) -> None:
        deployment = str(event.data.get("deployment_id") or event.subject)
        self.requests.add(event, time_us, {"deployment": self.words.code(deployment)})

    def _take_begun(self, event: Event, time_us: int, _trace: Trace) -> None:
        """Note when work on a pipeline began, as far as that is earlier than all that is known to be."""
        key = (event.pipeline, event.evidence == "imported")
        if key not in self._begun or time_us < self._begun[key]:
            self._begun[key] = time_us
            self.begun.add(event, time_us, {"pipeline": self.words.code(event.pipeline)})

    def _take_suite(self, event: Event, time_us: int, _trace: Trace) -> None:
        if event.data.get("kind") == "quality":
            gain = accuracy_gain(event.data)
            values = {"version": self.words.code(version_of(event)), "gain": np.nan if gain is None else gain}
            self.suites.add(event, time_us, values)

    def _take_act(self, event: Event, time_us: int, _trace: Trace) -> None:
        if acting_class(event) == "human":
            author = self.words.code(event.authid)
            self.acts.add(event, time_us, {"author": author, "is_labelling": event.type in LABELLING})

    def _take_join(self, event: Event, time_us: int, _trace: Trace) -> None:
        delay = event.data.get("median_delay_hours")
        self.joins.add(event, time_us, {"delay": float(delay) if isinstance(delay, int | float) else np.nan})

    def _take_firing(self, event: Event, time_us: int, _trace: Trace) -> None:
        """Note that a rule has fired; that it did so again says nothing more."""
        rule = str(event.data.get("rule_id") or event.subject)
        key = (rule, event.evidence == "imported")
        if key not in self._fired or time_us < self._fired[key]:
            self._fired[key] = time_us
            self.firings.add(event, time_us, {"rule": self.words.code(rule)})

    def pairs_of(self, shifts: Seen) -> tuple[Places, Places]:
        """Return the versions that have a share after each of some shifts.

        Returns:
            The place of its shift, and the row among the pairs, of each; both of shape ``(pairs,)``.
        """
        counts = shifts["pairs"].astype(np.intp)
        places = np.repeat(np.arange(len(shifts), dtype=np.intp), counts)
        ends = np.cumsum(counts)
        within = np.arange(len(places)) - np.repeat(ends - counts, counts)
        return places, np.repeat(shifts["first_pair"], counts) + within
