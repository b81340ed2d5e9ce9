"""Ratchet closes the loop of machine learning in production, and measures how automated it is.

The public names; each is loaded when it is first used, so that ``ratchet --help`` need not load pandas.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratchet.automation.custom import Loop as Loop
    from ratchet.loop.datasets import Dataset as Dataset
    from ratchet.loop.pipelines import Candidate as Candidate
    from ratchet.loop.pipelines import pipeline as pipeline
    from ratchet.loop.pipelines import rule as rule
    from ratchet.loop.pipelines import step as step
    from ratchet.records import Event as Event
    from ratchet.workspace import Workspace as Workspace
    from ratchet.workspace import open_workspace as open

__version__ = "0.1.0"
__all__ = ["Candidate", "Dataset", "Event", "Loop", "Workspace", "open", "pipeline", "rule", "step"]

_HOMES = {
    "Candidate": ("ratchet.loop.pipelines", "Candidate"),
    "Dataset": ("ratchet.loop.datasets", "Dataset"),
    "Event": ("ratchet.records", "Event"),
    "Loop": ("ratchet.automation.custom", "Loop"),
    "Workspace": ("ratchet.workspace", "Workspace"),
    "open": ("ratchet.workspace", "open_workspace"),
    "pipeline": ("ratchet.loop.pipelines", "pipeline"),
    "rule": ("ratchet.loop.pipelines", "rule"),
    "step": ("ratchet.loop.pipelines", "step"),
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _HOMES:
        message = f"module 'ratchet' has no attribute '{name}'"
        raise AttributeError(message)
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
