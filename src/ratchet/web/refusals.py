"""Errors that only the web raises; which HTTP status each becomes stands in the table of ``web/api.py``.

Invariant: like all others, each says what was refused, why, and what to do.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class HostRefused(RatchetError):
    """A request names a host that this server is not."""

    host: str
    known: str
    template: ClassVar[str] = (
        "Request refused: this server is not '{host}'. A page elsewhere may be trying to reach it through your "
        "browser. Known hosts: {known}. Open the address that `ratchet up` printed."
    )


@dataclass
class NotPermitted(RatchetError):
    """A valid token asks for something that it may not have."""

    what: str
    reason: str
    remedy: str
    template: ClassVar[str] = "Not permitted: {what}. {reason} {remedy}"


@dataclass
class MediaTypeUnsupported(RatchetError):
    """A body of a kind that nobody reads."""

    found: str
    known: str
    template: ClassVar[str] = "Content-Type '{found}' is not read here. Send one of: {known}."


@dataclass
class IdempotencyKeyReused(RatchetError):
    """A request has the key of another one and a different body."""

    key: str
    template: ClassVar[str] = (
        "Idempotency-Key '{key}' was used already, for another body. Nothing was done. Send a new key for each "
        "request, and the same one only when you repeat it."
    )


@dataclass
class LinkSpent(RatchetError):
    """A login link that was used already, or never given out by this process."""

    template: ClassVar[str] = (
        "This login link was used already, or is from an earlier run of `ratchet up`. Each link works once: "
        "take the one that it printed last, or sign in with a token."
    )
