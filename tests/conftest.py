"""What all tests share: the environment of the processes that they start, and databases to work on."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from ratchet import clock
from tests import buckets
from tests.servers import PostgresMissing, PostgresServer

ROOT = Path(__file__).parent.parent
# What somebody's shell may hold that colours output, names another repository, or changes how processes start.
MEDDLING = (
    *("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONWARNINGS", "PYTHONOPTIMIZE"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "RATCHET_CLOCK", "RATCHET_FAULT", "RATCHET_TOKEN"),
    *("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
)
# Tests whose processes take twice as long where coverage counts their lines.
UNMEASURED = ("e2e", "simulation", "soak")
# No proxy stands between the tests and the servers that they start.
OURS = "127.0.0.1,localhost"

# No example is too slow: no test asserts how long anything takes.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _importable_from_processes() -> Iterator[None]:
    """Let the processes that tests start import the package and the tests, wherever they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
        for name in MEDDLING:
            patch.delenv(name, raising=False)
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, ",".join(filter(None, [os.environ.get(name), OURS])))
        yield


@pytest.fixture(scope="module", autouse=True)
def _unmeasured_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let processes of the longest tests go on without being measured: what they run, others have measured."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.relative_to(ROOT).parts[1] in UNMEASURED:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Any]:
    """An S3 server of this test run."""
    with buckets.s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: Any) -> Iterator[buckets.Bucket]:
    """An empty bucket; the environment says how it is reached."""
    with buckets.bucket(s3_server, f"test-{clock.new_id().lower()}") as made:
        yield made
