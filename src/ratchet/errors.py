"""Every error that Ratchet raises on purpose, each a small record with a message that says what to do.

Invariant: an error survives the way between processes: it is rebuilt from its fields, so the message that a person
reads is the same on both sides.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self


def _rebuild(kind: type["RatchetError"], values: dict[str, Any]) -> "RatchetError":
    return kind(**values)


def _hash_by_message(error: "RatchetError") -> int:
    return hash((type(error), str(error)))


@dataclass
class RatchetError(Exception):
    """The base of all errors that a user can do something about.

    Subclasses are dataclasses with a ``template`` that is formatted with their fields: what failed, why (value and
    limit), what to do, where.
    """

    template: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Keep the hash of an exception: a dataclass that compares by fields would lose it."""
        cls.__hash__ = _hash_by_message  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Keep the message as the exception's argument, for logs that print ``args``."""
        self.args = (str(self),)

    def __str__(self) -> str:
        """Return the message, filled with the fields."""
        return self.template.format(**self.to_fields())

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild by field name: a dataclass exception made with keywords does not unpickle otherwise."""
        return _rebuild, (type(self), self.to_fields())

    def to_fields(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> Self:
        """Rebuild an error from what ``to_fields`` gave."""
        return cls(**values)


# ---- workspace and configuration


@dataclass
class WorkspaceNotFound(RatchetError):
    """No ``ratchet.toml`` in the folder or above it."""

    folder: str
    template: ClassVar[str] = (
        "No ratchet.toml in {folder} or any folder above it. Go into a project, name one with --workspace DIR, "
        "or start one with: ratchet init"
    )


@dataclass
class WorkspaceExists(RatchetError):
    """``ratchet init`` was asked to write over a project."""

    path: str
    template: ClassVar[str] = "{path} exists already and is left as it is. Choose an empty folder: ratchet init DIR"


@dataclass
class WorkspaceTooNew(RatchetError):
    """The database was written by a later version."""

    found: int
    supported: int
    template: ClassVar[str] = (
        "This workspace has schema version {found}, and this Ratchet reads up to {supported}. "
        "Nothing was changed. Install a newer mlratchet: pip install --upgrade mlratchet"
    )


@dataclass
class CopyFailed(RatchetError):
    """A database could not be copied."""

    path: str
    problem: str
    template: ClassVar[str] = (
        "The database cannot be copied to {path}: {problem}. The database itself was not touched. Make room there, "
        "or choose another place."
    )


@dataclass
class JobUnreadable(RatchetError):
    """What a job was given or has recorded is not what the engine writes."""

    job: str
    column: str
    problem: str
    template: ClassVar[str] = (
        "Job {job} has a value ({column}) that is not plain data: {problem}. Carrying it out could run foreign code, "
        "so it is not taken over. Use a backup that you trust."
    )


@dataclass
class WorkspaceInUse(RatchetError):
    """A second executor was started on one workspace."""

    path: str
    pid: int
    template: ClassVar[str] = (
        "Another Ratchet process (pid {pid}) already runs the workspace {path}; one executor at a time may. "
        "Use that one, or stop it first: kill {pid}"
    )


@dataclass
class ServerElsewhere(RatchetError):
    """A second server was started on one database."""

    host: str
    pid: int
    silent_seconds: float
    template: ClassVar[str] = (
        "This database has its server already: pid {pid} on {host}, which gave a sign of life {silent_seconds:.1f} s "
        "ago. To add a machine, start a worker there: ratchet worker. To move the server, stop that one first."
    )


@dataclass
class WorkerNeedsServer(RatchetError):
    """A worker was started on a database that is a file."""

    database: str
    template: ClassVar[str] = (
        "Workers share a PostgreSQL database, and {database} is a file, which one process carries out alone. "
        'Set database = "postgresql://..." in [project] of ratchet.toml, or use ratchet up without workers.'
    )


@dataclass
class NothingTakenIn(RatchetError):
    """A worker was started before any server."""

    database: str
    template: ClassVar[str] = (
        "{database} holds no project yet: a worker takes its settings from what the server has taken in. "
        "Start ratchet up in the project's folder once, then start the worker again."
    )


@dataclass
class ArtifactsNotShared(RatchetError):
    """A worker was started where the artifacts lie in a folder of the server's machine."""

    project: str
    template: ClassVar[str] = (
        "Project '{project}' keeps its artifacts in a folder of the server's machine, where a worker cannot read "
        'them. Set artifacts = "s3://bucket/prefix" or a folder that all machines share in [project] of '
        "ratchet.toml, or name such a place here: ratchet worker --artifacts PLACE"
    )


@dataclass
class ConfigInvalid(RatchetError):
    """A file of settings does not mean anything."""

    where: str
    problem: str
    remedy: str
    template: ClassVar[str] = "{where}: {problem} {remedy}"


@dataclass
class DayInvalid(RatchetError):
    """An option that names a day does not."""

    option: str
    value: str
    template: ClassVar[str] = "{option} is '{value}', which is no day. Write it as 2013-04-30."


@dataclass
class DemoDiffers(RatchetError):
    """A folder holds a demo that was started differently."""

    folder: str
    found: str
    wanted: str
    template: ClassVar[str] = (
        "{folder} holds a demo that was begun with {found}, and {wanted} was asked for. Go on as it was begun, or "
        "choose another folder: ratchet demo --keep DIR"
    )


# ---- database


@dataclass
class DatabaseAway(RatchetError):
    """The database server could not be reached, or it ended the connection."""

    database: str
    reason: str
    template: ClassVar[str] = (
        "The database {database} is away: {reason}. What was under way was taken back as a whole. A workspace that "
        "runs goes on by itself once the server answers; a command is to be given again. If it stays so, look with "
        "pg_isready, and at `database` in ratchet.toml."
    )


@dataclass
class WriteUncertain(DatabaseAway):
    """The connection was lost while a write was being confirmed, and nobody can tell whether it has happened."""

    template: ClassVar[str] = (
        "The database {database} went away while a change was being confirmed: {reason}. Either all of it has happened "
        "or nothing. Once the server runs again, look with `ratchet events` before you do it once more."
    )


@dataclass
class DatabaseInvalid(RatchetError):
    """The URL of a database cannot be used."""

    problem: str
    template: ClassVar[str] = "The database's URL (`database` under [project] in ratchet.toml, or --database) {problem}"


@dataclass
class DatabaseTaken(RatchetError):
    """A database that belongs to one project was given to another one."""

    database: str
    owner: str
    project: str
    template: ClassVar[str] = (
        "The database {database} holds the workspace of a project already ({owner}), and this one ({project}) is "
        "another. Nothing was changed. Each project needs a database of its own: make one with createdb NAME, and say "
        "so under [project] in ratchet.toml, or with --database."
    )


@dataclass
class DatabaseForeign(RatchetError):
    """Another program has tables in a database that are called like ours."""

    database: str
    tables: str
    template: ClassVar[str] = (
        "The database {database} has tables of another program that are called like ours ({tables}). Nothing was "
        "changed. Use a database of its own: make one with createdb NAME."
    )


# ---- ledger


@dataclass
class LedgerConflict(RatchetError):
    """An event arrived with the key of another one and a different body."""

    source: str
    event_id: str
    template: ClassVar[str] = (
        "Event {event_id} of source {source} is in the ledger already, with another body. The first one stays. "
        "Send a correction under a new id."
    )


@dataclass
class UnknownEventType(RatchetError):
    """An event type that is not in the catalogue."""

    type: str
    closest: str
    template: ClassVar[str] = (
        "Unknown event type '{type}'. Did you mean '{closest}'? `ratchet events --types` lists all."
    )


@dataclass
class EventInvalid(RatchetError):
    """An event from outside lacks something or says something impossible."""

    field: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Event refused: '{field}' {problem}. {remedy}"


@dataclass
class CauseMissing(RatchetError):
    """A programmer forgot to say why an event happened."""

    type: str
    template: ClassVar[str] = (
        "An event of type '{type}' needs a cause and has none. Append it inside origin.use(...) or name its cause."
    )


@dataclass
class LedgerGap(RatchetError):
    """A number is missing in the ledger."""

    expected: int
    found: int
    template: ClassVar[str] = (
        "The ledger has no entry {expected}; the next one is {found}. Entries were taken out, and no checkpoint is "
        "signed over the rest. See all of it with: ratchet ledger verify"
    )


@dataclass
class LedgerCut(RatchetError):
    """Something outside knows of more entries than the ledger has."""

    where: str
    expected: int
    found: int
    template: ClassVar[str] = (
        "The ledger ends with entry {found}, but {where} knows of {expected}: its end was cut off. Nothing was signed. "
        "Restore a backup that has them, and see: ratchet ledger verify"
    )


@dataclass
class LedgerDiffers(RatchetError):
    """What was written elsewhere about the ledger is not what it holds now."""

    where: str
    size: int
    template: ClassVar[str] = (
        "{where} holds another state of the first {size} entries than the ledger does: they were changed since. "
        "Nothing was written. See what differs with: ratchet ledger verify"
    )


@dataclass
class SigningKeyUnusable(RatchetError):
    """A key for checkpoints cannot be read."""

    path: str
    problem: str
    template: ClassVar[str] = (
        "{path} is no usable Ed25519 key: {problem}. A private key is a PEM file; a public key is a PEM file or a line "
        "such as ratchet/flights+1a2b3c4d+AbCd..., as ratchet ledger key prints it."
    )


@dataclass
class CheckpointInvalid(RatchetError):
    """A text is no checkpoint, or not one that can be trusted."""

    where: str
    problem: str
    template: ClassVar[str] = (
        "{where} is no valid checkpoint: {problem}. Give it whole and as it was printed; a file that was damaged may "
        "be moved away, because the ledger keeps its checkpoints, too."
    )


@dataclass
class ProofInvalid(RatchetError):
    """A text is no proof."""

    where: str
    problem: str
    template: ClassVar[str] = "{where} is no proof: {problem}."


@dataclass
class ExportInvalid(RatchetError):
    """A file is no export of a ledger."""

    where: str
    problem: str
    template: ClassVar[str] = "{where}: {problem} An export is made with: ratchet ledger export --output FILE"


@dataclass
class AnchorFailed(RatchetError):
    """A checkpoint could not be written elsewhere, or what is there cannot be read."""

    anchor: str
    problem: str
    template: ClassVar[str] = (
        "The anchor {anchor} could not be used: {problem}. The checkpoint itself stands in the ledger; once the place "
        "is there again, run: ratchet ledger anchor"
    )


@dataclass
class NotErasable(RatchetError):
    """Something was to be erased that must stay."""

    event: str
    reason: str
    template: ClassVar[str] = "The payload of {event} is not erased: {reason}."


@dataclass
class NestedWrite(RatchetError):
    """The engine or a second write was called while a write transaction is open."""

    what: str
    template: ClassVar[str] = (
        "{what} was called inside a database write. On SQLite that would wait for ever: finish the write first."
    )


# ---- artifacts and storers


@dataclass
class ArtifactMissing(RatchetError):
    """An artifact is not in the store."""

    sha256: str
    path: str
    template: ClassVar[str] = (
        "Artifact {sha256} is missing: no file {path}. Restore it from a backup, or run the pipeline again."
    )


@dataclass
class ArtifactCorrupt(RatchetError):
    """An artifact's bytes are not those that were registered."""

    sha256: str
    found: str
    path: str
    template: ClassVar[str] = (
        "Artifact {sha256} is corrupt: {path} hashes to {found}. It was not loaded. "
        "Restore it from a backup, or run the pipeline again."
    )


@dataclass
class ArtifactsUnreachable(RatchetError):
    """The store of artifacts does not answer, or refuses."""

    address: str
    problem: str
    remedy: str
    template: ClassVar[str] = (
        "The store of artifacts {address} cannot be used: {problem}. {remedy} "
        "What serves goes on; what broke off is done again from its last recorded step."
    )


@dataclass
class ArtifactsElsewhere(RatchetError):
    """The folder that the artifacts were written to is another one now, such as a mount that is missing."""

    address: str
    template: ClassVar[str] = (
        "{address} is there, but it is not the store that this workspace writes to: its file .workspaces is missing. "
        "Is the disk mounted? If the store was moved by hand, copy it as a whole, or bring its artifacts over: "
        "ratchet artifacts copy FROM"
    )


@dataclass
class NoStorer(RatchetError):
    """A step returned something that nobody knows how to store."""

    type: str
    known: str
    template: ClassVar[str] = (
        "No storer for a value of type {type}. Return one of: {known}; "
        "or register one with ratchet.store.storers.register."
    )


@dataclass
class UntrustedModel(RatchetError):
    """A model file contains types that are not on our list."""

    types: str
    template: ClassVar[str] = (
        "The model contains types that Ratchet does not trust: {types}. Only reviewed estimators are loaded; "
        "use one of those, or export the model to ONNX."
    )


# ---- runs


@dataclass
class StepFailed(RatchetError):
    """The user's code raised."""

    step: str
    error_type: str
    message: str
    traceback: str = ""
    template: ClassVar[str] = "Step '{step}' failed: {error_type}: {message} (its traceback is in .ratchet/logs)"


@dataclass
class StepUnusable(RatchetError):
    """Something is marked as a step that cannot be one, or is called where it cannot be kept."""

    step: str
    problem: str
    remedy: str
    template: ClassVar[str] = "'{step}' cannot be a step: {problem}. {remedy}"


@dataclass
class StepTimeout(RatchetError):
    """A step or a body took longer than allowed."""

    step: str
    limit_seconds: float
    template: ClassVar[str] = (
        "'{step}' was stopped: it ran longer than {limit_seconds:g} s. Make it faster, or raise "
        "timeout_seconds under [limits] in ratchet.toml."
    )


@dataclass
class MemoryExceeded(RatchetError):
    """A child grew beyond its limit."""

    step: str
    used_mb: float
    limit_mb: float
    template: ClassVar[str] = (
        "'{step}' was stopped: it used {used_mb:.0f} MB of memory, and {limit_mb:.0f} MB are allowed. Use less data "
        "at a time, or raise memory_mb under [limits] in ratchet.toml."
    )


@dataclass
class ChildDied(RatchetError):
    """The process that ran the user's code ended on its own, too often."""

    step: str
    reason: str
    attempts: int
    template: ClassVar[str] = (
        "The process running '{step}' died ({reason}) in each of {attempts} attempts. "
        "Look at what the step does outside Python (memory, signals, native code), then run it again."
    )


@dataclass
class NoChild(RatchetError):
    """No process could be started for the user's code: what it loads first ends it."""

    reason: str
    attempts: int
    template: ClassVar[str] = (
        "No process could be started for your code: {reason}, {attempts} times. "
        "See how much memory is free, and run 'ratchet doctor', which tries the libraries."
    )


@dataclass
class NondeterministicPipeline(RatchetError):
    """A body asked for other steps when it was replayed."""

    pipeline: str
    expected: str
    found: str
    template: ClassVar[str] = (
        "Pipeline '{pipeline}' asked for another sequence of steps after a restart: {expected} was recorded, "
        "{found} was asked for. Keep clocks, random numbers and outside reads inside steps; then start a new run."
    )


@dataclass
class RunCancelled(RatchetError):
    """Somebody cancelled the run."""

    run_id: str
    template: ClassVar[str] = "Run {run_id} was cancelled."


@dataclass
class RunOver(RatchetError):
    """Somebody wanted to cancel a run that has ended."""

    run_id: str
    outcome: str
    template: ClassVar[str] = (
        "Run {run_id} is over ({outcome}) and cannot be cancelled; only one that is queued or running can. "
        "What it registered is not released by itself: leave it, or roll back with ratchet rollback."
    )


@dataclass
class NotSettled(RatchetError):
    """Something was still under way when patience ended."""

    limit_seconds: float
    waiting: str
    template: ClassVar[str] = (
        "Still under way after {limit_seconds:g} s: {waiting}. Is the workspace running (`ratchet up`)? "
        "Its logs are in .ratchet/logs."
    )


@dataclass
class UnknownName(RatchetError):
    """A name that the workspace does not know."""

    kind: str
    name: str
    known: str
    template: ClassVar[str] = "No {kind} named '{name}'. Known: {known}."


@dataclass
class RuleNotInForce(RatchetError):
    """A rule was to be backfilled that does not act by itself either."""

    rule: str
    place: str
    template: ClassVar[str] = (
        "Rule '{rule}' is {place}, and only a rule that is in force and switched on can be backfilled. "
        "Take the project's files in first: ratchet rules. Or switch it on: ratchet rules enable '{rule}'"
    )


@dataclass
class ParameterUnknown(RatchetError):
    """A run was started with a parameter that the pipeline does not take."""

    pipeline: str
    name: str
    known: str
    template: ClassVar[str] = "Pipeline '{pipeline}' has no parameter '{name}'. It takes: {known}."


@dataclass
class ParameterMissing(RatchetError):
    """A run was started without a value that the pipeline cannot do without."""

    pipeline: str
    name: str
    template: ClassVar[str] = (
        "Pipeline '{pipeline}' needs a value for '{name}': ratchet run {pipeline} -p {name}=VALUE. "
        "If the dataset '{name}' is meant, write '{name}: rt.Dataset' where the function is defined."
    )


@dataclass
class NoData(RatchetError):
    """A dataset has no version yet."""

    dataset: str
    source: str
    template: ClassVar[str] = (
        "Dataset '{dataset}' has no version yet: nothing was found at {source}. Put a file there and start again."
    )


@dataclass
class NoTimeColumn(RatchetError):
    """A dataset was asked for its latest moment and has no time column."""

    dataset: str
    template: ClassVar[str] = (
        "Dataset '{dataset}' has no time column, so it has no latest moment. "
        "Name one in ratchet.toml: time = 'COLUMN' under [dataset.{dataset}]."
    )


@dataclass
class DataRefused(RatchetError):
    """A data file does not fit its dataset."""

    dataset: str
    file: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Dataset '{dataset}' refuses {file}: {problem}. {remedy}"


# ---- releases


@dataclass
class GateNotPassed(RatchetError):
    """A model version may not enter the environment."""

    version: str
    environment: str
    reason: str
    template: ClassVar[str] = (
        "Cannot promote {version} to {environment}: {reason}. Retrain, change the threshold in ratchet.toml, "
        "or take responsibility with --bypass 'REASON'."
    )


@dataclass
class ReleaseRefused(RatchetError):
    """An endpoint would not take the new routes."""

    endpoint: str
    version: str
    reason: str
    template: ClassVar[str] = "Endpoint '{endpoint}' refused {version}: {reason} What was live before goes on serving."


@dataclass
class NoEndpointProcess(RatchetError):
    """Nobody acknowledged new routes in time."""

    endpoint: str
    limit_seconds: float
    template: ClassVar[str] = (
        "No endpoint process took over the new routes of '{endpoint}' within {limit_seconds:g} s. "
        "Is it running? Start it with: ratchet up"
    )


@dataclass
class NothingToRollBack(RatchetError):
    """The endpoint has no earlier version."""

    endpoint: str
    template: ClassVar[str] = "Endpoint '{endpoint}' has no earlier release to go back to. Promote a version instead."


@dataclass
class SmokeTestFailed(RatchetError):
    """A model does not predict in staging."""

    version: str
    rows: int
    shape: str
    template: ClassVar[str] = (
        "{version} failed its smoke test in staging: for {rows} rows of its own holdout it gave values of shape "
        "{shape}, where one finite number a row is needed. It was not released; look at the model."
    )


# ---- feedback


@dataclass
class UnknownPrediction(RatchetError):
    """An outcome for something that was never predicted."""

    prediction_id: str
    count: int
    template: ClassVar[str] = (
        "{count} outcomes name a prediction that is not in the log, the first '{prediction_id}'. None of this request "
        "was taken. Send the prediction_id that the endpoint returned."
    )


# ---- credentials


@dataclass
class CredentialRefused(RatchetError):
    """No token, or one that is unknown or revoked."""

    reason: str
    template: ClassVar[str] = "Not allowed: {reason}. Make a token with: ratchet token issue NAME"


# serving


@dataclass
class ServingFolderHeld(RatchetError):
    """A second endpoint process was started on one serving folder."""

    folder: str
    pid: int
    template: ClassVar[str] = (
        "Another endpoint process (pid {pid}) already serves {folder}; one at a time may. "
        "Use that one, or stop it first: kill {pid}"
    )


@dataclass
class PortTaken(RatchetError):
    """The address that an endpoint process should listen on is not free."""

    host: str
    port: int
    reason: str
    template: ClassVar[str] = "Cannot listen on {host}:{port}: {reason}. Free it, or take any port with --port 0."


@dataclass
class WebPagesFailed(RatchetError):
    """The web application ended before it took a request."""

    template: ClassVar[str] = (
        "The web pages did not start: the lines above or .ratchet/logs/up.log say where it stopped. "
        "This is a fault of Ratchet; nothing is lost, and commands work without the pages."
    )


@dataclass
class RoutesInvalid(RatchetError):
    """A route table that contradicts itself, or a file that is none."""

    path: str
    problem: str
    template: ClassVar[str] = (
        "Cannot use the routes of {path}: {problem} The routes before stay. Write a whole new table with write_routes."
    )


@dataclass
class RoutesNotNewer(RatchetError):
    """A route table would replace a later one, or another one of the same generation."""

    path: str
    generation: int
    current: int
    template: ClassVar[str] = (
        "Cannot write routes of generation {generation}: {path} has generation {current} and other content. "
        "Read it, and write one with generation {current} + 1 or more."
    )


@dataclass
class RoutesNotAcknowledged(RatchetError):
    """No endpoint process followed new routes in time."""

    folder: str
    generation: int
    limit_seconds: float
    state: str
    template: ClassVar[str] = (
        "Routes of generation {generation} in {folder} were not acknowledged within {limit_seconds:g} s: {state}. "
        "Is an endpoint process running? Start it with: ratchet up"
    )


@dataclass
class ModelUnusable(RatchetError):
    """The bytes of a model are those that were registered, and it cannot serve all the same."""

    version: str
    reason: str
    template: ClassVar[str] = "Model {version} cannot serve: {reason}. Register a version that fits its schema."


@dataclass
class RequestInvalid(RatchetError):
    """A request for predictions does not fit the protocol or the model's schema."""

    endpoint: str
    field: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Request to '{endpoint}' refused: {field} {problem}. {remedy}"


@dataclass
class RequestIdReused(RatchetError):
    """A request has the id of another one and a different body."""

    endpoint: str
    request_id: str
    template: ClassVar[str] = (
        "Request to '{endpoint}' refused: id '{request_id}' was answered already for another body, and prediction ids "
        "are made from it. Send a new id for each request, and the same one only when you repeat it."
    )


@dataclass
class BodyTooLarge(RatchetError):
    """The body of a request is larger than allowed."""

    size_bytes: int
    limit_bytes: int
    template: ClassVar[str] = (
        "Request refused: its body has {size_bytes} bytes or more, and at most {limit_bytes} are allowed. "
        "Split the rows over several requests."
    )


@dataclass
class MethodNotAllowed(RatchetError):
    """An address was asked with a method that it does not take."""

    method: str
    path: str
    allowed: str
    template: ClassVar[str] = "{path} does not take {method}. Use {allowed}."


@dataclass
class NoLiveRelease(RatchetError):
    """An endpoint has nothing to answer with."""

    endpoint: str
    reason: str
    template: ClassVar[str] = "Endpoint '{endpoint}' has no live release: {reason}. Promote a version, then try again."


@dataclass
class EndpointPreparing(RatchetError):
    """The endpoint process has just started and is loading its models."""

    pid: int
    template: ClassVar[str] = (
        "The endpoint process {pid} has just started and loads its models. Try again in a few seconds; "
        "GET /v2/health/ready tells when."
    )


@dataclass
class EndpointBusy(RatchetError):
    """More requests wait than the endpoint process keeps."""

    waiting: int
    limit: int
    template: ClassVar[str] = (
        "The endpoint is busy: {waiting} requests wait, and at most {limit} may. Try again in a moment."
    )


@dataclass
class PredictionFailed(RatchetError):
    """A model did not give scores for rows that fit its schema."""

    version: str
    reason: str
    template: ClassVar[str] = (
        "Model {version} did not answer: {reason}. Compare the values with those it was trained on, or roll back."
    )


@dataclass
class PredictionLogUnwritable(RatchetError):
    """A prediction could not be logged, so it was not given."""

    path: str
    reason: str
    template: ClassVar[str] = (
        "No prediction without its log entry, and {path} cannot be written: {reason}. "
        "Make room on that disk, then send the request again."
    )


# ---- money


@dataclass
class BillRefused(RatchetError):
    """A file is no bill that can be taken in."""

    where: str
    problem: str
    remedy: str
    template: ClassVar[str] = "{where}: {problem}. Nothing of this file was imported. {remedy}"


@dataclass
class BudgetSpent(RatchetError):
    """A run would be charged to a budget that is used up."""

    pipeline: str
    scope: str
    name: str
    spent: float
    amount: float
    currency: str
    month: str
    remedy: str
    template: ClassVar[str] = (
        "No run of '{pipeline}' was started: the budget of the {scope} '{name}' is {amount:.2f} {currency} for "
        "{month}, and {spent:.2f} are spent. {remedy}"
    )


# ---- monitoring


@dataclass
class ShapeMismatch(RatchetError):
    """Two things that are compared bin by bin have different numbers of them."""

    what: str
    expected: int
    found: int
    template: ClassVar[str] = "Cannot compare: {expected} {what} were expected, {found} were given."
