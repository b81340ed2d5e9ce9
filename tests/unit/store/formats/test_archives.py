"""Archives whose bytes follow from their content, and what is refused to be unpacked."""

import io
import zipfile

import pytest

from ratchet.store.formats import archives
from ratchet.store.formats.refusals import ModelRefused


def test_the_order_of_members_is_no_part_of_the_bytes() -> None:
    """The same members give the same bytes, whichever came first, and come back."""
    packed = archives.pack({"b": b"2", "a": b"1"})
    assert packed == archives.pack({"a": b"1", "b": b"2"})
    assert archives.unpack(packed, format="x") == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("length", [0, 10, -30])
def test_a_damaged_archive_is_refused(length: int) -> None:
    """What is truncated is refused in our words, with the format."""
    with pytest.raises(ModelRefused, match=r"in the format 'x'.*no archive"):
        archives.unpack(archives.pack({"a": b"1" * 100})[:length], format="x")


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that would fill the memory is refused before it is unpacked."""
    monkeypatch.setattr(archives, "UNPACKED_LIMIT_BYTES", 1000)
    with pytest.raises(ModelRefused, match="unpacks to 1001 bytes"):
        archives.unpack(archives.pack({"a": bytes(1001)}), format="x")


def test_dates_are_fixed() -> None:
    """No member has the time at which it was written."""
    with zipfile.ZipFile(io.BytesIO(archives.pack({"a": b""}))) as packed:
        assert packed.infolist()[0].date_time == archives.FIXED_DATE
