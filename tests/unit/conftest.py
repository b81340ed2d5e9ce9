"""What unit tests of the loop and of automation share: one zygote, and a stage to work on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet import clock
from ratchet.engine.executors import Zygotes
from ratchet.preload import MODULES
from tests import projects
from tests.loops import Stage


@pytest.fixture(scope="session")
def zygotes() -> Iterator[Zygotes]:
    """One zygote for all tests: each child is a process of its own and gets all it needs with its task."""
    zygotes = Zygotes(MODULES)
    yield zygotes
    zygotes.close()


@pytest.fixture
def make_stage(tmp_path: Path, zygotes: Zygotes) -> Iterator[Callable[..., Stage]]:
    """Make stages with settings of their own."""
    made: list[Stage] = []

    def make(**options: Any) -> Stage:
        made.append(Stage(tmp_path / f"project{len(made) or ''}", zygotes, **options))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """The loop's parts on an empty workspace."""
    return make_stage()


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[None]:
    """Let the domain's time stand still, from the first day of the tests' data on."""
    clock.simulate(tmp_path / "clock", start=projects.START)
    yield
    clock.stop_simulating()
