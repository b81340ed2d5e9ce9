"""A ledger to import into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.importers import shapes


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[shapes.Desk]:
    """An empty ledger and a folder for exports."""
    with shapes.desk(tmp_path) as made:
        yield made
