"""A story that writes to every store: ledger, registry, artifacts, prediction log, routes, checkpoints.

Invariant: each moment may be done again, whatever an attempt before it left behind; a story that was disturbed and one
that was not end alike (``state``).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select, text

from ratchet import clock
from ratchet.config import STATE_FOLDER
from ratchet.errors import RatchetError
from ratchet.loop import credentials, datasets, feedback, predictions, registry, releases, sampling
from ratchet.loop.credentials import Credential
from ratchet.loop.feedback import Outcome
from ratchet.loop.frames import connect, write_parquet
from ratchet.loop.serving.log import PredictionLog, read_frames, spool_files
from ratchet.records import Actor, Event
from ratchet.store import entries, schema, verification
from ratchet.store.checkpoints import KEY_FILE, Checkpoints
from ratchet.store.ledger import to_export
from tests import ledger_checker, projects
from tests.loops import Stage

Moment = Callable[[Stage], object]
SHOP = Actor(authtype="service_account", authid="shop", claims={"system": "shop"})
REQUESTS = 8
_TABLES = (
    (schema.run, "id"),
    (schema.model_version, "number"),
    (schema.dataset_version, "number"),
    (schema.release, "deployment_id"),
    (schema.credential, "name"),
    (schema.segment, "name"),
    (schema.outcome_batch, "id"),
    (schema.state, "name"),
)


def prepare(folder: Path) -> Path:
    """Make the project and its empty stores; return the folder."""
    (folder / STATE_FOLDER).mkdir(parents=True)
    clock.simulate(folder / STATE_FOLDER / "clock", start=projects.START)
    try:
        stage = open_stage(folder)
        stage.declare()
        write_parquet(folder / "data" / "2026-01.parquet", projects.customers(40))
        stage.close()
    finally:
        clock.stop_simulating()
    return folder


def open_stage(folder: Path) -> Stage:
    """Open the stores of a folder; no child is ever asked for."""
    return Stage(folder, None)  # type: ignore[arg-type]


# ---- the moments


def _ingest(stage: Stage) -> None:
    for number in range(3):
        event = Event(type="custom.emitted", subject="s", source="soak", id=f"e{number}", data={"number": number})
        stage.ledger.ingest(event, b'{"number": %d}' % number)


def _issue(stage: Stage) -> None:
    with stage.command("token"):
        if "shop" not in {one.name for one, _ in credentials.every(stage.database)}:
            credentials.issue(stage.resources, Credential(name="shop", kind="system", system="shop"), token="rat_soak")


def _store(stage: Stage) -> None:
    sha256 = stage.resources.artifacts.write(b"some bytes" * 1000)
    source = stage.resources.folder / "incoming"
    source.write_bytes(b"more bytes" * 1000)
    stage.resources.artifacts.write_file(source)
    with stage.database.write() as transaction:
        registry.put_state(transaction, "soak/artifact", sha256)


def _routes(stage: Stage) -> None:
    releases.publish_routes(stage.resources)


def _seal_ledger(stage: Stage) -> None:
    if not any(one.type == "ledger.checkpoint" for one in stage.ledger.read()):
        _checkpoints(stage).seal()
    for _, error in _checkpoints(stage).anchor_all():
        if error is not None:
            raise error


def _checkpoints(stage: Stage) -> Checkpoints:
    folder = stage.resources.folder
    return Checkpoints(
        database=stage.database,
        ledger=stage.ledger,
        project="soak",
        folder=folder,
        key=folder / "keys" / KEY_FILE,
        anchors=[],
    )


def _scan(stage: Stage) -> None:
    datasets.scan(stage.resources, "customers")


def _release(stage: Stage) -> None:
    if not registry.model_versions(stage.database):
        stage.add_version()
    version = registry.model_versions(stage.database)[0]
    with stage.database.read() as connection:
        live = registry.live_release(connection, "churn")
    if live is None:
        stage.make_live(version)


def _answer(stage: Stage) -> None:
    """Answer requests; one that could not be logged was not answered, and is asked again."""
    version = registry.model_versions(stage.database)[0]
    known = {frame.request_id for file in spool_files(stage.resources.serving) for frame, _ in read_frames(file.path)}
    log = PredictionLog(stage.resources.serving, writer=clock.new_id())
    for number in range(REQUESTS):
        if f"r{number}" not in known:
            stage.answer(version, at=projects.START, first=number, count=1, log=log)
            log.sync()
    log.close()


def _tend(stage: Stage) -> None:
    clock.advance(projects.START + timedelta(days=1, hours=1))
    predictions.tend(stage.resources)


def _outcomes(stage: Stage) -> None:
    fields = {"customer": "c1", "seen_at": projects.START.isoformat()}
    outcomes = [Outcome(prediction_id=f"r{number}.0", value=number % 2, fields=fields) for number in range(REQUESTS)]
    feedback.receive(stage.resources, "churn", outcomes, sender=SHOP, key="batch")


def _learn(stage: Stage) -> None:
    with stage.command("sample"):
        sampling.take_sample(stage.resources, "churn")
    with stage.command("join"):
        feedback.join_feedback(stage.resources, "churn")
    with stage.command("build"):
        sampling.build_dataset(stage.resources, "churn")


LIGHT: tuple[Moment, ...] = (_ingest, _issue, _store, _routes, _seal_ledger)
FULL: tuple[Moment, ...] = (
    _ingest,
    _issue,
    _store,
    _scan,
    _release,
    _routes,
    _answer,
    _tend,
    _outcomes,
    _learn,
    _seal_ledger,
)


# ---- what it comes to


def state(stage: Stage) -> dict[str, Any]:
    """Return all that two stories which end alike agree in, and what is wrong in this one."""
    lines = [msgspec.to_builtins(to_export(event)) for event in stage.ledger.read()]
    with stage.database.read() as connection:
        rows = {
            table.name: sorted(str(one) for one in connection.execute(select(table.c[key])).scalars())
            for table, key in _TABLES
        }
    return {"events": _plain(ledger_checker.fingerprints(lines)), "rows": rows, "faults": faults(stage, lines)}


def faults(stage: Stage, lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is wrong in itself: numbers, proofs, artifacts, half-written files, the database's own pages."""
    found = [f"number {number} is missing" for number in ledger_checker.gaps(list(lines))]
    done = verification.verify(entries.chunks_of_database(stage.database), origin="soak", database=stage.database)
    found += [f"{one.seq}: {one.what}" for one in done.findings]
    artifacts = stage.resources.artifacts
    for sha256 in artifacts.all():
        try:
            artifacts.read(sha256)
        except RatchetError as error:
            found.append(str(error))
    found += [f"half-written: {path.name}" for path in sorted(stage.resources.folder.rglob(".*")) if path.is_file()]
    for path in sorted(stage.resources.folder.glob("predictions/*/*.parquet")):
        with connect() as connection:
            ids = connection.from_parquet(str(path)).project("request_id").fetchall()
        found += [f"{name} is {count} times in {path.name}" for (name,), count in Counter(ids).items() if count > 1]
    if stage.database.is_sqlite:
        with stage.database.read() as connection:
            said = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        found += [] if said == ["ok"] else [f"SQLite: {one}" for one in said]
    return found


def _plain(counted: Counter[tuple[str, ...]]) -> dict[str, int]:
    return {" ".join(key[:3]) + " " + hashlib.sha256(key[3].encode()).hexdigest()[:8]: n for key, n in counted.items()}


def differences(calm: dict[str, Any], disturbed: dict[str, Any]) -> list[str]:
    """Say in what a disturbed story ended otherwise than a calm one."""
    found = list(disturbed["faults"])
    for name in sorted(calm["events"].keys() | disturbed["events"].keys()):
        one, other = calm["events"].get(name, 0), disturbed["events"].get(name, 0)
        if one != other:
            found.append(f"{name}: {other} times instead of {one}")
    for table, keys in calm["rows"].items():
        # Attempts that broke off may have remembered something of their own.
        if table != "state" and keys != disturbed["rows"][table]:
            found.append(f"{table} has {disturbed['rows'][table]} instead of {keys}")
    return found
