"""What may go: files that nothing names any more, and the engine's rows of finished jobs.

Invariant: what the registry or a dataset version names stays for ever; anything else only goes when it is old, and only
while this process holds the workspace.
"""

import re

from sqlalchemy import Connection, select

from ratchet.loop import step_cache
from ratchet.loop.resources import Resources
from ratchet.store import schema

ORPHAN_SECONDS = 7 * 86_400.0
FINISHED_JOB_SECONDS = 86_400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAMING = (
    schema.run.c.record,
    schema.model_version.c.record,
    schema.dataset_version.c.record,
    schema.segment.c.record,
    schema.state.c.value,
)


def collect_orphans(resources: Resources, *, older_than_seconds: float = ORPHAN_SECONDS) -> list[str]:
    """Remove old artifacts that nothing names, such as a killed run's half-made results; returns their sha256.

    Call it only as the executor, while no run is pending.
    """
    with resources.database.read() as connection:
        named = _named(connection)
    for digest in list(named):
        named |= _named_inside(resources, digest)
    return resources.artifacts.collect(named, older_than_seconds=older_than_seconds)


def _named(connection: Connection) -> set[str]:
    """Return everything in the registry that looks like a digest: one too many does no harm."""
    found: set[str] = set()
    for column in _NAMING:
        for text in connection.execute(select(column)).scalars():
            found.update(_DIGEST.findall(text))
    return found | step_cache.held(connection)


def _named_inside(resources: Resources, digest: str) -> set[str]:
    """Return what a dataset's manifest names in turn."""
    path = resources.artifacts.path(digest)
    if not path.is_file():
        return set()
    with path.open("rb") as file:
        content = file.read() if file.read(1) == b"{" else b""
    return set(_DIGEST.findall(content.decode(errors="ignore")))


def prune_jobs(resources: Resources, *, older_than_seconds: float = FINISHED_JOB_SECONDS) -> int:
    """Forget finished jobs; once-only stands on the ledger's keys, not on their rows."""
    return resources.runs.prune(older_than_seconds=older_than_seconds)
