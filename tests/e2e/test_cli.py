"""The command ``ratchet`` as people use it: real processes on a project made by ``ratchet init``."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratchet.loop.serving import claim
from ratchet.records import Event
from ratchet.workspace import Workspace
from tests.killing import kill_workspace
from tests.waiting import PATIENCE_SECONDS, is_alive, next_line, until

RATCHET = [sys.executable, "-m", "ratchet"]
# The first to carry out this step says that it has begun, and hangs until it is killed or cancelled.
HANGING_STEP = """    import pathlib, time

    begun = pathlib.Path({path!r})
    if not begun.exists():
        begun.touch()
        time.sleep(3600)
    encode = """


def ratchet(folder: Path, *arguments: str, code: int = 0) -> str:
    """Carry out a command in a folder and return what it printed: its answer, or what it said when it refused."""
    done = subprocess.run(
        [*RATCHET, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=os.environ | {"COLUMNS": "80"},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "This is a fault of Ratchet" not in done.stderr
    return done.stderr if code else done.stdout


def as_json(folder: Path, *arguments: str) -> Any:
    """Return what a command said to a program."""
    return json.loads(ratchet(folder, *arguments, "--json"))


@contextmanager
def up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a workspace; gives the process and what it announced."""
    process = subprocess.Popen(
        [*RATCHET, "up", "--port", "0", "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, json.loads(next_line(process.stdout, "the addresses", containing='"login"'))
    finally:
        kill_workspace(folder, process)


def replace(path: Path, text: str) -> None:
    """Save a file at one stroke, as an editor does: whoever looks meanwhile sees the old or the new one."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def let_training_hang(folder: Path) -> Path:
    """Let the first training of a project hang; returns the file that says that it has begun."""
    begun, code = folder / "begun", folder / "returns.py"
    step = HANGING_STEP.format(path=str(begun))
    code.write_text(code.read_text().replace("    encode = ", step, 1))
    return begun


def events(folder: Path, kind: str) -> list[Event]:
    """Return the events of a type, read beside whoever runs the workspace."""
    with Workspace(folder) as workspace:
        return list(workspace.ledger.read(types=[kind]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a version that is live and one that did not pass its gate; made once, by the commands."""
    folder = tmp_path_factory.mktemp("projects")
    assert "ratchet run returns" in ratchet(folder, "init", "shop")
    shop = folder / "shop"
    shown = ratchet(shop, "run", "returns")
    assert "registered returns@v1" in shown
    assert "Next: ratchet promote returns@v1" in shown
    assert "returns@v1 is live on 'returns'." in ratchet(shop, "promote", "returns@v1")
    refused = subprocess.run(
        [*RATCHET, "run", "returns", "-p", "max_iter=1", "-p", "learning_rate=0.001", "--json"],
        cwd=shop,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["gate"] == "fail"
    return shop


@pytest.fixture
def shop(trained: Path, tmp_path: Path) -> Path:
    """A copy of that project."""
    folder = tmp_path / "shop"
    shutil.copytree(trained, folder)
    return folder


def test_what_was_done_can_be_looked_at(shop: Path) -> None:
    """Versions, status, level and ledger tell the same story."""
    assert [one["gate"] for one in as_json(shop, "models")] == ["pass", "fail"]
    status = as_json(shop, "status")
    assert status["pipelines"][0]["live_version"] == "returns@v1"
    assert status["is_running"] is False
    assert "Level 1  Training automated" in ratchet(shop, "level", "returns", "--explain")
    kinds = [json.loads(line)["type"] for line in ratchet(shop, "events", "--json").splitlines()]
    assert kinds.count("traffic.shifted") == 1
    assert kinds.count("run.finished") == 2


def test_chain_of_a_deployment_begins_with_the_command(shop: Path) -> None:
    """Who asks why something serves is led to the person who wanted it."""
    shifted = as_json(shop, "events", "--type", "traffic.shifted", "--limit", "1")
    causes = as_json(shop, "events", shifted["id"])["causes"]
    assert causes[0]["type"] == "command.issued"
    assert causes[0]["authtype"] == "user"
    assert causes[0]["trigger"] == "cli"


def test_runs_side_by_side(shop: Path) -> None:
    """What differs between two runs is marked."""
    rows = as_json(shop, "runs", "--compare", "returns@v1", "returns@v2")["rows"]
    differing = {row["name"] for row in rows if row["differs"]}
    assert {"gate", "version", "parameter max_iter", "parameter learning_rate"} <= differing
    assert not {"pipeline", "code", "data orders", "seed"} & differing


@pytest.mark.slow
def test_what_did_not_pass_its_gate_needs_a_reason(shop: Path) -> None:
    """A bypass is possible, by name, and stays in the ledger."""
    message = ratchet(shop, "promote", "returns@v2", code=1)
    assert message.startswith("Error: Cannot promote returns@v2 to production: roc_auc ")
    shown = ratchet(shop, "promote", "returns@v2", "--bypass", "a test of mine")
    assert "returns@v2 is live on 'returns' in place of returns@v1." in shown
    assert as_json(shop, "events", "--type", "gate.bypassed", "--limit", "1")["data"]["reason"] == "a test of mine"


def test_rules_are_adopted_once_and_switched_off(shop: Path) -> None:
    """The file is changed by what is missing, and its comments stay."""
    before = (shop / "ratchet.toml").read_text()
    assert "+[[rule]]" in ratchet(shop, "rules", "adopt", "level-1", "--dry-run")
    assert (shop / "ratchet.toml").read_text() == before
    assert "2 rules added, and in force." in ratchet(shop, "rules", "adopt", "level-1")
    adopted = (shop / "ratchet.toml").read_text()
    assert adopted.startswith(before.rstrip())
    assert "already; nothing was changed" in ratchet(shop, "rules", "adopt", "level-1")
    ratchet(shop, "rules", "disable", "train returns weekly")
    found = {rule["name"]: rule for rule in as_json(shop, "rules")}
    assert found["train returns weekly"]["is_enabled"] is False
    assert found["train returns weekly"]["origin"] == "template"
    ratchet(shop, "rules", "enable", "train returns weekly")
    assert (shop / "ratchet.toml").read_text() == adopted


@pytest.mark.slow
def test_a_rule_that_deploys_does_so_within_a_run(shop: Path) -> None:
    """Where nobody runs the workspace, a run takes along what rules make of it."""
    ratchet(shop, "rules", "adopt", "level-2")
    assert "It is live on endpoint 'returns': a rule has deployed it." in ratchet(shop, "run", "returns")


def test_a_run_that_fails_says_why_and_where_its_log_is(shop: Path) -> None:
    """The user's own error is the message."""
    code = shop / "returns.py"
    code.write_text(code.read_text().replace("    encode = ", "    raise ValueError('no such column')\n    encode = "))
    message = ratchet(shop, "run", "returns", code=1)
    assert "Step 'train' failed: ValueError: no such column" in message
    log = Path("".join(message.partition("Its log: ")[2].split()))
    assert "ValueError" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "retruns"), 1, "Error: No pipeline named 'retruns'. Known: returns."),
        (("run", "returns", "-p", "depth=3"), 1, "has no parameter 'depth'. It takes: learning_rate, max_iter."),
        (("run", "returns", "-p", "max_iter=many"), 2, "max_iter is 'many', and a whole number is needed"),
        (("promote", "returns@v7"), 1, "Error: No model version named 'returns@v7'. Known: returns@v2, returns@v1."),
        (("status", "--workspace", "/"), 1, "Error: No ratchet.toml in / or any folder above it."),
    ],
)
def test_mistakes_are_answered_in_a_line(trained: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    """No traceback, an exit code, and what is known."""
    assert message in ratchet(trained, *arguments, code=code)


def test_a_reader_that_leaves_is_no_error(shop: Path) -> None:
    """``ratchet events | head`` ends in silence."""
    script = f"{sys.executable} -m ratchet events --json | head -n 1"
    done = subprocess.run(script, shell=True, cwd=shop, capture_output=True, text=True, check=True)  # noqa: S602, a pipe
    assert json.loads(done.stdout)
    assert done.stderr == ""


def test_colours_are_for_terminals_only(trained: Path) -> None:
    """A pipe gets text and nothing else."""
    assert "\x1b" not in ratchet(trained, "level", "returns", "--explain")


@pytest.mark.slow
def test_up_serves_takes_commands_and_stops_in_order(shop: Path) -> None:
    """One process runs the workspace; others hand their commands to it; SIGTERM leaves nothing behind."""
    with up(shop) as (process, announced):
        page = httpx.get(announced["login"], follow_redirects=True, timeout=PATIENCE_SECONDS)
        assert page.status_code == 200
        assert httpx.get(announced["address"], timeout=PATIENCE_SECONDS).status_code in {401, 403, 303}
        message = ratchet(shop, "up", code=1)
        assert f"Another Ratchet process (pid {process.pid}) already runs the workspace" in message
        assert as_json(shop, "run", "returns")["gate"] == "pass"
        assert announced["endpoint_address"] in ratchet(shop, "promote", "returns@v3")
        assert as_json(shop, "rollback", "returns")["release"]["model_version"] == "returns@v1"
        token = ratchet(shop, "token", "issue", "site").strip()
        ready = f"{announced['endpoint_address']}/v2/models/returns/ready"
        headers = {"Authorization": f"Bearer {token}"}
        until(lambda: httpx.get(ready, headers=headers, timeout=PATIENCE_SECONDS).status_code == 200, "the endpoint")
        holder = claim.holder(shop / ".ratchet" / "serving")
        assert holder is not None
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert not is_alive(holder.pid)


@pytest.mark.slow
def test_an_endpoint_that_a_kill_left_behind_is_gone_on_with_and_ended(shop: Path) -> None:
    """It answers while nobody runs the workspace, a command leaves it alone, and SIGTERM of the next server ends it."""
    serving = shop / ".ratchet" / "serving"
    with up(shop) as (first, announced):
        first.kill()
        first.wait()
        holder = claim.holder(serving)
        assert holder is not None
        ratchet(shop, "promote", "returns@v1")
        assert claim.holder(serving) == holder
        with up(shop) as (second, again):
            assert again["endpoint_address"] == announced["endpoint_address"]
            assert claim.holder(serving) == holder
            second.terminate()
            assert second.wait(PATIENCE_SECONDS) == 0
        assert claim.holder(serving) is None
        assert not is_alive(holder.pid)


@pytest.mark.slow
def test_sigterm_during_the_start_leaves_nothing_running(shop: Path) -> None:
    """Who stops a workspace that is not up yet finds no endpoint behind, whichever came first."""
    process = subprocess.Popen([*RATCHET, "up", "--port", "0"], cwd=shop, stdout=subprocess.DEVNULL)
    serving = shop / ".ratchet" / "serving"
    try:
        until(lambda: claim.holder(serving) or process.poll() is not None, "the endpoint")
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) in {0, 130}
        assert claim.holder(serving) is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_up_takes_in_changed_files_and_complains_of_broken_ones(shop: Path) -> None:
    """A mistake in the settings is said once, what was in force stays, and the next state counts."""
    toml = shop / "ratchet.toml"
    with up(shop) as (process, _):
        good = toml.read_text()
        replace(toml, good.replace("at_least = 0.65", "at_leest = 0.65"))
        next_line(process.stderr, "the complaint", containing="unknown field `at_leest`")
        replace(toml, good + '\n[[rule]]\nname = "mine"\non = "run.finished"\ndo = "promote"\n')
        until(lambda: "mine" in [event.subject for event in events(shop, "rule.created")], "the new rule")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.slow
def test_a_run_outlives_the_process_that_carried_it_out(shop: Path) -> None:
    """Who waits for a run goes on with it when the server is killed, and it is still one run."""
    begun = let_training_hang(shop)
    with up(shop) as (process, _):
        waiting = subprocess.Popen(
            [*RATCHET, "run", "returns", "--json"], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until(begun.exists, "the training to begin")
        process.kill()
        process.wait()
        printed, said = waiting.communicate(timeout=PATIENCE_SECONDS)
    assert waiting.returncode == 0, said
    assert "The process that ran the workspace has ended; going on here." in said
    run = json.loads(printed)
    assert (run["status"], run["gate"]) == ("success", "pass")
    assert len([event for event in events(shop, "run.finished") if event.subject == run["id"]]) == 1


def assert_costs(shop: Path) -> None:
    """See that a run that was cancelled in its training is charged with all that it had used until then."""
    run = as_json(shop, "runs", "--limit", "1")[0]
    assert [(cost["step"], bool(cost.get("broken_off"))) for cost in run["costs"]] == [
        ("split", False),
        ("train", True),
    ]
    told = [event for event in events(shop, "cost.recorded") if event.subject == run["id"]]
    assert len(told) == 6
    training = {event.data["resource"]: event.data["qty"] for event in told if event.data["step"] == "train"}
    assert training["wall_seconds"] > 0
    assert training["peak_memory_mb"] > 10


@pytest.mark.slow
def test_a_run_is_cancelled_from_elsewhere(shop: Path) -> None:
    """Its child ends, and whoever waits for it is told in one line."""
    begun = let_training_hang(shop)
    running = subprocess.Popen(
        [*RATCHET, "run", "returns"], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(begun.exists, "the training to begin")
    run = as_json(shop, "runs", "--limit", "1")[0]
    assert as_json(shop, "runs", "cancel", run["id"][:10])["status"] == "cancelled"
    _, said = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 1
    assert "was cancelled." in said
    assert "Traceback" not in said
    assert_costs(shop)


@pytest.mark.slow
def test_ctrl_c_cancels_a_run_that_is_carried_out_here(shop: Path) -> None:
    """Nothing goes on behind the back of who stopped it."""
    begun = let_training_hang(shop)
    running = subprocess.Popen(
        [*RATCHET, "run", "returns"], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(begun.exists, "the training to begin")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 1
    assert "was cancelled." in said
    assert as_json(shop, "runs", "--limit", "1")[0]["status"] == "cancelled"
    assert_costs(shop)
