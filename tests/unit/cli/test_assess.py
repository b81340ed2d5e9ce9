"""Process maps on the command line: begun, drawn, compared, planned, put on record."""

import json
from pathlib import Path

import pytest

from ratchet.measure.maps.templates import ABOUT
from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

CURRENT, TARGET = "assessment/current.toml", "assessment/target.toml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that belongs to no workspace, and the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path: str | Path, old: str, new: str, *, times: int = 1) -> None:
    """Replace a text in a file that has it."""
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, times))


# ---- init


@pytest.mark.usefixtures("folder")
def test_a_first_map_and_its_target_are_written(call: Call) -> None:
    """They can be drawn, compared and planned at once, with no workspace."""
    answer = call("assess", "init")
    assert answer.code == 0
    assert "28 processes, from the template ml-process" in answer.out
    assert f"ratchet assess map {CURRENT} --out assessment/current.html" in answer.out
    assert "28 unmeasured" in call("assess", "map", CURRENT).out
    assert "28 processes have no degree" in call("assess", "diff", CURRENT, TARGET).out.replace("\n", " ")
    assert "(proposed)" in call("assess", "plan", CURRENT, TARGET).out


def test_nothing_is_written_over(call: Call, folder: Path) -> None:
    """If one of the two files is there, neither is written."""
    (folder / "assessment").mkdir()
    (folder / TARGET).write_text("mine")
    answer = call("assess", "init")
    assert (answer.code, (folder / TARGET).read_text()) == (1, "mine")
    assert "assessment/target.toml exists already and is left as it is" in answer.err
    assert not (folder / CURRENT).exists()


@pytest.mark.usefixtures("folder")
def test_the_help_names_all_templates(call: Call) -> None:
    """And an unknown one is answered with the list."""
    shown = " ".join(call("assess", "init", "--help").out.split()).replace("- ", "-")
    assert all(name in shown for name in ABOUT)
    answer = call("assess", "init", "--template", "none")
    assert answer.code == 1
    assert "No template named 'none'. Known: ml-process" in answer.err


@pytest.mark.usefixtures("folder")
def test_an_id_that_is_none_writes_nothing(call: Call) -> None:
    """The maps are read before they are written."""
    answer = call("assess", "init", "--id", "a b")
    assert answer.code == 1
    assert "'id' is 'a b'" in answer.err
    assert not Path("assessment").exists()


# ---- map


def test_each_ending_writes_its_form(call: Call, folder: Path) -> None:
    """Seven files from one call; each is what its ending says."""
    call("assess", "init")
    begins = {
        "a.svg": "<svg ",
        "a.html": "<!doctype html>",
        "a.md": "# From an idea",
        "a.mmd": "---\ntitle:",
        "a.bpmn": "<?xml ",
        "a.json": "{",
        "a.toml": "[map]",
    }
    answer = call("assess", "map", CURRENT, *[word for name in begins for word in ("--out", name)])
    assert answer.code == 0
    assert {name: (folder / name).read_text().startswith(start) for name, start in begins.items()} == dict.fromkeys(
        begins, True
    )
    assert json.loads((folder / "a.json").read_text())["events"] == []
    assert call("assess", "map", CURRENT, "--out", "B.SVG").code == 0
    assert (folder / "B.SVG").read_text() == (folder / "a.svg").read_text()
    assert call("assess", "map", "a.toml", "--json").out == call("assess", "map", CURRENT, "--json").out


@pytest.mark.usefixtures("folder")
def test_what_cannot_be_written_is_refused(call: Call) -> None:
    """An unknown ending, a missing folder, and the map itself."""
    call("assess", "init")
    before = Path(CURRENT).read_text()
    ending = call("assess", "map", CURRENT, "--out", "a.png")
    assert (ending.code, "Known: .svg, .html, .md, .mmd, .bpmn, .json, .toml." in ending.err) == (2, True)
    missing = call("assess", "map", CURRENT, "--out", "none/a.svg")
    assert (missing.code, "mkdir -p none" in missing.err) == (1, True)
    itself = call("assess", "map", CURRENT, "--out", f"./{CURRENT}")
    assert (itself.code, "is the map itself" in itself.err) == (1, True)
    assert Path(CURRENT).read_text() == before
    below = call("assess", "init", f"{CURRENT}/sub")
    assert (below.code, "Cannot make the folder" in below.err) == (1, True)
    past = call("assess", "map", CURRENT, "--as-of", "2024-01-01")
    assert (past.code, "no ledger to look back into" in past.err) == (1, True)


@pytest.mark.usefixtures("folder")
def test_a_mistake_in_a_map_is_one_line(call: Call) -> None:
    """With file, line and remedy, and nothing written."""
    call("assess", "init")
    edit(CURRENT, '"data curator", "DevOps"', '"data curater"')
    answer = call("assess", "map", CURRENT, "--out", "a.svg")
    assert answer.code == 1
    assert answer.err.startswith(f"Error: {CURRENT}:49: 'roles' names an unknown role, 'data curater'. Allowed: ")
    assert not Path("a.svg").exists()
    assert "ratchet assess init" in call("assess", "map", "none.toml").err


@pytest.mark.usefixtures("folder")
def test_without_a_workspace_only_what_is_declared_is_shown(call: Call) -> None:
    """It says so; a workspace that was named must be there."""
    call("assess", "init")
    answer = call("assess", "map", CURRENT)
    assert "only what people declare is shown" in answer.err
    assert json.loads(call("assess", "map", CURRENT, "--json").out)["measured"] is None
    assert call("assess", "map", CURRENT, "--propose-edges").code == 1
    assert "No ratchet.toml" in call("assess", "map", CURRENT, "--workspace", ".").err


@pytest.mark.usefixtures("project")
def test_with_a_workspace_the_ledger_stands_beside(call: Call) -> None:
    """What is bound is measured, and a disagreement is listed with its reason."""
    call("assess", "init")
    edit(
        CURRENT,
        'degree = "unmeasured"\nbound_to = { stage = "deploy" }',
        'degree = "automated"\nbound_to = { stage = "deploy" }',
    )
    answer = call("assess", "map", CURRENT, "--out", "a.html")
    assert answer.code == 0
    assert "Where people and ledger disagree: 1" in answer.out
    assert "people say automated, the ledger shows absent. Never seen in a" in " ".join(answer.out.split())
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    values = json.loads(call("assess", "map", CURRENT, "--json").out)
    assert values["measured"]["train"]["reason"].startswith("Only 1 of the 3 cases")
    assert [one["node"] for one in values["disagreements"]] == ["deploy"]
    assert "Never seen in a complete record" in Path("a.html").read_text()


@pytest.mark.usefixtures("project")
def test_edges_are_proposed_from_the_ledger(call: Call) -> None:
    """What happened once only is not; the answer says so."""
    call("assess", "init")
    answer = call("assess", "map", CURRENT, "--propose-edges")
    assert answer.code == 0
    assert "The ledger proposes no edge" in answer.out
    values = json.loads(call("assess", "map", CURRENT, "--propose-edges", "--json").out)
    assert values["proposed_edges"] == []


# ---- diff and plan


@pytest.mark.usefixtures("folder")
def test_a_difference_counts_steps_and_finds_what_stays_manual(call: Call) -> None:
    """One process from absent to automated is four steps; a target must not leave work by hand."""
    call("assess", "init")
    edit(
        CURRENT,
        'degree = "unmeasured"\nbound_to = { stage = "train" }',
        'degree = "absent"\nbound_to = { stage = "train" }',
    )
    edit(TARGET, 'degree = "automated"\nbound_to = { stage = "data" }', 'degree = "exceptionally manual"')
    answer = call("assess", "diff", CURRENT, TARGET, "--out", "gap.md")
    assert answer.code == 0
    assert answer.out.startswith("ml-process-current@1 is at least 4 steps short of ml-process-target@1: 27")
    assert "- 'Bring in source data' (ingest) is exceptionally manual in the target." in answer.out
    assert Path("gap.md").read_text().startswith("# From ml-process-current@1")
    drawn = call("assess", "diff", CURRENT, TARGET, "--out", "gap.html", "--out", "gap.svg")
    assert drawn.err.endswith("Written: gap.html\nWritten: gap.svg\n")
    assert all("what changes" in Path(name).read_text() for name in ("gap.html", "gap.svg"))
    ending = call("assess", "diff", CURRENT, TARGET, "--out", "gap.bpmn")
    assert (ending.code, "Known: .svg, .html, .md." in ending.err) == (2, True)
    values = json.loads(call("assess", "diff", CURRENT, TARGET, "--json").out)
    assert (values["steps_short"], values["matrix"]["absent"]["automated"]) == (4, 1)
    assert [one["kind"] for one in values["findings"]] == ["stays manual"]


@pytest.mark.usefixtures("folder")
def test_a_map_without_degrees_is_no_step_short_of_nothing(call: Call) -> None:
    """Where nobody has said how anything is done, the way to the target is unknown and not 0 steps."""
    call("assess", "init")
    for command in ("diff", "plan"):
        shown = call("assess", command, CURRENT, TARGET, "--out", "way.md").out.replace("\n", " ")
        assert "How far ml-process-current@1 is from ml-process-target@1 is not known: 28 processes have" in shown
        assert "0 steps" not in shown + Path("way.md").read_text()
    assert "None of the 28 steps has an owner." in shown
    assert "In all" not in shown


@pytest.mark.usefixtures("folder")
def test_a_plan_leads_to_a_target(call: Call) -> None:
    """The other way round it is refused, and so is a step for a process that is not there."""
    call("assess", "init")
    wrong = call("assess", "plan", TARGET, CURRENT)
    assert wrong.code == 2
    assert "Are the two the wrong way round?" in wrong.err
    Path("steps.toml").write_text('[[step]]\ntitle = "t"\nnodes = ["none"]\n')
    bad = call("assess", "plan", CURRENT, TARGET, "--steps", "steps.toml")
    assert (bad.code, "steps.toml:3: 'nodes' names 'none'" in bad.err) == (1, True)
    Path("steps.toml").write_text(
        '[[step]]\ntitle = "Schedule it"\nnodes = ["train"]\nowner = "team-1"\n'
        "effort_days = 3\ncost = 1500\nby = 2020-01-31\n"
    )
    shown = call("assess", "plan", CURRENT, TARGET, "--steps", "steps.toml", "--out", "plan.md")
    first = next(line for line in shown.out.splitlines() if line.strip().startswith("1 "))
    assert first.split() == ["1", "Schedule", "it", "team-1", "3", "1,500", "2020-01-31", "overdue"]
    assert "In all: 3 days, 1,500 EUR, the last by 2020-01-31." in shown.out
    assert "| 1 | Schedule it | team-1 | 3 | 1,500 | 2020-01-31 |" in Path("plan.md").read_text()


@pytest.mark.usefixtures("project")
def test_progress_is_read_off_the_record(call: Call) -> None:
    """What the latest recorded map declares counts where nothing is measured."""
    call("assess", "init")
    nodes = ["explain", "risk"]
    call("assess", "record", CURRENT)
    text = Path(CURRENT).read_text().replace("version = 1", "version = 2", 1)
    head, mark, rest = text.partition('id = "explain"')
    Path("later.toml").write_text(head + mark + rest.replace("unmeasured", "semi-automated", 1))
    assert call("assess", "record", "later.toml").code == 0
    steps = json.loads(call("assess", "plan", CURRENT, TARGET, "--json").out)["steps"]
    found = {one["step"]["id"]: (one["status"], one["progress"][0]["evidence"]) for one in steps}
    assert [found[name] for name in nodes] == [("done", "declared"), ("unknown", "")]


# ---- record


def test_a_recorded_version_never_changes(call: Call, project: Path) -> None:
    """The same again changes nothing, another content is refused, the next version is another record."""
    call("assess", "init")
    first = call("assess", "record", CURRENT)
    assert (first.code, "ml-process-current@1 is on record: event" in first.out) == (0, True)
    edit(CURRENT, "# The usual way", "# A comment changes nothing. The usual way")
    again = call("assess", "record", CURRENT, "--json")
    assert json.loads(again.out)["is_new"] is False
    assert "was on record already" in call("assess", "record", CURRENT).out
    edit(CURRENT, '"unmeasured"\nbound_to', '"automated"\nbound_to')
    refused = call("assess", "record", CURRENT)
    assert refused.code == 1
    assert "a recorded version never changes. Nothing was recorded. Give the map its next version" in " ".join(
        refused.err.split()
    )
    edit(CURRENT, "version = 1", "version = 2")
    assert json.loads(call("assess", "record", CURRENT, "--json").out)["is_new"] is True
    with Workspace(project) as workspace:
        events = list(workspace.ledger.read(types=["assessment.recorded"]))
    assert [(event.subject, event.evidence) for event in events] == [
        ("ml-process-current@1", "declared"),
        ("ml-process-current@2", "declared"),
    ]


@pytest.mark.usefixtures("project")
def test_a_recorded_map_needs_no_file(call: Call) -> None:
    """It is drawn and compared by its reference."""
    call("assess", "init")
    call("assess", "record", CURRENT)
    call("assess", "record", TARGET)
    Path(CURRENT).unlink()
    assert call("assess", "map", "ml-process-current@1").code == 0
    assert call("assess", "diff", "ml-process-current@1", "ml-process-target@1").code == 0
    missing = call("assess", "map", "ml-process-current@9")
    assert missing.code == 1
    assert "Recorded: ml-process-current@1, ml-process-target@1." in " ".join(missing.err.split())


@pytest.mark.usefixtures("folder")
def test_a_record_needs_a_workspace(call: Call) -> None:
    """There is no ledger elsewhere."""
    call("assess", "init")
    answer = call("assess", "record", CURRENT)
    assert (answer.code, "No ratchet.toml" in answer.err) == (1, True)


@pytest.mark.usefixtures("project")
def test_what_is_declared_moves_no_level(call: Call) -> None:
    """A map on which all is automated changes nothing about what was measured."""
    call("assess", "init")
    before = json.loads(call("level", "returns", "--json").out)
    call("assess", "record", TARGET)
    after = json.loads(call("level", "returns", "--json").out)
    assert [(one["level"], one["profile"]["train"]["modes"]) for one in (before, after)] == [
        (before["level"], before["profile"]["train"]["modes"])
    ] * 2
