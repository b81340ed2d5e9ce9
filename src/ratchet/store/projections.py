"""Tables that are folded out of the ledger when somebody asks: transitions, and what is known of each pipeline.

Invariants: nothing here is written at an append; whatever is here can be folded again from the ledger; a row is never
replaced by what an earlier state of the ledger gave.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.exc import OperationalError

from ratchet.records import Event, Evidence, KeptFold, KeptRecent
from ratchet.store.database import Database
from ratchet.store.ledger import _decode, _query
from ratchet.store.schema import ledger, projection, standing, transition, transition_fold

_BATCH = 500
_BETWEEN, _WITHIN = "\x1e", "\x1f"


class _Times(msgspec.Struct):
    """The two moments of an envelope, and the grade that says which counts."""

    time: datetime
    recordedtime: datetime
    evidence: Evidence


_TIMES = msgspec.json.Decoder(_Times)


class Projections:
    """Reads the ledger for a fold, and keeps what came out.

    Args:
        database: Where both are.
        name: Of the fold, with its version: rows of another version are thrown away.
    """

    def __init__(self, database: Database, *, name: str) -> None:
        self._database = database
        self._name = name

    # ---- how far the fold is

    def last_seq(self) -> int:
        """Return the last entry of the ledger."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(ledger.c.seq), 0))).scalar_one())

    def cursor(self) -> int:
        """Return up to which entry the ledger was folded; 0 where it was not, or by another version of the fold."""
        with self._database.read() as connection:
            return self._cursor(connection)

    def _cursor(self, connection: Connection) -> int:
        found = connection.execute(select(projection.c.cursor).where(projection.c.name == self._name)).scalar()
        return int(found or 0)

    def advance(self, seq: int) -> None:
        """Say that all up to an entry was folded; what another version of the fold left is thrown away."""
        with self._database.write() as transaction:
            if self._cursor(transaction) < seq:
                transaction.execute(delete(projection).where(projection.c.name == self._name))
                transaction.execute(insert(projection), {"name": self._name, "cursor": seq})

    def start_over(self) -> None:
        """Throw away all rows, unless this version of the fold has written some."""
        with self._database.write() as transaction:
            if self._cursor(transaction) == 0:
                for table in (transition, transition_fold, projection, standing):
                    transaction.execute(delete(table))

    def is_writable(self) -> bool:
        """Tell whether rows can be kept at all: a database may be open for reading only."""
        try:
            with self._database.write():
                return True
        except OperationalError:
            return False

    # ---- what a fold reads

    def pipelines_between(self, after: int, until: int) -> list[str]:
        """Return the pipelines that events after one entry, up to another, belong to; ``""`` for those of none."""
        query = select(ledger.c.pipeline).where(ledger.c.seq > after, ledger.c.seq <= until).distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(query).scalars())

    def caused_late(self, after: int, until: int) -> list[str]:
        """Return the pipelines of events that were there before a cause of theirs came, directly or further up."""
        new, early, later = ledger.alias("new"), ledger.alias("early"), ledger.alias("later")
        first = (
            select(early.c.id, early.c.pipeline)
            .join(new, early.c.cause == new.c.id)
            .where(new.c.seq > after, new.c.seq <= until, early.c.seq <= after)
            .cte("late", recursive=True)
        )
        late = first.union(
            select(later.c.id, later.c.pipeline).join(first, later.c.cause == first.c.id).where(later.c.seq <= after)
        )
        with self._database.read() as connection:
            return sorted(connection.execute(select(late.c.pipeline).distinct()).scalars())

    def named(self, names: Sequence[str], until: int) -> list[str]:
        """Return the pipelines of the events with these ids or subjects; the subjects are looked for in all rows."""
        found: set[str] = set()
        for start in range(0, len(names), _BATCH):
            some = names[start : start + _BATCH]
            query = select(ledger.c.pipeline).where(
                or_(ledger.c.id.in_(some), ledger.c.subject.in_(some)), ledger.c.seq <= until
            )
            with self._database.read() as connection:
                found.update(connection.execute(query.distinct()).scalars())
        return sorted(found - {""})

    def subjects(self, types: Sequence[str], *, after: int, until: int) -> list[tuple[str, str, str]]:
        """Return source, subject and pipeline of the events of some types between two entries, each once."""
        query = select(ledger.c.source, ledger.c.subject, ledger.c.pipeline).where(
            ledger.c.type.in_(types), ledger.c.seq > after, ledger.c.seq <= until
        )
        with self._database.read() as connection:
            return [(row.source, row.subject, row.pipeline) for row in connection.execute(query.distinct())]

    def events(self, pipeline: str, *, until: int, after: int = 0, types: Sequence[str]) -> list[Event]:
        """Return the events of some types of a pipeline, or of none for ``""``, in the order of the ledger."""
        query = _query(types=types).where(ledger.c.pipeline == pipeline, ledger.c.seq > after, ledger.c.seq <= until)
        return self._decoded(query.order_by(ledger.c.seq))

    def times(self, pipeline: str, *, until: int, types: Sequence[str]) -> list[tuple[datetime, datetime, Evidence]]:
        """Return when the events of some types of a pipeline happened and were recorded, with their grade."""
        query = select(ledger.c.envelope).where(
            ledger.c.pipeline == pipeline, ledger.c.seq <= until, ledger.c.type.in_(types)
        )
        with self._database.read() as connection:
            found = [_TIMES.decode(envelope) for envelope in connection.execute(query).scalars()]
        return [(one.time, one.recordedtime, one.evidence) for one in found]

    def by_key(self, keys: Iterable[tuple[str, str]], *, until: int) -> list[Event]:
        """Return the events with these sources and ids, as far as they are there."""
        found: list[Event] = []
        wanted = sorted(keys)
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            query = _query().where(tuple_(ledger.c.source, ledger.c.id).in_(some), ledger.c.seq <= until)
            found += self._decoded(query)
        return found

    def _decoded(self, query: Select[Any]) -> list[Event]:
        with self._database.read() as connection:
            return [_decode(row.seq, row.envelope, row.body) for row in connection.execute(query)]

    # ---- what it keeps

    def keep(self, folds: Sequence[KeptFold]) -> None:
        """Keep what a fold gave for some pipelines, in one transaction; what a later fold gave stays."""
        with self._database.write() as transaction:
            for fold in folds:
                _keep(transaction, fold)

    # ---- what is asked

    def facts(self) -> dict[str, str]:
        """Return what is kept of each pipeline beside its transitions."""
        with self._database.read() as connection:
            rows = connection.execute(select(transition_fold.c.pipeline, transition_fold.c.facts))
            return {row.pipeline: row.facts for row in rows}

    def activities(self) -> dict[str, str]:
        """Return what is kept of when things happened to each pipeline."""
        with self._database.read() as connection:
            rows = connection.execute(select(transition_fold.c.pipeline, transition_fold.c.activity))
            return {row.pipeline: row.activity for row in rows}

    def tails(self, stages: Sequence[str], *, at_us: int, window_us: int, limit: int) -> dict[str, dict[str, str]]:
        """Return the codes of each pipeline's most recent transitions by stage, in one string of two letters each.

        Args:
            stages: Which ones.
            at_us: The moment from which the window goes back.
            window_us: Length of the window; a pipeline's own, if it is longer, counts.
            limit: At most so many.
        """
        found: dict[str, dict[str, str]] = {}
        for stage, pipeline, codes, _ in self._joined(transition.c.code, "", stages, at_us, window_us, limit=limit):
            found.setdefault(pipeline, {})[stage] = codes
        return found

    def folds(self) -> dict[str, int]:
        """Return up to which entry each pipeline was folded."""
        with self._database.read() as connection:
            rows = connection.execute(select(transition_fold.c.pipeline, transition_fold.c.seq))
            return {row.pipeline: int(row.seq) for row in rows}

    def recent(self, pipelines: Sequence[str], stages: Sequence[str], *, limit: int) -> Iterator[KeptRecent]:
        """Yield what is kept of some pipelines, with their most recent transitions of some stages.

        A pipeline of which they cannot be told apart, because an id has the character between them in it, is left out.

        Args:
            pipelines: Which ones.
            stages: Of which stages.
            limit: At most so many transitions of each.
        """
        for start in range(0, len(pipelines), _BATCH):
            yield from self._recent(pipelines[start : start + _BATCH], stages, limit=limit)

    def _recent(self, pipelines: Sequence[str], stages: Sequence[str], *, limit: int) -> Iterator[KeptRecent]:
        wanted = transition_fold.c.pipeline.in_(pipelines)
        columns = (transition_fold.c.pipeline, transition_fold.c.seq, transition_fold.c.facts)
        with self._database.read() as connection:
            # What is kept beside the transitions first: what comes in between shows in the entry that was folded last.
            rows = connection.execute(select(*columns).where(wanted)).all()
            query = select(transition.c.pipeline, transition.c.seq, transition.c.code)
            of_pipelines = transition.c.pipeline.in_(pipelines) & (transition.c.stage == "deploy")
            deployed: dict[str, list[tuple[int, str]]] = {}
            for row in connection.execute(query.where(of_pipelines)):
                deployed.setdefault(row.pipeline, []).append((row.seq, row.code))
        each = transition.c.code.concat(cast(transition.c.at_us, Text)).concat(_WITHIN).concat(transition.c.event_id)
        found: dict[str, dict[str, tuple[str, ...]]] = {row.pipeline: {} for row in rows}
        mixed: set[str] = set()
        for stage, pipeline, texts, count in self._joined(each, _BETWEEN, stages, None, 0, limit=limit, only=wanted):
            parts = tuple(texts.split(_BETWEEN))
            if pipeline not in found or len(parts) != count:
                mixed.add(pipeline)
            else:
                found[pipeline][stage] = parts
        for row in rows:
            if row.pipeline not in mixed:
                yield KeptRecent(
                    pipeline=row.pipeline,
                    seq=int(row.seq),
                    facts=row.facts,
                    recent=found[row.pipeline],
                    deployments=tuple(deployed.get(row.pipeline, ())),
                )

    def _joined(
        self,
        column: ColumnElement[str],
        between: str,
        stages: Sequence[str],
        at_us: int | None,
        window_us: int,
        *,
        limit: int,
        only: ColumnElement[bool] | None = None,
    ) -> Iterator[tuple[str, str, str, int]]:
        """Yield stage, pipeline, the texts of its most recent transitions in one, and how many they are."""
        longest = func.max if self._database.is_sqlite else func.greatest
        since = None if at_us is None else at_us - longest(transition_fold.c.window_us, window_us)
        with self._database.read() as connection:
            for stage in stages:
                query = self._tail(stage, since, column, between, limit=limit)
                for pipeline, texts in connection.execute(query if only is None else query.where(only)).all():
                    count, _, joined = texts.partition(" ")
                    if int(count):
                        yield stage, pipeline, joined, int(count)

    def _tail(
        self, stage: str, since: ColumnElement[int] | None, column: ColumnElement[str], between: str, *, limit: int
    ) -> Select[Any]:
        """Ask for one string a pipeline: the index gives the latest rows, and none of them leaves the database."""
        inside = literal(True) if since is None else transition.c.at_us >= since
        recent = (
            select(column.label("text"))
            .where(
                transition.c.pipeline == transition_fold.c.pipeline,
                transition.c.stage == stage,
                inside,
            )
            .order_by(transition.c.at_us.desc(), transition.c.seq.desc())
            .limit(limit)
            .correlate(transition_fold)
            .subquery("recent")
        )
        join = func.group_concat if self._database.is_sqlite else func.string_agg
        joined = func.coalesce(join(recent.c.text, literal(between)), "")
        text = cast(func.count(), Text).concat(literal(" ")).concat(joined)
        texts = select(text).select_from(recent).correlate(transition_fold).scalar_subquery()
        return select(transition_fold.c.pipeline, texts)

    def moments(self, pipeline: str, stage: str, *, since_us: int, limit: int) -> list[tuple[int, int]]:
        """Return when the most recent transitions of a stage were, each with its place, the latest first."""
        query = (
            select(transition.c.at_us, transition.c.seq)
            .where(transition.c.pipeline == pipeline, transition.c.stage == stage, transition.c.at_us >= since_us)
            .order_by(transition.c.at_us.desc(), transition.c.seq.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [(row.at_us, row.seq) for row in connection.execute(query)]

    # ---- standings of moments that are over, which nothing but an import of that time changes

    def standings(self, policy: str, moment_us: int) -> dict[str, str]:
        """Return the kept standings of a moment by pipeline."""
        query = select(standing.c.pipeline, standing.c.record).where(
            standing.c.policy == policy, standing.c.moment_us == moment_us
        )
        with self._database.read() as connection:
            return {row.pipeline: row.record for row in connection.execute(query)}

    def forget_standings(self, pipeline: str, *, since_us: int) -> None:
        """Throw away the kept standings of a pipeline from a moment on."""
        with self._database.write() as transaction:
            transaction.execute(
                delete(standing).where(standing.c.pipeline == pipeline, standing.c.moment_us >= since_us)
            )

    def keep_standings(self, policy: str, moment_us: int, records: dict[str, str], *, seq: int) -> None:
        """Keep standings of a moment that is over; those that are kept already stay.

        Args:
            policy: Digest of the policy.
            moment_us: The moment.
            records: Pipeline -> standing.
            seq: What was folded before they were read; where more has come since, nothing is kept.
        """
        with self._database.write() as transaction:
            if self._cursor(transaction) != seq:
                return
            known = set(
                transaction.execute(
                    select(standing.c.pipeline).where(standing.c.policy == policy, standing.c.moment_us == moment_us)
                ).scalars()
            )
            rows = [
                {"policy": policy, "moment_us": moment_us, "pipeline": name, "record": record}
                for name, record in records.items()
                if name not in known
            ]
            if rows:
                transaction.execute(insert(standing), rows)


def _keep(transaction: Connection, fold: KeptFold) -> None:
    wanted = {(row["seq"], row["stage"]): row for row in fold.rows}
    folded = transition_fold.c.pipeline == fold.pipeline
    kept = transaction.execute(select(transition_fold.c.seq).where(folded)).scalar()
    if kept is not None and kept > fold.seq:
        return
    query = select(transition).where(transition.c.pipeline == fold.pipeline)
    present = {(row["seq"], row["stage"]): dict(row) for row in transaction.execute(query).mappings()}
    for entry, stage in (key for key, row in present.items() if wanted.get(key) != row):
        transaction.execute(delete(transition).where(transition.c.seq == entry, transition.c.stage == stage))
    new = [row for key, row in wanted.items() if present.get(key) != row]
    if new:
        transaction.execute(insert(transition), new)
    transaction.execute(delete(transition_fold).where(folded))
    names = ("pipeline", "seq", "window_us", "facts", "activity")
    transaction.execute(insert(transition_fold), {name: getattr(fold, name) for name in names})
