"""The few numbers of a candidate that are kept with a conclusion."""

import pytest

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations import figures
from ratchet.measure.evaluations.comparison import Comparison
from ratchet.measure.evaluations.figures import Figures
from ratchet.toml_tables import TableFile

WHOLE = Figures(
    name="Alpha",
    cost_year=1200.0,
    currency="EUR",
    effort_days=30.5,
    processes=4,
    covered=2,
    stated=3,
    steps_short=0,
)


def test_figures_come_from_the_comparison(compared: Comparison) -> None:
    """Alpha has tools for two of the target's processes; of Beta nothing is stated but its kind."""
    alpha, beta = (one.figures for one in compared.candidates)
    target = compared.evaluation.target
    assert target is not None
    assert (alpha.name, alpha.cost_year, alpha.currency, alpha.effort_days) == ("Alpha", 1200, "EUR", 30)
    assert (alpha.covered, alpha.processes) == (2, len(target.every))
    reach = compared.result("Alpha").reach
    assert reach is not None
    assert (alpha.stated, alpha.steps_short) == (reach.stated, reach.steps_short)
    assert beta == Figures(name="Beta", processes=len(target.every), covered=0)


@pytest.mark.parametrize("made", [WHOLE, Figures(name='the "other"')])
def test_figures_come_back_from_file_and_event(made: Figures) -> None:
    """With what is not known left out, and a zero kept."""
    (table,) = TableFile(figures.to_toml(made).encode(), where="c.toml").tables("candidate")
    assert figures.parse(table) == made
    assert figures.read({"figures": [made.values()]}) == {made.name: made}
    assert None not in made.values().values()


def test_coverage_is_a_share_of_the_target() -> None:
    """Without a target map nobody knows."""
    assert WHOLE.coverage == 0.5
    assert Figures(name="x").coverage is None
    assert Figures(name="x", processes=0, covered=0).coverage is None


@pytest.mark.parametrize("data", [{}, {"figures": None}, {"figures": "many"}, {"figures": [{"cost_year": 3}]}])
def test_what_others_wrote_is_not_known(data: dict[str, object]) -> None:
    """An event of an earlier release has none, and a system outside may write anything."""
    assert figures.read(data) == {}


def test_a_file_that_says_something_else_is_refused() -> None:
    """File, line and what is allowed."""
    (table,) = TableFile(b'[[candidate]]\nname = "A"\ncosts = 3\n', where="c.toml").tables("candidate")
    with pytest.raises(ConfigInvalid, match=r"c.toml:3: 'costs' is not part of a candidate's figures"):
        figures.parse(table)
