"""Pages about files of people: when they have to come again."""

import pytest

from ratchet.measure.project_files import FileState
from ratchet.web.background import Answer
from ratchet.web.file_pages import Reading, is_outdated

BEFORE: tuple[FileState, ...] = ()
NOW = (FileState(name="maps/today.toml", size_bytes=10, modified_ns=1),)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(), True),
        (Answer(problem="the ledger cannot be read"), False),
        (Answer(value=Reading(files=BEFORE, found=[])), True),
        (Answer(value=Reading(files=NOW, found=[])), False),
    ],
    ids=["nothing read", "cannot be read", "other files", "these files"],
)
def test_a_page_comes_again_until_it_shows_the_files_as_they_are(answer: Answer[Reading], expected: bool) -> None:
    """What was read before a file changed is shown, and not for the last time; an error is shown once."""
    assert is_outdated(answer, NOW) is expected
