"""A report's figures, collected from what is known at one moment.

Invariant: the same events, settings and policies give the same report; figures of KPIs, levels, goals and maps are
those that each of them gives by itself.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import msgspec

from ratchet.config import GoalSection
from ratchet.measure.capability import Means
from ratchet.measure.counts import TOO_LITTLE
from ratchet.measure.criteria import CriterionResult
from ratchet.measure.distribution import INSUFFICIENT, Distribution
from ratchet.measure.gaps import three_levels
from ratchet.measure.goals import Goal, Progress, progress, read_goals
from ratchet.measure.history import order
from ratchet.measure.incidents.attribution import Attribution
from ratchet.measure.kpis import budgets
from ratchet.measure.kpis.automation import known_transitions, level_bucket
from ratchet.measure.kpis.catalogue import KPIS
from ratchet.measure.kpis.facts import OfTypes
from ratchet.measure.kpis.failures import covered, errors_by_month
from ratchet.measure.kpis.questions import Ids, Question, Scope
from ratchet.measure.kpis.readings import NOBODY, TEN, Reading, in_order, read, read_in_short, value_text
from ratchet.measure.kpis.shifts import deployed, deployment_ids
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.maps.plans import StepFile
from ratchet.measure.months import ClosedMonths
from ratchet.measure.policies import Policy
from ratchet.measure.reports import assessments
from ratchet.measure.reports.numbers import (
    NO_EVIDENCE,
    Mark,
    Number,
    Point,
    basis_of,
    counted,
    definitions_for,
    of_named,
    of_reading,
    worded,
)
from ratchet.measure.reports.report import (
    IncidentLine,
    MonthLine,
    PipelineLine,
    Report,
    RuleLine,
    SourceLine,
    StageLine,
)
from ratchet.measure.rulebook import LIFECYCLE, Rule, RuleKey, rule_after, rule_key
from ratchet.measure.steps import next_step, runs_here
from ratchet.records import Event, digest_of

MONTHS = 13
PIPELINES_SHOWN = 40
INCIDENTS_SHOWN = 20
_NAMED_RULES = 200


def collect(
    question: Question,
    policy: Policy,
    *,
    ratchet: str,
    project: str,
    means: Sequence[Means] = (),
    steps: StepFile | None = None,
    closed: ClosedMonths | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> Report:
    """Return all figures.

    Args:
        question: What is known, at which moment, of which part; ``policy`` is one of its policies.
        policy: By whose levels.
        ratchet: The version that collects.
        project: Whose figures.
        means: The rules that ship.
        steps: What somebody wrote about the way to the target map.
        closed: What was said about months that are over; all is worked out from the events if not given.
        say: Told what is under way.
    """
    made = _Collecting(question, policy, means=means, closed=closed or ClosedMonths())
    say("indicators")
    ten, rest = made.kpis()
    say("levels by month")
    months = made.months()
    say("pipelines")
    pipelines = made.pipelines()
    silent = made.silent_rules()
    say("incidents")
    incidents = made.incidents()
    goals = made.goals()
    standings = made.budgets()
    say("maps")
    maps = assessments.read_maps(question, steps, made.numbers)
    evaluations = assessments.read_evaluations(question, made.numbers)
    made.bought()
    sentence = made.sentence()
    made.keep()
    numbers = made.numbers
    found = Report(
        ratchet=ratchet,
        project=project,
        scope=scope_text(question.scope),
        at=question.as_of,
        time_zone=question.settings.time_zone,
        seq=question.view.seq,
        policy=policy.name,
        levels={str(level.id): level.name for level in (policy.level(0), *policy.levels)},
        policies={one.name: one.digest for one in question.policies},
        settings=settings_digest(question),
        numbers=numbers,
        definitions=definitions_for(numbers.values()),
        ten=ten,
        rest=rest,
        months=months,
        pipelines=pipelines,
        pipelines_left=max(0, len(question.active) - len(pipelines)),
        archived=question.archived,
        incidents=incidents,
        incidents_left=max(0, len(covered(question)) - len(incidents)),
        sources=made.sources(),
        goals=goals,
        budgets=standings,
        maps=maps,
        evaluations=evaluations,
        silent_rules=silent,
        sentence=sentence,
    )
    # As it will be read again: a whole number where a quotient may stand is written otherwise the second time.
    return msgspec.json.decode(msgspec.json.encode(found), type=Report)


def settings_digest(question: Question) -> str:
    """Return the digest of the settings that figures rest on."""
    return digest_of(msgspec.to_builtins(question.settings))


def scope_text(scope: Scope) -> str:
    """Return the name by which a part of the whole can be asked for again; ``""`` for the whole."""
    if scope.kind == "organisation":
        return ""
    return f"{scope.kind}:{scope.name}" if scope.name else NOBODY


class _Collecting:
    """Collects one report; what it finds goes into ``numbers``."""

    def __init__(self, question: Question, policy: Policy, *, means: Sequence[Means], closed: ClosedMonths) -> None:
        self.question = question
        self.policy = policy
        self.numbers: dict[str, Number] = {}
        self._means = means
        self._said = closed
        self._readings: dict[str, Reading] = {}
        self._behind: dict[str, Ids] = {}
        self._distributions: list[Distribution] = []
        self._closed: list[str] = []

    def keep(self) -> None:
        """Keep what was said about months that are over."""
        self._said.keep()

    # ---- KPIs

    def kpis(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Read all KPIs; the ten that people ask for first have a series."""
        question = self.question
        for name in in_order():
            self._readings[name], self._behind[name] = read_in_short(KPIS[name], question)
        bases = {name: basis_of(ids) for name, ids in self._behind.items()}
        series = {name: self._series(name) for name in {named.kpi for named in TEN}}
        ten = []
        for named in TEN:
            name = f"ten/{named.kpi}" + (f"/{named.part}" if named.part else "")
            self.numbers[name] = of_named(
                named, self._readings[named.kpi], basis=bases[named.kpi], series=series[named.kpi]
            )
            ten.append(name)
        shown = {named.kpi for named in TEN}
        rest = []
        for name, reading in self._readings.items():
            self.numbers[f"kpi/{name}"] = of_reading(reading, basis=bases[name])
            if name not in shown:
                rest.append(f"kpi/{name}")
        return tuple(ten), tuple(rest)

    def _series(self, name: str) -> tuple[Point, ...]:
        return tuple(self._point(name, month, end) for month, end in self.question.month_ends[-MONTHS:])

    def _point(self, name: str, month: str, end: datetime) -> Point:
        """Return what a KPI said at the end of a month, or says now."""
        if end == self.question.as_of:
            return _point_of(self._readings[name], month)

        def read_then(then: Question) -> Point:
            return _point_of(read(KPIS[name], _for_headline(name, then)), month)

        digest = KPIS[name].digest
        return self._said.answer(f"kpi/{name}", self.question, end, definition=digest, kind=Point, make=read_then)

    def sentence(self) -> str:
        """Return with how much how many models run, or that it is not known."""
        reading = self._readings["frameworks_and_libraries"]
        if reading.status == NO_EVIDENCE:
            return ""
        values = reading.values
        for name in ("models", "frameworks", "libraries", "months"):
            value = values[f"{name}_count"]
            number = of_reading(reading, basis=basis_of(self._behind["frameworks_and_libraries"]))
            self.numbers[f"closing/{name}"] = msgspec.structs.replace(
                number, title=name.capitalize(), value=value, text=f"{value}", unit=""
            )
        return str(reading.by["sentence"])

    # ---- levels

    def months(self) -> tuple[MonthLine, ...]:
        """Count pipelines by level at the end of each month, beside the errors that people made in it."""
        errors = {one.month: one for one in errors_by_month(self.question)}
        found = []
        for month, end in self.question.month_ends[-MONTHS:]:
            self._distributions.append(self._distribution(month, end))
            made = errors[month]
            found.append(
                MonthLine(
                    month=month,
                    buckets=self._distributions[-1].buckets,
                    errors=made.human_induced_count,
                    human_changes=made.human_changes_count,
                    automated_changes=made.automated_changes_count,
                )
            )
        return tuple(found)

    def _distribution(self, month: str, end: datetime) -> Distribution:
        """Return how many pipelines stood at which level at the end of a month, or stand there now."""

        def count(then: Question) -> Distribution:
            return self._distribution_of(then, month)

        name, digest = f"levels/{self.policy.name}", self.policy.digest
        return self._said.answer(name, self.question, end, definition=digest, kind=Distribution, make=count)

    def _distribution_of(self, then: Question, month: str) -> Distribution:
        active = then.active
        names = ["0", *(str(level.id) for level in self.policy.levels if level.id), INSUFFICIENT]
        members: dict[str, list[str]] = {name: [] for name in names}
        for name in active:
            members[level_bucket(then, name, self.policy)].append(name)
        archived = then.archived
        return Distribution(
            month=month,
            at=then.as_of,
            buckets={name: len(found) for name, found in members.items()},
            pipelines={name: tuple(sorted(found)) for name, found in members.items()},
            archived=archived,
            dormant=tuple(name for name in then.pipelines if name not in {*active, *archived}),
        )

    def pipelines(self) -> tuple[PipelineLine, ...]:
        """Read the active pipelines, the least automated first where there are too many to show."""
        names = list(self.question.active)
        if len(names) > PIPELINES_SHOWN and self._distributions:
            place = {name: bucket for bucket, found in self._distributions[-1].pipelines.items() for name in found}
            names = sorted(names, key=lambda name: (place[name] == INSUFFICIENT, place[name], name))[:PIPELINES_SHOWN]
        return tuple(self._pipeline(name) for name in sorted(names))

    def _pipeline(self, name: str) -> PipelineLine:
        question, policy = self.question, self.policy
        report = measure_level(
            question.view.history,
            name,
            policy,
            as_of=question.as_of,
            seq=question.view.until,
            known=known_transitions(question.view, name),
        )
        self._closed += [one.live_event for one in report.closures]
        three = three_levels(question.view.history, report, policy)
        enabled = question.view.snapshot.rules.enabled(name)
        is_here = runs_here(question.view.snapshot, name)
        step = next_step(report, policy, enabled=enabled, means=self._means, is_here=is_here)
        is_unsaid = level_bucket(question, name, policy) == INSUFFICIENT
        stages = _stages(report, policy)
        line = PipelineLine(
            name=name,
            owner=question.owner(name),
            level=report.level,
            level_name=report.name,
            is_insufficient=is_unsaid,
            configured=three.configured,
            declared=three.declared.level if three.declared else None,
            stages=stages,
            blocking=report.explanation,
            findings=tuple(finding.sentence for finding in three.findings),
            step=step.sentence if step else "",
            step_level=step.level if step else report.level,
            command=step.command if step else "",
        )
        self._count_levels(line, report)
        if three.declared:
            self.numbers[f"declared/{name}"] = worded(
                "level_declared",
                f"{name}, declared",
                str(three.declared.level),
                value=three.declared.level,
                events=[three.declared.event_id],
            )
        if step:
            events = [one for result in report.blocking for one in (*result.counted, *result.failing)]
            # What is lacking is held against what the pipeline was declared to be.
            events += [event.id for event in question.view.snapshot.events("pipeline.declared", name)]
            self.numbers[f"step/{name}"] = worded(
                "next_step", f"{name}, lacking", str(step.lacking), value=step.lacking, events=events
            )
        return line

    def _count_levels(self, line: PipelineLine, report: LevelReport) -> None:
        name = line.name
        rested_on = [
            one for level in report.levels for result in level.results for one in (*result.counted, *result.failing)
        ]
        text = TOO_LITTLE if line.is_insufficient else report.label
        self.numbers[f"level/{name}"] = worded(
            "level",
            f"{name}, measured",
            text,
            value=None if line.is_insufficient else report.level,
            events=rested_on,
            status="insufficient" if line.is_insufficient else "ok",
        )
        rules = [
            event
            for kind in ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")
            for event in self.question.view.snapshot.events(kind, name)
        ]
        self.numbers[f"configured/{name}"] = worded(
            "level_configured",
            f"{name}, configured",
            str(line.configured) if rules else "no rules",
            value=line.configured if rules else None,
            events=rules,
            status="ok" if rules else NO_EVIDENCE,
        )
        for stage in line.stages:
            result = _measured(report, self.policy, stage.stage)
            self.numbers[f"stage/{name}/{stage.stage}"] = worded(
                "stage",
                f"{name}, {stage.stage}",
                f"{stage.k}/{stage.n}" if stage.n else stage.status,
                value=stage.k / stage.n if stage.n else None,
                events=(*result.counted, *result.failing),
                status="ok" if stage.n else "insufficient",
            )

    def silent_rules(self) -> tuple[RuleLine, ...]:
        """Find the rules that are switched on and never fired."""
        question = self.question
        inputs = question.view.inputs
        fired = set(inputs.words.of(question.view.seen(inputs.firings)["rule"]))
        enabled = question.view.made("enabled rules", enabled_rules, of=LIFECYCLE)
        found = [
            RuleLine(rule=rule.rule_id, pipeline=name, on=rule.on, leads_to=rule.leads_to)
            for name in question.active
            for rule in enabled.get(name, ())
            if rule.rule_id not in fired
        ]
        active = set(question.active)
        written = [event for event in question.view.of("rule.created") if event.pipeline in active]
        names = {one.rule for one in found}
        self.numbers["silent_rules"] = counted(
            "silent_rules",
            "Rules that never fired",
            len(found) if written else None,
            events=[event for event in written if event.subject in names] or written,
        )
        return tuple(found[:_NAMED_RULES])

    # ---- what broke

    def incidents(self) -> tuple[IncidentLine, ...]:
        """Read the incidents, the newest first."""
        found = list(reversed(covered(self.question)))
        is_told = bool(found) or len(deployed(self.question)) > 0
        groups = {
            "all": ("Incidents", found),
            "open": ("still open", [one for one in found if one.incident.back is None]),
            "caused": ("from a change that is known", [one for one in found if one.blamed]),
            "people": ("a person's act at fault", [one for one in found if one.is_human_induced]),
        }
        for name, (title, some) in groups.items():
            self.numbers[f"incidents/{name}"] = counted(
                "incidents", title, len(some) if is_told else None, events=[one.incident.event for one in some]
            )
        return tuple(map(_incident, found[:INCIDENTS_SHOWN]))

    def sources(self) -> tuple[SourceLine, ...]:
        """Return the systems that claim records, with how many of them are here."""
        by = self._readings["audit_completeness"].by
        return tuple(
            SourceLine(source=name, imported=entry["imported_count"], claimed=entry["claimed_count"])
            for name, entry in sorted(by.items())
        )

    # ---- where it should be

    def goals(self) -> tuple[Progress, ...]:
        """Return the goals that are set, in the ledger and in the settings, with how far they are."""
        question = self.question
        goals = [goal for goal in read_goals(question.view.snapshot) if goal.policy == self.policy.name]
        first = question.view.first_at
        for section in question.settings.goal if first is not None else ():
            if section.policy == self.policy.name and not any(_is_same(section, goal) for goal in goals):
                assert first is not None, "looked at above"
                name = f"{section.share:.0%} at level {section.level}"
                goals.append(
                    Goal(
                        name=name,
                        owner=section.owner,
                        share=section.share,
                        level=section.level,
                        by=section.by,
                        policy=section.policy,
                        set_at=first,
                        event_id="",
                    )
                )
        found = tuple(progress(goal, self._distributions, zone=question.settings.time_zone) for goal in goals)
        for one in found:
            self._count_goal(one)
        return found

    def _count_goal(self, one: Progress) -> None:
        behind = set(one.behind)
        events = [one.goal.event_id, *self._behind["level_distribution"]]
        note = f"{one.needed} more of {len(behind)} below it" if one.needed else ""
        self.numbers[f"goal/{one.goal.name}"] = counted(
            "goal", one.goal.name, one.share, unit="share", events=events, note=note
        )

    def budgets(self) -> tuple[budgets.Standing, ...]:
        """Return how the budgets stand this month."""
        question = self.question
        # The month that the moment ends, not the one that begins with it.
        found = tuple(budgets.standings(question, month=question.months[-1])) if question.months else ()
        costs = self._behind["cost"]
        for one in found:
            name = f"budget/{one.scope}/{one.name}"
            title = f"{one.scope} {one.name}"
            events = [one.crossed_by] if one.crossed_by else costs
            amount = round(one.spent, 6) if costs else None
            spent = counted("budget", f"{title}, spent", amount, unit=one.currency, events=events)
            mark: Mark = "insufficient" if not costs else "not met" if one.is_passed else "met"
            self.numbers[name] = msgspec.structs.replace(
                spent, target=value_text(one.amount, one.currency), mark=mark, note=one.month
            )
            self.numbers[f"{name}/forecast"] = counted(
                "budget",
                f"{title}, forecast",
                round(one.forecast.amount, 6) if costs else None,
                unit=one.currency,
                events=costs,
            )
        return found

    # ---- what it bought

    def bought(self) -> None:
        """Count what automation bought, against how it was before."""
        question, values = self.question, self._readings["value_at_stake"].values
        shifts = deployment_ids(question)
        baseline = question.settings.baseline
        without = "no baseline is declared: [baseline] in ratchet.toml"
        for name, unit, before in (
            ("days", "days", baseline.days_to_deployment),
            ("hours", "hours", baseline.hours_per_deployment),
        ):
            value = values[f"saved_{name}"] if shifts else None
            note = f"before: {before:g} {name} to each deployment" if before else without
            number = counted(
                f"bought_{name}",
                f"{name.capitalize()} saved",
                _float(value),
                events=shifts if before else (),
                note=note,
            )
            text = number.text if number.value is None else f"{number.value:,.0f} {unit}"
            self.numbers[f"bought/{name}"] = msgspec.structs.replace(number, text=text, unit=unit)
        iteration = self._readings["iteration_time"]
        count = iteration.values.get("improvements_count") if iteration.status == "ok" else None
        gained = _float(iteration.values.get("accuracy_gained")) if count else None
        gain = counted("bought_gain", "Accuracy gained", gained, events=self._behind["iteration_time"] if count else ())
        text = gain.text if gained is None else f"+{gained:.3f}"
        note = f"{count} better versions" if count else "no version's accuracy was measured beside its champion's"
        self.numbers["bought/gain"] = msgspec.structs.replace(gain, text=text, note=note)
        self._closures(shifts)

    def _closures(self, shifts: Collection[str]) -> None:
        self.numbers["bought/closures"] = counted(
            "closures",
            "Loops closed",
            len(self._closed) if shifts else None,
            events=self._closed,
            note="with no person in them",
        )


def enabled_rules(view: OfTypes) -> dict[str, list[Rule]]:
    """Return the rules that act on each pipeline and may still fire, as they were last written."""
    changes: dict[RuleKey, list[Event]] = {}
    places: dict[str, dict[RuleKey, None]] = {}
    # As a rule book reads them: keys in the order of the ledger, each one's life as it counts as having happened.
    for event in sorted(view.of(*LIFECYCLE), key=lambda one: one.seq):
        changes.setdefault(rule_key(event), []).append(event)
        places.setdefault(event.pipeline, {}).setdefault(rule_key(event))
    rules = {key: rule_after(key, sorted(events, key=order)) for key, events in changes.items()}
    found = {name: [rules[key] for key in keys] for name, keys in places.items()}
    return {name: [one for one in known if one.is_enabled and one.pipeline == name] for name, known in found.items()}


class _WithoutSamples(Question):
    """A question to what stands beside the pipelines: none of their changes is read."""

    @property
    def active(self) -> tuple[str, ...]:
        return ()


def _point_of(reading: Reading, month: str) -> Point:
    value = float(reading.value) if isinstance(reading.value, int | float) else None
    text = value_text(reading.value, reading.unit) if reading.status != NO_EVIDENCE else NO_EVIDENCE
    return Point(month=month, value=value, text=text)


def _for_headline(name: str, then: Question) -> Question:
    """Return the question that gives a KPI's headline of a month that is over, with the least reading."""
    # The share of claimed records rests on what the sources say alone; beside it the KPI reads each pipeline's changes.
    if name != "audit_completeness":
        return then
    return _WithoutSamples(then.view, then.settings, then.scope, policies=then.policies)


def _measured(report: LevelReport, policy: Policy, stage: str) -> CriterionResult:
    """Return how a stage stands, by the measure that the policy asks for there."""
    asked = {one.stage: one.measure for level in policy.levels for one in level.criteria if one.stage}
    profile = report.profile[stage]
    return profile.exec if asked.get(stage) == "exec" else profile.init


def _stages(report: LevelReport, policy: Policy) -> tuple[StageLine, ...]:
    asked = {one.stage for level in policy.levels for one in level.criteria if one.stage}
    found = []
    for stage, profile in report.profile.items():
        result = _measured(report, policy, stage)
        if stage in asked or result.n:
            status = "n/a" if profile.na_reason else result.status
            words = f"Declared not to apply: {profile.na_reason}" if profile.na_reason else result.sentence
            found.append(StageLine(stage=stage, status=status, k=result.k, n=result.n, words=words))
    return tuple(found)


def _incident(one: Attribution) -> IncidentLine:
    incident, decided = one.incident, [reason for reason in one.reasons if reason.holds]
    said = one.said if one.is_disputed else None
    return IncidentLine(
        name=incident.name,
        service=incident.service,
        onset=incident.onset,
        lasted=incident.lasted,
        is_open=incident.back is None,
        verdict=one.verdict,
        cause=one.cause or "",
        why=decided[0].sentence if decided else "",
        people=one.conduct.kind if one.conduct else "",
        said=f"{said.verdict}, {said.cause or 'no change'} ({said.reference})" if said else "",
    )


def _is_same(section: GoalSection, goal: Goal) -> bool:
    return (section.share, section.level, section.by) == (goal.share, goal.level, goal.by)


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
