"""Zip files whose bytes follow from their content alone.

Invariant: the same members give the same bytes; nothing is read that is larger than an archive may unpack to.
"""

import io
import zipfile
from collections.abc import Mapping

from ratchet.store.formats.refusals import ModelRefused

FIXED_DATE = (1980, 1, 1, 0, 0, 0)
UNPACKED_LIMIT_BYTES = 16 << 30


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return an archive with these members, in order of their names, each with a fixed date."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, FIXED_DATE), members[name], zipfile.ZIP_DEFLATED)
    return output.getvalue()


def unpack(content: bytes, *, format: str) -> dict[str, bytes]:  # noqa: A002, the field's word
    """Return the members of an archive by name.

    Raises:
        ModelRefused: It is no archive, it is damaged, or it unpacks to more than an artifact may hold.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
            if size_bytes > UNPACKED_LIMIT_BYTES:
                reason = f"it unpacks to {size_bytes} bytes, and {UNPACKED_LIMIT_BYTES} are allowed"
                raise ModelRefused(format=format, reason=reason)
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise ModelRefused(format=format, reason=f"its file is no archive: {error}".rstrip(".")) from error
