"""What is known about each rule at one moment: whether it is enabled, how often it fired, whether it comes again.

Invariant: nothing is frozen into a transition: a first firing counts as automation as soon as its rule fires again.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from msgspec.structs import replace

from ratchet.records import Event, Record

RuleKey = tuple[str, str]
LIFECYCLE = ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")
KEPT = (*LIFECYCLE, "rule.fired")
_SLOTS_THAT_RECUR = 2
_FIRINGS_THAT_RECUR = 2


class Rule(Record, frozen=True):
    """A rule as it stood at the moment of a snapshot.

    Attributes:
        rule_id: Its name.
        pipeline: The pipeline that it acts on.
        origin: ``template`` for a shipped preset, ``user`` for anything that somebody wrote.
        digest: Digest of event, condition and actions.
        on: The event type that it listens to.
        cron: Its schedule; ``""`` where it has none.
        time_zone: Where the schedule's hours are read.
        leads_to: The stages that its actions change.
        is_enabled: Whether it may still fire.
    """

    rule_id: str
    pipeline: str = ""
    origin: str = "user"
    digest: str = ""
    on: str = ""
    cron: str = ""
    time_zone: str = "UTC"
    leads_to: tuple[str, ...] = ()
    is_enabled: bool = False


class _Uses:
    """A rule's life, cut into uses: from when a version is switched on until it is switched off or edited."""

    def __init__(self, key: RuleKey, events: Iterable[Event]) -> None:
        self.rule = Rule(rule_id=key[1])
        self.current = 0
        self.use_of: dict[str, int] = {}
        self.triggers: dict[int, set[str]] = {0: set()}
        for event in events:
            if event.type == "rule.fired":
                self._fire(event)
            else:
                self._live(event)

    def _fire(self, event: Event) -> None:
        digest = event.data.get("digest", "")
        if digest and self.rule.digest and digest != self.rule.digest:
            self._begin()
        if digest and digest != self.rule.digest:
            self.rule = replace(self.rule, digest=digest)
        self.use_of[event.id] = self.current
        if event.actor_class == "automation":
            self.triggers[self.current].add(event.data.get("trigger_event") or event.causationid)

    def _live(self, event: Event) -> None:
        before = self.rule
        self.rule = _after(before, event)
        is_edited = bool(before.digest) and self.rule.digest != before.digest
        if is_edited or (before.is_enabled and not self.rule.is_enabled):
            self._begin()

    def _begin(self) -> None:
        self.current += 1
        self.triggers[self.current] = set()


class RuleBook:
    """All rules at one moment, each read when it is first asked for."""

    def __init__(
        self,
        keys: Callable[[str], Iterable[RuleKey]],
        events_of: Callable[[RuleKey], list[Event]],
        changes_of: Callable[[RuleKey], list[Event]],
        *,
        at: datetime,
        window: timedelta,
    ) -> None:
        """Take the rules' events as they stood.

        Args:
            keys: Gives the source and name of every rule that was ever written for a pipeline.
            events_of: Gives the life and the firings of one rule, in order.
            changes_of: Gives its life alone.
            at: The moment of the snapshot.
            window: How far back a schedule must have two slots to count as recurring.
        """
        self._keys = keys
        self._events_of = events_of
        self._changes_of = changes_of
        self._at = at
        self._window = window
        self._uses: dict[RuleKey, _Uses] = {}
        self._rules: dict[RuleKey, Rule] = {}
        self._recurs: dict[RuleKey, bool] = {}
        self._doubtful: set[RuleKey] = set()

    @property
    def doubtful(self) -> frozenset[RuleKey]:
        """Return the rules of which something rested on a single firing: a further one could change what it was."""
        return frozenset(self._doubtful)

    def comes_again(self, rule: Rule) -> bool:
        """Tell whether a rule is sure to fire again."""
        recurs = rule.origin == "template" or has_slots(rule.cron, rule.time_zone, until=self._at, window=self._window)
        return rule.is_enabled and recurs

    def rule(self, key: RuleKey) -> Rule:
        """Return a rule as it stood; one that only ever fired has its name and is not enabled."""
        return self._life(key).rule

    def enabled(self, pipeline: str) -> list[Rule]:
        """Return the rules that act on a pipeline and may still fire, as they were last written."""
        rules = [self._written(key) for key in self._keys(pipeline)]
        return [rule for rule in rules if rule.is_enabled and rule.pipeline == pipeline]

    def is_single_use(self, fired: Event) -> bool:
        """Tell whether a firing is a person's hand in disguise: its rule was switched on for this one time.

        A use lasts from when a version of the rule is switched on until it is switched off or edited. Two firings
        in one use make it automation; so does one, where the rule is still enabled and sure to come again.
        """
        key = rule_key(fired)
        life = self._life(key)
        use = life.use_of.get(fired.id, -1)
        if len(life.triggers.get(use, ())) >= _FIRINGS_THAT_RECUR:
            return False
        self._doubtful.add(key)
        return use != life.current or not self._is_recurring(key)

    def _written(self, key: RuleKey) -> Rule:
        """Return a rule without a look at its firings, which say nothing about whether it may fire."""
        if key not in self._rules:
            self._rules[key] = rule_after(key, self._changes_of(key))
        return self._rules[key]

    def _life(self, key: RuleKey) -> _Uses:
        if key not in self._uses:
            self._uses[key] = _Uses(key, self._events_of(key))
        return self._uses[key]

    def _is_recurring(self, key: RuleKey) -> bool:
        if key not in self._recurs:
            self._recurs[key] = self.comes_again(self.rule(key))
        return self._recurs[key]


def rule_after(key: RuleKey, changes: Iterable[Event]) -> Rule:
    """Return a rule as it is after all that was changed about it, in order."""
    rule = Rule(rule_id=key[1])
    for event in changes:
        rule = _after(rule, event)
    return rule


def rule_key(event: Event) -> RuleKey:
    """Return which rule an event is about."""
    return event.source, str(event.data.get("rule_id") or event.subject)


def has_slots(cron: str, time_zone: str, *, until: datetime, window: timedelta) -> bool:
    """Tell whether a schedule has two or more slots within a window; one that cannot be read has none."""
    if not cron:
        return False
    try:
        local = until.astimezone(ZoneInfo(time_zone or "UTC"))
        slots = croniter(cron, local)
        earliest = [slots.get_prev(datetime) for _ in range(_SLOTS_THAT_RECUR)][-1]
    except (ValueError, KeyError, OSError):
        return False
    return bool(earliest >= until - window)


def _after(rule: Rule, event: Event) -> Rule:
    """Return a rule after something happened to it."""
    if event.type == "rule.deleted":
        return replace(rule, is_enabled=False)
    if event.type == "rule.enabled":
        return replace(rule, is_enabled=True)
    if event.type == "rule.disabled":
        return replace(rule, is_enabled=False)
    data = event.data
    is_enabled = True if event.type == "rule.created" else rule.is_enabled
    return Rule(
        rule_id=rule.rule_id,
        pipeline=event.pipeline or rule.pipeline,
        origin=data.get("origin") or rule.origin,
        digest=data.get("digest") or rule.digest,
        on=data.get("on") or "",
        cron=data.get("cron") or "",
        time_zone=data.get("time_zone") or "UTC",
        leads_to=tuple(data.get("leads_to") or ()),
        is_enabled=bool(data.get("enabled", is_enabled)),
    )
