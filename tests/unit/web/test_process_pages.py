"""Process maps on pages and in the interface, from files of a real project and its ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.measure.maps.process_maps import load
from ratchet.measure.maps.recording import to_data
from ratchet.records import Event
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from tests.unit.measure.maps.written import map_text
from tests.unit.web.clients import BASE, Client
from tests.unit.web.conftest import Site
from tests.unit.web.sites import workspace_in
from tests.waiting import until

EXAMPLES = Path(__file__).parents[3] / "examples" / "maps"


@pytest.fixture
def maps(site: Site) -> Iterator[Path]:
    """The folder of the worked example in the project."""
    folder = site.workspace.project / "maps"
    folder.mkdir()
    for path in EXAMPLES.glob("*.toml"):
        (folder / path.name).write_bytes(path.read_bytes())
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def page(client: Client, path: str) -> str:
    """Return a page once nothing on it is being read any more."""
    found: list[str] = []

    def is_whole() -> bool:
        reply = client.get(path)
        assert reply.status_code == 200, reply.text
        found.append(reply.text)
        return 'http-equiv="refresh"' not in reply.text

    until(is_whole, f"all of {path}")
    return found[-1]


def test_an_empty_project_is_told_how_to_begin(tmp_path: Path) -> None:
    """The exact commands stand there."""
    with workspace_in(tmp_path) as workspace:
        app = create_app(workspace)
        client = Client(app)
        client.get(login_link(app, BASE))
        text = page(client, "/processes")
        assert "No process map lies in this project yet" in text
        assert "ratchet assess init\nratchet assess map assessment/current.toml" in text


def test_the_list_leads_to_each_work(site: Site, maps: Path) -> None:
    """How much is automated, what the ledger knows, and how far the target is; in the navigation."""
    browser = site.browser()
    text = page(browser, "/processes")
    assert 'href="processes/flights"' in text
    assert "11 of 28" in text
    assert "flights-current@1 is 29 steps short of flights-target@1." in text
    assert 'href="./processes" aria-current="page"' in text
    assert maps.name == "maps"


def test_a_work_shows_both_maps_the_plan_and_the_ledger(site: Site, maps: Path) -> None:
    """Pictures that do not share names, owners and dates of the plan, degrees side by side, and why they differ."""
    text = page(site.browser(), "/processes/flights")
    assert text.count("<svg xmlns") == 2
    names = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(names) == len(set(names))
    assert "map0-arrow-control" in names
    assert "map1-arrow-control" in names
    for words in ("data team", "8 days", "2,500 EUR", "2027-02-28", "Two hours each Monday", "proposed", "nobody yet"):
        assert words in text
    assert "maps/flights-steps.toml" in text
    assert "ran without a hand in them once started" in text
    assert "Where people and ledger disagree" in text
    assert "ratchet assess record maps/flights-current.toml" in text
    assert ' style="' not in text


def test_a_recorded_map_leads_to_its_event(site: Site, maps: Path) -> None:
    """Once it is on record, the page says so, and shows it without its file."""
    process_map = load(maps / "flights-target.toml")
    event = site.workspace.record_assessment(process_map.reference, to_data(process_map))
    told = f'href="../events/{event.id}">on record'
    browser = site.browser()
    until(lambda: told in page(browser, "/processes/flights"), "the record on the page")
    (maps / "flights-target.toml").unlink()
    text = page(browser, "/processes/flights")
    assert told in text
    assert text.count("<svg xmlns") == 2


def test_a_broken_file_shows_its_error(site: Site, maps: Path) -> None:
    """File and line stand on the list and on the page of the work that it lies beside; nothing fails."""
    (maps / "now.toml").write_text(map_text(map_id="broken"))
    (maps / "then.toml").write_text(map_text(map_id="broken", kind="target", degree="<magic>"))
    browser = site.browser()
    assert "maps/then.toml:13" in page(browser, "/processes")
    text = page(browser, "/processes/broken")
    assert "maps/then.toml:13" in text
    assert "Further maps beside it cannot be read." in text
    assert "There is no target map yet" not in text
    assert "&lt;magic&gt;" in text
    assert "<magic>" not in text


def test_a_change_of_a_file_shows_at_once(site: Site, maps: Path) -> None:
    """A page is read anew when a file was written, with no event in between."""
    browser = site.browser()
    assert "Frame the decision" in page(browser, "/processes/flights")
    path = maps / "flights-current.toml"
    path.write_text(path.read_text().replace("Frame the decision", "Frame <b>the</b> question", 1))
    text = page(browser, "/processes/flights")
    assert "Frame &lt;b&gt;the&lt;/b&gt; question" in text
    assert "<b>the</b>" not in text


def test_one_map_alone_says_what_is_missing(site: Site, maps: Path) -> None:
    """Without a target there is no plan, and without a current map neither; the page says what to write."""
    (maps / "alone.toml").write_text(map_text(map_id="alone"))
    (maps / "aim.toml").write_text(map_text(map_id="aim", kind="target"))
    (maps / "other.toml").write_text(map_text(map_id="other", kind="candidate"))
    browser = site.browser()
    assert "A plan needs a target map" in page(browser, "/processes/alone")
    assert "A plan needs a map of today" in page(browser, "/processes/aim")
    assert "There is neither a current nor a target map." in page(browser, "/processes/other")


def test_an_unknown_work_is_refused(site: Site, maps: Path) -> None:
    """The page says which there are."""
    browser = site.browser()
    until(lambda: browser.get("/processes/nothing").status_code == 404, "a refusal")
    assert "flights" in browser.get("/processes/nothing").text
    assert maps.is_dir()


def test_the_interface_says_the_same(site: Site, maps: Path) -> None:
    """In short and in full, with a token only; what is broken is there, too."""
    (maps / "bad.toml").write_text("[map]\nid = \n")
    caller = site.caller()
    found = caller.get("/api/v1/processes").json()
    assert [one["name"] for one in found["broken"]] == ["maps/bad.toml"]
    (line,) = found["processes"]
    assert (line["name"], line["processes"], line["automated"]) == ("flights", 28, 11)
    one = caller.get("/api/v1/processes/flights").json()
    assert one["current"]["reference"] == "flights-current@1"
    assert one["current"]["degrees"]["automated"] == 11
    assert one["plan"]["steps"][0]["step"]["owner"] == "data team"
    assert len(one["disagreements"]) == line["differing"]
    assert {degree["node"] for degree in one["measured"].values()} == set(one["measured"])
    assert caller.get("/api/v1/processes/nothing").status_code == 404
    assert site.stranger().get("/api/v1/processes").status_code == 401


def test_what_others_send_breaks_no_page(site: Site, maps: Path) -> None:
    """Events about maps and evaluations that say nothing are passed over by all pages."""
    root = next(site.workspace.ledger.read(limit=1)).id
    for number, kind in enumerate(("map", "evaluation", "answer", "conclusion", ["x"])):
        data = {"assessment": kind, "evaluation": "choice-1", "map": {"id": 5}}
        broken = Event(type="assessment.recorded", subject=f"choice-1/{number}@1", data=data, causationid=root)
        site.workspace.ledger.record(broken)
    browser = site.browser()
    for path in ("/processes", "/processes/flights", "/evaluations"):
        assert "could not be read" not in (text := page(browser, path))
        assert "The measure failed" not in text
    assert "Platforms compared" in page(browser, "/report")
    assert maps.is_dir()
