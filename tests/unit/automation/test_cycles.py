"""Rings of rules are found when the rules are read, and what a condition rules out is no ring."""

from pathlib import Path

import pytest

from ratchet import config
from ratchet.automation import rules
from ratchet.automation.actions import ACTIONS
from ratchet.automation.cycles import cycles
from ratchet.automation.rules import Rule
from ratchet.catalogue import EVENT_TYPES
from ratchet.loop.pipelines import PipelineDeclaration, Project, RuleDeclaration
from tests import projects

MONITOR = '\n[[rule]]\nname = "watch"\non = "traffic.shifted"\ndo = {{ monitor = "{0}" }}\n'
DATA = '\n[[rule]]\nname = "more"\non = "dataset.version.published"\ndo = {{ build_dataset = "churn" }}\n{0}\n'
PIPELINES = tuple(
    PipelineDeclaration(
        name=name,
        module="pipeline",
        function=name,
        model=name,
        owner="",
        datasets={"customers": "customers"},
        parameters={},
    )
    for name in ("churn", "other")
)


def read(text: str, *own: RuleDeclaration) -> list[Rule]:
    """Return the rules of a text and some in Python."""
    settings = config.parse(projects.SETTINGS, path=Path("ratchet.toml"))
    return rules.read_text(text, Project(pipelines=PIPELINES, rules=own), settings, path=Path("ratchet.toml"))


def presets(*names: str) -> str:
    """Return the text of some presets."""
    blocks = [rules.preset_text(name, pipeline="churn", model="churn", dataset="customers") for name in names]
    return "\n".join(text for found in blocks for _, text in found)


def names(text: str, *own: RuleDeclaration) -> list[tuple[str, ...]]:
    """Return the rules of each ring."""
    return [found.rules for found in cycles(read(text, *own))]


def test_what_an_action_brings_about_is_in_the_catalogue() -> None:
    """Each action brings something about."""
    for action in ACTIONS.values():
        assert action.products
        assert {product.type for product in action.products} <= set(EVENT_TYPES)


def test_the_shipped_rules_are_no_ring() -> None:
    """All of them together."""
    assert names(presets(*(preset.name for preset in rules.presets()))) == []


def test_a_rule_that_waits_for_its_own_doing_is_a_ring() -> None:
    """Unless its condition leaves out what the loop makes itself, or it is switched off."""
    (ring,) = cycles(read(DATA.format("")))
    assert str(ring) == "'more' brings dataset.version.published, which sets off 'more' again"
    assert names(DATA.format("when = '!event.data.generated'")) == []
    assert names(DATA.format("when = 'event.data.new_files > 0 && !event.data.generated'")) == []
    assert names(DATA.format("when = 'event.data.rows > 100'")) == [("more",)]
    assert names(DATA.format("when = 'kpi.level > 2.0'")) == [("more",)]
    assert names(DATA.format("when = 'has(event.data.rows)'")) == [("more",)]
    assert names(DATA.format("enabled = false")) == []


def test_a_ring_of_several_names_them_with_what_each_brings() -> None:
    """A release is watched, an alert trains, a passed gate releases."""
    text = presets("train-on-drift", "deploy-when-gate-passes") + MONITOR.format("churn")
    (ring,) = cycles(read(text))
    assert str(ring) == (
        "'renew churn on drift' brings gate.evaluated, 'deploy churn when its gate passes' brings traffic.shifted, "
        "'watch' brings monitor.alert.raised, which sets off 'renew churn on drift' again"
    )


def test_rules_of_another_pipeline_are_no_ring() -> None:
    """Its alerts are not those that the rule waits for."""
    assert names(presets("train-on-drift", "deploy-when-gate-passes") + MONITOR.format("other")) == []


def test_a_schedule_is_set_off_by_nothing() -> None:
    """Whatever it does."""
    assert names(presets("train-daily", "train-weekly", "monitor-weekly")) == []


@pytest.mark.parametrize(("leads_to", "expected"), [(("train",), [("retry",)]), (("sample",), [])])
def test_a_rule_in_python_may_do_what_its_stages_say(
    leads_to: tuple[str, ...], expected: list[tuple[str, ...]]
) -> None:
    """What it asks for is not known before it runs."""
    own = RuleDeclaration(
        name="retry", module="rules", function="retry", on="run.finished", when="", leads_to=leads_to, code="0"
    )
    assert names("", own) == expected


def test_a_rule_on_its_own_failure_is_a_ring() -> None:
    """Trying again is a ring; trying again what another rule could not do is none."""
    text = '\n[[rule]]\nname = "again"\non = "rule.action.failed"\ndo = "monitor"\n'
    assert names(text) == [("again",)]
    assert names(text + "when = 'event.data.rule_id == \"other\"'\n") == []
    assert names(text + "when = 'event.subject == \"other\"'\n") == []


def test_two_rings_are_two() -> None:
    """Each is told once, and the shortest way around."""
    second = MONITOR.format("churn").replace("watch", "other").replace("traffic.shifted", "monitor.evaluated")
    text = DATA.format("") + second + presets("deploy-when-gate-passes")
    assert names(text) == [("more",), ("other",)]
