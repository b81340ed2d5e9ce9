"""Who is part of what at a moment."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from ratchet.config import TeamSection
from ratchet.measure.kpis.organisation import Organisation

ZONE = ZoneInfo("America/New_York")
SECTIONS = [
    TeamSection(name="consumer", kind="department"),
    TeamSection(name="risk", kind="department"),
    TeamSection(name="growth", part_of="consumer", since=date(2024, 1, 1)),
    TeamSection(name="growth", part_of="risk", since=date(2024, 5, 1)),
]
BEFORE, AFTER = datetime(2024, 5, 1, 3, 59, tzinfo=UTC), datetime(2024, 5, 1, 4, tzinfo=UTC)


def test_a_part_moves_at_local_midnight() -> None:
    """What a team is part of follows from the entry that holds on the local day."""
    tree = Organisation(SECTIONS, ZONE)
    assert tree.path("growth", BEFORE) == ("growth", "consumer")
    assert tree.path("growth", AFTER) == ("growth", "risk")
    assert (tree.is_part_of("growth", "risk", BEFORE), tree.is_part_of("growth", "risk", AFTER)) == (False, True)


def test_a_team_that_nobody_declared_stands_alone() -> None:
    """An unknown team is part of itself, and nobody is part of nothing."""
    tree = Organisation(SECTIONS, ZONE)
    assert tree.path("lending", AFTER) == ("lending",)
    assert tree.path("", AFTER) == ()


def test_a_part_exists_from_its_first_day_on() -> None:
    """Parts of a kind are those that have an entry up to the day."""
    tree = Organisation(SECTIONS, ZONE)
    assert tree.nodes("team", datetime(2023, 12, 31, tzinfo=UTC)) == ()
    assert tree.nodes("team", AFTER) == ("growth",)
    assert tree.nodes("department", AFTER) == ("consumer", "risk")
    assert tree.names == ("consumer", "growth", "risk")
