"""Audit completeness: how much of what other systems claim is in the ledger, and how much of it can be explained.

Invariant: a source that claims nothing has no share; it is never taken for complete.
"""

from datetime import datetime
from typing import Any

from ratchet.measure.kpis.automation import STAGES, sample
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.questions import Answer, Kpi, Question, share
from ratchet.records import Event, to_utc

WARNING_BELOW = 0.95


def audit_completeness(question: Question) -> Answer:
    """Return the share of claimed records that were imported, of unknown initiators, and broken chains."""
    by: dict[str, dict[str, int]] = {}
    cursors = [event for event in question.events("source.cursor") if event.data.get("is_claimed") is not False]
    for cursor in cursors:
        entry = by.setdefault(
            str(cursor.data.get("source") or cursor.subject), {"imported_count": 0, "claimed_count": 0}
        )
        entry["imported_count"] += _imported(question.view, cursor)
        entry["claimed_count"] += _count(cursor.data.get("count"))
    imported = sum(entry["imported_count"] for entry in by.values())
    claimed = sum(entry["claimed_count"] for entry in by.values())
    # A transition is in the mode unknown where nobody knows who started it, and only there.
    started = [sample(question, name, stage).modes for name in question.active for stage in STAGES]
    broken = [event for event in question.view.broken_chains if question.covers(event)]
    complete = share(imported, claimed)
    target = question.settings.target("audit_completeness")
    return Answer.of(
        {
            "share": complete,
            "imported_count": imported,
            "claimed_count": claimed,
            "unknown_initiators_share": share(sum(modes.count("unknown") for modes in started), sum(map(len, started))),
            "broken_chains_count": len(broken),
            "is_warning": None if complete is None else int(complete < (WARNING_BELOW if target is None else target)),
        },
        by,
        cursors + broken,
    )


def _imported(view: View, cursor: Event) -> int:
    """Return how many records an import took in: as it says itself, else the events of the source in its span."""
    if "imported" in cursor.data:
        return _count(cursor.data["imported"])
    since, until = (_moment(cursor.data.get(name)) for name in ("from", "to"))
    source = str(cursor.data.get("source") or cursor.subject)
    return view.count_from(source, since, until) if since is not None and until is not None else 0


def _moment(text: Any) -> datetime | None:
    try:
        return to_utc(datetime.fromisoformat(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


KPIS = (
    Kpi(
        name="audit_completeness",
        title="Audit",
        sentence="Which share of what other systems claim is in the ledger; with less than 95 % trust no level.",
        unit="share",
        headline="share",
        formula=(
            "Records of each source that were imported, over the source's own count. Beside it the share of sampled "
            "transitions of active pipelines whose initiator is unknown, and events whose cause is not in the ledger."
        ),
        edge_cases=(
            "Below the target, or below 0.95 where none is set, every level carries a warning.",
            "Without a source that claims anything there is no share.",
        ),
        direction="up",
        timing="leading",
        nature="risk",
        answer=audit_completeness,
    ),
)
