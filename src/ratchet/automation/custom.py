"""Rules in Python: the user's function in a child process, and the loop that it may ask for actions.

Invariant: the function decides, the parent acts; each action it asks for is carried out once, however often the
function runs.
"""

from typing import Any

import msgspec

from ratchet.engine.child import Child
from ratchet.loop import pipelines
from ratchet.records import Event


class Loop:
    """What a rule in Python may do.

    Args:
        child: The way to the parent.
        pipeline: The pipeline that is meant where none is named.
    """

    def __init__(self, child: Child, pipeline: str) -> None:
        self._child = child
        self._pipeline = pipeline

    def start_run(self, pipeline: str = "", *, because: str = "", **parameters: Any) -> str:
        """Queue a run and return the id of ``run.queued``.

        Args:
            pipeline: Which; by default the one that the rule is about.
            because: A reason for people.
            **parameters: The pipeline's own.
        """
        return self._do("start_run", pipeline, because=because, **parameters)

    def promote(self, version: str = "", **parameters: Any) -> str:
        """Let a version serve in production and return the id of ``deployment.completed``."""
        return str(self._child.call("promote", {"version": version, **parameters}))

    def rollback(self, endpoint: str = "") -> str:
        """Let the version serve again that served before."""
        return str(self._child.call("rollback", {"endpoint": endpoint}))

    def monitor(self, pipeline: str = "") -> str:
        """Evaluate a pipeline's monitors."""
        return self._do("monitor", pipeline)

    def take_sample(self, pipeline: str = "") -> str:
        """Draw a sample from the latest predictions."""
        return self._do("take_sample", pipeline)

    def join_feedback(self, pipeline: str = "") -> str:
        """Join outcomes to predictions."""
        return self._do("join_feedback", pipeline)

    def build_dataset(self, pipeline: str = "") -> str:
        """Make a new dataset version of sampled predictions and their outcomes."""
        return self._do("build_dataset", pipeline)

    def _do(self, action: str, pipeline: str, **parameters: Any) -> str:
        return str(self._child.call(action, {"pipeline": pipeline or self._pipeline, **parameters}))


def carry_out(child: Child, spec: dict[str, Any]) -> None:
    """Call a rule's function with its event; the entry of a child process."""
    pipelines.import_snapshot(spec)
    function = pipelines.find_function("rule", spec["rule"])
    function(msgspec.convert(spec["event"], Event), Loop(child, spec["pipeline"]))
