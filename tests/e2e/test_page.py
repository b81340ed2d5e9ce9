"""The pages in a real browser: signed in by the link, drawn at two widths, with nothing from elsewhere."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from ratchet.web.app import create_app
from ratchet.web.auth import login_link
from tests.unit.web.sites import fill, workspace_in, year
from tests.waiting import PATIENCE_SECONDS, until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=8000",
    # In a container the shared memory may be too small for a page.
    "--disable-dev-shm-usage",
)
WAITS = 'http-equiv="refresh"'


@dataclass
class Browser:
    """A real browser with a profile of its own, and the address of a running application."""

    program: str
    folder: Path
    address: str

    def run(self, address: str, *options: str) -> str:
        """Open an address and return what the browser printed."""
        command = [self.program, *FLAGS, f"--user-data-dir={self.folder / 'profile'}", *options, address]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS).stdout

    def dump(self, path: str) -> str:
        """Return a page as the browser has understood it, once nothing on it is being computed any more."""
        pages: list[str] = []

        def is_whole() -> bool:
            pages.append(self.run(f"{self.address}{path}", "--dump-dom"))
            return WAITS not in pages[-1]

        until(is_whole, f"all of {path}")
        return pages[-1]

    def shoot(self, path: str, *, width: int, height: int) -> bytes:
        """Return a picture of a page."""
        target = self.folder / f"{width}.png"
        self.run(f"{self.address}{path}", f"--window-size={width},{height}", f"--screenshot={target}")
        return target.read_bytes()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that has opened the login link of a running application with a year behind it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing = "no Chromium; install it with: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("page")
    with workspace_in(folder) as workspace:
        fill(workspace, year())
        app = create_app(workspace)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            until(lambda: server.started, "the web server")
            port = server.servers[0].sockets[0].getsockname()[1]
            made = Browser(program, folder, f"http://127.0.0.1:{port}")
            made.run(login_link(app, made.address), "--dump-dom")
            yield made
        finally:
            server.should_exit = True
            thread.join()


def test_the_link_signs_in(browser: Browser) -> None:
    """The cookie of the link is sent with the next page, which is the overview."""
    page = browser.dump("/")
    assert "Sign out" in page
    assert "Own automation" in page
    assert page.count('<svg class="chart"') == 3


def test_all_that_a_page_asks_for_is_its_own(browser: Browser) -> None:
    """No page names an address that is not relative to it."""
    for path in ("/", "/events", "/pipelines/flight-delay", "/events/flight-delay-E00005"):
        page = browser.dump(path)
        assert "Sign out" in page
        assert not re.findall(r'(?:src|href|action)="(?:[a-z]+:|/)[^"]*"', page)


@pytest.mark.parametrize(("width", "height"), [(1280, 1500), (390, 2600)])
def test_pages_are_drawn(browser: Browser, width: int, height: int) -> None:
    """At the width of a desk and of a phone there is a picture of the size asked for, and it is not blank."""
    browser.dump("/")
    picture = browser.shoot("/", width=width, height=height)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (width, height)
    assert len(picture) > 50_000
