"""What an installation without any extra does, in an environment of its own: ``make proof-core``.

Invariant: nothing but the core is installed there; each command is a process of its own, in a folder of its own.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.rig import environments
from ratchet.store.formats.extras import EXTRAS
from tests.unit.importers import shapes
from tests.waiting import PATIENCE_SECONDS, next_line, until

SETTINGS = """
[dataset.orders]
source = "data/*.csv"
key = "order_id"

[[rule]]
name = "sum up what is new"
on = "dataset.version.published"
do = { start_run = "summary" }
"""
# Its last step hands over a model of the project's own.
PIPELINE = '''"""A pipeline that needs no library."""

import ratchet as rt


class Usual:
    """Always says the same."""

    def __init__(self, price: float) -> None:
        self.price = price

    def predict(self, rows):
        return [self.price for _ in rows]


@rt.step
def mean_price(orders: rt.Dataset) -> dict[str, float]:
    prices = orders.to_arrays(columns=["price"])["price"]
    return {"orders": len(prices), "mean": float(prices.mean())}


@rt.step
def fit(summary: dict[str, float]) -> Usual:
    return Usual(summary["mean"])


@rt.pipeline(model="summary", owner="sales")
def summary(orders: rt.Dataset) -> dict[str, float]:
    return mean_price(orders)


@rt.pipeline(model="usual", owner="sales")
def usual(orders: rt.Dataset) -> rt.Candidate:
    return rt.Candidate(fit(mean_price(orders)), holdout=[[1.0]], label="price")
'''
IMPORTS = """
import importlib, pkgutil, ratchet
names = [one.name for one in pkgutil.walk_packages(ratchet.__path__, "ratchet.") if not one.name.endswith("__main__")]
print(len([importlib.import_module(one) for one in names]))
"""
WITH_EXTRA = "pip install 'mlratchet[sklearn]'"


class Core:
    """Commands of the installation.

    Args:
        python: Its interpreter.
        folder: Where projects are made.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        self._variables = environments.environment(HOME=str(folder), COLUMNS="200")

    def carry_out(self, *arguments: str, inside: str = ".", code: int = 0) -> str:
        """Return what a command printed; it must end with this exit code."""
        command = [str(self.python), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder / inside,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {printed}"
        assert "Traceback" not in printed, f"{arguments}: {printed}"
        return printed

    def ratchet(self, *arguments: str, inside: str = ".", code: int = 0) -> str:
        """Return what ``ratchet`` printed."""
        return self.carry_out("-m", "ratchet", *arguments, inside=inside, code=code)

    def events(self, name: str, *, inside: str) -> list[Any]:
        """Return the events of a type."""
        lines = self.ratchet("events", "--type", name, "--limit", "100", "--json", inside=inside).splitlines()
        return [json.loads(line) for line in lines]

    @contextmanager
    def up(self, inside: str) -> Iterator[None]:
        """Run a workspace while the context lasts."""
        process = subprocess.Popen(
            [str(self.python), "-m", "ratchet", "up", "--port", "0", "--json"],
            cwd=self.folder / inside,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            next_line(process.stdout, "the address", containing="{")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 0


def check_installation(core: Core) -> str:
    """See that no extra is there, and that all modules can be imported."""
    missing = f"import importlib.util as u; print([one for one in {sorted(EXTRAS)} if u.find_spec(one)])"
    assert core.carry_out("-c", missing).strip() == "[]", "something brings a library of an extra"
    count = int(core.carry_out("-c", IMPORTS))
    megabytes, distributions = environments.size_mb("core"), len(environments.versions_of("core"))
    return f"{count} modules are imported; {megabytes:.1f} MB in {distributions} distributions"


def check_refusals(core: Core) -> str:
    """See that the example and the demo say what they need before anything else happens."""
    assert WITH_EXTRA in core.ratchet("init", "shop")
    for command in (("run", "returns"), ("up", "--port", "0"), ("doctor",)):
        assert WITH_EXTRA in core.ratchet(*command, inside="shop", code=1), command
    assert "pip install 'mlratchet[demo]'" in core.ratchet("demo", code=1)
    assert not (core.folder / "ratchet-demo").exists()
    return "the example and the demo name the extra that they need"


def check_pipeline(core: Core) -> str:
    """Let a rule start a pipeline of plain Python when data comes, and hand a model over in vain."""
    core.ratchet("init", "--empty", "plain")
    project = core.folder / "plain"
    with (project / "ratchet.toml").open("a") as settings:
        settings.write(SETTINGS)
    (project / "plain.py").write_text(PIPELINE)
    (project / "data").mkdir()
    (project / "data" / "first.csv").write_text("order_id,price\n1,10.0\n2,30.0\n")
    core.ratchet("run", "summary", inside="plain")
    assert WITH_EXTRA in core.ratchet("run", "usual", inside="plain", code=1)
    with core.up("plain"):
        before = len(core.events("run.finished", inside="plain"))
        (project / "data" / "second.csv").write_text("order_id,price\n3,50.0\n")
        until(lambda: len(core.events("run.finished", inside="plain")) > before, "the run that the rule starts")
    assert core.events("rule.fired", inside="plain")
    assert core.events("run.finished", inside="plain")[-1]["data"]["outcome"] == "success"
    return "a rule has started a run of plain Python; a model is refused with the extra that it needs"


def check_measure(core: Core) -> str:
    """Import, measure, report, assess and evaluate."""
    runs = {"total_count": 1, "workflow_runs": [shapes.run(1)]}
    (core.folder / "plain" / "runs.json").write_text(json.dumps(runs))
    commands = (
        ("import", "github", "runs.json"),
        ("level", "summary", "--explain"),
        ("kpi", "--all"),
        ("incidents",),
        ("report", "--out", "report.html"),
        ("report", "verify", "report.html"),
        ("assess", "init"),
        ("assess", "map", "assessment/current.toml", "--out", "map.html"),
        ("assess", "diff", "assessment/current.toml", "assessment/target.toml"),
        ("evaluate", "init", "--candidates", "MLflow,Acme=bought"),
        ("evaluate", "compare"),
        ("ledger", "verify"),
        ("status",),
    )
    for command in commands:
        core.ratchet(*command, inside="plain")
    return f"{len(commands)} commands that import, measure, report, assess and evaluate"


def main() -> int:
    """Carry out all checks.

    Returns:
        The exit status.
    """
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="ratchet-core-") as folder:
        core = Core(environments.python_of("core"), Path(folder))
        for check in (check_installation, check_refusals, check_pipeline, check_measure):
            sys.stdout.write(f"ok  {check(core)}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
