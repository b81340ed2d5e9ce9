"""The endpoint's root: what it needs to start, and what it refuses to start on."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.errors import PortTaken
from ratchet.loop.serving import claim
from ratchet.loop.serving.__main__ import bind


def test_any_port_means_the_preferred_one_first() -> None:
    """Port 0 gives the port of last time where it is free, and another where it is not."""
    with bind("127.0.0.1", 0) as first:
        first.listen()
        taken = first.getsockname()[1]
        with bind("127.0.0.1", 0, preferred=taken) as second:
            assert second.getsockname()[1] != taken
    with bind("127.0.0.1", 0, preferred=taken) as again:
        assert again.getsockname()[1] == taken


def test_a_port_that_was_asked_for_is_not_replaced() -> None:
    """A taken port is an error with its number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            bind("127.0.0.1", port)


def test_a_held_folder_ends_the_command_with_a_message(folder: Path, tmp_path: Path) -> None:
    """A second endpoint on a folder ends with status 2 and the number of the first."""
    held = claim.Claim(folder)
    me = held.describe(host="127.0.0.1", port=1)
    command = [sys.executable, "-m", "ratchet.loop.serving", "--folder", folder, "--artifacts", tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"pid {me.pid}" in ended.stderr
    held.release()


def test_the_endpoint_knows_no_database() -> None:
    """Nothing that the endpoint process imports can open the database."""
    program = (
        "import sys, ratchet.loop.serving.__main__, ratchet.loop.serving.app as app;"
        "app.preload_libraries();"
        "forbidden = {'sqlalchemy', 'sqlite3', 'dbos', 'psycopg', 'duckdb', 'ratchet.store.database'};"
        "print(sorted(forbidden & set(sys.modules)))"
    )
    # Measuring coverage opens a database of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
