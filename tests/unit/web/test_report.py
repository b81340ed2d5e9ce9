"""The report's page: whole, alone, and the same each time."""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from ratchet import clock
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.maps import process_maps
from ratchet.measure.maps.differences import compare
from ratchet.measure.maps.templates import template_text
from ratchet.measure.policies import shipped
from ratchet.measure.reports.collecting import collect
from ratchet.measure.reports.numbers import Number, counted
from ratchet.measure.reports.report import Maps, Report
from ratchet.web import report
from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from ratchet.workspace import Workspace
from tests.kpis import END_OF_YEAR, asked, write_golden_year
from tests.ledgers import PERSON, LedgerBuilder
from tests.unit.measure.reports import golden
from tests.unit.web.clients import BASE, Client, whole

_VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Reads a page, and notes what is wrong with its nesting."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outside: list[str] = []
        self.scripts: list[str | None] = []
        self.words = ""
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element with what it names."""
        values = dict(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "a":
            self.links.append(str(values.get("href")))
        elif tag == "script":
            self.scripts.append(values.get("type"))
        self.outside += [f"{tag} {name}" for name in ("src", "srcset", "xlink:href", "data") if name in values]
        self.outside += [f"{tag} {name}" for name in values if name.startswith("on")]
        if tag in ("link", "use", "image", "iframe", "img"):
            self.outside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without an end."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Compare the end of an element with what is open."""
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> where {self.open[-1:]} is open, line {self.getpos()[0]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        if self.open[-1:] not in (["script"], ["style"]):
            self.words += data


def empty() -> Report:
    """Return the report of a ledger in which nothing has happened."""
    asked = Question(Facts().as_of(END_OF_YEAR), Settings())
    return collect(asked, shipped("standard"), ratchet="0", project="empty")


@pytest.mark.parametrize("made", [golden.report, empty])
def test_the_page_is_well_formed_and_stands_alone(made: Callable[[], Report]) -> None:
    """Elements nest, ids are unique, links lead into the page, and nothing is fetched or run."""
    text = report.draw(made())
    page = Page(text)
    assert page.faults == []
    assert len(page.ids) == len(set(page.ids))
    assert [link for link in page.links if not link.startswith("#") or link[1:] not in page.ids] == []
    assert page.outside == []
    assert page.scripts == ["application/json"]
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text


def test_two_maps_on_a_page_share_no_name() -> None:
    """Both are drawn, links inside each drawing lead to its own parts, and all ids are unique."""
    text_of_map = template_text("ml-process", kind="current")
    current = process_maps.parse(text_of_map.encode(), where="current.toml")
    target = msgspec.structs.replace(current, kind="target")
    maps = Maps(current=current, measured={}, target=target, difference=compare(current, target))
    text = report.draw(msgspec.structs.replace(golden.report(), maps=maps, numbers=_counted()))
    page = Page(text)
    assert page.faults == []
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)
    assert " style=" not in text


@pytest.mark.parametrize(
    ("degree", "said"),
    [
        ("unmeasured", "How far ml-process-current@1 is from ml-process-target@1 is not known"),
        ("absent", "The current map is at least 1 steps short of it."),
    ],
)
def test_what_nobody_has_said_is_not_0_steps(degree: str, said: str) -> None:
    """A fresh map has no distance from its target; a map with some degrees has at least theirs."""
    current = process_maps.parse(template_text("ml-process", kind="current").encode(), where="current.toml")
    first = msgspec.structs.replace(current.nodes[0], degree=degree)
    current = msgspec.structs.replace(current, nodes=(first, *current.nodes[1:]))
    target = process_maps.parse(template_text("ml-process", kind="target").encode(), where="target.toml")
    maps = Maps(current=current, measured={}, target=target, difference=compare(current, target))
    page = Page(report.draw(msgspec.structs.replace(golden.report(), maps=maps, numbers=_counted())))
    assert said in " ".join(page.words.split())


def _counted() -> dict[str, Number]:
    names = ("map/automated", "map/measured", "map/short")
    return golden.report().numbers | {name: counted("level", name, 1.0, events=["E1"]) for name in names}


def test_each_number_leads_to_what_it_means_and_to_its_events() -> None:
    """Every number has a line in the appendix with its text, and how many events stand behind it."""
    found, text = golden.report(), report.draw(golden.report())
    page = Page(text)
    for place in range(1, len(found.numbers) + 1):
        assert f"n{place}" in page.ids
    for definition in found.definitions.values():
        assert f"d-{definition.name}" in page.ids
    reading = found.numbers["ten/new_models"]
    assert f"20 events: {reading.basis.first}" in " ".join(page.words.split())


def test_the_three_questions_and_the_last_sentence_are_its_frame() -> None:
    """In this order."""
    words = Page(report.draw(golden.report())).words
    places = [
        words.index(text)
        for text in (
            "Where are we?\n",
            "Where should we be?\n",
            "How do we get there sooner?\n",
            "3 models with 3 frameworks and 5 libraries in 12 months.",
        )
    ]
    assert places == sorted(places)


def test_what_is_not_known_is_said_and_never_0() -> None:
    """An empty workspace has a whole page that names what is missing and what to do."""
    words = " ".join(Page(report.draw(empty())).words.split())
    assert "Nothing has happened yet, so nothing is said." in words
    for advice in ("ratchet init", "ratchet goals set", "ratchet assess", "ratchet rules adopt", "[[budget]]"):
        assert advice in words
    assert "is not known: no model in production has a recorded environment" in words
    assert not re.search(r"(?<![\w.,-])0(?![\w.,])", words.split("What each number means")[0].split("The proof")[0])


def test_text_of_users_is_never_part_of_the_page() -> None:
    """A name that is an element ends up as its letters, in the page and in its figures."""
    found = golden.report()
    evil = "</script><script>alert(1)</script>"
    made = msgspec.structs.replace(found, project=evil, archived=(evil,))
    page = Page(report.draw(made))
    assert page.scripts == ["application/json"]
    assert evil in page.words


def test_the_same_figures_give_the_same_bytes() -> None:
    """Also after a way through a file."""
    found = golden.report()
    again = msgspec.json.decode(msgspec.json.encode(found), type=Report)
    assert report.draw(found) == report.draw(again)


def test_a_page_among_the_web_pages_says_that_it_is_not_published() -> None:
    """It has no proof, says how to get one, and leads back."""
    page = Page(report.draw(golden.report(), home="../"))
    assert "not published" in page.words
    assert "../" in page.links


def test_the_web_pages_lead_to_it_and_let_its_style_through(tmp_path: Path) -> None:
    """The same page, live: nothing is published, and its content policy names its one style and no script."""
    with Workspace(write_golden_year(tmp_path)) as workspace:
        app = create_app(workspace)
        client = Client(app)
        client.get(login_link(app, BASE))
        last = workspace.ledger.last_seq()
        assert 'href="./report"' in client.get("/").text
        reply = whole(client, "/report")
        assert workspace.ledger.last_seq() == last
    clock.stop_simulating()
    page = Page(reply.text)
    assert "3 models with 3 frameworks and 5 libraries in 12 months." in page.words
    assert "X-Own-Style" not in reply.headers
    policy = reply.headers["Content-Security-Policy"]
    assert f"style-src 'self' '{report.style_digest()}'" in policy
    assert "script-src 'none'" in policy
    (styled,) = re.findall(r"<style>(.*?)</style>", reply.text, re.DOTALL)
    assert f"sha256-{b64encode(sha256(styled.encode()).digest()).decode()}" == report.style_digest()
    assert " style=" not in reply.text


def test_candidates_are_compared_in_numbers() -> None:
    """Cost, effort, coverage and steps short of each stand beside its answers; what nobody stated is said to be so."""
    ledger = LedgerBuilder()
    alpha = {"name": "Alpha", "cost_year": 900, "currency": "EUR", "effort_days": 5, "processes": 4, "covered": 3}
    alpha |= {"stated": 2, "steps_short": 6}
    about = {"evaluation": "e", "digest": "d", "candidates": ["Alpha", "Beta"], "groups": ["ops"], "respondents": ["p"]}
    data = {**about, "assessment": "evaluation", "figures": [alpha, {"name": "Beta"}]}
    ledger.add("assessment.recorded", "e@1", data, actor=PERSON)
    page = Page(report.draw(collect(asked(ledger), shipped("standard"), ratchet="0", project="p")))
    assert page.faults == []
    words = " ".join(page.words.split())
    # Cells stand side by side, without a space between them.
    assert re.search(r"Alpha(no evidence)*75 %3 of 4 processes62 of 4 stated900 EUR5 daysnot concluded", words)
    assert re.search(r"Beta(no evidence)*(not stated){4}not concluded", words)
    assert "by 1 person in 1 group." in words
