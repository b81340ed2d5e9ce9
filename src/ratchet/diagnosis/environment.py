"""The machine and what is installed on it: Python, libraries, limits of processes.

Invariant: needs no workspace.
"""

import importlib.metadata
import importlib.util
import platform
import re
import resource
import sys
from collections.abc import Iterator

from ratchet.config import Config
from ratchet.diagnosis.findings import Finding
from ratchet.store.formats.extras import FRAMES

AREA = "environment"
DISTRIBUTION = "mlratchet"
_OLDEST = (3, 11)
_OPEN_FILES = 1024
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*?)\s*(?:;(.*))?$")
_OF_FRAMES = re.compile(rf"extra\s*==\s*['\"]{FRAMES}['\"]")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9][0-9A-Za-z.*]*)")


def check_python() -> Iterator[Finding]:
    """Look at the version of Python and at the system."""
    version, system = platform.python_version(), platform.system()
    if sys.version_info < _OLDEST:
        remedy = "Install Python 3.11 or newer, and mlratchet with it."
        yield Finding(area=AREA, check="python", status="problem", said=f"Python {version} is too old", remedy=remedy)
    else:
        yield Finding(area=AREA, check="python", status="ok", said=f"Python {version} on {system} {platform.machine()}")
    if system != "Linux":
        said = f"{system} is not supported: children and locks use what Linux has"
        yield Finding(area=AREA, check="system", status="problem", said=said, remedy="Run it on Linux.")


def check_libraries() -> Iterator[Finding]:
    """Compare the versions of libraries with those that this version was made for."""
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        remedy = "Install it as a package: pip install mlratchet"
        said = "mlratchet is not installed as a package, so no versions are known"
        yield Finding(area=AREA, check="libraries", status="warning", said=said, remedy=remedy)
        return
    wrong, count, package = [], 0, DISTRIBUTION
    for requirement in wanted:
        name, bounds, applies = parse_requirement(requirement)
        found = _version_of(name)
        # What the extra for data frames brings may be missing; what is there has to fit.
        is_of_frames = bool(_OF_FRAMES.search(requirement))
        if applies or (found and is_of_frames):
            count += 1
            if not found or not fits(found, bounds):
                wrong.append(f"{name} is {found or 'missing'}, and must be {bounds or 'there'}")
                package = f"'{DISTRIBUTION}[{FRAMES}]'" if is_of_frames else package
    if wrong:
        remedy = f"Bring them into these bounds: pip install --upgrade {package}"
        yield Finding(area=AREA, check="libraries", status="problem", said="; ".join(wrong), remedy=remedy)
    else:
        yield Finding(area=AREA, check="libraries", status="ok", said=f"{count} libraries within their bounds")


def check_limits() -> Iterator[Finding]:
    """Look at how many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        said = f"a process may have {soft} files open, and an endpoint under load needs more"
        remedy = f"Raise it before you start: ulimit -n {max(_OPEN_FILES, min(hard, 65536))}"
        yield Finding(area=AREA, check="limits", status="warning", said=said, remedy=remedy)
    else:
        yield Finding(area=AREA, check="limits", status="ok", said=f"up to {soft} open files")


def extras(config: Config) -> Iterator[Finding]:
    """Look for the libraries that settings ask for beyond the usual ones."""
    asked = []
    if config.project.database.startswith("postgres"):
        asked.append(("psycopg", "postgres", "[project] database"))
    if config.project.artifacts.startswith("s3:"):
        asked.append(("obstore", "s3", "[project] artifacts"))
    for module, extra, setting in asked:
        if importlib.util.find_spec(module) is None:
            said, remedy = f"{setting} needs {module}", f"Install it: pip install 'mlratchet[{extra}]'"
            yield Finding(area=AREA, check="extras", status="problem", said=said, remedy=remedy)
        else:
            yield Finding(area=AREA, check="extras", status="ok", said=f"{module}, which {setting} needs, is installed")


def parse_requirement(text: str) -> tuple[str, str, bool]:
    """Return name and bounds of a requirement, and whether it is meant here: not an extra, and for this Python."""
    found = _REQUIREMENT.match(text)
    assert found is not None, f"{text} is a requirement"
    name, bounds, marker = found[1], found[2].strip(" ()"), found[3] or ""
    if "extra" in marker:
        return name, bounds, False
    own = ".".join(platform.python_version_tuple()[:2])
    stated = re.search(r"python_version\s*(<|>=)\s*['\"]([0-9.]+)['\"]", marker)
    return name, bounds, stated is None or fits(own, stated[1] + stated[2])


def fits(version: str, bounds: str) -> bool:
    """Tell whether a version lies within bounds such as ``>=1.2,<2``."""
    own = _numbers(version)
    for sign, bound in _BOUND.findall(bounds):
        other = _numbers(bound)
        if sign == "==" and bound.endswith("*"):
            holds = own[: len(other)] == other
        else:
            size = max(len(own), len(other))
            left, right = own + (0,) * (size - len(own)), other + (0,) * (size - len(other))
            signs = {">=": left >= right, "<": left < right, "<=": left <= right, ">": left > right}
            holds = signs.get(sign, (left == right) == (sign == "=="))
        if not holds:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[a-zA-Z+*]", version)[0]))


def _version_of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
