"""What a source claims, over several imports in whichever pieces."""

import msgspec
import pytest

from ratchet.importers.claims import Claims
from ratchet.importers.readings import Reading
from ratchet.records import Actor, Event


def records(*numbers: int) -> list[Reading]:
    """Return readings of runs that share the push which set them off."""
    return [
        Reading(
            system="github",
            kind="run",
            source="github/a",
            key=f"run/{number}",
            name="n",
            pipeline="n",
            stages=("train",),
            is_mapped=True,
            trigger="code",
            actor=Actor(),
            is_execution=True,
            outcome="success",
            contradicts="",
            cause="push",
            events=(
                Event(type="code.pushed", subject="a", id="push", source="github/a"),
                Event(type="run.queued", subject=str(number), id=f"q{number}", source="github/a"),
            ),
        )
        for number in numbers
    ]


class Source:
    """A source that is read in pieces, with the cursors that it got."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.cursors: list[Event] = []
        self.present: set[tuple[str, str]] = set()

    def read(self, *pages: list[Reading], claimed: int | None, other: tuple[str, ...] = ()) -> Claims:
        """Import some pages, of which the last is the end."""
        claims = Claims(self.cursors, claimed)
        for number, page in enumerate(pages, start=1):
            bad = {("github/a", one) for one in other}
            added = claims.take(page, present=set(self.present), other=bad, is_last=number == len(pages))
            data = msgspec.to_builtins(added) | {"is_claimed": claimed is not None}
            self.cursors.append(Event(type="source.cursor", subject="github/a", data=data))
            self.present |= {(event.source, event.id) for one in page for event in one.events}
        return claims

    @property
    def sums(self) -> tuple[int, int]:
        """Return what the cursors add up to, as the measure reads them."""
        said = [one.data for one in self.cursors if one.data["is_claimed"]]
        assert min((data["count"] for data in said), default=0) >= 0
        return sum(data["imported"] for data in said), sum(data["count"] for data in said)


def test_pieces_add_up_to_the_whole() -> None:
    """Page after page, the same page again, then all at once: each record counts once."""
    source = Source()
    seen = []
    for piece in (records(*range(30)), records(*range(30)), records(*range(30, 60)), records(*range(100))):
        claims = source.read(piece, claimed=100)
        assert (claims.imported, claims.claimed) == source.sums
        seen.append(source.sums)
    assert seen == [(30, 100), (30, 100), (60, 100), (100, 100)]


def test_several_pages_of_one_import_fill_what_was_missing() -> None:
    """A hole that an earlier import left is filled page by page, and no page takes anything back."""
    source = Source()
    source.read(records(1), claimed=10)
    source.read(records(2, 3, 4), records(5, 6, 7), records(8, 9, 10), claimed=10)
    assert source.sums == (10, 10)
    assert [one.data["count"] for one in source.cursors] == [10, 0, 0, 0]


def test_a_source_that_grows_claims_more() -> None:
    """New records of a complete source leave it complete; those that do not come are missing."""
    source = Source()
    source.read(records(1, 2), claimed=2)
    source.read(records(1, 2, 3), claimed=3)
    assert source.sums == (3, 3)
    source.read(records(3, 4), claimed=5)
    assert source.sums == (4, 5)


def test_a_part_of_the_source_hides_no_hole() -> None:
    """An export of the last days has a claim of its own: the rest is as complete as it was, and what it lacks lacks."""
    source = Source()
    source.read(records(*range(50)), claimed=100)
    source.read(records(200, 201), claimed=2)
    assert source.sums == (52, 100)
    source.read(*[records(*range(100))], claimed=102)
    assert source.sums == (102, 102)
    source.read(records(300), claimed=4)
    assert source.sums == (103, 106)


def test_the_same_record_twice_hides_no_hole() -> None:
    """A page that repeats one of its records has not more of them."""
    source = Source()
    claims = source.read(records(1, 1, 2), claimed=3)
    assert (source.sums, claims.records) == ((2, 3), 2)


def test_what_the_ledger_has_with_another_body_is_not_imported() -> None:
    """A conflict is named, and its record is not among those that are here as they were read."""
    source = Source()
    source.read(records(1, 2), claimed=2)
    claims = source.read(records(1, 2), claimed=2, other=("q1",))
    assert (claims.imported, source.cursors[-1].data["conflicts"]) == (1, ("run/1",))


@pytest.mark.parametrize("earlier", [None, 3])
def test_a_list_that_claims_nothing_fills_holes_when_it_comes_again(earlier: int | None) -> None:
    """Bare lists are counted apart; once the source says how many there are, what came with them counts."""
    source = Source()
    assert source.read(records(1, 2), claimed=earlier).claimed == earlier
    source.read(records(3), claimed=None)
    source.read(records(1, 2, 3), claimed=3)
    assert source.sums == (3, 3)
