"""The numbers in words: what is not known is said to be so."""

from pathlib import Path

from ratchet.measure.evaluations import evaluation, wording
from ratchet.measure.evaluations.comparison import Comparison, compare
from ratchet.measure.evaluations.folders import Folder
from tests.unit.measure.evaluations.conftest import NOW, Change


def test_the_headline_is_numbers(compared: Comparison) -> None:
    """A row for each measure, a text for each candidate; no row adds several up."""
    assert dict(wording.headline(compared)) == {
        "Ruled out by a must": ["yes: builders/gate (builder-2)", "no, 1 unanswered"],
        "Processes with a tool": ["2 of 4 (50%)", "0 of 4 (0%)"],
        "Processes automated": ["1 of 3 (33%)", "no map"],
        "Processes semi-automated": ["1 of 3 (33%)", "no map"],
        "Processes non-repeatable": ["0 of 3 (0%)", "no map"],
        "Processes exceptionally manual": ["1 of 3 (33%)", "no map"],
        "Processes absent": ["0 of 3 (0%)", "no map"],
        "Steps short of the target": ["3 in 2 processes, 1 processes not stated", "no map"],
        "Answers": ["🔴 2 🟡 1 🟢 3", "🔴 1 🟡 0 🟢 2"],
        "Answered": ["6 of 8", "3 of 8"],
        "With evidence": ["1 of 6", "0 of 3"],
        "Cost a year": ["1,200 EUR", "not stated"],
        "Effort until in use": ["30 days", "not stated"],
        "Tools": ["1", "not stated"],
        "Kind": ["open source", "bought"],
        "Lock-in": ["its own format", "not stated"],
    }
    assert wording.headline(compared, is_short=True)[0][1][0] == "yes: 1 red"


def test_without_maps_no_row_speaks_of_processes(place: Path, change: Change) -> None:
    """There is nothing to count."""
    change("evaluation.toml", 'target_map = "target.toml"\n', "")
    change("evaluation.toml", 'tools = { fetch = "Alpha", train = "Alpha" }\n', "")
    labels = [label for label, _ in wording.headline(compare(evaluation.read(place)))]
    assert not any("rocess" in label or "Steps" in label for label in labels)


def test_remarks_say_what_the_numbers_do_not(compared: Comparison) -> None:
    """How far today is from the target, and musts that nobody has answered."""
    assert wording.remarks(compared) == [
        "Today: 8 in 3 processes, 1 processes not stated short of the target.",
        "Alpha: degrees and steps rest on 3 of 4 processes; the others are not stated.",
        "Alpha: nobody has answered the musts payers/exit.",
        "Beta: nobody has answered the musts payers/exit.",
    ]


def test_the_state_is_one_sentence(folder: Folder, change: Change) -> None:
    """Under way, concluded, concluded and changed since, concluded with no choice."""
    assert wording.state(compare(folder.read())) == (
        "Answers are taken within 2024-10-01..2024-12-31; 9 of 16 are given."
    )
    found, _ = folder.conclude("Beta", reasons=["r"], by="person-1", now=NOW)
    assert wording.state(compare(found)) == "'Beta' was chosen on 2024-11-15 by person-1."
    change("answers.toml", "On request.", "On request, quickly.")
    assert "have changed since" in wording.state(compare(folder.read()))


def test_no_choice_is_said_to_be_none(folder: Folder) -> None:
    """Whatever its capitals were when it was typed."""
    found, _ = folder.conclude("None", reasons=["r"], by="person-1", now=NOW)
    assert wording.state(compare(found)).startswith("None of the candidates was chosen")
