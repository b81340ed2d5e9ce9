"""On which databases the promises of a contract are tested: a test class joins a contract and a place.

``class TestLedgerOnSQLite(OnSQLite, LedgerContract)`` runs what the contract promises on an empty file.
"""

from collections.abc import Iterator

import pytest

from ratchet.store import migrations
from ratchet.store.database import Database


class OnSQLite:
    """On an empty file."""

    @pytest.fixture
    def url(self, sqlite_url: str) -> str:
        """Say where the database is."""
        return sqlite_url


@pytest.mark.postgres
class OnPostgreSQL:
    """In an empty database of a server."""

    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        """Say where the database is."""
        return postgres_url


class DatabaseContract:
    """What promises are made about: a database with all tables."""

    @pytest.fixture
    def database(self, url: str) -> Iterator[Database]:
        """Open a database with our tables."""
        database = Database(url)
        migrations.migrate(database)
        yield database
        database.close()
