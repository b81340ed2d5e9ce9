"""What every part of the loop works with: the workspace's stores, engine and settings in one place.

Invariant: made once by the workspace and handed down; only the settings are ever replaced, when the file has changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ratchet.config import Config
from ratchet.engine.executors import Limits, Zygotes
from ratchet.engine.runs import Runs
from ratchet.loop.known_keys import KnownKeys
from ratchet.records import Actor
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger


def _admit_all(_pipeline: str, _actor: Actor) -> None:
    """Let everybody start runs of everything."""


@dataclass
class Resources:
    """The workspace's parts.

    Attributes:
        project: The folder with ``ratchet.toml`` and the user's Python files.
        folder: The folder with the state, ``.ratchet`` in the project.
        admit_run: Asked before a run of a pipeline is queued, with who wants it; raises what stands in its way.
        under_way: The runs that this process carries out now, by id.
        known_keys: Under which keys results of steps are kept.
    """

    project: Path
    folder: Path
    config: Config
    database: Database
    ledger: Ledger
    runs: Runs
    artifacts: Artifacts
    zygotes: Zygotes
    admit_run: Callable[[str, Actor], None] = _admit_all
    under_way: set[str] = field(default_factory=set)
    known_keys: KnownKeys = field(init=False)

    def __post_init__(self) -> None:
        self.known_keys = KnownKeys(self.database)

    @contextmanager
    def carrying_out(self, run_id: str) -> Iterator[None]:
        """Let others of this process know that it works on a run, until all is recorded of it."""
        self.under_way.add(run_id)
        try:
            yield
        finally:
            self.under_way.discard(run_id)

    @property
    def limits(self) -> Limits:
        """Return what a child process may use."""
        section = self.config.limits
        return Limits(timeout_seconds=section.timeout_seconds, memory_mb=section.memory_mb, attempts=section.attempts)

    @property
    def serving(self) -> Path:
        """Return the folder that is shared with the endpoint processes."""
        return self.folder / "serving"

    @property
    def logs(self) -> Path:
        """Return the folder of log files."""
        return self.folder / "logs"
