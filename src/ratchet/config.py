"""Reads ``ratchet.toml``: everything that a person may want to read, diff or switch off.

Invariant: a file that is accepted means something in each of its lines; a wrong one is refused with file, line and
remedy before anything runs.
"""

import re
import tomllib
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ratchet.errors import ConfigInvalid, WorkspaceNotFound

FILE_NAME = "ratchet.toml"
STATE_FOLDER = ".ratchet"


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all sections: a key that is not listed is an error."""


class Project(_Section, frozen=True):
    """``[project]``: name, time zone of schedules, database, level policies of one's own."""

    name: str
    time_zone: str = "UTC"
    database: str = ""
    owner: str = ""
    policies: tuple[str, ...] = ()


class LimitSection(_Section, frozen=True):
    """``[limits]``: what a step may use, and how far rules may drive one another."""

    timeout_seconds: float = 3600.0
    memory_mb: float = 8192.0
    attempts: int = 3
    rule_depth: int = 12
    rule_fires_per_hour: int = 100


class LabelSection(_Section, frozen=True):
    """``label`` of a dataset: the column, and the one that says when it became known."""

    column: str
    arrives: str = ""


class ColumnSection(_Section, frozen=True):
    """``[dataset.NAME.columns.COLUMN]``: what a data contract demands of a column.

    A column without any value is refused unless ``missing_at_most`` says 1.0: it is more often a fault than a fact.
    """

    allowed: tuple[str | int, ...] = ()
    missing_at_most: float | None = None
    at_least: float | None = None
    at_most: float | None = None


class DatasetSection(_Section, frozen=True):
    """``[dataset.NAME]``: where rows come from and what identifies them."""

    source: str
    key: str = ""
    time: str = ""
    label: LabelSection | None = None
    columns: dict[str, ColumnSection] = msgspec.field(default_factory=dict)


class Comparison(_Section, frozen=True):
    """``no_worse_than`` of a fitness function: the margin by which a candidate may fall behind the champion."""

    champion: float


class FitnessSection(_Section, frozen=True):
    """``[[fitness]]``: an ML check with a threshold; it guards every environment unless ``gate`` says which."""

    pipeline: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    no_worse_than: Comparison | None = None
    gate: str = ""


class MonitorSection(_Section, frozen=True):
    """``[monitor.PIPELINE]``: when a moved distribution or a fallen metric is an alert."""

    drift_threshold: float = 0.2
    performance_drop: float = 0.03
    minimum_rows: int = 500
    windows: int = 3
    windows_over: int = 2
    window_days: int = 7
    ignore: tuple[str, ...] = ()


class RuleSection(_Section, frozen=True):
    """``[[rule]]``: on EVENT when CONDITION do ACTION."""

    name: str
    on: str
    do: Any
    when: str = ""
    cron: str = ""
    time_zone: str = ""
    enabled: bool = True


class SampleSection(_Section, frozen=True):
    """``[sample.PIPELINE]``: which predictions are sampled for labelling."""

    strategy: str = "random"
    rows: int = 500
    seed: int = 0


class Config(_Section, frozen=True):
    """The whole file, checked."""

    project: Project
    limits: LimitSection = LimitSection()
    dataset: dict[str, DatasetSection] = msgspec.field(default_factory=dict)
    fitness: tuple[FitnessSection, ...] = ()
    monitor: dict[str, MonitorSection] = msgspec.field(default_factory=dict)
    sample: dict[str, SampleSection] = msgspec.field(default_factory=dict)
    rule: tuple[RuleSection, ...] = ()


def find(folder: Path) -> Path:
    """Return the nearest folder, from here upwards, that holds a ``ratchet.toml``.

    Raises:
        WorkspaceNotFound: There is none.
    """
    start = folder.resolve()
    for candidate in (start, *start.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate
    raise WorkspaceNotFound(folder=str(start))


def load(folder: Path) -> Config:
    """Read and check a project's ``ratchet.toml``.

    Raises:
        ConfigInvalid: The file means nothing in one of its lines.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise WorkspaceNotFound(folder=str(folder)) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigInvalid(where=f"{path}:{line}", problem="not UTF-8 text.", remedy="Save it as UTF-8.") from error
    config = parse(text, path=path)
    _check_time_zones(config, text=text, path=path)
    return config


def parse(text: str, *, path: Path) -> Config:
    """Return the settings in a text.

    Raises:
        ConfigInvalid: It is no TOML, or a key or value is not one of ours.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        where = f"{path}:{found.group(1) if found else 1}"
        raise ConfigInvalid(where=where, problem=f"not valid TOML: {error}.", remedy="Mend the line.") from error
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$")
        at = _named(at, values)
        where = f"{path}:{line_of(text, at.rstrip('`'))}"
        raise ConfigInvalid(where=where, problem=f"{problem}.", remedy=_remedy(at.rstrip("`"))) from error


def line_of(text: str, at: str) -> int:
    """Return the line of a place such as ``.rule[1].cron`` in a TOML text, or the nearest one above it."""
    lines = text.splitlines()
    current = 0
    table = re.match(r"\.(dataset|monitor|sample)\.([\w-]+)", at)
    if table:
        header = re.compile(rf"\[\s*{table.group(1)}\s*\.\s*\"?{re.escape(table.group(2))}\"?\s*[\].]")
        current = next((number for number, line in enumerate(lines) if header.match(line.strip())), 0)
        at = at[table.end() :]
    for part in re.findall(r"\.([\w-]+)|\[(\d+)\]|\[\.\.\.\]", at):
        current = _advance(lines, current, name=part[0], index=part[1], path=at)
    return current + 1


def _advance(lines: list[str], start: int, *, name: str, index: str, path: str) -> int:
    if index:
        table = re.match(r"\.([\w-]+)", path)
        header = re.compile(rf"\[\[\s*{re.escape(table.group(1) if table else '')}\s*\]\]")
        found = [number for number, line in enumerate(lines) if header.match(line.strip())]
        return found[int(index)] if int(index) < len(found) else start
    wanted = re.compile(rf"(\[+[^\]]*\b{re.escape(name)}\b)|(\"?{re.escape(name)}\"?\s*=)")
    for number in range(start, len(lines)):
        if wanted.match(lines[number].strip()):
            return number
    return start


_KINDS: dict[str, Any] = {
    "project": Project,
    "limits": LimitSection,
    "dataset": DatasetSection,
    "fitness": FitnessSection,
    "monitor": MonitorSection,
    "sample": SampleSection,
    "rule": RuleSection,
}


def _remedy(at: str) -> str:
    names = re.findall(r"\.([\w-]+)", at)
    section = _KINDS.get(names[0], Config) if names else Config
    return f"Allowed here: {', '.join(section.__struct_fields__)}."


def _named(at: str, values: dict[str, Any]) -> str:
    """Return a place with the name of the section in it: msgspec only says that it is in one of them."""
    found = re.match(r"\.([\w-]+)\[\.\.\.\]", at)
    if not found:
        return at
    kind = found.group(1)
    for name, section in values[kind].items():
        try:
            msgspec.convert(section, _KINDS[kind])
        except msgspec.ValidationError:
            return f".{kind}.{name}{at[found.end() :]}"
    return at


def _check_time_zones(config: Config, *, text: str, path: Path) -> None:
    zones = [(config.project.time_zone, ".project.time_zone")]
    zones += [(rule.time_zone, f".rule[{number}].time_zone") for number, rule in enumerate(config.rule)]
    for zone, at in zones:
        try:
            ZoneInfo(zone or "UTC")
        except (KeyError, ValueError, OSError) as error:
            raise ConfigInvalid(
                where=f"{path}:{line_of(text, at)}",
                problem=f"unknown time zone '{zone}'.",
                remedy="Use a name of the IANA database, such as America/New_York.",
            ) from error
