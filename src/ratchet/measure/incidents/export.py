"""Incidents as JSON values, the same for the command line and the interface.

Invariant: times are UTC; whatever a page shows of an incident is here, too.
"""

from datetime import datetime
from typing import Any

import msgspec

from ratchet.measure.incidents.attribution import Attribution


def to_values(found: Attribution) -> dict[str, Any]:
    """Return an incident with what it came from."""
    incident = found.incident
    return {
        "incident": incident.name,
        "service": incident.service,
        "pipeline": incident.pipeline,
        "title": incident.title,
        "onset": _text(incident.onset),
        "onset_from": incident.onset_from,
        "detected": _text(incident.detected),
        "mitigated": _text(incident.mitigated.at if incident.mitigated else None),
        "back_in_bounds": _text(incident.back),
        "hours": incident.hours,
        "verdict": found.verdict,
        "cause": found.cause,
        "weights": found.weights,
        "candidates": list(found.candidates),
        "mode": found.mode,
        "is_human_induced": found.is_human_induced,
        "class": found.conduct.kind if found.conduct else None,
        "reasons": msgspec.to_builtins(found.reasons),
        "adjudicated": msgspec.to_builtins(found.said),
        "is_disputed": found.is_disputed,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
