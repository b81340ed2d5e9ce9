"""Ten tiny steps on Metaflow: a flow is a program, so each run is started anew, as its users do.

Invariant: each step is a process of its own, as Metaflow makes it.
"""

import subprocess
import sys
from pathlib import Path

from answering import answer

STEPS = 10
BODY = "".join(
    f"""
    @step
    def step_{number}(self):
        self.values = [*self.values, {number}]
        self.next(self.{f"step_{number + 1}" if number < STEPS - 2 else "end"})
"""
    for number in range(1, STEPS - 1)
)
CODE = f"""from metaflow import FlowSpec, step


class Tiny(FlowSpec):
    @step
    def start(self):
        self.values = [0]
        self.next(self.step_1)
{BODY}
    @step
    def end(self):
        pass


if __name__ == "__main__":
    Tiny()
"""


def work() -> None:
    """Run the flow."""
    subprocess.run([sys.executable, "tiny.py", "run"], check=True)


if __name__ == "__main__":
    Path("tiny.py").write_text(CODE)
    answer(work)
