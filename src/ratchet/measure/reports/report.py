"""What a report holds: all its figures as records, which can be written, read again and drawn.

Invariant: whatever a page shows stands here, so that a page can be drawn again from what stands in its file.
"""

from datetime import date, datetime

from ratchet.measure.goals import Progress
from ratchet.measure.kpis.budgets import Standing as BudgetStanding
from ratchet.measure.maps.differences import Difference
from ratchet.measure.maps.measured import Measured
from ratchet.measure.maps.plans import Plan, StepFile
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.reports.numbers import Definition, Number
from ratchet.records import Record, digest_of

FORM = "ratchet-report-v1"


class StageLine(Record, frozen=True):
    """One stage of a pipeline.

    Attributes:
        stage: Which one.
        status: met, not met, insufficient, stale or n/a.
        k: How many of its last changes ran by automation.
        n: Of how many.
        words: What that means.
    """

    stage: str
    status: str
    k: int
    n: int
    words: str


class PipelineLine(Record, frozen=True):
    """One pipeline.

    Attributes:
        name: Which one.
        owner: Whose it is; ``""`` where nobody's.
        level: The measured one; 0 where none is reached.
        level_name: What the policy calls it.
        is_insufficient: Whether nothing but a want of evidence keeps it at 0.
        configured: The level that its rules would give.
        declared: The level that somebody claimed; ``None`` where nobody has.
        stages: How each stage runs.
        blocking: What stands before the next level, in words; ``""`` at the top.
        findings: Why the three levels differ.
        step: The cheapest next step; ``""`` at the top.
        step_level: The level that it leads to.
        command: What to type for it; ``""`` where no command does it.
    """

    name: str
    owner: str
    level: int
    level_name: str
    is_insufficient: bool
    configured: int
    declared: int | None
    stages: tuple[StageLine, ...]
    blocking: str
    findings: tuple[str, ...]
    step: str
    step_level: int
    command: str


class MonthLine(Record, frozen=True):
    """One local month: pipelines by level at its end, and errors that people made in it.

    Attributes:
        month: Such as ``2026-03``.
        buckets: Active pipelines at each level, and those with too little evidence.
        errors: Incidents with their onset in it that a person's act is at fault for.
        human_changes: Changes of production by people.
        automated_changes: Those by automation.
    """

    month: str
    buckets: dict[str, int]
    errors: int
    human_changes: int
    automated_changes: int


class IncidentLine(Record, frozen=True):
    """One incident.

    Attributes:
        name: What people call it.
        service: What was out of bounds.
        onset: The first bad moment (UTC).
        lasted: In words.
        is_open: Whether it is not over.
        verdict: How sure the cause is.
        cause: The event that it came from; ``""`` where there is not one.
        why: What decided, in one sentence.
        people: What a person did, or left undone; ``""`` where nobody did.
        said: What people say, where that differs; ``""`` elsewhere.
    """

    name: str
    service: str
    onset: datetime
    lasted: str
    is_open: bool
    verdict: str
    cause: str
    why: str
    people: str
    said: str


class RuleLine(Record, frozen=True):
    """A rule that is switched on and never fired."""

    rule: str
    pipeline: str
    on: str
    leads_to: tuple[str, ...]


class SourceLine(Record, frozen=True):
    """Another system, and how much of what it claims is in the ledger."""

    source: str
    imported: int
    claimed: int


class CandidateLine(Record, frozen=True):
    """One candidate of a comparison.

    Attributes:
        name: The platform, or the composition of tools.
        answers: Answers by what they amount to: red, yellow, green.
        is_ruled_out: Whether the conclusion says that a must rules it out.
        is_chosen: Whether it was chosen.
    """

    name: str
    answers: dict[str, int]
    is_ruled_out: bool
    is_chosen: bool


class EvaluationLine(Record, frozen=True):
    """A comparison of platforms, as the ledger has it."""

    name: str
    title: str
    period: str
    groups: int
    respondents: int
    candidates: tuple[CandidateLine, ...]
    reasons: tuple[str, ...]
    concluded_at: str


class Maps(Record, frozen=True):
    """The process maps.

    Attributes:
        current: How the work is done; ``None`` where no map of it was recorded.
        measured: What the ledger says about its processes.
        target: How it shall be.
        difference: What lies between; ``None`` unless there are both.
        plan: The way between.
        written: The steps that somebody wrote.
        today: The day by which a step is overdue.
    """

    current: ProcessMap | None = None
    measured: dict[str, Measured] | None = None
    target: ProcessMap | None = None
    difference: Difference | None = None
    plan: Plan | None = None
    written: StepFile | None = None
    today: date | None = None


class Report(Record, frozen=True):
    """All figures of a report.

    Attributes:
        ratchet: The version that collected them.
        project: Whose.
        scope: Of which part of the organisation; ``""`` for all of it.
        at: The moment (UTC).
        time_zone: In which days and months are read.
        seq: The place in the ledger up to which events were read.
        policy: By whose levels.
        levels: What it calls its levels, from 0 up.
        policies: Digest of each policy in force.
        settings: Digest of the settings that figures rest on.
        numbers: By name; the page shows no other.
        definitions: What they mean.
        ten: Names of the ten that people ask for first, in order.
        rest: Names of the other KPIs.
        months: By month, the oldest first.
        pipelines: Those that are shown.
        pipelines_left: How many more there are.
        archived: Pipelines that were archived.
        incidents: The newest first.
        incidents_left: How many more there are.
        sources: Systems whose records are imported.
        goals: What was set, and how far it is.
        budgets: How they stand.
        maps: How the work is done.
        evaluations: Comparisons of platforms.
        silent_rules: Rules that never fired.
        sentence: With how much how many models run.
    """

    ratchet: str
    project: str
    scope: str
    at: datetime
    time_zone: str
    seq: int
    policy: str
    levels: dict[str, str]
    policies: dict[str, str]
    settings: str
    numbers: dict[str, Number]
    definitions: dict[str, Definition]
    ten: tuple[str, ...]
    rest: tuple[str, ...]
    months: tuple[MonthLine, ...]
    pipelines: tuple[PipelineLine, ...]
    pipelines_left: int
    archived: tuple[str, ...]
    incidents: tuple[IncidentLine, ...]
    incidents_left: int
    sources: tuple[SourceLine, ...]
    goals: tuple[Progress, ...]
    budgets: tuple[BudgetStanding, ...]
    maps: Maps
    evaluations: tuple[EvaluationLine, ...]
    silent_rules: tuple[RuleLine, ...]
    sentence: str

    @property
    def definition_digest(self) -> str:
        """Return the digest of all definitions and of the policies in force."""
        return definition_digest({name: one.digest for name, one in self.definitions.items()}, self.policies)


def definition_digest(definitions: dict[str, str], policies: dict[str, str]) -> str:
    """Return the digest of definitions and policies, each by name with its own digest."""
    return digest_of([definitions, policies])
