"""The golden year as a report is collected from it."""

import json
from functools import cache
from typing import Any

import msgspec

from ratchet import config
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import EVERYTHING, Question, Scope
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.policies import shipped
from ratchet.measure.reports.collecting import collect
from ratchet.measure.reports.report import Report
from ratchet.measuring import means
from ratchet.records import Event
from tests.kpis import END_OF_YEAR, GOLDEN, folded

EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
DAY = "2024-12-31"


@cache
def facts() -> Facts:
    """Return the year as KPIs read it."""
    rows = [json.loads(line) for line in (GOLDEN / "year.jsonl").read_text(encoding="utf-8").splitlines()]
    return folded(msgspec.convert(rows, list[Event]))


def question(scope: Scope = EVERYTHING) -> Question:
    """Return what can be asked at the end of the year."""
    text = (GOLDEN / "settings.toml").read_text(encoding="utf-8").replace("[project]", '[project]\nname = "golden"')
    settings = Settings.of(config.parse(text, path=GOLDEN / "settings.toml"))
    return Question(facts().as_of(END_OF_YEAR), settings, scope)


@cache
def report() -> Report:
    """Return the year's report."""
    return collect(question(), shipped("standard"), ratchet="0", project="golden", means=means())
