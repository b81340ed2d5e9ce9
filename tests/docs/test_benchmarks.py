"""The page of benchmarks says what was measured, and what its figures rest on counts right."""

import json
import os
import subprocess
import sys

from bench.rig import results
from bench.rig.process_trees import cpu_seconds
from bench.rig.results import Goal, Section, compared

BURN = "import os; [sum(range(1000)) for _ in iter(lambda: os.times().user < 0.2, False)]"
IN_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}]); print('done'); input()"


def test_the_page_is_what_the_figures_say() -> None:
    """Nobody has written on the page by hand, and no figure is missing on it."""
    assert results.PAGE.read_text() == results.draw(json.loads(results.FILE.read_text()))


def test_a_missed_goal_and_a_skipped_peer_are_said() -> None:
    """A limit that is not kept stands as such, whichever way it goes; who could not be measured has a reason."""
    goals = [Goal("at most", "a run, ms", 50.0, 40.0), Goal("at least", "events/s", 30_000.0, 20_000.0)]
    section = Section(title="Runs", about="", rows=[], goals=goals, skipped={"Peer": "it cannot\nbe installed"})
    missed, met, skipped = section.lines()
    assert ("MISSED with 50.0" in missed, "met with 30,000" in met) == (True, True)
    assert skipped == "- Not measured: Peer: it cannot be installed"
    assert section.publish()["is_within_limits"] is False


def test_ratios_are_those_to_one_contestant() -> None:
    """Who is faster has a ratio below one, and who has no figure has no ratio."""
    rows = [{"what": "ours", "ms": 10.0}, {"what": "faster", "ms": 5.0}, {"what": "other", "mb": 1}]
    compared(rows, "ms", of="ours")
    assert [row.get("ratio") for row in rows] == [1.0, 0.5, None]


def test_work_of_a_child_that_has_ended_counts() -> None:
    """The processor's time of a tree is that of the children as well, also once they are gone."""
    with subprocess.Popen([sys.executable, "-c", IN_A_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"done\n"
        used = cpu_seconds(process.pid)
        whole = cpu_seconds(os.getpid())
        process.stdin.close()
    assert used >= 0.2
    assert whole >= used
    assert cpu_seconds(process.pid) == 0.0
