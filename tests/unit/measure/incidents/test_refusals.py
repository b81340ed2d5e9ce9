"""Errors about incidents say what to do."""

from ratchet.measure.incidents.refusals import IncidentOver, ReferenceMissing


def test_messages_name_the_incident_and_the_remedy() -> None:
    """Whoever reads one knows which incident is meant and what to try."""
    assert "INC-7" in str(ReferenceMissing(name="INC-7"))
    assert "--reference TEXT" in str(ReferenceMissing(name="INC-7"))
    assert "report a new incident" in str(IncidentOver(name="INC-7", back="2026-01-01T10:00+00:00"))
