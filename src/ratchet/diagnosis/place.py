"""Where a workspace is looked at, and what is known of it so far.

Invariant: settings that cannot be read are known to be so, and nothing is made up in their place.
"""

from pathlib import Path

from ratchet import config
from ratchet.config import Config
from ratchet.errors import RatchetError
from ratchet.store.database import Database, filled_url


class Place:
    """The folder of a project, its settings where they can be read, and its database where that answers.

    Args:
        project: The folder with ``ratchet.toml``.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.state = project / config.STATE_FOLDER
        self.config: Config | None = None
        self.error: RatchetError | OSError | None = None
        self.database: Database | None = None
        self.is_running = False
        try:
            self.config = config.load(project)
        except (RatchetError, OSError) as error:
            self.error = error

    @property
    def database_url(self) -> str:
        """Return the URL of the settings, ``""`` for the file; also where the settings cannot be read."""
        return self.config.project.database if self.config else ""

    @property
    def database_file(self) -> Path:
        """Return where the file lies that is the database, where it is one."""
        if self.database_url:
            return Path(filled_url(self.database_url).database or "")
        return self.state / "ratchet.db"

    @property
    def is_file(self) -> bool:
        """Tell whether the database is a file."""
        return not self.database_url or self.database_url.startswith("sqlite")
