"""What is collected, and what never is."""

import os
from pathlib import Path

import msgspec
import pytest

from ratchet.loop import registry, retention
from ratchet.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return an empty workspace."""
    (tmp_path / "ratchet.toml").write_text('[project]\nname = "small"\n')
    with Workspace(tmp_path) as made:
        yield made  # type: ignore[misc]


def _age(workspace: Workspace, sha256: str) -> None:
    os.utime(workspace.resources.artifacts.path(sha256), (0, 0))


def test_an_old_file_that_nothing_names_goes(workspace: Workspace) -> None:
    """A killed run's half-made result is removed once it is old, and a young one stays."""
    artifacts = workspace.resources.artifacts
    old, young = artifacts.write(b"old"), artifacts.write(b"young")
    _age(workspace, old)
    assert retention.collect_orphans(workspace.resources) == [old]
    assert list(artifacts.all()) == [young]


def test_what_a_record_or_a_manifest_names_stays(workspace: Workspace) -> None:
    """A file is kept when the registry names it, and when a manifest that the registry names does."""
    artifacts = workspace.resources.artifacts
    part = artifacts.write(b"rows")
    manifest = artifacts.write(msgspec.json.encode({"parts": [part]}))
    with workspace.database.write() as transaction:
        registry.put_state(transaction, "anything", {"manifest": manifest})
    _age(workspace, part)
    _age(workspace, manifest)
    assert retention.collect_orphans(workspace.resources) == []
