"""The other end of a warm program's channel; run by the peers' own interpreters, so it needs the standard library only.

Invariant: each word that comes gets one answer: that the work is done, or that it failed.
"""

import json
import socket
import sys
import traceback
from collections.abc import Callable


def answer(work: Callable[[], dict[str, float] | None]) -> None:
    """Say that all is loaded, then do the work whenever a word comes, until nobody is left to ask.

    Args:
        work: What to do; may return figures of its own.
    """
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    channel.sendall(b"ready\n")
    for _word in channel.makefile("r"):
        try:
            figures = work()
        except Exception:  # noqa: BLE001, whatever a peer raises is told to who measures it
            traceback.print_exc()
            channel.sendall(b"failed\n")
        else:
            channel.sendall(f"done {json.dumps(figures or {})}\n".encode())
