"""Rules as data: read with all that is wrong refused at its line, kept with their history."""

import re
from pathlib import Path
from typing import Any

import pytest

from ratchet import config
from ratchet.automation import rules
from ratchet.automation.rules import Rule
from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.loop.pipelines import Project, RuleDeclaration
from ratchet.records import Event
from tests import projects
from tests.loops import Stage

GOOD = """
[[rule]]
name = "weekly"
on = "clock.ticked"
cron = "0 3 * * MON"
do = { start_run = "churn" }
"""


def read(folder: Path, text: str, *python: RuleDeclaration) -> list[Rule]:
    """Read the rules of a project with this text in its settings, and these rules in Python."""
    (folder / config.FILE_NAME).write_text(projects.SETTINGS + text)
    return rules.read(config.load(folder), Project(rules=python), path=folder / config.FILE_NAME)


def declared(**changes: Any) -> RuleDeclaration:
    """Return a rule in Python."""
    fields: dict[str, Any] = {
        "name": "learn",
        "module": "holidays",
        "function": "learn",
        "on": "feedback.joined",
        "when": "event.data.rows > 1",
        "leads_to": ("train",),
        "code": "c" * 64,
    }
    return RuleDeclaration(**fields | changes)


def test_a_rule_is_read(tmp_path: Path) -> None:
    """With the stages that it leads to, the pipeline that it acts on, and the project's time zone."""
    (rule,) = read(tmp_path, GOOD)
    assert (rule.name, rule.on, rule.cron, rule.time_zone) == ("weekly", "clock.ticked", "0 3 * * MON", "UTC")
    assert [(call.action, call.parameters) for call in rule.calls] == [("start_run", {"pipeline": "churn"})]
    assert (rule.pipeline, rule.leads_to, rule.is_enabled) == ("churn", ("train",), True)


def test_actions_have_short_and_long_forms(tmp_path: Path) -> None:
    """A name alone, a name with its main value, and further parameters beside it; in order."""
    (rule,) = read(
        tmp_path,
        '[[rule]]\nname = "x"\non = "monitor.alert.raised"\n'
        'do = ["take_sample", { start_run = "churn", strength = 0.5 }, { promote = "churn@v1" }]\n',
    )
    assert [(call.action, call.parameters) for call in rule.calls] == [
        ("take_sample", {}),
        ("start_run", {"pipeline": "churn", "strength": 0.5}),
        ("promote", {"version": "churn@v1"}),
    ]
    assert rule.leads_to == ("sample", "train", "deploy")


# What is wrong, the words that take the place of a line of a good rule, and what the message must say.
BAD = [
    ("unknown event", 'on = "clock.ticket"', r"unknown event type 'clock.ticket'.*'clock.ticked'"),
    ("no schedule", "cron =", r"needs a 'cron'.*cron = "),
    ("cron for another event", 'on = "feedback.joined"', r"'cron' goes with on = \"clock.ticked\""),
    ("bad cron", 'cron = "0 25 * * *"', r"'0 25 \* \* \*' is no schedule.*Five fields"),
    ("words for cron", 'cron = "weekly"', r"'weekly' is no schedule"),
    ("unknown time zone", 'time_zone = "Mars/Olympus"', r"unknown time zone 'Mars/Olympus'.*America/New_York"),
    ("unknown action", 'do = { strat_run = "churn" }', r"unknown action 'strat_run'.*start_run, promote"),
    ("unknown action alone", 'do = "deploy"', r"unknown action 'deploy'.*start_run, promote"),
    ("no action", "do = []", r"does nothing.*start_run, promote"),
    (
        "two actions in one",
        'do = { start_run = "churn", promote = "x" }',
        r"start_run and promote stand in one pair of braces.*Write a list",
    ),
    ("a number for an action", "do = 3", r"unknown action '3'"),
    ("broken condition", 'when = "event.data.x >"', r"the condition cannot be parsed.*CEL"),
    ("unknown variable", 'when = "score > 1"', r"the condition names 'score'; a condition knows event and kpi"),
    ("unknown key", "wehn = 'x'", r"unknown field.*wehn.*Allowed here: name, on, do"),
    ("wrong type", "enabled = 'yes'", r"Expected `bool`"),
]


@pytest.mark.parametrize(("line", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_rule_is_refused_at_its_line(tmp_path: Path, line: str, message: str) -> None:
    """File and line are those of the mistake, and the message says what is right."""
    lines = GOOD.strip().splitlines()
    name = line.partition(" =")[0]
    found = [number for number, one in enumerate(lines) if one.startswith(f"{name} ")]
    expected = found[0] if found else len(lines)
    if line == "cron =":
        lines.pop(expected)
        expected = 2
    else:
        lines[expected : expected + 1] = [line]
    text = "\n" + "\n".join(lines) + "\n"
    with pytest.raises(ConfigInvalid, match=message) as raised:
        read(tmp_path, text)
    where = re.match(r"(.*):(\d+)$", raised.value.where)
    assert where is not None
    assert where[1] == str(tmp_path / config.FILE_NAME)
    written = (tmp_path / config.FILE_NAME).read_text().splitlines()
    assert written[int(where[2]) - 1].startswith((name, "cron", "[[rule]]", "on" if line == "cron =" else name))


def test_two_rules_cannot_share_a_name(tmp_path: Path) -> None:
    """Neither in the settings nor in Python nor in both."""
    with pytest.raises(ConfigInvalid, match=r"ratchet\.toml:\d+: rule 'weekly' is there twice"):
        read(tmp_path, GOOD + GOOD)
    with pytest.raises(ConfigInvalid, match="rule 'weekly' is there twice"):
        read(tmp_path, GOOD, declared(name="weekly"))
    with pytest.raises(ConfigInvalid, match="rule 'learn' is there twice"):
        read(tmp_path, "", declared(), declared())


def test_a_rule_in_python_is_read(tmp_path: Path) -> None:
    """It is always one's own, and its code is part of what it means."""
    (rule,) = read(tmp_path, "", declared())
    assert (rule.origin, rule.calls, rule.function, rule.pipeline) == ("user", (), "learn", "churn")
    (changed,) = read(tmp_path, "", declared(code="d" * 64))
    assert changed.digest != rule.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on": "feedback.joint"}, r"holidays\.py, rule 'learn'.*'feedback.joint'.*'feedback.joined'"),
        ({"when": "rows > 1"}, r"holidays\.py, rule 'learn'.*names 'rows'.*@rt\.rule"),
        ({"on": "clock.ticked"}, r"holidays\.py, rule 'learn'.*clock\.ticked"),
    ],
)
def test_a_bad_rule_in_python_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    """File and rule are named."""
    with pytest.raises(ConfigInvalid, match=message):
        read(tmp_path, "", declared(**changes))


# ---- presets


def adopted(preset_name: str) -> str:
    """Return the text that adopting a preset writes."""
    preset = next(one for one in rules.presets() if one.name == preset_name)
    return rules._block(preset, pipeline="churn", model="churn", dataset="customers")[1]


@pytest.mark.parametrize("name", [one.name for one in rules.presets()])
def test_every_preset_writes_a_rule_that_is_a_template(tmp_path: Path, name: str) -> None:
    """Whoever typed it: what counts is what it says."""
    (rule,) = read(tmp_path, "\n" + adopted(name))
    assert rule.origin == "template"
    (retyped,) = read(tmp_path, "\n" + re.sub('name = ".*"', 'name = "mine"', adopted(name)))
    assert retyped.origin == "template"


@pytest.mark.parametrize(
    ("preset", "old", "new", "origin"),
    [
        ("train-weekly", "0 3 * * MON", "30 4 * * FRI", "template"),
        ("train-weekly", '"churn" }', '"churn", strength = 0.5 }', "user"),
        ("train-on-new-file", "new_files > 0", "new_files > 1", "user"),
        ("deploy-when-gate-passes", "== 'pass'", "!= 'pass'", "user"),
        ("deploy-when-gate-passes", '"promote"', '["promote", "take_sample"]', "user"),
        ("train-on-drift", "{ take_sample", "{ join_feedback", "user"),
    ],
)
def test_a_preset_that_was_changed_is_ones_own(tmp_path: Path, preset: str, old: str, new: str, origin: str) -> None:
    """The time of a schedule is the preset's parameter; condition and actions are not."""
    text = adopted(preset)
    assert old in text
    (rule,) = read(tmp_path, "\n" + text.replace(old, new, 1))
    assert rule.origin == origin


@pytest.mark.parametrize("level", [1, 2, 3])
def test_adopting_a_level_writes_rules_that_load(tmp_path: Path, level: int) -> None:
    """Each with a sentence of what it does, and names that differ."""
    blocks = rules.preset_text(level, pipeline="churn", model="churn", dataset="customers")
    found = read(tmp_path, "\n" + "\n".join(text for _, text in blocks))
    assert [rule.name for rule in found] == [name for name, _ in blocks]
    assert all(text.startswith("# ") for _, text in blocks)
    assert all(rule.pipeline == "churn" for rule in found)


def test_a_level_without_presets_names_those_that_have_some() -> None:
    """Level 4 is what one writes oneself."""
    with pytest.raises(UnknownName, match="level-1, level-2, level-3"):
        rules.preset_text(4, pipeline="churn", model="churn", dataset="customers")


# ---- keeping


def put(stage: Stage, text: str, key: str, *python: RuleDeclaration) -> None:
    """Put rules in force by a command."""
    found = read(stage.resources.project, text, *python)
    with stage.command(key):
        rules.put_in_force(stage.resources, found)


def changes(stage: Stage) -> list[tuple[str, str]]:
    """Return the changes of rules in the ledger, in order."""
    kinds = ("rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted")
    return [(event.type.partition(".")[2], event.subject) for event in stage.events(*kinds)]


def test_each_change_is_an_event(stage: Stage) -> None:
    """Created, switched off, changed, switched on and changed at once, deleted; the same set again is no change."""
    put(stage, GOOD, "1")
    put(stage, GOOD, "2")
    put(stage, GOOD + "enabled = false\n", "3")
    put(stage, GOOD.replace("0 3", "0 4") + "enabled = false\n", "4")
    put(stage, GOOD.replace("0 3", "0 5"), "5")
    put(stage, "", "6")
    assert [kind for kind, _ in changes(stage)] == ["created", "disabled", "updated", "updated", "enabled", "deleted"]
    assert [event.data["enabled"] for event in stage.events("rule.disabled", "rule.enabled")] == [False, True]


def test_the_event_says_what_the_rule_is(stage: Stage) -> None:
    """Enough to know later what was automated: actions, stages, origin, schedule."""
    put(stage, "\n" + adopted("train-weekly"), "1", declared())
    weekly, learn = stage.events("rule.created")
    assert weekly.data["actions"] == ["start_run"]
    assert (weekly.data["origin"], weekly.data["cron"], weekly.data["leads_to"]) == (
        "template",
        "0 3 * * MON",
        ["train"],
    )
    assert (learn.data["origin"], learn.data["actions"]) == ("user", ["holidays.learn"])
    assert weekly.actor_class == "human"


def test_a_set_stays_known_by_its_digest(stage: Stage) -> None:
    """A dispatch uses the rules that were in force when its event was appended."""
    with stage.database.read() as connection:
        assert rules.in_force(connection).rules == ()
    put(stage, GOOD, "1")
    with stage.database.read() as connection:
        old = rules.in_force(connection)
    put(stage, "", "2")
    with stage.database.read() as connection:
        assert rules.in_force(connection).rules == ()
        assert rules.by_digest(connection, old.digest) == old
        assert rules.by_digest(connection, "unknown").rules == ()


def test_a_tick_is_for_the_rule_that_it_names(tmp_path: Path) -> None:
    """Other events are for all enabled rules that listen to their type."""
    alert = '[[rule]]\nname = "{0}"\non = "monitor.alert.raised"\ndo = "take_sample"\nenabled = {1}\n'
    text = GOOD + GOOD.replace("weekly", "other") + alert.format("a", "true") + alert.format("b", "false")
    found = rules.RuleSet(digest="d", rules=tuple(read(tmp_path, text)))
    tick = Event(type="clock.ticked", subject="other")
    assert [rule.name for rule in found.listening_to(tick)] == ["other"]
    assert [rule.name for rule in found.listening_to(Event(type="monitor.alert.raised", subject="x"))] == ["a"]
    assert found.listening_to(Event(type="run.finished", subject="x")) == []
