"""The ML Test Score of a pipeline, from evidence: 28 tests, each by hand or automatic, the weakest of four sums counts.

Invariant: what only a person can say counts only where a person has said it, and is marked as declared; evidence is
never replaced by a declaration.
"""

import tomllib
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

from ratchet.measure.changes import changes
from ratchet.measure.history import DEFAULT_WINDOW, History, Snapshot, moment_of, order, stage_of
from ratchet.measure.initiators import trace
from ratchet.measure.stages import CustomStage
from ratchet.measure.traffic import Shift
from ratchet.records import Event, Record

Section = Literal["data", "model", "infrastructure", "monitoring"]
SECTIONS: tuple[Section, ...] = ("data", "model", "infrastructure", "monitoring")
AUTOMATIC_FROM = 3
_RELEASES = 20
POINTS = (0.0, 0.5, 1.0)
ASSESSMENT = "ml-test-score"


class Evidence(Record, frozen=True):
    """Events in which a test shows."""

    type: str
    where: str = ""


class Test(Record, frozen=True):
    """One of the 28 tests, in our words.

    Attributes:
        section: Which of the four sums it belongs to.
        number: Its number there.
        name: What is tested.
        each_release: Whether it must stand before each deployment, for the very version that went live.
        evidence: The events in which it shows; empty where only a person can say.
    """

    __test__ = False  # pytest takes classes of this name for its own

    section: Section
    number: int
    name: str
    each_release: bool = False
    evidence: tuple[Evidence, ...] = ()

    @property
    def id(self) -> str:
        """Return how answers name it, such as ``data-1``."""
        return f"{self.section}-{self.number}"


class TestResult(Record, frozen=True):
    """What came of one test.

    Attributes:
        test: Which one.
        points: 1 where it is automatic, 0.5 where it was done, 0 where nothing shows it.
        is_declared: Whether the points are what a person said.
        automatic: How often automation did it within the window.
        by_hand: How often a person did.
        events: Ids of the events behind it, the latest last.
        sentence: The verdict in words.
    """

    __test__ = False

    test: Test
    points: float
    is_declared: bool
    automatic: int
    by_hand: int
    events: tuple[str, ...]
    sentence: str


class MlTestScore(Record, frozen=True):
    """The score of one pipeline.

    Attributes:
        pipeline: Whose score.
        at: The moment (UTC).
        results: The 28 tests.
    """

    pipeline: str
    at: datetime
    results: tuple[TestResult, ...]

    @property
    def sums(self) -> dict[str, float]:
        """Return the points of each section, 0 to 7."""
        return {
            section: sum(result.points for result in self.results if result.test.section == section)
            for section in SECTIONS
        }

    @property
    def score(self) -> float:
        """Return the lowest of the four sums, 0 to 7."""
        return min(self.sums.values())

    @property
    def evidence_share(self) -> float | None:
        """Return the share of all points that rests on evidence; ``None`` without any point."""
        points = sum(result.points for result in self.results)
        shown = sum(result.points for result in self.results if not result.is_declared)
        return shown / points if points else None


@cache
def rubric() -> tuple[Test, ...]:
    """Return the 28 tests."""
    text = resources.files("ratchet.measure").joinpath("ml_test_score.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["test"], tuple[Test, ...])


def questions() -> tuple[Test, ...]:
    """Return the tests that only a person can answer for."""
    return tuple(test for test in rubric() if not test.evidence)


def ml_test_score(
    history: History, pipeline: str, *, as_of: datetime | None = None, window: timedelta = DEFAULT_WINDOW
) -> MlTestScore:
    """Return the ML Test Score of a pipeline.

    A test is automatic if automation did it three times within the window and, where it has to, before each deployment.

    Args:
        history: The events.
        pipeline: Whose score.
        as_of: The moment (UTC); now if not given.
        window: How far back evidence counts.

    Source: E. Breck et al., The ML Test Score, IEEE Big Data 2017, section VI.
    """
    snapshot = history.as_of(as_of, window=window)
    releases = _releases(snapshot, pipeline)
    answers = _answers(snapshot, pipeline)
    results = tuple(_result(snapshot, pipeline, test, releases, answers) for test in rubric())
    return MlTestScore(pipeline=pipeline, at=snapshot.at, results=results)


def _result(
    snapshot: Snapshot, pipeline: str, test: Test, releases: list[Shift], answers: dict[str, float]
) -> TestResult:
    if not test.evidence:
        points = answers.get(test.id, 0.0)
        sentence = "declared" if test.id in answers else "nobody has answered it"
        return _with(test, points, sentence, is_declared=test.id in answers)
    found = [event for one in test.evidence for event in _events(snapshot, pipeline, one)]
    classes = [(event, trace(snapshot, event, stage=stage_of(event)).actor_class) for event in found]
    automatic = [event for event, actor in classes if actor == "automation"]
    by_hand = [event for event, actor in classes if actor == "human"]
    missed = [shift for shift in releases if test.each_release and not _precedes(snapshot, automatic, shift)]
    known = sorted([*automatic, *by_hand], key=order)
    if len(automatic) >= AUTOMATIC_FROM and not missed:
        points, sentence = 1.0, f"done by automation {len(automatic)} times"
    elif known:
        points, sentence = 0.5, _half(len(automatic), len(by_hand), missed)
    else:
        points, sentence = 0.0, "no event shows it"
    return _with(
        test, points, sentence, automatic=len(automatic), by_hand=len(by_hand), events=tuple(e.id for e in known)
    )


def _half(automatic: int, by_hand: int, missed: list[Shift]) -> str:
    if automatic < AUTOMATIC_FROM:
        return f"done by automation {automatic} and by hand {by_hand} times; {AUTOMATIC_FROM} by automation are needed"
    return f"done by automation {automatic} times, but not before {len(missed)} of the deployments"


def _with(test: Test, points: float, sentence: str, **known: Any) -> TestResult:
    values = {"is_declared": False, "automatic": 0, "by_hand": 0, "events": (), **known}
    return TestResult(test=test, points=points, sentence=sentence, **values)


def _events(snapshot: Snapshot, pipeline: str, evidence: Evidence) -> list[Event]:
    wanted = CustomStage(name="evidence", type=evidence.type, where=evidence.where)
    return [
        event
        for event in snapshot.events(evidence.type, pipeline)
        if moment_of(event) >= snapshot.since and event.evidence != "declared" and wanted.completes(event)
    ]


def _releases(snapshot: Snapshot, pipeline: str) -> list[Shift]:
    """Return the most recent deployments within the window, without those that went back to an earlier version."""
    shifts = [change.shift for change in changes(snapshot, pipeline, "deploy") if change.shift is not None]
    recent = [shift for shift in shifts if moment_of(shift.event) >= snapshot.since]
    return [shift for shift in recent if shift.event.data.get("strategy") != "rollback"][-_RELEASES:]


def _precedes(snapshot: Snapshot, events: list[Event], shift: Shift) -> bool:
    """Tell whether each newly live version has an event of its own before it went live."""
    registered = {
        str(event.data.get("version") or event.subject): str(event.data.get("run_id") or "")
        for event in snapshot.events("model.version.registered", shift.event.pipeline)
    }
    for version, digest in shift.digests.items():
        names = {version, digest, registered.get(version, "")} - {""}
        about = [event for event in events if names & _named(event) and order(event) < order(shift.event)]
        if not about:
            return False
    return True


def _named(event: Event) -> set[str]:
    return {str(event.data.get(name) or "") for name in ("version", "artifact_digest", "run_id")} | {event.subject}


def _answers(snapshot: Snapshot, pipeline: str) -> dict[str, float]:
    """Return what people have answered last, of the questions that only people can answer."""
    known = {test.id for test in questions()}
    found: dict[str, float] = {}
    assessed = [*snapshot.events("assessment.recorded", pipeline), *snapshot.events("assessment.recorded", "")]
    for event in sorted(assessed, key=order):
        if event.data.get("assessment") == ASSESSMENT and pipeline in (event.pipeline, event.data.get("pipeline")):
            given = event.data.get("answers") or {}
            found |= {name: float(points) for name, points in given.items() if name in known and points in POINTS}
    return found
