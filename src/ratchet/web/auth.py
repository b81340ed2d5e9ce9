"""The door: who may see pages, who may call the interface, and under which name this server may be reached.

Invariant: closed by default. But for the style sheet, the sign-in page and the sign of life, nothing is answered
without a session or a token; and nothing at all to a host name that is not ours (DNS rebinding).
"""

import hashlib
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratchet import clock
from ratchet.errors import CredentialRefused, RatchetError
from ratchet.loop import credentials
from ratchet.loop.credentials import Credential
from ratchet.records import digest_of
from ratchet.web import api
from ratchet.web.refusals import HostRefused, LinkSpent

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.responses import Response

    from ratchet.web.pages import Pages
    from ratchet.workspace import Workspace

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
SESSION_SECONDS = 12 * 3600.0
SESSIONS_LIMIT = 1000
_OPEN = ("/login", "/api/v1/health")
_POLICY = (
    "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Sessions:
    """Login links and sessions, in this process's memory only: a restart ends them all.

    Args:
        workspace: Names the cookie, since browsers do not keep ports apart.
    """

    def __init__(self, workspace: "Workspace") -> None:
        self.cookie = f"ratchet_{digest_of(str(workspace.folder))[:8]}"
        self._links: set[str] = set()
        self._until: dict[str, float] = {}

    def new_link_token(self) -> str:
        """Return a token that opens one session."""
        token = clock.new_secret()
        self._links.add(_hash(token))
        return token

    def open_by_link(self, token: str) -> str:
        """Return the secret of a new session.

        Raises:
            LinkSpent: The token is not one of ours, or was used before.
        """
        try:
            self._links.remove(_hash(token))
        except KeyError:
            raise LinkSpent from None
        return self.open()

    def open(self) -> str:
        """Return the secret of a new session, for somebody who has shown a token."""
        secret = clock.new_secret()
        now = clock.monotonic()
        alive = sorted((until, key) for key, until in self._until.items() if until > now)
        self._until = {key: until for until, key in alive[-SESSIONS_LIMIT + 1 :]}
        self._until[_hash(secret)] = now + SESSION_SECONDS
        return secret

    def close(self, secret: str) -> None:
        """End a session."""
        self._until.pop(_hash(secret), None)

    def is_open(self, secret: str) -> bool:
        """Tell whether a secret is that of a session."""
        return self._until.get(_hash(secret), 0.0) > clock.monotonic()


def login_link(app: "Starlette", base_url: str) -> str:
    """Return an address that signs in whoever opens it first.

    Args:
        app: What ``create_app`` gave.
        base_url: Where it is reached, such as ``http://127.0.0.1:8080``; with a path where it is below one.
    """
    sessions: Sessions = app.state.sessions
    return f"{base_url.rstrip('/')}/?login={sessions.new_link_token()}"


def session_cookie(request: Request) -> str:
    """Return the secret that a request's cookie holds, or nothing."""
    return request.cookies.get(request.app.state.sessions.cookie, "")


def set_session(request: Request, response: "Response", secret: str) -> None:
    """Let a browser keep a session; an empty secret takes it away."""
    response.set_cookie(
        request.app.state.sessions.cookie,
        secret,
        max_age=int(SESSION_SECONDS) if secret else 0,
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


class Guard:
    """Lets a request through, or answers it itself.

    Args:
        app: What lies behind the door.
        workspace: Knows the tokens.
        sessions: Knows the sessions.
        pages: Draws the refusals that a person sees.
        hosts: Names under which this server may be reached.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        workspace: "Workspace",
        sessions: Sessions,
        pages: "Pages",
        hosts: tuple[str, ...],
    ) -> None:
        self._app = app
        self._workspace = workspace
        self._sessions = sessions
        self._pages = pages
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check host and caller, then pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = local_path(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), path)
            await send(message)

        try:
            self._check_host(headers)
            api.check_address(path, scope["query_string"])
            await self._check_caller(scope, headers, path)
        except RatchetError as error:
            request = Request(scope)
            is_api = path.startswith("/api/")
            response = api.refuse(error) if is_api else self._pages.refuse(request, error)
            await response(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts:
            raise HostRefused(host=host[:100], known=", ".join(self._hosts))

    async def _check_caller(self, scope: Scope, headers: Headers, path: str) -> None:
        if path in _OPEN or path.startswith("/static/"):
            return
        # The page behind "/" asks the same parser for the same name, so that nothing else slips through.
        if path == "/" and "login" in QueryParams(scope["query_string"]):
            return
        if path.startswith("/api/"):
            scope.setdefault("state", {})["credential"] = await run_in_threadpool(self._credential, headers)
            return
        if not self._sessions.is_open(Request(scope).cookies.get(self._sessions.cookie, "")):
            raise CredentialRefused(reason="this page needs a login")

    def _credential(self, headers: Headers) -> Credential:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise CredentialRefused(reason="a token is needed, as the header 'Authorization: Bearer TOKEN'")
        return credentials.check(self._workspace.database, token.strip())


def local_path(scope: Scope) -> str:
    """Return the path below where the application is mounted."""
    path: str = scope["path"]
    root = str(scope.get("app_root_path", scope.get("root_path", "")))
    return path.removeprefix(root.rstrip("/")) or "/"


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    # A page that holds its own style names it; nothing else may loosen the policy.
    own = headers.get("X-Own-Style", "")
    headers["Content-Security-Policy"] = f"{_POLICY}; style-src 'self' '{own}'" if own else _POLICY
    if own:
        del headers["X-Own-Style"]
    if not path.startswith("/static/"):
        headers["Cache-Control"] = "no-store"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
