"""A Ray cluster that the settings name: reached, let in, of the right version, with nodes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.diagnosis import clusters
from ratchet.diagnosis.findings import Finding
from ratchet.diagnosis.place import Place
from tests import ray_clusters
from tests.ray_clusters import TOKEN, JobServer
from tests.unit.diagnosis.conftest import Examined


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobServer]:
    """A job server that wants a token, which the environment has."""
    monkeypatch.setenv("RATCHET_TEST_TOKEN", TOKEN)
    server = JobServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def project(tmp_path: Path, server: JobServer) -> Path:
    """A project whose settings name it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "store").mkdir()
    settings = ray_clusters.SETTINGS.format(store=tmp_path / "store", address=server.address, python=sys.executable)
    (folder / "ratchet.toml").write_text(settings)
    return folder


def look(project: Path) -> dict[str, Finding]:
    """Return what was found, by check."""
    place = Place(project)
    assert place.config is not None
    return {one.check: one for one in clusters.check(place, place.config)}


def change(project: Path, old: str, new: str) -> None:
    """Change the settings."""
    path = project / "ratchet.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_sound_cluster_is_told_with_what_it_has(project: Path, server: JobServer) -> None:
    """Nothing is submitted, and the token is in no sentence."""
    found = look(project)
    assert {one.status for one in found.values()} == {"ok"}
    assert set(found) == {"artifacts", "reached", "token", "version", "nodes"}
    assert found["reached"].said == f"the job server {server.address} answers"
    assert "Ray 2.55.1" in found["version"].said
    assert "cpu=1 memory_gb=4" in found["nodes"].said
    assert server.jobs == {}
    assert not any(TOKEN in one.said + one.remedy for one in found.values())


def test_without_a_cluster_nothing_is_said(examined: Examined) -> None:
    """Most projects have none."""
    assert not [area for area, _ in examined() if area == clusters.AREA]


def test_doctor_looks_at_the_cluster(shop: Path, server: JobServer, examined: Examined) -> None:
    """Beside all else; here the artifacts are in a folder of this machine."""
    with (shop / "ratchet.toml").open("a") as settings:
        settings.write(f'\n[ray]\naddress = "{server.address}"\ntoken = "env:RATCHET_TEST_TOKEN"\n')
    found = examined()
    assert found["ray", "reached"].status == "ok"
    assert found["ray", "artifacts"].status == "problem"
    assert "a folder of this machine" in found["ray", "artifacts"].said


def test_a_cluster_that_does_not_answer_is_a_problem(project: Path, server: JobServer) -> None:
    """While it starts, where nobody listens, and where something else does."""
    server.is_up = False
    assert "does not answer: HTTP 503: starting" in look(project)["reached"].said
    server.is_up = True
    change(project, server.address, "http://127.0.0.1:9")
    found = look(project)["reached"]
    assert (found.status, "does not answer" in found.said, "[ray] address" in found.remedy) == ("problem", True, True)


def test_something_else_at_the_address_is_told_apart(
    project: Path, server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has pages, and says no version."""
    monkeypatch.setattr(server, "answer", lambda *_: (404, "not found"))
    found = look(project)["reached"]
    assert found.said.endswith("does not say its version (HTTP 404)")
    assert "Is [ray] address that of the cluster's dashboard" in found.remedy


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("wrong", "does not know the token (HTTP 403)"),
        ("", "there is no token in the variable RATCHET_TEST_TOKEN"),
    ],
)
def test_a_token_that_does_not_fit_is_a_problem(
    project: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    """Another one, or none in its place; what to do names the setting."""
    monkeypatch.setenv("RATCHET_TEST_TOKEN", value)
    found = look(project)["token"]
    assert (found.status, said in found.said) == ("problem", True)
    assert "[ray]" in found.remedy


def test_a_token_is_asked_for_where_none_is_set(project: Path) -> None:
    """The settings of whoever forgot it."""
    change(project, 'token = "env:RATCHET_TEST_TOKEN"\n', "")
    assert "asks for a token (HTTP 401)" in look(project)["token"].said


def test_a_cluster_that_lets_everybody_in_is_a_warning(project: Path, server: JobServer) -> None:
    """A token that fits where none is asked for protects nothing."""
    server.token = ""
    found = look(project)["token"]
    assert (found.status, "asks for no token" in found.said) == ("warning", True)


def test_another_version_of_ray_is_a_problem(project: Path, server: JobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too old, too new; one that is not said is a warning."""
    wanted = ["numpy>=2", 'ray[default]<2.61,>=2.52; extra == "ray"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: wanted)
    for version, status in (("2.51.0", "problem"), ("3.0.0", "problem"), ("", "warning"), ("2.52.0", "ok")):
        server.version = version
        found = look(project)["version"]
        assert (found.status, version in found.said) == (status, True)


def test_a_cluster_without_nodes_is_a_warning(
    project: Path, server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes jobs, and nobody carries them out."""
    monkeypatch.setattr(ray_clusters, "NODES", ())
    assert look(project)["nodes"].status == "warning"
