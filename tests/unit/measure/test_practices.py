"""What events show about how the work is done."""

from msgspec.structs import replace

from ratchet.measure.changes import changes
from ratchet.measure.levels import measure_level
from ratchet.measure.policies import shipped
from ratchet.measure.practices import CLAIMS, PRACTICES, Practices
from ratchet.records import Event
from tests.ledgers import PERSON, PIPELINE, LedgerBuilder


def shown(ledger: LedgerBuilder, practice: str) -> list[bool | None]:
    """Return what each transition of a practice's stage shows."""
    snapshot = ledger.history().as_of(ledger.now)
    practices = Practices(snapshot, PIPELINE)
    return [practices.shown(practice, change) for change in changes(snapshot, PIPELINE, PRACTICES[practice])]


def change_last(ledger: LedgerBuilder, type_: str, **data: object) -> Event:
    """Change the data of the last event of a type."""
    place = max(event.seq for event in ledger.events if event.type == type_) - 1
    event = ledger.events[place]
    ledger.events[place] = replace(event, data={**event.data, **data})
    return ledger.events[place]


def week(ledger: LedgerBuilder) -> Event:
    """Train and release once by rule; return the shift of traffic."""
    gate = ledger.train(ledger.tick(ledger.weekly()))
    return ledger.deploy(ledger.fire(ledger.release_rule(), gate), gate)


def test_a_week_by_rule_shows_all_practices() -> None:
    """What the engine does shows every practice."""
    ledger = LedgerBuilder()
    week(ledger)
    assert {practice: shown(ledger, practice) for practice in PRACTICES} == {p: [True] for p in PRACTICES}
    assert set(CLAIMS) == set(PRACTICES)


def test_run_without_code_is_not_tracked() -> None:
    """A run that does not name its code is not tracked, and what came of it cannot be traced."""
    ledger = LedgerBuilder()
    week(ledger)
    change_last(ledger, "run.finished", code_sha="")
    assert (shown(ledger, "tracked"), shown(ledger, "traceable")) == ([False], [False])
    assert shown(ledger, "registered") == [True]


def test_run_that_nobody_saw_start_is_not_orchestrated() -> None:
    """A result that a person reports was not carried out by a system."""
    ledger = LedgerBuilder()
    about = {"run_id": "r", "outcome": "success", "candidate": True, "inputs": ["d"], "code_sha": "c"}
    ledger.add("run.finished", "r", about, cause=ledger.command(), actor=PERSON)
    ledger.add("gate.evaluated", "m@v1", {"run_id": "r", "decision": "pass", "suites": ["quality"]})
    assert shown(ledger, "orchestrated") == [False]


def test_data_that_failed_its_check_is_not_checked() -> None:
    """Only a check of the data that passed counts; one of the incoming data counts as well."""
    ledger = LedgerBuilder()
    week(ledger)
    change_last(ledger, "fitness.suite.finished", kind="smoke")
    data = [event for event in ledger.events if event.data.get("kind") == "data"][-1]
    ledger.events[data.seq - 1] = replace(data, data={**data.data, "outcome": "failed"})
    assert shown(ledger, "data_checked") == [False]
    ledger.add("dataset.check.finished", "flights", {"outcome": "passed", "digest": "data-1"})
    assert shown(ledger, "data_checked") == [True]


def test_other_artifact_is_not_registered() -> None:
    """A live version that was registered with another artifact, later, or not at all is not registered."""
    ledger = LedgerBuilder()
    week(ledger)
    change_last(ledger, "model.version.registered", artifact_digest="another")
    assert (shown(ledger, "registered"), shown(ledger, "traceable")) == ([False], [False])
    ledger.shift({"from-elsewhere": 1.0}, cause=ledger.command())
    assert shown(ledger, "registered") == [False, False]


def test_only_what_passed_is_to_be_delivered() -> None:
    """A verdict that failed asks for no delivery; one that passed and was deployed by hand was not by rule."""
    ledger = LedgerBuilder()
    week(ledger)
    ledger.train(ledger.tick(ledger.weekly()), decision="fail")
    gate = ledger.train(ledger.tick(ledger.weekly()))
    ledger.deploy(ledger.command("promote"), gate)
    ledger.train(ledger.tick(ledger.weekly()))
    assert shown(ledger, "delivered") == [True, None, False, False]


def test_google_levels() -> None:
    """Weekly work by rule is level 1 of Google's scale; released pipelines lift it to 2."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    policy = shipped("google-0-2")
    report = measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now)
    assert (report.level, report.blocking[0].criterion.stage) == (1, "pipeline-ci")
    release(ledger, times=3)
    assert measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now).level == 2


def test_semi_automated_asks_for_features_or_a_reason() -> None:
    """Half automated asks for published features, which may be declared not to apply; releases make it full."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    policy = shipped("manual-semi-full")
    report = measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now)
    assert (report.level, [r.criterion.stage for r in report.blocking]) == (0, ["features"])
    ledger.add("feature_view.published", "weather", {}, cause=ledger.command())
    assert measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now).level == 1
    ledger.events.pop()
    ledger.declare(na={"features": "the files hold them"})
    assert measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now).level == 1
    release(ledger, times=3)
    assert measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now).level == 2


def test_microsoft_levels() -> None:
    """Without a release of the code all else is level 0 of Microsoft's scale; with releases by button it is 4."""
    ledger = LedgerBuilder()
    for _ in range(4):
        ledger.automated_week()
    policy = shipped("microsoft-0-4")
    assert measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now).level == 0
    for number in range(3):
        ledger.add("pipeline_version.released", f"p@{number}", {}, cause=ledger.command("release"))
    assert measure_level(ledger.history(), PIPELINE, policy, as_of=ledger.now).level == 4


def release(ledger: LedgerBuilder, *, times: int) -> None:
    """Release the pipeline by itself after pushes of a person."""
    rule = ledger.rule("release", leads_to=["pipeline-ci"], on="code.pushed", origin="template")
    for number in range(times):
        pushed = ledger.add("code.pushed", "repo", {"sha": str(number)}, actor=PERSON)
        ledger.add("pipeline_version.released", f"p@{number}", {}, cause=ledger.fire(rule, pushed))
