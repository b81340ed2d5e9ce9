"""Numbers of a report, each with its meaning and the events behind it.

Invariant: a number that nothing stands behind has no value and says so; each names a definition of the same report.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from ratchet.measure.kpis.questions import Ids, Status, Value
from ratchet.measure.kpis.readings import (
    MISSING,
    Named,
    Reading,
    kpi_named,
    named_note,
    named_text,
    value_text,
)
from ratchet.records import Event, Record, digest_of

Mark = Literal["", "met", "not met", "insufficient"]
_MARKS: dict[bool | None, Mark] = {True: "met", False: "not met", None: "insufficient"}
NO_EVIDENCE: Final = "no evidence"


class Basis(Record, frozen=True):
    """The events behind a number.

    Attributes:
        count: How many there are.
        first: The first of their ids in the order of ids; ``""`` where there is none.
        last: The last of them.
    """

    count: int = 0
    first: str = ""
    last: str = ""


class Definition(Record, frozen=True):
    """What a number means.

    Attributes:
        name: Of the definition.
        title: What people call it.
        sentence: What it says.
        formula: How it is worked out, in words.
        edge_cases: What is counted, left out or shown apart.
        digest: Names name, formula, cases and version: it changes whenever the same events give another number.
    """

    name: str
    title: str
    sentence: str
    formula: str
    edge_cases: tuple[str, ...] = ()
    digest: str = ""


class Point(Record, frozen=True):
    """A number as it stood at the end of a local month, or now in the month that is not over."""

    month: str
    value: float | None
    text: str


class Number(Record, frozen=True):
    """One number of a report.

    Attributes:
        definition: Name of its definition.
        title: What it is called where it stands.
        status: ``no evidence`` where no event stands behind it; ``insufficient`` where too few do.
        value: ``None`` where nothing can be said.
        text: The value with its unit, or why there is none.
        unit: Of the value.
        note: What stands below it.
        basis: The events behind it.
        target: What it should be, written out; ``""`` where nobody said.
        mark: Whether it is.
        timing: ``leading`` or ``lagging``; ``""`` where that says nothing.
        values: All numbers that belong to it, by name.
        series: The same number over time.
    """

    definition: str
    title: str
    status: Status
    value: Value
    text: str
    unit: str = ""
    note: str = ""
    basis: Basis = Basis()
    target: str = ""
    mark: Mark = ""
    timing: str = ""
    values: dict[str, Value] = msgspec.field(default_factory=dict)
    series: tuple[Point, ...] = ()


def basis_of(events: Iterable[Event | str]) -> Basis:
    """Return how many events there are, each once, and the first and last of their ids."""
    if isinstance(events, Ids) and "" not in events:
        return Basis(count=len(events), first=events.first, last=events.last)
    ids = _ids(events)
    return Basis(count=len(ids), first=min(ids), last=max(ids)) if ids else Basis()


def _ids(events: Iterable[Event | str]) -> set[str]:
    return {event if isinstance(event, str) else event.id for event in events} - {""}


def of_reading(reading: Reading, *, basis: Basis, series: tuple[Point, ...] = ()) -> Number:
    """Return what a KPI says as a number, with the events behind it."""
    is_known = reading.status != NO_EVIDENCE
    return Number(
        definition=reading.name,
        title=reading.title,
        status=reading.status,
        value=reading.value,
        text=_text(reading),
        unit=reading.unit,
        note=f"{reading.lines[0].label} {value_text(reading.lines[0].value, reading.unit)}" if reading.lines else "",
        basis=basis,
        target="" if reading.target is None else value_text(reading.target, reading.unit),
        mark="" if reading.target is None else _MARKS[reading.is_met],
        timing=reading.timing,
        values=reading.values if is_known else dict.fromkeys(reading.values),
        series=series,
    )


def _text(reading: Reading) -> str:
    if reading.status == NO_EVIDENCE:
        return NO_EVIDENCE
    return "not known" if reading.value is None else value_text(reading.value, reading.unit)


def of_named(named: Named, reading: Reading, *, basis: Basis, series: tuple[Point, ...]) -> Number:
    """Return one of the ten that people ask for first; one that asks for a part says which has the largest share."""
    whole = of_reading(reading, basis=basis, series=series)
    note = named_note(named, reading)
    return Number(
        **{name: getattr(whole, name) for name in Number.__struct_fields__ if name not in ("title", "text", "note")},
        title=named.title,
        text=named_text(named, reading).replace(MISSING, "not known"),
        note="" if whole.target else note,
    )


def counted(
    definition: str,
    title: str,
    value: float | None,
    *,
    unit: str = "",
    events: Iterable[Event | str] = (),
    note: str = "",
) -> Number:
    """Return a number of the report's own; without a value there is no evidence for it.

    Args:
        definition: Name of its definition.
        title: What it is called.
        value: The number; ``None`` where nothing can be said.
        unit: Of the value.
        events: What stands behind it.
        note: What stands below it.
    """
    return Number(
        definition=definition,
        title=title,
        status="ok" if value is not None else NO_EVIDENCE,
        value=value,
        text=NO_EVIDENCE if value is None else value_text(value, unit),
        unit=unit,
        note=note,
        basis=basis_of(events),
    )


def worded(
    definition: str,
    title: str,
    text: str,
    *,
    value: Value = None,
    events: Iterable[Event | str] = (),
    status: Status = "ok",
    mark: Mark = "",
    note: str = "",
) -> Number:
    """Return a number of the report's own that is written in its own way."""
    return Number(
        definition=definition,
        title=title,
        status=status,
        value=value,
        text=text or MISSING,
        basis=basis_of(events),
        mark=mark,
        note=note,
    )


# ---- what they mean


def definition_of_kpi(name: str) -> Definition:
    """Return the definition of a KPI."""
    kpi = kpi_named(name)
    return Definition(
        name=kpi.name,
        title=kpi.title,
        sentence=kpi.sentence,
        formula=kpi.formula,
        edge_cases=kpi.edge_cases,
        digest=kpi.digest,
    )


def _own(name: str, title: str, sentence: str, formula: str, *edge_cases: str, version: int = 1) -> Definition:
    digest = digest_of([name, formula, list(edge_cases), version])
    return Definition(name=name, title=title, sentence=sentence, formula=formula, edge_cases=edge_cases, digest=digest)


_OWN = (
    _own(
        "level",
        "Level, measured",
        "How automated a pipeline is, by what really happened to it.",
        "The highest level of the policy whose criteria are met, with those of all levels below it, by the last "
        "changes of each stage within the policy's window.",
        "Nobody can type one in.",
        "Where nothing but a want of evidence keeps it at 0, it is insufficient and not 0.",
        "A start by somebody unknown never counts as automation.",
    ),
    _own(
        "level_configured",
        "Level, configured",
        "The level that a pipeline's enabled rules would give, if all of them did their work.",
        "The highest level all of whose stages have an enabled rule that leads to them, or do not apply.",
        "It never changes what was measured.",
    ),
    _own(
        "level_declared",
        "Level, declared",
        "The level that somebody has claimed for a pipeline.",
        "The last claim by this policy.",
        "It never counts.",
    ),
    _own(
        "stage",
        "Stage of a pipeline",
        "Of the last changes in a stage, how many ran by automation.",
        "Of the sampled transitions of a stage those that the policy's measure counts, over all of them.",
        "A stage that was declared not to apply says so.",
        "Fewer than the policy asks for are insufficient.",
    ),
    _own(
        "incidents",
        "Incidents",
        "Times in which a service was out of bounds, and what they came from.",
        "From the first bad moment that a monitor or a service level saw until it was back in bounds; the cause is the "
        "first of four kinds of evidence that holds: a remedy that took a change back, a canary that was judged worse, "
        "one change near the onset, several.",
        "What people say stands beside it and changes nothing that was computed.",
        "A person's ticket stands in for the onset only where nothing measured it.",
    ),
    _own(
        "goal",
        "Goal",
        "Which share of the active pipelines has reached the level that was set as a goal.",
        "Active pipelines at the level or above, over all active pipelines; planned is a straight line from when the "
        "goal was set to its day.",
        "A pipeline with too little evidence has not reached it.",
    ),
    _own(
        "budget",
        "Budget",
        "What something has cost this month, of what it may cost.",
        "Costs in the ledger of this local month that are charged to it; the forecast is what was spent so far, plus "
        "the days left at the daily rate without scheduled runs, plus the scheduled runs to come.",
        "A forecast never passes a budget.",
    ),
    _own(
        "map",
        "Process map",
        "How far each process between an idea and a model that serves runs by itself.",
        "Degrees as people declared them; beside them what the ledger measured where a process is bound to it. Steps "
        "short are the degrees that lie between the current map and the target.",
        "An unmeasured degree is counted by itself.",
        "Where no process that has to rise has a degree on both maps, steps short are not known, and never 0.",
    ),
    _own(
        "plan",
        "Plan",
        "The steps from the current map to the target.",
        "Each process that has to rise has a step: one that was written, or one that is proposed; effort and cost are "
        "sums of what was written.",
        "What nobody has estimated is not known, and never 0.",
    ),
    _own(
        "evaluation",
        "Comparison of platforms",
        "What those who will live with a platform answered, by candidate.",
        "The last answers in the ledger, those that were withdrawn apart.",
        "All of it is declared.",
    ),
    _own(
        "candidate",
        "Candidates of a comparison",
        "What each candidate would cost and take, and how much of the work it covers.",
        "As the conclusion has it, before there is one as the definition has it: cost a year and days until it is in "
        "use as stated; coverage is the processes of the target map for which it has a tool, over all of them; steps "
        "short are the degrees that lie between its own map and the target, summed.",
        "What nobody has stated is not known, and never 0; currencies are not converted.",
    ),
    _own(
        "next_step",
        "Cheapest next step",
        "What lacks most cheaply towards a pipeline's next level.",
        "Of the unmet criteria of the next level the one that needs the fewest further changes, as an upper bound.",
    ),
    _own(
        "silent_rules",
        "Rules that never fired",
        "Rules that are switched on and have done nothing yet.",
        "Enabled rules of active pipelines without a single firing.",
    ),
    _own(
        "bought_days",
        "Days saved",
        "How many days earlier versions were live than they would have been before.",
        "Over all versions that went live: the declared days to deployment from before, less the days from training "
        "to live.",
        "Without a declared baseline nothing is said to be saved.",
    ),
    _own(
        "bought_hours",
        "Hours saved",
        "How many hours of people deployments would have taken more than they did.",
        "The declared hours for each deployment from before times the deployments, less the hours of operations.",
        "Without a declared baseline nothing is said to be saved.",
    ),
    _own(
        "bought_gain",
        "Accuracy gained",
        "By how much new versions were better than those that served before them.",
        "The sum over versions that went live of their accuracy less the champion's on the same rows, where positive.",
        "A version for which either was not measured is left out.",
    ),
    _own(
        "closures",
        "Loops closed",
        "How often the loop closed with no person in it.",
        "Chains of causes from an alert or from outcomes, over new data, training and gate, to live traffic, in which "
        "no person acted.",
    ),
)
OWN: dict[str, Definition] = {one.name: one for one in _OWN}


def definitions_for(numbers: Iterable[Number]) -> dict[str, Definition]:
    """Return the definitions that some numbers name, in the order in which they are named first."""
    names = dict.fromkeys(number.definition for number in numbers)
    return {name: OWN[name] if name in OWN else definition_of_kpi(name) for name in names}
