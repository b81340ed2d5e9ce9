"""The REST interface under ``/api/v1``: what other systems send, and what they ask.

Invariant: each error has its HTTP status from one table; a request that is repeated with its key changes nothing more;
calls of the workspace, which wait for the database, run in threads.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar, cast
from zoneinfo import ZoneInfo

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratchet import errors, reporting
from ratchet.automation.actions import action
from ratchet.catalogue import event_type, wire_name
from ratchet.errors import BodyTooLarge, LedgerConflict, RatchetError, RequestInvalid, UnknownName
from ratchet.loop import credentials, feedback, registry
from ratchet.loop.credentials import Credential
from ratchet.loop.feedback import Outcome
from ratchet.measure.incidents.export import to_values
from ratchet.measure.incidents.telling import incident_named
from ratchet.measure.kpis.failures import attributed, covered, ground_of
from ratchet.measure.kpis.questions import moment_named
from ratchet.measure.kpis.readings import DIMENSIONS, by_dimension, kpi_named, read
from ratchet.measure.standings import Standing
from ratchet.measuring import Measuring
from ratchet.records import Actor, Event, derive_id, digest_of
from ratchet.web import cloudevents, evaluation_pages, foreign, process_pages, refusals
from ratchet.web.cloudevents import Message, Received
from ratchet.web.refusals import IdempotencyKeyReused, NotPermitted

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

T = TypeVar("T")
Foreign = tuple[Event, ...]
# So many events of one message come into the ledger at once: others can write in between.
TOGETHER = 100

# The one table from errors to HTTP status; a class that is not here takes the status of the nearest one above it.
STATUS: dict[type[RatchetError], int] = {
    errors.EventInvalid: 400,
    errors.UnknownEventType: 400,
    errors.RequestInvalid: 400,
    errors.ParameterUnknown: 400,
    errors.CauseMissing: 400,
    errors.CredentialRefused: 401,
    refusals.LinkSpent: 401,
    refusals.NotPermitted: 403,
    errors.UnknownName: 404,
    errors.UnknownPrediction: 404,
    errors.MethodNotAllowed: 405,
    errors.LedgerConflict: 409,
    refusals.IdempotencyKeyReused: 409,
    errors.BodyTooLarge: 413,
    refusals.MediaTypeUnsupported: 415,
    refusals.HostRefused: 421,
    errors.NotSettled: 503,
    errors.DatabaseAway: 503,
    RatchetError: 500,
}

PREFIX = "/api/v1"
BODY_LIMIT_BYTES = 1 << 20
PAGE_LIMIT = 1000
_KEY_LIMIT = 255
# An even number of backslashes before it makes the last one a backslash.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_FIELD = re.compile(r"\w[\w .:-]{0,99}")


def status_of(error: RatchetError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def refuse(error: RatchetError) -> Response:
    """Return the reply to a request that failed."""
    headers = {"WWW-Authenticate": "Bearer"} if status_of(error) == STATUS[errors.CredentialRefused] else {}
    body = {"error": str(error), "type": type(error).__name__}
    return reply(body, status=status_of(error), headers=headers)


def reply(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON reply."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


class FeedbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /api/v1/feedback/{endpoint}``."""

    outcomes: list[Outcome]


class CommandRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /api/v1/commands``."""

    action: str
    parameters: dict[str, Any] = {}


class Api:
    """The handlers.

    Args:
        workspace: What is asked and commanded.
    """

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace = workspace

    @property
    def routes(self) -> list[Route]:
        """Return the addresses below ``/api/v1``."""
        return [
            Route(f"{PREFIX}/health", self.health, methods=["GET"]),
            Route(f"{PREFIX}/status", self.status, methods=["GET"]),
            Route(f"{PREFIX}/events", self.list_events, methods=["GET"]),
            Route(f"{PREFIX}/events", self.post_events, methods=["POST"]),
            Route(f"{PREFIX}/lineage", self.post_lineage, methods=["POST"]),
            Route(PREFIX + "/feedback/{endpoint:path}", self.post_feedback, methods=["POST"]),
            Route(f"{PREFIX}/commands", self.post_command, methods=["POST"]),
            Route(PREFIX + "/commands/{id}", self.get_command, methods=["GET"]),
            Route(f"{PREFIX}/pipelines", self.list_pipelines, methods=["GET"]),
            Route(PREFIX + "/pipelines/{name:path}/level", self.get_level, methods=["GET"]),
            Route(f"{PREFIX}/incidents", self.list_incidents, methods=["GET"]),
            Route(PREFIX + "/incidents/{name:path}", self.get_incident, methods=["GET"]),
            Route(f"{PREFIX}/kpis", self.list_kpis, methods=["GET"]),
            Route(PREFIX + "/kpis/{name}", self.get_kpi, methods=["GET"]),
            Route(f"{PREFIX}/report", self.get_report, methods=["GET"]),
            Route(f"{PREFIX}/processes", self.list_processes, methods=["GET"]),
            Route(PREFIX + "/processes/{name:path}", self.get_process, methods=["GET"]),
            Route(f"{PREFIX}/evaluations", self.list_evaluations, methods=["GET"]),
            Route(PREFIX + "/evaluations/{name:path}", self.get_evaluation, methods=["GET"]),
        ]

    # ---- looking

    def health(self, _request: Request) -> Response:
        """Tell that the server answers and reads its database; the one address that needs no token."""
        last = self._workspace.ledger.last_seq()
        return reply({"status": "ok", "last_seq": last, "is_running": self._workspace.is_running})

    def status(self, _request: Request) -> Response:
        """Tell what waits to be done, and what of that has waited too long."""
        workspace = self._workspace
        is_running = workspace.is_running
        found = workspace.runs.backlog(workspace.config.limits, is_running=is_running)
        return reply({"is_running": is_running, "last_seq": workspace.ledger.last_seq(), "backlog": found})

    def list_events(self, request: Request) -> Response:
        """Return events after a place in the ledger, in order."""
        asked = request.query_params
        after = _whole(asked.get("after", "0"), "after", at_most=2**62)
        limit = _whole(asked.get("limit", "100"), "limit", at_most=PAGE_LIMIT)
        types = [event_type(name).name for name in asked.getlist("type") if name]
        found = list(
            self._workspace.ledger.read(after=after, types=types, pipeline=asked.get("pipeline", ""), limit=limit)
        )
        following = found[-1].seq if found else after
        return reply({"events": [_shown(event) for event in found], "next_after": following})

    def list_pipelines(self, _request: Request) -> Response:
        """Return all pipelines with their level."""
        declared = self._workspace.pipelines()
        standings = Measuring(self._workspace).standings(self._workspace.policy("standard"))
        return reply({"pipelines": [self._pipeline(one, declared.get(one.pipeline, {})) for one in standings]})

    def _pipeline(self, standing: Standing, declared: dict[str, Any]) -> dict[str, Any]:
        live = self._workspace.live(declared["model"]) if declared else None
        return {
            "name": standing.pipeline,
            "level": standing.level,
            "label": standing.label,
            "is_insufficient": standing.is_insufficient,
            "level_name": standing.name,
            "blocking": standing.blocking,
            "owner": declared.get("owner", ""),
            "live_version": live.model_version if live else None,
        }

    def get_level(self, request: Request) -> Response:
        """Return a pipeline's level by a policy, with the evidence."""
        name = request.path_params["name"]
        measuring = Measuring(self._workspace)
        known = sorted(measuring.pipelines())
        if name not in known:
            raise UnknownName(kind="pipeline", name=name, known=", ".join(known[:20]) or "none yet")
        report = measuring.level(name, self._workspace.policy(request.query_params.get("policy", "standard")))
        return reply({"label": report.label, "is_insufficient": report.is_insufficient, **msgspec.to_builtins(report)})

    def list_kpis(self, request: Request) -> Response:
        """Return all KPIs, those that people ask for first at the top."""
        scope = request.query_params.get("for", "")
        return reply({"kpis": self._workspace.kpis(as_of=self._as_of(request), scope=scope)})

    def get_report(self, request: Request) -> Response:
        """Return all figures of the report; nothing is published."""
        asked = request.query_params
        policy = asked.get("policy", "standard")
        return reply(
            reporting.read_report(
                self._workspace, policy=policy, as_of=self._as_of(request), scope=asked.get("for", "")
            )
        )

    def get_kpi(self, request: Request) -> Response:
        """Return a KPI with the events behind it, or what it says of each part along a dimension."""
        kpi = kpi_named(request.path_params["name"])
        asked = request.query_params
        dimension = asked.get("by", "")
        question = self._workspace.ask(as_of=self._as_of(request), scope=asked.get("for", ""))
        if not dimension:
            return reply(read(kpi, question))
        if dimension not in DIMENSIONS:
            remedy = f"Send one of: {', '.join(DIMENSIONS)}."
            raise _invalid(f"kpis/{kpi.name}", "the parameter 'by'", f"is '{dimension[:40]}'", remedy)
        return reply({"name": kpi.name, "by": dimension, "parts": by_dimension(kpi, question, dimension)})

    def _as_of(self, request: Request) -> datetime | None:
        text = request.query_params.get("as_of", "")
        if not text:
            return None
        try:
            return moment_named(text, ZoneInfo(self._workspace.config.project.time_zone))
        except (ValueError, OverflowError) as error:
            remedy = "Send a day such as 2026-03-31, or a moment such as 2026-03-31T18:00:00Z."
            raise _invalid("kpis", "the parameter 'as_of'", f"is '{text[:40]}'", remedy) from error

    def list_incidents(self, request: Request) -> Response:
        """Return all incidents with what each came from, in the order of their onsets."""
        question = self._workspace.ask(as_of=self._as_of(request), scope=request.query_params.get("for", ""))
        return reply({"incidents": [to_values(one) for one in covered(question)]})

    def get_incident(self, request: Request) -> Response:
        """Return one incident with what it came from."""
        question = self._workspace.ask(as_of=self._as_of(request))
        wanted = incident_named(ground_of(question), request.path_params["name"]).name
        return reply(next(to_values(one) for one in attributed(question) if one.incident.name == wanted))

    def list_processes(self, _request: Request) -> Response:
        """Return all process maps of the project in short, and the files that are broken."""
        found = process_pages.read(self._workspace)
        return reply({"processes": [process_pages.line(one) for one in found.assessments], "broken": found.broken})

    def get_process(self, request: Request) -> Response:
        """Return one piece of work: its maps, what the ledger shows, what changes, and the plan."""
        found = process_pages.read(self._workspace)
        name = request.path_params["name"]
        one = found.named(name)
        if one is None:
            raise found.unknown(name)
        return reply(process_pages.to_values(one))

    def list_evaluations(self, _request: Request) -> Response:
        """Return all evaluations of the project in short, also those that are broken."""
        found = evaluation_pages.read(self._workspace)
        return reply({"evaluations": [evaluation_pages.in_short(one) for one in found]})

    def get_evaluation(self, request: Request) -> Response:
        """Return one evaluation: the candidates in numbers, who disagrees and who is missing."""
        found = evaluation_pages.read(self._workspace)
        name = request.path_params["name"]
        one = next((each for each in found if each.name == name), None)
        if one is None:
            raise evaluation_pages.unknown(name, found)
        return reply(evaluation_pages.to_values(one))

    # ---- events

    async def post_events(self, request: Request) -> Response:
        """Take CloudEvents in: 201 for a new one, 200 for one that is here already."""
        body = await read_body(request)
        messages = cloudevents.read_messages(request.headers, body)
        stored = await run_in_threadpool(self._ingest, messages, _credential(request))
        is_new = any(new for _, new in stored)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        entries = [{"is_new": new, **_shown(event)} for event, new in stored]
        is_list = media == cloudevents.BATCH or any(map(foreign.is_cdevent, messages))
        return reply({"events": entries} if is_list else entries[0], status=201 if is_new else 200)

    async def post_lineage(self, request: Request) -> Response:
        """Take an OpenLineage run event in: 201 where something is new, 200 where all of it is here already."""
        body = await read_body(request)
        stored = await run_in_threadpool(self._trace, body, _credential(request))
        entries = [{"is_new": new, **_shown(event)} for event, new in stored]
        return reply({"events": entries}, status=201 if any(new for _, new in stored) else 200)

    def _trace(self, body: bytes, credential: Credential) -> foreign.Taken:
        actor = self._actor(credential)
        events = foreign.read_lineage(self._workspace, body, credential=credential, actor=actor)
        return foreign.deliver(self._workspace, events)

    def _ingest(self, messages: list[cloudevents.Message], credential: Credential) -> list[tuple[Event, bool]]:
        """Check all, then append them in order; where one fails, those before it stay and may be sent again."""
        actor = self._actor(credential)
        found = [self._received(one, credential, actor) for one in messages]
        stored: list[tuple[Event, bool]] = []
        for is_ours, group in groupby(found, key=lambda one: isinstance(one, Received)):
            some = list(group)
            if is_ours:
                for start in range(0, len(some), TOGETHER):
                    stored += self._ingest_some(cast("list[Received]", some[start : start + TOGETHER]))
            else:
                stored += [pair for one in some for pair in foreign.deliver(self._workspace, cast("Foreign", one))]
        return stored

    def _received(self, message: Message, credential: Credential, actor: Actor) -> Received | Foreign:
        if foreign.is_cdevent(message):
            cloudevents.check_attributes(message)
            return foreign.read_cdevent(self._workspace, message, credential=credential, actor=actor)
        return cloudevents.receive(message, credential=credential, actor=actor)

    def _ingest_some(self, received: Sequence[Received]) -> list[tuple[Event, bool]]:
        """Append events that came together in one transaction."""
        events: list[Event] = []
        for one in received:
            events.append(self._in_its_chain(one.event, events))
        bodies = [one.body for one in received]
        stored = self._workspace.ledger.ingest_all(list(zip(events, bodies, strict=True)))
        for (event, _), one in zip(stored, received, strict=True):
            if event.type != one.event.type:
                raise LedgerConflict(source=event.source, event_id=event.id)
        return stored

    def _in_its_chain(self, event: Event, earlier: Sequence[Event]) -> Event:
        """Fill in the correlation of the cause, looked for in the message, then at the sender, then here."""
        if event.correlationid or not event.causationid:
            return event
        ledger, key = self._workspace.ledger, (event.source, event.causationid)
        cause = next((one for one in reversed(earlier) if (one.source, one.id) == key), None)
        cause = cause or ledger.get(event.causationid, source=event.source) or ledger.get(event.causationid)
        return msgspec.structs.replace(event, correlationid=cause.correlationid or cause.id) if cause else event

    # ---- feedback

    async def post_feedback(self, request: Request) -> Response:
        """Take outcomes of predictions in; a rule joins them later."""
        endpoint = request.path_params["endpoint"]
        body = await read_body(request)
        outcomes = _read(body, FeedbackRequest, where=f"feedback/{endpoint}").outcomes
        _check_outcomes(outcomes, endpoint)
        key = request.headers.get("idempotency-key", "") or hashlib.sha256(body).hexdigest()
        return await run_in_threadpool(self._receive, endpoint, outcomes, _key(key), _credential(request))

    def _receive(self, endpoint: str, outcomes: list[Outcome], key: str, credential: Credential) -> Response:
        resources = self._workspace.resources
        known = sorted({str(one["model"]) for one in self._workspace.pipelines().values()})
        if endpoint not in known:
            raise UnknownName(kind="endpoint", name=endpoint, known=", ".join(known) or "none yet")
        identity = derive_id("feedback", endpoint, credential.name, key)
        digest = digest_of(msgspec.to_builtins(outcomes))
        self._refuse_other_body(f"feedback-key/{identity}", digest, key)
        batch = feedback.receive(resources, endpoint, outcomes, sender=self._actor(credential), key=identity)
        with resources.database.write() as transaction:
            registry.put_state(transaction, f"feedback-key/{identity}", digest)
        return reply({"batch": batch.id, "rows": batch.rows, "received_at": batch.received_at}, status=202)

    def _refuse_other_body(self, name: str, digest: str, key: str) -> None:
        with self._workspace.database.read() as connection:
            if registry.state(connection, name, digest) != digest:
                raise IdempotencyKeyReused(key=key)

    # ---- commands

    async def post_command(self, request: Request) -> Response:
        """Take a command in; whoever runs the workspace carries it out."""
        asked = _read(await read_body(request), CommandRequest, where="commands")
        key = request.headers.get("idempotency-key", "")
        if not key:
            remedy = "Send a fresh one for each command, so that it can be repeated without acting twice."
            raise _invalid("commands", "the header Idempotency-Key", "is missing", remedy)
        return await run_in_threadpool(self._command, asked, _key(key), _credential(request))

    def _command(self, asked: CommandRequest, key: str, credential: Credential) -> Response:
        chosen = action(asked.action)
        main = asked.parameters.get(chosen.main)
        if not isinstance(main, str) or not main:
            remedy = f"'{chosen.name}' needs the text parameter '{chosen.main}'."
            raise _invalid("commands", f"parameters.{chosen.main}", "is missing", remedy)
        if asked.parameters.get("bypass") and credential.kind != "person":
            raise NotPermitted(
                what="going past a gate",
                reason="Only a named person may take that responsibility, and this token belongs to none.",
                remedy="Use a token that was issued to a person.",
            )
        pipeline = self._pipeline_of(chosen.main, main)
        issued = self._workspace.command(
            chosen.name,
            asked.parameters,
            subject=main,
            pipeline=pipeline,
            channel="api",
            actor=self._actor(credential),
            key=f"{credential.name}/{key}",
        )
        same = issued.data["action"] == chosen.name and issued.data["args_digest"] == digest_of(asked.parameters)
        if not same:
            raise IdempotencyKeyReused(key=key)
        headers = {"Location": f"commands/{issued.id}"}
        return reply({"id": issued.id, "status": "accepted"}, status=202, headers=headers)

    def _pipeline_of(self, parameter: str, name: str) -> str:
        """Return the pipeline that a command is about.

        Raises:
            UnknownName: There is no such pipeline, version, endpoint or run.
        """
        declared = self._workspace.pipelines()
        database = self._workspace.database
        if parameter == "run":
            return registry.run(database, name).pipeline
        if parameter == "version":
            with database.read() as connection:
                return registry.model_version(connection, name).pipeline
        field = "model" if parameter == "endpoint" else "name"
        found = {str(one[field]): pipeline for pipeline, one in declared.items()}
        if name not in found:
            raise UnknownName(kind=parameter, name=name, known=", ".join(found) or "none yet")
        return found[name]

    def get_command(self, request: Request) -> Response:
        """Return how far a command has come."""
        identity = request.path_params["id"]
        issued = self._workspace.ledger.get(identity)
        if issued is None or issued.type != "command.issued":
            raise UnknownName(kind="command", name=identity, known="those whose id POST /api/v1/commands returned")
        status, result = self._workspace.runs.outcome(f"act:{issued.id}")
        about = {"id": issued.id, "action": issued.data["action"], "parameters": issued.data["arguments"]}
        return reply({**about, **_outcome(status, result)})

    def _actor(self, credential: Credential) -> Actor:
        return credential.actor(credentials.pseudonym(self._workspace.resources, credential.name))


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        BodyTooLarge: It has more bytes than allowed.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_LIMIT_BYTES:
            raise BodyTooLarge(size_bytes=size, limit_bytes=BODY_LIMIT_BYTES)
        parts.append(part)
    return b"".join(parts)


def check_address(path: str, query: bytes) -> None:
    """Refuse an address with the character NUL: no name has it, and PostgreSQL takes no question about it.

    Raises:
        RequestInvalid: It has.
    """
    if "\0" in path or b"\0" in query or b"%00" in query:
        raise _invalid(path.replace("\0", "")[:100], "the address", "holds the character NUL", "Leave it out.")


def _read(body: bytes, kind: Callable[..., T], *, where: str) -> T:
    if _NUL.search(body):
        raise _invalid(where, "the body", "holds the character NUL (\\u0000)", "Leave it out.")
    try:
        found: T = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$.")
        fields = ", ".join(getattr(kind, "__struct_fields__", ()))
        remedy = f"The body is a JSON object with {fields}."
        raise _invalid(where, at.rstrip("`") or "the body", f"is wrong: {problem}", remedy) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(where, "the body", f"is no JSON: {error}", "Send UTF-8 JSON.") from error
    return found


def _invalid(where: str, field: str, problem: str, remedy: str) -> RequestInvalid:
    return RequestInvalid(endpoint=where, field=field, problem=problem, remedy=remedy)


def _check_outcomes(outcomes: list[Outcome], endpoint: str) -> None:
    """Refuse what could not be stored as a table: nothing, one prediction twice, columns of mixed kinds."""
    where = f"feedback/{endpoint}"
    if not outcomes:
        raise _invalid(where, "outcomes", "is empty", "Send at least one.")
    seen: set[str] = set()
    kinds: dict[str, type] = {}
    for number, one in enumerate(outcomes):
        if one.prediction_id in seen:
            field, problem = f"outcomes[{number}].prediction_id", f"'{one.prediction_id}' is there twice"
            raise _invalid(where, field, problem, "Send each prediction once; a later request may correct it.")
        seen.add(one.prediction_id)
        for name, value in one.fields.items():
            if value is None and _FIELD.fullmatch(name):
                continue
            if not _FIELD.fullmatch(name) or not _is_storable(value, kinds.setdefault(name, _kind(value))):
                field = f"outcomes[{number}].fields.{name[:100]}"
                remedy = "A field has a plain name and one kind of value in all outcomes: texts, numbers or booleans."
                raise _invalid(where, field, "cannot be stored", remedy)


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _is_storable(value: Any, kind: type) -> bool:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return False
    return kind in (str, float, bool) and _kind(value) is kind


def _whole(text: str, name: str, *, at_most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > at_most:
        remedy = f"Send a whole number from 0 to {at_most}."
        raise _invalid("events", f"the parameter '{name}'", f"is '{text[:40]}'", remedy)
    return int(text)


def _key(text: str) -> str:
    if len(text) > _KEY_LIMIT or not text.isprintable():
        remedy = f"Send at most {_KEY_LIMIT} printable characters."
        raise _invalid("this address", "the header Idempotency-Key", "is too long or not printable", remedy)
    return text


def _credential(request: Request) -> Credential:
    credential: Credential = request.state.credential
    return credential


def _shown(event: Event) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(event)
    return {**values, "type": wire_name(event.type), "actor_class": event.actor_class}


def _outcome(status: str, result: Any) -> dict[str, Any]:
    if status == "SUCCESS":
        return {"status": "failed" if result["error"] else "done", **result}
    if status in ("ENQUEUED", "PENDING", "DELAYED"):
        return {"status": "running" if status == "PENDING" else "waiting", "event": "", "error": ""}
    if status == "UNKNOWN":
        return {"status": "unknown", "event": "", "error": "its job is not kept any more; look for what it caused"}
    return {"status": "failed", "event": "", "error": str(result)}
