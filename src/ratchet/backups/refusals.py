"""Errors of backups: what was not written, what cannot be trusted, what is in the way.

Invariant: where one of these is raised, nothing is left that looks like a backup or like a workspace.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class BackupFailed(RatchetError):
    """A backup could not be written."""

    path: str
    problem: str
    remedy: str
    template: ClassVar[str] = "No backup was written to {path}: {problem}. {remedy}"


@dataclass
class BackupIncomplete(RatchetError):
    """Something that belongs to the workspace is missing or damaged, so a backup would not be whole."""

    what: str
    template: ClassVar[str] = (
        "No backup was written: {what} belongs to the workspace, and is missing or damaged. Bring it back from an "
        "older backup, or save what there is: --leave-out-damaged"
    )


@dataclass
class ArchiveInvalid(RatchetError):
    """A file is no backup, or not any more what was written."""

    path: str
    entry: str
    problem: str
    template: ClassVar[str] = (
        "{path} cannot be restored: {entry}: {problem}. Nothing was restored. Take another backup."
    )


@dataclass
class ArchiveTooNew(RatchetError):
    """A backup was written by a later version."""

    path: str
    what: str
    found: int
    supported: int
    template: ClassVar[str] = (
        "{path} has {what} {found}, and this Ratchet reads up to {supported}. Nothing was restored. Install a newer "
        "mlratchet: pip install --upgrade mlratchet"
    )


@dataclass
class TargetTaken(RatchetError):
    """A backup was to be restored over something."""

    target: str
    found: str
    remedy: str
    template: ClassVar[str] = "{target} {found}, and nothing is restored over it. {remedy}"


@dataclass
class RestoreFailed(RatchetError):
    """A backup could not be restored, for no fault of the backup."""

    target: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Nothing was restored to {target}: {problem}. {remedy}"
