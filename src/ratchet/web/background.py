"""Values that take longer to compute than a page may take to appear.

Invariant: each value is computed by one thread at a time, and whoever asks waits no longer than it says; a
page says whether what it shows is the latest.
"""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ratchet import clock

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What is known of a value.

    Attributes:
        value: The latest that was computed; ``None`` before the first.
        is_current: Whether it was computed from the state that was asked for.
        problem: Why the last attempt failed; ``""`` where it did not.
    """

    value: T | None = None
    is_current: bool = False
    problem: str = ""


@dataclass
class _Kept:
    state: Hashable = None
    value: Any = None
    problem: str = ""
    future: Future[None] | None = None


class Background:
    """Computes values beside the requests and keeps the last of each name.

    Args:
        name: Of its thread.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}

    def ask(self, name: Hashable, state: Hashable, compute: Callable[[], T], *, until: float) -> Answer[T]:
        """Return a value, computed afresh where its state has changed.

        Args:
            name: Which value.
            state: What it depends on; the same state is computed once.
            compute: Gives the value.
            until: When to wait no longer, by the monotonic clock.
        """
        future = self._begin(name, state, compute)
        if future is not None:
            wait([future], timeout=max(0.0, until - clock.monotonic()))
        with self._lock:
            kept = self._kept[name]
            return Answer(value=kept.value, is_current=kept.state == state, problem=kept.problem)

    def close(self) -> None:
        """Begin nothing more; what is under way is left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, name: Hashable, state: Hashable, compute: Callable[[], T]) -> Future[None] | None:
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
            if kept.state == state:
                return None
            if kept.future is None or kept.future.done():
                kept.future = self._pool.submit(self._compute, kept, state, compute)
            return kept.future

    def _compute(self, kept: _Kept, state: Hashable, compute: Callable[[], T]) -> None:
        value, problem = kept.value, ""
        try:
            value = compute()
        except Exception as error:  # noqa: BLE001, a border: the page says what failed, and the next state tries again
            problem = f"{type(error).__name__}: {error}"
        with self._lock:
            kept.state, kept.value, kept.problem = state, value, problem
