"""One living process holds a serving folder, and everybody can see which."""

from pathlib import Path

import pytest

from ratchet.errors import ServingFolderHeld
from ratchet.loop.serving import claim


def test_second_claim_is_refused_with_the_holder(folder: Path) -> None:
    """A folder that is served already is refused, and the error names the process."""
    first = claim.Claim(folder)
    me = first.describe(host="127.0.0.1", port=4242)
    with pytest.raises(ServingFolderHeld) as refused:
        claim.Claim(folder)
    assert refused.value.pid == me.pid
    first.release()


def test_holder_is_seen_while_it_lives_and_not_after(folder: Path) -> None:
    """The holder is known while the lock is held; afterwards only its port is remembered."""
    assert claim.holder(folder) is None
    held = claim.Claim(folder)
    me = held.describe(host="127.0.0.1", port=4242)
    assert claim.holder(folder) == me
    held.release()
    assert claim.holder(folder) is None
    assert claim.last_holder(folder) == me


def test_only_an_endpoint_that_can_be_seen_has_a_number_to_signal(folder: Path) -> None:
    """A number that is another process's, such as this one's, is none; so is one of which nothing is known."""
    assert claim.holder_pid(folder) == 0
    held = claim.Claim(folder)
    held.describe(host="127.0.0.1", port=4242)
    assert claim.holder_pid(folder) == claim.holder_pid(folder, is_ours_to_end=False) == -1
    held.release()
    assert claim.holder_pid(folder) == 0


def test_a_claim_without_a_description_is_no_holder(folder: Path) -> None:
    """A process that starts where another one died is not taken for that one, whose port it will try."""
    died = claim.Claim(folder)
    former = died.describe(host="127.0.0.1", port=4242)
    died.release()
    starts = claim.Claim(folder)
    assert claim.holder(folder) is None
    assert claim.last_holder(folder) == former
    assert starts.describe(host="127.0.0.1", port=4242) == claim.holder(folder)
    starts.release()


def test_damaged_description_is_no_holder(folder: Path) -> None:
    """A description that cannot be read counts as none, and the next claim replaces it."""
    (folder / claim.HOLDER_FILE).write_bytes(b"{")
    assert claim.last_holder(folder) is None
    held = claim.Claim(folder)
    assert held.describe(host="127.0.0.1", port=1) == claim.holder(folder)
    held.release()


def test_every_writer_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Two claims never write spool files of one name."""
    claims = [claim.Claim(tmp_path / name) for name in ("a", "b")]
    assert claims[0].writer != claims[1].writer
    for held in claims:
        held.release()
