"""Makes all checks of a workspace, as far as they can be made.

Invariant: a database that is away, settings that mean nothing and a folder without a workspace are findings.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ratchet import config
from ratchet.diagnosis import clusters, environment, storage
from ratchet.diagnosis.files import DISK, FILES, PERMISSIONS, Files
from ratchet.diagnosis.findings import Finding, made
from ratchet.diagnosis.place import Place
from ratchet.diagnosis.storage import CLOCK, DATABASE, LEDGER, Storage
from ratchet.diagnosis.work import BACKUP, LOG, PROCESSES, WORK, Work
from ratchet.errors import RatchetError, WorkspaceNotFound
from ratchet.store import soundness
from ratchet.store.database import Database

_AWAY = (
    "See whether the server runs, and whether [project] database in ratchet.toml is right. A file that is damaged "
    "comes back from a backup: ratchet restore FILE FOLDER"
)


def examine(folder: Path) -> Iterator[Finding]:
    """Look at the workspace of a folder, or of the nearest one above it, and at the machine.

    Args:
        folder: Where to begin; outside of a workspace only the machine is looked at.
    """
    machine = environment.AREA
    yield from made(machine, [environment.check_python, environment.check_libraries, environment.check_limits])
    try:
        place = Place(config.find(folder))
    except WorkspaceNotFound:
        said = f"no ratchet.toml in {folder.resolve()} or above it, so no workspace was looked at"
        yield Finding(area=FILES, check="workspace", status="ok", said=said)
        return
    settings = place.config
    if settings is not None:
        yield from made(machine, [lambda: environment.extras(settings)])
        yield from made(clusters.AREA, [lambda: clusters.check(place, settings)])
    files = Files(place)
    yield from made(FILES, [files.check_settings, files.check_code, files.check_imports, files.check_datasets])
    yield from made(DISK, [files.check_room, files.check_size])
    yield from made(PERMISSIONS, [files.check_folder, files.check_keys])
    with ExitStack() as stack:
        database = None
        if place.error is None or (place.state / "ratchet.db").exists():
            try:
                database = _opened(place, stack)
            except (RatchetError, OSError) as error:
                said = " ".join(str(error).split())
                yield Finding(area=DATABASE, check="reached", status="problem", said=said, remedy=_AWAY)
        yield from _of_database(place, database)


def _opened(place: Place, stack: ExitStack) -> Database | None:
    if not storage.is_there(place):
        return None
    url = "" if place.is_file else place.database_url
    return stack.enter_context(soundness.looking(url, place.database_file))


def _of_database(place: Place, database: Database | None) -> Iterator[Finding]:
    if database is not None:
        held = Storage(place, database)
        yield from made(DATABASE, [held.check_database, held.check_pages])
        yield from made(LEDGER, [held.check_numbers])
        yield from made(CLOCK, [held.check_clock])
    elif place.is_file and not storage.is_there(place):
        yield Finding(area=DATABASE, check="reached", status="ok", said="none yet: the first command makes it")
    work = Work(place, database)
    yield from made(PROCESSES, [work.check_executor, work.check_endpoint])
    yield from made(WORK, [work.check_jobs, work.check_runs])
    yield from made(LOG, [work.check_log])
    yield from made(BACKUP, [work.check_backup])
