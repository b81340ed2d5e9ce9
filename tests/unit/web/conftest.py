"""A real workspace with a year behind it, and clients that come through the door."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette

from ratchet.loop import credentials
from ratchet.loop.credentials import Credential, Kind
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from ratchet.workspace import Workspace
from tests.unit.web.clients import BASE, Client
from tests.unit.web.sites import fill, workspace_in, year


@dataclass
class Site:
    """A workspace and its web application."""

    workspace: Workspace
    app: Starlette
    tokens: dict[str, str]

    def stranger(self) -> Client:
        """Return a client that has shown nothing."""
        return Client(self.app)

    def browser(self) -> Client:
        """Return a client that has opened a login link."""
        client = self.stranger()
        reply = client.get(login_link(self.app, BASE))
        assert reply.status_code == 200
        return client

    def caller(self, kind: Kind = "person") -> Client:
        """Return a client with a token."""
        client = self.stranger()
        client.headers["Authorization"] = f"Bearer {self.tokens[kind]}"
        return client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace with a year of events, its application running."""
    with workspace_in(tmp_path_factory.mktemp("site")) as workspace:
        fill(workspace, year())
        yield Site(workspace, create_app(workspace), _issue(workspace))


def _issue(workspace: Workspace) -> dict[str, str]:
    kinds: tuple[Kind, ...] = ("person", "system", "undeclared")
    tokens: dict[str, str] = {}
    for kind in kinds:
        credential = Credential(name=f"the-{kind}", kind=kind, system="towers" if kind == "system" else "")
        with workspace.by_command("issue_token", {"name": credential.name}, subject=credential.name):
            tokens[kind] = credentials.issue(workspace.resources, credential)
    return tokens
