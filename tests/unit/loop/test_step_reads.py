"""What a step opens is seen: files, folders, connections, programs."""

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import zoneinfo
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ratchet.loop.frames import connect
from ratchet.loop.step_reads import watched


def _program() -> None:
    subprocess.run([sys.executable, "--version"], capture_output=True, check=True)


def _connection() -> None:
    with socket.socket() as one, pytest.raises(ConnectionError):
        one.connect(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda folder: (folder / "rows.csv").read_text(), "it opens the file "),
        (lambda folder: pd.read_csv(folder / "rows.csv"), "rows.csv"),
        (lambda folder: (folder / "report.txt").write_text("done"), "report.txt"),
        (lambda folder: (folder / "rows.csv").open("rb").close(), "rows.csv"),
        (os.listdir, "it lists the folder "),
        (lambda folder: list(folder.glob("*.csv")), "it lists the folder "),
        (lambda folder: sqlite3.connect(folder / "db").close(), "it opens the database "),
        (lambda _: _connection(), "it connects to "),
        (lambda _: socket.getaddrinfo("localhost", 80), "it connects to localhost"),
        (lambda _: _program(), "it starts the program "),
    ],
)
def test_what_a_step_opens_is_seen(tmp_path: Path, read: Callable[[Path], object], message: str) -> None:
    """The first such thing is named."""
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with watched([tmp_path / "artifacts"]) as reads:
        read(tmp_path)
    assert message in reads.first


def test_what_is_named_by_its_content_may_be_opened(tmp_path: Path) -> None:
    """Artifacts and the project's modules; not a folder that begins with the same letters."""
    own = tmp_path / "artifacts"
    for folder in (own, tmp_path / "artifacts-2"):
        folder.mkdir()
        (folder / "a").write_text("1")
    with watched([own]) as reads:
        (own / "a").read_text()
        list(own.iterdir())
    assert reads.first == ""
    with watched([own]) as reads:
        (tmp_path / "artifacts-2" / "a").read_text()
    assert "artifacts-2" in reads.first


def test_what_libraries_need_may_be_opened() -> None:
    """A time zone, a module, the machine's own figures, a file that the step has made itself for a while."""
    with watched([]) as reads:
        zoneinfo.ZoneInfo.no_cache("Europe/Oslo")
        sys.modules.pop("this", None)
        sys.modules.pop("colorsys", None)
        import colorsys  # noqa: F401, what an import opens

        Path("/proc/self/status").read_text()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a").write_text("1")
            list(Path(folder).iterdir())
        with connect() as connection:
            connection.sql("SELECT 1").df()
    assert reads.first == ""


def test_nothing_is_seen_before_and_behind(tmp_path: Path) -> None:
    """Only while the context lasts, and by the innermost as well as by the one around it."""
    with watched([]) as outer:
        with watched([]) as inner:
            pass
        (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    assert inner.first == ""
    assert outer.first.endswith("a")
