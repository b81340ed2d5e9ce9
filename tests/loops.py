"""The loop without its engine: real stores in a folder, jobs that are carried out when a test says so.

Invariant: a job's recorded steps are never run again, and a test may break a job off behind any step, before that step
is recorded: what the real engine does when its process is killed there.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import clock, config, origin
from ratchet.automation.dispatcher import Dispatcher, Reactor
from ratchet.engine.executors import Zygotes
from ratchet.engine.runs import JobContext, Spec
from ratchet.loop import profiles, registry, training
from ratchet.loop.resources import Resources
from ratchet.loop.serving.log import Frame, PredictionLog
from ratchet.records import Actor, Event, ModelVersion, Release, Run, derive_id
from ratchet.store import migrations, storers
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from tests import projects

PERSON = Actor(authtype="user", authid="anna")
DIGEST = "0" * 64


class BrokenOff(BaseException):
    """The process was killed here, as far as the job can tell."""


class FakeContext:
    """The context of one attempt at a job.

    Args:
        recorded: Steps that earlier attempts have recorded: names and results, in order.
        break_off: Called with a step's name after it was done and before it is recorded; true kills the attempt.
    """

    def __init__(self, recorded: list[tuple[str, Any]], break_off: Callable[[str], bool]) -> None:
        self._recorded = recorded
        self._break_off = break_off
        self._position = 0
        self.cancelled = False

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Carry out a step once, or return what it gave the first time."""
        position = self._position
        self._position += 1
        if position < len(self._recorded):
            assert self._recorded[position][0] == name, "a replay asks for the same steps"
            return self._recorded[position][1]
        result = msgspec.json.decode(msgspec.json.encode(function()))
        if self._break_off(name):
            raise BrokenOff
        self._recorded.append((name, result))
        return result

    def recorded_steps(self) -> list[str]:
        """Return the names of the steps that were recorded."""
        return [name for name, _ in self._recorded]

    def catch_up(self) -> list[tuple[str, Any]]:
        """Pass over what was recorded and this attempt did not come to."""
        left = self._recorded[self._position :]
        self._position += len(left)
        return left

    def is_cancelled(self) -> bool:
        """Tell whether a test cancelled the job."""
        return self.cancelled


@dataclass
class Job:
    """A job that was enqueued."""

    name: str
    spec: Spec
    recorded: list[tuple[str, Any]] = field(default_factory=list)
    result: Any = None
    is_done: bool = False


class FakeRuns:
    """Stands in for durable runs: keeps jobs in memory, and carries them out in order when told to."""

    poll_seconds = 0.0

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.cancelled: list[str] = []
        self._functions: dict[str, Callable[[JobContext, Spec], Any]] = {}

    def register(self, name: str, function: Callable[[JobContext, Spec], Any]) -> None:
        """Say what carries out the jobs of one name."""
        self._functions[name] = function

    def enqueue(self, _transaction: Connection, name: str, job_id: str, spec: Spec) -> None:
        """Keep a job; a known id changes nothing."""
        self.jobs.setdefault(job_id, Job(name, spec))

    def launch(self) -> None:
        """Do nothing: jobs wait for ``work``."""

    def close(self) -> None:
        """Do nothing."""

    def cancel(self, job_id: str) -> None:
        """Remember that a job was cancelled."""
        self.cancelled.append(job_id)

    def pending(self) -> list[str]:
        """Return the ids of jobs that are not done."""
        return [job_id for job_id, job in self.jobs.items() if not job.is_done]

    def outcome(self, job_id: str) -> tuple[str, Any]:
        """Return a job's status and its result."""
        job = self.jobs.get(job_id)
        if job is None:
            return "UNKNOWN", None
        return ("SUCCESS", job.result) if job.is_done else ("ENQUEUED", None)

    def prune(self, *, older_than_seconds: float) -> int:
        """Forget nothing."""
        return 0

    def work(self, *names: str, break_off: Callable[[str], bool] = lambda _: False) -> list[str]:
        """Carry out jobs until none is left, those that they enqueue as well; returns the ids in order.

        Args:
            names: Only jobs of these names, where given.
            break_off: Kills an attempt behind a step; the job stays pending.
        """
        done = []
        while waiting := [one for one in self.pending() if not names or self.jobs[one].name in names]:
            job = self.jobs[waiting[0]]
            job.result = self._functions[job.name](FakeContext(job.recorded, break_off), job.spec)
            job.is_done = True
            done.append(waiting[0])
        return done

    def again(self, job_id: str) -> Any:
        """Carry a job out as if nothing had been recorded of it: what redelivery after pruning comes to."""
        job = self.jobs[job_id]
        return self._functions[job.name](FakeContext([], lambda _: False), job.spec)


def once(name: str) -> Callable[[str], bool]:
    """Break a job off at the first passage of the step of a name (or ending like it)."""
    left = [name]

    def break_off(found: str) -> bool:
        if left and found.endswith(left[0]):
            left.clear()
            return True
        return False

    return break_off


class Stage:
    """A workspace's parts, without engine and endpoint.

    Args:
        folder: The project's folder.
        zygotes: Gives children, for tests that run user code.
        settings: Its ``ratchet.toml``.
        reacts: Whether rules listen to what is appended.
    """

    def __init__(
        self, folder: Path, zygotes: Zygotes, *, settings: str = projects.SETTINGS, reacts: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ratchet.toml"
        # Another process may read the file at this moment, and a file that is written is empty for a while.
        if not path.exists() or path.read_text() != settings:
            path.write_text(settings)
        self.runs = FakeRuns()
        self.database = Database(sqlite_url(folder / ".ratchet" / "ratchet.db"))
        (folder / ".ratchet").mkdir(exist_ok=True)
        migrations.migrate(self.database)
        self.ledger = Ledger(self.database, Reactor(self.runs) if reacts else _ignore)
        self.resources = Resources(
            project=folder,
            folder=folder / ".ratchet",
            config=config.load(folder),
            database=self.database,
            ledger=self.ledger,
            runs=self.runs,  # type: ignore[arg-type]
            artifacts=Artifacts(folder / ".ratchet" / "artifacts"),
            zygotes=zygotes,
        )
        dispatcher = Dispatcher(self.resources)
        self.runs.register("dispatch", dispatcher.dispatch)
        self.runs.register("act", dispatcher.act)
        self.runs.register("run", lambda context, spec: training.carry_out(self.resources, context, spec))

    def close(self) -> None:
        """Give the database back."""
        self.database.close()

    def configure(self, settings: str) -> None:
        """Change ``ratchet.toml``."""
        (self.resources.project / "ratchet.toml").write_text(settings)
        self.resources.config = config.load(self.resources.project)

    # ---- causes

    def command(self, key: str = "test", *, actor: Actor = PERSON) -> AbstractContextManager[origin.Origin]:
        """Enter an origin that follows from a command of a person; the same key is the same command."""
        issued = self.ledger.record(
            Event(
                type="command.issued",
                subject="test",
                id=derive_id("command", key),
                authtype=actor.authtype,
                authid=actor.authid,
                authclaims=actor.claims,
                trigger="cli",
            )
        )[0]
        return origin.use(origin.following(issued, actor=actor, key=key))

    def types(self, *, after: int = 0) -> list[str]:
        """Return the types of all events in order."""
        return [event.type for event in self.ledger.read(after=after)]

    def events(self, *types: str) -> list[Event]:
        """Return the events of some types in order."""
        return list(self.ledger.read(types=types))

    # ---- what earlier stages would have made

    def declare(self, *, pipeline: str = projects.PIPELINE, dataset: str = "customers") -> None:
        """Record a pipeline as if the project's files had declared it."""
        declared = {
            "name": pipeline,
            "model": pipeline,
            "owner": "growth",
            "datasets": {dataset: dataset} if dataset else {},
        }
        with self.database.write() as transaction:
            known = registry.state(transaction, "pipelines", {})
            registry.put_state(transaction, "pipelines", {**known, pipeline: declared})

    def add_version(
        self, *, gate: str = "pass", model: Any = None, metrics: dict[str, float] | None = None, name: str = "churn"
    ) -> ModelVersion:
        """Register a model version as a run would, with its profile and holdout."""
        rows = projects.customers(200)
        estimator = model or _fitted(rows)
        inputs = tuple(
            {"name": one, "datatype": "BYTES" if one == "plan" else "FP64", "kind": _kind(one)}
            for one in projects.FEATURES
        )
        artifacts = self.resources.artifacts
        with self.database.read() as connection:
            number = registry.next_model_number(connection, name)
        with self.command(f"version/{name}/{number}"), self.database.write() as transaction:
            run_id = derive_id("run", name, number)
            version = ModelVersion(
                model=name,
                number=number,
                run_id=run_id,
                pipeline=name,
                artifact=artifacts.write(storers.dump(estimator)[1]),
                storer="skops",
                inputs=inputs,
                output="probability",
                profile=artifacts.write(msgspec.json.encode(profiles.make(rows, inputs))),
                holdout=artifacts.write(storers.dump(rows)[1]),
                label="left",
                data_until=rows["seen_at"].max().isoformat(),
                registered_at=clock.now(),
                event_id=derive_id(run_id, "model.version.registered"),
            )
            queued = self.ledger.append(
                transaction, Event(type="run.queued", subject=run_id, pipeline=name, data={"run_id": run_id})
            )[0]
            self.ledger.append(
                transaction,
                Event(
                    type="model.version.registered",
                    subject=version.name,
                    id=version.event_id,
                    pipeline=name,
                    causationid=queued.id,
                    data={"version": version.name, "run_id": run_id},
                ),
            )
            registry.add_model_version(transaction, version)
            registry.put_run(transaction, _run(version, gate=gate, metrics=metrics or {}, queued=queued.id))
        return version

    def make_live(self, version: ModelVersion, *, at: datetime | None = None) -> Release:
        """Record that a version serves, as a deployment would."""
        deployment = derive_id("deployment", version.name)
        with self.command(f"deploy/{version.name}"), self.database.write() as transaction:
            shifted = self.ledger.append(
                transaction,
                Event(
                    type="traffic.shifted",
                    subject=version.model,
                    pipeline=version.pipeline,
                    data={"model_version": version.name, "weights": {version.name: 1.0}},
                ),
            )[0]
            for old in registry.releases(transaction, endpoint=version.model, statuses=("live",)):
                registry.put_release(transaction, msgspec.structs.replace(old, status="replaced"))
            release = Release(
                deployment_id=deployment,
                endpoint=version.model,
                environment="production",
                model_version=version.name,
                status="live",
                previous="",
                requested_at=at or clock.now(),
                shifted_at=at or clock.now(),
                traffic_event=shifted.id,
            )
            registry.put_release(transaction, release)
        return release

    def answer(
        self,
        version: ModelVersion,
        *,
        at: datetime,
        count: int = 10,
        first: int = 0,
        request: str = "r",
        visits: Sequence[float] | None = None,
        scores: Sequence[float] | None = None,
        log: PredictionLog | None = None,
    ) -> list[str]:
        """Log answered requests of one row each, as an endpoint would, and return the prediction ids."""
        rows = projects.customers(count, seed=7)
        kept, log = log, log or PredictionLog(self.resources.serving, writer=clock.new_id())
        with self.database.read() as connection:
            live = registry.live_release(connection, version.model)
        ids = []
        for number in range(count):
            name = f"{request}{first + number}"
            ids.append(f"{name}.0")
            values = rows["visits"] if visits is None else visits
            log.append(
                Frame(
                    request_id=name,
                    endpoint=version.model,
                    version=version.name,
                    traffic_id=live.traffic_event if live else "",
                    caller="shop",
                    time=int((at + timedelta(seconds=first + number)).timestamp() * 1e6),
                    latency_us=500,
                    status=200,
                    prediction_ids=[f"{name}.0"],
                    columns={
                        "visits": [float(values[number])],
                        "spend": [float(rows["spend"][number])],
                        "plan": [str(rows["plan"][number])],
                    },
                    scores=[float(scores[number]) if scores is not None else (first + number) / (first + count)],
                )
            )
        if kept is None:
            log.close()
        return ids


def _ignore(_transaction: Connection, _events: Sequence[Event]) -> None:
    """React to nothing."""


def _kind(name: str) -> str:
    return "category" if name == "plan" else "number"


def _fitted(rows: Any) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    columns = make_column_transformer((encode, ["plan"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(rows[list(projects.FEATURES)], rows["left"])


def _run(version: ModelVersion, *, gate: str, metrics: dict[str, float], queued: str) -> Run:
    return Run(
        id=version.run_id,
        pipeline=version.pipeline,
        status="success",
        parameters={},
        snapshot=DIGEST,
        lock=DIGEST,
        inputs={},
        input_digests={},
        seed=0,
        hardware={},
        queued_at=clock.now(),
        queued_event=queued,
        metrics=metrics,
        gate=gate,
        model_version=version.name,
    )
