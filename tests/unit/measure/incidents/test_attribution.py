"""Which change an incident is attributed to, and how sure that is."""

import pytest

from ratchet.measure.incidents.attribution import attributions
from ratchet.records import Event
from tests.ledgers import ENDPOINT, PERSON, LedgerBuilder
from tests.unit.measure.incidents.stories import configure, detect, judged, release, restore, settled


def two_versions(ledger: LedgerBuilder) -> list[str]:
    """Make one version live, and two days later a second one; return the ids of the shifts."""
    first = release(ledger, by_rule=True)
    return [first.id, release(ledger.wait(days=2), by_rule=True).id]


def back(ledger: LedgerBuilder) -> Event:
    """Take the second version off again; return the shift."""
    cause = ledger.command("rollback")
    return ledger.shift({"flight-delay@v1": 1.0}, cause=cause, digests={"flight-delay@v1": "artifact-1"})


def test_rollback_of_a_version_proves_that_it_was_the_cause() -> None:
    """Also where other candidates are near."""
    ledger = settled()
    _, second = two_versions(ledger)
    setting = configure(ledger, "a", "b")
    found = detect(ledger)
    undone = back(ledger)
    restore(ledger, found, remedy=undone)
    one = judged(ledger)
    assert (one.verdict, one.cause, one.weights) == ("proven", second, {second: 1.0})
    assert set(one.candidates) == {second, setting.id}
    assert [reason.step for reason in one.reasons if reason.holds] == ["remedy"]
    assert one.reasons[0].events == (second, undone.id)


def test_rollback_may_be_named_by_its_own_event() -> None:
    """``deployment.rolledback`` stands for the shift of traffic that led to it."""
    ledger = settled()
    _, second = two_versions(ledger)
    configure(ledger, "a", "b")
    found = detect(ledger)
    named = ledger.add("deployment.rolledback", ENDPOINT, {"from": "flight-delay@v2"}, cause=back(ledger))
    restore(ledger, found, remedy=named)
    assert (judged(ledger).verdict, judged(ledger).cause) == ("proven", second)


def test_setting_that_is_put_back_proves_it() -> None:
    """Of two settings the one that went back to its old digest."""
    ledger = settled()
    guilty = configure(ledger, "a", "b")
    other = ledger.add(
        "config.changed", "x", {"service": ENDPOINT, "target": "x", "old_digest": "a", "new_digest": "z"}
    )
    found = detect(ledger)
    restore(ledger, found, remedy=configure(ledger, "b", "a"))
    one = judged(ledger)
    assert (one.verdict, one.cause) == ("proven", guilty.id)
    assert other.id in one.candidates


def test_data_that_are_put_back_prove_it() -> None:
    """The remedy publishes what had been there before."""
    ledger = settled()
    published = []
    for digest in ("good", "bad"):
        data = {"dataset": "flights", "digest": digest}
        published.append(ledger.wait(days=8).add("dataset.version.published", "flights@v", data))
    configure(ledger, "a", "b", by_rule=True)
    found = detect(ledger)
    remedy = ledger.add("dataset.version.published", "flights@v", {"dataset": "flights", "digest": "good"})
    restore(ledger, found, remedy=remedy)
    assert (judged(ledger).verdict, judged(ledger).cause) == ("proven", published[1].id)


@pytest.mark.parametrize("why", ["too late", "still open", "undoes another", "unknown"])
def test_remedy_that_proves_nothing(why: str) -> None:
    """Two candidates stay two candidates."""
    ledger = settled()
    configure(ledger, "a", "b")
    configure(ledger, "b", "c")
    found = detect(ledger)
    remedy = configure(ledger, "x", "y") if why == "undoes another" else configure(ledger, "c", "b")
    if why == "still open":
        body = {"incident": "INC-1", "remedy": remedy.id}
        ledger.add("incident.mitigated", "INC-1", body, cause=found)
    elif why == "unknown":
        ledger.add("incident.mitigated", "INC-1", {"incident": "INC-1", "remedy": "no such event"}, cause=found)
    else:
        restore(ledger, found, remedy=remedy, hours=5 if why == "too late" else 1)
    one = judged(ledger)
    assert (one.verdict, one.cause, list(one.weights.values())) == ("ambiguous", None, [0.5, 0.5])
    assert judged(ledger, remedy_hours=6.0).verdict == ("proven" if why == "too late" else "ambiguous")


def test_remedy_before_the_change_is_none() -> None:
    """What happened first cannot have taken back what came later."""
    ledger = settled()
    early = configure(ledger, "b", "a")
    configure(ledger, "a", "b")
    restore(ledger, detect(ledger), remedy=early)
    assert judged(ledger).verdict == "ambiguous"


def test_shift_that_leaves_a_version_on_is_no_remedy() -> None:
    """Half of the traffic is still out of bounds."""
    ledger = settled()
    _, second = two_versions(ledger)
    found = detect(ledger)
    halved = ledger.shift({"flight-delay@v1": 0.5, "flight-delay@v2": 0.5}, cause=ledger.command("rollback"))
    restore(ledger, found, remedy=halved)
    assert (judged(ledger).verdict, judged(ledger).cause) == ("likely", second)


def test_shift_that_takes_off_another_version_is_no_remedy() -> None:
    """A fix that did not help was taken back, and not the version that was live at the onset."""
    ledger = settled()
    _, second = two_versions(ledger)
    found = detect(ledger)
    release(ledger, by_rule=True)
    restore(ledger, found, remedy=back(ledger))
    assert (judged(ledger).verdict, judged(ledger).cause) == ("likely", second)


def test_worse_canary_proves_it() -> None:
    """A verdict ``worse`` on the deployment decides between candidates; ``better`` decides nothing."""
    for verdict, expected in (("worse", "proven"), ("better", "ambiguous")):
        ledger = settled()
        shift = release(ledger, by_rule=True)
        configure(ledger, "a", "b", by_rule=True)
        body = {"deployment_id": shift.data["deployment_id"], "endpoint": ENDPOINT, "verdict": verdict}
        ledger.add("canary.judged", "flight-delay@v1", body)
        detect(ledger)
        one = judged(ledger)
        assert one.verdict == expected
        assert (one.cause == shift.id) is (verdict == "worse")


def test_remedy_comes_before_the_canary() -> None:
    """What put it right says more than what was measured beforehand."""
    ledger = settled()
    shift = release(ledger, by_rule=True)
    ledger.add("canary.judged", "v", {"deployment_id": shift.data["deployment_id"], "verdict": "worse"})
    setting = configure(ledger, "a", "b")
    found = detect(ledger)
    restore(ledger, found, remedy=configure(ledger, "b", "a"))
    assert judged(ledger).cause == setting.id


def test_only_candidate_is_likely() -> None:
    """Near in time is no proof."""
    ledger = settled()
    setting = configure(ledger, "a", "b")
    detect(ledger)
    one = judged(ledger)
    assert (one.verdict, one.cause, one.blamed) == ("likely", setting.id, (setting.id,))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_several_candidates_share_the_blame(count: int) -> None:
    """The weights add up to one, and no change is blamed."""
    ledger = settled()
    ids = [configure(ledger, str(number), str(number + 1)).id for number in range(count)]
    detect(ledger)
    one = judged(ledger)
    assert one.weights == dict.fromkeys(ids, pytest.approx(1 / count))
    assert sum(one.weights.values()) == pytest.approx(1)
    assert (one.verdict, one.cause, one.mode, one.blamed) == ("ambiguous", None, None, ())


def test_nothing_near_is_not_change_induced() -> None:
    """An incident on another service, and a release after the onset, leave nothing to blame."""
    ledger = settled()
    onset = ledger.now
    release(ledger)
    configure(ledger, "a", "b", service="other")
    detect(ledger, onset=onset.isoformat())
    detect(ledger, name="INC-2", service="a third one", pipeline="")
    for name in ("INC-1", "INC-2"):
        one = judged(ledger, name)
        assert (one.verdict, one.weights, one.candidates) == ("not change-induced", {}, ())


def test_onset_decides_and_not_the_report() -> None:
    """What changed between onset and report is innocent."""
    ledger = settled()
    onset = ledger.now
    configure(ledger.wait(minutes=10), "a", "b")
    detect(ledger, onset=onset.isoformat())
    assert judged(ledger).verdict == "not change-induced"


@pytest.mark.parametrize(
    ("cause", "verdict", "is_disputed"),
    [("the same", "likely", False), ("the same", "proven", True), ("", "not change-induced", True)],
)
def test_what_people_say_stands_beside_it(cause: str, verdict: str, is_disputed: bool) -> None:
    """The computed value stays, and whether they agree is told."""
    ledger = settled()
    setting = configure(ledger, "a", "b")
    told = detect(ledger)
    body = {"incident": "INC-1", "cause": setting.id if cause else "", "verdict": verdict, "class": "slip"}
    ledger.add("incident.attributed", "INC-1", {**body, "reference": "review-1"}, cause=told, actor=PERSON)
    one = judged(ledger)
    assert (one.verdict, one.cause) == ("likely", setting.id)
    assert one.is_disputed is is_disputed
    assert one.said is not None
    assert (one.said.verdict, one.said.kind, one.said.reference) == (verdict, "slip", "review-1")


def test_all_incidents_come_in_the_order_of_their_onsets() -> None:
    """Told in another order."""
    ledger = settled()
    early = ledger.now
    detect(ledger.wait(days=1), name="INC-2")
    detect(ledger, name="INC-1", onset=early.isoformat())
    found = attributions(ledger.history().as_of(ledger.now))
    assert [one.incident.name for one in found] == ["INC-1", "INC-2"]
