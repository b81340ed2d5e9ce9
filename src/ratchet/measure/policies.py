"""Level policies: TOML files that say what each level asks for, read and checked.

Invariant: a policy that was read is complete and possible to meet; its digest is that of the file's bytes, so that a
report can name exactly what it was measured by.
"""

import hashlib
import re
from datetime import timedelta
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec

from ratchet.catalogue import event_type
from ratchet.errors import ConfigInvalid, UnknownEventType, UnknownName
from ratchet.measure.initiators import EVIDENCE
from ratchet.measure.practices import PRACTICES
from ratchet.measure.stages import INITIATORS, STAGES, BrokenWhere, CustomStage, check_where
from ratchet.records import Evidence, Record
from ratchet.toml_tables import Table, TableFile, shown

Measure = Literal[
    "init",
    "exec",
    "gate_before_deploy",
    "registered",
    "traceable",
    "tracked",
    "orchestrated",
    "data_checked",
    "delivered",
    "user_rules_fired",
    "loop_closure",
]
Approval = Literal["auto", "neutral", "human"]

SHIPPED = ("standard", "strict", "manual-semi-full", "google-0-2", "microsoft-0-4")
ALWAYS = SHIPPED[:2]
_STAGE_MEASURES = ("init", "exec")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "init": ("stage", "theta", "n_min"),
    "exec": ("stage", "theta", "n_min"),
    **dict.fromkeys(PRACTICES, ("theta", "n_min")),
    "user_rules_fired": ("min", "fires"),
    "loop_closure": ("min",),
}
_APPROVAL = ("auto", "neutral", "human")
_EVIDENCE_MIN = EVIDENCE[:-1]
_TOP = ("policy", "description", "defaults", "stage", "level")
_STAGE = ("stage", "type", "where", "initiator")
_LEVEL = ("id", "name", "description", "colour", "all", "na_allowed")
_DEFAULTS = ("N", "W", "n_min", "theta", "approval", "evidence_min")
_MAX_SAMPLE = 1000


class Criterion(Record, frozen=True):
    """One thing that a level asks for.

    Attributes:
        measure: ``init`` (started by automation), ``exec`` (carried out by it), a practice that transitions show,
            ``user_rules_fired`` or ``loop_closure``.
        stage: The stage, for ``init`` and ``exec``; ``""`` otherwise.
        theta: Share that must be reached, above 0 and up to 1.
        n_min: Fewer transitions than this are insufficient.
        min: How many rules or closures are asked for.
        fires: How often such a rule must have fired.
    """

    measure: Measure
    stage: str = ""
    theta: float = 0.8
    n_min: int = 3
    min: int = 1
    fires: int = 2


class Level(Record, frozen=True):
    """One level: what it is called and what it asks for beyond the levels below it."""

    id: int
    name: str
    description: str = ""
    colour: str = ""
    criteria: tuple[Criterion, ...] = ()
    na_allowed: tuple[str, ...] = ()


class Policy(Record, frozen=True):
    """A policy as read from its file.

    Attributes:
        name: What it calls itself.
        digest: sha256 of the file's bytes.
        levels: From the lowest to the highest.
        sample_size: How many of the most recent transitions count.
        window: How far back they may lie; a pipeline's cadence can widen it.
        n_min: Fewer are insufficient, where a criterion does not say otherwise.
        theta: Share that must be reached, where a criterion does not say otherwise.
        approval: How transitions with a required approval count.
        evidence_min: The weakest grade of evidence that counts.
        stages: The stages that the file adds to those that all pipelines have.
    """

    name: str
    digest: str
    levels: tuple[Level, ...]
    description: str = ""
    sample_size: int = 20
    window: timedelta = timedelta(days=180)
    n_min: int = 3
    theta: float = 0.8
    approval: Approval = "auto"
    evidence_min: Evidence = "inferred"
    stages: tuple[CustomStage, ...] = ()

    def stage(self, name: str) -> str | CustomStage:
        """Return a stage by its name: the policy's own, or one that all pipelines have."""
        return next((stage for stage in self.stages if stage.name == name), name)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Return the names of all stages, the policy's own last."""
        return (*STAGES, *(stage.name for stage in self.stages))

    def level(self, level_id: int) -> Level:
        """Return a level by its number; an unnamed one where the file does not describe it."""
        return next((level for level in self.levels if level.id == level_id), Level(id=level_id, name=""))


def shipped(name: str) -> Policy:
    """Return a policy that comes with Ratchet.

    Raises:
        UnknownName: None of them has that name.
    """
    return parse(text_of(name).encode(), where=f"{name}.toml")


def text_of(name: str) -> str:
    """Return the file of a policy that comes with Ratchet, to be read or copied.

    Raises:
        UnknownName: None of them has that name.
    """
    if name not in SHIPPED:
        raise UnknownName(kind="level policy", name=name, known=", ".join(SHIPPED))
    return resources.files("ratchet.measure").joinpath("shipped", f"{name}.toml").read_text(encoding="utf-8")


def load(path: Path) -> Policy:
    """Return the policy in a file.

    Raises:
        ConfigInvalid: There is no such file, or it does not describe a policy; the message names the line and what is
            allowed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = f"Write the path of a policy file, or a policy that ships: {', '.join(SHIPPED)}."
        raise ConfigInvalid(str(path), f"cannot be read: {error.strerror}.", remedy) from error
    return parse(content, where=str(path))


def parse(content: bytes, *, where: str) -> Policy:
    """Return the policy that a file's bytes describe.

    Args:
        content: The bytes, of which the digest is taken.
        where: Name of the file, for messages.

    Raises:
        ConfigInvalid: They do not describe a policy.
    """
    return _Reader(TableFile(content, where=where)).policy(digest=hashlib.sha256(content).hexdigest())


class _Reader:
    """Checks the values of one file."""

    def __init__(self, file: TableFile) -> None:
        self.file = file
        self.stage_names: tuple[str, ...] = STAGES

    def policy(self, *, digest: str) -> Policy:
        self.file.refuse_unknown(_TOP, "a policy")
        name = self.file.text("policy")
        defaults = self.defaults()
        stages = [self.stage(table) for table in self.tables("stage")]
        tables = self.tables("level")
        levels = [self.level(table, defaults) for table in tables]
        self.check_order(tables, levels)
        return Policy(
            name=name,
            digest=digest,
            description=self.file.text("description", default=""),
            levels=tuple(levels),
            sample_size=defaults["N"],
            window=defaults["W"],
            n_min=defaults["n_min"],
            theta=defaults["theta"],
            approval=defaults["approval"],
            evidence_min=defaults["evidence_min"],
            stages=tuple(stages),
        )

    def defaults(self) -> dict[str, Any]:
        raw = self.file.values.setdefault("defaults", {})
        if not isinstance(raw, dict):
            self.file.refuse("defaults", f"must be a table, not {raw!r}.", 'Write: defaults = { N = 20, W = "180d" }')
        table = self.file.table("defaults")
        table.refuse_unknown(_DEFAULTS, "the defaults")
        sample = table.whole("N", default=20, low=1, high=_MAX_SAMPLE)
        return {
            "N": sample,
            "W": _days(table),
            "n_min": table.whole("n_min", default=3, low=1, high=sample),
            "theta": _share(table, default=0.8),
            "approval": table.choice("approval", _APPROVAL, default="auto"),
            "evidence_min": table.choice("evidence_min", _EVIDENCE_MIN, default="inferred"),
        }

    def tables(self, name: str) -> list[Table]:
        tables = self.file.values.get(name, [] if name == "stage" else None)
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            parts = "stage and type" if name == "stage" else "id, name and all"
            self.file.refuse(name, f"has no {name}s.", f"Write at least one table [[{name}]] with {parts}.")
        return self.file.tables(name)

    def stage(self, table: Table) -> CustomStage:
        table.refuse_unknown(_STAGE, "a stage")
        name = table.text("stage")
        if name in self.stage_names:
            remedy = f"Choose another name than {_words(self.stage_names)}."
            table.refuse("stage", f"is '{name}', which there is already.", remedy)
        where = table.text("where", default="")
        try:
            kind = event_type(table.text("type")).name
            check_where(where)
        except UnknownEventType as error:
            remedy = f"Did you mean '{error.closest}'? All types: ratchet events --types"
            table.refuse("type", f"is '{error.type}', which is no type of event.", remedy)
        except BrokenWhere as error:
            table.refuse("where", f"{error}.", "Write it in CEL, such as: event.data.kind == 'nightly'")
        self.stage_names = (*self.stage_names, name)
        initiator = table.choice("initiator", INITIATORS, default="cause")
        return msgspec.convert({"name": name, "type": kind, "where": where, "initiator": initiator}, CustomStage)

    def level(self, table: Table, defaults: dict[str, Any]) -> Level:
        table.refuse_unknown(_LEVEL, "a level")
        level_id = table.whole("id", low=0, high=99)
        criteria = table.values.get("all", [])
        if not isinstance(criteria, list) or not all(isinstance(criterion, dict) for criterion in criteria):
            table.refuse("all", "must be a list of criteria.", 'Write: all = [{ stage = "train", measure = "init" }]')
        if bool(criteria) != (level_id > 0):
            problem = "asks for something." if criteria else f"level {level_id} asks for nothing."
            table.refuse("all", problem, "Level 0 has no criteria, and every other level has at least one under 'all'.")
        colour = table.text("colour", default="")
        if colour and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            table.refuse("colour", f"is '{colour}'.", "Write six hexadecimal digits, such as '#56b4e9'.")
        read = tuple(self.criterion(criterion, defaults) for criterion in table.tables("all"))
        return Level(
            id=level_id,
            name=table.text("name"),
            description=table.text("description", default=""),
            colour=colour,
            criteria=read,
            na_allowed=_na_allowed(table, {criterion.stage for criterion in read}),
        )

    def criterion(self, table: Table, defaults: dict[str, Any]) -> Criterion:
        measure = table.choice("measure", tuple(_OPTIONS))
        allowed = _OPTIONS[measure]
        table.refuse_unknown(("measure", *allowed), f"the measure '{measure}'")
        n_min = table.whole("n_min", default=defaults["n_min"], low=1, high=defaults["N"])
        theta = _share(table, default=defaults["theta"])
        values = {
            "measure": measure,
            "stage": table.choice("stage", self.stage_names) if measure in _STAGE_MEASURES else "",
            "theta": theta,
            "n_min": n_min,
            "min": table.whole("min", default=1, low=1, high=_MAX_SAMPLE),
            "fires": table.whole("fires", default=2, low=1, high=_MAX_SAMPLE),
        }
        return msgspec.convert(values, Criterion)

    def check_order(self, tables: list[Table], levels: list[Level]) -> None:
        numbers = [level.id for level in levels]
        for table, (lower, higher) in zip(tables[1:], pairwise(numbers), strict=True):
            if higher <= lower:
                table.refuse("id", f"is {higher} and comes after {lower}.", "Number the levels upwards, each once.")
        if not any(numbers):
            self.file.refuse("level", "has no level above 0.", "Add a level with id = 1 and criteria.")


# ---- single values


def _share(table: Table, *, default: float) -> float:
    remedy = "Write a share above 0 and up to 1, such as 0.8."
    return table.number("theta", default=default, high=1.0, is_above=True, remedy=remedy)


def _days(table: Table) -> timedelta:
    value = table.values.get("W", "180d")
    found = re.fullmatch(r"([1-9][0-9]{0,4})d", value) if isinstance(value, str) else None
    if found is None:
        table.refuse("W", f"is {shown(value)}.", "Write a number of days, such as '180d'.")
    return timedelta(days=int(found[1]))


def _na_allowed(table: Table, stages: set[str]) -> tuple[str, ...]:
    named = table.values.get("na_allowed", [])
    asked = sorted(stages - {""})
    if not isinstance(named, list) or not set(map(str, named)) <= set(asked):
        table.refuse("na_allowed", f"is {named!r}.", f"Name stages of this level's criteria: {_words(asked)}.")
    return tuple(named)


def _words(allowed: object) -> str:
    return ", ".join(map(str, allowed)) if isinstance(allowed, tuple | list) else str(allowed)
