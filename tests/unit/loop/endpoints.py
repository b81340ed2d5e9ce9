"""An endpoint process as the control plane sees it: holds the serving folder and acknowledges routes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ratchet import clock
from ratchet.errors import RoutesInvalid
from ratchet.loop.serving.claim import Claim
from ratchet.loop.serving.routes import Acknowledgement, RouteTable, read_routes, write_acknowledgement


class FakeEndpoint:
    """Follows routes at once, except for versions that it is told to refuse.

    Args:
        folder: The serving folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._claim = Claim(folder)
        self._holder = self._claim.describe(host="127.0.0.1", port=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.refuses: set[str] = set()
        self.served: list[dict[str, str]] = []
        self._thread.start()

    @property
    def live(self) -> dict[str, str]:
        """Return the version that each endpoint serves."""
        return self.served[-1] if self.served else {}

    def close(self) -> None:
        """End, and give the folder back."""
        self._stop.set()
        self._thread.join()
        self._claim.release()

    def _follow(self) -> None:
        seen = 0
        while not self._stop.is_set():
            with suppress(RoutesInvalid):
                table = read_routes(self._folder)
                if table.generation > seen:
                    seen = table.generation
                    self._acknowledge(table)
            self._stop.wait(0.002)

    def _acknowledge(self, table: RouteTable) -> None:
        wanted = {name: route.releases[0].version for name, route in table.endpoints.items()}
        refused = {name: f"{version} is corrupt." for name, version in wanted.items() if version in self.refuses}
        self.served.append({name: self.live.get(name, "") if name in refused else wanted[name] for name in wanted})
        write_acknowledgement(
            self._folder,
            Acknowledgement(
                pid=self._holder.pid,
                generation=table.generation,
                live={name: [version] for name, version in self.live.items()},
                refused=refused,
                host=self._holder.host,
                port=self._holder.port,
                started_at=clock.now().isoformat(),
            ),
        )


@contextmanager
def endpoint(folder: Path) -> Iterator[FakeEndpoint]:
    """Let an endpoint serve a folder for a while."""
    made = FakeEndpoint(folder)
    try:
        yield made
    finally:
        made.close()
