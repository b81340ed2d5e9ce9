"""A client that asks an application in this process, by the protocol that a server speaks to it."""

import asyncio
from typing import Any

import httpx
from starlette.applications import Starlette

from tests.waiting import until

BASE = "http://localhost:8750"


class Client:
    """Keeps cookies and headers between requests, as a browser does.

    Args:
        app: What is asked.
        cookies: Those it has already.
        root_path: Where the application is mounted.
    """

    def __init__(self, app: Starlette, *, cookies: dict[str, str] | None = None, root_path: str = "") -> None:
        transport = httpx.ASGITransport(app, root_path=root_path)
        self._client = httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies, follow_redirects=False)
        self.headers = self._client.headers

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies that it holds."""
        return dict(self._client.cookies)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for an address."""
        return self._ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send something to an address."""
        return self._ask("POST", path, **options)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            return await self._client.request(method, path, **options)

        return asyncio.run(ask())


def whole(client: Client, path: str, *, status: int = 200) -> httpx.Response:
    """Return a page once nothing on it is being computed any more; its status is then the one expected."""
    replies: list[httpx.Response] = []

    def is_whole() -> bool:
        replies.append(client.get(path))
        return 'http-equiv="refresh"' not in replies[-1].text

    until(is_whole, f"all of {path}")
    assert replies[-1].status_code == status, replies[-1].text
    return replies[-1]
