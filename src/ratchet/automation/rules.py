"""Rules as data: read from ``ratchet.toml`` and from Python, checked before they count, and kept with their history.

Invariant: a rule that is in force names a known event, a condition that parses and known actions; each change of the
set is in the ledger, and a dispatch uses the set that was in force when its event was appended.
"""

import re
import tomllib
from functools import cache
from importlib import resources as package_files
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, delete, insert

from ratchet import config
from ratchet.automation import limits
from ratchet.automation.actions import ACTIONS
from ratchet.automation.conditions import BrokenCondition, compile_condition
from ratchet.automation.schedules import problem_of
from ratchet.catalogue import event_type
from ratchet.config import RuleSection
from ratchet.errors import ConfigInvalid, UnknownEventType, UnknownName
from ratchet.loop import registry
from ratchet.loop.pipelines import Project, RuleDeclaration
from ratchet.loop.resources import Resources
from ratchet.records import Event, Record, digest_of
from ratchet.store import schema
from ratchet.toml_tables import line_of

TICK = "clock.ticked"
CURRENT = "rules/current"


class Call(Record, frozen=True):
    """An action with its parameters."""

    action: str
    parameters: dict[str, Any]


class Rule(Record, frozen=True, omit_defaults=True):
    """On EVENT when CONDITION do ACTION.

    Attributes:
        on: Short name of the event type.
        when: Condition in CEL, ``""`` for always.
        cron: For ``clock.ticked``: five fields, in ``time_zone``.
        calls: Actions in order; empty for a rule in Python.
        module, function, code: Where a rule in Python is, and a digest of its source.
        origin: ``template`` when it equals a shipped preset but for the preset's parameters, else ``user``.
        pipeline: The pipeline that it acts on, ``""`` where it is not fixed.
        leads_to: The stages of its actions.
        digest: Of all that says what it does, not of whether it is enabled.
        catch_up: Which slots that were missed are made up for: ``latest``, ``all`` or ``none``.
        at_most: How often it may fire, such as ``1/day``; ``""`` for as often as all rules may.
    """

    name: str
    on: str
    when: str
    cron: str
    time_zone: str
    calls: tuple[Call, ...]
    module: str
    function: str
    code: str
    is_enabled: bool
    origin: str
    pipeline: str
    leads_to: tuple[str, ...]
    digest: str
    catch_up: Literal["latest", "all", "none"] = "latest"
    at_most: str = ""


class Preset(Record, frozen=True):
    """A rule that ships with Ratchet."""

    name: str
    title: str
    about: str
    do: Any
    level: int = 0
    on: str = TICK
    when: str = ""
    cron: str = ""


@cache
def presets() -> tuple[Preset, ...]:
    """Return the rules that ship with Ratchet."""
    text = package_files.files("ratchet.automation").joinpath("presets.toml").read_text()
    return msgspec.convert(tuple(tomllib.loads(text)["preset"]), tuple[Preset, ...])


# ---- reading


def read(settings: config.Config, project: Project, *, path: Path) -> list[Rule]:
    """Return the rules of a project.

    Raises:
        ConfigInvalid: One of them cannot mean anything; file and line are named.
    """
    return _parse(settings, project, text=path.read_text(), path=path)


def read_text(text: str, project: Project, settings: config.Config, *, path: Path) -> list[Rule]:
    """Return the rules of a text in the form of ``ratchet.toml``, which may have rules alone, and those in Python.

    Args:
        text: What the file says.
        project: What the project's Python files declare.
        settings: Those of the project, for what the text does not say.
        path: Of the file, for messages.

    Raises:
        ConfigInvalid: It is no TOML, or one of the rules cannot mean anything; file and line are named.
    """
    has_project = re.search(r"(?m)^\s*\[\s*project\s*\]", text)
    added = "" if has_project else f"\n[project]\nname = {msgspec.json.encode(settings.project.name).decode()}\n"
    own = config.parse(text + added, path=path)
    if not has_project:
        own = msgspec.structs.replace(own, project=settings.project)
    return _parse(own, project, text=text, path=path)


def _parse(settings: config.Config, project: Project, *, text: str, path: Path) -> list[Rule]:
    rules = []
    declared = [one.name for one in project.pipelines]
    for number, section in enumerate(settings.rule):
        place = _Place(path, text, number)
        rules.append(_from_section(section, settings, place))
        if section.enabled and declared:
            _check_pipelines(rules[-1], declared, place)
    rules += [_from_python(declaration, settings) for declaration in project.rules]
    names = [rule.name for rule in rules]
    for number, name in enumerate(names):
        if name in names[:number]:
            place = _Place(path, text, min(number, len(settings.rule) - 1))
            raise place.error("name", f"rule '{name}' is there twice.", "Give each rule a name of its own.")
    return rules


class _Place:
    """Where in ``ratchet.toml`` a rule stands, for error messages."""

    def __init__(self, path: Path, text: str, number: int) -> None:
        self._path = path
        self._text = text
        self._number = number

    def error(self, key: str, problem: str, remedy: str) -> ConfigInvalid:
        line = line_of(self._text, ("rule", self._number, key))
        return ConfigInvalid(where=f"{self._path}:{line}", problem=problem, remedy=remedy)


def _from_section(section: RuleSection, settings: config.Config, place: _Place) -> Rule:
    _check_event(section, place)
    _check_condition(section.when, place)
    calls = tuple(_call(one, place) for one in (section.do if isinstance(section.do, list) else [section.do]))
    if not calls:
        raise place.error("do", f"rule '{section.name}' does nothing.", f"Name one of {', '.join(ACTIONS)}.")
    zone = (section.time_zone or settings.project.time_zone) if section.cron else ""
    pipelines = {str(call.parameters["pipeline"]) for call in calls if "pipeline" in call.parameters}
    meaning = {
        "name": section.name,
        "on": section.on,
        "when": section.when,
        "cron": section.cron,
        "time_zone": zone,
        "calls": msgspec.to_builtins(calls),
        **({"catch_up": section.catch_up} if section.catch_up != "latest" else {}),
        **({"at_most": section.at_most} if section.at_most else {}),
    }
    return Rule(
        name=section.name,
        on=section.on,
        when=section.when,
        cron=section.cron,
        time_zone=zone,
        calls=calls,
        module="",
        function="",
        code="",
        is_enabled=section.enabled,
        origin="template" if _is_preset(section, calls, settings) else "user",
        pipeline=pipelines.pop() if len(pipelines) == 1 else _only_pipeline(settings),
        leads_to=tuple(dict.fromkeys(ACTIONS[call.action].stage for call in calls)),
        digest=digest_of(meaning),
        catch_up=section.catch_up,
        at_most=section.at_most,
    )


def _check_pipelines(rule: Rule, declared: list[str], place: _Place) -> None:
    """Refuse a rule that would ask, each time it fires, for a pipeline that there is not."""
    for call in rule.calls:
        name = str(call.parameters.get("pipeline", ""))
        if name and name not in declared:
            problem = f"rule '{rule.name}' acts on '{name}', and the project's files declare no such pipeline."
            raise place.error("do", problem, f"Name one of: {', '.join(declared)}; or switch it off: enabled = false.")


def _only_pipeline(settings: config.Config) -> str:
    named = {section.pipeline for section in settings.fitness}
    return named.pop() if len(named) == 1 else ""


def _check_event(section: RuleSection, place: _Place) -> None:
    try:
        event_type(section.on)
    except UnknownEventType as error:
        raise place.error("on", f"unknown event type '{section.on}'.", f"Did you mean '{error.closest}'?") from error
    if section.on == TICK and not section.cron:
        raise place.error("on", "a rule on clock.ticked needs a 'cron'.", 'Add one, such as cron = "0 3 * * MON".')
    if section.cron and section.on != TICK:
        raise place.error("cron", f"'cron' goes with on = \"{TICK}\".", f'Here it is on = "{section.on}".')
    if section.cron and (problem := problem_of(section.cron)):
        raise place.error("cron", problem, "Five fields are needed: minute hour day month weekday.")
    if section.catch_up != "latest" and not section.cron:
        raise place.error("catch_up", "'catch_up' is about slots that were missed.", "Give the rule a 'cron' as well.")
    try:
        limits.parse_at_most(section.at_most)
    except ValueError as error:
        raise place.error("at_most", f"{error}.", 'Write it like at_most = "1/day".') from error


def _check_condition(text: str, place: _Place) -> None:
    if not text:
        return
    try:
        compile_condition(text)
    except BrokenCondition as error:
        raise place.error("when", f"the condition {error}.", "Write it in CEL: event.data.score > 0.2") from error


def _call(value: Any, place: _Place) -> Call:
    if not isinstance(value, dict):
        name, parameters = str(value), {}
    else:
        named = [key for key in value if key in ACTIONS]
        if len(named) > 1:
            problem = f"{' and '.join(named)} stand in one pair of braces, which takes one action."
            raise place.error("do", problem, "Write a list: do = [{ ... }, { ... }]")
        name = named[0] if named else str(next(iter(value), ""))
        parameters = {key: one for key, one in value.items() if key != name}
        parameters |= {ACTIONS[name].main: value[name]} if named else {}
    if name not in ACTIONS:
        raise place.error("do", f"unknown action '{name}'.", f"Use one of {', '.join(ACTIONS)}.")
    return Call(action=name, parameters=parameters)


def _is_preset(section: RuleSection, calls: tuple[Call, ...], settings: config.Config) -> bool:
    """Tell whether a rule is a shipped preset, whoever typed it; the time of a schedule is the preset's parameter."""
    models = {one.pipeline for one in settings.fitness} | {
        str(call.parameters["pipeline"]) for call in calls if "pipeline" in call.parameters
    }
    for preset in presets():
        for pipeline in models:
            for dataset in [*settings.dataset, ""]:
                same_calls = _preset_calls(preset, pipeline) == calls
                same_when = _fill(preset.when, pipeline=pipeline, dataset=dataset) == section.when
                if preset.on == section.on and same_calls and same_when:
                    return True
    return False


def _preset_calls(preset: Preset, pipeline: str) -> tuple[Call, ...]:
    calls = []
    for value in preset.do if isinstance(preset.do, list) else [preset.do]:
        if isinstance(value, str):
            calls.append(Call(action=value, parameters={}))
        else:
            ((name, main),) = value.items()
            calls.append(Call(action=name, parameters={ACTIONS[name].main: _fill(main, pipeline=pipeline, dataset="")}))
    return tuple(calls)


def _fill(text: str, *, pipeline: str, dataset: str, model: str = "") -> str:
    return text.replace("{pipeline}", pipeline).replace("{dataset}", dataset).replace("{model}", model or pipeline)


def _from_python(declaration: RuleDeclaration, settings: config.Config) -> Rule:
    place = f"{declaration.module}.py, rule '{declaration.name}'"
    try:
        event_type(declaration.on)
        if declaration.when:
            compile_condition(declaration.when)
        limits.parse_at_most(declaration.at_most)
    except (UnknownEventType, BrokenCondition, ValueError) as error:
        raise ConfigInvalid(where=place, problem=f"{error}.", remedy="Mend the @rt.rule line.") from error
    if declaration.on == TICK:
        problem = f"a rule in Python has no 'cron', so no {TICK} is for it."
        raise ConfigInvalid(where=place, problem=problem, remedy="Give a [[rule]] in ratchet.toml the schedule.")
    meaning = {"on": declaration.on, "when": declaration.when, "code": declaration.code}
    meaning |= {"at_most": declaration.at_most} if declaration.at_most else {}
    return Rule(
        name=declaration.name,
        on=declaration.on,
        when=declaration.when,
        cron="",
        time_zone="",
        calls=(),
        module=declaration.module,
        function=declaration.function,
        code=declaration.code,
        is_enabled=True,
        origin="user",
        pipeline=_only_pipeline(settings),
        leads_to=declaration.leads_to,
        digest=digest_of({"name": declaration.name, **meaning}),
        at_most=declaration.at_most,
    )


# ---- adopting presets


def preset_text(which: int | str, *, pipeline: str, model: str, dataset: str) -> list[tuple[str, str]]:
    """Return the presets of one level, or one preset by its name, as names and blocks of TOML.

    Raises:
        UnknownName: No preset belongs to this level, or has this name.
    """
    chosen = [preset for preset in presets() if which == preset.name or (preset.level and which == preset.level)]
    if not chosen:
        known = sorted({f"level-{preset.level}" for preset in presets() if preset.level})
        known += [preset.name for preset in presets()]
        name = f"level-{which}" if isinstance(which, int) else which
        raise UnknownName(kind="set of presets", name=name, known=", ".join(known))
    return [_block(preset, pipeline=pipeline, model=model, dataset=dataset) for preset in chosen]


def _block(preset: Preset, *, pipeline: str, model: str, dataset: str) -> tuple[str, str]:
    def filled(text: str) -> str:
        return _fill(text, pipeline=pipeline, dataset=dataset, model=model)

    name = filled(preset.title)
    lines = ["[[rule]]", f'name = "{name}"', f'on = "{preset.on}"']
    if preset.cron:
        lines.append(f'cron = "{preset.cron}"')
    if preset.when:
        lines.append(f'when = "{filled(preset.when)}"')
    lines.append(f"do = {filled(_toml(preset.do))}")
    return name, f"# {preset.about}\n" + "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'{name} = "{one}"' for name, one in value.items()) + " }"
    return f'"{value}"'


# ---- keeping


class RuleSet(Record, frozen=True):
    """The rules that were in force at one time."""

    digest: str
    rules: tuple[Rule, ...]

    def listening_to(self, event: Event) -> list[Rule]:
        """Return the enabled rules that an event is for; a tick is for the one rule that it names."""
        return [
            rule
            for rule in self.rules
            if rule.is_enabled and rule.on == event.type and (rule.on != TICK or rule.name == event.subject)
        ]


def put_in_force(resources: Resources, rules: list[Rule]) -> RuleSet:
    """Make these the rules, and record what that changes; inside an origin that names the command behind it."""
    chosen = RuleSet(digest=digest_of(msgspec.to_builtins(rules)), rules=tuple(rules))
    with resources.database.write() as transaction:
        before = {rule.name: rule for rule in in_force(transaction).rules}
        after = {rule.name: rule for rule in rules}
        for name in [*after, *(name for name in before if name not in after)]:
            for kind in _changes(before.get(name), after.get(name)):
                resources.ledger.append(transaction, _event(kind, after.get(name) or before[name]))
                if kind in ("rule.created", "rule.enabled"):
                    # It counts from now on: what it would have done while it was off is nobody's wish.
                    registry.put_state(transaction, clock_state(after[name]), None)
        registry.put_state(transaction, f"rules/{chosen.digest}", msgspec.to_builtins(chosen))
        registry.put_state(transaction, CURRENT, chosen.digest)
        _write_rows(transaction, rules)
    return chosen


def clock_state(rule: Rule) -> str:
    """Return the name under which the clockwork keeps until when it has ticked for a rule."""
    return f"clock/{rule.digest}"


def _changes(before: Rule | None, after: Rule | None) -> list[str]:
    if after is None:
        return ["rule.deleted"]
    if before is None:
        return ["rule.created"]
    kinds = ["rule.updated"] if before.digest != after.digest else []
    if before.is_enabled != after.is_enabled:
        kinds.append("rule.enabled" if after.is_enabled else "rule.disabled")
    return kinds


def _event(kind: str, rule: Rule) -> Event:
    return Event(
        type=kind,
        subject=rule.name,
        pipeline=rule.pipeline,
        data={
            "rule_id": rule.name,
            "digest": rule.digest,
            "origin": rule.origin,
            "enabled": rule.is_enabled,
            "on": rule.on,
            "when": rule.when,
            "cron": rule.cron,
            "time_zone": rule.time_zone,
            "actions": [call.action for call in rule.calls] or [f"{rule.module}.{rule.function}"],
            "leads_to": list(rule.leads_to),
        },
    )


def _write_rows(transaction: Connection, rules: list[Rule]) -> None:
    transaction.execute(delete(schema.rule))
    for rule in rules:
        transaction.execute(
            insert(schema.rule),
            {
                "name": rule.name,
                "digest": rule.digest,
                "event_type": rule.on,
                "is_enabled": rule.is_enabled,
                "record": msgspec.json.encode(rule).decode(),
            },
        )


def in_force(connection: Connection) -> RuleSet:
    """Return the rules that are in force now."""
    return by_digest(connection, registry.state(connection, CURRENT, ""))


def by_digest(connection: Connection, digest: str) -> RuleSet:
    """Return the rules that were in force under a digest."""
    kept = registry.state(connection, f"rules/{digest}") if digest else None
    return msgspec.convert(kept, RuleSet) if kept else RuleSet(digest="", rules=())
