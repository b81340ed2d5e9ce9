"""The checker: reads what a workspace left behind, and says what was lost, done twice or half done.

Invariant: it judges by what the outside world knows (which events were accepted, which requests answered), and each of
its checks has been seen to fail on a fault that was planted.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select, text

from ratchet import config
from ratchet.catalogue import event_type
from ratchet.engine.runs import DurableRuns
from ratchet.errors import RatchetError
from ratchet.loop import registry
from ratchet.loop.frames import connect, listed
from ratchet.loop.serving.log import read_frames
from ratchet.records import Event
from ratchet.store import entries, schema, verification
from ratchet.store.artifacts import Artifacts
from ratchet.store.database import Database, sqlite_url
from ratchet.store.ledger import Ledger
from tests.soak import project

SHOWN = 5
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Each names artifacts in its record.
_NAMING = (schema.run, schema.model_version, schema.dataset_version)


@dataclass(frozen=True)
class Known:
    """What the outside world knows of a workspace.

    Attributes:
        sent: Events 0 up to this number were sent, each until it was taken.
        accepted: Those that were taken.
        answered: Requests that got their answer.
    """

    sent: int = 0
    accepted: frozenset[int] = frozenset()
    answered: frozenset[int] = frozenset()


@dataclass
class Left:
    """What a workspace left behind.

    Attributes:
        folder: The project.
        known: What the outside world knows.
        events: The ledger.
        counts: How many of what were looked at.
    """

    folder: Path
    known: Known
    database: Database
    events: list[Event]
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Return the folder of the workspace's state."""
        return self.folder / config.STATE_FOLDER


Check = Callable[[Left], list[str]]


def check(folder: Path, known: Known) -> tuple[list[str], dict[str, int]]:
    """Return what is wrong in a workspace that has settled and stopped, and how many of what were looked at."""
    url = config.load(folder).project.database or sqlite_url(folder / config.STATE_FOLDER / "ratchet.db")
    database = Database(url)
    try:
        left = Left(folder, known, database, list(Ledger(database, _react_with_nothing).read()))
        left.counts["events"] = len(left.events)
        found = [f"{name}: {one}" for name, one_check in CHECKS.items() for one in _some(one_check(left))]
    finally:
        database.close()
    return found, left.counts


def _some(found: list[str]) -> list[str]:
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"and {len(found) - SHOWN} more"]


def _react_with_nothing(_transaction: Connection, _events: Sequence[Event]) -> None:
    message = "the checker appends nothing"
    raise AssertionError(message)


# ---- the ledger


def _accepted(left: Left) -> list[str]:
    """Each event that was accepted is there, each once, and none that was never sent."""
    found = Counter(int(one.data["number"]) for one in left.events if one.source == project.SOURCE)
    left.counts["accepted"] = len(left.known.accepted)
    lost = [f"event {number} is lost" for number in sorted(left.known.accepted - found.keys())]
    twice = [f"event {number} is there {count} times" for number, count in sorted(found.items()) if count > 1]
    made_up = [f"event {number} was never sent" for number in sorted(found) if number >= left.known.sent]
    return lost + twice + made_up


def _dense(left: Left) -> list[str]:
    """Numbers have no gaps, and go up."""
    return [f"number {number} is {one.seq}" for number, one in enumerate(left.events, start=1) if one.seq != number][:1]


def _causes(left: Left) -> list[str]:
    """Each event has a cause that is there before it, or is a root."""
    seen: set[str] = set()
    found = []
    for one in left.events:
        if one.causationid and one.causationid not in seen:
            found.append(f"{one.seq} {one.type} follows from {one.causationid}, which is not before it")
        if not one.causationid and not event_type(one.type).is_root:
            found.append(f"{one.seq} {one.type} has no cause")
        seen.add(one.id)
    return found


def _verified(left: Left) -> list[str]:
    """The ledger is what was written."""
    done = verification.verify(entries.chunks_of_database(left.database), origin="soak", database=left.database)
    return [f"{one.seq}: {one.what}" for one in done.findings]


# ---- what rules did


def _acts(left: Left) -> list[str]:
    """A rule fired once for an event, and each of its actions was done once; each event that was sent has its rule."""
    fired: Counter[tuple[str, str]] = Counter()
    done: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    suppressed: set[str] = set()
    for one in left.events:
        trigger = str(one.data.get("trigger_event", ""))
        if one.type == "rule.fired":
            fired[one.subject, trigger] += 1
        elif one.type in ("rule.action.succeeded", "rule.action.failed"):
            done[one.subject, trigger][int(one.data["position"])] += 1
        elif one.type == "rule.suppressed":
            suppressed.add(trigger)
    sent = {one.id: project.KINDS[one.data["kind"]] for one in left.events if one.source == project.SOURCE}
    asked = {(rule, trigger): actions for trigger, (rule, actions) in sent.items()}
    found = [
        f"rule {rule} was held back for event {trigger}" for trigger, (rule, _) in sent.items() if trigger in suppressed
    ]
    for rule, trigger in {**fired, **asked}:
        actions, times = asked.get((rule, trigger), 1), done[rule, trigger]
        if fired[rule, trigger] != 1:
            found.append(f"rule {rule} fired {fired[rule, trigger]} times for event {trigger}")
        # A rule in Python whose process was killed once too often says so, at a place of its own.
        extra = {actions} if rule == "ask" else set()
        if any(times[place] != 1 for place in range(actions)) or set(times) - set(range(actions)) - extra:
            found.append(f"rule {rule} acted {dict(times)} for event {trigger}")
    left.counts["acts"] = sum(done[one][0] for one in asked)
    return found


def _jobs(left: Left) -> list[str]:
    """No job is left, and none was given up."""
    table = "workflow_status" if left.database.is_sqlite else "dbos.workflow_status"
    with left.database.read() as connection:
        counted = connection.execute(text(f"SELECT status, name, count(*) FROM {table} GROUP BY status, name")).all()
    left.counts["jobs"] = sum(int(row[2]) for row in counted)
    return [f"{count} jobs {name} are {status}" for status, name, count in counted if status != "SUCCESS"]


def _ticks(left: Left) -> list[str]:
    """A slot of a schedule ticked once."""
    slots = Counter((one.subject, one.data["slot"]) for one in left.events if one.type == "clock.ticked")
    left.counts["ticks"] = len(slots)
    return [f"slot {slot} of rule {rule} ticked {count} times" for (rule, slot), count in slots.items() if count > 1]


# ---- what the loop did


def _runs(left: Left) -> list[str]:
    """Each run that was queued finished once, and each event that asks for one has one."""
    finished = Counter(one.subject for one in left.events if one.type == "run.finished")
    queued = [one for one in left.events if one.type == "run.queued"]
    left.counts["runs"] = len(queued)
    found = [
        f"run {one.subject} finished {finished[one.subject]} times" for one in queued if finished[one.subject] != 1
    ]
    asked = [one.id for one in left.events if one.source == project.SOURCE and one.data["kind"] == "run"]
    followed = Counter(one.correlationid for one in queued if one.pipeline == "tiny")
    found += [f"event {one} led to {followed[one]} runs" for one in asked if followed[one] != 1]
    with left.database.read() as connection:
        query = select(schema.run.c.id, schema.run.c.status)
        found += [
            f"run {row.id} is {row.status}"
            for row in connection.execute(query)
            if row.status not in ("success", "failed", "cancelled")
        ]
    return found


def _releases(left: Left) -> list[str]:
    """One release is live, every deployment came to an end, and traffic was shifted to what is live."""
    ended = Counter(one.subject for one in left.events if one.type in ("deployment.completed", "deployment.failed"))
    begun = [one.subject for one in left.events if one.type == "deployment.requested"]
    left.counts["deployments"] = len(begun)
    found = [f"deployment {one} ended {ended[one]} times" for one in begun if ended[one] != 1]
    with left.database.read() as connection:
        live = registry.releases(connection, endpoint="churn", statuses=("live",))
    shifts = [one for one in left.events if one.type == "traffic.shifted" and one.subject == "churn"]
    serving = [str(one.data["model_version"]) for one in shifts[-1:]]
    if [one.model_version for one in live] != serving:
        found.append(f"live is {[one.model_version for one in live]}, and traffic was shifted to {serving}")
    return found


def _artifacts(left: Left) -> list[str]:
    """What the registry names is there, and every artifact is what its name says."""
    artifacts = Artifacts(left.state / "artifacts")
    found = []
    present = set()
    for sha256 in artifacts.all():
        present.add(sha256)
        try:
            artifacts.read(sha256)
        except RatchetError as error:
            found.append(str(error))
    left.counts["artifacts"] = len(present)
    with left.database.read() as connection:
        for table in _NAMING:
            for record in connection.execute(select(table.c.record)).scalars():
                decoded = msgspec.json.decode(record)
                named = {digest for name in _named_in(decoded) for digest in _DIGEST.findall(name)}
                found += [f"{sha256} is named in {table.name} and missing" for sha256 in sorted(named - present)]
    return found


def _named_in(record: dict[str, Any]) -> Iterator[str]:
    """Return the fields of a record that name artifacts: others hold digests of other things."""
    for name in ("snapshot", "lock", "artifact", "profile", "holdout", "manifest"):
        if isinstance(record.get(name), str):
            yield record[name]


# ---- the prediction log


def _predictions(left: Left) -> list[str]:
    """Each request that was answered is in the log once: in a sealed segment, an open part, or still in the spool."""
    sealed, loose = _sealed_rows(left), _loose_rows(left)
    left.counts["predictions"] = len(left.known.answered)
    left.counts["sealed"] = sum(sealed.values())
    found = []
    for number in sorted(left.known.answered):
        count = sealed[f"r{number}"] or min(1, loose[f"r{number}"])
        if count != 1:
            found.append(f"request {number} was answered and is there {count} times")
    both = [name for name in sealed if loose[name]]
    found += [f"request {name} is in a sealed segment and outside" for name in both]
    found += [f"request {name} is in {count} segments" for name, count in sealed.items() if count > 1]
    return found


def _sealed_rows(left: Left) -> Counter[str]:
    with left.database.read() as connection:
        records = [msgspec.json.decode(one) for one in connection.execute(select(schema.segment.c.record)).scalars()]
    left.counts["segments"] = len(records)
    return _requests([left.state / one["file"] for one in records])


def _loose_rows(left: Left) -> Counter[str]:
    found = _requests(sorted((left.state / "predictions").glob("*/open/*/*.parquet")))
    for path in sorted((left.state / "serving" / "spool").glob("*.wal")):
        with left.database.read() as connection:
            start = int(registry.state(connection, f"spool/{path.name}", 0))
        found.update(frame.request_id for frame, _ in read_frames(path, start) if frame.prediction_ids)
    return found


def _requests(paths: Sequence[Path]) -> Counter[str]:
    if not paths:
        return Counter()
    query = (
        f"SELECT request_id FROM read_parquet([{listed(paths)}], union_by_name=true) WHERE prediction_id IS NOT NULL"
    )
    with connect() as connection:
        return Counter(str(row[0]) for row in connection.sql(query).fetchall())


def pending(database: Database) -> list[str]:
    """Return the jobs that are not finished."""
    return DurableRuns(database).pending()


CHECKS: dict[str, Check] = {
    "accepted": _accepted,
    "dense": _dense,
    "causes": _causes,
    "verified": _verified,
    "acts": _acts,
    "jobs": _jobs,
    "ticks": _ticks,
    "runs": _runs,
    "releases": _releases,
    "artifacts": _artifacts,
    "predictions": _predictions,
}
