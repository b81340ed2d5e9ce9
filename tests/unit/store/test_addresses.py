"""Addresses of stores: what settings mean, and what is refused."""

from pathlib import Path

import pytest

from ratchet.errors import ArtifactsElsewhere
from ratchet.store.addresses import address_of, folder_of, open_artifacts
from ratchet.store.artifacts import Artifacts
from ratchet.store.buckets import BucketArtifacts


def _address(setting: str, folder: Path) -> str:
    return address_of(setting, project=folder / "project", state=folder / "state", cache_bytes=1000)


def test_without_a_setting_artifacts_lie_in_the_state_folder(tmp_path: Path) -> None:
    """Nothing said means the folder that has always been used."""
    found = open_artifacts(_address("", tmp_path))
    assert (type(found), found.folder) == (Artifacts, tmp_path / "state" / "artifacts")


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_shared_folder_is_named_by_path_or_url(tmp_path: Path, form: str) -> None:
    """A folder and its URL mean the same, spaces and hashes in its name, too."""
    shared = tmp_path / "shared #1"
    address = _address(form.format(str(shared).replace("#", "%23") if "file" in form else shared), tmp_path)
    assert folder_of(address) == shared
    Artifacts(shared).enter("a-workspace")
    found = open_artifacts(address)
    assert (found.folder, found.address) == (shared, address)


def test_a_relative_folder_is_one_of_the_project(tmp_path: Path) -> None:
    """What does not begin at the root begins at the project."""
    assert folder_of(_address("../shared", tmp_path)) == tmp_path / "project" / ".." / "shared"


def test_a_shared_folder_without_its_mark_is_refused_and_not_made(tmp_path: Path) -> None:
    """The empty folder below a mount that is missing is never written to."""
    (tmp_path / "mounted").mkdir()
    for name in ("mounted", "never-there"):
        with pytest.raises(ArtifactsElsewhere, match="Is the disk mounted"):
            open_artifacts(_address(str(tmp_path / name), tmp_path))
    assert not (tmp_path / "never-there").exists()
    assert list((tmp_path / "mounted").iterdir()) == []


@pytest.mark.parametrize("prefix", ["", "/shop", "/a/b/"])
def test_a_bucket_has_its_copies_in_the_state_folder(tmp_path: Path, prefix: str) -> None:
    """The address of a bucket says where copies lie on this machine, and opens the same again."""
    found = open_artifacts(_address(f"s3://models{prefix}", tmp_path))
    assert isinstance(found, BucketArtifacts)
    assert (found.url, found.folder) == (f"s3://models{prefix}".rstrip("/"), tmp_path / "state" / "artifact-copies")
    assert open_artifacts(found.address).address == found.address
