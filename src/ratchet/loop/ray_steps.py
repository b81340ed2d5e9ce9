"""Steps that a Ray cluster carries out, each as a job of its own that outlives whoever waits for it.

Invariant: of one step at most one job is under way, whoever is killed meanwhile; an answer that is in the store is
taken, whatever the cluster still knows; what keeps a step waiting is said.
"""

import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ratchet import clock
from ratchet.config import RaySection
from ratchet.engine import ray_errands, ray_job
from ratchet.engine.capacity import Demand
from ratchet.engine.executors import log_file
from ratchet.engine.ray_cluster import ClusterAway, ClusterRefuses, LogTooLong, RayCluster, RayJob
from ratchet.engine.ray_errands import Errand
from ratchet.engine.runs import JobContext
from ratchet.errors import ArtifactsUnreachable, RunCancelled
from ratchet.loop import registry
from ratchet.loop.refusals import RayUnusable
from ratchet.loop.resources import Resources
from ratchet.records import Run

T = TypeVar("T")
_FIRST_LOOK_SECONDS = 0.1
_LONGEST_LOOK_SECONDS = 2.0
_CANCEL_SECONDS = 0.2
_LOG_SECONDS = 10.0
# A job server that has never answered is more often a wrong address than one that will be back.
_FIRST_ANSWER_SECONDS = 30.0
# A shared folder may show a file to another machine only after a while.
_ANSWER_SECONDS = 90.0
_STOP_SECONDS = 10.0
_PATIENCE_SECONDS = 3.0
_ENTRY = "ratchet.loop.pipelines:step_elsewhere"
_KILLED_CODES = (137, 143)
_OVER = ("success", "failed", "cancelled")


def ask(resources: Resources, context: JobContext, run: Run, request: dict[str, Any]) -> dict[str, Any]:
    """Have a step of a run carried out by the cluster and wait for the answer: value or error, and cost.

    Raises:
        RunCancelled: Somebody cancelled the run.
        RayUnusable: The cluster did not carry it out.
        ChildDied: The process that carried it out died too often; ``StepTimeout`` and ``MemoryExceeded`` alike.
    """
    return _Waiting(resources, context, run, request).answer()


def cancel(resources: Resources, run_id: str) -> None:
    """End the job of a run, if the cluster answers; whoever waits for it tries that as well."""
    # Steps come one after the other: those before the last are over.
    last = max(_read(resources, run_id), key=lambda errand: errand.index, default=None)
    if last is None:
        return
    with suppress(RayUnusable, ClusterAway, ClusterRefuses):
        _cluster(resources, "").stop(last.job)
    if last.waits:
        with resources.database.write() as transaction:
            ray_errands.put(transaction, msgspec.structs.replace(last, waits=""))


def tidy(resources: Resources) -> None:
    """Forget what was given to the cluster for runs that are over, and the answers that nobody will ask for."""
    over = [one for one in _read(resources, "") if registry.run(resources.database, one.run_id).status in _OVER]
    for errand in over:
        for job in errand.jobs:
            resources.artifacts.unpost(job)
    if over:
        with resources.database.write() as transaction:
            ray_errands.forget(transaction, over)


class _Waiting:
    """One process's waiting for one step: finds the job that is under way, or starts it."""

    def __init__(self, resources: Resources, context: JobContext, run: Run, request: dict[str, Any]) -> None:
        self._resources = resources
        self._context = context
        self._run = run
        self._request = request
        self._step = str(request["name"])
        self._demand = msgspec.convert(request["elsewhere"]["demand"], Demand)
        self._cluster = _cluster(resources, self._step)
        self._store = _store(resources, self._step)
        self._away_since: float | None = None
        self._pause = _FIRST_LOOK_SECONDS
        with resources.database.read() as connection:
            known = ray_errands.find(connection, run.id, request["index"])
        self._errand = known or Errand(run_id=run.id, index=request["index"], spec=self._write_spec())
        if known is None:
            self._put()

    def answer(self) -> dict[str, Any]:
        """Return what the job's answer says."""
        try:
            while True:
                found = self._posted()
                if found is not None:
                    return found.result()
                self._ensure_submitted()
                job = self._watch()
                found = self._posted(patience_seconds=_ANSWER_SECONDS if job and job.status == "SUCCEEDED" else 0.0)
                if found is not None:
                    return found.result()
                self._begin_again(job)
        finally:
            self._say("")

    # ---- one job

    def _ensure_submitted(self) -> None:
        """Start the job of this attempt, unless the cluster has it; where it has lost it, go on to the next."""
        known = self._patiently(lambda: self._cluster.find(self._errand.job))
        if known is None and self._errand.is_submitted:
            self._begin_again(None)
        if known is None:
            words = [self._section.python, *ray_job.arguments(self._errand.job, self._store, self._errand.spec)]
            shown = {"ratchet_run": self._run.id, "ratchet_step": self._step}
            self._patiently(
                lambda: self._cluster.submit(self._errand.job, shlex.join(words), self._demand, metadata=shown)
            )
        if not self._errand.is_submitted:
            self._put(is_submitted=True)

    def _watch(self) -> RayJob | None:
        """Wait until the job is over; ``None`` where the cluster has lost it."""
        log = _Log(self._resources, self._errand)
        began, looked_at = clock.monotonic(), clock.monotonic()
        self._pause = _FIRST_LOOK_SECONDS
        while True:
            job = self._patiently(lambda: self._cluster.find(self._errand.job))
            if job is None or job.is_over:
                self._copy_log(log, is_over=True)
                return job
            if job.status == "PENDING" and clock.monotonic() - began > _PATIENCE_SECONDS:
                self._say(self._why_pending())
            elif job.status == "RUNNING":
                self._say("")
                if clock.monotonic() - looked_at > _LOG_SECONDS:
                    looked_at = clock.monotonic()
                    self._copy_log(log, is_over=False)
            self._sleep()

    def _begin_again(self, job: RayJob | None) -> None:
        """Go on to another job after one that ended without an answer.

        Raises:
            RayUnusable: Another one would end in the same way, or enough have died.
        """
        problem = _why_not_again(job, self._errand.job)
        if problem is not None:
            raise RayUnusable(step=self._step, problem=problem[0], remedy=problem[1])
        has_died = job is None or job.error_type != "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
        deaths = self._errand.deaths + (1 if has_died else 0)
        if deaths >= self._resources.limits.attempts:
            said = f": {_first_line(job.message)}" if job is not None and job.message else ""
            raise RayUnusable(
                step=self._step,
                problem=f"in each of {deaths} attempts the cluster lost the job or its process died{said}",
                remedy="Look at the cluster's nodes (memory, restarts), then run it again.",
            )
        self._put(attempt=self._errand.attempt + 1, deaths=deaths, is_submitted=False)

    def _posted(self, *, patience_seconds: float = 0.0) -> ray_job.Answer | None:
        """Return the answer of the latest job that gave one; a store that is away is waited for like the cluster."""
        began = clock.monotonic()
        while True:
            try:
                found = self._latest()
            except (OSError, ArtifactsUnreachable):
                if clock.monotonic() - began > self._section.away_seconds:
                    raise
            else:
                if found is not None or clock.monotonic() - began >= patience_seconds:
                    return found
            self._sleep()

    def _latest(self) -> ray_job.Answer | None:
        for job in self._errand.jobs:
            content = self._resources.artifacts.posted(job)
            if content is not None:
                found = msgspec.json.decode(content, type=ray_job.Answer)
                assert found.job == job, "an answer lies under its job's name"
                return found
        return None

    # ---- asking the cluster

    def _patiently(self, function: Callable[[], T]) -> T:
        """Ask the cluster, and again while it is away.

        Raises:
            RayUnusable: It has been away for too long, or refuses.
        """
        while True:
            try:
                found = function()
            except ClusterAway as error:
                self._be_patient(str(error))
            except ClusterRefuses as error:
                if not self._errand.is_submitted:
                    raise self._unusable(f"{self._server} {error.problem}", error.remedy) from error
                # A job that is under way is not given up because a token has changed.
                self._be_patient(f"it {error.problem}. {error.remedy}")
            else:
                self._away_since = None
                return found
            self._sleep()

    def _be_patient(self, reason: str) -> None:
        now = clock.monotonic()
        self._away_since = self._away_since if self._away_since is not None else now
        limit = self._section.away_seconds
        if not self._errand.is_submitted:
            limit = min(limit, _FIRST_ANSWER_SECONDS)
        if now - self._away_since > limit:
            problem = f"{self._server} has not answered for {limit:g} s ({reason})"
            remedy = "Does the cluster run, and can it be reached from here? [ray] address in ratchet.toml names it."
            raise self._unusable(problem, remedy)
        if now - self._away_since > _PATIENCE_SECONDS:
            self._say(f"{self._server} does not answer ({reason})")

    def _why_pending(self) -> str:
        with suppress(ClusterAway, ClusterRefuses, LogTooLong):
            nodes = self._cluster.largest()
            if nodes and not any(_fits(self._demand, node) for node in nodes):
                most = ", ".join(node.text for node in nodes[:3])
                return (
                    f"no node of the Ray cluster at {self._cluster.address} has {self._demand.text} "
                    f"(the largest have {most}); add one that does, or cancel the run and ask for less"
                )
        return f"the nodes of the Ray cluster that have {self._demand.text} are busy, or still starting"

    def _copy_log(self, log: "_Log", *, is_over: bool) -> None:
        try:
            text = self._cluster.log(self._errand.job)
        except LogTooLong:
            if is_over:
                log.note("printed more than is copied; the cluster's pages have all of it")
            return
        except (ClusterAway, ClusterRefuses):
            return
        log.take(text, is_over=is_over)

    def _sleep(self) -> None:
        deadline = clock.monotonic() + self._pause
        self._pause = min(self._pause * 1.5, _LONGEST_LOOK_SECONDS)
        while True:
            # The cluster is asked now and then, the database more often: whoever cancels sees that it is over.
            if self._context.is_cancelled():
                self._stop_where_cancelled()
                raise RunCancelled(run_id=self._run.id)
            left = deadline - clock.monotonic()
            if left <= 0:
                return
            clock.sleep(min(left, _CANCEL_SECONDS))

    def _stop_where_cancelled(self) -> None:
        """Stop the job, unless another process only has taken the run over: then it waits for the same one."""
        if registry.run(self._resources.database, self._run.id).status != "cancelled":
            return
        deadline = clock.monotonic() + _STOP_SECONDS
        while clock.monotonic() < deadline:
            try:
                self._cluster.stop(self._errand.job)
            except (ClusterAway, ClusterRefuses):
                clock.sleep(_FIRST_LOOK_SECONDS)
            else:
                return

    # ---- what is kept

    def _put(self, **changes: Any) -> None:
        self._errand = msgspec.structs.replace(self._errand, **changes)
        with self._resources.database.write() as transaction:
            ray_errands.put(transaction, self._errand)

    def _say(self, reason: str) -> None:
        if reason == self._errand.waits:
            return
        since = self._errand.since_seconds if self._errand.waits else clock.real_seconds()
        self._put(waits=reason, since_seconds=since)
        if reason:
            _Log(self._resources, self._errand).note(f"waits: {reason}")

    def _write_spec(self) -> str:
        limits = self._resources.limits
        if self._demand.memory_gb:
            limits = msgspec.structs.replace(limits, memory_mb=self._demand.memory_gb * 1024)
        spec = ray_job.Spec(
            name=self._step,
            entry=_ENTRY,
            values={"snapshot": self._run.snapshot, "seed": self._run.seed, "request": self._request, "gpus": []},
            limits=limits,
            auth_mode="token" if self._section.token else "disabled",
        )
        return self._resources.artifacts.write(msgspec.json.encode(spec))

    @property
    def _server(self) -> str:
        return f"the job server {self._cluster.address}"

    @property
    def _section(self) -> RaySection:
        return self._resources.config.ray

    def _unusable(self, problem: str, remedy: str) -> RayUnusable:
        return RayUnusable(step=self._step, problem=problem, remedy=remedy)


class _Log:
    """Copies a job's lines into the log of its run, each once, also after others have copied some of them."""

    def __init__(self, resources: Resources, errand: Errand) -> None:
        self._path = Path(log_file(resources.logs / "runs", errand.run_id))
        self._name = f"ray {errand.index + 1}.{errand.attempt}"
        self._mark = f"{self._name} | "
        self._copied = 0
        if self._path.exists():
            with self._path.open(encoding="utf-8", errors="replace") as file:
                self._copied = sum(1 for line in file if line.startswith(self._mark))

    def take(self, text: str, *, is_over: bool) -> None:
        """Append the lines that are new; the last one only where it is whole, or nothing more will come."""
        lines = text.split("\n")
        last = lines.pop()
        if last and is_over:
            lines.append(last)
        self._append(self._mark + line for line in lines[self._copied :])
        self._copied = max(self._copied, len(lines))

    def note(self, text: str) -> None:
        """Append something that is not the job's."""
        self._append([f"{self._name} {text}"])

    def _append(self, lines: Iterable[str]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def _read(resources: Resources, run_id: str) -> list[Errand]:
    with resources.database.read() as connection:
        return ray_errands.every(connection, run_id)


def _cluster(resources: Resources, step: str) -> RayCluster:
    section = resources.config.ray
    if not section.address:
        remedy = 'Write [ray] with address = "http://HEAD:8265" into ratchet.toml, or take executor="ray" away.'
        raise RayUnusable(step=step, problem="ratchet.toml names no cluster", remedy=remedy)
    return RayCluster(section.address, token=token_of(resources.project, section, step))


def token_of(project: Path, section: RaySection, step: str) -> str:
    """Return the token of the cluster, ``""`` where the settings name none.

    Args:
        project: Where the path of its file begins.
        section: Says where the token is.
        step: For whom it is asked.

    Raises:
        RayUnusable: It is not there.
    """
    kind, _, name = section.token.partition(":")
    if kind == "env":
        token, place = os.environ.get(name, ""), f"the variable {name}"
    elif kind == "file":
        path = project / Path(name).expanduser()
        token, place = (path.read_text(encoding="utf-8") if path.is_file() else ""), f"the file {path}"
    else:
        return ""
    if not token.strip():
        remedy = (
            "Put the token of the cluster there, where this process sees it; [ray] token in ratchet.toml says where."
        )
        raise RayUnusable(step=step, problem=f"there is no token in {place}", remedy=remedy)
    return token.strip()


def _store(resources: Resources, step: str) -> str:
    """Return where the cluster finds the artifacts."""
    section = resources.config.ray
    if not resources.config.project.artifacts:
        problem = "the artifacts lie in a folder of this machine, where a cluster cannot read them"
        remedy = (
            'Set artifacts = "s3://BUCKET/PREFIX", or a folder that all machines share, in [project] of ratchet.toml.'
        )
        raise RayUnusable(step=step, problem=problem, remedy=remedy)
    return section.artifacts or resources.artifacts.address.partition("?")[0]


def _fits(demand: Demand, node: Demand) -> bool:
    return demand.cpu <= node.cpu and demand.memory_gb <= node.memory_gb and demand.gpu <= node.gpu


def _why_not_again(job: RayJob | None, name: str) -> tuple[str, str] | None:
    """Say why a job that gave no answer is not followed by another, and what to do; ``None`` where it is."""
    if job is None or (job.driver_exit_code is None and job.status == "FAILED" and not _is_setup(job)):
        return None
    message = job.message or ""
    if job.status == "STOPPED":
        return f"somebody stopped the job {name} on the cluster", "Run it again."
    if job.status == "SUCCEEDED":
        remedy = "Do both sides see the same folder or bucket? [ray] artifacts says where the cluster finds it."
        return f"the job {name} ended well, and its answer is not in the store of artifacts", remedy
    if job.driver_exit_code == ray_job.REFUSED_CODE and ray_job.REFUSAL in message:
        remedy = "Mend that on the cluster's machines, or in [ray] of ratchet.toml, and run it again."
        return message.rpartition(ray_job.REFUSAL)[2].partition("\n")[0].rstrip("."), remedy
    if job.driver_exit_code is not None and (job.driver_exit_code < 0 or job.driver_exit_code in _KILLED_CODES):
        return None
    remedy = (
        "What it printed is in the run's log. Each machine of the cluster needs this version of Ratchet: "
        "pip install 'mlratchet[ray]'; [ray] python in ratchet.toml names its interpreter."
    )
    return f"the job {name} ended without an answer ({_last_line(message) or 'it says nothing'})", remedy


def _is_setup(job: RayJob) -> bool:
    return job.error_type in ("RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR")


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]


def _last_line(message: str) -> str:
    return message.strip().rpartition("\n")[2]
