"""Errors that only importers raise: files, records and servers that cannot be read.

Invariant: like all others, each says what was refused, why, and what to do; none leaves half a page behind.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class ExportUnreadable(RatchetError):
    """A file is no export that we know."""

    file: str
    problem: str
    remedy: str
    template: ClassVar[str] = "Cannot import {file}: {problem}. Nothing was imported. {remedy}"


@dataclass
class RecordInvalid(RatchetError):
    """A record in an export lacks something or says something impossible."""

    file: str
    number: int
    field: str
    problem: str
    remedy: str
    template: ClassVar[str] = (
        "Cannot import {file}: record {number}: '{field}' {problem}. Nothing of it was imported. {remedy}"
    )


@dataclass
class SourceUnreachable(RatchetError):
    """A server did not give what was asked for."""

    address: str
    problem: str
    remedy: str
    template: ClassVar[str] = (
        "Cannot read {address}: {problem}. What was imported before stays, and the next import goes on there. {remedy}"
    )
