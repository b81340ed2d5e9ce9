"""The door: closed by default, one link one session, and no name but ours."""

import pytest

from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from tests.unit.web.clients import BASE, Client
from tests.unit.web.conftest import Site

PAGES = ["/", "/?xlogin=1", "/events", "/events/E00001", "/pipelines/flight-delay", "/nothing"]
CALLS = ["/api/v1/events", "/api/v1/pipelines", "/api/v1/pipelines/flight-delay/level", "/api/v1/commands/x", "/api/x"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_a_login(site: Site, path: str) -> None:
    """Without a session every page is the sign-in page, and shows nothing else."""
    reply = site.stranger().get(path)
    assert reply.status_code == 401
    assert "Sign in" in reply.text
    assert "flight-delay" not in reply.text


@pytest.mark.parametrize("path", CALLS)
def test_the_interface_needs_a_token(site: Site, path: str) -> None:
    """Neither nothing nor a browser's session opens the interface."""
    for client in (site.stranger(), site.browser()):
        reply = client.get(path)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "token" in reply.json()["error"]


def test_a_wrong_token_opens_nothing(site: Site) -> None:
    """An unknown token is refused, as is a known one under another scheme."""
    for header in ("Bearer wrong", "Bearer ", f"Basic {site.tokens['person']}"):
        assert site.stranger().get("/api/v1/events", headers={"Authorization": header}).status_code == 401


def test_the_sign_of_life_is_open(site: Site) -> None:
    """Health needs no token, for those who watch the process."""
    assert site.stranger().get("/api/v1/health").json()["status"] == "ok"


def test_a_link_works_once(site: Site) -> None:
    """The first to open a link gets a session, the next one the sign-in page."""
    link = login_link(site.app, BASE)
    first, second = site.stranger(), site.stranger()
    assert first.get(link).status_code == 200
    assert first.get("/events").status_code == 200
    reply = second.get(link)
    assert reply.status_code == 401
    assert "was used already" in reply.text
    assert second.get("/events").status_code == 401


def test_the_cookie_is_out_of_reach(site: Site) -> None:
    """Scripts cannot read it, other sites cannot send it, and the link does not stay in the address bar."""
    reply = site.stranger().get(login_link(site.app, BASE))
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert 'http-equiv="refresh" content="0; url=./"' in reply.text


def test_sessions_end_with_the_process(site: Site) -> None:
    """A cookie of one process opens nothing in another one."""
    browser = site.browser()
    other = Client(create_app(site.workspace), cookies=dict(browser.cookies))
    assert other.get("/events").status_code == 401


def test_signing_out_ends_the_session(site: Site) -> None:
    """After signing out, the old cookie is worth nothing."""
    browser = site.browser()
    cookies = dict(browser.cookies)
    assert browser.post("/logout").status_code == 303
    assert Client(site.app, cookies=cookies).get("/").status_code == 401


def test_a_token_signs_in(site: Site) -> None:
    """A valid token opens a session by the form, a wrong one is told so."""
    client = site.stranger()
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    assert "the token is unknown" in client.post("/login", data={"token": "wrong"}).text
    assert client.post("/login", data={"token": site.tokens["person"]}).status_code == 303
    assert client.get("/events").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example.org", "evil.example.org:8750", "", "localhost.evil.org", "127.0.0.1.nip.io"]
)
def test_other_names_are_refused(site: Site, host: str) -> None:
    """A name that somebody else points at this machine is refused whatever it asks for."""
    for path in ("/", "/api/v1/health", "/static/ratchet.css"):
        reply = site.caller().get(path, headers={"Host": host})
        assert reply.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8750", "[::1]:8750", "[::1]"])
def test_our_names_are_taken(site: Site, host: str) -> None:
    """The loopback names are taken with any port."""
    assert site.stranger().get("/api/v1/health", headers={"Host": host}).status_code == 200


def test_every_reply_is_closed_to_the_outside(site: Site) -> None:
    """Each reply, refusals included, forbids everything from elsewhere and all scripts."""
    for client, path in ((site.stranger(), "/"), (site.browser(), "/"), (site.stranger(), "/api/v1/events")):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; script-src 'none'")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
