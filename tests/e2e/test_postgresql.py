"""A workspace on PostgreSQL: every command, and a server that goes away and comes back while it runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from ratchet import clock
from ratchet.cli import cli, console, main
from tests.killing import kill_workspace
from tests.servers import CRASH_SAFE, PostgresServer
from tests.unit.importers.shapes import START, page, run
from tests.unit.importers.test_airflow import dag_run
from tests.unit.importers.test_mlflow import Tracking
from tests.unit.importers.test_mlflow import tracking as tracking
from tests.waiting import PATIENCE_SECONDS, next_line, until

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
RATCHET = [sys.executable, "-m", "ratchet"]
# `ratchet doctor` looks at these.
AS_ADVISED = (*CRASH_SAFE, "fsync=on", "full_page_writes=on")
BILL = """BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName,ResourceId,Tags
73.00,USD,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,Compute,machine-1,{}
"""
# What other tests do on PostgreSQL, since each of them is a process that goes on.
ELSEWHERE = {
    "demo": "a test of its own, below",
    "init": "the fixture begins with it",
    "up": "runs while all others are called",
    "worker": "tests/e2e/test_workers.py",
    "runs cancel": "tests/e2e/test_workers.py",
    "artifacts copy": "between stores, whatever the database",
    "restore": "makes a workspace in another folder and database: tests of backups",
}


@dataclass
class Site:
    """A workspace that runs.

    Attributes:
        folder: The project.
        server: Its database server, which may end at any time.
        process: ``ratchet up``.
        address: Of the web pages.
        login: The link that signs in once.
        errors: What ``ratchet up`` says.
    """

    folder: Path
    server: PostgresServer
    process: "subprocess.Popen[str]"
    address: str
    login: str
    errors: Path


@pytest.fixture(scope="module")
def site(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a project on a server of our own, made by ``ratchet init`` and run by ``ratchet up``."""
    assert postgres_server.folder.is_dir(), "where there is none, all of this is skipped"
    folder, errors = tmp_path_factory.mktemp("postgres") / "shop", tmp_path_factory.mktemp("errors") / "up.err"
    with PostgresServer(AS_ADVISED) as server, server.database() as url, errors.open("w") as stream:
        line = [*RATCHET, "init", str(folder), "--database", url.replace("ratchet@", "${DATABASE_USER}@")]
        environment = os.environ | {"DATABASE_USER": "ratchet"}
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=environment)
        process = subprocess.Popen(
            [*RATCHET, "up", "--port", "0", "--json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env=environment,
        )
        try:
            said = json.loads(next_line(process.stdout, "the addresses", containing='"login"'))
            yield Site(folder, server, process, said["address"], said["login"], errors)
        finally:
            kill_workspace(folder, process)


@pytest.fixture
def call(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Carry out a command line in this process and in the project; returns what it printed."""
    monkeypatch.chdir(site.folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DATABASE_USER", "ratchet")
    console.stdout.cache_clear()
    console.stderr.cache_clear()

    def carry_out(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == code, f"ratchet {' '.join(arguments)}: {printed.out}{printed.err}"
        return printed.err if code else printed.out

    return carry_out


def leaves(group: click.Group, *names: str) -> Iterator[str]:
    """Give all commands that have no others below them, by their words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *names, name)
        else:
            yield " ".join((*names, name))


def lines(site: Site, call: Callable[..., str], tracking: Tracking) -> Iterator[tuple[str, ...]]:
    """Give command lines in an order in which each has what it needs; what they need is made in between."""
    yield from about_models(call)
    yield from about_measures(site.folder, call)
    yield from about_other_systems(site.folder, tracking)
    yield from about_assessments(call)
    yield ("rules", "check")
    artifacts = [path for path in (site.folder / ".ratchet" / "artifacts").rglob("*") if len(path.name) == 64]
    yield ("artifacts", "show", artifacts[0].name)
    yield ("artifacts", "collect", "--dry-run")
    yield ("doctor",)
    yield ("backup", "all.tar")


def about_models(call: Callable[..., str]) -> Iterator[tuple[str, ...]]:
    """Give the command lines about runs, versions, rules and tokens."""
    yield ("workers",)
    yield ("run", "returns", "-p", "max_iter=20")
    yield ("run", "returns", "-p", "max_iter=30")
    runs = [one["id"] for one in json.loads(call("runs", "--json"))]
    yield ("runs", "show", runs[0])
    yield ("runs", "log", runs[0])
    yield ("runs", "repeat", runs[0])
    yield ("runs", "--compare", *runs[:2])
    yield ("models", "returns@v1")
    yield ("promote", "returns@v1")
    yield ("promote", "returns@v2", "--bypass", "to go back")
    yield ("rollback", "returns")
    yield ("status",)
    yield ("level", "returns", "--explain")
    yield ("level", "returns", "--declare", "2", "--because", "agreed")
    yield ("rules", "adopt", "level-1", "--pipeline", "returns")
    rule = json.loads(call("rules", "--json"))[0]["name"]
    yield ("rules", "show", rule)
    yield ("rules", "disable", rule)
    yield ("rules", "enable", rule)
    yield ("rules", "test", rule, "--since", "7d")
    yield ("rules", "backfill", rule, "--since", "1d", "--dry-run")
    yield ("token", "issue", "booking-site", "--team", "sales")
    yield ("token", "list")
    yield ("token", "revoke", "booking-site")


def about_measures(here: Path, call: Callable[..., str]) -> Iterator[tuple[str, ...]]:
    """Give the command lines about what is measured, and about its proof."""
    yield ("incidents", "report", "--service", "returns", "--title", "slow")
    yield ("incidents", "show", "INC-01", "--explain")
    yield ("incidents", "resolve", "INC-01")
    yield ("incidents", "attribute", "INC-01", "--cause", "none", "--reference", "review-1")
    yield ("kpi", "--all")
    yield ("kpi", "time_to_deployment", "--explain")
    yield ("policy", "list")
    (here / "ours.toml").write_text(call("policy", "show", "strict").replace('"strict"', '"ours"'))
    yield ("policy", "show", "strict")
    yield ("policy", "check", "ours.toml")
    yield ("policy", "try", "ours.toml")
    yield ("policy", "publish", "ours.toml")
    yield ("goals", "set", "all trained", "--share", "50%", "--level", "1", "--by", "2030-12-31", "--owner", "platform")
    yield ("goals",)
    yield ("goals", "drop", "all trained")
    yield ("ledger", "checkpoint")
    (here / "then").write_text(call("ledger", "checkpoint"))
    (here / "key.pub").write_text(call("ledger", "key", "--pem"))
    yield ("ledger", "key")
    yield ("ledger", "anchor", f"file:{here}/anchored")
    yield ("ledger", "prove", "3", "--output", "3.proof")
    yield ("ledger", "verify-proof", "3.proof", "--key", "key.pub")
    yield ("ledger", "consistency", "then")
    yield ("ledger", "verify")
    yield ("ledger", "export", "--output", "ledger.jsonl")
    yield ("report", "--out", "report.html")
    yield ("report", "verify", "report.html", "--key", "key.pub", "--recompute")
    yield ("events", "3")


def about_other_systems(here: Path, tracking: Tracking) -> Iterator[tuple[str, ...]]:
    """Give the command lines that bring something in."""
    (here / "march.csv").write_text(BILL)
    yield ("bill", "import", "march.csv")
    yield ("budget",)
    before = (clock.now() - START).days - 60
    (here / "runs.json").write_text(json.dumps(page(*(run(week, day=before + 7 * week) for week in range(1, 4)))))
    yield ("import", "github", "runs.json")
    (here / "dags.json").write_text(json.dumps({"dag_runs": [dag_run("retrain", 1)], "total_entries": 1}))
    yield ("import", "airflow", "dags.json")
    yield ("import", "mlflow", tracking.address)


def about_assessments(call: Callable[..., str]) -> Iterator[tuple[str, ...]]:
    """Give the command lines about maps and evaluations."""
    yield ("assess", "init")
    current, target = "assessment/current.toml", "assessment/target.toml"
    yield ("assess", "map", current)
    yield ("assess", "record", current)
    yield ("assess", "map", "ml-process-current@1")
    recorded = json.loads(call("events", "--type", "assessment.recorded", "--json", "--limit", "1"))
    yield ("ledger", "erase", recorded["id"], "--reason", "asked for", "--yes")
    yield ("ledger", "forget", recorded["authid"], "--yes")
    yield ("assess", "diff", current, target)
    yield ("assess", "plan", current, target)
    yield ("evaluate", "init", "--candidates", "Alpha,Beta=bought", "--groups", "security,legal")
    yield ("evaluate", "questions", "security")
    yield ("evaluate", "sheet", "--respondent", "security-officer-1", "--out", "sheet.csv")
    one = ("--candidate", "Alpha", "--group", "security", "--item", "secrets", "--sentiment", "green")
    yield ("evaluate", "answer", *one, "--text", "A store.", "--respondent", "security-officer-1")
    yield ("evaluate", "progress")
    yield ("evaluate", "compare")
    yield ("evaluate", "record")
    yield ("evaluate", "conclude", "--choice", "Alpha", "--reason", "It fits.", "--by", "person-1")


def test_every_command_works(site: Site, call: Callable[..., str], tracking: Tracking) -> None:
    """Each does what it does on a file; one that is new has its line here, or a reason why not."""
    known, walked, failed = set(leaves(cli)), set(), []
    for words in lines(site, call, tracking):
        try:
            call(*words)
        except AssertionError as error:
            failed.append(str(error))
        walked |= {name for name in known if words[: name.count(" ") + 1] == tuple(name.split())}
    assert failed == []
    assert known - walked - set(ELSEWHERE) == set()


def seen(site: Site, call: Callable[..., str], kind: str) -> list[dict[str, Any]]:
    """Return the events of a type."""
    return [json.loads(line) for line in call("events", "--type", kind, "--json").splitlines()]


def test_a_server_that_goes_away_and_comes_back(site: Site, call: Callable[..., str]) -> None:
    """Pages, interface and commands say what is wrong, ``ratchet up`` says it once, and goes on by itself."""
    with httpx.Client(timeout=PATIENCE_SECONDS, follow_redirects=True) as client:
        assert client.get(site.login).status_code == httpx.codes.OK
        before = site.errors.read_text()
        site.server.crash()
        health, shown = client.get(f"{site.address}/api/v1/health"), client.get(f"{site.address}/events")
        assert (health.status_code, shown.status_code) == (503, 503)
        assert health.json()["type"] == "DatabaseAway"
        assert "is away: " in health.json()["error"]
        assert "is away: " in shown.text
        said = call("status", code=1)
        assert "Error: The database postgresql://ratchet@" in said
        assert "a command is to be given again" in said
        until(lambda: "is away" in site.errors.read_text(), "the message of ratchet up")
        # Some beats more, and what a server says while it recovers: the message stands there once.
        clock.sleep(2.5)
        site.server.start()
        until(lambda: client.get(f"{site.address}/api/v1/health").status_code == httpx.codes.OK, "the server")
        until(lambda: "answers again" in site.errors.read_text(), "the end of the message")
        assert client.get(f"{site.address}/events").status_code == httpx.codes.OK
    said = site.errors.read_text().removeprefix(before)
    assert (said.count("is away"), said.count("answers again"), said.count("Traceback")) == (1, 1, 0)


def test_a_server_that_ends_during_a_run(site: Site, call: Callable[..., str]) -> None:
    """What was begun is ended once, whoever asked for it and whether they waited; the ledger is whole."""
    line = [*RATCHET, "run", "returns", "-p", "max_iter=40", "--json"]
    ends = len(seen(site, call, "run.finished"))
    for _ in range(2):
        begun = len(seen(site, call, "run.started"))
        asking = subprocess.Popen(line, cwd=site.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda before=begun: len(seen(site, call, "run.started")) > before, "the start of the run")
        site.server.crash()
        site.server.start()
        _, errors = asking.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in errors
        assert asking.returncode == 0 or "is away" in errors, errors
    until(lambda: len(seen(site, call, "run.finished")) == ends + 2, "the end of both runs")
    until(lambda: json.loads(call("status", "--json"))["pending_jobs"] == [], "the end of all jobs")
    events = [json.loads(one) for one in call("events", "--json").splitlines()]
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    for kind in ("run.queued", "run.started", "run.finished", "gate.evaluated"):
        runs = [one["subject"] for one in events if one["type"] == kind]
        assert len(runs) == len(set(runs)), kind
    assert [one["data"]["outcome"] for one in events if one["type"] == "run.finished"][-2:] == ["success"] * 2
    assert "all as they were written" in call("ledger", "verify")
