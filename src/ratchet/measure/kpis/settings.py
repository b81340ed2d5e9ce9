"""What KPIs need to know beside the ledger: the organisation, prices, targets, goals, budgets, working hours.

Invariant: these come from ``ratchet.toml`` alone, checked when it was read; a KPI has no setting of its own elsewhere.
"""

from zoneinfo import ZoneInfo

import msgspec

from ratchet.config import (
    BaselineSection,
    BillSection,
    BudgetSection,
    Config,
    GoalSection,
    IncidentSection,
    KpiSection,
    PricesSection,
    TeamSection,
    WorkingHoursSection,
)
from ratchet.records import Record


class Settings(Record, frozen=True):
    """The sections of ``ratchet.toml`` that KPIs read; :mod:`ratchet.config` says what each holds.

    Attributes:
        time_zone: In which months, weeks and working hours are read.
        kpi: Owner and target by KPI.
    """

    time_zone: str = "UTC"
    team: tuple[TeamSection, ...] = ()
    prices: PricesSection = PricesSection()
    bill: BillSection = BillSection()
    kpi: dict[str, KpiSection] = msgspec.field(default_factory=dict)
    goal: tuple[GoalSection, ...] = ()
    budget: tuple[BudgetSection, ...] = ()
    working_hours: WorkingHoursSection = WorkingHoursSection()
    incidents: IncidentSection = IncidentSection()
    baseline: BaselineSection = BaselineSection()

    @classmethod
    def of(cls, config: Config) -> "Settings":
        """Return what a project's file says."""
        shared = [name for name in cls.__struct_fields__ if name != "time_zone"]
        return cls(time_zone=config.project.time_zone, **{name: getattr(config, name) for name in shared})

    @property
    def zone(self) -> ZoneInfo:
        """Return the organisation's time zone."""
        return ZoneInfo(self.time_zone)

    def target(self, kpi: str) -> float | None:
        """Return what a KPI should be; ``None`` where nobody said."""
        return self.kpi[kpi].target if kpi in self.kpi else None

    def owner(self, kpi: str) -> str:
        """Return who answers for a KPI; ``""`` where nobody was named."""
        return self.kpi[kpi].owner if kpi in self.kpi else ""
