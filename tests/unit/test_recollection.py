"""What a process remembers of the ledger."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ratchet.cli.init import write_project
from ratchet.recollection import Recollection
from ratchet.store.erasure import erase_payload
from ratchet.workspace import Workspace
from tests.ledgers import LedgerBuilder
from tests.rows import write_rows


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Give a workspace whose ledger tells of two automated weeks."""
    folder = tmp_path / "shop"
    write_project(folder)
    with Workspace(folder) as workspace:
        ledger = LedgerBuilder(start=datetime.now(UTC) - timedelta(days=15))
        ledger.automated_week()
        ledger.automated_week()
        write_rows(workspace.database, ledger.events)
        yield workspace


def test_it_grows_with_the_ledger(workspace: Workspace) -> None:
    """What was appended since is in it when somebody asks again, and it is the same one."""
    recollection = Recollection(workspace.ledger)
    before = recollection.history()
    with workspace.by_command("look", {}, subject="shop") as _:
        pass
    (command,) = workspace.ledger.read(types=["command.issued"])
    assert recollection.history() is before
    assert before.as_of().find(command.id) == command


def test_what_was_erased_is_not_remembered(workspace: Workspace) -> None:
    """A payload that was read before it was erased is gone, and a recollection begun later says the same."""
    recollection = Recollection(workspace.ledger)
    event = next(one for one in workspace.ledger.read(types=["run.finished"]))
    assert recollection.history().as_of().find(event.id) == event
    with workspace.by_command("erase_payload", {}, subject=event.id):
        erase_payload(workspace.database, workspace.ledger, event, reason="asked for")
    for one in (recollection, Recollection(workspace.ledger)):
        found = one.history().as_of().find(event.id)
        assert found is not None
        assert found.data == {}
