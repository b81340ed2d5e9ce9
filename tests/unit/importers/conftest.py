"""A ledger to import into, and the day on which it is done."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet import clock
from tests.unit.importers import shapes


@pytest.fixture(autouse=True)
def _some_months_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be some months after what the records tell of: a level counts the last half year, whenever tests run."""
    monkeypatch.setattr(clock, "now", lambda: shapes.TODAY)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[shapes.Desk]:
    """An empty ledger and a folder for exports."""
    with shapes.desk(tmp_path) as made:
        yield made
