"""A line to PostgreSQL that is cut where a test says: before a statement arrives, or before its reply does.

Invariant: what is forwarded is forwarded unchanged; a cut happens once, at the statement that was named.
"""

import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

SOCKET = ".s.PGSQL.5432"
_CHUNK = 1 << 16


class Line:
    """A socket beside a server's own, through which clients reach it.

    Args:
        server: The folder of the server's socket.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._words: list[bytes] = []
        self._before = False
        self.cut = threading.Event()

    def __enter__(self) -> Self:
        """Take connections."""
        # A short path: the name of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="rt-line-", dir="/tmp"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / SOCKET))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take no further connections."""
        self._listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, of_server: str) -> str:
        """Return the URL of a database of the server, through this line."""
        return of_server.replace(str(self._server), str(self.folder))

    def cut_at(self, *words: str, before: bool = False) -> None:
        """Cut the connection on which these words were sent in this order, at the last one.

        Args:
            before: Whether the last one is kept from the server; else its reply is kept from the client.
        """
        with self._lock:
            self._words, self._before = [word.encode() for word in words], before
            self.cut.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._server / SOCKET))
            except OSError:
                _hang_up(client, server)
                continue
            holds_back = threading.Event()
            threading.Thread(target=self._upwards, args=(client, server, holds_back), daemon=True).start()
            threading.Thread(target=self._downwards, args=(client, server, holds_back), daemon=True).start()

    def _upwards(self, client: socket.socket, server: socket.socket, holds_back: threading.Event) -> None:
        seen = 0
        with suppress(OSError):
            while chunk := client.recv(_CHUNK):
                with self._lock:
                    while seen < len(self._words) and self._words[seen] in chunk:
                        seen += 1
                    is_due = bool(self._words) and seen == len(self._words)
                    if is_due:
                        self._words = []
                if is_due and self._before:
                    self.cut.set()
                    break
                if is_due:
                    holds_back.set()
                server.sendall(chunk)
        _hang_up(client, server)

    def _downwards(self, client: socket.socket, server: socket.socket, holds_back: threading.Event) -> None:
        with suppress(OSError):
            while chunk := server.recv(_CHUNK):
                if holds_back.is_set():
                    # The server has replied, so it is done; nobody hears of it.
                    self.cut.set()
                    break
                client.sendall(chunk)
        _hang_up(client, server)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
