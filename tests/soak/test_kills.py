"""A dozen real kills under load: what ``python -m tests.soak`` does for hours, for some seconds with each test run."""

from pathlib import Path

import pytest

from tests.soak.kills import Round
from tests.soak.tally import Tally

KILLS = 12
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_dozen_kills_lose_nothing(tmp_path: Path) -> None:
    """Server, endpoint, zygote and children die at random moments; what was accepted is acted on once."""
    round_ = Round(tmp_path / "shop", seed=11)
    with round_.running():
        round_.kill(KILLS)
        piece = round_.check()
    assert piece.faults == []
    assert sum(piece.kills.values()) == KILLS
    assert piece.counts["accepted"] == round_.load.events
    assert piece.counts["predictions"] == round_.load.requests


def test_counts_outlive_the_soak(tmp_path: Path) -> None:
    """What was counted stays when the soak is killed; a line that was torn by that counts for nothing."""
    tally = Tally(tmp_path)
    tally.add("kills", counts={"kills": 50, "events": 7}, faults=[], database="sqlite")
    tally.add("kills", counts={"kills": 20}, faults=["event 3 is lost"], database="postgres")
    with (tmp_path / "tally.jsonl").open("a") as file:
        file.write('{"part": "kills", "cou')
    again = Tally(tmp_path)
    assert again.total("kills") == {"kills": 70, "events": 7}
    assert again.total("kills", database="sqlite")["kills"] == 50
    assert again.faults("kills") == ["event 3 is lost"]
    again.add("kills", counts={"kills": 1}, faults=[])
    assert Tally(tmp_path).total("kills")["kills"] == 71
