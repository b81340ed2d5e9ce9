"""What KPIs need to know beside the ledger."""

from ratchet import config
from ratchet.measure.kpis.settings import Settings


def test_settings_are_those_of_the_file() -> None:
    """Each section that KPIs read is taken over; what nobody set is not there."""
    project = config.Project(name="shop", time_zone="America/New_York")
    kpi = {"cost": config.KpiSection(owner="lending", target=10.0)}
    found = Settings.of(config.Config(project=project, kpi=kpi, team=(config.TeamSection(name="lending"),)))
    assert (found.zone.key, found.team[0].name) == ("America/New_York", "lending")
    assert (found.owner("cost"), found.target("cost")) == ("lending", 10.0)
    assert (found.owner("pages"), found.target("pages")) == ("", None)
