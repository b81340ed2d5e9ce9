"""What the ledger says of a rule: when it was there, and what it did for which event."""

from ratchet.automation import rules
from ratchet.automation.chronicle import Chronicle
from ratchet.loop import registry
from ratchet.records import Event
from tests.loops import Stage
from tests.unit.automation.past import alert, later, put, rule


def chronicle(stage: Stage, name: str = "tell") -> Chronicle:
    """Return the life of a rule as it was last written."""
    with stage.database.read() as connection:
        kept = registry.state(connection, rules.CURRENT)
        found = {one.name: one for one in rules.by_digest(connection, kept).rules}
    return Chronicle(stage.ledger, found[name])


def test_each_time_of_a_rules_life_has_its_word(make_stage: type[Stage], simulated: None) -> None:
    """Before it was there, while it was off, in another wording, and as it is now."""
    stage = make_stage(reacts=True)
    events = {"before": alert(stage, "before")}
    put(stage, rule("tell", more="when = 'event.data.score > 0.9'"), key="first")
    events["unmoved"] = alert(stage, "unmoved")
    put(stage, rule("tell", more="enabled = false"), key="off")
    events["off"] = alert(stage, "off")
    put(stage, rule("other"), key="deleted")
    events["deleted"] = alert(stage, "deleted")
    put(stage, rule("tell"), key="again")
    events["failed"] = alert(stage, "failed")
    put(stage, rule("tell", more="when = 'event.data.missing'"), key="broken")
    events["broken"] = alert(stage, "broken")
    later(seconds=1)
    put(stage, rule("tell"), key="last")
    stage.runs.work()
    told = {name: chronicle(stage).done(event) for name, event in events.items()}
    assert {name: one.deed for name, one in told.items()} == {
        "before": "not there yet",
        "unmoved": "nothing",
        "off": "switched off",
        "deleted": "switched off",
        "failed": "failed",
        "broken": "held back",
    }
    assert told["unmoved"].why == "in another wording"
    assert told["deleted"].why == "deleted"
    assert "No run named 'R'" in told["failed"].why
    assert "missing" in told["broken"].why
    assert chronicle(stage).has_fired_for(events["failed"].id)
    assert not chronicle(stage).has_fired_for(events["broken"].id)


def test_what_another_system_says_of_a_rule_of_that_name_is_left_out(make_stage: type[Stage], simulated: None) -> None:
    """Its firing is not ours."""
    stage = make_stage(reacts=True)
    put(stage, rule("tell", more="when = 'event.data.score > 0.9'"), key="first")
    event = alert(stage, "one")
    with stage.command("other"):
        data = {"trigger_event": event.id}
        stage.ledger.record(
            Event(type="rule.fired", subject="tell", source="elsewhere", evidence="attested", data=data)
        )
    assert chronicle(stage).done(event).deed == "nothing"
