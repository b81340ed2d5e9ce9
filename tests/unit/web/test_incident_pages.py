"""Incidents on pages and in the interface, from a ledger with some."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from ratchet.catalogue import EVENT_TYPES
from ratchet.loop import credentials
from ratchet.loop.credentials import Credential
from ratchet.measure.kpis.failures import attributed, errors_by_month
from ratchet.records import Event
from ratchet.web import incident_pages
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from ratchet.workspace import Workspace
from tests.ledgers import LedgerBuilder
from tests.unit.measure.incidents.stories import configure, detect, restore, settled
from tests.unit.web.clients import BASE, Client, whole
from tests.unit.web.sites import fill, workspace_in


def story() -> LedgerBuilder:
    """Tell of three incidents: by a setting that was put back, by one of two settings, and an open one by nothing."""
    ledger = settled()
    ledger.events.insert(0, ledger.command("sync"))
    ledger.events.pop()
    configure(ledger, "a", "b")
    found = detect(ledger, name="INC-1", title="<b>slow</b>")
    restore(ledger, found, remedy=configure(ledger, "b", "a"))
    ledger.wait(days=3)
    configure(ledger, "a", "b", by_rule=True)
    configure(ledger, "b", "c", by_rule=True)
    found = detect(ledger, name="INC-2")
    restore(ledger, found)
    body = {"incident": "INC-2", "cause": "", "verdict": "not change-induced", "reference": "review-1"}
    ledger.add("incident.attributed", "INC-2", body, cause=found)
    detect(ledger.wait(days=9), name="INC-3/a b")
    return ledger


def told(event: Event, *, root: str) -> Event:
    """Return an event as it is before it is appended; what has no cause and is no root gets one."""
    is_root = EVENT_TYPES[event.type].is_root
    return replace(event, seq=0, recordedtime=None, causationid=event.causationid or ("" if is_root else root))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with that story."""
    ledger = story()
    with workspace_in(tmp_path_factory.mktemp("incidents"), start=ledger.events[0].at) as opened:
        fill(opened, [told(event, root=ledger.events[0].id) for event in ledger.events])
        yield opened


@pytest.fixture(scope="module")
def browser(workspace: Workspace) -> Client:
    """A client that is signed in."""
    app = create_app(workspace)
    client = Client(app)
    client.get(login_link(app, BASE))
    return client


def page(browser: Client, path: str) -> str:
    """Return a page once its numbers are there."""
    return whole(browser, path).text


def test_list_has_all_incidents_with_what_they_came_from(browser: Client) -> None:
    """The newest first, each a link; what people say is marked where it differs."""
    text = page(browser, "/incidents")
    places = [text.index(name) for name in (">INC-3/a b<", ">INC-2<", ">INC-1<")]
    assert places == sorted(places)
    assert 'href="incidents/INC-3%2Fa%20b"' in text
    assert "&lt;b&gt;slow&lt;/b&gt;" in text
    assert all(word in text for word in ("proven", "ambiguous", "not change-induced", "slip", "another"))
    assert "Errors made by people per month" in text
    assert "Lagging" in text


def test_page_of_one_leads_to_its_events(browser: Client, workspace: Workspace) -> None:
    """Cause, remedy and steps are links, and the drawing has a mark for each."""
    text = page(browser, "/incidents/INC-1")
    (setting, remedy, *_) = [event.id for event in workspace.ledger.read(types=["config.changed"])]
    assert f'href="../events/{setting}"' in text
    assert f'href="../events/{remedy}"' in text
    assert "the cause" in text
    assert "the restoring action" in text
    assert 'class="chart timeline"' in text
    assert "One change is proven to be the cause, and a person&#39;s act was at fault (slip)" in text


def test_pages_of_disputed_and_open_ones(browser: Client) -> None:
    """Both values stand; a name may have any letters."""
    disputed = page(browser, "/incidents/INC-2")
    assert "People name another cause than was computed" in disputed
    assert "0.50" in disputed
    opened = page(browser, "/incidents/INC-3%2Fa%20b")
    assert "is out of bounds" in opened
    assert "out of bounds, still" in opened


def test_unknown_incident_is_refused(browser: Client) -> None:
    """The page says which there are."""
    page(browser, "/incidents")
    reply = browser.get("/incidents/INC-9")
    assert reply.status_code == 404
    assert "INC-1" in reply.text


def test_interface_has_the_same_values(workspace: Workspace) -> None:
    """All of them, those of a pipeline, one, and a refusal."""
    client = Client(create_app(workspace))
    with workspace.by_command("issue_token", {}, subject="the-person"):
        token = credentials.issue(workspace.resources, Credential(name="the-person", kind="person"))
    client.headers["Authorization"] = f"Bearer {token}"
    all_of_them = client.get("/api/v1/incidents").json()["incidents"]
    assert [one["incident"] for one in all_of_them] == ["INC-1", "INC-2", "INC-3/a b"]
    assert client.get("/api/v1/incidents/INC-1").json() == all_of_them[0]
    assert client.get("/api/v1/incidents/INC-3%2Fa%20b").json() == all_of_them[2]
    early = client.get("/api/v1/incidents", params={"as_of": "2026-01-09"}).json()["incidents"]
    assert [one["incident"] for one in early] == ["INC-1"]
    assert client.get("/api/v1/incidents", params={"for": "flight-delay"}).json()["incidents"] == all_of_them
    assert client.get("/api/v1/incidents/INC-9").status_code == 404
    assert Client(create_app(workspace)).get("/api/v1/incidents").status_code == 401


def test_figure_and_counts(workspace: Workspace) -> None:
    """Months and their numbers as a table, too; nothing yet is said in words."""
    question = workspace.ask()
    figure = incident_pages.errors_by_month(errors_by_month(question))
    assert figure.rows[0][1:3] == ("1", "2")
    assert incident_pages.errors_by_month([]).drawing == ""
    found = attributed(question)
    assert dict(incident_pages.counts(found)) == {
        "open": 1,
        "in all": 3,
        "from a change that is known": 1,
        "a person's act at fault": 1,
    }
    lines = incident_pages.moments(found[1], workspace.ledger.find)
    assert [line.part for line in lines[:2]] == ["one of 2 possible causes"] * 2
