"""The frozen records that travel between the parts: events, actors, and what the registry knows.

Invariant: no input, no output, no SQL here; a record never changes after it was made.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

ActorClass = Literal["human", "automation", "unknown"]
Evidence = Literal["native", "attested", "imported", "inferred", "declared"]
NATIVE_SOURCE = "ratchet"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PERSONAL = ("user", "app_user")
_MACHINE = ("system", "service_account", "api_key")
MINTED_BY_AUTOMATION = ("rule", "engine", "oidc")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all records."""


class Actor(Record, frozen=True):
    """Who did something, as far as the credential tells.

    Attributes:
        authtype: ``user``, ``app_user``, ``system``, ``service_account``, ``api_key``, ``unknown``
            or ``unauthenticated`` (the words of the CloudEvents extension for authentication context).
        authid: A pseudonym of the account; the mapping lies in a table of its own and can be erased.
        claims: ``minted_by`` (``rule``, ``engine``, ``oidc``) for run-scoped tokens, ``system`` for a service token
            that was declared with the system that holds it, ``person`` for a key issued to a person,
            ``on_behalf_of`` for an agent that acts with a person's rights.
    """

    authtype: str = "unknown"
    authid: str = ""
    claims: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def actor_class(self) -> ActorClass:
        """Return human, automation or unknown; unknown never counts as automation."""
        return actor_class(self.authtype, self.claims)


def actor_class(authtype: str, claims: dict[str, Any]) -> ActorClass:
    """Tell what class of actor a credential stands for.

    A static service token is unknown unless it was declared with the system that holds it: a token alone does not
    prove that no person held it.
    """
    if authtype in _PERSONAL or (authtype == "api_key" and claims.get("person")):
        return "human"
    if authtype not in _MACHINE:
        return "unknown"
    if claims.get("on_behalf_of"):
        return "automation" if claims.get("minted_by") == "rule" else "human"
    if claims.get("minted_by") in MINTED_BY_AUTOMATION or claims.get("system"):
        return "automation"
    return "unknown"


# Whatever JSON gives has no way back to what holds it, so the collector of cycles need not look at a million of them.
class Event(Record, frozen=True, gc=False):
    """One entry of the ledger: what happened, to what, when, by whom, because of what.

    Attributes:
        type: Short name from the catalogue.
        subject: What it happened to, such as ``flight-delay@v7``.
        data: The payload, JSON values.
        id: Unique within the source; derived from its cause where a repeat must not count twice.
        time: When it happened (UTC).
        recordedtime: When it was appended (UTC); ``None`` before.
        causationid: Id of the event that led to this one; ``""`` for roots.
        correlationid: Id of the root that everything in one chain shares.
        trigger: What kind of thing set it off: schedule, data, code, metric, custom, api, ui, cli, rerun, operator
            or unknown.
        seq: Position in the ledger, dense, from 1; 0 before it is appended.
    """

    type: str
    subject: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str = ""
    source: str = NATIVE_SOURCE
    time: datetime | None = None
    recordedtime: datetime | None = None
    specversion: str = "1.0"
    correlationid: str = ""
    causationid: str = ""
    authtype: str = ""
    authid: str = ""
    authclaims: dict[str, Any] = msgspec.field(default_factory=dict)
    pipeline: str = ""
    stage: str = ""
    team: str = ""
    env: str = ""
    evidence: Evidence = "native"
    trigger: str = ""
    seq: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Return what makes it one event, however often it is told: its source and id."""
        return self.source, self.id

    @property
    def actor_class(self) -> ActorClass:
        """Return the class of the actor who did it."""
        return actor_class(self.authtype, self.authclaims)

    @property
    def at(self) -> datetime:
        """Return when it happened; only for events that were appended."""
        assert self.time is not None, "an event gets its time when it is appended"
        return self.time


class KeptFold(Record, frozen=True):
    """What a fold gave for one pipeline.

    Attributes:
        pipeline: Whose transitions.
        rows: All of them, by the names of the table's columns.
        facts: What is kept beside them, and read for each question about levels.
        activity: What is kept beside them, and read for questions about time.
        window_us: How far back its evidence counts, where that is longer than a policy says.
        seq: The entry up to which was folded.
    """

    pipeline: str
    rows: tuple[dict[str, Any], ...]
    facts: str
    activity: str
    window_us: int
    seq: int


class KeptRecent(Record, frozen=True):
    """What a fold has kept of one pipeline, with its most recent transitions.

    Attributes:
        pipeline: Whose transitions.
        seq: The entry up to which was folded.
        facts: What is kept beside them.
        recent: The most recent transitions of each stage, the latest first, each as one text: two letters of what it
            is, when it counts as having happened in microseconds since 1970, UTC, U+001F, and its event's id.
        deployments: Place in the ledger and letters of all that were ever deployed.
    """

    pipeline: str
    seq: int
    facts: str
    recent: dict[str, tuple[str, ...]]
    deployments: tuple[tuple[int, str], ...]


class KeptAnswer(Record, frozen=True):
    """What was said about a moment that is over.

    Attributes:
        name: To what question.
        moment_us: About which moment, in microseconds since 1970, UTC.
        definition: Digest of all that decides on the answer beside the events.
        seq: The place in the ledger up to which events were read.
        record: The answer, as JSON.
    """

    name: str
    moment_us: int
    definition: str
    seq: int
    record: str


def derive_id(*parts: object) -> str:
    """Return an id of 26 characters that is the same for the same parts.

    Whatever is done because of something else gets its id from that, so that doing it again, after a crash, finds
    the first one.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    value = int.from_bytes(digest[:17]) >> 6
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def digest_of(value: object) -> str:
    """Return the sha256 of a JSON value, keys sorted, as 64 hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def to_utc(moment: datetime) -> datetime:
    """Return a moment in UTC.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        message = f"{moment.isoformat()} has no time zone; write it with an offset, such as 2013-01-31T20:00:00-05:00"
        raise ValueError(message)
    return moment.astimezone(UTC)


class DatasetVersion(Record, frozen=True):
    """One immutable state of a dataset.

    Attributes:
        manifest: Sha256 of the artifact that lists the parts; it is also the version's digest.
        row_count: Rows before the latest of each key is taken.
        data_from: Earliest value of the time column (ISO, UTC), ``""`` where there is none.
        data_until: Latest value of the time column.
        generated: Whether the loop made it, from sampled predictions and their outcomes.
    """

    dataset: str
    number: int
    manifest: str
    row_count: int
    data_from: str
    data_until: str
    schema_digest: str
    parents: tuple[str, ...]
    generated: bool
    published_at: datetime
    event_id: str

    @property
    def name(self) -> str:
        """Return the name, such as ``flights@v12``."""
        return f"{self.dataset}@v{self.number}"


class RunLog(Record, frozen=True):
    """What a run or a step printed, as the store of artifacts has it.

    Attributes:
        sha256: Of what is kept, ``""`` where nothing could be.
        size_bytes: Of all that was printed.
        cut_bytes: How much of its beginning is not kept.
        place: Where all of it was written: ``HOST:PATH``.
    """

    sha256: str
    size_bytes: int
    cut_bytes: int
    place: str


class Run(Record, frozen=True):
    """One execution of a pipeline, with all that is needed to do it again.

    Attributes:
        status: ``queued``, ``running``, ``success``, ``failed`` or ``cancelled``.
        inputs: Dataset versions by parameter name, such as ``{"flights": "flights@v12"}``.
        input_digests: Their manifests.
        candidate: What the body returned: references of model and holdout, label column, schemas.
        metrics: What the gate measured.
        gate: ``pass``, ``fail`` or ``""`` where it came to none.
        costs: Per step: processor seconds, wall seconds, peak memory; whether its result was taken from another run, or
            why no other run may take it; whether it was broken off.
        no_cache: Whether each step is computed, whatever results are kept.
        repeats: The run that it does again, ``""`` for none.
        differences: What of that came out otherwise, in a run that only does it again; else ``None``.
        log: What it printed, once it has ended; ``None`` where that is nothing.
    """

    id: str
    pipeline: str
    status: str
    parameters: dict[str, Any]
    snapshot: str
    lock: str
    inputs: dict[str, str]
    input_digests: dict[str, str]
    seed: int
    hardware: dict[str, Any]
    queued_at: datetime
    queued_event: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    candidate: dict[str, Any] | None = None
    model_version: str = ""
    metrics: dict[str, Any] = msgspec.field(default_factory=dict)
    gate: str = ""
    error: str = ""
    costs: tuple[dict[str, Any], ...] = ()
    no_cache: bool = False
    repeats: str = ""
    differences: tuple[str, ...] | None = None
    log: RunLog | None = None


class ModelVersion(Record, frozen=True):
    """A registered model that never changes.

    Attributes:
        storer: How its bytes are read.
        inputs: Columns it takes, in order: ``{"name", "datatype", "kind"}``.
        output: Name of what it gives.
        profile: Sha256 of the artifact with bin edges and counts of its training data.
        data_until: Latest time of the data it was trained on (ISO, UTC).
    """

    model: str
    number: int
    run_id: str
    pipeline: str
    artifact: str
    storer: str
    inputs: tuple[dict[str, str], ...]
    output: str
    profile: str
    holdout: str
    label: str
    data_until: str
    registered_at: datetime
    event_id: str

    @property
    def name(self) -> str:
        """Return the name, such as ``flight-delay@v7``."""
        return f"{self.model}@v{self.number}"


class Release(Record, frozen=True):
    """A model version on an endpoint.

    Attributes:
        status: ``desired`` until the endpoint took it over, then ``live``, ``replaced`` or ``refused``.
        traffic_event: Id of the ``traffic.shifted`` that made it live.
    """

    deployment_id: str
    endpoint: str
    environment: str
    model_version: str
    status: str
    previous: str
    requested_at: datetime
    shifted_at: datetime | None = None
    traffic_event: str = ""
    is_rollback: bool = False
