"""Files that commands write where people ask for them.

Invariant: a file is written as a whole or not at all, never over what was read, and what goes wrong is told in words.
"""

from collections.abc import Sequence
from pathlib import Path

from ratchet.cli.session import Refused


def write_output(path: Path, content: bytes, *, inputs: Sequence[str | Path] = ()) -> None:
    """Write a file that was asked for.

    Args:
        path: The file.
        content: All of it.
        inputs: Files that were read for it, and stay as they are.

    Raises:
        Refused: It is one of them, its folder is missing, or it cannot be written.
    """
    from ratchet.store.artifacts import write_durably

    if any(Path(one).exists() and path.exists() and path.samefile(one) for one in inputs):
        raise Refused(f"{path} is the map itself. Choose another name for what is written.")
    if not path.parent.is_dir():
        raise Refused(
            f"There is no folder {path.parent} to write {path.name} into. Make it first: mkdir -p {path.parent}"
        )
    try:
        write_durably(path, content)
    except OSError as error:
        raise Refused(f"Cannot write {path}: {error.strerror}.") from error


def make_folder(path: Path) -> None:
    """Make a folder and those around it, as far as they are missing.

    Raises:
        Refused: A file stands in its place, or it may not be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"Cannot make the folder {path}: {error.strerror}. Choose another one.") from error
