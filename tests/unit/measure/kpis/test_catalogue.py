"""All KPIs by name."""

from ratchet.config import KPI_NAMES
from ratchet.measure.kpis.catalogue import KPIS


def test_each_kpi_stands_under_its_own_name() -> None:
    """The table goes by the names that ``ratchet.toml`` knows, in their order."""
    assert all(kpi.name == name for name, kpi in KPIS.items())
    assert list(KPIS) == [name for name in KPI_NAMES if name in KPIS]


def test_digests_differ() -> None:
    """Each definition has a digest of its own."""
    assert len({kpi.digest for kpi in KPIS.values()}) == len(KPIS)
