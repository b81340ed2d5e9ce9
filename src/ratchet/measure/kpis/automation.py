"""How much runs by itself: shares of automation, overrides, pipelines by level.

Invariant: an unknown start is a share of its own and never counts as automation; too little evidence is a bucket of
its own and never level 0.
"""

from collections import Counter
from typing import Any

import numpy as np

from ratchet.measure.criteria import SATISFIED, KnownTransitions, PipelineEvidence, judge
from ratchet.measure.goals import read_goals
from ratchet.measure.initiators import Mode
from ratchet.measure.kpis.deliveries import approvals
from ratchet.measure.kpis.facts import View
from ratchet.measure.kpis.logs import Codes, Whole
from ratchet.measure.kpis.questions import Answer, Kpi, Question, Value, share
from ratchet.measure.levels import is_insufficient
from ratchet.measure.policies import Policy, shipped
from ratchet.measure.sampled import UNTOLD, Sample, Sampled
from ratchet.records import Record

STAGES = ("data", "train", "evaluate", "deploy", "monitor", "sample", "label", "dataset")
AUTOMATED: tuple[Mode, ...] = ("auto", "gated")
_OF_AUTOMATION = frozenset((*AUTOMATED, "overridden"))


class Goal(Record, frozen=True):
    """Which share of the pipelines shall have reached a level by a day."""

    share: float
    level: int
    by: str
    policy: str


def sample(question: Question, pipeline: str, stage: str) -> Sample:
    """Return the transitions of a stage that levels go by: the last 20 within 180 days."""
    return _evidence(question.view).sample(pipeline, stage)


def take_samples(view: View, sampled: Sampled) -> None:
    """Let what a projection keeps of the same entries answer for samples and levels, where it tells."""
    _evidence(view).sampled = sampled


def known_transitions(view: View, pipeline: str) -> KnownTransitions | None:
    """Return the transitions that were read of a pipeline before and still hold; ``None`` where no kept table tells."""
    sampled = _evidence(view).sampled
    return sampled.transitions(pipeline) if sampled else None


def modes_of_deployments(view: View, seqs: Whole) -> Codes:
    """Return in which mode deployments ran, by its place among all modes; ``UNTOLD`` where no kept table tells.

    Args:
        view: What is known.
        seqs: The places of their events in the ledger, shape ``(deployments,)``.
    """
    sampled = _evidence(view).sampled
    return sampled.modes_of_deployments(seqs) if sampled else np.full(len(seqs), UNTOLD, dtype=np.int32)


def _evidence(view: View) -> "_Evidence":
    return view.once("evidence", _Evidence)


class _Evidence:
    """The evidence of all pipelines in a view, each read when it is first asked for."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._standard = shipped("standard")
        self._found: dict[tuple[str, str], PipelineEvidence] = {}
        self._buckets: dict[tuple[str, str], str] = {}
        self.sampled: Sampled | None = None

    def sample(self, pipeline: str, stage: str) -> Sample:
        known = self.sampled.sample(pipeline, stage) if self.sampled else None
        return Sample.of(self._of(pipeline, self._standard).sample(stage)) if known is None else known

    def bucket(self, pipeline: str, policy: Policy) -> str:
        key = (pipeline, policy.digest)
        if key not in self._buckets:
            known = self.sampled.bucket(pipeline, policy) if self.sampled else None
            self._buckets[key] = _bucket(self._of(pipeline, policy)) if known is None else known
        return self._buckets[key]

    def _of(self, pipeline: str, policy: Policy) -> PipelineEvidence:
        standard, key = (pipeline, self._standard.digest), (pipeline, policy.digest)
        if standard not in self._found:
            self._found[standard] = PipelineEvidence(self._view.snapshot, pipeline, self._standard)
        if key not in self._found:
            self._found[key] = self._found[standard].through(policy)
        return self._found[key]


def _bucket(evidence: PipelineEvidence) -> str:
    """Return what the full report of a pipeline would say in one word: its level, or that evidence is lacking."""
    reached = 0
    for level in evidence.policy.levels:
        if not level.id:
            continue
        unmet = [r.status for c in level.criteria if (r := judge(evidence, c, level)).status not in SATISFIED]
        if unmet:
            return "insufficient" if is_insufficient(reached, unmet) else str(reached)
        reached = level.id
    return str(reached)


def automation_share(question: Question) -> Answer:
    """Return the share of each stage's transitions that automation started, the mean over active pipelines."""
    values: dict[str, Value] = {}
    by: dict[str, dict[str, dict[str, int]]] = {}
    used: list[str] = []
    for stage in STAGES:
        shares, unknown_shares = [], []
        for pipeline in question.active:
            seen = sample(question, pipeline, stage)
            if not seen.modes:
                continue
            used += seen.event_ids
            count, unknown = len(seen.modes), seen.modes.count("unknown")
            automated = sum(map(seen.modes.count, AUTOMATED))
            shares.append(automated / count)
            unknown_shares.append(unknown / count)
            by.setdefault(pipeline, {})[stage] = {"n": count, "auto": automated, "unknown": unknown}
        values[f"{stage}_share"] = share(sum(shares), len(shares))
        values[f"{stage}_unknown_share"] = share(sum(unknown_shares), len(shares))
    known = [found for stage in STAGES if isinstance(found := values[f"{stage}_share"], float)]
    values["overall_share"] = share(sum(known), len(known))
    return Answer.of(values, by, used)


def override_rate(question: Question) -> Answer:
    """Return how often people took out of automation's hands what it had begun or done."""
    found: list[str] = []
    overridden = 0
    for pipeline in question.active:
        for stage in STAGES:
            seen = sample(question, pipeline, stage)
            kept = [event for mode, event in zip(seen.modes, seen.event_ids, strict=True) if mode in _OF_AUTOMATION]
            overridden += seen.modes.count("overridden")
            found += kept
    return Answer.of(
        {
            "share": share(overridden, len(found)),
            "overridden_count": overridden,
            "transitions_count": len(found),
            "rubber_stamps_count": len(_rubber_stamps(question)),
        },
        {},
        found,
    )


def _rubber_stamps(question: Question) -> set[str]:
    """Return the ids of required approvals of sampled deployments that came too quickly to have been a look."""
    given = approvals(question.view)
    if not given:
        return set()
    ids = {event for pipeline in question.active for event in sample(question, pipeline, "deploy").event_ids}
    shifts, texts = question.view.seen(question.view.inputs.shifts), question.view.inputs.words.texts
    codes = zip(shifts.ids(), shifts["deployment"].tolist(), strict=True)
    targets = {texts[code] for event, code in codes if event in ids and code}
    return {stamp for target in targets if target in given for stamp in given[target].rubber_stamps}


def level_distribution(question: Question) -> Answer:
    """Return the active pipelines by level, for each policy in force, and how far the goals are reached."""
    active = question.active
    by: dict[str, Any] = {"archived": list(question.archived), "goals": []}
    for policy in question.policies:
        counts = Counter(level_bucket(question, name, policy) for name in active)
        names = [str(level.id) for level in policy.levels if level.id]
        by[policy.name] = {name: counts[name] for name in ("0", *names, "insufficient")}
    for goal in goals(question):
        buckets = by.get(goal.policy)
        reached = sum(n for name, n in (buckets or {}).items() if name.isdigit() and int(name) >= goal.level)
        now = share(reached, len(active)) if buckets is not None else None
        is_met = now is not None and now >= goal.share
        entry = {"level": goal.level, "by": goal.by, "target_share": goal.share, "share": now, "is_met": is_met}
        by["goals"].append(entry)
    declared = {event.pipeline: event for event in question.view.of("pipeline.declared")}
    known_by = [declared.get(name) or question.view.snapshot.first(name) for name in active]
    return Answer.of(
        {
            "active_count": len(active),
            "archived_count": len(question.archived),
            "goal_share": by["goals"][0]["share"] if by["goals"] else None,
        },
        by,
        [event for event in known_by if event is not None],
    )


def level_bucket(question: Question, pipeline: str, policy: Policy) -> str:
    """Return into which part of a distribution a pipeline's level falls: too little evidence is a part of its own."""
    return _evidence(question.view).bucket(pipeline, policy)


def goals(question: Question) -> list[Goal]:
    """Return the goals of the file and of the ledger; the same goal is one."""
    found = {}
    for section in question.settings.goal:
        goal = Goal(share=section.share, level=section.level, by=f"{section.by}", policy=section.policy)
        found[goal.policy, goal.level, goal.by] = goal
    for set_goal in read_goals(question.view.snapshot):
        goal = Goal(share=set_goal.share, level=set_goal.level, by=f"{set_goal.by}", policy=set_goal.policy)
        found.setdefault((goal.policy, goal.level, goal.by), goal)
    return list(found.values())


KPIS = (
    Kpi(
        name="automation_share",
        title="Automation share",
        sentence="Which share of the work in each stage automation started by itself; more is more automated.",
        unit="share",
        headline="overall_share",
        formula=(
            "For each stage the plain mean, over active pipelines with a transition in it, of those that ran auto or "
            "gated among the last 20 within 180 days; the mean of the stages stands for all."
        ),
        edge_cases=(
            "Transitions of which nobody knows who started them are a share of their own.",
            "A stage without a transition anywhere has no share, and is left out of the mean.",
        ),
        direction="up",
        timing="leading",
        nature="leverage",
        answer=automation_share,
    ),
    Kpi(
        name="override_rate",
        title="Override rate",
        sentence="How often people overrule automation; more means that its rules are not trusted.",
        unit="share",
        headline="share",
        formula=(
            "Overridden transitions over those that ran auto, gated or overridden, in the samples of all stages of "
            "active pipelines. Beside it required approvals that came less than five seconds after they were asked for."
        ),
        edge_cases=("Work that people began themselves is in neither number.",),
        direction="down",
        timing="leading",
        nature="risk",
        answer=override_rate,
    ),
    Kpi(
        name="level_distribution",
        title="Pipelines by level",
        sentence="How many active pipelines stand on each level of automation; higher is more automated.",
        unit="share",
        headline="goal_share",
        formula=(
            "Active pipelines by measured level, for each policy in force; the share at or above the level of the "
            "first goal stands for all."
        ),
        edge_cases=(
            "Level 0 for want of evidence alone is a bucket of its own, insufficient.",
            "Archived pipelines are left out and listed; active is what had an event in the last 90 days.",
            "Without a goal there is no headline.",
        ),
        direction="up",
        timing="leading",
        nature="leverage",
        answer=level_distribution,
    ),
)
