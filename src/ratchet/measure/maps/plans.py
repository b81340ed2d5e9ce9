"""The way from the current map to the target: ordered steps with owner, effort, cost, date and gain, and how far it is.

Invariant: each process that has to rise has a step, written or proposed; progress is what the ledger measured, or else
what was last declared on record, and it says which.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from ratchet.errors import ConfigInvalid
from ratchet.measure.maps.degrees import is_known, rank
from ratchet.measure.maps.differences import NOT_ON_MAP, Difference, Finding, NodeChange, compare, distance
from ratchet.measure.maps.layout import control_order
from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.maps.recording import RecordedMap
from ratchet.records import Record
from ratchet.toml_tables import Table, TableFile

Progress = Literal["done", "under way", "not begun", "unknown"]
_TOP = ("plan", "step")
_PLAN = ("currency",)
_STEP = ("id", "nodes", "title", "owner", "effort_days", "cost", "by", "gain", "after")
_STEPS_AT_MOST = 1000
_NAME, _LONG = 80, 2000
_AMOUNT = "Write a number from 0 upwards."


class Step(Record, frozen=True):
    """Something to do so that processes rise.

    Attributes:
        id: Names it in ``after``.
        title: What is done.
        nodes: Ids of the processes that rise by it.
        owner: Who does it.
        effort_days: Working days, 0 where nobody has estimated them.
        cost: Money in the plan's currency, beside the work.
        by: When it shall be done; ``None`` where no date is set.
        gain: What it is expected to bring.
        after: Ids of steps that must be done before.
        is_proposed: Whether nobody wrote it and it follows from the maps alone.
    """

    id: str
    title: str
    nodes: tuple[str, ...]
    owner: str = ""
    effort_days: float = 0.0
    cost: float = 0.0
    by: date | None = None
    gain: str = ""
    after: tuple[str, ...] = ()
    is_proposed: bool = False


class NodeProgress(Record, frozen=True):
    """How far one process has come.

    Attributes:
        node: Its id.
        before: Its degree in the current map.
        after: Its degree in the target.
        now: What is known today.
        status: done, under way, not begun or unknown.
        evidence: ``measured`` from the ledger, ``declared`` in a recorded map, or ``""`` where neither is there.
    """

    node: str
    before: str
    after: str
    now: str
    status: Progress
    evidence: str


class PlannedStep(Record, frozen=True):
    """A step in its place.

    Attributes:
        position: 1 for the first.
        step: The step.
        steps_gained: How many degrees its processes rise together.
        status: done, under way, not begun or unknown.
        is_overdue: Whether its date has passed and it is not done.
        progress: One for each of its processes.
    """

    position: int
    step: Step
    steps_gained: int
    status: Progress
    is_overdue: bool
    progress: tuple[NodeProgress, ...]


class Plan(Record, frozen=True):
    """All steps, in order, with their sums.

    Attributes:
        before: Reference of the current map.
        after: Reference of the target.
        currency: Of all costs.
        steps: From the first to the last.
        steps_short: Degrees that are missing in all.
        unknown: How many processes cannot be compared because one of their degrees is unmeasured.
        effort_days: Sum over the steps.
        cost: Sum over the steps.
        last_date: The latest date; ``None`` where none is set.
        without_owner: Ids of steps that nobody owns.
        idle: Ids of nodes that have a step although nothing about them changes.
        findings: What to mind about the target.
    """

    before: str
    after: str
    currency: str
    steps: tuple[PlannedStep, ...]
    steps_short: int
    unknown: int
    effort_days: float
    cost: float
    last_date: date | None
    without_owner: tuple[str, ...]
    idle: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def distance(self) -> str:
        """Return in a sentence how far the current map is from the target."""
        return distance(self.before, self.after, steps_short=self.steps_short, unknown=self.unknown)

    def count_by_status(self) -> dict[str, int]:
        """Return how many steps have each status."""
        names: tuple[Progress, ...] = ("done", "under way", "not begun", "unknown")
        return {name: sum(one.status == name for one in self.steps) for name in names}


class StepFile(Record, frozen=True):
    """The steps that somebody wrote, with the currency of their costs."""

    steps: tuple[Step, ...] = ()
    currency: str = "EUR"


def make_plan(
    current: ProcessMap,
    target: ProcessMap,
    *,
    written: StepFile | None = None,
    measured: dict[str, Measured] | None = None,
    recorded: Sequence[RecordedMap] = (),
    today: date,
) -> Plan:
    """Return the way from one map to another.

    Args:
        current: Where the processes are.
        target: Where they shall be.
        written: The steps that somebody wrote; those that are missing are proposed.
        measured: What the ledger says about each node of the target.
        recorded: The maps on record, in their order.
        today: What is before it and not done is overdue.
    """
    difference = compare(current, target)
    file = written or StepFile()
    gaps = {change.node: change for change in difference.changes if _has_gap(change)}
    covered = {node for step in file.steps for node in step.nodes}
    proposed = [_proposal(change, target, file.steps) for name, change in gaps.items() if name not in covered]
    ordered = _in_order([*file.steps, *proposed], control_order(target))
    declared = _latest_declared(recorded, current)
    changes = {change.node: change for change in difference.changes}
    steps = tuple(
        _planned(step, position=position, changes=changes, measured=measured or {}, declared=declared, today=today)
        for position, step in enumerate(ordered, 1)
    )
    return _summed(difference, file.currency, steps, idle=tuple(sorted(covered - set(gaps))))


def load_steps(path: Path, *, target: ProcessMap) -> StepFile:
    """Return the steps in a file.

    Raises:
        ConfigInvalid: The file is missing or means nothing; the message names the line and what is allowed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigInvalid(str(path), f"cannot be read: {error.strerror}.", "Name the file of the steps.") from error
    return parse_steps(content, where=str(path), target=target)


def parse_steps(content: bytes, *, where: str, target: ProcessMap) -> StepFile:
    """Return the steps that a file's bytes describe.

    Args:
        content: The bytes.
        where: Name of the file, for messages.
        target: The map that has the nodes.

    Raises:
        ConfigInvalid: They describe no steps.
    """
    file = TableFile(content, where=where)
    file.refuse_unknown(_TOP, "a file of steps")
    currency = "EUR"
    if "plan" in file:
        head = file.table("plan", remedy='Write: [plan], and under it currency = "EUR"')
        head.refuse_unknown(_PLAN, "[plan]")
        currency = head.line("currency", longest=12, default=currency)
    tables = file.tables("step")
    if len(tables) > _STEPS_AT_MOST:
        problem = f"stands there {len(tables)} times."
        file.refuse("step", problem, f"A plan has at most {_STEPS_AT_MOST} steps.", index=_STEPS_AT_MOST)
    steps: dict[str, Step] = {}
    for table in tables:
        step = _step(table, target)
        if step.id in steps:
            table.refuse("id", f"is '{step.id}' a second time.", "Give each step an id of its own.")
        steps[step.id] = step
    _refuse_bad_order(tables, list(steps.values()))
    return StepFile(steps=tuple(steps.values()), currency=currency)


def _step(table: Table, target: ProcessMap) -> Step:
    table.refuse_unknown(_STEP, "a step")
    nodes = table.texts("nodes")
    if not nodes:
        table.refuse("nodes", "names none.", 'Write the ids of the nodes that rise: nodes = ["..."]')
    for index, name in enumerate(nodes):
        if target.node(name) is None:
            known = ", ".join(node.id for node in target.nodes[:12])
            problem = f"names '{name}', which is not on the target map."
            table.refuse("nodes", problem, f"Known: {known}.", index=index)
    return Step(
        id=table.line("id", longest=_NAME, default=nodes[0]),
        title=table.line("title", longest=_NAME),
        nodes=nodes,
        owner=table.line("owner", longest=_NAME, default=""),
        effort_days=table.number("effort_days", default=0.0, remedy=_AMOUNT),
        cost=table.number("cost", default=0.0, remedy=_AMOUNT),
        by=table.day("by", remedy="Write it as 2025-03-31."),
        gain=table.line("gain", longest=_LONG, default=""),
        after=table.texts("after"),
    )


def _refuse_bad_order(tables: Sequence[Table], steps: list[Step]) -> None:
    ids = [step.id for step in steps]
    for table, step in zip(tables, steps, strict=True):
        for index, name in enumerate(step.after):
            if name not in ids:
                table.refuse("after", f"names '{name}', which is no step.", f"Known: {', '.join(ids)}.", index=index)
    left = _in_order(steps, [])
    if len(left) < len(steps):
        stuck = [step for step in steps if step not in left]
        names = ", ".join(step.id for step in stuck)
        remedy = "Take one 'after' away."
        tables[steps.index(stuck[0])].refuse("after", f"makes steps wait for one another: {names}.", remedy)


def _in_order(steps: Iterable[Step], nodes: list[str]) -> list[Step]:
    """Return steps so that each comes after those it waits for; then by date, then in the order of the target map.

    Steps that wait for one another are left out.
    """
    found = {step.id: step for step in steps}
    places = {name: number for number, name in enumerate(nodes)}

    def key(step: Step) -> tuple[date, int, str]:
        return step.by or date.max, min(places.get(node, len(places)) for node in step.nodes), step.id

    waiting = {step.id: len(set(step.after)) for step in found.values()}
    freed: dict[str, list[str]] = defaultdict(list)
    for step in found.values():
        for name in set(step.after):
            freed[name].append(step.id)
    ready = [key(step) for step in found.values() if not waiting[step.id]]
    heapq.heapify(ready)
    ordered = []
    while ready:
        step = found[heapq.heappop(ready)[2]]
        ordered.append(step)
        for name in freed[step.id]:
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, key(found[name]))
    return ordered


def _has_gap(change: NodeChange) -> bool:
    """Tell whether a process has to rise, or has to be begun, to be as the target says."""
    is_wanted = is_known(change.after) if change.after != NOT_ON_MAP else False
    return is_wanted and (change.steps > 0 or (change.before == "unmeasured" and rank(change.after) > 0))


def _proposal(change: NodeChange, target: ProcessMap, written: Sequence[Step]) -> Step:
    node = target.node(change.node)
    assert node is not None, "only what the target has is to rise"
    begins = change.before in ("absent", NOT_ON_MAP)
    taken = {step.id for step in written}
    return Step(
        id=change.node if change.node not in taken else f"{change.node} (proposed)",
        title=f"{'Begin' if begins else 'Bring'} '{node.name}'{'' if begins else f' to {change.after}'}",
        nodes=(change.node,),
        owner=node.owner,
        gain=node.benefit if begins else "",
        is_proposed=True,
    )


# ---- progress


def _latest_declared(recorded: Sequence[RecordedMap], current: ProcessMap) -> dict[str, str]:
    """Return the degrees of the latest version of the current map that is on record."""
    of_this = [one.process_map for one in recorded if one.process_map.id == current.id]
    versions = [one for one in of_this if one.kind == "current"]
    return {node.id: node.degree for node in versions[-1].nodes} if versions else {}


def _planned(
    step: Step,
    *,
    position: int,
    changes: dict[str, NodeChange],
    measured: dict[str, Measured],
    declared: dict[str, str],
    today: date,
) -> PlannedStep:
    progress = tuple(_progress(changes[name], measured.get(name), declared.get(name, "")) for name in step.nodes)
    status = _status([one.status for one in progress])
    return PlannedStep(
        position=position,
        step=step,
        steps_gained=sum(max(changes[name].steps, 0) for name in step.nodes),
        status=status,
        is_overdue=step.by is not None and step.by < today and status != "done",
        progress=progress,
    )


def _progress(change: NodeChange, measured: Measured | None, declared: str) -> NodeProgress:
    now, evidence = "unmeasured", ""
    if measured is not None and is_known(measured.degree):
        now, evidence = measured.degree, "measured"
    elif declared and is_known(declared):
        now, evidence = declared, "declared"
    return NodeProgress(
        node=change.node,
        before=change.before,
        after=change.after,
        now=now,
        status=_status_of(change, now),
        evidence=evidence,
    )


def _status_of(change: NodeChange, now: str) -> Progress:
    if not is_known(now) or not is_known(change.after):
        return "unknown"
    if rank(now) >= rank(change.after):
        return "done"
    before = 0 if change.before == NOT_ON_MAP else rank(change.before)
    return "under way" if before >= 0 and rank(now) > before else "not begun"


def _status(parts: list[Progress]) -> Progress:
    if all(part == "unknown" for part in parts):
        return "unknown"
    if all(part == "done" for part in parts):
        return "done"
    return "under way" if "done" in parts or "under way" in parts else "not begun"


def _summed(difference: Difference, currency: str, steps: tuple[PlannedStep, ...], *, idle: tuple[str, ...]) -> Plan:
    dates = [one.step.by for one in steps if one.step.by is not None]
    return Plan(
        before=difference.before,
        after=difference.after,
        currency=currency,
        steps=steps,
        steps_short=difference.steps_short,
        unknown=difference.unknown,
        effort_days=sum(one.step.effort_days for one in steps),
        cost=sum(one.step.cost for one in steps),
        last_date=max(dates, default=None),
        without_owner=tuple(one.step.id for one in steps if not one.step.owner),
        idle=idle,
        findings=difference.findings,
    )
