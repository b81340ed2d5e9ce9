"""What people put on record about how the work is done: process maps, and comparisons of platforms.

Invariant: it stands beside what was measured and is marked as declared; nothing of it is taken from a file that is not
in the ledger but the steps that are handed in, and those stand in the report as they were.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from ratchet.measure.evaluations import figures, sentiments
from ratchet.measure.evaluations.figures import Figures
from ratchet.measure.evaluations.recording import is_readable
from ratchet.measure.kpis.questions import Question
from ratchet.measure.maps.degrees import is_known
from ratchet.measure.maps.differences import compare
from ratchet.measure.maps.measured import measure_degrees
from ratchet.measure.maps.plans import Plan, StepFile, make_plan
from ratchet.measure.maps.recording import RecordedMap, from_events
from ratchet.measure.reports.numbers import Number, counted
from ratchet.measure.reports.report import CandidateLine, EvaluationLine, Maps
from ratchet.records import Event

_SENTIMENTS = ("green", "yellow", "red")
_NOT_STATED = "not stated"


def read_maps(question: Question, steps: StepFile | None, numbers: dict[str, Number]) -> Maps:
    """Return the current map and the target that were recorded last, with the way between them.

    Args:
        question: What is known.
        steps: What somebody wrote about the way.
        numbers: Gets what is counted.
    """
    recorded = from_events(question.view.of("assessment.recorded"))
    current, target = _last(recorded, "current"), _last(recorded, "target")
    today = question.as_of.astimezone(ZoneInfo(question.settings.time_zone)).date()
    shown = current or target
    if shown is None:
        return Maps()
    measured = measure_degrees(question.view.history, shown.process_map, as_of=question.as_of, seq=question.view.until)
    known = [one for one in measured.values() if is_known(one.degree)]
    process_map = shown.process_map
    total = len(process_map.nodes)
    automated = process_map.count_by_degree()["automated"]
    numbers["map/automated"] = counted(
        "map", "Processes automated, as declared", automated / total if total else None, unit="share",
        events=[shown.event_id], note=f"{automated} of {total}",
    )  # fmt: skip
    numbers["map/measured"] = counted(
        "map", "Processes that the ledger can tell", len(known), events=[case for one in known for case in one.cases],
        note=f"of {total}",
    )  # fmt: skip
    if current is None or target is None:
        return Maps(
            current=current.process_map if current else None,
            measured=measured if current else None,
            target=target.process_map if target else None,
            written=steps,
            today=today,
        )
    difference = compare(current.process_map, target.process_map)
    plan = make_plan(
        current.process_map, target.process_map, written=steps, measured=measured, recorded=recorded, today=today
    )
    both = [current.event_id, target.event_id]
    # Where nobody has said yet how anything is done, the way to the target is not 0 steps long.
    short = difference.steps_short or (None if difference.unknown else 0)
    numbers["map/short"] = counted("map", "Steps short of the target", short, events=both)
    _count_plan(plan, both, numbers)
    return Maps(
        current=current.process_map,
        measured=measured,
        target=target.process_map,
        difference=difference,
        plan=plan,
        written=steps,
        today=today,
    )


def _count_plan(plan: Plan, events: list[str], numbers: dict[str, Number]) -> None:
    estimated = [one for one in plan.steps if one.step.effort_days]
    note = f"{len(estimated)} of {len(plan.steps)} steps are estimated"
    numbers["plan/effort"] = counted(
        "plan", "Effort", plan.effort_days if estimated else None, unit="days", events=events, note=note
    )
    priced = [one for one in plan.steps if one.step.cost]
    numbers["plan/cost"] = counted(
        "plan", "Cost beside the work", plan.cost if priced else None, unit=plan.currency, events=events
    )


def _last(recorded: Iterable[RecordedMap], kind: str) -> RecordedMap | None:
    return next((one for one in reversed(list(recorded)) if one.process_map.kind == kind), None)


# ---- comparisons of platforms


def read_evaluations(question: Question, numbers: dict[str, Number]) -> tuple[EvaluationLine, ...]:
    """Return the comparisons of platforms, as far as the ledger has them.

    Args:
        question: What is known.
        numbers: Gets what is counted.
    """
    by_name: dict[str, dict[str, Event]] = {}
    for event in question.view.of("assessment.recorded"):
        thing = event.subject.rpartition("@")[0]
        if thing and is_readable(event):
            by_name.setdefault(event.data["evaluation"], {})[thing] = event
    found = []
    for name, latest in by_name.items():
        definition = next((one for one in latest.values() if one.data["assessment"] == "evaluation"), None)
        if definition is not None:
            found.append(_evaluation(name, definition, list(latest.values()), numbers))
    return tuple(found)


def _evaluation(name: str, definition: Event, latest: list[Event], numbers: dict[str, Number]) -> EvaluationLine:
    answers = [one for one in latest if one.data["assessment"] == "answer" and not one.data.get("is_withdrawn")]
    concluded = next((one.data for one in latest if one.data["assessment"] == "conclusion"), {})
    about = definition.data
    numbers[f"evaluation/{name}"] = counted("evaluation", "Answers", len(answers), events=[definition, *answers])
    candidates = tuple(_candidate(name, one, answers, concluded, numbers) for one in about.get("candidates", ()))
    _count_figures(name, definition, next((one for one in latest if one.data is concluded), None), numbers)
    return EvaluationLine(
        name=name,
        title=str(about.get("title") or name),
        period=str(about.get("period") or ""),
        groups=len(about.get("groups") or ()),
        respondents=len(about.get("respondents") or ()),
        candidates=candidates,
        reasons=tuple(map(str, concluded.get("reasons") or ())),
        concluded_at=str(concluded.get("concluded_at") or ""),
    )


def _candidate(
    evaluation: str, name: str, answers: list[Event], concluded: dict[str, Any], numbers: dict[str, Number]
) -> CandidateLine:
    own = [one for one in answers if one.data.get("candidate") == name]
    words = Counter(_word(str(one.data.get("sentiment") or "")) for one in own)
    for word in _SENTIMENTS:
        value = words[word] if own else None
        numbers[f"evaluation/{evaluation}/{name}/{word}"] = counted("evaluation", f"{name}, {word}", value, events=own)
    return CandidateLine(
        name=name,
        answers={word: words[word] for word in _SENTIMENTS},
        is_ruled_out=name in {str(one) for one in concluded.get("disqualified") or ()},
        is_chosen=bool(concluded) and concluded.get("choice") == name,
    )


def _count_figures(evaluation: str, definition: Event, conclusion: Event | None, numbers: dict[str, Number]) -> None:
    """Count what each candidate would take and bring, as it was concluded upon; else as it is defined."""
    source = conclusion if conclusion and figures.read(conclusion.data) else definition
    known = figures.read(source.data)
    for name in map(str, definition.data.get("candidates", ())):
        one = known.get(name, Figures(name=name))
        covered = "" if one.coverage is None else f"{one.covered} of {one.processes} processes"
        stated = "" if one.stated is None or one.stated == one.processes else f"{one.stated} of {one.processes} stated"
        for what, value, unit, note in (
            ("coverage", one.coverage, "share", covered),
            ("steps", one.steps_short, "", stated),
            ("cost", one.cost_year, one.currency, ""),
            ("effort", one.effort_days, "days", ""),
        ):
            number = counted("candidate", f"{name}, {what}", value, unit=unit, events=[source], note=note)
            text = number.text if value is not None else _NOT_STATED
            numbers[f"evaluation/{evaluation}/{name}/{what}"] = replace(number, text=text)


def _word(text: str) -> str:
    found = sentiments.parse(text)
    return found.word if found else ""
