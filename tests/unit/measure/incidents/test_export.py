"""Incidents as JSON values."""

import msgspec

from ratchet.measure.incidents.export import to_values
from tests.unit.measure.incidents.stories import configure, detect, judged, restore, settled


def test_values_are_json_and_complete() -> None:
    """Open and restored ones have the same names."""
    ledger = settled()
    setting = configure(ledger, "a", "b")
    found = detect(ledger)
    before = to_values(judged(ledger))
    assert (before["hours"], before["back_in_bounds"], before["mitigated"]) == (None, None, None)
    restore(ledger, found, remedy=configure(ledger, "b", "a"))
    after = to_values(judged(ledger))
    assert set(after) == set(before)
    assert (after["cause"], after["verdict"], after["class"]) == (setting.id, "proven", "slip")
    assert msgspec.json.decode(msgspec.json.encode(after))["reasons"][0]["events"][0] == setting.id
