"""Three levels side by side: configured, measured and declared, and where they differ, why.

Invariant: what is configured or declared never changes what is measured; a difference is a finding with its reason.
"""

from collections.abc import Iterable
from datetime import datetime

from ratchet.measure.counts import TOO_LITTLE, times
from ratchet.measure.criteria import SATISFIED, CriterionResult, PipelineEvidence
from ratchet.measure.history import History, Snapshot, moment_of
from ratchet.measure.levels import LevelReport
from ratchet.measure.policies import Criterion, Level, Policy
from ratchet.measure.practices import PRACTICES
from ratchet.measure.rulebook import Rule
from ratchet.measure.stages import things
from ratchet.records import Event, Record

# The engine does these by itself for every run and every deployment, without a rule.
_AUTOMATIC_AFTER_TRAINING = "evaluate"
_LOOP = frozenset({"dataset", "train", "deploy"})


class Declared(Record, frozen=True):
    """A level that somebody has claimed."""

    level: int
    event_id: str
    at: datetime


class Finding(Record, frozen=True):
    """A difference between two of the levels, with the reason."""

    sentence: str
    rule_id: str = ""
    events: tuple[str, ...] = ()


class ThreeLevels(Record, frozen=True):
    """The three levels of one pipeline by one policy.

    Attributes:
        configured: What the enabled rules would give, if all of them did their work.
        measured: What the events give.
        declared: What somebody has claimed last; ``None`` where nobody has.
        findings: Why they differ; empty where they do not.
    """

    configured: int
    measured: int
    declared: Declared | None
    findings: tuple[Finding, ...]


def three_levels(history: History, report: LevelReport, policy: Policy) -> ThreeLevels:
    """Return configured, measured and declared level of a pipeline beside one another.

    Args:
        history: The events.
        report: What was measured, by this policy.
        policy: What each level asks for.
    """
    evidence = PipelineEvidence(history.as_of(report.at, seq=report.seq), report.pipeline, policy)
    configured = _configured(evidence)
    declared = declared_level(evidence.snapshot, report.pipeline, policy)
    findings = [
        *_not_at_work(evidence, report, configured),
        *_not_configured(evidence, report, configured),
        *_not_as_declared(report, declared),
    ]
    return ThreeLevels(configured=configured, measured=report.level, declared=declared, findings=tuple(findings))


def configured_level(history: History, pipeline: str, policy: Policy, *, as_of: datetime | None = None) -> int:
    """Return the level that a pipeline's enabled rules would give, if all of them did their work.

    Args:
        history: The events.
        pipeline: Whose level.
        policy: What each level asks for.
        as_of: The moment (UTC); now if not given.
    """
    return _configured(PipelineEvidence(history.as_of(as_of), pipeline, policy))


def level_of_stages(policy: Policy, stages: Iterable[str], *, own_rules: int = 0, na: Iterable[str] = ()) -> int:
    """Return the level that automation of these stages would give.

    Args:
        policy: What each level asks for.
        stages: Stages that something automated begins.
        own_rules: How many of the team's own rules would be at work.
        na: Stages that do not apply.
    """
    led_to = set(stages)
    if "train" in led_to:
        led_to.add(_AUTOMATIC_AFTER_TRAINING)
    reached = 0
    for level in policy.levels:
        if not all(_is_covered(criterion, level, led_to, own_rules, set(na)) for criterion in level.criteria):
            break
        reached = level.id
    return reached


def declared_level(snapshot: Snapshot, pipeline: str, policy: Policy) -> Declared | None:
    """Return the level that was last claimed for a pipeline, in an assessment or where it was declared."""
    claims = [
        event
        for name in (pipeline, "")
        for type_ in ("assessment.recorded", "pipeline.declared")
        for event in snapshot.events(type_, name)
        if _is_claim(event, pipeline, policy)
    ]
    if not claims:
        return None
    last = max(claims, key=lambda event: (moment_of(event), event.seq))
    return Declared(level=int(last.data["level"]), event_id=last.id, at=moment_of(last))


def _is_claim(event: Event, pipeline: str, policy: Policy) -> bool:
    level = event.data.get("level")
    is_number = isinstance(level, int) and not isinstance(level, bool)
    of_pipeline = (event.pipeline or event.data.get("pipeline") or event.subject) == pipeline
    return is_number and of_pipeline and event.data.get("policy", policy.name) == policy.name


def _configured(evidence: PipelineEvidence) -> int:
    rules = evidence.snapshot.rules.enabled(evidence.pipeline)
    names = evidence.policy.stage_names
    return level_of_stages(
        evidence.policy,
        {stage for rule in rules for stage in rule.leads_to},
        own_rules=sum(rule.origin == "user" for rule in rules),
        na=[stage for stage in names if evidence.reason_na(stage)],
    )


def _is_covered(criterion: Criterion, level: Level, led_to: set[str], own_rules: int, na: set[str]) -> bool:
    """Tell whether rules cover what a criterion asks for; the engine tracks, registers and judges by itself."""
    if criterion.measure == "delivered":
        return "deploy" in led_to
    if criterion.measure in PRACTICES:
        return True
    if criterion.measure == "user_rules_fired":
        return own_rules >= criterion.min
    if criterion.measure == "loop_closure":
        return led_to >= _LOOP
    return criterion.stage in led_to or (criterion.stage in level.na_allowed and criterion.stage in na)


# ---- why they differ


def _not_at_work(evidence: PipelineEvidence, report: LevelReport, configured: int) -> list[Finding]:
    """Say of each unmet criterion that rules should meet what became of those rules."""
    if configured <= report.level:
        return []
    unmet = [
        judged
        for result in report.levels
        if report.level < result.level.id <= configured
        for judged in result.results
        if judged.status not in SATISFIED
    ]
    found: dict[str, Finding] = {}
    for judged in unmet:
        for finding in _of_criterion(evidence, judged, f"configured {configured}, {_measured(report)}: "):
            found.setdefault(finding.sentence, finding)
    return list(found.values())


def _of_criterion(evidence: PipelineEvidence, judged: CriterionResult, head: str) -> list[Finding]:
    snapshot, criterion = evidence.snapshot, judged.criterion
    enabled = snapshot.rules.enabled(evidence.pipeline)
    if criterion.measure == "user_rules_fired":
        rules = [rule for rule in enabled if rule.origin == "user"]
    else:
        stage = criterion.stage or PRACTICES.get(criterion.measure, "")
        rules = [rule for rule in enabled if stage in rule.leads_to]
    idle = [_idle(snapshot, rule) for rule in rules]
    reasons = [(rule, *reason) for rule, reason in zip(rules, idle, strict=True) if reason is not None]
    if reasons:
        return [
            Finding(sentence=f"{head}rule '{rule.rule_id}' {words}", rule_id=rule.rule_id, events=events)
            for rule, words, events in reasons
        ]
    sentence = judged.sentence[:1].lower() + judged.sentence[1:].removesuffix(".")
    return [Finding(sentence=f"{head}{sentence}", events=judged.failing)]


def _idle(snapshot: Snapshot, rule: Rule) -> tuple[str, tuple[str, ...]] | None:
    """Say why a rule did nothing, in words and with events; ``None`` where it did something."""

    def of_rule(kind: str) -> list[Event]:
        names = (rule.pipeline, "") if rule.pipeline else ("",)
        return [event for name in names for event in snapshot.events(kind, name) if _rule_id(event) == rule.rule_id]

    if not of_rule("rule.fired"):
        suppressed = of_rule("rule.suppressed")
        if suppressed:
            # One event may stand for a burst.
            count = sum(1 + int(one.data.get("more") or 0) for one in suppressed)
            return f"was held back {times(count)} and never fired", _ids(suppressed)
        return "never fired", ()
    failed = of_rule("rule.action.failed")
    if failed and not of_rule("rule.action.succeeded"):
        return f"fired, and its action failed {times(len(failed))}", _ids(failed)
    return None


def _not_configured(evidence: PipelineEvidence, report: LevelReport, configured: int) -> list[Finding]:
    """Say which parts of what was measured no enabled rule would bring about any more."""
    if report.level <= configured:
        return []
    led_to = {stage for rule in evidence.snapshot.rules.enabled(evidence.pipeline) for stage in rule.leads_to}
    asked = {
        judged.criterion.stage
        for result in report.levels
        if configured < result.level.id <= report.level
        for judged in result.results
        if judged.criterion.stage and judged.criterion.stage not in {*led_to, _AUTOMATIC_AFTER_TRAINING}
    }
    head = f"measured {report.level}, configured {configured}: "
    if not asked:
        return [Finding(sentence=f"{head}rules that brought it about are not enabled any more")]
    words = ", ".join(things(stage) for stage in sorted(asked))
    return [Finding(sentence=f"{head}no enabled rule leads to {words}; the level will fall when the evidence is old")]


def _not_as_declared(report: LevelReport, declared: Declared | None) -> list[Finding]:
    if declared is None or declared.level == report.level:
        return []
    head = f"declared {declared.level}, {_measured(report)}: "
    if declared.level < report.level:
        sentence = f"{head}more is automated than was claimed"
    else:
        sentence = f"{head}{report.explanation[:1].lower()}{report.explanation[1:].removesuffix('.')}"
    return [Finding(sentence=sentence, events=(declared.event_id,))]


def _measured(report: LevelReport) -> str:
    return TOO_LITTLE if report.is_insufficient else f"measured {report.level}"


def _rule_id(event: Event) -> str:
    return str(event.data.get("rule_id") or event.subject)


def _ids(events: list[Event]) -> tuple[str, ...]:
    return tuple(event.id for event in events)
