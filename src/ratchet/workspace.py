"""The workspace: the facade, and the one place where store, engine, loop, automation and measure are put together.

Invariant: what a person asks for is a command in the ledger, appended in one transaction with the job that carries it
out; whoever runs the workspace carries it out, whichever process took it in.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ratchet import clock, config, origin
from ratchet.automation import rules
from ratchet.automation.actions import ACTIONS
from ratchet.automation.clockwork import Clockwork
from ratchet.automation.dispatcher import Dispatcher, Reactor
from ratchet.automation.rules import RuleSet
from ratchet.engine.executors import Zygotes
from ratchet.engine.processes import Supervisor, Watched, WorkspaceLock, is_locked
from ratchet.engine.runs import STEP_JOB, DurableRuns
from ratchet.engine.stranded import Teller
from ratchet.errors import DataRefused, NotSettled, RatchetError, UnknownName
from ratchet.loop import (
    credentials,
    datasets,
    placement,
    predictions,
    projects,
    registry,
    releases,
    retention,
    stores,
    training,
)
from ratchet.loop.incidents import Watch
from ratchet.loop.resources import Resources
from ratchet.loop.serving import claim
from ratchet.measure import policies
from ratchet.measure.history import History
from ratchet.measure.kpis.desk import Desk
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.policies import Policy
from ratchet.preload import MODULES
from ratchet.recollection import Recollection
from ratchet.records import Actor, Event, Release, derive_id, digest_of
from ratchet.spending import Spending
from ratchet.store import ownership
from ratchet.store.anchors import parse_anchors
from ratchet.store.artifacts import write_durably
from ratchet.store.checkpoints import KEY_FILE, Checkpoint, Checkpoints
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from ratchet.toml_tables import with_block

HEARTBEAT_SECONDS = 1.0
TIDY_SECONDS = 3600.0
SEAL_CHECK_SECONDS = 60.0
LOCK_FILE = "executor.lock"
CLOCK_FILE = "clock"


class Workspace:
    """A project and its state.

    Args:
        project: The folder with ``ratchet.toml``.
        poll_seconds: How often idle queues look for work.

    Example:
        >>> import ratchet as rt
        >>> with rt.open("flights") as workspace:  # doctest: +SKIP
        ...     workspace.run("flight-delay")
    """

    def __init__(self, project: Path, *, poll_seconds: float = 0.1) -> None:
        self.project = project.resolve()
        self.config = config.load(self.project)
        self.folder = self.project / config.STATE_FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        is_replayed = (self.folder / CLOCK_FILE).exists()
        self._began_simulation = is_replayed and not clock.is_simulated()
        if is_replayed:
            # A replayed year lives in its own time, whoever looks at it later.
            clock.simulate(self.folder / CLOCK_FILE, start=clock.now())
        self.database = Database(self.config.project.database or sqlite_url(self.folder / "ratchet.db"))
        ownership.claim(self.database, project=self.config.project.name, folder=self.folder)
        self.runs = DurableRuns(self.database, poll_seconds=poll_seconds)
        self.ledger = Ledger(self.database, Reactor(self.runs))
        self.zygotes = Zygotes(MODULES)
        self.resources = Resources(
            project=self.project,
            folder=self.folder,
            config=self.config,
            database=self.database,
            ledger=self.ledger,
            runs=self.runs,
            artifacts=stores.open_store(self.config, project=self.project, state=self.folder, database=self.database),
            zygotes=self.zygotes,
        )
        self.clockwork = Clockwork(self.resources)
        self.supervisor = Supervisor()
        self._lock: WorkspaceLock | None = None
        self._said: set[str] = set()
        self._stranded = Teller()
        self._recollection = Recollection(self.ledger)
        desk = Desk(self.history, settings=lambda: Settings.of(self.config), policies=self.policies)
        self.ask, self.kpi, self.kpis, self.kpi_over_months = desk.ask, desk.kpi, desk.kpis, desk.over_months
        self.spending = Spending(self.resources, ask=desk.ask, level=lambda name: self.level(name).level)
        self.resources.admit_run = self.spending.admit
        self._watch: Watch | None = None
        self._tidy_at = 0.0
        self._seal_at = 0.0
        self._prepare_engine()

    def __enter__(self) -> "Workspace":
        """Return the workspace."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop what was started and give everything back."""
        self.close()

    def close(self) -> None:
        """Stop what was started here and give everything back; nothing that was accepted is lost."""
        self.supervisor.stop()
        self.runs.close()
        self.zygotes.close()
        self.database.close()
        if self._began_simulation:
            clock.stop_simulating()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _prepare_engine(self) -> None:
        marker = f"engine/{msgspec.json.encode(self.runs.poll_seconds).decode()}"
        with self.database.read() as connection:
            is_prepared = registry.state(connection, marker, default=False)
        if not is_prepared:
            self.runs.prepare()
            with self.database.write() as transaction:
                registry.put_state(transaction, marker, value=True)

    # ---- running

    @property
    def is_executor(self) -> bool:
        """Tell whether this process carries out the workspace's jobs."""
        return self._lock is not None

    @property
    def is_running(self) -> bool:
        """Tell whether some process carries out the workspace's jobs."""
        return self.is_executor or is_locked(self.folder / LOCK_FILE) or self.runs.has_server()

    def start(self, *, serve: bool = True, port: int = 0, die_together: bool = False, runs: int = 1) -> None:
        """Carry out jobs in this process, and keep the endpoint process running.

        Args:
            runs: How many runs at once; 0 leaves all runs and steps of a workspace on PostgreSQL to its workers.
            serve: Whether to keep an endpoint process.
            port: Where it listens; 0 for any free port, the same after a restart.
            die_together: End the endpoint with this process, however that ends. Without it the endpoint goes on
                serving when this process is killed.

        Raises:
            WorkspaceInUse: Another process does so already; ``ServerElsewhere`` where it is on another machine.
        """
        self._lock = WorkspaceLock(self.folder / LOCK_FILE)
        self.zygotes.start()
        dispatcher = Dispatcher(self.resources, measured=self.spending.numbers)
        self.runs.register("dispatch", dispatcher.dispatch)
        self.runs.register("act", dispatcher.act)
        self.runs.register("run", partial(training.carry_out, self.resources))
        self.runs.register(STEP_JOB, partial(placement.carry_out, self.resources))
        if serve:
            self._keep_endpoint(port=port, die_together=die_together)
            self._watch = Watch(self.resources)
        self.runs.launch(self.runs.as_server(runs=runs), limits=training.limits(self.config))
        releases.publish_routes(self.resources)

    def _keep_endpoint(self, *, port: int, die_together: bool) -> None:
        serving, artifacts = self.resources.serving, self.resources.artifacts.address
        command = claim.command_line(serving, artifacts=artifacts, port=port, die_together=die_together)
        self.supervisor.watch(
            Watched(
                name="endpoint",
                command=command,
                log=self.resources.logs / "endpoint.log",
                # A command that is over in a moment leaves it to the next server.
                left_behind=lambda: claim.holder_pid(serving, is_ours_to_end=not die_together),
            )
        )

    def endpoint_address(self, *, timeout_seconds: float = 60.0) -> str:
        """Return the address of the endpoint process, once it is there.

        Raises:
            NotSettled: It did not come up in time.
        """
        deadline = clock.monotonic() + timeout_seconds
        while clock.monotonic() < deadline:
            holder = claim.holder(self.resources.serving)
            if holder is not None:
                return f"http://{holder.host}:{holder.port}"
            clock.sleep(0.02)
        raise NotSettled(limit_seconds=timeout_seconds, waiting="the endpoint process; see .ratchet/logs/endpoint.log")

    def heartbeat(self) -> None:
        """Do what is due now: incidents, new data, sealed days, ticks, passed budgets; and once an hour, tidy up."""
        if self._watch is not None:
            self._watch.look()
        predictions.tend(self.resources)
        self.look_for_data()
        self.clockwork.tick(clock.now())
        self.spending.tell()
        for message in self._stranded.news(self.runs.lines_stranded(), now_seconds=clock.real_seconds()):
            sys.stderr.write(f"{message}\n")
        if self.is_executor and clock.monotonic() >= self._tidy_at:
            self._tidy_at = clock.monotonic() + TIDY_SECONDS
            self.tidy()

    def look_for_data(self) -> None:
        """Publish a new version of each dataset whose files have changed; a refused file is in the ledger."""
        for name in self.config.dataset:
            try:
                datasets.scan(self.resources, name)
            except DataRefused as error:
                self._say_once(str(error))

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            sys.stderr.write(f"{message}\n")

    def tidy(self) -> None:
        """Let go of what nothing needs: artifacts that nobody holds, rows of finished jobs."""
        assert self.is_executor, "only the process that holds the workspace tidies it"
        retention.prune_jobs(self.resources)
        if problem := retention.tidy(self.resources):
            self._say_once(problem)

    @property
    def checkpoints(self) -> Checkpoints:
        """Return what signs the ledger's states, with the settings that are in force."""
        section = self.config.ledger
        return Checkpoints(
            database=self.database,
            ledger=self.ledger,
            project=self.config.project.name,
            folder=self.folder,
            key=self.project / Path(section.key).expanduser() if section.key else self.folder / "keys" / KEY_FILE,
            anchors=parse_anchors(section.anchor, project=self.project),
        )

    def seal(self) -> Checkpoint:
        """Sign the ledger as it stands and write the checkpoint to all anchors.

        Raises:
            AnchorFailed: The checkpoint stands in the ledger, but an anchor could not be used.
            LedgerCut: The ledger contradicts what was signed before; so do ``LedgerDiffers`` and ``LedgerGap``.
            SigningKeyUnusable: The key cannot be read, or is not the one that signed before.
        """
        checkpoints = self.checkpoints
        made = checkpoints.seal()
        for _, error in checkpoints.anchor_all():
            if error is not None:
                raise error
        return made

    def seal_when_due(self) -> Checkpoint | None:
        """Sign the ledger once an hour, if something was appended; call it as often as you like."""
        if clock.monotonic() < self._seal_at:
            return None
        self._seal_at = clock.monotonic() + SEAL_CHECK_SECONDS
        return self.seal() if self.checkpoints.is_due(clock.now()) else None

    def settle(self, *, timeout_seconds: float = 600.0) -> None:
        """Return when no dispatch, action or run is pending.

        Raises:
            NotSettled: Something still is after so long; the message names it.
        """
        deadline = clock.monotonic() + timeout_seconds
        pause = 0.002
        while waiting := self.runs.pending():
            if clock.monotonic() > deadline:
                raise NotSettled(limit_seconds=timeout_seconds, waiting=", ".join(sorted(waiting)[:5]))
            clock.sleep(pause)
            pause = min(pause * 1.5, 0.01)

    # ---- commands

    def local_actor(self) -> Actor:
        """Return who gives commands here: the token in the environment, else the account's person."""
        return credentials.local_actor(self.resources)

    def person(self, account: str) -> Actor:
        """Return the actor of a named person."""
        return Actor(authtype="user", authid=credentials.pseudonym(self.resources, account))

    def command(
        self,
        action: str,
        parameters: dict[str, Any],
        *,
        subject: str,
        pipeline: str = "",
        channel: str = "cli",
        actor: Actor | None = None,
        key: str = "",
    ) -> Event:
        """Take in what somebody asks for: the command and the job that carries it out, in one transaction.

        Args:
            action: Name of an action.
            parameters: The action's.
            subject: What it acts on.
            key: Makes the request repeatable: the same key again changes nothing.

        Returns:
            The event ``command.issued``.
        """
        stage = ACTIONS[action].stage
        event = self._command_event(
            action, parameters, subject=subject, stage=stage, pipeline=pipeline, channel=channel, actor=actor, key=key
        )
        with self.database.write() as transaction:
            issued = self.ledger.append(transaction, event)[0]
            job = f"act:{issued.id}"
            calls = [{"action": action, "parameters": parameters}]
            spec = {"source": issued.source, "id": issued.id, "calls": calls, "job": job}
            self.runs.enqueue(transaction, "act", job, spec)
        return issued

    def _command_event(
        self,
        action: str,
        parameters: dict[str, Any],
        *,
        subject: str,
        stage: str,
        pipeline: str,
        channel: str,
        actor: Actor | None,
        key: str,
    ) -> Event:
        who = actor or self.local_actor()
        return Event(
            type="command.issued",
            subject=subject,
            id=derive_id("command", key) if key else clock.new_id(),
            pipeline=pipeline,
            trigger=channel if channel in ("api", "ui", "cli") else "unknown",
            authtype=who.authtype,
            authid=who.authid,
            authclaims=who.claims,
            data={
                "action": action,
                "target_stage": stage,
                "args_digest": digest_of(parameters),
                "arguments": parameters,
                "channel": channel,
            },
        )

    @contextmanager
    def by_command(
        self, action: str, parameters: dict[str, Any], *, subject: str, actor: Actor | None = None, key: str = ""
    ) -> Iterator[Event]:
        """Record a command that is carried out here and now; what happens inside is caused by it."""
        event = self._command_event(
            action, parameters, subject=subject, stage="", pipeline="", channel="cli", actor=actor, key=key
        )
        issued = self.ledger.record(event)[0]
        who = Actor(authtype=issued.authtype, authid=issued.authid, claims=issued.authclaims)
        with origin.use(origin.following(issued, actor=who, key=f"command:{issued.id}")):
            yield issued

    def outcome(self, command: Event, *, timeout_seconds: float = 3600.0) -> dict[str, Any]:
        """Wait for a command to be carried out and return what came of it.

        Returns:
            ``event``: the last event it caused; ``error``: what went wrong, else ``""``.

        Raises:
            NotSettled: It was not carried out in time.
        """
        job = f"act:{command.id}"
        deadline = clock.monotonic() + timeout_seconds
        while clock.monotonic() < deadline:
            status, result = self.runs.outcome(job)
            if status == "SUCCESS":
                return dict(result)
            if status not in ("ENQUEUED", "PENDING", "DELAYED", "UNKNOWN"):
                return {"event": "", "error": str(result)}
            clock.sleep(0.02)
        raise NotSettled(limit_seconds=timeout_seconds, waiting=job)

    # ---- the project's files

    def sync(self, *, actor: Actor | None = None) -> RuleSet:
        """Take in what the project's files say now: pipelines and rules.

        Raises:
            ConfigInvalid: A rule means nothing; nothing is taken in.
            StepFailed: A file cannot be imported.
        """
        project = projects.checked(self.resources)
        projects.put_settings_in_force(self.resources)
        found = rules.read(self.config, project, path=self.project / config.FILE_NAME)
        chosen = self.policies()
        digest = digest_of([msgspec.to_builtins(found), msgspec.to_builtins(project), [one.digest for one in chosen]])
        with self.database.read() as connection:
            if registry.state(connection, "project") == digest:
                return rules.in_force(connection)
            # Files that are again as they were before are a change as well: each gets a key of its own.
            turn = int(registry.state(connection, "project/turn", 0))
        with self.by_command(
            "sync", {"files": digest}, subject=self.config.project.name, actor=actor, key=f"sync/{turn}/{digest}"
        ):
            projects.declare(self.resources, project)
            self._publish(chosen)
            in_force = rules.put_in_force(self.resources, found)
        with self.database.write() as transaction:
            registry.put_state(transaction, "project", digest)
            registry.put_state(transaction, "project/turn", turn + 1)
        return in_force

    def _publish(self, chosen: list[Policy]) -> None:
        """Record the level policies in force; a later change of a file does not change what was published."""
        with self.database.write() as transaction:
            for policy in chosen:
                name = f"policy/{policy.name}"
                if registry.state(transaction, name) != policy.digest:
                    data = {"policy": policy.name, "digest": policy.digest}
                    self.ledger.append(
                        transaction,
                        Event(
                            type="level.policy.published",
                            subject=policy.name,
                            data=data,
                        ),
                    )
                    registry.put_state(transaction, name, policy.digest)

    def adopt(
        self,
        which: int | str,
        pipeline: str,
        *,
        actor: Actor | None = None,
        enabled: bool = True,
        leave_out: str = "",
        dry_run: bool = False,
    ) -> str:
        """Write the presets of a level into ``ratchet.toml`` and put them in force.

        Args:
            which: The level whose presets are meant, or the name of one preset.
            pipeline: What they act on.
            enabled: Whether they are switched on.
            leave_out: An action; presets that use it are not written.
            dry_run: Change nothing, and say what would be added.

        Returns:
            The text that was added; ``""`` where all of it was there.

        Raises:
            UnknownName: No such pipeline, or no presets of this level.
            ConfigInvalid: The file's other rules mean nothing; it is left as it was.
        """
        declaration = projects.pipeline(self.resources, pipeline)
        dataset = next(iter(declaration.datasets.values()), "")
        blocks = rules.preset_text(which, pipeline=pipeline, model=declaration.model, dataset=dataset)
        present = {rule.name for rule in self.config.rule}
        added = [text for name, text in blocks if name not in present and not (leave_out and leave_out in text)]
        if not enabled:
            added = [f"{text}enabled = false\n" for text in added]
        if dry_run:
            return "\n".join(added)
        if added:
            path = self.project / config.FILE_NAME
            before = path.read_bytes().decode()
            write_durably(path, with_block(before, "\n".join(added)).encode())
            try:
                self.reload()
                self.sync(actor=actor)
            except RatchetError:
                write_durably(path, before.encode())
                self.reload()
                raise
        else:
            self.sync(actor=actor)
        return "\n".join(added)

    def reload(self) -> None:
        """Read ``ratchet.toml`` again, for commands that have changed it."""
        self.config = config.load(self.project)
        self.resources.config = self.config

    # ---- measuring

    def policies(self) -> list[Policy]:
        """Return the level policies in force: ``standard``, ``strict``, and those that the project names.

        Raises:
            ConfigInvalid: A file of the project is no policy.
        """
        named = [name for name in self.config.project.policies if name not in policies.ALWAYS]
        own = [policies.shipped(n) if n in policies.SHIPPED else policies.load(self.project / n) for n in named]
        return [*map(policies.shipped, policies.ALWAYS), *own]

    def policy(self, name: str) -> Policy:
        """Return a level policy by name: one in force, or another that ships.

        Raises:
            UnknownName: There is none.
        """
        found = {one.name: one for one in self.policies()}
        if name in found:
            return found[name]
        if name in policies.SHIPPED:
            return policies.shipped(name)
        known = dict.fromkeys([*found, *policies.SHIPPED])
        raise UnknownName(kind="level policy", name=name, known=", ".join(known))

    def history(self) -> History:
        """Return the measure's view of the ledger, brought up to date; what was erased is not in it any more."""
        return self._recollection.history()

    def level(self, pipeline: str, *, policy: str = "standard", as_of: datetime | None = None) -> LevelReport:
        """Return how automated a pipeline is, with the evidence.

        Raises:
            UnknownName: No such policy.
        """
        return measure_level(self.history(), pipeline, self.policy(policy), as_of=as_of)

    # ---- assessing

    def record_assessment(self, subject: str, data: dict[str, Any], *, actor: Actor | None = None) -> Event:
        """Record what somebody declares about how the work is done; a subject is recorded once.

        Args:
            subject: Names the assessment and its version, such as ``flights@1``.
            data: What was declared, with the kind of assessment under ``assessment``.
            actor: Who declares it.

        Returns:
            The event ``assessment.recorded`` as it stands in the ledger: the first one, where there is one.
        """
        key = f"assessment/{data['assessment']}/{subject}"
        with self.by_command("record_assessment", {"subject": subject}, subject=subject, actor=actor, key=key):
            event = Event(type="assessment.recorded", subject=subject, evidence="declared", data=data)
            return self.ledger.record(event)[0]

    # ---- looking

    def rules(self) -> RuleSet:
        """Return the rules in force."""
        with self.database.read() as connection:
            return rules.in_force(connection)

    def pipelines(self) -> dict[str, dict[str, Any]]:
        """Return the declared pipelines by name."""
        with self.database.read() as connection:
            declared: dict[str, dict[str, Any]] = registry.state(connection, "pipelines", {})
        return declared

    def alerts(self, pipeline: str) -> list[Event]:
        """Return the alerts of a pipeline that were raised and not cleared, the oldest first."""
        open_alerts: dict[str, Event] = {}
        kinds = ("monitor.alert.raised", "monitor.alert.cleared")
        for event in self.ledger.read(types=kinds, pipeline=pipeline):
            open_alerts.pop(event.subject, None)
            if event.type == kinds[0]:
                open_alerts[event.subject] = event
        return list(open_alerts.values())

    def live(self, endpoint: str) -> Release | None:
        """Return what serves on an endpoint."""
        with self.database.read() as connection:
            return registry.live_release(connection, endpoint)


def open_workspace(folder: str | Path = ".") -> Workspace:
    """Open the workspace of a folder, or of the nearest one above it.

    Raises:
        WorkspaceNotFound: There is none.
        ConfigInvalid: Its ``ratchet.toml`` means nothing in one of its lines.
    """
    return Workspace(config.find(Path(folder)))
