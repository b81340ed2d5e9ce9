"""A user's program that uses every public name, for pyright in its strict mode: ``make check`` reads it, none runs it.

Invariant: whoever writes such a program gets the types that are asserted here, and no error about what is ours.
"""

# pyright: strict

from typing import Any, assert_type

import ratchet as rt
from ratchet.measure.levels import LevelReport
from ratchet.records import Event, Release


@rt.step
def count(rows: list[int], factor: int = 1) -> int:
    """Take and give plain types: the decorator keeps them."""
    return len(rows) * factor


@rt.step(name="twice")
def double(number: int) -> int:
    """Take a name of its own."""
    return 2 * number


@rt.pipeline(model="numbers", owner="us", not_applicable={"label": "outcomes arrive by themselves"})
def numbers(data: rt.Dataset, rate: float = 0.1) -> rt.Candidate:
    """Give a candidate."""
    assert_type(data.label, str)
    assert_type(count([1, 2], factor=3), int)
    assert_type(double(count([])), int)
    frame: Any = data.to_pandas()
    return rt.Candidate(frame, holdout=frame, label="late")


@rt.rule(on="feedback.joined", when="event.data.rows >= 100")
def widen(event: rt.Event, loop: rt.Loop) -> None:
    """Ask the loop for something."""
    assert_type(event, Event)
    assert_type(loop.start_run("numbers", because="a holiday", rate=0.2), str)
    assert_type(loop.take_sample(), str)


def look(folder: str) -> None:
    """Open a workspace and read it."""
    workspace = rt.open(folder)
    assert_type(workspace, rt.Workspace)
    assert_type(workspace.level("numbers"), LevelReport)
    assert_type(workspace.live("numbers"), Release | None)
    assert_type(workspace.alerts("numbers"), list[Event])
