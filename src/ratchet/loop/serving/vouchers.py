"""Which models were loaded once already, in a process of its own and with the very libraries that are installed now.

Staging writes a voucher when a model has loaded and predicted there; an endpoint that finds it need not try the model
again before taking it in. A voucher is one small file in the serving folder, named after the model and its schema, that
holds the digest of the libraries.

Invariant: with any library added, removed or changed, no voucher holds.
"""

import hashlib
import platform
import site
from pathlib import Path

import msgspec

from ratchet.loop.serving.routes import ReleaseRoute
from ratchet.records import digest_of
from ratchet.store.artifacts import write_durably

FOLDER = "vouchers"
_MARKS = (".dist-info", ".egg-info")


def installed_digest() -> str:
    """Return the sha256 of the versions of Python, Ratchet and all that is installed beside it."""
    folders = [Path(one) for one in (*site.getsitepackages(), site.getusersitepackages())]
    # The names of these folders hold name and version; reading them takes a thousandth of a second.
    names = {entry.name for one in folders if one.is_dir() for entry in one.iterdir() if entry.suffix in _MARKS}
    text = "\n".join([platform.python_version(), platform.machine(), *sorted(names)])
    return hashlib.sha256(text.encode()).hexdigest()


# As of when this process was started, or the one that it was forked from: what is installed later it does not have.
LIBRARIES = installed_digest()


def vouch(folder: Path, release: ReleaseRoute, *, libraries: str) -> None:
    """Write that a release's model was loaded and has predicted.

    Args:
        folder: The serving folder.
        release: Names the model and its schema.
        libraries: ``LIBRARIES`` of the process that loaded it.
    """
    path = _path(folder, release)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, libraries.encode())


def is_vouched_for(folder: Path, release: ReleaseRoute) -> bool:
    """Tell whether a release's model was loaded before with the libraries that this process has."""
    try:
        return _path(folder, release).read_bytes() == LIBRARIES.encode()
    except FileNotFoundError:
        return False


def name_of(release: ReleaseRoute) -> str:
    """Return what stands for a model with its schema, 64 hexadecimal digits."""
    return digest_of(msgspec.to_builtins([release.model, release.schema]))


def _path(folder: Path, release: ReleaseRoute) -> Path:
    return folder / FOLDER / name_of(release)
