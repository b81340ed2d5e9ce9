"""What all tests share: the environment of the processes that they start, and databases to work on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PostgresMissing, PostgresServer

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _importable_from_processes() -> Iterator[None]:
    """Let the processes that tests start import the package and the tests, wherever they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
        patch.delenv("RATCHET_CLOCK", raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test run; skipped where none is installed, failed where CI is set."""
    try:
        server = PostgresServer()
    except PostgresMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite database."""
    return f"sqlite:///{tmp_path / 'ratchet.db'}"
