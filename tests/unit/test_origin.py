"""Who acts, and because of what."""

import threading

import msgspec
import pytest

from ratchet import origin
from ratchet.origin import Origin
from ratchet.records import Actor, Event

ANNA = Origin(actor=Actor(authtype="user", authid="anna", claims={"a": [1]}), cause="c", correlation="r", key="k")


def test_outside_of_any_there_is_none() -> None:
    """Where nobody said who acts, nobody does."""
    assert origin.current() is None


def test_the_inner_one_is_in_force() -> None:
    """An origin holds within its block, also inside another one, and ends with it, also by an error."""
    inner = Origin(actor=origin.RULE)
    with origin.use(ANNA) as given:
        assert origin.current() is given is ANNA
        with pytest.raises(ValueError, match="x"), origin.use(inner):  # noqa: PT012, the block is what is tested
            assert origin.current() is inner
            message = "x"
            raise ValueError(message)
        assert origin.current() is ANNA
    assert origin.current() is None


def test_another_thread_has_none() -> None:
    """Work in another thread says itself on whose behalf it is done."""
    found: list[Origin | None] = []
    with origin.use(ANNA):
        thread = threading.Thread(target=lambda: found.append(origin.current()))
        thread.start()
        thread.join()
    assert found == [None]


def test_following_names_event_and_chain() -> None:
    """What follows an event has it as its cause and shares its chain; a root's chain has its own name."""
    event = Event(type="run.finished", subject="s", id="e", correlationid="r", trigger="schedule")
    assert origin.following(event, key="k") == Origin(
        actor=origin.ENGINE, cause="e", correlation="r", key="k", trigger="schedule"
    )
    root = msgspec.structs.replace(event, correlationid="")
    assert origin.following(root, actor=origin.RULE) == Origin(
        actor=origin.RULE, cause="e", correlation="e", trigger="schedule"
    )


def test_our_own_actors_are_automation() -> None:
    """What the engine and rules do counts as automation."""
    assert (origin.ENGINE.actor_class, origin.RULE.actor_class) == ("automation", "automation")


def test_origin_crosses_processes() -> None:
    """An origin comes back from JSON as it was."""
    assert origin.decode(msgspec.json.decode(msgspec.json.encode(origin.encode(ANNA)))) == ANNA
