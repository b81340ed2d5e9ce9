"""What is known of a workspace that is looked at."""

from pathlib import Path

from ratchet.diagnosis.place import Place
from ratchet.errors import ConfigInvalid
from tests import projects


def test_settings_that_mean_nothing_are_known_to(tmp_path: Path) -> None:
    """The error is kept, and the database is taken for the file that is the default."""
    (tmp_path / "ratchet.toml").write_text("[project\n")
    place = Place(tmp_path)
    assert (place.config, type(place.error)) == (None, ConfigInvalid)
    assert (place.is_file, place.database_file) == (True, tmp_path / ".ratchet" / "ratchet.db")


def test_where_the_database_is(tmp_path: Path) -> None:
    """The file in the state folder, another file, or a server."""
    for url, is_file, name in (
        ("", True, str(tmp_path / ".ratchet" / "ratchet.db")),
        ("sqlite:////srv/other.db", True, "/srv/other.db"),
        ("postgresql://h/d", False, "d"),
    ):
        text = projects.SETTINGS.replace("[project]\n", f'[project]\ndatabase = "{url}"\n')
        (tmp_path / "ratchet.toml").write_text(text)
        place = Place(tmp_path)
        assert (place.is_file, str(place.database_file)) == (is_file, name)
