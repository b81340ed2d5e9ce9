"""Level policies: what ships, and what is refused with which words."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.measure.policies import SHIPPED, load, parse, shipped

GOOD = """policy = "ours"
defaults = { N = 10, W = "90d", n_min = 2, theta = 0.9, approval = "neutral", evidence_min = "attested" }

[[level]]
id = 1
name = "Training"
all = [{ stage = "train", measure = "init" }]

[[level]]
id = 5
name = "All of it"
colour = "#112233"
all = [
    { stage = "label", measure = "exec", theta = 0.5, n_min = 4 },
    { measure = "loop_closure", min = 2 },
]
na_allowed = ["label"]
"""


def test_shipped_policies_are_read() -> None:
    """What ships is complete: named levels with colour and description, numbered from 0, as many as each scale has."""
    counts = {}
    for name in SHIPPED:
        policy = shipped(name)
        counts[policy.name] = len(policy.levels)
        assert [level.id for level in policy.levels] == list(range(len(policy.levels)))
        assert all(level.name and level.description and level.colour for level in policy.levels)
        assert policy.description
    assert counts == {"standard": 5, "strict": 5, "manual-semi-full": 3, "google-0-2": 3, "microsoft-0-4": 5}
    assert shipped("standard").approval == "auto"
    assert shipped("strict").approval == "human"


def test_unknown_policy_is_refused() -> None:
    """A policy that does not ship is refused with those that do."""
    with pytest.raises(UnknownName, match="standard, strict"):
        shipped("lenient")


def test_own_policy_from_a_file(tmp_path: Path) -> None:
    """A file may have any number of levels; its digest is that of its bytes."""
    path = tmp_path / "ours.toml"
    path.write_text(GOOD)
    policy = load(path)
    assert policy.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (policy.sample_size, policy.window, policy.approval) == (10, timedelta(days=90), "neutral")
    assert [(c.theta, c.n_min) for level in policy.levels for c in level.criteria[:1]] == [(0.9, 2), (0.5, 4)]
    assert policy.level(5).criteria[1].min == 2
    assert policy.level(3).name == ""


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('stage = "train"', 'stage = "trian"', 7, "'stage' is 'trian'. Write one of: data, train, experiment"),
        ('"init"', '"initiative"', 7, "'measure' is 'initiative'. Write one of: init, exec, gate_before_deploy"),
        ("theta = 0.5", "theta = 1.5", 14, "'theta' is 1.5. Write a share above 0 and up to 1"),
        ("theta = 0.9", "theta = 0", 2, "'theta' is 0. Write a share above 0"),
        ("n_min = 2", "n_min = 11", 2, "'n_min' is 11. Write a whole number from 1 to 10"),
        ("n_min = 4", "n_min = 40", 14, "'n_min' is 40. Write a whole number from 1 to 10"),
        ('"90d"', '"90"', 2, "'W' is '90'. Write a number of days"),
        ('"neutral"', '"maybe"', 2, "'approval' is 'maybe'. Write one of: auto, neutral, human"),
        ('"attested"', '"declared"', 2, "'evidence_min' is 'declared'. Write one of: native, attested, imported"),
        (
            'closure", min = 2',
            'closure", fires = 2',
            15,
            "'fires' is not part of the measure 'loop_closure'. Allowed: measure, min",
        ),
        ("id = 5", "id = 1", 10, "'id' is 1 and comes after 1. Number the levels upwards"),
        ("id = 5", "id = true", 10, "'id' is True. Write a whole number"),
        ('name = "All of it"\n', "", 9, "'name' is missing. Write a text in quotes."),
        ('"#112233"', '"red"', 12, "'colour' is 'red'. Write six hexadecimal digits"),
        ('["label"]', '["train"]', 17, "'na_allowed' is ['train']. Name stages of this level's criteria: label"),
        ('policy = "ours"', 'policy = ""', 1, "'policy' is ''. Write a text in quotes."),
        ('policy = "ours"', 'policy = "ours"\nlevels = 3', 2, "'levels' is not part of a policy"),
        ('all = [{ stage = "train", measure = "init" }]', "all = []", 7, "'all' level 1 asks for nothing."),
        ('all = [{ stage = "train", measure = "init" }]', "all = 3", 7, "'all' must be a list of criteria."),
    ],
)
def test_refusal_names_file_line_and_what_is_allowed(old: str, new: str, line: int, words: str) -> None:
    """Whatever is wrong in a policy is refused with its place and with what may stand there."""
    assert old in GOOD
    with pytest.raises(ConfigInvalid) as refused:
        parse(GOOD.replace(old, new, 1).encode(), where="ours.toml")
    assert refused.value.where == f"ours.toml:{line}"
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"policy = ", "is not TOML"),
        (b"\xff", "is not UTF-8 text"),
        (b'policy = "p"', "'level' has no levels"),
        (b'policy = "p"\n[[level]]\nid = 0\nname = "none"\n', "'level' has no level above 0"),
        (b'policy = "p"\ndefaults = 3\n', "'defaults' must be a table"),
    ],
)
def test_files_that_are_no_policy(content: bytes, words: str) -> None:
    """A file that is no policy at all is refused, too."""
    with pytest.raises(ConfigInvalid, match=words):
        parse(content, where="ours.toml")


def test_comments_do_not_mislead_the_line() -> None:
    """A commented-out value is not taken for the one that is wrong."""
    text = GOOD.replace("[[level]]\nid = 5", "[[level]]\n# id = 7\nid = 1")
    with pytest.raises(ConfigInvalid) as refused:
        parse(text.encode(), where="ours.toml")
    assert refused.value.where == "ours.toml:11"


STAGE = """policy = "own"

[[stage]]
stage = "nightly"
type = "custom.emitted"
where = "event.data.name == 'nightly'"
initiator = "actor"

[[level]]
id = 1
name = "Nightly"
all = [{ stage = "train", measure = "init" }, { stage = "nightly", measure = "init" }]
na_allowed = ["nightly"]
"""


def test_a_policy_may_add_stages() -> None:
    """A stage of one's own is named by criteria like any other, and may be declared not to apply."""
    policy = parse(STAGE.encode(), where="own.toml")
    (stage,) = policy.stages
    assert (stage.type, stage.initiator) == ("custom.emitted", "actor")
    assert policy.stage("nightly") == stage
    assert policy.stage("train") == "train"
    assert policy.stage_names[-1] == "nightly"
    assert policy.levels[0].criteria[1].stage == "nightly"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('type = "custom.emitted"', 'type = "custom.emited"', "own.toml:5: 'type' .* Did you mean 'custom.emitted'"),
        ("event.data.name ==", "event.data.name = =", "own.toml:6: 'where' cannot be parsed"),
        ("event.data.name", "evnt.data.name", "own.toml:6: 'where' names 'evnt'"),
        ('initiator = "actor"', 'initiator = "name"', "own.toml:7: 'initiator' .*cause, actor"),
        ('stage = "nightly"\ntype', 'stage = "train"\ntype', "own.toml:4: 'stage' is 'train', which there is already"),
        ('{ stage = "nightly"', '{ stage = "nightyl"', "own.toml:12: 'stage' is 'nightyl'.*pipeline-ci, nightly"),
        ('"nightly", measure = "init"', '"nightly", measure = "init", theta = 1.5', "own.toml:12: 'theta' is 1.5"),
        ("[[stage]]", "[stage]", "own.toml:3: 'stage' has no stages"),
    ],
)
def test_a_wrong_stage_is_refused_with_its_line(before: str, after: str, message: str) -> None:
    """What is wrong with a stage is said with file, line and what is allowed."""
    assert before in STAGE
    with pytest.raises(ConfigInvalid, match=message):
        parse(STAGE.replace(before, after, 1).encode(), where="own.toml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file is named, with the policies that could have been meant."""
    with pytest.raises(ConfigInvalid, match=r"gone.toml: cannot be read: No such file.*google-0-2"):
        load(tmp_path / "gone.toml")
