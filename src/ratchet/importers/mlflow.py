"""MLflow: runs, registered versions and aliases, asked for over the REST interface, page by page.

Invariant: nothing but GET and searches is sent; a page that was read goes into the ledger before the next is asked for;
a credential goes to the server that was named and to no other.

Source: MLflow REST API 2.0 (experiments/search, runs/search, registered-models/search, model-versions/search).
"""

import base64
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from ratchet import clock
from ratchet.importers.readings import Place, Reading, Sections, Witness, initiator_id, read
from ratchet.importers.refusals import SourceUnreachable
from ratchet.importers.tables import kinds
from ratchet.importers.templates import look_up
from ratchet.records import Record, digest_of

SYSTEM = "mlflow"
PAGE_RUNS = 200
TIMEOUT_SECONDS = 60.0
ANSWER_LIMIT_BYTES = 256 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_FAULT = 401, 403, 404, 429, 500
LastAlias = Callable[[str, str], tuple[str, str]]


class Page(Record, frozen=True):
    """What one answer of the server was read as.

    Attributes:
        position: Where the import goes on behind it; ``""`` at the end.
    """

    readings: tuple[Reading, ...]
    position: str


class Server:
    """An MLflow tracking server.

    Args:
        address: Such as ``http://127.0.0.1:5000``; what stands before an ``@`` is a name and a password.

    Raises:
        SourceUnreachable: The address is none that can be asked.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            remedy = "Write it as http://127.0.0.1:5000: the address of a tracking server."
            raise SourceUnreachable(address=address, problem="it is no address of a server", remedy=remedy)
        self.name = (parts.netloc.rpartition("@")[2] + parts.path).rstrip("/")
        self._base = f"{parts.scheme}://{self.name}/api/2.0/mlflow/"
        self._headers = _credentials(parts.username or "", parts.password or "")
        self._opener = build_opener(_NoRedirect())

    @property
    def source(self) -> str:
        """Return the source of its events."""
        return f"{SYSTEM}/{self.name}"

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something.

        Raises:
            SourceUnreachable: There was no answer, or none that means something.
        """
        asked = {name: value for name, value in parameters.items() if value}
        return self._ask(Request(f"{self._base}{path}?{urlencode(asked, doseq=True)}", headers=self._headers))  # noqa: S310, checked

    def search(self, path: str, **body: Any) -> dict[str, Any]:
        """Ask for something with a body.

        Raises:
            SourceUnreachable: There was no answer, or none that means something.
        """
        headers = self._headers | {"Content-Type": "application/json"}
        content = msgspec.json.encode({name: value for name, value in body.items() if value})
        return self._ask(Request(f"{self._base}{path}", data=content, headers=headers))  # noqa: S310, checked

    def _ask(self, request: Request) -> dict[str, Any]:
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                content = answer.read(ANSWER_LIMIT_BYTES)
        except HTTPError as error:
            with error:
                raise self._refused(error.code) from error
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            remedy = "Is the server running, and is this its address? Start it, then import again."
            raise SourceUnreachable(address=self._base, problem=f"no answer ({reason})", remedy=remedy) from error
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            remedy = "Name the address of the MLflow tracking server itself."
            raise SourceUnreachable(address=self._base, problem="its answer is no JSON", remedy=remedy) from error

    def _refused(self, status: int) -> SourceUnreachable:
        remedy = "Name the address of the MLflow tracking server itself."
        if status in (_UNAUTHORISED, _FORBIDDEN):
            remedy = (
                "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to one that is "
                "valid and may read; a token that worked before may have expired."
            )
        elif status == _TOO_MANY or status >= _SERVER_FAULT:
            remedy = "The server's own log says why. Import again when it is well."
        return SourceUnreachable(address=self._base, problem=f"it answered with status {status}", remedy=remedy)


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: it would carry the credential to another server."""

    def redirect_request(  # noqa: PLR0917, urllib asks like this
        self,
        req: Request,  # noqa: ARG002, urllib asks like this
        fp: IO[bytes],  # noqa: ARG002, urllib asks like this
        code: int,  # noqa: ARG002, urllib asks like this
        msg: str,  # noqa: ARG002, urllib asks like this
        headers: HTTPMessage,  # noqa: ARG002, urllib asks like this
        newurl: str,  # noqa: ARG002, urllib asks like this
    ) -> None:
        """Refuse."""
        return


def _credentials(name: str, password: str) -> dict[str, str]:
    """Return the header that MLflow's own client would send."""
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    name = name or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if name and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
    return {"Authorization": f"Bearer {token}"} if token else {}


def pull(
    server: Server, *, sections: Sections, witness: Witness, last_alias: LastAlias, position: str = ""
) -> Iterator[Page]:
    """Yield what the server has, page by page: runs, then versions, then aliases.

    Args:
        server: Whom to ask.
        sections: ``[import.mlflow]``.
        witness: Who tells us.
        last_alias: Source and subject -> the version that an alias had when we last looked, and the id of that event.
        position: Where an earlier import broke off; ``""`` begins at the first run.

    Raises:
        SourceUnreachable: An answer did not come; pages before it were yielded.
        RecordInvalid: A record lacks something, or says something impossible.
    """
    return _Pull(server, sections=sections, witness=witness, last_alias=last_alias).pages(position)


class _Pull:
    """One pull, with what its parts share."""

    def __init__(self, server: Server, *, sections: Sections, witness: Witness, last_alias: LastAlias) -> None:
        self._server = server
        self._sections = sections
        self._witness = witness
        self._last_alias = last_alias
        self._number = 0

    def pages(self, position: str) -> Iterator[Page]:
        step, _, token = position.partition(":")
        if step not in ("runs", "versions", "aliases"):
            step, token = "runs", ""
        if step == "runs":
            yield from self._runs(token)
            step, token = "versions", ""
        if step == "versions":
            yield from self._versions(token)
        yield Page(readings=tuple(self._aliases()), position="")

    def _runs(self, token: str) -> Iterator[Page]:
        names = {one["experiment_id"]: one["name"] for one in self._all_experiments()}
        while names:
            answer = self._server.search(
                "runs/search",
                experiment_ids=sorted(names),
                run_view_type="ALL",
                max_results=PAGE_RUNS,
                order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
                page_token=token,
            )
            records = [self._run(one, names) for one in answer.get("runs") or []]
            token = str(answer.get("next_page_token") or "")
            yield Page(
                readings=tuple(self._read("run", one) for one in records),
                position=f"runs:{token}" if token else "versions:",
            )
            if not token:
                return

    def _all_experiments(self) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            answer = self._server.search(
                "experiments/search", max_results=1000, view_type="ACTIVE_ONLY", page_token=token
            )
            yield from answer.get("experiments") or []
            token = str(answer.get("next_page_token") or "")
            if not token:
                return

    def _run(self, found: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
        tags = _table(look_up(found, "data.tags"))
        parent = tags.get("mlflow.parentRunId")
        return {
            "server": self._server.name,
            "run_id": look_up(found, "info.run_id"),
            "experiment": names.get(str(look_up(found, "info.experiment_id"))),
            "status": look_up(found, "info.status"),
            "start_time": _moment(look_up(found, "info.start_time")),
            "end_time": _moment(look_up(found, "info.end_time")),
            "user": look_up(found, "info.user_id") or tags.get("mlflow.user"),
            "tags": tags,
            "params_digest": digest_of(_table(look_up(found, "data.params"))),
            "inputs": [
                f"{look_up(one, 'dataset.name')}@{look_up(one, 'dataset.digest')}"
                for one in look_up(found, "inputs.dataset_inputs") or []
            ]
            or None,
            "whole": initiator_id(self._server.source, f"run/{parent}") if parent else None,
        }

    def _versions(self, token: str) -> Iterator[Page]:
        while True:
            answer = self._server.get(
                "model-versions/search",
                max_results=PAGE_RUNS,
                order_by=["creation_timestamp ASC", "version_number ASC"],
                page_token=token,
            )
            records = [self._version(one) for one in answer.get("model_versions") or []]
            token = str(answer.get("next_page_token") or "")
            readings = [self._read(kind, one) for one in records for kind in ("version", "validation")]
            yield Page(
                readings=tuple(one for one in readings if one.is_mapped or one.kind == "version"),
                position=f"versions:{token}" if token else "aliases:",
            )
            if not token:
                return

    def _version(self, found: dict[str, Any]) -> dict[str, Any]:
        run = found.get("run_id")
        return found | {
            "server": self._server.name,
            "version": str(found.get("version") or ""),
            "creation_timestamp": _moment(found.get("creation_timestamp")),
            "last_updated_timestamp": _moment(found.get("last_updated_timestamp")),
            "tags": _table(found.get("tags")),
            "run_start": initiator_id(self._server.source, f"run/{run}") if run else None,
        }

    def _aliases(self) -> Iterator[Reading]:
        """Yield what each alias, and each of the older stages, says now, where that is not what it said before."""
        token = ""
        while True:
            answer = self._server.get("registered-models/search", max_results=PAGE_RUNS, page_token=token)
            for model in answer.get("registered_models") or []:
                said = [(str(one.get("alias")), str(one.get("version"))) for one in model.get("aliases") or []]
                latest = model.get("latest_versions") or []
                said += [
                    (str(one["current_stage"]), str(one.get("version")))
                    for one in latest
                    if one.get("current_stage") not in (None, "", "None", "Archived")
                ]
                for alias, version in said:
                    yield from self._alias(str(model.get("name") or ""), alias, version)
            token = str(answer.get("next_page_token") or "")
            if not token:
                return

    def _alias(self, name: str, alias: str, version: str) -> list[Reading]:
        before, event = self._last_alias(self._server.source, f"{name}@{alias}")
        if before == f"{name}/{version}":
            return []
        record = {
            "server": self._server.name,
            "name": name,
            "alias": alias,
            "version": version,
            "previous": before,
            "after": event or "first",
            "seen_at": clock.now().isoformat(),
        }
        moved = self._read("alias", record)
        release = self._read("release", record | {"alias_event": moved.events[0].id})
        return [moved, release] if release.is_mapped else [moved]

    def _read(self, kind: str, record: dict[str, Any]) -> Reading:
        self._number += 1
        place = Place(file=self._server.source, number=self._number)
        return read(kinds(SYSTEM), kind, record, place=place, sections=self._sections, witness=self._witness)


def _table(pairs: Any) -> dict[str, Any]:
    return {str(one.get("key")): one.get("value") for one in pairs or [] if isinstance(one, dict)}


def _moment(milliseconds: Any) -> str | None:
    """Return a moment in ISO form; what is no number of milliseconds stays what it is, to be refused with its field."""
    if milliseconds in (None, "", 0, "0"):
        return None
    try:
        return (_EPOCH + timedelta(milliseconds=int(milliseconds))).isoformat()
    except (ValueError, OverflowError, TypeError):
        return str(milliseconds)
