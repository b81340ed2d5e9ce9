"""``ratchet evaluate`` from an empty folder to a conclusion, and what it refuses."""

import json
from pathlib import Path

import pytest

from ratchet.workspace import Workspace
from tests.unit.cli.conftest import Call

NOTHING_RECORDED = "nothing is recorded in a ledger"
SECRETS = ("--candidate", "alpha", "--group", "security", "--item", "secrets", "--sentiment")
MUST = ("--candidate", "Alpha", "--group", "security", "--item", "closed-by-default", "--sentiment")


@pytest.fixture
def begun(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in no project, with an evaluation of two candidates by two groups."""
    monkeypatch.chdir(tmp_path)
    assert call("evaluate", "init", "--candidates", "Alpha,Beta=bought", "--groups", "security,legal").code == 0
    return tmp_path / "evaluation"


def test_from_an_empty_folder_to_a_conclusion(call: Call, begun: Path) -> None:
    """Each command says what it did; without a project each says that nothing was recorded."""
    answered = call("evaluate", "answer", *SECRETS, "green", "--text", "A store.", "--evidence", "https://example.org")
    assert answered.out == "1 answer written; 1 of 32 are given.\n"
    assert NOTHING_RECORDED in answered.err
    assert 'sentiment = "🟢"' in (begun / "answers.toml").read_text()
    compared = call("evaluate", "compare").out
    assert "🔴 0 🟡 0 🟢 1" in compared
    assert "Still missing: security-officer-1 (1 of 16), legal-counsel-1 (0 of 16)" in compared.replace("\n", " ")
    concluded = call("evaluate", "conclude", "--choice", "beta", "--reason", "It fits.", "--by", "person-1")
    assert concluded.out.startswith("Concluded: Beta. It rests on 1 of 32 answers.\n")
    assert len(concluded.out.splitlines()[-1].rpartition(" ")[2]) == 64
    again = call("evaluate", "conclude", "--choice", "Alpha", "--reason", "No, this one.")
    assert (again.code, "a second conclusion is refused" in again.err) == (1, True)
    late = call("evaluate", "answer", *SECRETS, "red")
    assert (late.code, "no answer is taken any more" in late.err) == (1, True)
    assert "'Beta' was chosen on" in call("evaluate", "compare").out


@pytest.mark.usefixtures("begun")
def test_a_conclusion_without_answers_is_refused_unless_it_is_meant(call: Call) -> None:
    """The message says how to answer, and how to say that it is meant."""
    refused = call("evaluate", "conclude", "--choice", "Beta", "--reason", "quick")
    assert refused.code == 1
    assert "ratchet evaluate answer" in refused.err
    assert "--without-answers" in refused.err
    meant = call("evaluate", "conclude", "--choice", "Beta", "--reason", "quick", "--without-answers", "--json")
    assert json.loads(meant.out)["is_without_answers"] is True


@pytest.mark.usefixtures("begun")
def test_a_red_must_is_named_and_cannot_be_chosen(call: Call) -> None:
    """In the comparison, and where somebody chooses it all the same."""
    call("evaluate", "answer", *MUST, "r", "--text", "It answers everybody.")
    compared = call("evaluate", "compare").out
    assert "yes: 1 red" in compared
    assert "🔴 must: security/closed-by-default (security-officer-1): It answers everybody." in compared.replace(
        "\n", " "
    )
    refused = call("evaluate", "conclude", "--choice", "Alpha", "--reason", "cheap")
    assert (refused.code, "red on a must by security/closed-by-default" in refused.err) == (1, True)
    assert call("evaluate", "conclude", "--choice", "none", "--reason", "neither fits").code == 0


@pytest.mark.parametrize("form", [".md", ".csv", ".html", ".svg"])
def test_a_comparison_is_written_in_each_form(call: Call, begun: Path, form: str) -> None:
    """The file is there as a whole, and nothing else."""
    out = begun.parent / f"comparison{form}"
    assert call("evaluate", "compare", "--out", str(out)).out == f"{out}\n"
    assert out.stat().st_size > 1000
    assert [path.name for path in begun.parent.iterdir() if path.name.startswith(".")] == []


def test_json_says_what_the_words_say(call: Call, begun: Path) -> None:
    """Each command prints JSON and nothing else on stdout."""
    written = json.loads(call("evaluate", "answer", *SECRETS, "yellow", "--json").out)
    assert (written["written"], written["answered"], written["expected"], written["recorded"]) == (1, 1, 32, None)
    compared = json.loads(call("evaluate", "compare", "--json").out)
    alpha = compared["candidates"][0]
    assert (alpha["candidate"]["name"], alpha["counts"], alpha["reach"]) == ("Alpha", {"🔴": 0, "🟡": 1, "🟢": 0}, None)
    progress = json.loads(call("evaluate", "progress", "--json").out)
    assert [one["answered"] for one in progress["respondents"]] == [1, 0]
    assert len(json.loads(call("evaluate", "questions", "security", "--json").out)[0]["items"]) == 8
    sheet = begun.parent / "s.csv"
    arguments = ("--respondent", "legal-counsel-1", "--out", str(sheet))
    assert json.loads(call("evaluate", "sheet", *arguments, "--json").out)["file"] == str(sheet)
    assert (
        json.loads(call("evaluate", "conclude", "--choice", "none", "--reason", "r", "--json").out)["choice"] == "none"
    )
    made = json.loads(call("evaluate", "init", "second", "--json").out)
    assert (made["questions"], len(made["groups"]), made["candidates"]) == (73, 9, [])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("init",), 1, "evaluation exists already and is left as it is"),
        (("init", "x", "--groups", "security,securty"), 1, "No shipped questionnaire named 'securty'"),
        (("init", "x", "--groups", "legal,legal"), 2, "--groups names one twice"),
        (("init", "x", "--candidates", "A=rented"), 2, "is of kind 'rented'; kinds are: bought, open source, own"),
        (("init", "x", "--candidates", "A,a"), 2, "'a' is named twice"),
        (("init", "x", "--candidates", "None"), 2, "would stand for no choice at all"),
        (("init", "x", "--period", "2024-12-31..2024-10-01"), 2, "ends before it begins"),
        (("init", "x", "--target-map", "none.toml"), 2, "does not exist"),
        (("answer",), 2, "Questions are asked in a terminal"),
        (("answer", "--item", "secrets"), 2, "needs --candidate, --group, --item and --sentiment"),
        (("answer", "--file", "evaluation/answers.toml", "--text", "x"), 2, "--file brings everything along"),
        (("answer", "--file", "evaluation/answers.toml"), 1, "has no answers"),
        (("answer", *SECRETS, "amber"), 2, "'amber' is none. Allowed: red 🔴, yellow 🟡, green 🟢"),
        (("answer", *SECRETS, "red", "--respondent", "nobody"), 1, "nobody is not one of the respondents"),
        (("answer", *SECRETS, "red", "--evidence", "javascript:x"), 1, "The evidence link 'javascript:x' begins with"),
        (("answer", *SECRETS[:1], "Gamma", *SECRETS[2:], "red"), 1, "No candidate named 'Gamma'. Known: Alpha, Beta"),
        (("answer", *SECRETS[:3], "security", "--item", "secret", "--sentiment", "red"), 1, "Did you mean 'secrets'"),
        (("answer", *SECRETS[:3], "finance", "--item", "x", "--sentiment", "red"), 1, "No group named 'finance'"),
        (("compare", "--out", "x.pdf"), 2, "'x.pdf' is none of: .md, .csv, .html, .svg"),
        (("compare", "--evaluation", "nowhere"), 1, "No evaluation.toml in nowhere"),
        (("conclude", "--choice", "Alpha"), 2, "Missing option '--reason'"),
        (("conclude", "--choice", "Alpha", "--reason", " "), 2, "--reason says nothing"),
        (("conclude", "--choice", "Alpa", "--reason", "r"), 1, "Did you mean 'Alpha'"),
        (("record",), 1, "lies in no project"),
        (("questions", "nobody"), 1, "No questionnaire named 'nobody'. Known: security, legal"),
        (("sheet",), 2, "Say who answers: --respondent NAME"),
    ],
)
@pytest.mark.usefixtures("begun")
def test_what_cannot_be_done_is_refused_in_one_line(
    call: Call, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """With the reason and the way on; the exit code tells refused from not understood."""
    answer = call("evaluate", *arguments)
    assert answer.code == code
    assert message in answer.err.replace("\n", " ")
    assert answer.out == ""


def test_the_folder_is_found_from_inside(call: Call, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As well as from beside it, and by its name from anywhere."""
    monkeypatch.chdir(begun)
    assert call("evaluate", "progress").code == 0
    monkeypatch.chdir("/")
    assert call("evaluate", "progress", "--evaluation", str(begun)).code == 0


@pytest.mark.usefixtures("begun")
def test_questions_can_be_read_before_anything_is_begun(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that ship; inside of an evaluation, its own."""
    assert "Data scientists (data-scientists)" not in call("evaluate", "questions").out
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "Data scientists (data-scientists)" in call("evaluate", "questions").out


# ---- inside of a project


def test_inside_of_a_project_everything_is_recorded(call: Call, project: Path) -> None:
    """Definition, answer, edit by hand, and conclusion are events with a person's command as their cause."""
    assert NOTHING_RECORDED not in call("evaluate", "init", "--candidates", "Alpha,Beta").err
    assert json.loads(call("evaluate", "answer", *SECRETS, "red", "--json").out)["recorded"] == 1
    path = project / "evaluation" / "answers.toml"
    path.write_text(path.read_text().replace("🔴", "🟢"))
    assert "1 change by hand not recorded yet" in call("evaluate", "progress").out
    assert call("evaluate", "record").out == "1 change recorded.\n"
    assert call("evaluate", "record").out == "All of it was recorded already.\n"
    assert call("evaluate", "conclude", "--choice", "Beta", "--reason", "r", "--by", "person-1").code == 0
    with Workspace(project) as workspace:
        found = list(workspace.ledger.read(types=["assessment.recorded"]))
        causes = [workspace.ledger.find(one.causationid) for one in found]
    kinds = [one.data["assessment"] for one in found]
    assert kinds == ["evaluation", "answer", "answer", "conclusion"]
    assert [one.data["sentiment"] for one in found if one.data["assessment"] == "answer"] == ["🔴", "🟢"]
    assert {one.evidence for one in found} == {"declared"}
    assert {(one.type, one.actor_class) for one in causes if one} == {("command.issued", "human")}
    assert found[-1].data["evaluation_digest"] == json.loads(call("evaluate", "compare", "--json").out)["digest"]


def test_a_conclusion_that_was_recorded_stays_when_its_file_is_removed(call: Call, project: Path) -> None:
    """The ledger remembers: neither answers nor another conclusion are taken."""
    call("evaluate", "init", "--candidates", "Alpha,Beta")
    call("evaluate", "answer", *SECRETS, "green")
    call("evaluate", "conclude", "--choice", "Beta", "--reason", "r", "--by", "person-1")
    (project / "evaluation" / "conclusion.toml").unlink()
    assert "was concluded on" in call("evaluate", "answer", *SECRETS, "red").err
    assert "was concluded on" in call("evaluate", "conclude", "--choice", "Alpha", "--reason", "r").err


def test_answers_never_count_towards_a_level(call: Call, project: Path) -> None:
    """What was declared leaves every measured number as it was."""
    before = json.loads(call("level", "returns", "--json").out)
    call("evaluate", "init", "--candidates", "Alpha,Beta")
    call("evaluate", "answer", *SECRETS, "green")
    after = json.loads(call("level", "returns", "--json").out)
    assert [level["is_met"] for level in after["levels"]] == [level["is_met"] for level in before["levels"]]
    assert (project / "evaluation").is_dir()
    assert after["profile"].keys() == before["profile"].keys()


def test_what_cannot_be_read_again_is_never_written(call: Call, begun: Path) -> None:
    """A conclusion and an answer with a character that cannot be shown; the folder stays as it was."""
    for broken in (
        ("conclude", "--choice", "Alpha", "--reason", "clear\x1b[2J"),
        ("conclude", "--choice", "Alpha", "--reason", "x" * 10_001),
        ("answer", *SECRETS, "red", "--text", "\x1b[31m"),
    ):
        before = {path.name: path.read_bytes() for path in begun.iterdir() if path.is_file()}
        refused = call("evaluate", *broken)
        assert (refused.code, refused.out) == (1, "")
        assert {path.name: path.read_bytes() for path in begun.iterdir() if path.is_file()} == before
    assert call("evaluate", "compare").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "--out", "none/a.html"), "There is no folder none to write a.html into"),
        (("sheet", "--respondent", "legal-counsel-1", "--out", "none/a.csv"), "mkdir -p none"),
        (("init", "broken.toml/new"), "Cannot make the folder broken.toml"),
        (("init", "new", "--target-map", "broken.toml"), "broken.toml:2: is not TOML"),
        (("init", "new", "--title", "a\nb"), "new/evaluation.toml:5: 'title' goes over several lines"),
        (("init", "new", "--candidates", "=own"), "'' is empty."),
    ],
)
def test_files_that_cannot_be_read_or_written_are_told(
    call: Call, begun: Path, arguments: tuple[str, ...], says: str
) -> None:
    """In one line that names what the user named, and with nothing left behind."""
    (begun.parent / "broken.toml").write_text("a = 1\nb = \n")
    refused = call("evaluate", *arguments)
    assert refused.code in (1, 2)
    assert says in " ".join(refused.err.split())
    assert "fault of Ratchet" not in refused.err
    assert sorted(path.name for path in begun.parent.iterdir()) == ["broken.toml", "evaluation"]
