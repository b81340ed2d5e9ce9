"""The tables: the ledger's, which only grow, and the registry's, which are written in the ledger's transactions.

Invariant: whatever a table says was said by an event in the same transaction; rows of the ledger never change.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

ledger = Table(
    "ledger",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    UniqueConstraint("source", "id", name="ledger_source_id"),
    Index("ledger_type_seq", "type", "seq"),
    Index("ledger_pipeline_seq", "pipeline", "seq"),
    Index("ledger_cause", "cause"),
)

payload = Table(
    "payload",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
)

# The Merkle tree over the envelopes: what it needs to grow, and the hashes of its leaves by the tile.
ledger_tree = Table(
    "ledger_tree",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
)

ledger_tile = Table(
    "ledger_tile",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("leaves", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
)

pseudonym = Table(
    "pseudonym",
    metadata,
    Column("authid", Text, primary_key=True),
    Column("account", Text, nullable=False),
)

rule = Table(
    "rule",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("record", Text, nullable=False),
    Index("rule_event_type", "event_type"),
)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("record", Text, nullable=False),
    Index("run_pipeline", "pipeline", "id"),
)

model_version = Table(
    "model_version",
    metadata,
    Column("model", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("run_id", Text, nullable=False, unique=True),
    Column("record", Text, nullable=False),
)

dataset_version = Table(
    "dataset_version",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("record", Text, nullable=False),
)

release = Table(
    "release",
    metadata,
    Column("deployment_id", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("record", Text, nullable=False),
    Index("release_endpoint", "endpoint", "deployment_id"),
)

credential = Table(
    "credential",
    metadata,
    Column("name", Text, primary_key=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("is_revoked", Boolean, nullable=False),
    Column("record", Text, nullable=False),
)

segment = Table(
    "segment",
    metadata,
    Column("name", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("record", Text, nullable=False),
)

outcome_batch = Table(
    "outcome_batch",
    metadata,
    Column("id", Text, primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("record", Text, nullable=False),
)

state = Table(
    "state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# The processes that carry out jobs, with their last sign of life; written outside of the ledger's transactions.
worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_ticks", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Column("beat_at", Float(53), nullable=False),
)

# What steps gave, under the digest of all that they were made from; the row is as little as whoever takes it needs.
step_result = Table(
    "step_result",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("used_us", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index("step_result_used", "used_us"),
)

# ---- projections: what was folded out of the ledger; each can be thrown away and folded again

transition = Table(
    "transition",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("stage", Text, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("code", String(2), nullable=False),
    Column("event_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("recorded_us", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),
    Column("root_class", Text, nullable=False),
    Column("root_event", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("touches", Integer, nullable=False),
    Column("gates", Integer, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    # It holds all that a level asks for, so that the table itself is not read.
    Index("transition_recent", "pipeline", "stage", "at_us", "seq", "code"),
)

transition_fold = Table(
    "transition_fold",
    metadata,
    Column("pipeline", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("window_us", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    # Not among the facts, which are read for each question about levels.
    Column("activity", Text, nullable=False),
)

projection = Table(
    "projection",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
)

standing = Table(
    "standing",
    metadata,
    Column("policy", String(64), primary_key=True),
    Column("moment_us", BigInteger, primary_key=True),
    Column("pipeline", Text, primary_key=True),
    Column("record", Text, nullable=False),
)

answer = Table(
    "answer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("moment_us", BigInteger, primary_key=True),
    Column("definition", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)
