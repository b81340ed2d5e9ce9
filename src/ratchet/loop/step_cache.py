"""Results of steps, kept by what they were made from, so that another run need not make them again.

Invariant: what is taken is whole and was made from the same code, arguments, seed and libraries; a result that is
missing, damaged or doubtful is computed again, and never an error.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, text, update

from ratchet import clock
from ratchet.errors import ArtifactCorrupt, ArtifactMissing, ArtifactsUnreachable
from ratchet.loop.resources import Resources
from ratchet.records import Record, Run, digest_of
from ratchet.store.artifacts import Artifacts
from ratchet.store.schema import step_result

Answer = dict[str, Any]
_NOTHING = {"cpu_seconds": 0.0, "wall_seconds": 0.0, "peak_memory_mb": 0.0}


class StepResult(Record, frozen=True):
    """What a step gave, under the digest of all that it was made from.

    Attributes:
        key: The digest.
        run_id: The run that computed it.
        reference: Names the artifacts that hold it.
    """

    key: str
    pipeline: str
    step: str
    run_id: str
    reference: Any
    made_at: datetime


class StepLog:
    """What came of the steps of one run: their costs, results to be kept, and results that were taken.

    Args:
        resources: The workspace's parts.
        run: Whose steps.
    """

    def __init__(self, resources: Resources, run: Run) -> None:
        self._resources = resources
        self._run = run
        self._made: list[StepResult] = []
        self._taken: list[str] = []
        self.costs: list[dict[str, Any]] = []

    def answer(self, request: dict[str, Any], execute: Callable[[], Answer]) -> Answer:
        """Return a kept result for what a child asks for, or let it be computed; inside the step that records it."""
        asked = request.get("cache", {})
        found = None
        if "key" in asked and not self._run.no_cache and self._resources.known_keys.may_have(asked["key"]):
            found = find(self._resources, asked["key"])
        if found is not None:
            return {"value": found.reference, "key": found.key, "from_run": found.run_id}
        answer = execute()
        note = answer.pop("note", {})
        if "value" not in answer or not asked:
            return answer
        if "keep" not in note:
            return {**answer, "why": note.get("why", asked.get("why", ""))}
        if note["keep"] != asked.get("key"):
            return {**answer, "why": "it was carried out where other libraries are installed"}
        return {**answer, "key": note["keep"]}

    def take(self, request: dict[str, Any], answer: Answer) -> Answer:
        """Remember what came of a step, now or when it was recorded, and return what the child is told of it."""
        told: Answer = {name: answer[name] for name in ("value", "error") if name in answer}
        line: dict[str, Any] = {
            "step": request["name"],
            "index": request["index"],
            **_NOTHING,
            **answer.get("cost", {}),
        }
        if "value" in answer:
            # Shortened: whole digests in a run's row would keep what they name for ever.
            line["result"] = digest_of(answer["value"])[:16]
        if "from_run" in answer:
            self._taken.append(answer["key"])
            line |= {"cached": True, "from_run": answer["from_run"]}
        elif answer.get("key"):
            self._made.append(self._result(request, answer))
        elif "why" in answer:
            line["not_kept"] = answer["why"]
        if request["op"] == "step":
            self.costs.append(line)
        return told

    def break_off(self, spent: dict[str, Any] | None) -> None:
        """Remember what a step had cost that was ended before it gave anything; ``None`` for no step."""
        if spent is not None:
            self.costs.append({**_NOTHING, **spent, "broken_off": True})

    def _result(self, request: dict[str, Any], answer: Answer) -> StepResult:
        return StepResult(
            key=answer["key"],
            pipeline=self._run.pipeline,
            step=request["name"],
            run_id=self._run.id,
            reference=answer["value"],
            made_at=clock.now(),
        )

    @property
    def cached(self) -> list[dict[str, str]]:
        """Return the steps whose results were taken, with the runs that had computed them."""
        return [{"step": cost["step"], "from_run": cost["from_run"]} for cost in self.costs if cost.get("cached")]

    def keep(self, transaction: Connection) -> None:
        """Keep the results that may be, say which were used, and let go of those that nobody used for long."""
        now = clock.now()
        made = {one.key: one for one in self._made}
        if made:
            used_us = clock.to_us(now)
            rows = [
                {"key": key, "used_us": used_us, "record": msgspec.json.encode(one).decode()}
                for key, one in made.items()
            ]
            transaction.execute(_KEEP, rows)
            self._resources.known_keys.add(made)
        if self._taken:
            used = update(step_result).where(step_result.c.key.in_(self._taken))
            transaction.execute(used.values(used_us=clock.to_us(now)))
        forget(transaction, unused_since=now - timedelta(days=self._resources.config.cache.days))


# Composed once: asked for every step, written by every run.
_FIND = select(step_result.c.record).where(step_result.c.key == bindparam("wanted"))
_KEEP = text(
    "INSERT INTO step_result (key, used_us, record) VALUES (:key, :used_us, :record) "
    "ON CONFLICT (key) DO UPDATE SET used_us = excluded.used_us, record = excluded.record"
)
_FORGET = delete(step_result).where(step_result.c.used_us < bindparam("before_us"))


def find(resources: Resources, key: str) -> StepResult | None:
    """Return what is kept under a key, ``None`` where nothing is or where its artifacts cannot be had whole."""
    with resources.database.read() as connection:
        record = connection.execute(_FIND, {"wanted": key}).scalar()
    if record is None:
        return None
    found = msgspec.json.decode(record, type=StepResult)
    return found if all(_is_whole(resources.artifacts, sha256) for sha256 in _digests(found.reference)) else None


def held(connection: Connection) -> set[str]:
    """Return the sha256 of all artifacts that kept results need."""
    records = connection.execute(select(step_result.c.record)).scalars()
    return {one for record in records for one in _digests(msgspec.json.decode(record, type=StepResult).reference)}


def forget(transaction: Connection, *, unused_since: datetime) -> int:
    """Let go of results that no run has made or taken since a moment, and return how many."""
    return transaction.execute(_FORGET, {"before_us": clock.to_us(unused_since)}).rowcount


def _digests(reference: Any) -> list[str]:
    if isinstance(reference, list):
        return [one for item in reference for one in _digests(item)]
    if isinstance(reference, dict) and "sha256" in reference:
        return [reference["sha256"]]
    return [one for item in reference.values() for one in _digests(item)] if isinstance(reference, dict) else []


def _is_whole(artifacts: Artifacts, sha256: str) -> bool:
    try:
        artifacts.checked_path(sha256)
    except (ArtifactMissing, ArtifactCorrupt, ArtifactsUnreachable):
        return False
    return True
