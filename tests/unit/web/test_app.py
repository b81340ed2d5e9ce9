"""The application as a whole: which names it answers to, and how it says no."""

import asyncio

from ratchet.web.app import create_app
from tests.unit.web.clients import Client
from tests.unit.web.conftest import Site


def test_a_public_name_can_be_given(site: Site) -> None:
    """Behind a proxy the server answers to the name that it was told, and to no other."""
    client = Client(create_app(site.workspace, hosts=("Ratchet.Example.org",)))
    assert client.get("/api/v1/health", headers={"Host": "ratchet.example.org"}).status_code == 200
    assert client.get("/api/v1/health").status_code == 421


def test_no_redirect_names_the_server(site: Site) -> None:
    """An address with a slash too many is not there, rather than somewhere else."""
    assert site.browser().get("/events/").status_code == 404


def test_a_page_refuses_a_wrong_method(site: Site) -> None:
    """Pages are looked at; the refusal is a page, too."""
    reply = site.browser().post("/events")
    assert (reply.status_code, "does not take POST" in reply.text) == (405, True)


def test_styles_are_there_for_everybody(site: Site) -> None:
    """The sign-in page has its style, and nothing else lies beside it."""
    assert site.stranger().get("/static/ratchet.css").status_code == 200
    assert site.stranger().get("/static/../app.py").status_code in (401, 404)
    assert site.stranger().get("/static/%2e%2e/app.py").status_code == 404


def test_the_application_starts(site: Site) -> None:
    """What is done before the first request, such as reading all templates, goes through."""
    app = create_app(site.workspace)

    async def start_and_stop() -> list[str]:
        async with app.router.lifespan_context(app):
            return ["started"]

    assert asyncio.run(start_and_stop()) == ["started"]
