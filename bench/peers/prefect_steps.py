"""Ten tiny tasks on Prefect, against a server that runs already; each result is kept.

Invariant: each task is computed: results are stored and none is taken from a cache.
"""

from answering import answer
from prefect import flow, task
from prefect.cache_policies import NO_CACHE


@task(persist_result=True, cache_policy=NO_CACHE)
def add(values: list[int], number: int) -> list[int]:
    """Return a list that is longer by one."""
    return [*values, number]


@flow
def tiny() -> list[int]:
    """Take ten steps."""
    values = [0]
    for number in range(10):
        values = add(values, number)
    return values


def work() -> None:
    """Run the flow."""
    assert len(tiny()) == 11


if __name__ == "__main__":
    answer(work)
