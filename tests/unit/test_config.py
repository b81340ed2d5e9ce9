"""What ``ratchet.toml`` may say, and how a wrong line is refused."""

import re
from pathlib import Path

import msgspec
import pytest

from ratchet import config
from ratchet.errors import ConfigInvalid, RatchetError, WorkspaceNotFound

FILE = Path("shop/ratchet.toml")
WHOLE = """
[project]
name = "flights"
time_zone = "America/New_York"

[limits]
timeout_seconds = 60

[dataset.flights]
source = "data/flights/*.parquet"
key = "flight_id"
time = "scheduled_departure"
label = { column = "late", arrives = "arrived_at" }

[dataset.flights.columns.carrier]
allowed = ["AA", "UA"]
missing_at_most = 0.01

[dataset.weather]
source = "data/weather/*.parquet"

[[fitness]]
pipeline = "flight-delay"
metric = "roc_auc"
at_least = 0.65
no_worse_than = { champion = 0.005 }

[monitor.flight-delay]
drift_threshold = 0.3

[[rule]]
name = "retrain weekly"
on = "clock.ticked"
cron = "0 3 * * MON"
do = { start_run = "flight-delay" }

[[rule]]
name = "retrain on drift"
on = "monitor.alert.raised"
when = "event.data.score > 0.2"
do = ["take_sample", "request_labels"]
time_zone = "Europe/Berlin"
"""


def refused(text: str) -> ConfigInvalid:
    """Return the error that a text is refused with."""
    with pytest.raises(ConfigInvalid) as caught:
        config.parse(text, path=FILE)
    return caught.value


def line_with(text: str, part: str) -> int:
    """Return the number of the first line that has a part."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_the_whole_file_is_read() -> None:
    """Everything that may stand in the file arrives, and what does not stand there has its default."""
    found = config.parse(WHOLE, path=FILE)
    assert found.project.time_zone == "America/New_York"
    assert (found.limits.timeout_seconds, found.limits.attempts) == (60.0, 3)
    assert found.dataset["flights"].label == config.LabelSection(column="late", arrives="arrived_at")
    assert found.dataset["flights"].columns["carrier"].allowed == ("AA", "UA")
    assert found.fitness[0].no_worse_than == config.Comparison(champion=0.005)
    assert [rule.enabled for rule in found.rule] == [True, True]
    assert found.rule[1].do == ["take_sample", "request_labels"]


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('name = "flights"', "name = 7", "Expected `str`, got `int`"),
        ("timeout_seconds = 60", 'timeout_seconds = "long"', "Expected `float`, got `str`"),
        ("at_least = 0.65", 'at_least = "0.65"', "Expected `float | null`, got `str`"),
        ('cron = "0 3 * * MON"', "cron = 3", "Expected `str`, got `int`"),
        ('when = "event.data.score > 0.2"', "when = true", "Expected `str`, got `bool`"),
        ("drift_threshold = 0.3", "drift_threshold = []", "Expected `float`, got `array`"),
        ('key = "flight_id"', "key = 1", "Expected `str`, got `int`"),
        ("missing_at_most = 0.01", "missing_at_most = 'none'", "got `str`"),
    ],
)
def test_wrong_value_names_its_line(right: str, wrong: str, problem: str) -> None:
    """A value of the wrong kind is refused with file, line, what is wrong, and what may stand there."""
    text = WHOLE.replace(right, wrong)
    error = refused(text)
    assert error.where == f"{FILE}:{line_with(text, wrong)}"
    assert problem in error.problem
    assert str(error) == f"{error.where}: {error.problem} {error.remedy}"


@pytest.mark.parametrize(
    ("section", "allowed"),
    [
        ("[project]", "name, time_zone, database"),
        ("[limits]", "timeout_seconds, memory_mb"),
        ("[dataset.flights]", "source, key, time"),
        ("[[fitness]]", "pipeline, metric, at_least"),
        ("[monitor.flight-delay]", "drift_threshold"),
        ("[[rule]]", "name, on, do"),
    ],
)
def test_unknown_key_names_its_section_and_what_is_allowed(section: str, allowed: str) -> None:
    """A key that means nothing is refused at its section, and the allowed ones are listed."""
    text = WHOLE.replace(section, f"{section}\nnonsense = 1", 1)
    error = refused(text)
    assert error.where == f"{FILE}:{line_with(text, section)}"
    assert "nonsense" in error.problem
    assert allowed in error.remedy


@pytest.mark.parametrize("line", ["name = ", "[project", 'name = "a"\nname = "b"'])
def test_no_toml_names_the_line(line: str) -> None:
    """A line that is no TOML is refused with its number."""
    error = refused(f"[project]\nowner = 'x'\n{line}\n")
    assert error.where in (f"{FILE}:3", f"{FILE}:4")
    assert "not valid TOML" in error.problem


def test_missing_key_is_named() -> None:
    """A section that lacks a key is refused, and the key is named."""
    error = refused("[project]\ntime_zone = 'UTC'\n")
    assert (error.where, "`name`" in error.problem) == (f"{FILE}:1", True)
    assert "`project`" in refused("").problem


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('source = "data/weather/*.parquet"', "source = 3"),
        ('do = ["take_sample", "request_labels"]\n', "\n[monitor.other]\ndrift_threshold = 'high'\n"),
    ],
    ids=["of the second dataset", "of the second monitor"],
)
def test_wrong_value_in_a_named_section_names_its_line(right: str, wrong: str) -> None:
    """A wrong value in one of several named sections is found in that one."""
    text = WHOLE.replace(right, wrong)
    part = wrong.strip().splitlines()[-1]
    assert refused(text).where == f"{FILE}:{line_with(text, part)}"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "America"])
def test_unknown_time_zone_names_its_line(tmp_path: Path, zone: str) -> None:
    """A time zone that does not exist is refused with its line, in the project and in a rule."""
    for right in ("America/New_York", "Europe/Berlin"):
        text = WHOLE.replace(right, zone)
        (tmp_path / config.FILE_NAME).write_text(text)
        with pytest.raises(ConfigInvalid, match=f"unknown time zone '{zone}'") as caught:
            config.load(tmp_path)
        line = line_with(text, f'"{zone}"')
        assert caught.value.where == f"{tmp_path / config.FILE_NAME}:{line}"


def test_load_reads_the_file(tmp_path: Path) -> None:
    """A folder's file is read; a folder without one is no project."""
    (tmp_path / config.FILE_NAME).write_text(WHOLE)
    assert config.load(tmp_path) == config.parse(WHOLE, path=FILE)
    with pytest.raises(WorkspaceNotFound, match="ratchet init"):
        config.load(tmp_path / "nowhere")


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding is refused in our words."""
    (tmp_path / config.FILE_NAME).write_bytes(b'[project]\nname = "M\xfcnchen"\n')
    with pytest.raises(RatchetError):
        config.load(tmp_path)


def test_find_goes_upwards(tmp_path: Path) -> None:
    """The nearest project, from a folder upwards, is found."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / config.FILE_NAME).touch()
    assert config.find(deep) == tmp_path.resolve()
    (tmp_path / "a" / config.FILE_NAME).touch()
    assert config.find(deep) == (tmp_path / "a").resolve()
    (tmp_path / "a" / config.FILE_NAME).unlink()
    (tmp_path / config.FILE_NAME).unlink()
    with pytest.raises(WorkspaceNotFound, match="--workspace DIR"):
        config.find(deep)


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        ('[import.github."Nightly run"]\nstages = ["trian"]', 4, "Invalid enum value 'trian'"),
        ('[import.github.a]\n[import.github."b c"]\n\npipelin = "p"', 6, "Object contains unknown field `pipelin`"),
        ('[import.gitlab.a]\npipeline = "p"', 3, "Invalid enum value 'gitlab'"),
        ('[import.github]\npipeline = "p"', 3, "Expected `object`, got `str`"),
        ("import = 3", 3, "Expected `object`, got `int`"),
    ],
)
def test_a_wrong_import_names_its_line(section: str, line: int, problem: str) -> None:
    """A section under two names of the user's is found all the same, and the message says what may stand there."""
    text = (
        f'[project]\nname = "x"\n{section}\n'
        if "import =" not in section
        else f'# x\n\n{section}\n[project]\nname = "x"\n'
    )
    with pytest.raises(ConfigInvalid) as refused:
        config.parse(text, path=FILE)
    assert str(refused.value).startswith(f"{FILE}:{line}: {problem}")
    assert "pipeline-ci" in str(refused.value)


def test_an_import_is_read() -> None:
    """Names with spaces are names."""
    text = '[project]\nname = "x"\n[import.github."Nightly run"]\npipeline = "churn"\nstages = ["train", "deploy"]\n'
    section = config.parse(text, path=FILE).imports["github"]["Nightly run"]
    assert (section.pipeline, section.stages, section.environment) == ("churn", ("train", "deploy"), "production")


# ---- what KPIs need


def loaded(folder: Path, text: str) -> config.Config:
    """Return the settings in a file of a project."""
    (folder / "ratchet.toml").write_text(f'[project]\nname = "shop"\n{text}', encoding="utf-8")
    return config.load(folder)


def test_the_settings_of_kpis_are_read(tmp_path: Path) -> None:
    """The file of the golden year is accepted as it stands, but for the project's name."""
    text = (Path(__file__).parents[1] / "golden" / "settings.toml").read_text(encoding="utf-8")
    found = loaded(tmp_path, text.partition("[project]")[2])
    assert (found.team[-1].name, found.team[-1].part_of, f"{found.team[-1].since}") == ("growth", "risk", "2024-05-01")
    assert (found.working_hours.since, found.working_hours.until) == ("09:00", "17:00")
    assert found.kpi["model_freshness"].target == 60.0


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[[team]]\nname = "a"\npart_of = "b"', 5, "part of 'b', which is not declared"),
        ('[[team]]\nname = "a"\npart_of = "a"', 5, "part of itself: a in a"),
        ('[[team]]\nname = "a"\npart_of = "b"\n[[team]]\nname = "b"\npart_of = "a"', 5, "part of itself: a in b in a"),
        ('[[team]]\nname = "a"\nkind = "squad"', 5, "Use one of: team, department, cost centre"),
        ("[kpi.cost]\ntarget = 1.0\n[kpi.coast]\ntarget = 1.0", 5, "unknown KPI 'coast'. Known: model_freshness"),
        ('[kpi.cost]\ntarget = "low"', 4, "Allowed here: owner, target"),
        ('[[prices.item]]\nresource = "x"\nunit = "s"\namount = -1.0', 6, "Allowed here: resource, unit, amount"),
        ('[[budget]]\nscope = "team"\nname = "a"\namount_month = 0.0', 6, "> 0.0"),
        ('[[budget]]\nscope = "team"\nname = "a"\namount_month = -1.0', 6, "> 0.0"),
        ('[[budget]]\nscope = "team"\nname = "a"\namount_month = 1.0', 5, "team 'a', which is not declared. Declare"),
        ('[[team]]\nname = "b"\n[[budget]]\nscope = "team"\nname = "a"\namount_month = 1.0', 7, "or name one of: b"),
        (2 * '[[budget]]\nscope = "pipeline"\nname = "a"\namount_month = 1.0\n', 9, "'a' has two budgets"),
        ('[working_hours]\nfrom = "9"', 4, "Allowed here: days, from, until"),
    ],
)
def test_settings_of_kpis_that_mean_nothing_are_refused(tmp_path: Path, text: str, line: int, said: str) -> None:
    """What is wrong with the organisation, a price or a KPI's name is said with its line."""
    with pytest.raises(ConfigInvalid) as caught:
        loaded(tmp_path, text)
    assert caught.value.where.endswith(f"ratchet.toml:{line}")
    assert said in str(caught.value)


def test_a_part_may_move_where_it_came_from(tmp_path: Path) -> None:
    """A circle is one only if it holds on one day: two parts may change places."""
    text = """
[[team]]
name = "a"
part_of = "b"

[[team]]
name = "b"

[[team]]
name = "a"
since = 2024-05-01

[[team]]
name = "b"
part_of = "a"
since = 2024-05-01
"""
    assert len(loaded(tmp_path, text).team) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[fitness]]\npipeline = "x"\nmetric = "auc"\n', r"toml:5: .*'auc'. Use one of: roc_auc, .*r2\."),
        (
            '[[fitness]]\npipeline = "x"\nmetric = "f1"\ngate = "staging"\n',
            r"toml:6: .*'staging'. Use one of: production",
        ),
        ('[sample.x]\nstrategy = "best"\n', r"toml:4: .*'best'. Use one of: random, least_confidence"),
        ("[monitor.x]\nwindows = 2\nwindows_over = 3\n", r"toml:3: windows_over is 3.*windows = 2"),
    ],
)
def test_what_would_mean_nothing_later_is_refused_at_once(tmp_path: Path, text: str, says: str) -> None:
    """With the line, and with what is allowed there."""
    (tmp_path / "ratchet.toml").write_text(f'[project]\nname = "shop"\n{text}')
    with pytest.raises(ConfigInvalid, match=says):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("gs://bucket/prefix", "artifacts cannot be kept in 'gs:'"),
        ("http://storage/bucket", "artifacts cannot be kept in 'http:'"),
        ("s3:///prefix", "artifacts names no bucket"),
        ("file://shared/artifacts", "artifacts names no folder of this machine"),
        ("s3://bucket/prefix?region=x", "artifacts ends with 'region=x'"),
    ],
)
def test_a_place_for_artifacts_that_means_nothing_is_refused(tmp_path: Path, setting: str, problem: str) -> None:
    """An address that no store understands is refused with its line and the forms that there are."""
    (tmp_path / "ratchet.toml").write_text(f'[project]\nname = "x"\nartifacts = "{setting}"\n')
    with pytest.raises(ConfigInvalid, match=re.escape(problem)) as caught:
        config.load(tmp_path)
    assert "ratchet.toml:3: " in str(caught.value)
    assert "s3://BUCKET/PREFIX" in str(caught.value)


@pytest.mark.parametrize("setting", ["", "/mnt/artifacts", "../shared", "file:///mnt/artifacts", "s3://bucket/a/b"])
def test_a_place_for_artifacts_is_taken(tmp_path: Path, setting: str) -> None:
    """Folders, their URLs and buckets are places."""
    (tmp_path / "ratchet.toml").write_text(f'[project]\nname = "x"\nartifacts = "{setting}"\n')
    assert config.load(tmp_path).project.artifacts == setting


@pytest.mark.parametrize(
    "line",
    [
        'address = "head:8265"',
        'address = "http://somebody:secret@head:8265"',
        'token = "0123456789abcdef"',
        "away_seconds = 0",
    ],
)
def test_a_cluster_that_means_nothing_is_refused(line: str) -> None:
    """An address is one of the web without a password, and the token is named and never given."""
    text = f'[project]\nname = "shop"\n\n[ray]\n{line}\n'
    error = refused(text)
    assert error.where == f"{FILE}:{line_with(text, line)}"
    assert line.partition('"')[2][:-1] not in error.problem or "seconds" in line
    assert "address, token" in error.remedy


def test_what_is_put_in_force_can_be_read_again() -> None:
    """A worker reads from the database what the server has read from the file, defaults included."""
    settings = config.parse('[project]\nname = "shop"\n', path=Path("ratchet.toml"))
    assert msgspec.convert(msgspec.to_builtins(settings), config.Config) == settings
