"""Rules in Python: the user's function in a child process, and the loop that it may ask for actions.

Invariant: the function decides, the parent acts; each action it asks for is carried out once, however often the
function runs.
"""

from typing import Any, cast

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


class _Notes:
    """Stands in for the way to the parent: notes what is asked for and does nothing."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def call(self, action: str, parameters: dict[str, Any]) -> str:
        """Note a call and return what looks like the id of an event."""
        self.calls.append({"action": action, "parameters": parameters})
        return f"rehearsed-{len(self.calls)}"


def rehearse(_child: Child, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Call a rule's function with past events and return what it asks for each time; the entry of a child process."""
    pipelines.import_snapshot(spec)
    function = pipelines.find_function("rule", spec["rule"])
    found = []
    for values, pipeline in zip(spec["events"], spec["pipelines"], strict=True):
        notes = _Notes()
        error = ""
        try:
            function(msgspec.convert(values, Event), Loop(cast(Child, notes), pipeline))
        except Exception as raised:  # noqa: BLE001, the border of the user's code
            error = f"{type(raised).__name__}: {raised}"
        found.append({"calls": notes.calls, "error": error})
    return found
