"""How far services keep what was promised."""

from datetime import timedelta
from typing import Any

import pytest

from ratchet.measure.kpis.questions import Scope
from ratchet.measure.kpis.service_levels import service_levels
from ratchet.records import Event
from tests.ledgers import LedgerBuilder
from tests.unit.measure.kpis.asking import ask


def close(ledger: LedgerBuilder, good: float, total: float, missing: float = 0, **data: Any) -> Event:
    """Close a window of an objective now."""
    counts = {"good": good, "total": total, "missing": missing}
    known = {"slo": "answers", "service": "delays", "target": 0.99, "until": ledger.now.isoformat()}
    return ledger.add("slo.window.closed", "answers", known | counts | data)


def test_missing_data_widens_the_interval() -> None:
    """It is neither good nor bad: attained is of what was measured."""
    ledger = LedgerBuilder()
    window = close(ledger, 900, 1000, 50)
    answer = service_levels(ask(ledger))
    assert answer.values["attained_share"] == pytest.approx(900 / 950)
    assert (answer.values["lower_share"], answer.values["upper_share"]) == (0.9, 0.95)
    assert answer.values["missing_count"] == 50
    assert answer.values["budget_left_share"] == pytest.approx(1 - 50 / 10)
    assert answer.events == (window.id,)


def test_a_window_in_which_all_is_missing_says_nothing() -> None:
    """Anything from all bad to all good, and no rate of burning."""
    ledger = LedgerBuilder()
    close(ledger, 0, 100, 100)
    values = service_levels(ask(ledger)).values
    assert (values["attained_share"], values["lower_share"], values["upper_share"]) == (None, 0.0, 1.0)
    assert values["burn_1h"] is None


def test_burn_is_by_when_windows_ended() -> None:
    """The start of a span is out, its end is in; where none ended there is no rate, which is not 0."""
    ledger = LedgerBuilder()
    close(ledger, 98, 100)
    ended = ledger.now - timedelta(seconds=1)
    values = service_levels(ask(ledger, at=ended + timedelta(hours=1, seconds=-1))).values
    assert (values["burn_1h"], values["burn_6h"], values["burn_3d"]) == pytest.approx((2.0, 2.0, 2.0))
    values = service_levels(ask(ledger, at=ended + timedelta(hours=1))).values
    assert (values["burn_1h"], values["burn_6h"]) == (None, pytest.approx(2.0))
    answer = service_levels(ask(ledger, at=ended + timedelta(days=30)))
    assert (answer.status, set(answer.values.values())) == ("no evidence", {None})


def test_objectives_with_different_targets_are_added_by_what_each_may_get_wrong() -> None:
    """And are shown apart; one alone is the whole."""
    ledger = LedgerBuilder()
    close(ledger, 990, 1000)
    assert service_levels(ask(ledger)).by == {}
    close(ledger, 80, 100, slo="speed", target=0.9)
    answer = service_levels(ask(ledger))
    assert answer.values["budget_left_share"] == pytest.approx(1 - 30 / 20)
    assert answer.values["burn_1h"] == pytest.approx(30 / 20)
    assert answer.by["speed"]["burn_1h"] == pytest.approx(2.0)
    assert answer.by["answers"]["budget_left_share"] == pytest.approx(0.0)


def test_what_may_not_fail_at_all_has_no_budget() -> None:
    """A quotient by nothing is none."""
    ledger = LedgerBuilder()
    close(ledger, 99, 100, target=1.0)
    values = service_levels(ask(ledger)).values
    assert (values["budget_left_share"], values["burn_1h"], values["attained_share"]) == (None, None, 0.99)


@pytest.mark.parametrize("wrong", [{"total": "many"}, {"until": "soon"}, {"until": "2026-01-05"}, {"target": None}])
def test_a_window_that_means_nothing_is_left_out(wrong: dict[str, Any]) -> None:
    """One that another system sent without sense stops no answer."""
    ledger = LedgerBuilder()
    data = {"slo": "answers", "target": 0.99, "good": 1, "total": 1, "until": ledger.now.isoformat()}
    ledger.add("slo.window.closed", "answers", data | wrong)
    assert service_levels(ask(ledger)).status == "no evidence"


def test_a_scope_has_its_own_windows() -> None:
    """An endpoint those of the service of its name."""
    ledger = LedgerBuilder()
    close(ledger, 1, 2, service="other")
    close(ledger, 2, 2)
    assert service_levels(ask(ledger, Scope(kind="endpoint", name="other"))).values["attained_share"] == 0.5
