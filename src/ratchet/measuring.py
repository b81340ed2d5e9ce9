"""Where workspace and measure meet: levels of all pipelines, goals and steps, and policies put in force.

Invariant: what is answered from the kept table is what the events say; where nothing can be kept, or the table does
not tell, the events are read. Nothing here decides a level.
"""

import re
import tomllib
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from ratchet import clock, config
from ratchet.automation.actions import ACTIONS
from ratchet.automation.rules import presets
from ratchet.clock import to_us
from ratchet.errors import ConfigInvalid, RatchetError, UnknownName
from ratchet.measure import policies
from ratchet.measure.activity import Activity, activity
from ratchet.measure.capability import Capability, Means, capability
from ratchet.measure.distribution import Distribution, distribution, distributions
from ratchet.measure.gaps import ThreeLevels, three_levels
from ratchet.measure.goals import Goal, Progress, progress, read_goals
from ratchet.measure.history import History
from ratchet.measure.kpis.automation import STAGES as KPI_STAGES
from ratchet.measure.kpis.questions import Question
from ratchet.measure.levels import LevelReport, measure_level
from ratchet.measure.ml_test_score import ASSESSMENT, MlTestScore, ml_test_score
from ratchet.measure.policies import Policy
from ratchet.measure.projection import Fold, fold_name, standings
from ratchet.measure.sampled import Recent, Sampled, read_sampled
from ratchet.measure.sensitivity import AtTheta, sensitivity
from ratchet.measure.stages import CustomStage
from ratchet.measure.standings import Standing, standing_of
from ratchet.measure.steps import Step, cheapest_first, next_step, runs_here
from ratchet.records import Event
from ratchet.store.artifacts import write_durably
from ratchet.store.database import Database
from ratchet.store.ledger import Ledger
from ratchet.store.projections import Projections
from ratchet.toml_tables import line_end
from ratchet.workspace import Workspace

_STANDING = msgspec.json.Decoder(Standing)
_UNASKED = (
    Means(name="a look for new files", stages=("data",), kind="engine"),
    Means(name="the gate after each training", stages=("evaluate",), kind="engine"),
)
_ACTIVITY = msgspec.json.Decoder(Activity)


# What was read of each database's tables, by the name of the fold: it stays for the next question.
_RECENT: WeakKeyDictionary[Database, dict[str, Recent]] = WeakKeyDictionary()


class Measuring:
    """Answers questions about levels for one workspace.

    Args:
        workspace: Whose ledger is measured.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        stages: dict[str, CustomStage] = {}
        for policy in (*map(policies.shipped, policies.SHIPPED), *workspace.policies()):
            stages |= {f"{policy.name}/{stage.name}": stage for stage in policy.stages}
        unique = tuple(dict.fromkeys(stages.values()))
        self._kept_as = fold_name(unique)
        self._kept = Projections(workspace.database, name=self._kept_as)
        self._fold = Fold(self._kept, unique)
        self._histories: dict[str, History] = {}
        self._histories_until = 0

    @property
    def ledger(self) -> Ledger:
        """Return the ledger that is measured."""
        return self._workspace.ledger

    # ---- levels

    def pipelines(self) -> list[str]:
        """Return the pipelines that are declared, and those that any event belongs to."""
        found = self._kept.pipelines_between(0, self._kept.last_seq())
        return [*dict.fromkeys([*self._workspace.pipelines(), *(name for name in found if name)])]

    def history(self, pipeline: str) -> History:
        """Return the events that the levels of one pipeline rest on."""
        until = self._kept.last_seq()
        if until != self._histories_until:
            self._histories, self._histories_until = {}, until
        if pipeline not in self._histories:
            self._histories[pipeline] = self._fold.history(pipeline)
        return self._histories[pipeline]

    def level(self, pipeline: str, policy: Policy, *, as_of: datetime | None = None) -> LevelReport:
        """Return the level of one pipeline with all that it rests on."""
        return measure_level(self.history(pipeline), pipeline, policy, as_of=as_of)

    def three_levels(self, report: LevelReport, policy: Policy) -> ThreeLevels:
        """Return configured, measured and declared level beside one another."""
        return three_levels(self.history(report.pipeline), report, policy)

    def sensitivity(self, pipeline: str, policy: Policy, *, as_of: datetime | None = None) -> tuple[AtTheta, ...]:
        """Return the level with other thresholds."""
        return sensitivity(self.history(pipeline), pipeline, policy, as_of=as_of)

    def ml_test_score(self, pipeline: str, *, as_of: datetime | None = None) -> MlTestScore:
        """Return the ML Test Score of one pipeline, from evidence."""
        return ml_test_score(self.history(pipeline), pipeline, as_of=as_of)

    def standings(self, policy: Policy, *, as_of: datetime | None = None) -> list[Standing]:
        """Return where all pipelines stand, from the kept table, which is brought up to date."""
        if as_of is not None:
            return self._stood(policy, as_of, self.pipelines())
        now = clock.now()
        found: list[Standing] = []
        open_ = self.pipelines()
        if self._fold.covers(policy) and self._kept.is_writable():
            self._fold.catch_up(now)
            found, _ = standings(self._kept, policy, at=now)
            told = {one.pipeline for one in found}
            open_ = [name for name in open_ if name not in told]
        found += [standing_of(measure_level(self._fold.history(name), name, policy, as_of=now)) for name in open_]
        return sorted(found, key=lambda one: one.pipeline)

    def sampled(self, question: Question) -> Sampled | None:
        """Return samples and levels of the moment of a question, from the kept table, folded as far as it sees.

        ``None`` where it cannot be kept, or does not tell: the question is of a moment that is over, or another
        process has folded further already.
        """
        view, seq = question.view, question.view.until
        covered = [one for one in question.policies if self._fold.covers(one)]
        if view.snapshot.recorded_seq != seq or not self._kept.is_writable():
            return None
        self._fold.catch_up(question.as_of, until=seq)
        if self._kept.cursor() != seq:
            return None
        by = policies.shipped("standard")
        recent = _RECENT.setdefault(self._workspace.database, {}).setdefault(self._kept_as, Recent())
        return read_sampled(self._kept, covered, by=by, stages=KPI_STAGES, at=question.as_of, seq=seq, recent=recent)

    def _stood(self, policy: Policy, at: datetime, names: Sequence[str]) -> list[Standing]:
        """Return where pipelines stood at a moment; what is over is kept, until something of that time is imported."""
        is_over = at < clock.now()
        moment = to_us(at)
        if is_over and self._kept.is_writable():
            self._fold.catch_up(clock.now())
        folded = self._kept.cursor()
        kept = self._kept.standings(policy.digest, moment) if is_over else {}
        new: dict[str, Standing] = {}
        for name in names:
            if name not in kept:
                new[name] = standing_of(measure_level(self.history(name), name, policy, as_of=at))
        if new and is_over and self._kept.is_writable():
            records = {name: msgspec.json.encode(one).decode() for name, one in new.items()}
            self._kept.keep_standings(policy.digest, moment, records, seq=folded)
        return [new[name] if name in new else _STANDING.decode(kept[name]) for name in names]

    # ---- distribution, goals, steps

    def distributions(self, policy: Policy, *, months: int | None = None) -> list[Distribution]:
        """Return how many pipelines stood at which level at the end of each month, and now."""
        now = clock.now()
        zone = self._workspace.config.project.time_zone

        def stand_at(at: datetime, names: Sequence[str]) -> list[Standing]:
            if at < now:
                return self._stood(policy, at, names)
            return [one for one in self.standings(policy) if one.pipeline in set(names)]

        return distributions(self._activities(), policy, until=now, zone=zone, stand_at=stand_at, months=months)

    def distribution(self, policy: Policy) -> Distribution:
        """Return how many pipelines stand at which level now."""
        now = clock.now()
        return distribution(
            self._activities(),
            policy,
            at=now,
            month=f"{now:%Y-%m}",
            stand_at=lambda _at, names: [one for one in self.standings(policy) if one.pipeline in set(names)],
        )

    def _activities(self) -> list[Activity]:
        if self._kept.is_writable():
            self._fold.catch_up(clock.now())
            return [_ACTIVITY.decode(text) for text in self._kept.activities().values()]
        snapshot = self._workspace.history().as_of(clock.now())
        return [activity(snapshot, name) for name in snapshot.pipelines]

    def goals(self) -> list[Progress]:
        """Return the goals that are set, with how far they are."""
        zone = self._workspace.config.project.time_zone
        by_policy: dict[str, list[Distribution]] = {}
        found = []
        for goal in self.set_goals():
            if goal.policy not in by_policy:
                by_policy[goal.policy] = self.distributions(self._workspace.policy(goal.policy))
            months = by_policy[goal.policy]
            if months:
                found.append(progress(goal, months, zone=zone))
        return found

    def set_goals(self) -> list[Goal]:
        """Return the goals that are set."""
        history = History(is_whole=False)
        history.fold(self._workspace.ledger.read(types=["goal.set"]))
        return read_goals(history.as_of(clock.now()))

    def set_goal(self, name: str, *, share: float, level: int, by: date, policy: Policy, owner: str) -> Event:
        """Record a goal; one that is set again is changed.

        Args:
            name: What it is called.
            share: Share of the active pipelines, above 0 and up to 1.
            level: The level that they are to reach, or more.
            by: The last day on which it may be reached.
            policy: By whose levels.
            owner: Who answers for it.
        """
        data = {"share": share, "level": level, "by": by.isoformat(), "policy": policy.name, "owner": owner}
        return self._record_goal(name, data)

    def drop_goal(self, name: str) -> Event:
        """Record that a goal is wanted no longer.

        Raises:
            UnknownName: No goal of that name is set.
        """
        known = [one.name for one in self.set_goals()]
        if name not in known:
            raise UnknownName(kind="goal", name=name, known=", ".join(known) or "none yet")
        return self._record_goal(name, {"withdrawn": True})

    def _record_goal(self, name: str, data: dict[str, Any]) -> Event:
        with self._workspace.by_command("set_goal", data, subject=name):
            return self.ledger.record(Event(type="goal.set", subject=name, evidence="declared", data=data))[0]

    def step(self, report: LevelReport, policy: Policy) -> Step | None:
        """Return the cheapest step of a pipeline towards its next level."""
        snapshot = self.history(report.pipeline).as_of(report.at)
        name = report.pipeline
        is_here = runs_here(snapshot, name)
        return next_step(report, policy, enabled=snapshot.rules.enabled(name), means=means(), is_here=is_here)

    def steps(self, names: Sequence[str], policy: Policy) -> list[Step]:
        """Return the next steps of some pipelines, the cheapest first."""
        found = [self.step(self.level(name, policy), policy) for name in names]
        return cheapest_first(step for step in found if step is not None)

    def capability(self, policy: Policy) -> Capability:
        """Return what this installation can automate."""
        return capability(means(), policy)

    # ---- policies

    def declare(self, pipeline: str, level: int, policy: Policy, *, reason: str) -> Event:
        """Record the level that somebody claims for a pipeline; it stands beside the measured one and never counts."""
        data = {"assessment": "level", "pipeline": pipeline, "level": level, "policy": policy.name, "reason": reason}
        subject = f"{pipeline}, level {level} by {policy.name}, {clock.now():%Y-%m-%d %H:%M:%S.%f}"
        return self._workspace.record_assessment(subject, data)

    def answer(self, pipeline: str, answers: dict[str, float]) -> Event:
        """Record what somebody answers to questions of the ML Test Score that no event can answer."""
        data = {"assessment": ASSESSMENT, "pipeline": pipeline, "answers": answers}
        return self._workspace.record_assessment(f"{pipeline}, {clock.now():%Y-%m-%d %H:%M:%S.%f}", data)

    def publish(self, file: Path) -> Policy:
        """Put a policy file in force: keep it in the project, name it in ``ratchet.toml``, and record its digest.

        Raises:
            ConfigInvalid: The file is no policy, or another policy of that name is in force.
        """
        policy = policies.load(file)
        place = self._place(file)
        if policy.name in policies.SHIPPED:
            problem = f"'{policy.name}' is the name of a policy that ships."
            raise ConfigInvalid(f"{file}:1", problem, "Give your own another name.")
        own = {one.name: one for one in self._workspace.policies()}
        named = self._workspace.config.project.policies
        if policy.name in own and str(place) not in named:
            problem = f"another file has the policy '{policy.name}' already."
            raise ConfigInvalid(f"{file}:1", problem, "Change that file, or give this one another name.")
        self._name(str(place), file)
        return policy

    def _place(self, file: Path) -> Path:
        """Return where in the project a policy file lies, or will lie."""
        project = self._workspace.project
        path = file.resolve()
        return path.relative_to(project) if path.is_relative_to(project) else Path("policies") / file.name

    def _name(self, place: str, file: Path) -> None:
        workspace = self._workspace
        settings, target = workspace.project / config.FILE_NAME, workspace.project / place
        before, old = settings.read_bytes().decode(), target.read_bytes() if target.exists() else None
        try:
            if file.resolve() != target:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_durably(target, file.read_bytes())
            if place not in workspace.config.project.policies:
                write_durably(settings, with_policy(before, place).encode())
            workspace.reload()
            workspace.sync()
        except RatchetError:
            write_durably(settings, before.encode())
            if file.resolve() != target:
                target.unlink(missing_ok=True) if old is None else write_durably(target, old)
            workspace.reload()
            raise


def with_policy(text: str, place: str) -> str:
    """Return the text of ``ratchet.toml`` with a further policy in ``[project]``; comments and order stay.

    Raises:
        ConfigInvalid: The list is written so that it has to be changed by hand.
    """
    named = tomllib.loads(text).get("project", {}).get("policies")
    quoted, end = msgspec.json.encode(place).decode(), line_end(text)
    if named is None:
        after = re.sub(r"(?m)^(\s*\[\s*project\s*\][^\n]*\n)", rf"\g<1>policies = [{quoted}]{end}", text, count=1)
    else:
        comma = "" if not named else ", "
        after = re.sub(r"(?m)^(\s*policies\s*=\s*\[)", rf"\g<1>{quoted}{comma}", text, count=1)
    if _policies_of(after) != {place, *(named or ())}:
        remedy = f"Add {quoted} to 'policies' in [project] by hand."
        raise ConfigInvalid(config.FILE_NAME, "the list of policies cannot be changed safely.", remedy)
    return after


def _policies_of(text: str) -> set[str]:
    try:
        return set(tomllib.loads(text).get("project", {}).get("policies", ()))
    except tomllib.TOMLDecodeError:
        return set()


def means() -> list[Means]:
    """Return what automates here: what the engine does unasked, the rules that ship, and the actions for others."""
    # Those that `adopt level-N` writes come first: each of their stages has one.
    by_level = sorted(presets(), key=lambda one: not one.level)
    shipped = [Means(name=one.name, stages=_stages(one.do), kind="preset") for one in by_level]
    actions = [Means(name=one.name, stages=(one.stage,), kind="action") for one in ACTIONS.values()]
    # To stop a training completes none.
    return [*_UNASKED, *shipped, *(one for one in actions if one.name != "cancel_run")]


def _stages(do: Any) -> tuple[str, ...]:
    calls = do if isinstance(do, list) else [do]
    names = [call if isinstance(call, str) else next(iter(call)) for call in calls]
    return tuple(dict.fromkeys(ACTIONS[name].stage for name in names))
