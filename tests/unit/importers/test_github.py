"""GitHub: the reading that was written down before the importer, and levels of pipelines that run there."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ratchet.config import ImportSection
from ratchet.importers import github
from ratchet.importers.readings import Reading
from ratchet.importers.refusals import RecordInvalid
from ratchet.measure import policies
from ratchet.measure.freshness import freshness
from ratchet.measure.history import Snapshot
from ratchet.measure.initiators import trace
from ratchet.measure.levels import measure_level
from ratchet.measure.transitions import transitions
from tests.docs import pages
from tests.unit.importers.shapes import (
    BOT,
    PERSON,
    REPOSITORY,
    START,
    WITNESS,
    Desk,
    approval,
    at,
    deployment,
    page,
    run,
    status,
    types_of,
)

PAGE = pages.DOCS / "importing" / "github-reading.md"
EVENTS = {row[0]: re.findall(r"`([\w.]+)`", row[1]) for row in pages.rows(pages.section(PAGE, "What is recorded"))}
EXPORTS = os.environ.get("RATCHET_EXPORTS", "")
AFTER_THE_RUNS = datetime(2022, 9, 4, tzinfo=UTC)
TRAIN = ImportSection(pipeline="churn", stages=("train", "evaluate"))
CHECKS = ImportSection(pipeline="churn", stages=("evaluate",))
DEPLOY = ImportSection(pipeline="churn", stages=("deploy",))


# ---- the 35 runs


@pytest.fixture
def exported() -> Path:
    """The real export, where this machine has it."""
    path = Path(EXPORTS) / "github_runs.json"
    if not EXPORTS or not path.is_file():
        pytest.skip("RATCHET_EXPORTS names no folder with github_runs.json")
    return path


def _expected() -> list[list[str]]:
    return [row for row in pages.rows(pages.section(PAGE, "The 35 runs")) if row[0].isdecimal()]


def _mode(snapshot: Snapshot, pipeline: str, reading: Reading) -> str:
    """Return who started the transition that a run is, or ``no``."""
    subject = next(event.subject for event in reading.events if event.type == "run.queued")
    found = [one for one in transitions(snapshot, pipeline, "train") if one.subject == subject]
    return {"automation": "auto", "human": "human"}[found[0].root_class] if found else "no"


def test_all_35_runs_are_read_as_it_was_written(desk: Desk, exported: Path) -> None:
    """Run by run: events, outcome, trigger, class of the actor, initiator, and whether it counts."""
    named = {name: ImportSection(pipeline=name, stages=("train", "evaluate")) for name in ("CodeQL", "Lint", "Tests")}
    readings, claims = github.read_files([exported], sections=named, witness=WITNESS)
    desk.take(exported, sections=named)
    snapshot = desk.history().as_of()
    known = {(event.source, event.id): event for event in desk.events()}
    found = []
    for number, one in enumerate(readings, start=1):
        events = [event for event in one.events if event.type not in ("clock.ticked", "code.pushed", "command.issued")]
        kinds = next(name for name, types in EVENTS.items() if types == types_of(events))
        start = trace(snapshot, known[one.source, events[0].id], stage="train")
        initiator = known[one.source, one.cause].type
        found.append(
            [
                str(number),
                one.key.split("/")[1],
                one.name,
                kinds,
                one.outcome or "-",
                one.trigger,
                start.actor_class,
                initiator,
                _mode(snapshot, one.pipeline, one),
            ]
        )
    # Columns 3 to 5 of the page repeat what the record says; the last says why.
    assert found == [[row[0], row[1], row[2], *row[6:12]] for row in _expected()]
    assert claims == {"github/example/library": 35}


def test_the_page_repeats_the_records_of_the_export(exported: Path) -> None:
    """Event, attempt, status and conclusion on the page are those of the file."""
    readings = github.read_exports([exported], github.kinds("github")).of("run")
    for (_, record), row in zip(readings, _expected(), strict=True):
        conclusion = "null" if record["conclusion"] is None else f"`{record['conclusion']}`"
        shown = f"`{record['status']}`, {conclusion if record['conclusion'] != '' else 'empty'}"
        assert row[3:6] == [record["event"], str(record["run_attempt"]), shown]


def test_levels_of_the_35_runs_are_those_of_the_page(desk: Desk, exported: Path) -> None:
    """Eleven of twelve trainings of CodeQL are automatic; of the others there are too few."""
    named = {name: ImportSection(stages=("train", "evaluate")) for name in ("CodeQL", "Lint", "Tests")}
    desk.take(exported, sections=named)
    for row in pages.rows(pages.section(PAGE, "What follows for levels")):
        profile = desk.level(row[0], as_of=AFTER_THE_RUNS).profile["train"].init
        share = f"{profile.k} ({profile.share:.0%})" if profile.status == "met" and profile.share else str(profile.k)
        assert [row[0], str(profile.n), share.replace("%", " %"), profile.status] == row
    assert desk.level("CodeQL", as_of=AFTER_THE_RUNS).level == 1
    assert desk.level("CodeQL").level == 0


def test_without_a_mapping_none_of_them_counts(desk: Desk, exported: Path) -> None:
    """One pipeline for each workflow, its stage unknown, and no transition anywhere."""
    desk.take(exported)
    history = desk.history()
    assert set(history.pipelines) == {"CodeQL", "Lint", "Tests"}
    assert [transitions(history.as_of(), name, "train") for name in history.pipelines] == [[], [], []]


# ---- who started it


@pytest.mark.parametrize(
    ("changes", "trigger", "expected"),
    [
        ({"event": "schedule"}, "schedule", "automation"),
        ({"event": "schedule", "actor": None, "triggering_actor": None}, "schedule", "automation"),
        ({"event": "push"}, "code", "automation"),
        ({"event": "workflow_dispatch"}, "ui", "human"),
        ({"event": "workflow_dispatch", "actor": BOT, "triggering_actor": BOT}, "unknown", "unknown"),
        ({"event": "workflow_dispatch", "actor": None, "triggering_actor": None}, "unknown", "unknown"),
        ({"event": "repository_dispatch"}, "unknown", "unknown"),
        ({"event": "workflow_run"}, "unknown", "unknown"),
        ({"event": "issue_comment"}, "unknown", "unknown"),
        ({"event": "schedule", "run_attempt": 2}, "rerun", "human"),
        ({"event": "push", "run_attempt": 3}, "rerun", "human"),
        ({"event": "schedule", "run_attempt": 2, "triggering_actor": BOT}, "unknown", "unknown"),
        ({"event": "schedule", "run_attempt": 2, "triggering_actor": None}, "unknown", "unknown"),
    ],
)
def test_who_started_a_run(desk: Desk, changes: dict[str, Any], trigger: str, expected: str) -> None:
    """The event decides and never the name beside it; a further attempt has its own starter."""
    desk.take(desk.save("runs.json", page(run(1, **changes))), sections={"Retrain": TRAIN})
    (training,) = transitions(desk.history().as_of(), "churn", "train")
    assert training.root_class == expected
    assert desk.events("run.queued")[0].trigger == trigger


def test_runs_of_one_push_share_it(desk: Desk) -> None:
    """Three workflows that listen to a push are caused by one push."""
    sha = "a" * 40
    runs = [run(n, name, "push", head_sha=sha) for n, name in enumerate(("Build", "Lint", "Tests"))]
    desk.take(desk.save("runs.json", page(*runs)))
    (pushed,) = desk.events("code.pushed")
    assert pushed.data == {"repo": REPOSITORY, "sha": sha}
    assert {event.causationid for event in desk.events("run.queued")} == {pushed.id}


# ---- levels, end to end


def _a_summer(desk: Desk, *, checked: bool = True) -> list[Path]:
    """Write exports: weekly trainings under a person's name, one by hand, and deployments by push."""
    weekly = [run(week, day=7 * week) for week in range(1, 6)]
    by_hand = run(9, event="workflow_dispatch", day=38)
    pushes = [run(20 + week, "Deploy", "push", day=7 * week + 1) for week in range(1, 5)]
    checks = [
        run(
            40 + week,
            "Checks",
            "push",
            day=7 * week + 1,
            head_sha=pushes[week - 1]["head_sha"],
            updated_at=at(7 * week + 1, 5),
        )
        for week in range(1, 5)
    ]
    return [desk.save("runs.json", page(*weekly, by_hand, *pushes, *(checks if checked else [])))]


def test_a_pipeline_on_github_has_its_level(desk: Desk) -> None:
    """Five trainings by cron under a person's name, one by hand, deployments by push behind checks: level 2."""
    desk.take(*_a_summer(desk), sections={"Retrain": TRAIN, "Deploy": DEPLOY, "Checks": CHECKS})
    report = desk.level("churn")
    assert (report.level, report.weakest_evidence) == (2, "imported")
    assert report.profile["train"].modes["auto"] == 5
    assert report.profile["train"].modes["assisted"] == 1
    assert report.profile["deploy"].modes["auto"] == 4


def test_deployments_without_checks_hold_it_at_level_1(desk: Desk) -> None:
    """What was deployed was never looked at: the gate is what blocks."""
    desk.take(*_a_summer(desk, checked=False), sections={"Retrain": TRAIN, "Deploy": DEPLOY})
    report = desk.level("churn")
    assert (report.level, [one.criterion.measure for one in report.blocking]) == (1, ["gate_before_deploy"])


def test_trainings_by_hand_are_level_0(desk: Desk) -> None:
    """The same file with buttons in place of crons."""
    runs = [run(week, event="workflow_dispatch", day=7 * week) for week in range(1, 6)]
    desk.take(desk.save("runs.json", page(*runs)), sections={"Retrain": TRAIN})
    report = desk.level("churn")
    assert (report.level, report.profile["train"].modes["assisted"]) == (0, 5)


def test_a_year_that_is_imported_at_once_has_its_months(desk: Desk) -> None:
    """Runs by hand until autumn, by cron since: each month has the level and the ages that it had."""
    whole = ImportSection(pipeline="churn", stages=("train", "evaluate", "deploy"))
    hands = ["workflow_dispatch"] * 20 + ["schedule"] * 32
    runs = [run(week, day=7 * week - 400, event=event) for week, event in enumerate(hands)]
    desk.take(desk.save("runs.json", page(*runs)), sections={"Retrain": whole})
    history, standard = desk.history(), policies.shipped("standard")
    ends = [START + timedelta(days=30 * month - 400) for month in range(13)]
    reports = [measure_level(history, "churn", standard, as_of=end) for end in ends]
    assert [report.level for report in reports] == [0] * 9 + [2] * 4
    assert [report.levels[0].results[0].k for report in reports] == [0, 0, 0, 0, 0, 2, 6, 10, 15, 19, 20, 20, 20]
    assert not any(report.profile["train"].backdated for report in reports)
    ages = [freshness(history, "churn", as_of=end) for end in ends]
    expected = [None, *((30 * month % 7 or 7) - 10 / 1440 for month in range(1, 13))]
    assert [age.train_age_days for age in ages] == pytest.approx(expected)
    assert [age.serving_age_days for age in ages] == pytest.approx(expected)


def test_one_workflow_may_do_it_all(desk: Desk) -> None:
    """Train, evaluate and deploy in one run: each run makes and places something of its own."""
    whole = ImportSection(pipeline="churn", stages=("train", "evaluate", "deploy"))
    runs = [run(week, day=7 * week, head_sha="a" * 40) for week in range(1, 4)]
    desk.take(desk.save("runs.json", page(*runs)), sections={"Retrain": whole})
    assert desk.level("churn").level == 2


def test_jobs_of_a_run_may_be_stages(desk: Desk) -> None:
    """A run with jobs: the jobs that are named are stages, started by whoever started the run; others are left out."""
    jobs = [
        {
            "id": 100 * number + place,
            "run_id": 1000 + number,
            "run_attempt": 1,
            "workflow_name": "Retrain",
            "name": name,
            "status": "completed",
            "conclusion": "success",
            "created_at": at(number, place),
            "started_at": at(number, place),
            "completed_at": at(number, place + 1),
            "run_url": f"https://api.github.com/repos/{REPOSITORY}/actions/runs/{1000 + number}",
        }
        for number in range(1, 4)
        for place, name in enumerate(("fetch", "train", "evaluate", "deploy"))
    ]
    files = [
        desk.save("runs.json", page(*(run(n, day=n) for n in range(1, 4)))),
        desk.save("jobs.json", {"jobs": jobs}),
    ]
    sections = {
        f"Retrain / {name}": ImportSection(pipeline="churn", stages=(name,)) for name in ("train", "evaluate", "deploy")
    }  # type: ignore[arg-type]  # the names are stages
    desk.take(*files, sections=sections)
    report = desk.level("churn")
    assert (report.level, report.profile["train"].modes["auto"]) == (2, 3)
    assert "Retrain / fetch" not in desk.history().pipelines


# ---- deployments and reviews


def _deployments(desk: Desk, *, by: dict[str, str], run_event: str = "push", linked: bool = True) -> list[Path]:
    numbers = range(1, 4)
    return [
        desk.save("runs.json", page(*(run(n, "Deploy", run_event, day=n) for n in numbers))),
        desk.save("deployments.json", [deployment(n, day=n, commit=n, creator=by) for n in numbers]),
        desk.save("statuses.json", [status(n, day=n, run_id=1000 + n if linked else None) for n in numbers]),
    ]


@pytest.mark.parametrize(
    ("by", "run_event", "linked", "mode"),
    [
        (BOT, "push", True, "auto"),
        (PERSON, "push", True, "auto"),
        (BOT, "workflow_dispatch", True, "assisted"),
        (PERSON, "push", False, "assisted"),
        (BOT, "push", False, "unknown"),
    ],
)
def test_a_deployment_belongs_to_the_run_that_made_it(
    desk: Desk, by: dict[str, str], run_event: str, linked: bool, mode: str
) -> None:
    """Its status names the run; without one whoever created it decides, and an app is nobody."""
    files = _deployments(desk, by=by, run_event=run_event, linked=linked)
    desk.take(*files, sections={"environment/production": DEPLOY})
    assert [one.mode for one in transitions(desk.history().as_of(), "churn", "deploy")] == [mode] * 3


def test_failed_and_inactive_deployments(desk: Desk) -> None:
    """A failure is recorded, an old deployment that gave way says nothing new."""
    files = [
        desk.save("deployments.json", [deployment(1, day=1, commit=1), deployment(2, day=2, commit=2)]),
        desk.save("statuses.json", [status(1, day=1, state="error"), status(2, day=2, state="inactive")]),
    ]
    desk.take(*files, sections={"environment/production": DEPLOY})
    assert types_of(desk.events()[:-1]) == ["deployment.requested", "deployment.failed", "deployment.requested"]


def test_a_required_review_is_a_gate_and_not_a_touch(desk: Desk) -> None:
    """Another person's review that the environment demands: gated; the starter's own: a touch."""
    files = _deployments(desk, by=BOT)
    reviews = [
        desk.save("approvals-1001.json", approval(1001)["approvals"]),
        desk.save("approvals.json", approval(1002), approval(1003, user={"login": "person-1", "type": "User"})),
    ]
    desk.take(*files, *reviews, sections={"environment/production": DEPLOY, "Deploy": DEPLOY})
    modes = [one.mode for one in transitions(desk.history().as_of(), "churn", "deploy")]
    assert {"gated"} <= set(modes)
    asked, decided, closed = (desk.events(f"approval.{name}")[0] for name in ("requested", "decided", "closed"))
    assert (asked.data["policy_required"], decided.data["decision"], decided.trigger) == (True, "approved", "ui")
    assert (decided.causationid, closed.causationid) == (asked.id, decided.id)


def test_a_status_without_its_deployment_is_refused(desk: Desk) -> None:
    """What was deployed stands in the other page."""
    with pytest.raises(
        RecordInvalid, match=r"record 1: 'deployment_url' names deployment 5, which is not in the files"
    ):
        desk.read(desk.save("statuses.json", [status(5, day=1)]))


def test_a_review_without_its_run_is_refused(desk: Desk) -> None:
    """A review does not say which run it is of; the file's name does."""
    with pytest.raises(RecordInvalid, match="no such run is in the files"):
        desk.read(desk.save("approvals-1001.json", approval(1001)["approvals"]))


def test_two_ids_with_one_number_contradict(desk: Desk) -> None:
    """The lowest id is believed, wherever it stands in the file; the other is recorded and never counts."""
    twin = run(1) | {"id": 2000}
    desk.take(desk.save("runs.json", page(twin, run(1))), sections={"Retrain": TRAIN})
    found = transitions(desk.history().as_of(), "churn", "train")
    assert [one.subject for one in found] == ["1001.1"]
    queued = {event.subject: event.data.get("contradicts") for event in desk.events("run.queued")}
    assert queued == {"2000.1": "1001", "1001.1": None}


def test_deployments_stand_in_for_no_missing_run(desk: Desk) -> None:
    """A repository says how many runs it has; a deployment is none of them."""
    files = [
        desk.save("runs.json", page(run(1, "Deploy", "push", day=1), total=3)),
        desk.save("deployments.json", [deployment(n, day=n, commit=n) for n in (1, 2)]),
    ]
    tally = desk.take(*files, sections={"Deploy": DEPLOY}).tallies[f"github/{REPOSITORY}"]
    assert (tally.imported, tally.claimed) == (3, 5)
