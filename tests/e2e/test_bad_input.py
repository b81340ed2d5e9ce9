"""What goes in wrong: refused with the name, the limit and the remedy, and nothing in the ledger but what must be.

One table, one row for each kind of bad input: what is done, how it is refused, what the message must say, and which
types of events it leaves behind.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from ratchet.errors import RatchetError
from ratchet.loop import datasets, feedback, releases
from ratchet.loop.feedback import Outcome
from ratchet.loop.frames import write_parquet
from ratchet.records import Actor
from ratchet.store import migrations
from ratchet.workspace import Workspace
from tests import projects
from tests.waiting import PATIENCE_SECONDS

# How an input was refused: the name of an error class, an HTTP status, or an exit code; and the message.
Refusal = tuple[str | int, str]
SETTINGS = projects.SETTINGS + "\n[limits]\ntimeout_seconds = 300\nmemory_mb = 900\nattempts = 2\n"
SETTINGS = SETTINGS.replace(
    "[[fitness]]", '[dataset.customers.columns]\nplan = { allowed = ["basic", "family", "pro"] }\n\n[[fitness]]', 1
)
RUN = ["command.issued", "run.queued", "run.started", "run.finished"]
DEPLOYMENT = ["command.issued", "deployment.requested", "deployment.started", "deployment.failed"]


class Site:
    """A running workspace with an endpoint that serves one version, and a second version to promote."""

    def __init__(self, workspace: Workspace, token: str) -> None:
        self.workspace = workspace
        self.token = token
        self.rows = projects.customers(2)

    @contextmanager
    def file(self, name: str, content: bytes | str) -> Iterator[None]:
        """Let a file of the project be another for a while."""
        path = self.workspace.project / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            yield
        finally:
            path.write_bytes(before) if before is not None else path.unlink()

    def ask(self, body: bytes = b"", *, token: str | None = None, **changes: Any) -> Refusal:
        """Ask the endpoint, with one tensor changed."""
        if not body:
            tensors = projects.tensors(self.rows)
            tensors[0] |= changes
            body = msgspec.json.encode({"inputs": tensors})
        path = f"/v2/models/{projects.PIPELINE}/infer"
        status, content = projects.post(self.workspace, path, body, token=self.token if token is None else token)
        return status, str(msgspec.json.decode(content).get("error", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site of all cases; each leaves it as it was."""
    folder = projects.write_project(tmp_path_factory.mktemp("bad") / "shop", settings=SETTINGS)
    with projects.running(folder) as workspace:
        token = projects.issue_token(workspace)
        for strength in (1.0, 0.01):
            projects.give(workspace, "start_run", pipeline="churn", strength=strength)
        projects.give(workspace, "promote", "churn@v1", version="churn@v1")
        releases.publish_routes(workspace.resources)
        yield Site(workspace, token)


def refused(act: Callable[[], object]) -> Refusal:
    """Do something and return the error that it raises."""
    try:
        act()
    except RatchetError as error:
        return type(error).__name__, str(error)
    return "nothing", ""


# ---- pipelines


def pipeline(body: str, *, limits: str = "", returns: str = "") -> Callable[[Site], Refusal]:
    """Run a pipeline whose training does something else."""

    def act(site: Site) -> Refusal:
        code = projects.CODE.replace("    encode =", f"    {body}\n    encode =")
        if returns:
            code = re.sub(r"return make_pipeline\(.*", f"return {returns}", code)
        name, _, value = limits.partition(" = ")
        settings = re.sub(rf"^{name} = .*$", f"{name} = {value}", SETTINGS, flags=re.M) if limits else SETTINGS
        workspace = site.workspace
        with site.file("pipeline.py", code), site.file("ratchet.toml", settings):
            workspace.reload()
            queued = projects.give(workspace, "start_run", pipeline="churn")
        workspace.reload()
        finished = next(workspace.ledger.read(types=["run.finished"], subject=queued.subject))
        return finished.data["outcome"], finished.data.get("error", "")

    return act


# ---- data


def data(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Site], Refusal]:
    """Put a second file beside the first."""

    def act(site: Site) -> Refusal:
        path = site.workspace.project / "data" / "2026-02.parquet"
        write_parquet(path, change(projects.customers(30, first=900)))
        try:
            return refused(lambda: datasets.scan(site.workspace.resources, "customers"))
        finally:
            path.unlink()

    return act


# ---- rules


def rule(*changes: tuple[str, str]) -> Callable[[Site], Refusal]:
    """Write a rule in which something is wrong, and take it in."""
    text = '\n[[rule]]\nname = "weekly"\non = "clock.ticked"\ncron = "0 3 * * MON"\ndo = { start_run = "churn" }\n'
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)

    def take_in(workspace: Workspace) -> None:
        workspace.reload()
        workspace.sync()

    def act(site: Site) -> Refusal:
        with site.file("ratchet.toml", SETTINGS + text):
            found = refused(lambda: take_in(site.workspace))
            lines = (site.workspace.project / "ratchet.toml").read_text().splitlines()
        site.workspace.reload()
        where = re.search(r"ratchet\.toml:(\d+):", found[1])
        assert where, f"no file and line: {found[1]}"
        assert lines[int(where[1]) - 1] in text
        return found

    return act


# ---- releases


def promote(damage: Callable[[Path], None]) -> Callable[[Site], Refusal]:
    """Promote a version whose artifact was damaged; the old one must go on serving."""

    def act(site: Site) -> Refusal:
        workspace = site.workspace
        version = next(workspace.ledger.read(types=["model.version.registered"], subject="churn@v2"))
        path = workspace.resources.artifacts.path(version.data["artifact_digest"])
        kept = path.read_bytes()
        damage(path)
        try:
            outcome = projects.attempt(workspace, "promote", "churn@v2", version="churn@v2")
        finally:
            path.write_bytes(kept)
        answer = projects.ask(workspace, site.rows, token=site.token, request_id="")
        assert answer["model_version"] == "churn@v1"
        return "refused" if outcome["error"] else "released", outcome["error"]

    return act


def truncate(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# ---- workspaces


def newer_schema(site: Site) -> Refusal:
    """Open a workspace that a later version has written, by the command line."""
    folder = site.workspace.project.parent / "newer"
    with Workspace(projects.write_project(folder)) as other, other.database.write() as transaction:
        transaction.exec_driver_sql("INSERT INTO schema_version (version) VALUES (99)")
    database = folder / ".ratchet" / "ratchet.db"
    before = database.read_bytes()
    found = command_line(folder, "runs")
    assert database.read_bytes() == before
    return found


def command_line(folder: Path, *arguments: str) -> Refusal:
    """Give a command as a person would."""
    command = [sys.executable, "-m", "ratchet", *arguments, "--workspace", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return f"exit {done.returncode}", done.stderr


def second_executor(site: Site) -> Refusal:
    """Run a workspace that runs already."""
    return command_line(site.workspace.project, "up", "--port", "0")


def unknown_prediction(site: Site) -> Refusal:
    """Send what came of something that was never predicted, together with something that was."""
    answer = projects.ask(site.workspace, site.rows, token=site.token, request_id="known")
    named = next(output["data"] for output in answer["outputs"] if output["name"] == "prediction_id")
    outcomes = [Outcome(prediction_id=name, value=1) for name in (named[0], "ghost.0")]
    resources = site.workspace.resources
    found = refused(lambda: feedback.receive(resources, "churn", outcomes, sender=Actor(), key="ghosts"))
    assert feedback.batches(resources, "churn") == []
    return found


@dataclass(frozen=True)
class Case:
    """One kind of bad input.

    Attributes:
        act: Does it.
        refused: How: an error class, an HTTP status, an exit code or the outcome of a run.
        says: What the message must say: the name, the limit and the remedy.
        leaves: The types of the events that it leaves behind, costs aside.
    """

    act: Callable[[Site], Refusal]
    refused: str | int
    says: tuple[str, ...]
    leaves: tuple[str, ...] = ()


CASES = {
    "pipeline raises": Case(
        pipeline('raise ValueError("no luck")'),
        "failed",
        (r"Step 'train' failed", "ValueError: no luck", r"\.ratchet/logs"),
        tuple(RUN),
    ),
    "pipeline hangs": Case(
        pipeline("import time; time.sleep(600)", limits="timeout_seconds = 3"),
        "failed",
        # On a machine that is slow enough, the step before it runs out of time first.
        ("'(train|split)' was stopped", "longer than 3 s", r"timeout_seconds under \[limits\]"),
        tuple(RUN),
    ),
    "pipeline exhausts memory": Case(
        pipeline("taken = bytearray(1_500_000_000); import time; time.sleep(300)"),
        "failed",
        ("'train' was stopped", r"used \d+ MB.* and 900 MB are allowed", r"raise memory_mb under \[limits\]"),
        tuple(RUN),
    ),
    "pipeline kills its process": Case(
        pipeline("import os; os.kill(os.getpid(), 9)"),
        "failed",
        ("running 'train' died", "signal 9, SIGKILL", "in each of 2 attempts", "Look at what the step does"),
        tuple(RUN),
    ),
    "value without a storer": Case(
        pipeline("", returns="object()"),
        "failed",
        ("Step 'train'", r"No storer for a value of type builtins\.object", r"Return one of: .*pandas\.DataFrame"),
        tuple(RUN),
    ),
    "unknown parameter": Case(
        lambda site: ("refused", projects.attempt(site.workspace, "start_run", pipeline="churn", depth=3)["error"]),
        "refused",
        ("'churn' has no parameter 'depth'", "It takes: strength"),
        ("command.issued",),
    ),
    "file with a missing column": Case(
        data(lambda rows: rows.drop(columns="left")),
        "DataRefused",
        (r"data/2026-02\.parquet", "column 'left' is missing", "it has customer, seen_at", "Add the column"),
        ("dataset.check.finished",),
    ),
    "file with an unknown category": Case(
        data(lambda rows: rows.assign(plan="gold")),
        "DataRefused",
        (
            "'plan' holds 'gold'",
            "none of the 3 values allowed",
            r"allowed of plan under \[dataset\.customers\.columns\]",
        ),
        ("dataset.check.finished",),
    ),
    "file with only missing values": Case(
        data(lambda rows: rows.assign(spend=float("nan"))),
        "DataRefused",
        ("'spend' has only missing values", "in 30 rows", r"spend = \{ missing_at_most = 1\.0 \}"),
        ("dataset.check.finished",),
    ),
    "file without rows": Case(
        data(lambda rows: rows.head(0)),
        "DataRefused",
        (r"2026-02\.parquet", "has 0 rows, at least 1 is needed", "Remove the file"),
        ("dataset.check.finished",),
    ),
    "broken condition": Case(
        rule(("cron =", 'when = "event.data.x >"\ncron =')),
        "ConfigInvalid",
        ("the condition cannot be parsed", "Write it in CEL"),
    ),
    "condition with an unknown name": Case(
        rule(("cron =", 'when = "score > 1"\ncron =')),
        "ConfigInvalid",
        ("names 'score'", "knows event and kpi", "Write it in CEL"),
    ),
    "unknown action": Case(
        rule(("start_run", "strat_run")),
        "ConfigInvalid",
        ("unknown action 'strat_run'", "Use one of start_run, promote"),
    ),
    "unknown event type": Case(
        rule(("clock.ticked", "clock.ticket")),
        "ConfigInvalid",
        ("unknown event type 'clock.ticket'", "Did you mean 'clock.ticked'"),
    ),
    "unknown time zone": Case(
        rule(("cron =", 'time_zone = "Mars/Olympus"\ncron =')),
        "ConfigInvalid",
        ("unknown time zone 'Mars/Olympus'", "America/New_York"),
    ),
    "bad cron": Case(
        rule(("0 3 * * MON", "0 25 * * MON")),
        "ConfigInvalid",
        (r"'0 25 \* \* MON' is no schedule", "Five fields are needed"),
    ),
    "request of the wrong shape": Case(
        lambda site: site.ask(shape=[3]), 400, ("input 'visits'", "has 2 values, and its shape says 3", "agree")
    ),
    "request of the wrong type": Case(
        lambda site: site.ask(datatype="BYTES", data=["a", "b"]),
        400,
        ("datatype of input 'visits'", "is 'BYTES', which must be FP64", "GET /v2/models/churn"),
    ),
    "request with values of the wrong type": Case(
        lambda site: site.ask(data=["a", "b"]), 400, ("data of input 'visits'", "is not FP64", "null for a missing one")
    ),
    "request with a wrong name": Case(
        lambda site: site.ask(name="visit"), 400, ("input 'visits' is missing", "one tensor for each of: visits, spend")
    ),
    "request with too many rows": Case(
        lambda site: site.ask(shape=[10_001]), 400, ("input 'visits'", "1 to 10000 rows", "Split the rows")
    ),
    "request with too large a body": Case(
        lambda site: site.ask(b"x" * (9 << 20)),
        413,
        ("its body has 9437184 bytes", "at most 8388608", "Split the rows"),
    ),
    "request that is no JSON": Case(
        lambda site: site.ask(b'{"inputs": [NaN]}'),
        400,
        ("the body is not valid JSON", "send null for a missing value"),
    ),
    "request without a token": Case(
        lambda site: site.ask(token=""), 401, ("endpoint 'churn' wants a token", "ratchet token issue NAME")
    ),
    "request with an unknown token": Case(
        lambda site: site.ask(token="rat_x"), 401, ("the token is unknown or revoked", "ratchet token issue NAME")
    ),
    "outcome of an unknown prediction": Case(
        unknown_prediction,
        "UnknownPrediction",
        (
            r"1 outcomes name a prediction that is not in the log.*'ghost\.0'",
            "None of this request was taken",
            "Send the",
        ),
    ),
    "corrupt model": Case(
        promote(projects.damage),
        "refused",
        (r"Artifact \w{64} is corrupt", "hashes to", "Restore it"),
        tuple(DEPLOYMENT),
    ),
    "truncated model": Case(
        promote(truncate), "refused", (r"Artifact \w{64} is corrupt", "hashes to", "Restore it"), tuple(DEPLOYMENT)
    ),
    "missing model": Case(
        promote(Path.unlink), "refused", (r"Artifact \w{64} is missing", "no file", "Restore it"), tuple(DEPLOYMENT)
    ),
    "workspace of a newer version": Case(
        newer_schema,
        "exit 1",
        (
            "schema version 99",
            f"reads up to {migrations.LATEST}\\.",
            "Nothing was changed",
            "pip install --upgrade mlratchet",
        ),
    ),
    "second executor": Case(
        second_executor,
        "exit 1",
        (r"pid \d+", "one executor at a time may", r"Use that one, or stop it first: kill \d+"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(site: Site, name: str) -> None:
    """With name, limit and remedy, and with no more in the ledger than it must leave."""
    case = CASES[name]
    before = site.workspace.ledger.last_seq()
    found, message = case.act(site)
    site.workspace.settle(timeout_seconds=PATIENCE_SECONDS)
    assert found == case.refused, message
    plain = " ".join(message.split())
    for pattern in case.says:
        assert re.search(pattern, plain), f"{pattern!r} is not in: {plain}"
    assert tuple(projects.types_since(site.workspace, before, without=["cost.recorded"])) == case.leaves


def test_after_all_of_it_the_workspace_is_whole(site: Site) -> None:
    """The endpoint answers, a run reaches its gate, and the second version can be promoted at last."""
    projects.give(site.workspace, "start_run", pipeline="churn")
    projects.give(site.workspace, "promote", "churn@v2", version="churn@v2")
    answer = projects.ask(site.workspace, site.rows, token=site.token, request_id="")
    assert answer["model_version"] == "churn@v2"
    assert not list(site.workspace.ledger.read(types=["rule.created"]))
