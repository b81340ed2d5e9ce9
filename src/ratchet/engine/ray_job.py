"""A step as a job on a Ray cluster: what runs there, started by the cluster, in no touch with whoever asked for it.

Invariant: what came of the step is in the store of artifacts, under the job's name, before the job ends well; a job
that cannot do it says why in one line, and ends with a code of its own.
Started as ``python -m ratchet.engine.ray_job --ratchet VERSION --python VERSION JOB STORE SPEC``.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ratchet import clock, errors
from ratchet.engine.executors import Limits, Session, Task
from ratchet.engine.spawned import Spawned
from ratchet.errors import ArtifactsUnreachable, RatchetError
from ratchet.records import Record
from ratchet.store.addresses import address_of, open_artifacts
from ratchet.store.artifacts import Artifacts

# Asked of the package as it is loaded: to import it by name would be to import what stands above.
OUR_VERSION = str(vars(sys.modules["ratchet"])["__version__"])
REFUSED_CODE = 78
REFUSAL = "ratchet cannot do this step here: "
# How long the store may be away when the answer, which may have taken days to compute, is to be left there.
_POST_SECONDS = 1800.0
_POST_PAUSE_SECONDS = 5.0
_CACHE_BYTES = 10 << 30


class Spec(Record, frozen=True):
    """What a job is to do, as it lies in the store.

    Attributes:
        name: The step's, for messages.
        entry: ``module:function`` that a child is to call.
        values: What it is called with, beside where artifacts and unpacked code are.
        limits: What the child may use.
        auth_mode: Whether user code that speaks to its own cluster needs a token: ``token`` or ``disabled``.
    """

    name: str
    entry: str
    values: dict[str, Any]
    limits: Limits
    auth_mode: str


class Answer(Record, frozen=True):
    """What came of a job.

    Attributes:
        job: Which one.
        answer: What a child's step gave: value or error, cost, and what it noted.
        raised: Why there is no such thing: the name of one of our errors, and its fields.
    """

    job: str
    answer: dict[str, Any] | None = None
    raised: tuple[str, dict[str, Any]] | None = None

    def result(self) -> dict[str, Any]:
        """Return what the step gave.

        Raises:
            RatchetError: What went wrong on the cluster.
        """
        if self.raised is not None:
            kind = getattr(errors, self.raised[0])
            assert issubclass(kind, RatchetError), "a job names our errors only"
            raise kind.from_fields(self.raised[1])
        assert self.answer is not None, "an answer says one of two things"
        return self.answer


def version() -> str:
    """Return the version of Python as far as it must be the same on both sides."""
    return ".".join(platform.python_version_tuple()[:2])


def arguments(job: str, store: str, spec: str) -> list[str]:
    """Return the command line of a job, without the interpreter."""
    versions = ["--ratchet", OUR_VERSION, "--python", version()]
    return ["-m", "ratchet.engine.ray_job", *versions, job, store, spec]


def main(given: list[str]) -> None:
    """Carry the step out and leave word of what came of it."""
    # So that what lies in temporary folders goes, and the child with it, when somebody stops the job.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(prog="ratchet.engine.ray_job")
    parser.add_argument("--ratchet", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("job")
    parser.add_argument("store")
    parser.add_argument("spec")
    asked, _ = parser.parse_known_args(given)
    _refuse_versions(asked)
    with tempfile.TemporaryDirectory(prefix="ratchet-ray-") as folder:
        try:
            artifacts = _open(asked.store, Path(folder))
            spec = msgspec.json.decode(artifacts.read(asked.spec), type=Spec)
        except (RatchetError, OSError) as error:
            _refuse(str(error))
        answer = msgspec.json.encode(_carry_out(asked.job, spec, artifacts, Path(folder)))
        _post(artifacts, asked.job, answer)


def _open(store: str, folder: Path) -> Artifacts:
    return open_artifacts(address_of(store, project=folder, state=folder, cache_bytes=_CACHE_BYTES))


def _carry_out(job: str, spec: Spec, artifacts: Artifacts, folder: Path) -> Answer:
    # Said here and not left to what Ray makes of it: a mode that is not said is one that it may choose, and save.
    os.environ.setdefault("RAY_AUTH_MODE", spec.auth_mode)
    task = Task(
        name=spec.name,
        entry=spec.entry,
        spec={**spec.values, "artifacts": artifacts.address, "snapshots": str(folder / "snapshots")},
        log="/dev/stdout",
    )
    try:
        with closing(Spawned()) as children:
            session = Session(children, task, limits=spec.limits, is_cancelled=lambda: False)
            return Answer(job=job, answer=session.converse_one_step())
    except RatchetError as error:
        if getattr(errors, type(error).__name__, None) is not type(error):
            raise
        return Answer(job=job, raised=(type(error).__name__, error.to_fields()))


def _post(artifacts: Artifacts, job: str, content: bytes) -> None:
    deadline = clock.monotonic() + _POST_SECONDS
    while True:
        try:
            artifacts.post(job, content)
        except (OSError, ArtifactsUnreachable) as error:
            if clock.monotonic() > deadline:
                _refuse(f"its answer cannot be left in the store: {error}")
            clock.sleep(_POST_PAUSE_SECONDS)
        else:
            return


def _refuse_versions(asked: argparse.Namespace) -> None:
    pairs = (("Ratchet", asked.ratchet, OUR_VERSION), ("Python", asked.python, version()))
    for name, wanted, here in pairs:
        if wanted != here:
            _refuse(f"the cluster has {name} {here} ({sys.executable}), and the run was asked for by {name} {wanted}")


def _refuse(reason: str) -> NoReturn:
    sys.stdout.write(f"{REFUSAL}{' '.join(reason.split())}\n")
    sys.stdout.flush()
    sys.exit(REFUSED_CODE)


if __name__ == "__main__":
    main(sys.argv[1:])
