"""What a run gives that does again what another one did: whether the two agree, step by step and in the end.

Invariant: a run that only does again what was done registers nothing; that it agrees is said where each result that
both have is the same, byte by byte.
"""

from collections.abc import Sequence
from typing import Any

from ratchet.errors import ArtifactCorrupt, ArtifactMissing
from ratchet.records import Run
from ratchet.store.artifacts import Artifacts


def is_check(run: Run, first: Run) -> bool:
    """Tell whether a run does the same again, and not the same with something changed."""
    return run.repeats == first.id and (run.parameters, run.seed) == (first.parameters, first.seed)


def differences(first: Run, costs: Sequence[dict[str, Any]], candidate: dict[str, Any] | None) -> tuple[str, ...]:
    """Return what is not the same as it was, in the order of the run: steps by name, then parts of the candidate.

    Args:
        first: The run that is done again.
        costs: The steps of the new run, with the digests of their results.
        candidate: What the new run's body returned.
    """
    # A run of an earlier version of ours does not say what its steps gave.
    known = {(cost["index"], cost["step"]): cost["result"] for cost in first.costs if "result" in cost}
    found = [(cost["index"], cost["step"]) for cost in costs]
    steps = [name for index, name in found if known.get((index, name)) != _result_at(costs, index)] if known else []
    missing = [name for index, name in known if (index, name) not in found]
    before, after = first.candidate or {}, candidate or {}
    parts = ("model", "holdout", "label", "inputs")
    return (*steps, *missing, *(part for part in parts if before.get(part) != after.get(part)))


def _result_at(costs: Sequence[dict[str, Any]], index: int) -> Any:
    return next((cost.get("result") for cost in costs if cost["index"] == index), None)


def changed_libraries(artifacts: Artifacts, first: Run, second: Run) -> list[str]:
    """Return the libraries that are other ones than they were, such as ``numpy 2.4.5 -> 2.4.6``; none where unknown."""
    try:
        before, after = (_versions(artifacts.read(run.lock)) for run in (first, second))
    except (ArtifactMissing, ArtifactCorrupt):
        return []
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}" for name in sorted(names)]


def _versions(lock: bytes) -> dict[str, str]:
    parts = [line.partition("==") for line in lock.decode().splitlines()]
    return {name: version for name, _, version in parts}
