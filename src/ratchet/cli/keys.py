"""The private key of the ledger: what is to be said about its file before it signs.

Invariant: a warning goes to stderr and keeps nothing from being done.
"""

from pathlib import Path

from ratchet.store import notes


def warn_of(key: Path) -> None:
    """Say on stderr who else may read a private key, and how to mend that; nothing where nobody else may."""
    from rich.text import Text

    from ratchet.cli.console import stderr

    exposure = notes.exposure(key)
    if exposure:
        stderr().print(Text(f"Warning: {exposure}", style="yellow"), soft_wrap=True)
