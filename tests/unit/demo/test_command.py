"""How the demo is started."""

from pathlib import Path

import pytest

from ratchet.demo.command import run_demo
from ratchet.errors import DayInvalid, DemoDiffers


def test_a_day_that_is_none_is_refused(tmp_path: Path) -> None:
    """The message names the option, the value and the form that is needed."""
    with pytest.raises(DayInvalid, match=r"--until is 'April', which is no day. Write it as 2013-04-30"):
        run_demo(keep=tmp_path / "demo", until="April")


def test_a_folder_goes_on_as_it_began(tmp_path: Path) -> None:
    """Another seed in the same folder would mix two stories: it is refused before anything runs."""
    options = tmp_path / ".ratchet" / "demo" / "options.json"
    options.parent.mkdir(parents=True)
    options.write_text('{"seed": 1, "scenario": "story", "database": ""}')
    with pytest.raises(DemoDiffers, match="holds a demo with --seed 1, and --seed 2 was asked for"):
        run_demo(keep=tmp_path, seed=2)
