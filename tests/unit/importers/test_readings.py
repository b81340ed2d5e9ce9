"""From records to events: the tables decide, what they do not name is unknown, and ids follow from keys."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ratchet.config import ImportSection
from ratchet.importers.readings import Place, Reading, Witness, read, section_for
from ratchet.importers.refusals import RecordInvalid
from ratchet.importers.tables import EventRow, InitiatorRow, Kind, StateRow, kinds
from ratchet.records import Actor
from tests.unit.importers.shapes import BOT, WITNESS, at, run, types_of

SECTION = ImportSection(pipeline="churn", stages=("train", "evaluate", "deploy"))
PLACE = Place(file="runs.json", number=7)
SYSTEM = Actor(authtype="service_account", authid="ci", claims={"system": "ci"})


def _read(record: dict[str, Any], *, section: ImportSection | None = SECTION, witness: Witness = WITNESS) -> Reading:
    sections = {"Retrain": section} if section else {}
    return read(kinds("github"), "run", record, place=PLACE, sections=sections, witness=witness)


def test_each_event_follows_from_the_one_before() -> None:
    """The chain begins at the initiator and goes through all stages in order."""
    found = _read(run(1)).events
    assert types_of(found) == [
        "clock.ticked",
        "run.queued",
        "run.started",
        "run.finished",
        "fitness.suite.finished",
        "gate.evaluated",
        "deployment.requested",
        "deployment.started",
        "traffic.shifted",
        "deployment.completed",
    ]
    assert [event.causationid for event in found] == ["", *(event.id for event in found[:-1])]
    assert {event.correlationid for event in found} == {found[0].id}
    assert [event.at for event in found] == sorted(event.at for event in found)


def test_every_event_says_where_it_comes_from() -> None:
    """Source, grade, pipeline and trigger are on each."""
    for event in _read(run(1)).events:
        assert (event.source, event.evidence, event.pipeline, event.trigger) == (
            "github/example/churn",
            "imported",
            "churn",
            "schedule",
        )


def test_reading_again_gives_the_same_events() -> None:
    """Ids and bodies follow from the record alone."""
    assert _read(run(1)).events == _read(run(1)).events
    assert {event.id for event in _read(run(1)).events}.isdisjoint({event.id for event in _read(run(2)).events})


def test_a_record_that_went_on_has_the_same_events_and_more() -> None:
    """A run that was in progress keeps its first events when it has ended."""
    before = _read(run(1, status="in_progress", conclusion=None)).events
    after = _read(run(1)).events
    assert types_of(before) == ["clock.ticked", "run.queued", "run.started"]
    assert after[: len(before)] == before


def test_a_failure_reaches_no_later_stage() -> None:
    """Where one execution does several things, a failure does not say in which of them."""
    assert types_of(_read(run(1, conclusion="failure")).events)[1:] == ["run.queued", "run.started", "run.finished"]
    alone = _read(run(1, conclusion="failure"), section=ImportSection(stages=("evaluate",))).events
    assert (alone[-1].type, alone[-1].data["decision"]) == ("gate.evaluated", "fail")
    deploying = _read(run(1, conclusion="failure"), section=ImportSection(stages=("deploy",))).events
    assert deploying[-1].type == "deployment.failed"


def test_without_a_section_the_name_is_the_pipeline_and_nothing_counts() -> None:
    """What nobody mapped is recorded, with the stage unknown."""
    found = _read(run(1), section=None)
    assert (found.pipeline, found.stages, found.is_mapped) == ("Retrain", ("unknown",), False)
    assert {event.stage for event in found.events[1:]} == {"unknown"}


def test_what_no_row_names_is_unknown() -> None:
    """A new kind of event of GitHub is no automation, whatever it is called."""
    found = _read(run(1, event="robot_uprising"))
    assert (found.trigger, found.events[0].type) == ("unknown", "run.queued")
    assert {event.actor_class for event in found.events} == {"unknown"}
    assert found.events[0].causationid == found.cause


def test_a_person_is_a_pseudonym_and_the_login_is_nowhere() -> None:
    """Names of people never get into a payload."""
    witness = Witness(evidence="imported", pseudonym=lambda name: f"p{len(name)}")
    found = _read(run(1, event="workflow_dispatch"), witness=witness).events
    assert {(event.authtype, event.authid) for event in found} == {("user", "p15")}
    assert b"person-1" not in msgspec.json.encode(found)


def test_who_sends_speaks_with_the_tokens_class() -> None:
    """What was sent is attested, and the record cannot name another actor."""
    found = _read(run(1, event="workflow_dispatch"), witness=Witness("attested", str, sender=SYSTEM)).events
    assert {(event.evidence, event.authid, event.trigger) for event in found} == {("attested", "ci", "ui")}


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"id": None}, "id", "is missing"),
        ({"id": "17"}, "id", 'is "17", where a number'),
        ({"run_attempt": True}, "run_attempt", "is true, where a number"),
        ({"event": ""}, "event", "is missing"),
        ({"created_at": "yesterday"}, "created_at", "no moment"),
        ({"created_at": "2026-06-01T03:00:00"}, "created_at", "no moment with a time zone"),
        ({"updated_at": "2999-01-01T00:00:00Z"}, "updated_at", "lies in the future"),
        ({"repository": None}, "repository.full_name", "is missing"),
        ({"conclusion": ["success"]}, "conclusion", 'is ["success"], where a text'),
        ({"actor": {"login": {"a": "b" * 99}}}, "actor.login", "..., where a text"),
    ],
)
def test_a_record_that_says_something_impossible_is_refused(changes: dict[str, Any], field: str, problem: str) -> None:
    """The message names file, record and field."""
    with pytest.raises(RecordInvalid) as refused:
        _read(run(1) | changes)
    assert str(refused.value).startswith(f"Cannot import runs.json: record 7: '{field}' ")
    assert problem in str(refused.value)


def test_an_end_before_the_start_does_not_turn_the_chain() -> None:
    """A source whose moments are out of order still gives events whose order is that of their causes."""
    found = _read(run(1, run_started_at=at(5), updated_at=at(4))).events
    assert [event.at for event in found] == sorted(event.at for event in found)


def test_a_name_is_mapped_exactly_or_by_pattern() -> None:
    """The exact name is believed before a pattern."""
    exact, pattern = ImportSection(pipeline="a"), ImportSection(pipeline="b")
    sections = {"train-*": pattern, "train-churn": exact}
    assert section_for(sections, "train-churn") is exact
    assert section_for(sections, "train-other") is pattern
    assert section_for(sections, "Train-other") is None


def test_a_message_about_one_phase_goes_back_to_the_start() -> None:
    """What is sent phase by phase may come in any order, so each phase names the start and not the phase before."""
    kind = Kind(
        source="s",
        key="{id}",
        name="{name}",
        times={"finished": "time"},
        initiator=(InitiatorRow(trigger="schedule", event="clock.ticked", subject="{name}"),),
        state=(StateRow(phases=("finished",), outcome="success"),),
    )
    record = {"id": "1", "name": "Retrain", "time": at(0)}
    found = read({"x": kind}, "x", record, place=PLACE, sections={"Retrain": SECTION}, witness=WITNESS)
    assert [event.causationid for event in found.events[:2]] == ["", found.cause]


def test_a_record_of_its_own_is_a_root_where_its_type_may_be() -> None:
    """A kind without initiators stands for itself."""
    row = EventRow(type="incident.detected", at="time", subject="{record.id}", data={"what": "{what}"})
    kind = Kind(source="s", key="{id}", name="{id}", event=(row,))
    record = {"id": "7", "time": at(0), "what": "late"}
    (event,) = read({"x": kind}, "x", record, place=PLACE, sections={}, witness=WITNESS).events
    assert (event.causationid, event.subject, event.data) == ("", "7", {"what": "late"})
    assert event.at == datetime(2026, 6, 1, 3, tzinfo=UTC)


def test_a_bot_that_presses_the_button_is_unknown() -> None:
    """An app that asks on behalf of we do not know whom is nobody."""
    found = _read(run(1, event="workflow_dispatch", triggering_actor=BOT, actor=BOT))
    assert (found.trigger, {event.actor_class for event in found.events}) == ("unknown", {"unknown"})
