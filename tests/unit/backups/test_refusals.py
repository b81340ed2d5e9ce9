"""Refusals of backups: each crosses processes, and says what to do."""

import pickle

import pytest

from ratchet.backups import refusals
from ratchet.errors import RatchetError

EXAMPLES = [
    refusals.BackupFailed(path="f", problem="p", remedy="Do it."),
    refusals.BackupIncomplete(what="w"),
    refusals.ArchiveInvalid(path="f", entry="e", problem="p"),
    refusals.ArchiveTooNew(path="f", what="format", found=2, supported=1),
    refusals.TargetTaken(target="t", found="is not empty", remedy="Do it."),
    refusals.RestoreFailed(target="t", problem="p", remedy="Do it."),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_refusal_survives_the_way_between_processes(error: RatchetError) -> None:
    """Rebuilt from its fields, it says the same, and what was not done."""
    rebuilt = pickle.loads(pickle.dumps(error))  # noqa: S301, our own bytes
    assert (type(rebuilt), str(rebuilt)) == (type(error), str(error))
    assert any(word in str(error) for word in ("No backup", "othing"))
