"""A real PostgreSQL server in a temporary folder, for the time of a test run.

Invariant: it listens on a socket in that folder only, runs as an unprivileged user even where the tests run as root
(``initdb`` refuses root), and ends with the tests, even when these are killed.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg

from ratchet import clock

ROLE = "ratchet"
START_SECONDS = 120
STOP_SECONDS = 60
# Nothing of a test's database has to outlive a power failure.
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=200")
# What was confirmed outlives the server's own sudden end.
CRASH_SAFE = (*SETTINGS, "synchronous_commit=on")


class PostgresMissing(Exception):
    """No PostgreSQL server is installed here."""


class PostgresServer:
    """A server that runs while the ``with`` block does.

    Args:
        settings: The server's, each ``NAME=VALUE``; of two values the later one counts.

    Raises:
        PostgresMissing: No ``initdb`` was found.
    """

    def __init__(self, settings: Sequence[str] = SETTINGS) -> None:
        self._settings = settings
        self._programs = find_programs()
        self._account = unprivileged_account() if os.geteuid() == 0 else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    def __enter__(self) -> Self:
        """Make the cluster and start the server."""
        # A short path: the name of a socket has at most 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="rt-pg-", dir="/tmp"))
        if self._account:
            account = pwd.getpwnam(self._account)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        data = self._folder / "data"
        initdb = ["initdb", "-D", str(data), "-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(self._command(initdb), check=True, cwd=self._folder, stdout=subprocess.DEVNULL)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its folder."""
        self._stop(signal.SIGTERM)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Return where its socket is."""
        return self._folder

    def start(self) -> None:
        """Start the server, and return once it takes connections."""
        options = [word for setting in self._settings for word in ("-c", setting)]
        data = self._folder / "data"
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(["postgres", "-D", str(data), "-k", str(self._folder), *options]),
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def crash(self) -> None:
        """Stop the server like ``pg_ctl stop -m immediate``: it breaks off what it does, and recovers at the start."""
        self._stop(signal.SIGQUIT)

    def _stop(self, number: signal.Signals) -> None:
        assert self._process is not None, "only a started server ends"
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def terminate(self, name: str) -> int:
        """End all connections to a database as an administrator would, and return how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(host=str(self._folder), user=ROLE, dbname="postgres", autocommit=True) as connection:
            row = connection.execute(query, (name,)).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database for one test and give its URL."""
        self._made += 1
        name = f"test_{self._made}"
        self._execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql://{ROLE}@/{name}?host={self._folder}"
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self._folder), user=ROLE, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    def _command(self, command: Sequence[str]) -> list[str]:
        program = str(self._programs / command[0])
        # The server is told when we die; a change of user would forget that, so one program does both.
        become = ["--reuid", self._account, "--regid", self._account_group(), "--clear-groups"] if self._account else []
        return ["setpriv", *become, "--pdeathsig", "INT", program, *command[1:]]

    def _account_group(self) -> str:
        return str(pwd.getpwnam(self._account).pw_gid)

    def _wait_until_ready(self) -> None:
        deadline = clock.monotonic() + START_SECONDS
        while True:
            try:
                return self._execute("SELECT 1")
            except psycopg.OperationalError:
                assert self._process is not None, "only a started server is waited for"
                if clock.monotonic() > deadline or self._process.poll() is not None:
                    sys.stderr.write((self._folder / "server.log").read_text())
                    raise
                clock.sleep(0.05)


def find_programs() -> Path:
    """Return the folder with PostgreSQL's programs, the newest version.

    Raises:
        PostgresMissing: There is none.
    """
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda folder: int(folder.parent.name))
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    message = "PostgreSQL is not installed, so nothing was tested on it. As root: apt-get install postgresql"
    raise PostgresMissing(message)


def unprivileged_account() -> str:
    """Return the account that runs the server when the tests run as root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    message = "there is neither an account 'postgres' nor 'nobody' to run PostgreSQL"
    raise PostgresMissing(message)
