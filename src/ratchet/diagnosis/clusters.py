"""The Ray cluster that ``[ray]`` names: is it reached, does it let us in, would it carry a step out.

Invariant: nothing is submitted, and the token is shown to the named address alone and to nobody else.
"""

import importlib.metadata
from collections.abc import Iterator

from ratchet.config import Config, RaySection
from ratchet.diagnosis.environment import DISTRIBUTION, fits, parse_requirement
from ratchet.diagnosis.findings import Finding, Status, counted
from ratchet.diagnosis.place import Place
from ratchet.engine.ray_cluster import ClusterAway, ClusterRefuses, RayCluster
from ratchet.loop import ray_steps
from ratchet.loop.refusals import RayUnusable

AREA = "ray"
_START = "Start it, or correct [ray] address in ratchet.toml; it is that of the dashboard, such as http://head:8265."


def check(place: Place, settings: Config) -> Iterator[Finding]:
    """Ask the cluster, where the settings name one, for all that it says without being given work."""
    section = settings.ray
    if not section.address:
        return
    yield _artifacts(settings)
    try:
        token = ray_steps.token_of(place.project, section, "")
    except RayUnusable as error:
        yield _finding("token", "problem", error.problem, error.remedy)
        return
    cluster = RayCluster(section.address, token=token)
    try:
        version = cluster.version()
        yield _finding("reached", "ok", f"the job server {cluster.address} answers")
        cluster.find("none")
        yield _let_in(cluster, section)
        yield _version(version)
        yield _nodes(cluster)
    except ClusterAway as error:
        yield _finding("reached", "problem", f"the job server {cluster.address} does not answer: {error}", _START)
    except ClusterRefuses as error:
        said = f"the job server {cluster.address} {error.problem}"
        yield _finding("token" if error.is_about_token else "reached", "problem", said, error.remedy)


def _artifacts(settings: Config) -> Finding:
    section = settings.ray
    if settings.project.artifacts:
        return _finding(
            "artifacts", "ok", f"the cluster finds them at {section.artifacts or settings.project.artifacts}"
        )
    said = "the artifacts lie in a folder of this machine, where a cluster cannot read them"
    remedy = 'Set artifacts = "s3://BUCKET/PREFIX", or a folder that all machines share, in [project] of ratchet.toml.'
    return _finding("artifacts", "problem", said, remedy)


def _let_in(cluster: RayCluster, section: RaySection) -> Finding:
    """Say whether the token fits; what fits where none is asked for proves nothing."""
    if not RayCluster(cluster.address).lets_in():
        return _finding("token", "ok", f"that of {section.token} fits")
    said = "the cluster asks for no token: whoever reaches it may run anything there"
    remedy = (
        "Start it with RAY_AUTH_MODE=token on every node, and say in [ray] token of ratchet.toml where the token is."
    )
    return _finding("token", "warning", said, remedy)


def _version(found: str) -> Finding:
    bounds = _bounds()
    if not found:
        remedy = "Ask whoever keeps the cluster for its version of Ray; see docs/operating.md."
        return _finding("version", "warning", "the cluster does not say which Ray it runs", remedy)
    if bounds and not fits(found, bounds):
        said = f"the cluster runs Ray {found}, and this version is made for {bounds}"
        remedy = "Install on the cluster's machines what this version of Ratchet asks for: pip install 'mlratchet[ray]'"
        return _finding("version", "problem", said, remedy)
    ours = importlib.metadata.version(DISTRIBUTION) if bounds else "the same version"
    return _finding("version", "ok", f"Ray {found}; its machines need mlratchet {ours}, which each job checks")


def _bounds() -> str:
    """Return between which versions Ray must be, ``""`` where Ratchet is not installed as a package."""
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    return next((bounds for name, bounds, _ in map(parse_requirement, wanted) if name == "ray"), "")


def _nodes(cluster: RayCluster) -> Finding:
    sizes = cluster.largest()
    if not sizes:
        remedy = "Start workers of the cluster, or see on its dashboard what became of them."
        return _finding("nodes", "warning", "the cluster names no node that lives", remedy)
    kinds = f"{counted(len(sizes), 'kind')} of nodes, the largest with {sizes[0].text}"
    return _finding("nodes", "ok", kinds)


def _finding(name: str, status: Status, said: str, remedy: str = "") -> Finding:
    return Finding(area=AREA, check=name, status=status, said=said, remedy=remedy)
