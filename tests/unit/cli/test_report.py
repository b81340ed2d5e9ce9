"""The report on the command line."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet import clock
from tests.kpis import write_golden_year
from tests.unit.cli.conftest import Call


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the golden year in its ledger."""
    return write_golden_year(tmp_path_factory.mktemp("golden"))


@pytest.fixture
def in_golden(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in the folder of the golden year, whose clock stands at its end."""
    monkeypatch.chdir(golden)
    yield golden
    clock.stop_simulating()


def test_it_is_written_and_checked_where_there_is_no_project(
    in_golden: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and the public key are all that a third party needs."""
    wrote = call("report", "--out", "year.html")
    assert (wrote.code, wrote.out.splitlines()[-1]) == (0, "3 models with 3 frameworks and 5 libraries in 12 months.")
    shutil.copy(in_golden / "year.html", tmp_path)
    shutil.copy(in_golden / ".ratchet" / "keys" / "ledger.pub", tmp_path)
    monkeypatch.chdir(tmp_path)
    checked = call("report", "verify", "year.html", "--key", "ledger.pub")
    assert checked.code == 0
    assert checked.out.startswith("year.html shows what was published of golden")
    page = tmp_path / "year.html"
    page.write_text(page.read_text().replace("3</a> models with", "9</a> models with"))
    refused = call("report", "verify", "year.html", "--key", "ledger.pub")
    assert refused.code == 1
    assert "the page shows something else" in " ".join(refused.out.split())


def test_beside_the_ledger_each_figure_is_worked_out_again(in_golden: Path, call: Call, tmp_path: Path) -> None:
    """Also one of a part and of an earlier day; without --key the project's is taken."""
    out = str(tmp_path / "lending.html")
    call("report", "--for", "lending", "--as-of", "2024-09-30", "--policy", "strict", "--out", out)
    found = call("report", "verify", out, "--recompute")
    assert found.code == 0
    assert "each figure is the same" in " ".join(found.out.split())
    settings = in_golden / "ratchet.toml"
    before = settings.read_text()
    settings.write_text(before.replace("days_to_deployment = 31.0", "days_to_deployment = 62.0"))
    changed = call("report", "verify", out, "--recompute", "--json")
    settings.write_text(before)
    assert changed.code == 1
    said = json.loads(changed.out)
    assert (said["is_sound"], said["is_recomputed"]) == (False, True)
    assert said["faults"][0].startswith("ratchet.toml has other settings")


@pytest.mark.usefixtures("in_golden")
def test_json_has_all_figures_with_their_proof(call: Call, tmp_path: Path) -> None:
    """Numbers by name, definitions, and the bundle."""
    out = tmp_path / "report.html"
    said = json.loads(call("report", "--json", "--out", str(out)).out)
    assert said["figures"]["numbers"]["ten/new_models"]["basis"]["count"] == 20
    assert said["proof"]["bundle"]["format"] == "ratchet-proof-v1"
    assert out.exists()


@pytest.mark.usefixtures("in_golden")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--for", "marketing"), 1, "No part named 'marketing'"),
        (("--policy", "mine"), 1, "No level policy named 'mine'"),
        (("--as-of", "soon"), 2, "'soon' is no date"),
        (("--out", "gone/report.html"), 2, "there is no folder 'gone'"),
        (("--steps", "steps.toml"), 2, "none is on record"),
        (("verify", "ratchet.toml"), 1, "is no published report"),
        (("verify", "gone.html"), 2, "does not exist"),
    ],
)
def test_what_means_nothing_is_refused(call: Call, words: tuple[str, ...], code: int, said: str) -> None:
    """The message says what is allowed, and no file is left behind."""
    answer = call("report", *words)
    assert answer.code == code
    assert said in " ".join(answer.err.split())
    assert not Path("report.html").exists()


def test_an_empty_project_gets_a_whole_page(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has happened, and the page says what to do."""
    (tmp_path / "ratchet.toml").write_text('[project]\nname = "new"\n')
    monkeypatch.chdir(tmp_path)
    wrote = call("report")
    assert (wrote.code, wrote.out) == (0, "report.html: Nothing has happened yet, so nothing is said.\n")
    assert "ratchet goals set" in (tmp_path / "report.html").read_text()
    assert call("report", "verify", "report.html", "--recompute").code == 0
