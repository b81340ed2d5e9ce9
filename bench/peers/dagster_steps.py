"""Ten tiny ops on Dagster, in process or with its default executor, in an instance with the default storage.

Invariant: each op's output is stored by the default input and output manager, a file for each.
"""

import sys
import tempfile

import dagster
from answering import answer


@dagster.op(ins={"values": dagster.In(list)})
def add(values: list) -> list:  # type: ignore[type-arg]  # as its users write it
    """Return a list that is longer by one."""
    return [*values, len(values)]


@dagster.op
def begin() -> list:  # type: ignore[type-arg]  # as its users write it
    """Return a list of one."""
    return [0]


@dagster.job
def tiny() -> None:
    """Take ten steps."""
    values = begin()
    for _ in range(9):
        values = add(values)


def main(way: str) -> None:
    """Run the job as often as it is asked for."""
    instance = dagster.DagsterInstance.get()

    def in_process() -> None:
        assert tiny.execute_in_process(instance=instance).success

    def default() -> None:
        with dagster.execute_job(dagster.reconstructable(tiny), instance=instance) as result:
            assert result.success

    answer({"process": in_process, "default": default}[way])


if __name__ == "__main__":
    tempfile.tempdir = "."
    main(sys.argv[2])
