"""What an installation can automate, whatever any pipeline does: by itself, by a shipped rule, by one of one's own.

Invariant: a stage counts as one that can be automated only if something here changes it; what outside systems may send
is not counted.
"""

from collections.abc import Sequence
from typing import Literal

from ratchet.measure.gaps import level_of_stages
from ratchet.measure.policies import Policy
from ratchet.records import Record


class Means(Record, frozen=True):
    """Something that automates: what the engine does unasked, a shipped rule, or an action for rules of one's own.

    Attributes:
        name: Its name.
        stages: The stages that it changes.
        kind: Which of the three it is.
    """

    name: str
    stages: tuple[str, ...]
    kind: Literal["engine", "preset", "action"]


class StageCapability(Record, frozen=True):
    """How one stage can be automated here."""

    stage: str
    engine: tuple[str, ...]
    presets: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def how(self) -> str:
        """Return the least effort that automates it; ``""`` where nothing here does."""
        kinds = (("engine", self.engine), ("preset", self.presets), ("action", self.actions))
        return next((kind for kind, names in kinds if names), "")


class Capability(Record, frozen=True):
    """What an installation can automate.

    Attributes:
        policy: By whose levels.
        stages: Each stage with the shipped rules and the actions that change it.
        level_by_presets: The level that shipped rules alone could give.
        level_with_own_rules: The level that they could give together with rules of one's own.
    """

    policy: str
    stages: tuple[StageCapability, ...]
    level_by_presets: int
    level_with_own_rules: int

    @property
    def line(self) -> str:
        """Return all of it in one line."""
        words = {
            "engine": "by itself",
            "preset": "by shipped rules",
            "action": "by rules of one's own",
            "": "only reported from outside",
        }
        found = {how: [one.stage for one in self.stages if one.how == how] for how in words}
        return "; ".join(f"{words[how]}: {', '.join(stages)}" for how, stages in found.items() if stages)


def capability(means: Sequence[Means], policy: Policy) -> Capability:
    """Return what can be automated with some means, by the stages and levels of a policy.

    Args:
        means: Shipped rules and actions, as the automation has them.
        policy: Whose stages and levels.
    """

    def named(kind: str, stage: str) -> tuple[str, ...]:
        return tuple(one.name for one in means if one.kind == kind and stage in one.stages)

    stages = tuple(
        StageCapability(
            stage=stage,
            engine=named("engine", stage),
            presets=named("preset", stage),
            actions=named("action", stage),
        )
        for stage in policy.stage_names
    )
    by_presets = {one.stage for one in stages if one.engine or one.presets}
    by_any = {one.stage for one in stages if one.how}
    return Capability(
        policy=policy.name,
        stages=stages,
        level_by_presets=level_of_stages(policy, by_presets),
        level_with_own_rules=level_of_stages(policy, by_any, own_rules=sum(bool(one.actions) for one in stages)),
    )
