"""Levels of all pipelines of a workspace, goals, and policies that are put in force."""

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from ratchet import clock
from ratchet.cli.init import write_project
from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.measure import policies
from ratchet.measure.standings import standing_of
from ratchet.measuring import Measuring, means, with_policy
from ratchet.store.erasure import erase_payload
from ratchet.workspace import Workspace
from tests.ledgers import LedgerBuilder
from tests.rows import write_rows

OWN = 'policy = "ours"\n[[level]]\nid = 1\nname = "Trained"\nall = [{ stage = "train", measure = "init", n_min = 1 }]\n'
STAGE = '[[stage]]\nstage = "told"\ntype = "custom.emitted"\n'


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Give a workspace whose ledger tells of a pipeline in its fifth automated week."""
    folder = tmp_path / "shop"
    write_project(folder)
    with Workspace(folder) as workspace:
        ledger = LedgerBuilder(start=datetime.now(UTC) - timedelta(days=36))
        for _ in range(5):
            ledger.automated_week()
        write_rows(workspace.database, ledger.events)
        yield workspace


def test_all_levels_are_those_of_the_reports(workspace: Workspace) -> None:
    """The table gives what the report of each pipeline gives, by each policy, in the project's order of names."""
    measuring = Measuring(workspace)
    assert measuring.pipelines() == ["flight-delay"]
    for name in policies.SHIPPED:
        policy = workspace.policy(name)
        (found,) = measuring.standings(policy)
        assert found == standing_of(measuring.level("flight-delay", policy))
        assert found == standing_of(workspace.level("flight-delay", policy=name))


def test_where_nothing_can_be_kept_the_events_are_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that cannot be written to gives the same levels and activity."""
    measuring = Measuring(workspace)
    expected = measuring.standings(workspace.policy("standard"))
    monkeypatch.setattr("ratchet.store.projections.Projections.is_writable", lambda _self: False)
    assert Measuring(workspace).standings(workspace.policy("standard")) == expected
    (series,) = Measuring(workspace).distributions(workspace.policy("standard"), months=1)
    assert series.buckets["3"] == 1


def test_stages_that_are_not_folded_are_measured_from_events(workspace: Workspace, tmp_path: Path) -> None:
    """A policy that is only tried may have stages that the table knows nothing of."""
    text = OWN.replace("[[level]]", f"{STAGE}[[level]]").replace('"train"', '"told"')
    (tmp_path / "tried.toml").write_text(text)
    policy = policies.load(tmp_path / "tried.toml")
    (found,) = Measuring(workspace).standings(policy)
    assert (found.level, found.is_insufficient) == (0, True)


def test_the_past_is_kept_and_stays(workspace: Workspace) -> None:
    """Levels of a month that is over are computed once; what was kept is given again."""
    measuring, policy = Measuring(workspace), workspace.policy("standard")
    at = clock.now() - timedelta(days=10)
    before = measuring.standings(policy, as_of=at)
    assert before[0].level == 3
    assert Measuring(workspace).standings(policy, as_of=at) == before
    series = measuring.distributions(policy)
    assert [one.active for one in series] == [1] * len(series)
    assert series[-1].buckets["3"] == 1
    assert measuring.distribution(policy).buckets == series[-1].buckets


def test_the_past_follows_what_is_imported_of_it(workspace: Workspace) -> None:
    """A month that was worked out before its history was imported is worked out again."""
    measuring, policy = Measuring(workspace), workspace.policy("standard")
    at, names = clock.now() - timedelta(days=3), ("flight-delay", "elsewhere")
    before = {one.pipeline: one.level for one in measuring._stood(policy, at, names)}
    ledger = LedgerBuilder(start=datetime.now(UTC) - timedelta(days=60), pipeline="elsewhere")
    ledger.scheduled_training(weeks=5)
    here = workspace.ledger.last_seq()
    told = {"source": "airflow", "evidence": "imported", "recordedtime": clock.now(), "trigger": "schedule"}
    write_rows(workspace.database, [replace(event, seq=here + event.seq, **told) for event in ledger.events])
    after = {one.pipeline: one.level for one in measuring._stood(policy, at, names)}
    assert (before, after) == ({"flight-delay": 3, "elsewhere": 0}, {"flight-delay": 3, "elsewhere": 1})
    assert {one.pipeline: one.level for one in measuring._stood(policy, at, names)} == after


def test_goals_are_set_changed_and_dropped(workspace: Workspace) -> None:
    """A goal is an event with its command as its cause; the last word on it counts."""
    measuring = Measuring(workspace)
    policy, by = workspace.policy("standard"), (clock.now() + timedelta(days=90)).date()
    event = measuring.set_goal("all of them", share=1.0, level=4, by=by, policy=policy, owner="you")
    cause = workspace.ledger.get(event.causationid)
    assert cause is not None
    assert (cause.type, cause.data["action"]) == ("command.issued", "set_goal")
    (found,) = measuring.goals()
    assert (found.behind, found.needed, found.share) == (("flight-delay",), 1, 0.0)
    (step,) = measuring.steps(found.behind, policy)
    assert step.measure == "user_rules_fired"
    measuring.set_goal("all of them", share=1.0, level=3, by=by, policy=policy, owner="you")
    assert measuring.goals()[0].status == "met"
    measuring.drop_goal("all of them")
    assert measuring.goals() == []
    with pytest.raises(UnknownName, match="none yet"):
        measuring.drop_goal("all of them")


def test_a_claim_stands_beside_the_measured_level(workspace: Workspace) -> None:
    """What is declared is found again for its pipeline and policy, and changes no level."""
    measuring, policy = Measuring(workspace), workspace.policy("standard")
    measuring.declare("flight-delay", 4, policy, reason="we think so")
    report = measuring.level("flight-delay", policy)
    found = measuring.three_levels(report, policy)
    assert found.declared is not None
    assert (found.declared.level, found.measured) == (4, 3)
    assert measuring.three_levels(report, workspace.policy("strict")).declared is None


def test_what_automates_here_is_what_ships() -> None:
    """Each stage of the loop has a rule that ships, and the engine judges and looks for files unasked."""
    found = {stage: one.kind for one in reversed(means()) for stage in one.stages}
    assert {stage for stage, kind in found.items() if kind == "engine"} == {"data", "evaluate"}
    assert {stage for stage, kind in found.items() if kind == "preset"} == {
        *("train", "deploy", "monitor", "sample", "label", "dataset")
    }


def test_publishing_names_the_file_and_records_its_digest(workspace: Workspace, tmp_path: Path) -> None:
    """A file from elsewhere is copied into the project, named in ratchet.toml, and its digest is in the ledger."""
    (tmp_path / "ours.toml").write_text(OWN)
    policy = Measuring(workspace).publish(tmp_path / "ours.toml")
    assert (workspace.project / "policies" / "ours.toml").read_text() == OWN
    assert tomllib.loads((workspace.project / "ratchet.toml").read_text())["project"]["policies"] == [
        "policies/ours.toml"
    ]
    published = [event.data for event in workspace.ledger.read(types=["level.policy.published"])]
    assert {"policy": "ours", "digest": policy.digest} in published
    assert workspace.policy("ours").digest == policy.digest
    text = (workspace.project / "ratchet.toml").read_text()
    Measuring(workspace).publish(workspace.project / "policies" / "ours.toml")
    assert (workspace.project / "ratchet.toml").read_text() == text


@pytest.mark.parametrize("change", [('"ours"', '"strict"'), ("init", "initt")])
def test_what_cannot_be_published_changes_nothing(
    workspace: Workspace, tmp_path: Path, change: tuple[str, str]
) -> None:
    """A name that is taken, or a file that is no policy, leaves the project as it was."""
    (tmp_path / "ours.toml").write_text(OWN.replace(*change))
    before = (workspace.project / "ratchet.toml").read_text()
    with pytest.raises(ConfigInvalid):
        Measuring(workspace).publish(tmp_path / "ours.toml")
    assert (workspace.project / "ratchet.toml").read_text() == before
    assert not (workspace.project / "policies").exists()


def test_another_file_of_the_same_policy_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """Two files may not both say what one policy is."""
    for name in ("ours.toml", "other.toml"):
        (tmp_path / name).write_text(OWN)
    Measuring(workspace).publish(tmp_path / "ours.toml")
    with pytest.raises(ConfigInvalid, match="another file has the policy 'ours' already"):
        Measuring(workspace).publish(tmp_path / "other.toml")


@pytest.mark.parametrize(
    "text",
    [
        '# mine\n[project] # here\nname = "x"\n\n[limits]\n',
        '[project]\nname = "x"\npolicies = []\n',
        '[project]\nname = "x"\npolicies = ["a.toml", "b.toml"] # two\n',
        '[project]\nname = "x"\npolicies = [\n    "a.toml", # one]\n    "b.toml",\n]\n',
    ],
)
def test_a_policy_is_added_where_the_others_stand(text: str) -> None:
    """The file goes on to say all that it said, with its comments, and one policy more."""
    after = with_policy(text, "c.toml")
    found, before = tomllib.loads(after)["project"], tomllib.loads(text)["project"]
    assert sorted(found.pop("policies")) == sorted([*before.pop("policies", []), "c.toml"])
    assert found == before
    assert after.count("#") == text.count("#")
    assert with_policy(text.replace("\n", "\r\n"), "c.toml") == after.replace("\n", "\r\n")


def test_a_list_that_cannot_be_changed_is_left_to_the_person() -> None:
    """Where the list stands in a table that is written in one line, the message says what to add."""
    with pytest.raises(ConfigInvalid, match="by hand"):
        with_policy('project = { name = "x", policies = [] }\n', "c.toml")


def test_what_was_erased_is_remembered_by_nobody(workspace: Workspace) -> None:
    """A process that had read a payload before it was erased measures without it, as one that starts afterwards."""
    before = workspace.history()
    event = next(one for one in workspace.ledger.read(types=["run.finished"]))
    assert before.as_of().find(event.id) == event
    with workspace.by_command("erase_payload", {}, subject=event.id):
        erase_payload(workspace.database, workspace.ledger, event, reason="asked for")
    found = workspace.history().as_of().find(event.id)
    assert found is not None
    assert found.data == {}
    assert workspace.history() is workspace.history()
    assert workspace.ask().view.history is workspace.history()
