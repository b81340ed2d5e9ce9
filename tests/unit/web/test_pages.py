"""Pages: what they say, where they lead, and that they hold under any address."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from msgspec.structs import replace

import ratchet.web
from ratchet.records import Event
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from tests.unit.web.clients import BASE, Client, whole
from tests.unit.web.conftest import Site

WEB = Path(ratchet.web.__path__[0])


def _page(client: Client, path: str) -> str:
    """Return a page once nothing on it is being computed any more."""
    return whole(client, path).text


def _words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def _links(page: str) -> list[str]:
    return [link.replace("&amp;", "&") for link in re.findall(r'(?:href|src|action)="([^"]*)"', page)]


def test_the_overview_tells_what_matters(site: Site) -> None:
    """Level with its name, stages with k of n, what serves, and the numbers behind."""
    words = _words(_page(site.browser(), "/"))
    assert "4 Own automation" in words
    assert "20/20" in words
    assert "flight-delay@v" in words
    assert "Human actions per month" in words
    assert "No outcomes have come back yet" in words


def test_the_overview_tells_what_waits_and_what_waits_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line under the title; nothing where nothing waits."""
    workspace = site.workspace
    assert "To be done" not in _words(_page(site.browser(), "/"))
    with workspace.database.write() as transaction:
        workspace.runs.enqueue(transaction, "dispatch", "dispatch:waits", {})
    try:
        calm = _words(_page(site.browser(), "/"))
        limits = replace(workspace.config.limits, reaction_wait_seconds=-1.0)
        monkeypatch.setattr(workspace, "config", replace(workspace.config, limits=limits))
        late = _words(_page(site.browser(), "/"))
    finally:
        workspace.runs.cancel("dispatch:waits")
    assert "To be done: 1 dispatch waits, the oldest for" in calm
    assert "is long" not in calm
    assert "1 dispatch waits, dispatch:waits for" in late
    assert "Nothing runs; start it: ratchet up" in late


def test_numbers_lead_to_their_events(site: Site) -> None:
    """Predictions, human actions and alerts link to the events that they were counted from."""
    links = _links(_page(site.browser(), "/"))
    for type_ in ("usage.recorded", "command.issued", "traffic.shifted", "run.finished", "gate.evaluated"):
        assert f"events?type={type_}&pipeline=flight-delay" in links


@pytest.mark.parametrize("path", ["/", "/events", "/pipelines/flight-delay", "/events/flight-delay-E00002"])
@pytest.mark.parametrize("prefix", ["", "/tools/ratchet"])
def test_every_link_of_a_page_is_there(site: Site, path: str, prefix: str) -> None:
    """Followed as a browser would, also behind a sub-path, no link of a page is broken and none leaves it."""
    client = Client(site.app, root_path=prefix)
    client.get(f"{prefix}/{login_link(site.app, '')[1:]}")
    links = set(_links(_page(client, prefix + path))) - {""}
    assert links
    for link in sorted(links)[:40]:
        assert not re.match(r"[a-z]+:|//|/", link), f"{link} is not relative"
        target = urljoin(f"{BASE}{prefix}{path}", link).removeprefix(BASE)
        assert target.startswith(f"{prefix}/")
        if not target.endswith(("/logout", "/login")):
            assert client.get(target).status_code == 200, target


def test_a_month_without_evidence_is_no_zero(site: Site) -> None:
    """The first month, with three hand-started trainings or fewer, is told as it is."""
    page = _page(site.browser(), "/")
    table = page[page.index('id="levels"') :]
    first = _words(table[table.index("<tbody>") : table.index("</tr>", table.index("<tbody>"))])
    assert "Jan 2025" in first
    assert "0 Not automated" in first or "too little evidence" in first


def test_an_event_tells_why(site: Site) -> None:
    """From a shift of traffic up to the schedule that began it, and down to what it led to."""
    shift = next(site.workspace.ledger.read(types=["traffic.shifted"], newest_first=True, limit=1))
    words = _words(_page(site.browser(), f"/events/{shift.id}"))
    assert "because The rule &#39;deploy on pass&#39; fired" in words
    assert "It began with automation: The schedule of &#39;retrain weekly&#39; came due" in words
    assert "predictions of live for tower-0" in words
    first = next(site.workspace.ledger.read(types=["traffic.shifted"], limit=1))
    assert "It began with a person" in _words(_page(site.browser(), f"/events/{first.id}"))


def test_a_broken_chain_says_so(site: Site) -> None:
    """An event whose cause is not in the ledger shows where the chain ends."""
    dangling = Event(type="run.queued", subject="r", id="dangling", causationid="nowhere", authtype="system")
    site.workspace.ledger.record(dangling)
    assert "The chain breaks here" in _page(site.browser(), "/events/dangling")


def test_what_others_send_stays_text(site: Site) -> None:
    """A subject, a pipeline and a payload with markup are shown, not obeyed."""
    nasty = "<img src=x onerror=alert(1)>"
    site.workspace.ledger.record(
        Event(
            type="custom.emitted",
            subject=nasty,
            id="na/sty",
            source="https://x.org/?a=1",
            data={"name": nasty},
            pipeline=nasty,
        )
    )
    browser = site.browser()
    for path in ("/", "/events", "/events/na%2Fsty?source=https%3A%2F%2Fx.org%2F%3Fa%3D1"):
        page = _page(browser, path)
        assert "<img" not in page
        assert "&lt;img" in page
    assert browser.get("/pipelines/%3Cimg%20src=x%20onerror=alert(1)%3E").status_code == 200


def test_pages_of_events_fit_together(site: Site) -> None:
    """Going on to older ones shows each event once, the newest first, down to the first."""
    browser = site.browser()
    seen: list[int] = []
    path = "/events?pipeline=flight-delay&type=gate.evaluated&type=run.finished"
    while path:
        page = _page(browser, path)
        found = re.findall(r'class="event" href="\./events/flight-delay-E(\d+)"', page)
        seen += [int(number) for number in found]
        older = re.search(r'href="(events\?[^"]*)" rel="next"', page)
        path = f"/{older[1].replace('&amp;', '&')}" if older else ""
    wanted = site.workspace.ledger.read(types=["gate.evaluated", "run.finished"], pipeline="flight-delay")
    assert seen == [int(event.id.removeprefix("flight-delay-E")) for event in wanted][::-1]
    assert len(seen) > 100


def test_a_pipeline_explains_its_level(site: Site) -> None:
    """Each criterion with its verdict and sentence, by the policy asked for."""
    words = _words(_page(site.browser(), "/pipelines/flight-delay?policy=strict"))
    assert "Level 3: Operations automated" in words
    assert "Level 4 (" in words
    assert "is not reached" in words
    assert "20 of the last 20 trainings were started by automation (100%); 80% is asked for." in words


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/events/none", 404, "No event named"),
        ("/nothing", 404, "No address named"),
        ("/pipelines/none", 404, "No pipeline named"),
        ("/events?type=gate.evaluate", 400, "Did you mean"),
        ("/events?before=x", 400, "whole number"),
        ("/events?before=99999999999999999999", 400, "whole number"),
        ("/?policy=none", 404, "No level policy named"),
        ("/?from=-1", 400, "whole number"),
    ],
)
def test_bad_addresses_are_told_so(site: Site, path: str, status: int, words: str) -> None:
    """A wrong address gives a page that says what is wrong and leads back."""
    reply = whole(site.browser(), path, status=status)
    assert words in reply.text
    assert "Go to the overview" in reply.text


def test_a_ledger_that_is_still_read_shows_so(site: Site) -> None:
    """Without the measure the first page appears all the same, says so, and comes again by itself."""
    app = create_app(site.workspace)
    client = Client(app)
    client.get(login_link(app, BASE))
    reply = client.get("/")
    assert reply.status_code == 200
    assert "Latest events" in reply.text


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No template, style or drawing names another site, and none holds a script or a style attribute."""
    for path in [*WEB.glob("templates/*"), *WEB.glob("static/*")]:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        if path.name == "report.html":
            # One file that is sent on: its style lies inside and its figures are data; test_report.py looks closer.
            text = text.replace("<style>{{ style }}</style>", "").replace('<script type="application/json" ', "")
        assert not re.search(r"https?:|//[a-z]|@import|url\(", text), path
        assert not re.search(r"<script|<style| style=| on[a-z]+=", text), path
