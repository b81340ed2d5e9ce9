"""Rules that may drive one another in a ring: what one does is what the next one waits for, and so back.

Invariant: a ring that is possible is found; what a condition rules out for certain is left out, and nothing else is.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ratchet.automation.actions import ACTIONS, Product
from ratchet.automation.conditions import compile_condition
from ratchet.automation.rules import TICK, Rule
from ratchet.records import Record

_SELF = ("rule.fired", "rule.action.succeeded", "rule.action.failed")


class Link(Record, frozen=True):
    """A rule, and the event by which it sets off the next one."""

    rule: str
    brings: str


class Cycle(Record, frozen=True):
    """Rules in a ring; the last sets off the first."""

    links: tuple[Link, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """Return the names of the rules."""
        return tuple(link.rule for link in self.links)

    def __str__(self) -> str:
        """Return the ring in words."""
        ring = [f"'{link.rule}' brings {link.brings}" for link in self.links]
        return f"{', '.join(ring)}, which sets off '{self.links[0].rule}' again"


def cycles(rules: Iterable[Rule]) -> list[Cycle]:
    """Return the rings among the rules that are switched on: for each rule in one the shortest, each ring once."""
    enabled = [rule for rule in rules if rule.is_enabled]
    following = {rule.name: list(_set_off_by(rule, enabled)) for rule in enabled}
    found: dict[frozenset[str], Cycle] = {}
    for rule in enabled:
        ring = _shortest(rule.name, following)
        if ring is not None:
            found.setdefault(frozenset(ring.rules), ring)
    return list(found.values())


def _set_off_by(rule: Rule, others: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """Yield the event types by which a rule may set off others, and the names of these."""
    products = [*_products(rule)]
    for other in others:
        for product in products:
            if other.on == product.type != TICK and _may_hold(other, product, rule.pipeline):
                yield product.type, other.name
                break


def _products(rule: Rule) -> Iterator[Product]:
    # What a rule in Python asks for is not known before it runs: any action of the stages that it says it leads to.
    names = {call.action for call in rule.calls}
    for action in ACTIONS.values():
        if action.name in names or (rule.module and action.stage in rule.leads_to and action.name != "cancel_run"):
            yield from action.products
    for name in _SELF:
        yield Product(type=name, data={"rule_id": rule.name})


def _may_hold(rule: Rule, product: Product, pipeline: str) -> bool:
    """Tell whether a condition may be true for an event of which only so much is known."""
    if not rule.when:
        return True
    event: dict[str, Any] = {"type": product.type, "data": product.data}
    if product.type in _SELF:
        event["subject"] = product.data["rule_id"]
    if pipeline:
        event["pipeline"] = pipeline
    try:
        found: object = compile_condition(rule.when).execute({"event": event, "kpi": {}})
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        # It asks for something that is not known beforehand.
        return True
    # A test whether a field is there is false for what is merely not known.
    return bool(found) or "has(" in rule.when or " in " in rule.when


def _shortest(start: str, following: dict[str, list[tuple[str, str]]]) -> Cycle | None:
    """Return the shortest ring through a rule."""
    ways: deque[tuple[str, tuple[Link, ...]]] = deque([(start, ())])
    seen: set[str] = set()
    while ways:
        here, way = ways.popleft()
        for brings, name in following[here]:
            longer = (*way, Link(rule=here, brings=brings))
            if name == start:
                return Cycle(links=longer)
            if name not in seen:
                seen.add(name)
                ways.append((name, longer))
    return None
