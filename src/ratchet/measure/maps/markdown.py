"""The map as Markdown tables, for documents that are read as text.

Invariant: a cell never breaks its table, whatever users write.
"""

from collections.abc import Iterable, Sequence

from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.differences import Difference
from ratchet.measure.maps.measured import Measured, disagreements
from ratchet.measure.maps.plans import Plan
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.maps.svg import degree_summary


def to_markdown(process_map: ProcessMap, measured: dict[str, Measured] | None = None) -> str:
    """Return a document: what the map shows, degrees in numbers, a table for each phase, and disagreements.

    Args:
        process_map: What to write.
        measured: What the ledger says about its nodes.
    """
    total = len(process_map.nodes)
    counts = process_map.count_by_degree()
    parts = [
        f"# {_cell(process_map.title)}",
        f"`{process_map.reference}`, digest `{process_map.digest[:12]}`. {degree_summary(process_map)}.",
        *([_cell(process_map.about)] if process_map.about else []),
        _table(
            ("Degree", "Processes", "Share", "Meaning"),
            [(name, str(counts[name]), f"{counts[name] / total:.0%}", look.sentence) for name, look in DEGREES.items()],
        ),
    ]
    for phase in process_map.phases:
        nodes = process_map.in_phase(phase)
        rows = [
            (
                f"**{_cell(node.name)}** (`{node.id}`)",
                node.purpose,
                ", ".join(node.roles),
                node.degree,
                _measured(measured, node.id),
                node.how or (f"Benefit: {node.benefit}" if node.degree == "absent" else ""),
            )
            for node in nodes
        ]
        parts.append(f"## {_cell(phase)}")
        parts.append(
            _table(("Process", "Purpose", "Who", "Degree", "Measured", "How"), rows) if rows else "No process."
        )
    found = disagreements(process_map, measured or {})
    if found:
        parts.append("## Where people and ledger disagree")
        parts.append(
            _table(
                ("Process", "Declared", "Measured", "Why"),
                [(one.name, one.declared, one.measured, one.reason) for one in found],
            )
        )
    return "\n\n".join(parts) + "\n"


def difference_to_markdown(difference: Difference) -> str:
    """Return two maps side by side: the matrix of degrees, each process that changes, and what to mind."""
    names = [name for name, row in difference.matrix.items() if any(row.values())]
    columns = [name for name in difference.matrix if any(row[name] for row in difference.matrix.values())]
    matrix = [(name, *(str(difference.matrix[name][one] or "") for one in columns)) for name in names]
    changed = [one for one in difference.changes if one.before != one.after]
    parts = [
        f"# From {difference.before} to {difference.after}",
        difference.distance,
        _table(("From \\ to", *columns), matrix),
        _table(
            ("Process", "Phase", "From", "To", "Steps"),
            [(one.name, one.phase, one.before, one.after, f"{one.steps:+d}") for one in changed],
        )
        if changed
        else "No process changes its degree.",
    ]
    if difference.findings:
        parts += ["## To mind", "\n".join(f"- {_cell(one.sentence)}" for one in difference.findings)]
    return "\n\n".join(parts) + "\n"


def plan_to_markdown(plan: Plan) -> str:
    """Return a plan as a document: its sums, its steps in order, and what to mind."""
    rows = [
        (
            str(one.position),
            f"{one.step.title}{' (proposed)' if one.step.is_proposed else ''}",
            one.step.owner or "nobody yet",
            f"{one.step.effort_days:g}",
            f"{one.step.cost:,.0f}",
            str(one.step.by or ""),
            f"+{one.steps_gained}{f'; {one.step.gain}' if one.step.gain else ''}",
            f"{one.status}{', overdue' if one.is_overdue else ''}",
        )
        for one in plan.steps
    ]
    headers = ("#", "Step", "Owner", "Days", plan.currency, "By", "Gain", "Progress")
    sums = (
        f"{plan.distance} {len(plan.steps)} steps of work, {plan.effort_days:g} days, "
        f"{plan.cost:,.0f} {plan.currency}{f', the last by {plan.last_date}' if plan.last_date else ''}."
    )
    parts = [f"# From {plan.before} to {plan.after}", sums, _table(headers, rows) if rows else "Nothing is left to do."]
    if plan.findings:
        parts += ["## To mind", "\n".join(f"- {_cell(one.sentence)}" for one in plan.findings)]
    return "\n\n".join(parts) + "\n"


def _measured(measured: dict[str, Measured] | None, node: str) -> str:
    found = (measured or {}).get(node)
    return f"{found.degree}: {found.reason}" if found is not None else ""


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(headers), " | ".join("---" for _ in headers)]
    lines += [" | ".join(map(_cell, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
