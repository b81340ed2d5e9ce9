"""Lists and chains: by place, and as far as they go."""

from ratchet.records import Event
from ratchet.web import ledger_pages
from tests.unit.web.conftest import Site


def test_a_list_goes_down_from_a_place(site: Site) -> None:
    """The newest first, filtered, with the place to go on."""
    page = ledger_pages.events_below(site.workspace, types=["run.finished"], pipeline="flight-delay", limit=5)
    following = ledger_pages.events_below(site.workspace, types=["run.finished"], before=page.older, limit=5)
    seqs = [event.seq for event in (*page.events, *following.events)]
    assert len(seqs) == 10
    assert seqs == sorted(seqs, reverse=True)
    assert {event.type for event in page.events} == {"run.finished"}


def test_the_end_of_a_list_says_so(site: Site) -> None:
    """Nothing older is 0, and a subject that nobody has is an empty page."""
    assert ledger_pages.events_below(site.workspace, before=2).older == 0
    assert ledger_pages.events_below(site.workspace, subject="nobody").events == ()


def test_a_circle_of_causes_ends(site: Site) -> None:
    """Two foreign events that name each other as cause are shown once each, and the chain is not whole."""
    one = Event(type="custom.emitted", subject="s", id="one", source="x", causationid="two")
    two = Event(type="custom.emitted", subject="s", id="two", source="x", causationid="one")
    first, _ = site.workspace.ledger.record(one, two)
    chain = ledger_pages.chain(site.workspace, first)
    assert [event.id for event in chain.links] == ["one", "two"]
    assert not chain.is_whole


def test_a_foreign_cause_is_looked_for_at_home_first(site: Site) -> None:
    """Of two events with the causing id, that of the sender counts, then ours."""
    ledger = site.workspace.ledger
    ledger.record(
        Event(type="custom.emitted", subject="ours", id="shared"),
        Event(type="custom.emitted", subject="theirs", id="shared", source="y"),
    )
    theirs, others = ledger.record(
        Event(type="custom.emitted", subject="a", id="a", source="y", causationid="shared"),
        Event(type="custom.emitted", subject="b", id="b", source="z", causationid="shared"),
    )
    assert ledger_pages.chain(site.workspace, theirs).links[-1].subject == "theirs"
    assert ledger_pages.chain(site.workspace, others).links[-1].subject == "ours"
    assert ledger_pages.find(site.workspace, "shared", source="y") is not None
