"""Ten tiny steps on ZenML's local stack, each computed, or each taken from its cache.

Invariant: a run whose steps are not computed as asked fails.
"""

import sys

from answering import answer
from zenml import pipeline, step


@step
def add(values: list, number: int) -> list:  # type: ignore[type-arg]  # as its users write it
    """Return a list that is longer by one."""
    return [*values, number]


@pipeline(enable_cache=sys.argv[2] == "cached")
def tiny() -> None:
    """Take ten steps."""
    values = [0]
    for number in range(10):
        values = add(values, number)


def work() -> None:
    """Run the pipeline."""
    run = tiny()
    assert run is not None
    assert str(run.status) in ("completed", "cached"), run.status


if __name__ == "__main__":
    answer(work)
