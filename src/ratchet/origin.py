"""Who acts at the moment, and because of what: the cause that every event of the ledger carries.

Invariant: inside ``use(...)`` each appended event gets its actor, cause and correlation from here, and within one
``key`` an event is named by its type and subject, so that doing the same work again appends nothing twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from ratchet.records import Actor, Event, Record

ENGINE = Actor(authtype="system", authid="engine", claims={"minted_by": "engine"})
RULE = Actor(authtype="system", authid="rule", claims={"minted_by": "rule"})


class Origin(Record, frozen=True):
    """The actor, the cause, and the key that makes work repeatable.

    Attributes:
        actor: Who acts.
        cause: Id of the event that led here; ``""`` at a root.
        correlation: Id of the root of the chain.
        key: Names this piece of work; ids of its events are derived from it. ``""`` gives fresh ids.
        trigger: What kind of thing set the work off.
    """

    actor: Actor
    cause: str = ""
    correlation: str = ""
    key: str = ""
    trigger: str = ""


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def current() -> Origin | None:
    """Return the origin in force, or ``None`` outside of any."""
    return _current.get()


@contextmanager
def use(origin: Origin) -> Iterator[Origin]:
    """Let all events appended inside carry this origin."""
    token = _current.set(origin)
    try:
        yield origin
    finally:
        _current.reset(token)


def following(event: Event, *, actor: Actor = ENGINE, key: str = "") -> Origin:
    """Return the origin of what is done because of an event."""
    return Origin(
        actor=actor,
        cause=event.id,
        correlation=event.correlationid or event.id,
        key=key,
        trigger=event.trigger,
    )


def encode(origin: Origin) -> dict[str, object]:
    """Return the origin as JSON values, to cross a border between processes."""
    values: dict[str, object] = msgspec.to_builtins(origin)
    return values


def decode(values: dict[str, object]) -> Origin:
    """Rebuild an origin from what ``encode`` gave."""
    return msgspec.convert(values, Origin)
