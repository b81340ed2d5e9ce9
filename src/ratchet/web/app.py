"""The web application: pages and interface behind one door.

Invariant: whatever address is asked for, the door is asked first.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ratchet.errors import MethodNotAllowed, RatchetError, UnknownName
from ratchet.web import api
from ratchet.web.auth import LOOPBACK, Guard, Sessions, local_path
from ratchet.web.pages import Pages

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

_METHOD_NOT_ALLOWED = 405


def create_app(workspace: "Workspace", *, hosts: tuple[str, ...] = LOOPBACK) -> Starlette:
    """Return the web application of a workspace.

    Args:
        workspace: What it shows and commands; it is left open.
        hosts: Names under which it may be reached, without ports.
    """
    pages = Pages(workspace)
    sessions = Sessions(workspace)

    @asynccontextmanager
    async def live(_app: Starlette) -> AsyncIterator[None]:
        pages.warm_up()
        yield
        pages.close()

    def refuse(request: Request, error: Exception) -> Response:
        known = _as_ours(request, error)
        return api.refuse(known) if local_path(request.scope).startswith("/api/") else pages.refuse(request, known)

    guard = Middleware(Guard, workspace=workspace, sessions=sessions, pages=pages, hosts=tuple(map(str.lower, hosts)))
    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    app = Starlette(
        routes=[*api.Api(workspace).routes, static, *pages.routes],
        middleware=[guard],
        exception_handlers={RatchetError: refuse, HTTPException: refuse},
        lifespan=live,
    )
    # A redirect would name this server by whatever the request called it.
    app.router.redirect_slashes = False
    app.state.sessions = sessions
    return app


def _as_ours(request: Request, error: Exception) -> RatchetError:
    """Return an error of the routing as one of ours."""
    if isinstance(error, RatchetError):
        return error
    assert isinstance(error, HTTPException), "nothing else is handed here"
    path = local_path(request.scope)
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        return MethodNotAllowed(method=request.method, path=path, allowed=allowed)
    known = "/, /events, /evaluations, /incidents, /kpis, /processes, /report, /pipelines/NAME and /api/v1/..."
    return UnknownName(kind="address", name=path[:200], known=known)
