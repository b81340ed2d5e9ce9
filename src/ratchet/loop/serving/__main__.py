"""The endpoint's own small root: ``python -m ratchet.loop.serving --folder DIR --artifacts ADDRESS``.

Invariant: the process listens only while it holds its serving folder, and on SIGTERM it finishes what it began, takes
back its acknowledgement and ends with status 0 within five seconds.
"""

import argparse
import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

_GRACE_SECONDS = 3
_KEEP_ALIVE_SECONDS = 75
_SWITCH_SECONDS = 0.0005
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes.

    Returns:
        The exit status; 2 where the folder or the port is taken.
    """
    options = _read_options(arguments)
    # Until the server takes over, a signal simply ends the process; afterwards it ends a finished server.
    signal.signal(signal.SIGTERM, _end)
    if options.die_with_parent is not None:
        _die_with_parent(options.die_with_parent)
    # Set before NumPy is imported. One request is small work: two OpenMP threads took 260 ms for 50 rows on two busy
    # cores, where one took 2 ms.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # The event loop shares the interpreter with the models: it must get its turn sooner than every 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    from ratchet.errors import PortTaken, ServingFolderHeld

    try:
        _serve(options)
    except (PortTaken, ServingFolderHeld) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def bind(host: str, port: int, *, preferred: int = 0) -> socket.socket:
    """Return a socket that is bound to an address, not yet listening.

    Args:
        host: The address.
        port: The port, or 0 for any.
        preferred: The port to try first where any will do.

    Raises:
        PortTaken: The port is not free.
    """
    from ratchet.errors import PortTaken

    if port == 0 and preferred:
        with suppress(PortTaken):
            return bind(host, preferred)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise PortTaken(host=host, port=port, reason=error.strerror or str(error)) from error
    return bound


def _read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ratchet.loop.serving", description="Serve the routes of a folder.")
    parser.add_argument("--folder", type=Path, required=True, help="the serving folder: routes, acknowledgements, log")
    parser.add_argument(
        "--artifacts", required=True, help="the address of the store where models lie: a folder or a URL"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0: the same as last time, or any that is free")
    parser.add_argument("--trial-seconds", type=float, default=60.0, help="how long a new model may take to load")
    parser.add_argument("--trial-memory-mb", type=float, default=8192.0, help="the memory that it may use meanwhile")
    parser.add_argument(
        "--die-with-parent",
        nargs="?",
        type=int,
        const=0,
        metavar="PID",
        help="end when the process that started this one ends; its number closes the gap before the first check",
    )
    return parser.parse_args(arguments)


def _serve(options: argparse.Namespace) -> None:
    import uvicorn

    from ratchet.loop.serving import claim, routes
    from ratchet.loop.serving.app import EndpointApp, report
    from ratchet.loop.serving.log import PredictionLog
    from ratchet.loop.serving.trial import Limits, Trials
    from ratchet.store.addresses import open_artifacts

    former = claim.last_holder(options.folder)
    mine = claim.Claim(options.folder)
    bound = bind(options.host, options.port, preferred=former.port if former else 0)
    holder = mine.describe(host=options.host, port=bound.getsockname()[1])
    log = PredictionLog(options.folder, writer=mine.writer)
    artifacts = open_artifacts(options.artifacts)
    limits = Limits(seconds=options.trial_seconds, memory_mb=options.trial_memory_mb)
    trials = Trials(options.folder, artifacts=artifacts, limits=limits)
    app = EndpointApp(options.folder, artifacts=artifacts, log=log, holder=holder, trials=trials)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    report(f"listens on http://{options.host}:{holder.port}")
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        routes.remove_acknowledgement(options.folder, pid=holder.pid)
        with suppress(OSError):
            log.close()
        mine.release()


def _end(signum: int, frame: object) -> None:
    del signum, frame
    raise SystemExit(0)


def _die_with_parent(expected: int) -> None:
    """Let the kernel send SIGTERM when the parent ends, and end at once where it already has.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    parent = expected or os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)


if __name__ == "__main__":
    status = main()
    with suppress(OSError):
        sys.stderr.flush()
    # A model that still computes would keep the interpreter waiting for its thread; nothing is left to finish.
    os._exit(status)
