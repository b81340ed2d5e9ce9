"""Where artifacts lie, as one line that fits into a setting, a command line and a child's specification.

Invariant: whoever opens an address gets the same store, in whatever process and folder it is opened; a shared folder
that is not there is never made, because it is a disk that is not mounted.
"""

from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ratchet.errors import ArtifactsElsewhere
from ratchet.store.artifacts import Artifacts

_COPIES = "artifact-copies"


def address_of(setting: str, *, project: Path, state: Path, cache_bytes: int) -> str:
    """Return the address of a project's artifacts.

    Args:
        setting: ``""``, a folder (relative to the project or not), ``file:///FOLDER`` or ``s3://BUCKET/PREFIX``.
        project: The folder with ``ratchet.toml``.
        state: The folder of this machine's state: artifacts lie in it where the setting is empty, copies otherwise.
        cache_bytes: How much room copies may take.
    """
    if not setting:
        return str(state / "artifacts")
    parts = urlsplit(setting)
    if parts.scheme == "s3":
        from ratchet.store.buckets import bucket_address

        return bucket_address(parts.netloc, parts.path.strip("/"), cache=state / _COPIES, cache_bytes=cache_bytes)
    folder = unquote(parts.path) if parts.scheme == "file" else setting
    return f"file://{quote(str(project / Path(folder).expanduser()))}"


def folder_of(address: str) -> Path | None:
    """Return the shared folder that an address names, ``None`` where it names none."""
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_artifacts(address: str) -> Artifacts:
    """Return the store at an address that ``address_of`` or a store gave.

    Raises:
        ArtifactsElsewhere: The shared folder is not one that a workspace has entered.
    """
    shared = folder_of(address)
    if shared is not None:
        if not Artifacts.is_entered(shared):
            raise ArtifactsElsewhere(address=str(shared))
        return Artifacts(shared, address=address)
    parts = urlsplit(address)
    if parts.scheme != "s3":
        return Artifacts(Path(address))
    from ratchet.store.buckets import BucketArtifacts

    options = parse_qs(parts.query)
    cache, cache_bytes = Path(options["cache"][0]), int(options["cache_bytes"][0])
    return BucketArtifacts(parts.netloc, parts.path.strip("/"), cache=cache, cache_bytes=cache_bytes)
