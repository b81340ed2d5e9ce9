"""What a project declares, read off its files by a child process and kept by snapshot."""

import pytest

from ratchet.errors import ConfigInvalid, StepFailed, UnknownName
from ratchet.loop import projects as declared
from ratchet.loop import registry
from ratchet.store.formats.refusals import LibraryMissing
from tests import projects
from tests.loops import Stage

RULE = """import ratchet as rt


@rt.rule(on="feedback.joined")
def learn(event: rt.Event, loop: rt.Loop) -> None:
    loop.start_run()
"""


@pytest.fixture
def project(stage: Stage) -> Stage:
    """A stage with the project's files."""
    projects.write_project(stage.resources.project)
    return stage


def test_a_project_is_described_once_for_the_same_files(project: Stage) -> None:
    """Files that were seen before start no child."""
    snapshot, found = declared.current(project.resources)
    (one,) = found.pipelines
    assert (one.name, one.module, one.function, one.owner) == ("churn", "pipeline", "churn", "growth")
    assert (one.datasets, one.parameters) == ({"customers": "customers"}, {"strength": 1.0})
    before = project.resources.zygotes
    project.resources.zygotes = None  # type: ignore[assignment]
    assert declared.current(project.resources) == (snapshot, found)
    project.resources.zygotes = before


def test_a_library_of_an_extra_that_is_missing_is_named(project: Stage) -> None:
    """With the file that imports it and the command that installs it; nothing is kept, so that it works afterwards."""
    path = project.resources.project / "further.py"
    path.write_text('import sys\n\nsys.modules["catboost"] = None\nimport catboost\n')
    said = r"^further\.py needs catboost, .*pip install 'mlratchet\[catboost\]'\.$"
    for _ in range(2):
        with pytest.raises(LibraryMissing, match=said):
            declared.current(project.resources)
    path.write_text("import no_such_module\n")
    with pytest.raises(StepFailed, match="No module named 'no_such_module'"):
        declared.current(project.resources)


def test_a_rule_in_python_is_found(project: Stage) -> None:
    """In any module at the top of the project."""
    (project.resources.project / "rules.py").write_text(RULE)
    _, found = declared.current(project.resources)
    assert [(one.name, one.module, one.on) for one in found.rules] == [("learn", "rules", "feedback.joined")]


def test_a_file_that_cannot_be_imported_is_named(project: Stage) -> None:
    """Whoever wrote it sees the error as Python has it; nothing is kept of it."""
    (project.resources.project / "broken.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(StepFailed, match="No module named 'nowhere_to_be_found'") as raised:
        declared.current(project.resources)
    assert "broken.py" in raised.value.traceback


def test_what_is_new_or_has_changed_is_declared(project: Stage) -> None:
    """Once; a change that is taken back is a change as well."""
    _, found = declared.current(project.resources)
    for key in ("first", "same"):
        with project.command(key):
            declared.declare(project.resources, found)
    (event,) = project.events("pipeline.declared")
    assert event.data == {
        "pipeline": "churn",
        "model": "churn",
        "owner": "growth",
        "datasets": ["customers"],
        "na": {},
    }
    code = project.resources.project / "pipeline.py"
    for number, owner in enumerate(("sales", "growth")):
        code.write_text(projects.CODE.replace('owner="growth"', f'owner="{owner}"'))
        with project.command(f"change {number}"):
            declared.declare(project.resources, declared.current(project.resources)[1])
    assert [event.data["owner"] for event in project.events("pipeline.declared")] == ["growth", "sales", "growth"]
    with project.database.read() as connection:
        assert registry.state(connection, "pipelines")["churn"]["owner"] == "growth"


def test_a_pipeline_is_found_by_its_name(project: Stage) -> None:
    """The message of an unknown one lists those that there are."""
    assert declared.pipeline(project.resources, "churn").model == "churn"
    with pytest.raises(UnknownName, match=r"No pipeline named 'chrun'. Known: churn"):
        declared.pipeline(project.resources, "chrun")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[monitor.chrn]\nminimum_rows = 5\n", 1),
        ("[sample.chrn]\nrows = 5\n", 1),
        ('[[fitness]]\nmetric = "f1"\npipeline = "chrn"\n', 3),
    ],
)
def test_a_section_about_no_pipeline_is_refused(project: Stage, text: str, line: int) -> None:
    """A slip of the pen in a name would otherwise leave a pipeline without its gate, unnoticed."""
    before = projects.SETTINGS.count("\n")
    project.configure(projects.SETTINGS)
    assert [one.name for one in declared.checked(project.resources).pipelines] == ["churn"]
    project.configure(projects.SETTINGS + text)
    with pytest.raises(ConfigInvalid, match=rf"ratchet.toml:{before + line}: .*no pipeline 'chrn'.*churn"):
        declared.checked(project.resources)
