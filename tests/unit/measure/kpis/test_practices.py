"""How work is done: continuous integration, approved paths, reuse."""

from datetime import timedelta

import pytest

from ratchet.measure.kpis.practices import slope
from ratchet.measure.kpis.questions import Scope
from tests.kpis import answer
from tests.ledgers import PERSON, LedgerBuilder


@pytest.mark.parametrize("name", ["pipelines_under_ci", "paths", "reuse_rate"])
def test_an_empty_ledger_is_no_evidence(name: str) -> None:
    """There is no share of nothing."""
    found = answer(name, LedgerBuilder())
    assert (found.status, found.values["share"]) == ("no evidence", None)


def test_four_in_five_pushes_must_be_tested_and_released_by_automation() -> None:
    """A release by hand, or with failed tests, releases nothing automatically."""
    ledger = LedgerBuilder()
    for _ in range(4):
        pushed = ledger.add("code.pushed", "repo")
        ledger.add("pipeline_version.released", "repo", {"tests": "passed"}, cause=pushed)
    by_hand = ledger.add("code.pushed", "repo")
    ledger.add("pipeline_version.released", "repo", {"tests": "passed"}, cause=by_hand, actor=PERSON)
    found = answer("pipelines_under_ci", ledger)
    assert (found.values["share"], found.values["releases_count"]) == (1, 5)
    failed = ledger.add("code.pushed", "repo")
    ledger.add("pipeline_version.released", "repo", {"tests": "failed"}, cause=failed)
    assert answer("pipelines_under_ci", ledger).values["share"] == 0


def test_the_slope_is_that_of_the_months() -> None:
    """A pipeline that came under continuous integration in the second of two months rises by one a month."""
    ledger = LedgerBuilder()
    ledger.declare()
    pushed = ledger.wait(days=30).add("code.pushed", "repo")
    ledger.add("pipeline_version.released", "repo", {"tests": "passed"}, cause=pushed)
    found = answer("pipelines_under_ci", ledger)
    assert (found.by["share_by_month"], found.values["slope_per_month"]) == ([0, 1], 1)
    assert slope([0.5]) is None
    assert slope([]) is None


def test_an_expired_path_is_not_gone_along() -> None:
    """A path counts from its approval until it expires; at that moment it is over, until it is approved again."""
    ledger = LedgerBuilder()
    ends = ledger.now + timedelta(days=1)
    approved = {"path": "fast", "environments": ["production"], "expires_at": ends.isoformat()}

    def deploy(version: str, *, path: str = "fast") -> None:
        shifted = ledger.shift({version: 1.0}, cause=ledger.command())
        shifted.data["path"] = path

    deploy("m@v0")
    ledger.add("path.approved", "fast", approved)
    ledger.add("path.approved", "slow", {**approved, "path": "slow", "environments": ["staging"]})
    deploy("m@v1")
    deploy("m@v2", path="slow")
    deploy("m@v3", path="other")
    ledger.now = ends - timedelta(seconds=2)
    deploy("m@v4")
    assert answer("paths", ledger).values["along_count"] == 1
    ledger.add("path.approved", "fast", {**approved, "expires_at": ""})
    deploy("m@v5")
    found = answer("paths", ledger).values
    assert (found["along_count"], found["share"], found["expired_count"]) == (2, 2 / 6, 1)
    ledger.add("path.expired", "fast", {"path": "fast"})
    deploy("m@v6")
    assert answer("paths", ledger).values["along_count"] == 2


def test_reuse_is_of_the_same_bytes() -> None:
    """A module that two pipelines use is reused; a copy under another name is missed reuse; vendors do not count."""
    ledger = LedgerBuilder()

    def use(pipeline: str, module: str, digest: str, **more: object) -> None:
        teams = {"owner_team": "a", "user_team": pipeline}
        data = {"module": module, "digest": digest, "ast_digest": "tree", "kind": "extractor", **teams, **more}
        ledger.add("module.used", module, data, pipeline=pipeline)

    use("a", "scores", "1")
    use("a", "scores", "1")
    assert answer("reuse_rate", ledger).values["share"] == 0
    use("b", "scores", "1")
    use("b", "my-scores", "2")
    use("b", "numpy", "3", vendor=True)
    found = answer("reuse_rate", ledger)
    assert (found.values["uses_count"], found.values["share"]) == (3, 2 / 3)
    assert found.values["cross_team_share"] == 1 / 3
    assert found.by == {"missed_reuse": [["my-scores", "scores"]], "kinds": {"extractor": 2 / 3}}
    assert answer("reuse_rate", ledger, scope=Scope(kind="pipeline", name="a")).values["share"] == 1
