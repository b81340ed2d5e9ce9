"""What pages show of KPIs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette

from ratchet import clock
from ratchet.config import KpiSection
from ratchet.measure.kpis.questions import Scope
from ratchet.measure.kpis.readings import TEN, Point, Reading, read_all
from ratchet.measure.kpis.settings import Settings
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from ratchet.web.kpi_pages import cards, details, lines, over_time, written
from ratchet.workspace import Workspace
from tests.kpis import asked, write_golden_year
from tests.ledgers import LedgerBuilder
from tests.unit.web.clients import BASE, Client, whole


def reading(value: float | None, **changes: Any) -> Reading:
    """Return what a KPI says."""
    fields: dict[str, Any] = {
        "name": "reuse_rate",
        "title": "Reuse",
        "sentence": "It says <something>.",
        "unit": "share",
        "direction": "up",
        "timing": "leading",
        "nature": "leverage",
        "owner": "growth",
        "target": 0.5,
        "is_met": None if value is None else value >= 0.5,
        "lines": (),
        "status": "no evidence" if value is None else "ok",
        "value": value,
        "values": {"share": value},
        "by": {"kinds": {"extractor": 0.25}},
        "events": ("E1", "E2"),
        "scope": Scope(),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "seq": 1,
        "digest": "d",
    }
    return Reading(**fields | changes)


def test_cards_are_the_ten_and_lead_to_their_events() -> None:
    """In the order in which people ask; without evidence they say so; a target has its mark."""
    settings = Settings(kpi={"models_in_production": KpiSection(target=1.0)})
    ledger = LedgerBuilder()
    ledger.deploy(ledger.command(), ledger.train(ledger.command()))
    found = cards(read_all(asked(ledger, settings=settings)))
    assert [card.title for card in found] == [named.title for named in TEN]
    by_title = {card.title: card for card in found}
    assert (by_title["Models in production"].text, by_title["Models in production"].mark) == ("1 model", "met")
    assert (by_title["Reuse"].text, by_title["Reuse"].is_known) == ("no evidence", False)
    assert by_title["Reuse"].link == "kpis/reuse_rate#events"


def test_lines_say_whether_a_target_is_met() -> None:
    """Met, not met, and nothing to hold against it, each with its own mark."""
    found = lines([reading(0.6), reading(0.4), reading(None), reading(0.4, target=None)])
    assert [line.mark for line in found] == ["met", "not met", "insufficient", ""]
    assert [line.text for line in found] == ["60 %", "40 %", "no evidence", "40 %"]


def test_a_month_without_evidence_is_a_gap() -> None:
    """The line is broken there, and the table says so; a target is drawn beside it; text is escaped."""
    points = [
        Point(month=f"2026-0{n}", reading=reading(value, target=None)) for n, value in ((1, 0.25), (2, None), (3, 0.75))
    ]
    figure = over_time(points)
    assert [row[1] for row in figure.rows] == ["25 %", "no evidence", "75 %"]
    assert str(figure.drawing).count('class="line s1"') == str(over_time(points[::2]).drawing).count('class="line') + 1
    assert ">target<" in str(over_time([Point(month="2026-01", reading=reading(0.25, title="<b>"))]).drawing)
    assert "<b>" not in str(over_time([Point(month="2026-01", reading=reading(0.25, title="<b>"))]).drawing)


def test_details_are_written_out() -> None:
    """Names without underscores, values in words, and how many events are not listed."""
    found = details(reading(0.6, events=tuple(f"E{n}" for n in range(50))))
    assert ("Target", "50 %: met") in found["about"]
    assert (len(found["events"]), found["more"]) == (40, 10)
    assert found["parts"] == [("kinds", "extractor 0.25")]
    assert written([True, {"p50_hours": 1.5}, []]) == "yes, p50 hours 1.5, none"


# ---- the pages themselves


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    """The web application of the golden year."""
    try:
        with Workspace(write_golden_year(tmp_path_factory.mktemp("golden"))) as workspace:
            yield create_app(workspace)
    finally:
        clock.stop_simulating()


def page(app: Starlette, path: str) -> str:
    """Return a page once nothing on it is being computed any more."""
    client = Client(app)
    assert client.get(login_link(app, BASE)).status_code == 200
    return whole(client, path).text


def test_the_overview_opens_with_the_ten(app: Starlette) -> None:
    """The cards stand before all else, each with its sentence and its link."""
    text = page(app, "/")
    assert text.index('class="cards"') < text.index('class="facts"')
    assert text.count('<li title="') == 10
    assert 'href="./kpis/time_to_deployment#events"' in text


def test_each_kpi_has_a_page(app: Starlette) -> None:
    """Value, series, formula and the events; the list of all leads there."""
    listed = page(app, "/kpis")
    assert 'href="kpis/change_failure_rate"' in listed
    text = page(app, "/kpis/time_to_deployment")
    assert "7 h" in text
    assert "Own baseline" in text
    assert text.count('<tr><th scope="row">') >= 12
    assert 'href="../events/' in text


def test_an_unknown_kpi_is_answered_with_the_known(app: Starlette) -> None:
    """The page names what there is."""
    client = Client(app)
    client.get(login_link(app, BASE))
    reply = client.get("/kpis/speed")
    assert (reply.status_code, "time_to_deployment" in reply.text) == (404, True)
