"""Reads ``ratchet.toml``: everything that a person may want to read, diff or switch off.

Invariant: a file that is accepted means something in each of its lines; a wrong one is refused with file, line and
remedy before anything runs.
"""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from ratchet import toml_tables
from ratchet.errors import ConfigInvalid, WorkspaceNotFound
from ratchet.toml_tables import NotToml, Way, line_of

FILE_NAME = "ratchet.toml"
STATE_FOLDER = ".ratchet"


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all sections: a key that is not listed is an error."""


class Project(_Section, frozen=True):
    """``[project]``: name, time zone of schedules, database, artifacts, level policies of one's own."""

    name: str
    time_zone: str = "UTC"
    database: str = ""
    artifacts: str = ""
    owner: str = ""
    policies: tuple[str, ...] = ()


class LimitSection(_Section, frozen=True):
    """``[limits]``: what a step may use, how far rules may drive one another, and what has waited too long."""

    timeout_seconds: float = 3600.0
    memory_mb: float = 8192.0
    attempts: int = 3
    rule_depth: int = 12
    rule_fires_per_hour: int = 100
    reaction_wait_seconds: float = 300.0
    run_wait_seconds: float = 86400.0


class RunsSection(_Section, frozen=True):
    """``[runs]``: how many runs all machines together carry out, and begin within a time; 0 for any number."""

    at_once: Annotated[int, msgspec.Meta(ge=0)] = 0
    starts: Annotated[int, msgspec.Meta(ge=0)] = 0
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 3600.0


class CacheSection(_Section, frozen=True):
    """``[cache]``: whether runs take results of steps that were made from the same, and how long those are kept."""

    steps: bool = True
    days: Annotated[float, msgspec.Meta(ge=0)] = 30.0


class RetentionSection(_Section, frozen=True):
    """``[retention]``: what is kept of the artifacts, beside what serves and what is under way.

    A run is kept where it is one of the last of its pipeline, or young enough.
    """

    runs: Annotated[int, msgspec.Meta(ge=1)] = 20
    days: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    unnamed_days: Annotated[float, msgspec.Meta(ge=1 / 24)] = 7.0
    models: Literal["all", "served", "recent"] = "all"
    datasets: Literal["all", "used"] = "all"
    cache_gb: Annotated[float, msgspec.Meta(ge=0)] = 10.0


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


Metric = Literal["roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1", "mae", "rmse", "r2"]


class FitnessSection(_Section, frozen=True):
    """``[[fitness]]``: an ML check with a threshold; it guards every environment unless ``gate`` says which."""

    pipeline: str
    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    no_worse_than: Comparison | None = None
    gate: Literal["", "production"] = ""


class MonitorSection(_Section, frozen=True):
    """``[monitor.PIPELINE]``: when a moved distribution or a fallen metric is an alert."""

    drift_threshold: float = 0.2
    performance_drop: float = 0.03
    minimum_rows: int = 500
    windows: int = 3
    windows_over: int = 2
    window_days: int = 7
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.windows_over > self.windows:
            message = f"windows_over is {self.windows_over}, which can never be reached with windows = {self.windows}"
            raise ValueError(message)


class RuleSection(_Section, frozen=True):
    """``[[rule]]``: on EVENT when CONDITION do ACTION."""

    name: str
    on: str
    do: Any
    when: str = ""
    cron: str = ""
    time_zone: str = ""
    enabled: bool = True
    catch_up: Literal["latest", "all", "none"] = "latest"
    at_most: str = ""


class SampleSection(_Section, frozen=True):
    """``[sample.PIPELINE]``: which predictions are sampled for labelling."""

    strategy: Literal["random", "least_confidence"] = "random"
    rows: int = 500
    seed: int = 0


ImportSystem = Literal["github", "airflow", "mlflow", "cdevents", "openlineage"]
ImportStage = Literal[
    "data", "train", "experiment", "evaluate", "deploy", "monitor", "sample", "label", "dataset", "pipeline-ci"
]


class ImportSection(_Section, frozen=True):
    """``[import.SYSTEM.NAME]``: which pipeline and stages a workflow, job or experiment elsewhere stands for."""

    pipeline: str = ""
    stages: tuple[ImportStage, ...] = ()
    environment: str = "production"
    endpoint: str = ""


class LedgerSection(_Section, frozen=True):
    """``[ledger]``: the key that signs checkpoints, and where else they are written."""

    key: str = ""
    anchor: tuple[str, ...] = ()


KPI_NAMES = (
    "model_freshness",
    "time_to_deployment",
    "models_in_production",
    "new_models",
    "api_calls",
    "cost",
    "operations_overhead",
    "automation_share",
    "override_rate",
    "level_distribution",
    "change_failure_rate",
    "rework_rate",
    "time_to_restore",
    "human_induced_errors",
    "iteration_time",
    "feedback_time",
    "pipelines_under_ci",
    "frameworks_and_libraries",
    "reproducible_share",
    "value_at_stake",
    "paths",
    "pages",
    "reuse_rate",
    "service_levels",
    "audit_completeness",
)
NodeKind = Literal["team", "department", "cost centre"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Clock = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
_EVER = date(1970, 1, 1)


class TeamSection(_Section, frozen=True):
    """``[[team]]``: a part of the organisation, and what it is part of from a day on (local, inclusive)."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    kind: NodeKind = "team"
    part_of: str = ""
    since: date = _EVER


class PriceSection(_Section, frozen=True):
    """``[[prices.item]]``: what one unit of a resource costs from a day on (local, inclusive)."""

    resource: str
    unit: str
    amount: _Amount
    since: date = _EVER


class PricesSection(_Section, frozen=True):
    """``[prices]``: the currency of all amounts, and the prices."""

    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    item: tuple[PriceSection, ...] = ()


class BillSection(_Section, frozen=True):
    """``[bill]``: how far an imported bill may be from what the ledger adds up to."""

    tolerance_share: _Share = 0.02


class KpiSection(_Section, frozen=True):
    """``[kpi.NAME]``: who answers for a KPI, and what it should be, in the KPI's own unit."""

    owner: str = ""
    target: float | None = None


class GoalSection(_Section, frozen=True):
    """``[[goal]]``: which share of the pipelines shall have reached a level by a day."""

    share: _Share
    level: int
    by: date
    owner: str = ""
    policy: str = "standard"


class BudgetSection(_Section, frozen=True):
    """``[[budget]]``: what something may cost in a local month, in the currency of ``[prices]``."""

    scope: Literal["team", "pipeline", "endpoint"]
    name: str
    amount_month: _Positive
    then: Literal["warn", "require_approval", "stop"] = "warn"


class WorkingHoursSection(_Section, frozen=True):
    """``[working_hours]``: when people are at work, in the project's time zone; the end is out."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
    since: _Clock = msgspec.field(name="from", default="09:00")
    until: _Clock = "17:00"


class IncidentSection(_Section, frozen=True):
    """``[incidents]``: how far back from an onset a cause is looked for, and what is late."""

    acknowledge_minutes: _Positive = 30.0
    deploy_window_hours: _Positive = 24.0
    data_window_days: _Positive = 7.0
    remedy_hours: _Positive = 4.0
    flapping_minutes: _Positive = 30.0
    unready_seconds: _Positive = 30.0


class RaySection(_Section, frozen=True):
    """``[ray]``: the cluster that carries out steps which ask for it; where its token is, never the token itself."""

    address: Annotated[str, msgspec.Meta(pattern="^(https?://[^/@?]+/?)?$")] = ""
    token: Annotated[str, msgspec.Meta(pattern="^((env|file):.+)?$")] = ""
    artifacts: str = ""
    python: str = "python"
    away_seconds: _Positive = 600.0


class BaselineSection(_Section, frozen=True):
    """``[baseline]``: how it was before, as declared; without it nothing is said to be saved."""

    days_to_deployment: _Positive | None = None
    hours_per_deployment: _Positive | None = None


class Config(_Section, frozen=True):
    """The whole file, checked."""

    project: Project
    limits: LimitSection = LimitSection()
    retention: RetentionSection = RetentionSection()
    runs: RunsSection = RunsSection()
    cache: CacheSection = CacheSection()
    ledger: LedgerSection = LedgerSection()
    dataset: dict[str, DatasetSection] = msgspec.field(default_factory=dict)
    fitness: tuple[FitnessSection, ...] = ()
    monitor: dict[str, MonitorSection] = msgspec.field(default_factory=dict)
    sample: dict[str, SampleSection] = msgspec.field(default_factory=dict)
    rule: tuple[RuleSection, ...] = ()
    # The word of the file, which Python keeps for itself.
    imports: dict[ImportSystem, dict[str, ImportSection]] = msgspec.field(name="import", default_factory=dict)
    team: tuple[TeamSection, ...] = ()
    prices: PricesSection = PricesSection()
    bill: BillSection = BillSection()
    kpi: dict[str, KpiSection] = msgspec.field(default_factory=dict)
    goal: tuple[GoalSection, ...] = ()
    budget: tuple[BudgetSection, ...] = ()
    working_hours: WorkingHoursSection = WorkingHoursSection()
    incidents: IncidentSection = IncidentSection()
    baseline: BaselineSection = BaselineSection()
    ray: RaySection = RaySection()


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
    _check_artifacts(config, text=text, path=path)
    _check_teams(config, text=text, path=path)
    _check_kpi_names(config, text=text, path=path)
    _check_budgets(config, text=text, path=path)
    return config


def parse(text: str, *, path: Path) -> Config:
    """Return the settings in a text.

    Raises:
        ConfigInvalid: It is no TOML, or a key or value is not one of ours.
    """
    try:
        values = toml_tables.values_of(text)
    except NotToml as error:
        where = f"{path}:{error.line or 1}"
        raise ConfigInvalid(where=where, problem=f"not valid TOML: {error}.", remedy="Mend the line.") from error
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        problem, _, at = str(error).partition(" - at `$")
        if at.startswith((".import`", ".import[")) or "`$.import`" in problem:
            where = f"{path}:{line_of(text, _way_to_import(values, problem=problem, at=at))}"
            raise ConfigInvalid(where=where, problem=f"{problem}.", remedy=_IMPORT_REMEDY) from error
        way = _way(at.rstrip("`"), values)
        where = f"{path}:{line_of(text, way)}"
        raise ConfigInvalid(where=where, problem=f"{problem}.", remedy=_remedy(way, problem)) from error


_KINDS: dict[str, Any] = {
    "project": Project,
    "limits": LimitSection,
    "retention": RetentionSection,
    "runs": RunsSection,
    "cache": CacheSection,
    "ledger": LedgerSection,
    "dataset": DatasetSection,
    "fitness": FitnessSection,
    "monitor": MonitorSection,
    "sample": SampleSection,
    "rule": RuleSection,
    "team": TeamSection,
    "prices": PricesSection,
    "prices.item": PriceSection,
    "bill": BillSection,
    "kpi": KpiSection,
    "goal": GoalSection,
    "budget": BudgetSection,
    "working_hours": WorkingHoursSection,
    "incidents": IncidentSection,
    "baseline": BaselineSection,
    "ray": RaySection,
}
_IMPORT_REMEDY = (
    f"Write [import.SYSTEM.NAME] with one of the systems {', '.join(get_args(ImportSystem))}; allowed there: "
    f"{', '.join(ImportSection.__struct_fields__)}; stages are of: {', '.join(get_args(ImportStage))}."
)


def with_database(text: str, url: str) -> str:
    """Return the text of a new ``ratchet.toml`` with the URL of a database in its first section."""
    # A string of JSON is one of TOML.
    line = f"database = {msgspec.json.encode(url).decode()}\n"
    return text.replace("[project]\n", f"[project]\n{line}", 1)


def _remedy(way: Way, problem: str) -> str:
    names = [part for part in way if isinstance(part, str)]
    section = _KINDS.get(".".join(names[:2])) or _KINDS.get(names[0], Config) if names else Config
    if problem.startswith("Invalid enum value"):
        choices = [one for one in get_args(get_type_hints(section).get(names[-1])) if one]
        if choices:
            return f"Use one of: {', '.join(map(str, choices))}."
    return f"Allowed here: {', '.join(section.__struct_encode_fields__)}."


def _way(at: str, values: dict[str, Any]) -> Way:
    """Return the way to a place such as ``.rule[1].cron``; of a name, msgspec only says that it is one of several."""
    way: Way = ()
    for name, index in re.findall(r"\.([\w-]+)|\[(\d+|\.\.\.)\]", at):
        if name:
            way = (*way, name)
        elif index.isdigit():
            way = (*way, int(index))
        else:
            wrong = _wrong_name(way, values)
            if not wrong:
                break
            way = (*way, wrong)
    return way


def _wrong_name(way: Way, values: dict[str, Any]) -> str:
    """Return the first section of a kind, such as of ``dataset``, that means nothing; ``""`` where none is found."""
    kind = ColumnSection if way[-1] == "columns" else _KINDS.get(str(way[-1]))
    sections: Any = values
    for part in way:
        sections = sections[part]
    return next((name for name, section in sections.items() if kind and not _is_one(section, kind)), "")


def _way_to_import(values: dict[str, Any], *, problem: str, at: str) -> Way:
    """Return the way to the section of an import that means nothing, or to the key in it, where it can be found."""
    found = re.search(r"unknown field `(.+)`", problem) or re.search(r"\.([\w-]+)(?:\[[^\]]*\])*`$", at)
    systems = values["import"] if isinstance(values["import"], dict) else {}
    for system, sections in systems.items():
        if not isinstance(sections, dict):
            return "import", system
        for name, section in sections.items():
            if _is_one(section, ImportSection) and system in get_args(ImportSystem):
                continue
            if not isinstance(section, dict):
                return "import", system
            return "import", system, name, found[1] if found else ""
    return ("import",)


def _is_one(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _check_time_zones(config: Config, *, text: str, path: Path) -> None:
    zones: list[tuple[str, Way]] = [(config.project.time_zone, ("project", "time_zone"))]
    zones += [(rule.time_zone, ("rule", number, "time_zone")) for number, rule in enumerate(config.rule)]
    for zone, way in zones:
        try:
            ZoneInfo(zone or "UTC")
        except (KeyError, ValueError, OSError) as error:
            raise ConfigInvalid(
                where=f"{path}:{line_of(text, way)}",
                problem=f"unknown time zone '{zone}'.",
                remedy="Use a name of the IANA database, such as America/New_York.",
            ) from error


def _check_artifacts(config: Config, *, text: str, path: Path) -> None:
    parts = urlsplit(config.project.artifacts)
    problem = ""
    if parts.scheme not in ("", "file", "s3"):
        problem = f"artifacts cannot be kept in '{parts.scheme}:'."
    elif parts.scheme == "s3" and not parts.netloc:
        problem = "artifacts names no bucket."
    elif parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        problem = "artifacts names no folder of this machine."
    elif parts.scheme and (parts.query or parts.fragment):
        problem = f"artifacts ends with '{parts.query or parts.fragment}', which means nothing."
    if problem:
        raise ConfigInvalid(
            where=f"{path}:{line_of(text, ('project', 'artifacts'))}",
            problem=problem,
            remedy='Write a folder, "file:///FOLDER" or "s3://BUCKET/PREFIX"; AWS_ENDPOINT_URL names other storage.',
        )


def _check_teams(config: Config, *, text: str, path: Path) -> None:
    """Refuse parts of the organisation that belong to something unknown, or at any time to themselves."""
    known = dict.fromkeys(section.name for section in config.team)
    for number, section in enumerate(config.team):
        if section.part_of and section.part_of not in known:
            raise ConfigInvalid(
                where=f"{path}:{line_of(text, ('team', number, 'part_of'))}",
                problem=f"'{section.name}' is part of '{section.part_of}', which is not declared.",
                remedy=f"Declare it with [[team]], or name one of: {', '.join(known)}.",
            )
        circle = _circle(config.team, section)
        if circle:
            raise ConfigInvalid(
                where=f"{path}:{line_of(text, ('team', number, 'part_of'))}",
                problem=f"from {section.since} on '{section.name}' is part of itself: {' in '.join(circle)}.",
                remedy="Let one of them be part of nothing, or of something else.",
            )


def _circle(sections: tuple[TeamSection, ...], changed: TeamSection) -> list[str]:
    """Return the names on the way from a part back to itself, on the day on which it was moved; else nothing."""
    parents: dict[str, str] = {}
    for section in sorted(sections, key=lambda section: section.since):
        if section.since <= changed.since:
            parents[section.name] = section.part_of
    names = [changed.name]
    while parent := parents.get(names[-1], ""):
        if parent in names:
            return [*names, parent] if parent == changed.name else []
        names.append(parent)
    return []


def _check_kpi_names(config: Config, *, text: str, path: Path) -> None:
    for name in config.kpi:
        if name not in KPI_NAMES:
            raise ConfigInvalid(
                where=f"{path}:{line_of(text, ('kpi', name))}",
                problem=f"unknown KPI '{name}'.",
                remedy=f"Known: {', '.join(KPI_NAMES)}.",
            )


def _check_budgets(config: Config, *, text: str, path: Path) -> None:
    """Refuse budgets of teams that are not declared, and two for the same thing."""
    teams = dict.fromkeys(section.name for section in config.team)
    seen: set[tuple[str, str]] = set()
    for number, section in enumerate(config.budget):
        where = f"{path}:{line_of(text, ('budget', number, 'name'))}"
        if section.scope == "team" and section.name not in teams:
            raise ConfigInvalid(
                where=where,
                problem=f"the budget is for the team '{section.name}', which is not declared.",
                remedy=f"Declare it with [[team]]{', or name one of: ' if teams else ''}{', '.join(teams)}.",
            )
        if (section.scope, section.name) in seen:
            raise ConfigInvalid(
                where=where,
                problem=f"the {section.scope} '{section.name}' has two budgets.",
                remedy="Leave one of them out; the other names the whole month's amount.",
            )
        seen.add((section.scope, section.name))
