"""A small evaluation in a folder, of which everything is worked out by hand in the tests."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ratchet.measure.evaluations import evaluation
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.evaluations.folders import Folder

NOW = datetime(2024, 11, 15, 12, tzinfo=UTC)

DEFINITION = """\
[evaluation]
id = "choice-1"
title = "Which platform?"
period = "2024-10-01..2024-12-31"
groups = ["builders", "payers"]
target_map = "target.toml"
current_map = "today.toml"

[[candidate]]
name = "Alpha"
kind = "open source"
tools = { fetch = "Alpha", train = "Alpha" }
map = "alpha.toml"
cost_year = 1200
currency = "EUR"
effort_days = 30
lock_in = "its own format"

[[candidate]]
name = "Beta"
kind = "bought"

[[respondent]]
name = "builder-1"
groups = ["builders"]

[[respondent]]
name = "builder-2"
groups = ["builders"]

[[respondent]]
name = "payer-1"
groups = ["payers"]
"""

BUILDERS = """\
group = "builders"
name = "Builders"
role = "builder"

[[item]]
id = "gate"
text = "Is there a gate?"
why = "Something must stop what is bad."
weight = 3
must = true

[[item]]
id = "local"
text = "Does it run locally?"
why = "So that it can be tried."

[[item]]
id = "tests"
text = "Can it be tested?"
why = "So that it works tomorrow, too."
weight = 2
"""

PAYERS = """\
group = "payers"
name = "Payers"

[[item]]
id = "price"
text = "Is the price known?"
why = "It has to be paid."

[[item]]
id = "exit"
text = "Can we leave?"
why = "Nothing is for ever."
must = true
"""

ANSWERS = """\
# kept by hand: a comment that has to stay
[[answer]]
candidate = "Alpha"
group = "builders"
item = "gate"
respondent = "builder-1"
sentiment = "🟢"
text = "It has one."
evidence_link = "https://example.org/gate"
answered_on = 2024-10-02

[[answer]]
candidate = "Alpha"
group = "builders"
item = "local"
respondent = "builder-1"
sentiment = "red"
text = "Only in their cloud."

# in between
[[answer]]
candidate = "Alpha"
group = "builders"
item = "tests"
respondent = "builder-1"
sentiment = "Y"
text = \"\"\"
Half of it.
[[answer]]
\"\"\"

[[answer]]
candidate = "Alpha"
group = "builders"
item = "gate"
respondent = "builder-2"
sentiment = "🔴"
text = "It can be passed by."

[[answer]]
candidate = "Alpha"
group = "builders"
item = "local"
respondent = "builder-2"
sentiment = "🟢"
text = "It does."

[[answer]]
candidate = "alpha"
group = "payers"
item = "price"
respondent = "payer-1"
sentiment = "green"
text = "On a page."

[[answer]]
candidate = "Beta"
group = "builders"
item = "gate"
respondent = "builder-1"
sentiment = "🟢"

[[answer]]
candidate = "Beta"
group = "builders"
item = "tests"
respondent = "builder-1"
sentiment = "🟢"

[[answer]]
candidate = "Beta"
group = "payers"
item = "price"
respondent = "payer-1"
sentiment = "🔴"
text = "On request."
"""


def process_map(**degrees: str) -> str:
    """Return a map with these degrees."""
    return "\n".join(
        f'[[node]]\nid = "{name}"\nname = "{name.title()} it"\ndegree = "{d}"' for name, d in degrees.items()
    )


TARGET = process_map(fetch="automated", train="automated", label="semi-automated", watch="automated")
TODAY = process_map(fetch="exceptionally manual", train="non-repeatable", label="absent", watch="unmeasured")
ALPHA = process_map(fetch="automated", train="semi-automated", label="exceptionally manual", extra="automated")
FILES = {
    "evaluation.toml": DEFINITION,
    "answers.toml": ANSWERS,
    "target.toml": TARGET,
    "today.toml": TODAY,
    "alpha.toml": ALPHA,
    "questionnaires/builders.toml": BUILDERS,
    "questionnaires/payers.toml": PAYERS,
}


def write(target: Path, content: bytes) -> None:
    """Write a file; that it is whole after a crash is tested where such files are written."""
    target.write_bytes(content)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of the small evaluation."""
    folder = tmp_path / "choice"
    (folder / "questionnaires").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def folder(place: Path) -> Folder:
    """The same, as something that can be changed."""
    return Folder(place, write=write)


@pytest.fixture
def compared(place: Path) -> Comparison:
    """The comparison of its candidates."""
    return compare(evaluation.read(place))


Change = Callable[[str, str, str], None]


@pytest.fixture
def change(place: Path) -> Change:
    """Replace a text in one of its files; the text has to be there."""

    def replace(name: str, old: str, new: str) -> None:
        text = (place / name).read_text()
        assert old in text
        (place / name).write_text(text.replace(old, new, 1))

    return replace
