"""What all tests share: the environment of the processes that they start, and databases to work on."""

import os
import signal
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


@pytest.fixture(scope="session", autouse=True)
def _interruptible_processes() -> None:
    """Let Ctrl-C reach the processes that tests start, also where a shell put the tests into the background.

    Such a shell lets its jobs ignore the signal, and whoever they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
