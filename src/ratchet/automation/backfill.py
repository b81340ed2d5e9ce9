"""A rule fired by hand for events that are past: once each, in the name of the person who asks.

Invariant: a rule fires at most once for an event, whether it came by itself or by a backfill, and however often either
is done; what a backfill causes is a person's doing and counts as such.
"""

from typing import Any, Protocol

from ratchet import origin
from ratchet.automation import rules
from ratchet.automation.chronicle import Chronicle
from ratchet.automation.clockwork import tick_of
from ratchet.automation.dispatcher import act_job, act_spec, backfilled, rule_event
from ratchet.automation.rehearsal import Case, Rehearsal
from ratchet.automation.rules import Rule
from ratchet.errors import RuleNotInForce
from ratchet.loop.resources import Resources
from ratchet.records import Event

COMMAND = "backfill"


class ByCommand(Protocol):
    """How a command is recorded that is carried out here and now: ``Workspace.by_command``."""

    def __call__(self, action: str, parameters: dict[str, Any], *, subject: str) -> Any:
        """Enter what the command causes, and get its event."""


class Backfill:
    """Fires rules for what is past.

    Args:
        resources: The workspace's parts.
        by_command: Records who asks for it.
    """

    def __init__(self, resources: Resources, *, by_command: ByCommand) -> None:
        self._resources = resources
        self._by_command = by_command

    def open_cases(self, rehearsal: Rehearsal) -> list[Case]:
        """Return the cases for which a rule would have fired, and has not in any wording."""
        chronicle = Chronicle(self._resources.ledger, rehearsal.rule)
        wanted = [case for case in rehearsal.cases if case.would == "fire"]
        return [case for case in wanted if not chronicle.has_fired_for(case.event)]

    def carry_out(self, rehearsal: Rehearsal) -> list[Case]:
        """Fire a rule for all of its open cases and return them; where there are none, nothing is appended.

        Raises:
            RuleNotInForce: The rule, as it was rehearsed, is not in force.
        """
        rule = rehearsal.rule
        with self._resources.database.read() as connection:
            chosen = rules.in_force(connection)
        if not any(one.digest == rule.digest and one.is_enabled for one in chosen.rules):
            raise RuleNotInForce(rule=rule.name, place=rehearsal.place)
        cases = self.open_cases(rehearsal)
        if not cases:
            return []
        span = {"since": rehearsal.since.isoformat(), "until": rehearsal.until.isoformat()}
        asked = {"rule": rule.name, "digest": rule.digest, **span, "events": len(cases)}
        with self._by_command(COMMAND, asked, subject=rule.name) as command:
            for case in cases:
                self._fire(rule, case, command, rules_digest=chosen.digest)
        return cases

    def _fire(self, rule: Rule, case: Case, command: Event, *, rules_digest: str) -> None:
        resources = self._resources
        with resources.database.write() as transaction:
            event = resources.ledger.get(case.event, source=case.source)
            if event is None:
                # A slot that never ticked does now: who waits for it finds the firing, and does not fire again.
                with origin.use(backfilled(command, command, key=f"backfill:{case.event}")):
                    tick = tick_of(rule, case.at, command.at)
                    event = resources.ledger.append(transaction, tick)[0]
            job = act_job(rule, event)
            if rule.calls:
                with origin.use(backfilled(command, command, key=job)):
                    fired = rule_event("rule.fired", rule, event)
                    resources.ledger.append(transaction, fired)
            spec = {**act_spec(rule, event, rules_digest=rules_digest), "command": command.id}
            resources.runs.enqueue(transaction, "act", job, spec)
