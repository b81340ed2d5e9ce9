"""How the demo is started."""

from contextlib import closing
from pathlib import Path

import pytest

from ratchet.demo.command import run_demo
from ratchet.errors import DatabaseInvalid, DatabaseTaken, DayInvalid, DemoDiffers
from ratchet.store import ownership
from ratchet.store.database import Database


def test_a_day_that_is_none_is_refused(tmp_path: Path) -> None:
    """The message names the option, the value and the form that is needed."""
    with pytest.raises(DayInvalid, match=r"--until is 'April', which is no day. Write it as 2013-04-30"):
        run_demo(keep=tmp_path / "demo", until="April")


def test_a_folder_goes_on_as_it_began(tmp_path: Path) -> None:
    """Another seed in the same folder would mix two stories: it is refused before anything runs."""
    options = tmp_path / ".ratchet" / "demo" / "options.json"
    options.parent.mkdir(parents=True)
    options.write_text('{"seed": 1, "scenario": "story", "database": ""}')
    with pytest.raises(DemoDiffers, match="was begun with --seed 1, and --seed 2 was asked for"):
        run_demo(keep=tmp_path, seed=2)


def test_a_folder_goes_on_with_its_database(tmp_path: Path) -> None:
    """Another database in the same folder would begin the year anew beside the old one."""
    options = tmp_path / ".ratchet" / "demo" / "options.json"
    options.parent.mkdir(parents=True)
    options.write_text('{"seed": 1, "scenario": "story", "database": ""}')
    with pytest.raises(DemoDiffers, match="--seed 1, and --seed 1 --database postgresql:///flights was asked for"):
        run_demo(keep=tmp_path, seed=1, database="postgresql:///flights")


def test_a_password_is_not_written_down(tmp_path: Path) -> None:
    """The URL comes into two files of the folder, so it must not hold one; nothing is written."""
    with pytest.raises(DatabaseInvalid, match="holds a password") as caught:
        run_demo(keep=tmp_path / "demo", database="postgresql://me:geheim@db/flights")
    assert "geheim" not in str(caught.value)
    assert not (tmp_path / "demo").exists()


@pytest.mark.postgres
def test_a_new_demo_wants_an_empty_database(tmp_path: Path, postgres_url: str) -> None:
    """A database that holds a workspace is left as it is, and no folder is made."""
    with closing(Database(postgres_url)) as database:
        ownership.claim(database, project="flights", folder=tmp_path / "first")
    with pytest.raises(DatabaseTaken, match=r"\(flights\)"):
        run_demo(keep=tmp_path / "demo", database=postgres_url)
    assert not (tmp_path / "demo").exists()
