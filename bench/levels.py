"""Levels of 1,000 pipelines over 900,000 transitions: how long the question takes, and what the fold costs before it.

Invariant: what is timed is checked: the levels from the table are those that the events of some pipelines give.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import func, insert, literal, select

from ratchet.measure.history import History
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import Policy, shipped
from ratchet.measure.projection import Fold, fold_name, standings
from ratchet.measure.standings import standing_of
from ratchet.records import Actor, Event, digest_of
from ratchet.store import migrations
from ratchet.store.database import Database, sqlite_url
from ratchet.store.projections import Projections
from ratchet.store.schema import transition, transition_fold
from tests.rows import write_rows

LIMIT_SECONDS = 0.2
PIPELINES = 1000
TRANSITIONS = 900_000
FOLDED = 40
REPEATS = 5
STAGES = ("data", "train", "evaluate", "deploy", "monitor", "sample", "label", "dataset", "experiment")
WEEKS = TRANSITIONS // PIPELINES // len(STAGES)
START = datetime(2024, 1, 1, 3, tzinfo=UTC)
ENGINE = Actor(authtype="system", authid="engine", claims={"minted_by": "engine"})
SYSTEM = {"authtype": "service_account", "claims": {"system": "source"}}
PERSON = Actor(authtype="user", authid="person-1")


class Writer:
    """Writes the events of one pipeline's weeks, one transition of each stage a week."""

    def __init__(self, pipeline: str, *, seq: int, by_hand: int) -> None:
        self.pipeline = pipeline
        self.seq = seq
        self.by_hand = by_hand
        self.now = START
        self.rules: dict[str, dict[str, Any]] = {}

    def event(self, kind: str, subject: str, data: dict[str, Any], *, cause: str = "", actor: Actor = ENGINE) -> Event:
        """Return the next event."""
        self.seq += 1
        self.now += timedelta(seconds=1)
        return Event(
            type=kind,
            subject=subject,
            data=data,
            id=f"{self.pipeline}-{self.seq:010d}",
            time=self.now,
            recordedtime=self.now,
            causationid=cause,
            authtype=actor.authtype,
            authid=actor.authid,
            authclaims=actor.claims,
            pipeline=self.pipeline,
            seq=self.seq,
        )

    def events(self) -> Iterator[Event]:
        """Give all events of all weeks."""
        yield self.event("pipeline.declared", self.pipeline, {"pipeline": self.pipeline}, actor=PERSON)
        for stage in STAGES:
            rule = f"{self.pipeline} {stage}"
            cron, on = ("0 3 * * MON", "clock.ticked") if stage != "deploy" else ("", "gate.evaluated")
            about = {"rule_id": rule, "digest": digest_of(rule), "origin": "template"}
            self.rules[stage] = about
            more = {"enabled": True, "on": on, "cron": cron, "time_zone": "UTC", "leads_to": [stage]}
            yield self.event("rule.created", rule, {**about, **more}, actor=PERSON)
        for week in range(WEEKS):
            yield from self.week(week)
            self.now = START + timedelta(days=7 * (week + 1))

    def week(self, week: int) -> Iterator[Event]:
        """Give one week: a transition of each stage, begun by its rule or, now and then, by a person."""
        for stage in STAGES:
            if stage in ("evaluate", "deploy"):
                continue
            if (week * 7 + len(stage)) % 10 < self.by_hand:
                start = self.event("command.issued", self.pipeline, {"action": stage}, actor=PERSON)
                yield start
            else:
                tick = self.event("clock.ticked", self.rules[stage]["rule_id"], {"slot": self.now.isoformat()})
                yield tick
                start = self.fired(stage, tick)
                yield start
            yield from getattr(self, stage)(week, start)

    def fired(self, stage: str, trigger: Event) -> Event:
        """Let the rule of a stage fire."""
        about = self.rules[stage]
        data = {**about, "condition_result": True, "trigger_event": trigger.id}
        return self.event("rule.fired", about["rule_id"], data, cause=trigger.id)

    def data(self, week: int, start: Event) -> Iterator[Event]:
        """Publish a version of the data."""
        yield self.event("dataset.version.published", "rows", {"digest": f"d{week}"}, cause=start.id)

    def train(self, week: int, start: Event) -> Iterator[Event]:
        """Train, judge and deploy."""
        run, version, digest = f"{self.pipeline}-run-{week}", f"{self.pipeline}@v{week}", f"a{week}"
        work = {"run_id": run, "params_digest": "p", "inputs": [f"d{week}"], "code_sha": "c"}
        queued = self.event("run.queued", run, work, cause=start.id)
        started = self.event("run.started", run, work, cause=queued.id)
        done = {**work, "outcome": "success", "candidate": True}
        finished = self.event("run.finished", run, done, cause=started.id)
        about = {"run_id": run, "version": version, "artifact_digest": digest}
        registered = self.event("model.version.registered", version, about, cause=finished.id)
        passed = {**about, "decision": "pass", "environment": "production", "suites": ["data", "quality"]}
        gate = self.event("gate.evaluated", version, passed, cause=registered.id)
        fired = self.fired("deploy", gate)
        requested = self.event("deployment.requested", f"{run}-d", {"model_version": version}, cause=fired.id)
        shift = {"endpoint": self.pipeline, "env": "production", "role": "live", "weights": {version: 1.0}}
        live = self.event("traffic.shifted", self.pipeline, {**shift, "artifact_digests": {version: digest}},
                          cause=requested.id)  # fmt: skip
        yield from (queued, started, finished, registered, gate, fired, requested, live)

    def monitor(self, week: int, start: Event) -> Iterator[Event]:
        """Look at the traffic."""
        yield self.event("monitor.evaluated", "drift", {"window": {"start": str(week)}, "status": "ok"}, cause=start.id)

    def sample(self, _week: int, start: Event) -> Iterator[Event]:
        """Take a sample."""
        yield self.event("sample.taken", self.pipeline, {"rows": 100}, cause=start.id)

    def label(self, _week: int, start: Event) -> Iterator[Event]:
        """Join outcomes."""
        yield self.event("feedback.joined", self.pipeline, {"rows": 100, "senders": [SYSTEM]}, cause=start.id)

    def dataset(self, week: int, start: Event) -> Iterator[Event]:
        """Build a dataset."""
        yield self.event("dataset.generated", "rows", {"dataset": "rows", "rows": week}, cause=start.id)

    def experiment(self, week: int, start: Event) -> Iterator[Event]:
        """Conclude an experiment."""
        yield self.event("experiment.concluded", f"e{week}", {"decision": "no"}, cause=start.id)


def fill(database: Database, pipelines: int) -> int:
    """Write the ledger of some pipelines; return how many events it has."""
    written = 0
    for number in range(pipelines):
        writer = Writer(f"pipeline-{number:04d}", seq=written, by_hand=number % 5)
        written += write_rows(database, writer.events())
    return written


def multiply(database: Database, *, present: int, wanted: int) -> None:
    """Copy the folded rows of each pipeline under further names, until there are as many pipelines as are wanted."""
    columns = [c for c in transition.columns if c.name not in ("seq", "pipeline")]
    with database.write() as transaction:
        top = int(transaction.execute(select(func.max(transition.c.seq))).scalar_one())
        for copy in range(1, wanted // present):
            name = literal(f"copy-{copy:03d}-").concat(transition.c.pipeline)
            rows = select(transition.c.seq + literal(copy * (top + 1)), name, *columns).where(transition.c.seq <= top)
            transaction.execute(insert(transition).from_select(["seq", "pipeline", *(c.name for c in columns)], rows))
            name = literal(f"copy-{copy:03d}-").concat(transition_fold.c.pipeline)
            rest = [transition_fold.c[name] for name in ("seq", "window_us", "facts", "activity")]
            first = ~transition_fold.c.pipeline.startswith("copy-")
            folds = select(name, *rest).where(first)
            transaction.execute(
                insert(transition_fold).from_select(["pipeline", "seq", "window_us", "facts", "activity"], folds)
            )


def timed(work: Callable[[], Any], *, repeats: int = REPEATS) -> float:
    """Return the median of some runs, in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def check(fold: Fold, kept: Projections, policy: Policy, at: datetime, names: list[str]) -> None:
    """Stop where the table says something else than the events."""
    found = {one.pipeline: one for one in standings(kept, policy, at=at)[0]}
    for name in names:
        history: History = fold.history(name)
        assert found[name] == standing_of(measure_level(history, name, policy, as_of=at)), name


def measure(folder: Path) -> dict[str, Any]:
    """Return all numbers."""
    database = Database(sqlite_url(folder / "ratchet.db"))
    migrations.migrate(database)
    events = fill(database, FOLDED)
    kept = Projections(database, name=fold_name(()))
    fold = Fold(kept)
    now = START + timedelta(days=7 * WEEKS)
    start = time.perf_counter()
    fold.catch_up(now)
    fold_seconds = time.perf_counter() - start
    check(fold, kept, shipped("standard"), now, [f"pipeline-{number:04d}" for number in range(0, FOLDED, 8)])
    writer = Writer("pipeline-0000", seq=events, by_hand=0)
    list(writer.events())
    writer.seq, writer.now = events, now
    write_rows(database, list(writer.week(WEEKS)))
    start = time.perf_counter()
    changed = fold.catch_up(now)
    again_seconds = time.perf_counter() - start
    multiply(database, present=FOLDED, wanted=PIPELINES)
    policies = {name: shipped(name) for name in ("standard", "strict", "google-0-2", "microsoft-0-4")}
    asked = {name: timed(lambda policy=policy: standings(kept, policy, at=now)) for name, policy in policies.items()}
    one = timed(lambda: measure_level(fold.history("pipeline-0001"), "pipeline-0001", policies["standard"], as_of=now))
    with database.read() as connection:
        rows = int(connection.execute(select(func.count()).select_from(transition)).scalar_one())
        found = int(connection.execute(select(func.count()).select_from(transition_fold)).scalar_one())
    database.close()
    return {
        "pipelines": found,
        "transitions": rows,
        "levels_seconds": asked,
        "fold_events": events,
        "fold_events_per_second": events / fold_seconds,
        "fold_seconds_pipeline": fold_seconds / FOLDED,
        "again_pipelines": changed,
        "again_seconds": again_seconds,
        "one_report_seconds": one,
        "is_within_limits": all(seconds <= LIMIT_SECONDS for seconds in asked.values()),
    }


def run() -> dict[str, Any]:
    """Measure and print."""
    with TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        found = measure(Path(folder))
    sys.stdout.write(f"levels: {found['pipelines']:,} pipelines, {found['transitions']:,} transitions (SQLite)\n")
    for name, seconds in found["levels_seconds"].items():
        ratio = seconds / LIMIT_SECONDS
        sys.stdout.write(f"  all levels by {name:<16} {seconds:6.3f} s   limit {LIMIT_SECONDS} s   {ratio:5.2f} x\n")
    sys.stdout.write(
        f"  first fold                     {found['fold_events_per_second']:,.0f} events/s, "
        f"{found['fold_seconds_pipeline']:.2f} s a pipeline\n"
        f"  fold after new events          {found['again_seconds']:.2f} s ({found['again_pipelines']} pipeline)\n"
        f"  one full report from events    {found['one_report_seconds']:.2f} s\n"
    )
    return found
