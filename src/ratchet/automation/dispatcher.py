"""From an event to the actions that rules want: enqueued with the event, carried out once.

Invariant: an event that a rule listens to has its dispatch in the same transaction; a rule fires at most once for an
event; actions of a list run in order, each caused by the last event of the one before, and a failed one stops the list.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from ratchet import clock, faults, origin
from ratchet.automation import conditions, limits, rules
from ratchet.automation.actions import action
from ratchet.automation.conditions import BrokenCondition
from ratchet.automation.limits import Held
from ratchet.automation.rules import Rule, RuleSet
from ratchet.engine.executors import Session, Task, log_file
from ratchet.engine.runs import JobContext, Runs
from ratchet.errors import RatchetError
from ratchet.loop import projects, registry
from ratchet.loop.resources import Resources
from ratchet.records import NATIVE_SOURCE, Actor, Event, derive_id

Numbers = Callable[[str, Collection[str]], dict[str, float]]
_log = logging.getLogger(__name__)
BACKFILL = "backfill"
_TRIGGERS = {"clock.ticked": "schedule", "custom.emitted": "custom", "code.pushed": "code"}


class Reactor:
    """What the ledger calls with each append: enqueues a dispatch where a rule listens.

    Args:
        runs: Where jobs are enqueued.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._known: tuple[str, frozenset[str]] = ("", frozenset())

    def __call__(self, transaction: Connection, events: Sequence[Event]) -> None:
        """Enqueue the dispatch of events that an enabled rule listens to."""
        digest = registry.state(transaction, rules.CURRENT, "")
        if not digest:
            return
        if self._known[0] != digest:
            chosen = rules.by_digest(transaction, digest)
            self._known = digest, frozenset(rule.on for rule in chosen.rules if rule.is_enabled)
        for event in events:
            if event.type in self._known[1]:
                spec = {"source": event.source, "id": event.id, "rules": digest}
                self._runs.enqueue(transaction, "dispatch", f"dispatch:{event.source}:{event.id}", spec)


class Dispatcher:
    """Carries out the jobs ``dispatch`` and ``act``.

    Args:
        resources: The workspace's parts.
        measured: Gives those of the numbers that conditions name and only the measure knows, of a pipeline.
    """

    def __init__(self, resources: Resources, *, measured: Numbers = lambda _pipeline, _names: {}) -> None:
        self._resources = resources
        self._measured = measured
        self.database = resources.database
        self._known = RuleSet(digest="", rules=())

    # ---- the job "dispatch"

    def dispatch(self, context: JobContext, spec: dict[str, Any]) -> int:
        """Decide which rules fire for an event and see to their actions; returns how many fire.

        Where one rule alone listens, its actions are carried out here: a job of its own for them would cost as much
        again as all the rest. Where several do, each has its own job, so that none waits for another's actions.
        """
        event = self._resources.ledger.get(spec["id"], source=spec["source"])
        assert event is not None, "a dispatch is enqueued with its event"
        chosen = self._rules(spec["rules"])
        firings: dict[str, Event] = {}
        decided = context.step("decide", lambda: self._decide(event, chosen, firings))
        if isinstance(decided, int):
            return decided
        for name in decided["here"]:
            rule = next(one for one in chosen.rules if one.name == name)
            job = act_job(rule, event)
            fired = firings.get(name) or self._resources.ledger.get(derive_id(job, "rule.fired", name))
            self._carry_out_rule(context, _Chain(self, context, rule, event, job=job, fired=fired))
        return int(decided["fired"])

    def _rules(self, digest: str) -> RuleSet:
        """Return the rules of a digest, of which there is one at a time but for a moment after a change."""
        found = self._known  # another thread may put others there
        if found.digest != digest:
            with self._resources.database.read() as connection:
                self._known = found = rules.by_digest(connection, digest)
        return found

    def _decide(self, event: Event, chosen: RuleSet, firings: dict[str, Event]) -> dict[str, Any]:
        """Have the rules fire that are to, and tell how many do, and whose actions nobody else carries out.

        Args:
            event: What they listen to.
            chosen: All rules.
            firings: Gets the events that say so, by rule, where they are appended now.
        """
        listening = chosen.listening_to(event)
        is_alone = len(listening) == 1 and bool(listening[0].calls)
        fired, here = 0, []
        for rule in listening:
            # Decided by an attempt that broke off; whatever the limits and numbers are by now, it has fired.
            has_fired = self._resources.ledger.get(derive_id(act_job(rule, event), "rule.fired", rule.name)) is not None
            if has_fired or self._consider(rule, event, chosen, firings, is_alone=is_alone):
                fired += 1
                if is_alone and not (has_fired and self._has_job(rule, event)):
                    here.append(rule.name)
        return {"fired": fired, "here": here}

    def _has_job(self, rule: Rule, event: Event) -> bool:
        """Tell whether somebody has enqueued a rule's actions: a person for an event that is past, an older version."""
        return self._resources.runs.outcome(act_job(rule, event))[0] != "UNKNOWN"

    def _consider(
        self, rule: Rule, event: Event, chosen: RuleSet, firings: dict[str, Event], *, is_alone: bool
    ) -> bool:
        """Have a rule fire, or be held back, and tell whether it fires.

        Args:
            rule: Which.
            event: What it listens to.
            chosen: All rules.
            firings: Gets the event that says so.
            is_alone: Whether who asks carries its actions out; else they are enqueued with its firing.
        """
        job = act_job(rule, event)
        if event.type == "rule.suppressed" and event.subject == rule.name:
            # That it is held back cannot be what it acts on: it would be held back again, without end.
            return False
        held: Held | None = None
        try:
            if not conditions.holds(rule.when, event, self._kpis(rule, event)):
                return False
        except BrokenCondition as error:
            held = Held(kind="condition", reason=f"the condition {error}")
        except Exception as error:  # noqa: BLE001, the border of the worker
            # A fault of ours must be seen, and must not keep the other rules from firing.
            _log.exception("rule %s could not be considered", rule.name)
            held = Held(kind="fault", reason=f"{type(error).__name__}: {error}")
        limit = self._resources.config.limits.rule_depth
        depth = 0 if held else depth_of(event, get=self._resources.ledger.get, limit=limit)
        with origin.use(_origin(event, key=job)), self._resources.database.write() as transaction:
            held = held or self._limit(rule, depth)
            if held:
                self._suppress(transaction, rule, event, held)
                return False
            if rule.calls:
                firing = rule_event("rule.fired", rule, event)
                firings[rule.name] = self._resources.ledger.append(transaction, firing)[0]
            if not is_alone:
                spec = act_spec(rule, event, rules_digest=chosen.digest)
                self._resources.runs.enqueue(transaction, "act", job, spec)
        return True

    def _suppress(self, transaction: Connection, rule: Rule, event: Event, held: Held) -> None:
        """Say in the ledger that a rule is held back, or count it where the same was said within the hour."""
        more = limits.begin_or_count(transaction, rule.digest, held, now=clock.now())
        if more is None:
            return
        told = {"reason": held.reason, "condition_result": held.is_condition_true, **({"more": more} if more else {})}
        self._resources.ledger.append(transaction, rule_event("rule.suppressed", rule, event, **told))

    def _kpis(self, rule: Rule, event: Event) -> dict[str, float]:
        names = conditions.names_used(rule.when)
        pipeline = rule.pipeline or event.pipeline
        found = conditions.ages(self._resources, pipeline) if names.intersection(conditions.AGES) else {}
        wanted = names.intersection(conditions.MEASURED)
        return found | (self._measured(pipeline, wanted) if wanted else {})

    def _limit(self, rule: Rule, depth: int) -> Held | None:
        """Say why a rule may not fire now; inside the write in which it would, so that no two may at once."""
        section = self._resources.config.limits
        is_near = any(self._has_fired(rule, times, span) for times, span in limits.spans(rule.at_most, section))
        firings = self._firings(rule, limits.firings_needed(rule.at_most, section)) if is_near else []
        return limits.held_back(rule.at_most, section, depth=depth, firings=firings, now=clock.now())

    def _has_fired(self, rule: Rule, times: int, span: timedelta) -> bool:
        """Tell whether a rule has fired so often within a span, whoever had it fire: one event tells, not all."""
        if times < 1:
            return True
        ledger = self._resources.ledger
        found = ledger.nth_newest(times, types=["rule.fired"], subject=rule.name, source=NATIVE_SOURCE)
        return found is not None and found.at > clock.now() - span

    def _firings(self, rule: Rule, needed: int) -> list[datetime]:
        """Return when a rule last fired by itself; what a person made up for counts towards no limit."""
        asked = needed
        while True:
            recent = list(
                self._resources.ledger.read(
                    types=["rule.fired"], subject=rule.name, source=NATIVE_SOURCE, newest_first=True, limit=asked
                )
            )
            firings = [one.at for one in recent if one.trigger != BACKFILL]
            if len(firings) >= needed or len(recent) < asked:
                return firings
            asked *= 4

    # ---- the job "act"

    def act(self, context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
        """Carry out what a rule or a command wants, in order.

        Returns:
            ``event``: id of the last event; ``error``: why a list was stopped, else ``""``.
        """
        event = self._resources.ledger.get(spec["id"], source=spec["source"])
        assert event is not None, "actions are enqueued with their event"
        if "calls" in spec:
            return self._carry_out_command(context, spec, event)
        rule = next(one for one in self._rules(spec["rules"]).rules if one.name == spec["rule"])
        command = self._resources.ledger.get(spec["command"]) if "command" in spec else None
        chain = _Chain(self, context, rule, event, job=spec["job"], command=command)
        return self._carry_out_rule(context, chain)

    def _carry_out_command(self, context: JobContext, spec: dict[str, Any], command: Event) -> dict[str, Any]:
        last = command
        actor = Actor(authtype=command.authtype, authid=command.authid, claims=command.authclaims)
        for number, call in enumerate(spec["calls"]):

            def perform(number: int = number, call: dict[str, Any] = call, cause: Event = last) -> dict[str, Any]:
                source = _origin(cause, key=f"{spec['job']}:{number}", actor=actor)
                return self._perform(source, call["action"], call["parameters"], command)

            outcome = context.step(f"{number} {call['action']}", perform)
            if outcome["error"]:
                return dict(outcome)
            last = self._resources.ledger.get(outcome["event"]) or last
        return {"event": last.id, "error": ""}

    def _carry_out_rule(self, context: JobContext, chain: "_Chain") -> dict[str, Any]:
        if not chain.rule.calls:
            return self._carry_out_python(context, chain, chain.rule, chain.event)
        for call in chain.rule.calls:
            if chain.do(call.action, call.parameters)["error"]:
                break
        return chain.outcome

    def _carry_out_python(self, context: JobContext, chain: "_Chain", rule: Rule, event: Event) -> dict[str, Any]:
        snapshot, _ = projects.current(self._resources)
        task = Task(
            name=f"rule '{rule.name}'",
            entry="ratchet.automation.custom:carry_out",
            spec={
                **projects.child_spec(self._resources, snapshot),
                "rule": rule.name,
                "event": msgspec.to_builtins(event),
                "pipeline": rule.pipeline or event.pipeline,
            },
            log=log_file(self._resources.logs, "rules"),
        )
        session = Session(
            self._resources.zygotes, task, limits=self._resources.limits, is_cancelled=context.is_cancelled
        )

        def record(request: dict[str, Any], _execute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            outcome = chain.do(request["action"], request["parameters"])
            if outcome["error"]:
                return {"error": _as_step_failure(request["action"], outcome["error"])}
            return {"value": outcome["event"]}

        try:
            session.converse(record)
        except RatchetError as error:
            if not chain.outcome["error"]:
                chain.fail(str(error))
        return chain.outcome

    def _perform(self, source: origin.Origin, name: str, parameters: dict[str, Any], event: Event) -> dict[str, Any]:
        """Do one action and say what came of it; an error is a result, so that it is not tried for ever."""
        try:
            with origin.use(source):
                last = action(name).perform(self._resources, event, parameters)
        except RatchetError as error:
            return {"event": "", "error": str(error)}
        except Exception as error:  # noqa: BLE001, the border of the worker
            # A fault of ours must end the list visibly, not leave it pending for ever.
            _log.exception("action %s failed", name)
            return {"event": "", "error": f"{type(error).__name__}: {error}"}
        faults.point("action.before_record")
        return {"event": last.id if last else "", "error": ""}

    def append_outcome(
        self,
        transaction: Connection,
        chain: "_Chain",
        kind: str,
        *,
        position: int,
        cause: str,
        details: dict[str, Any],
    ) -> None:
        """Append what came of an action of a rule."""
        source = chain.origin(chain.event, key=f"{chain.job}:{position}")
        with origin.use(msgspec.structs.replace(source, cause=cause)):
            self._resources.ledger.append(transaction, rule_event(kind, chain.rule, chain.event, **details))

    def fire(self, chain: "_Chain") -> str:
        """Append that a rule fired, once, and return the event's id; ``""`` where it is held back.

        A rule in Python fires when it acts, and others of its kind may have done so since its event was looked at.
        """
        rule, event, ledger = chain.rule, chain.event, self._resources.ledger
        with origin.use(chain.origin(chain.command or event, key=chain.job)), self._resources.database.write() as write:
            is_open = not rule.calls and ledger.find_in(write, derive_id(chain.job, "rule.fired", rule.name)) is None
            if is_open and not chain.command and (held := self._limit(rule, depth=0)):
                self._suppress(write, rule, event, held)
                return ""
            return ledger.append(write, rule_event("rule.fired", rule, event))[0].id

    def perform_for_rule(
        self, chain: "_Chain", name: str, parameters: dict[str, Any], *, position: int, cause: str
    ) -> dict[str, Any]:
        """Do one action of a rule."""
        is_first = chain.firing is not None and chain.firing.id == cause
        led = chain.firing if is_first else self._resources.ledger.get(cause)
        assert led is not None, "a rule's actions follow from its firing"
        return self._perform(chain.origin(led, key=f"{chain.job}:{position}"), name, parameters, chain.event)


class _Chain:
    """The actions of one rule for one event, each caused by the last event of the one before.

    Args:
        dispatcher: Does them.
        context: Of the job.
        rule: Whose actions.
        event: What it reacts to.
        job: The job's id, or what it would be if the actions had a job of their own: their effects are known by it.
        command: Who asked for it, where a person did so for an event that is past.
        fired: The event that says that the rule fired, where it has.

    Attributes:
        firing: The same.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        context: JobContext,
        rule: Rule,
        event: Event,
        *,
        job: str,
        command: Event | None = None,
        fired: Event | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._context = context
        self.rule = rule
        self.event = event
        self.job = job
        self.command = command
        self.firing = fired
        self._fired = self._last = fired.id if fired else ""
        self._position = 0
        self.outcome: dict[str, Any] = {"event": "", "error": ""}

    def origin(self, event: Event, *, key: str) -> origin.Origin:
        """Return the origin of what follows from an event: the rule's, or that of the person who asked for it."""
        return _origin(event, key=key) if self.command is None else backfilled(self.command, event, key=key)

    def do(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Do the next action; a rule fires with its first one."""
        if not self._fired:
            self._fired = str(self._context.step("fire", self._fire))
            self._last = self._fired
        if not self._fired:
            self.outcome = {"event": "", "error": "the rule is held back; see rule.suppressed"}
            return self.outcome
        position = self._position
        self._position += 1
        outcome: dict[str, Any] = self._context.step(f"{position} {name}", lambda: self._do(position, name, parameters))
        self._last = outcome["event"] or self._last
        self.outcome = {"event": self._last, "error": outcome["error"]}
        return outcome

    def fail(self, error: str) -> None:
        """Record that the rule's own code failed."""
        is_recorded = False
        # An earlier attempt's child may have come further than this one's before it died.
        for name, kept in self._context.catch_up():
            if name == "fire":
                self._fired = self._last = str(kept)
            elif name.endswith(" failed"):
                is_recorded = True
            else:
                self._position += 1
                self._last = kept["event"] or self._last
        if not self._fired:
            self._fired = str(self._context.step("fire", self._fire))
        position = self._position
        self.outcome = {"event": self._last, "error": error}
        if self._fired and not is_recorded:
            self._context.step(f"{position} failed", lambda: self._record(position, "body", error))

    def _fire(self) -> str:
        return self._dispatcher.fire(self)

    def _do(self, position: int, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        database = self._dispatcher.database
        with database.concluding(lambda transaction: self._append(transaction, position, name)) as conclusion:
            outcome = self._dispatcher.perform_for_rule(self, name, parameters, position=position, cause=self._last)
        if not conclusion.is_written:
            self._record(position, name, outcome["error"])
        return outcome

    def _record(self, position: int, name: str, error: str) -> None:
        with self._dispatcher.database.write() as transaction:
            self._append(transaction, position, name, error)

    def _append(self, transaction: Connection, position: int, name: str, error: str = "") -> None:
        kind = "rule.action.failed" if error else "rule.action.succeeded"
        details = {"action": name, "position": position, **({"error": error} if error else {})}
        self._dispatcher.append_outcome(transaction, self, kind, position=position, cause=self._fired, details=details)


def depth_of(event: Event, *, get: Callable[[str], Event | None], limit: int) -> int:
    """Count the rules between an event and its root, up to the limit.

    Args:
        event: Where the chain ends.
        get: Gives the event with an id, or ``None``.
        limit: How many rules may drive one another.
    """
    depth, current, steps = 0, event, 0
    while current.causationid and depth < limit and steps < limit * 50:
        steps += 1
        depth += current.type == "rule.fired"
        cause = get(current.causationid)
        if cause is None:
            break
        current = cause
    return depth


def _origin(event: Event, *, key: str, actor: Actor = origin.RULE) -> origin.Origin:
    trigger = _TRIGGERS.get(event.type) or _by_stage(event)
    followed = origin.following(event, actor=actor, key=key)
    return msgspec.structs.replace(followed, trigger=trigger)


def _by_stage(event: Event) -> str:
    if event.type.startswith("dataset."):
        return "data"
    if event.type.startswith("monitor."):
        return "metric"
    return event.trigger


def backfilled(command: Event, event: Event, *, key: str) -> origin.Origin:
    """Return the origin of what a person asked a rule to do for an event that is past."""
    actor = Actor(authtype=command.authtype, authid=command.authid, claims=command.authclaims)
    return msgspec.structs.replace(origin.following(event, actor=actor, key=key), trigger=BACKFILL)


def act_job(rule: Rule, event: Event) -> str:
    """Return the id of the job that does what a rule wants for an event: it exists once."""
    return f"act:{derive_id(rule.digest, event.source, event.id)}"


def act_spec(rule: Rule, event: Event, *, rules_digest: str) -> dict[str, Any]:
    """Return what that job needs to know."""
    job = act_job(rule, event)
    return {"rules": rules_digest, "rule": rule.name, "source": event.source, "id": event.id, "job": job}


def rule_event(kind: str, rule: Rule, event: Event, **data: Any) -> Event:
    """Return an event about a rule and the event that it reacts to."""
    return Event(
        type=kind,
        subject=rule.name,
        pipeline=rule.pipeline or event.pipeline,
        data={
            "rule_id": rule.name,
            "digest": rule.digest,
            "origin": rule.origin,
            "condition_result": True,
            "trigger_event": event.id,
            **data,
        },
    )


def _as_step_failure(name: str, error: str) -> dict[str, str]:
    return {"step": name, "error_type": "ActionFailed", "message": error, "traceback": ""}
