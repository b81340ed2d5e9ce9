"""Policies on the command line: listed, checked, tried, published."""

import json
from pathlib import Path

import pytest

from ratchet.measure import policies
from tests.unit.cli.conftest import Call

OWN = 'policy = "ours"\n[[level]]\nid = 1\nname = "Trained"\nall = [{ stage = "train", measure = "exec", n_min = 1 }]\n'


@pytest.fixture
def own(project: Path) -> Path:
    """Give a policy file in the project."""
    path = project / "policies" / "ours.toml"
    path.parent.mkdir()
    path.write_text(OWN)
    return path


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("words", [("policy",), ("policy", "list")])
def test_all_that_ship_are_listed(call: Call, words: tuple[str, ...]) -> None:
    """Each policy has its line with its levels and whether it is in force."""
    lines = call(*words).out.splitlines()
    assert all(any(line.startswith(name) for line in lines) for name in policies.SHIPPED)
    assert next(line for line in lines if line.startswith("google-0-2")).split()[1:3] == ["3", "ships"]
    values = json.loads(call(*words, "--json").out)
    assert [one["is_in_force"] for one in values] == [True, True, False, False, False]
    assert values[2]["stages"] == ["features"]


@pytest.mark.usefixtures("project")
def test_a_shipped_file_is_printed_as_it_is(call: Call, tmp_path: Path) -> None:
    """What is printed can be saved and is the same policy."""
    (tmp_path / "copy.toml").write_text(call("policy", "show", "microsoft-0-4").out)
    assert policies.load(tmp_path / "copy.toml").digest == policies.shipped("microsoft-0-4").digest


def test_a_good_file_is_said_to_be_one(call: Call, own: Path) -> None:
    """The levels and criteria are listed."""
    shown = call("policy", "check", str(own)).out
    assert "'ours', 1 level" in shown
    assert "train exec" in shown
    assert json.loads(call("policy", "check", str(own), "--json").out)["levels"][0]["name"] == "Trained"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"train"', '"trian"', "ours.toml:5: 'stage' is 'trian'. Write one of: data, train"),
        ('"exec"', '"exce"', "ours.toml:5: 'measure' is 'exce'. Write one of: init, exec"),
        ("n_min = 1", "theta = 1.5", "ours.toml:5: 'theta' is 1.5. Write a share above 0 and up to 1"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(call: Call, own: Path, before: str, after: str, message: str) -> None:
    """File, line and what is allowed; code 1."""
    own.write_text(OWN.replace(before, after))
    answer = call("policy", "check", str(own))
    assert answer.code == 1
    assert message in answer.err


def test_trying_shows_both_levels_and_changes_nothing(call: Call, project: Path, own: Path) -> None:
    """Each pipeline has its present level and the one by the file; the project is as it was."""
    before = (project / "ratchet.toml").read_text()
    shown = call("policy", "try", str(own)).out
    assert "STANDARD" in shown
    assert "OURS" in shown
    assert "1 Trained" in shown
    values = json.loads(call("policy", "try", str(own), "--json", "--beside", "strict").out)
    assert (values["beside"], values["pipelines"][0]["strict"], values["pipelines"][0]["ours"]) == ("strict", "0", "1")
    assert (project / "ratchet.toml").read_text() == before


def test_a_copy_that_kept_its_name_is_told_apart(call: Call, project: Path) -> None:
    """A policy of the same name as the present one is called by its file, so that neither level is lost."""
    path = project / "strict-copy.toml"
    path.write_text(call("policy", "show", "strict").out)
    assert "STRICT-COPY.TOML" in call("policy", "try", str(path), "--beside", "strict").out
    (row,) = json.loads(call("policy", "try", str(path), "--json", "--beside", "strict").out)["pipelines"]
    assert row["strict"] == row["strict-copy.toml"]


def test_a_published_policy_is_in_force(call: Call, own: Path) -> None:
    """Afterwards levels can be asked for by it, and the ledger has its digest."""
    answer = call("policy", "publish", str(own))
    assert answer.code == 0
    assert "'ours' is in force" in answer.out
    assert call("level", "--policy", "ours").out.startswith("returns: level 1 of 1, Trained")
    listed = call("events", "--type", "level.policy.published", "--json").out
    assert policies.load(own).digest in listed
    again = json.loads(call("policy", "publish", str(own), "--json").out)
    assert again["is_in_force"]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("words", [("check",), ("try",), ("publish",)])
def test_a_missing_file_is_named(call: Call, words: tuple[str, ...]) -> None:
    """What was meant is not there, and what could be meant is said."""
    answer = call("policy", *words, "gone.toml")
    assert answer.code == 1
    assert "gone.toml: cannot be read: No such file" in answer.err
