"""``ratchet evaluate``: choose a platform with questionnaires by group and a comparison in numbers.

Invariant: the folder of an evaluation is enough to work with; inside a project each answer, each edit and the
conclusion is recorded in the ledger, too, and a command that could not record says so.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.answering import answer_file, answer_in_terminal, answer_one, print_gone, print_missing, respondent_of
from ratchet.cli.bookkeeping import DEFAULT_FOLDER, known_of, note_recorded, path_of, project_around, record
from ratchet.cli.groups import Group
from ratchet.cli.outputs import make_folder, write_output
from ratchet.cli.session import Refused, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.measure.evaluations.candidates import Candidate
    from ratchet.measure.evaluations.comparison import Comparison
    from ratchet.measure.evaluations.evaluation import Period
    from ratchet.measure.evaluations.folders import Folder

_DEFAULT_DAYS = 90
_FORMS = (".md", ".csv", ".html", ".svg")
_SENTIMENT = click.option("--sentiment", default="", metavar="red|yellow|green", help="What the answer amounts to.")
_PLACE = click.option(
    "--evaluation",
    "place",
    default="",
    metavar="DIR",
    help="Folder of the evaluation: this one, or ./evaluation, where not named.",
)


@click.group(
    "evaluate",
    cls=Group,
    epilog=examples(
        'ratchet evaluate init --candidates "MLflow,ZenML,Acme=bought"',
        "ratchet evaluate answer --respondent security-officer-1",
        "ratchet evaluate compare --out comparison.html",
        'ratchet evaluate conclude --choice MLflow --reason "covers what we lack"',
    ),
)
def evaluate_command() -> None:
    """Choose a platform: questionnaires by group, and a comparison in numbers.

    Answers are what people declare. They are recorded as such, and never count towards a level.
    """


# ---- beginning


@evaluate_command.command(
    "init",
    epilog=examples(
        "ratchet evaluate init",
        'ratchet evaluate init choice --candidates "MLflow,Acme=bought" --groups security,legal,operations',
        "ratchet evaluate init --period 2024-10-01..2024-12-31 --target-map target.toml",
    ),
)
@click.argument("folder_name", metavar="[DIR]", required=False, default=DEFAULT_FOLDER)
@click.option("--title", default="Which platform?", show_default=True, help="The question that is to be answered.")
@click.option("--period", default="", metavar="FROM..TO", help="Days on which answers are taken; 90 days from today.")
@click.option("--candidates", default="", metavar="A,B=KIND", help="KIND: bought, open source (if not said) or own.")
@click.option("--groups", default="", metavar="A,B", help="Groups that are asked; all nine by default.")
@click.option("--target-map", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Map as it shall be.")
@click.option("--current-map", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Map as it is today.")
@click.option(
    "--answers", type=click.Choice(["toml", "csv"]), default="toml", show_default=True, help="How answers are kept."
)
@with_session
def init_command(
    session: Session,
    *,
    folder_name: str,
    title: str,
    period: str,
    candidates: str,
    groups: str,
    target_map: Path | None,
    current_map: Path | None,
    answers: str,
) -> None:
    """Write a folder with an evaluation: its definition, questionnaires and a file for answers."""
    from ratchet.measure.evaluations import folders, processes
    from ratchet.measure.evaluations.questionnaires import SHIPPED
    from ratchet.store.artifacts import write_durably

    chosen = [one.strip() for one in groups.split(",") if one.strip()] or list(SHIPPED)
    if len(set(chosen)) < len(chosen):
        raise click.UsageError("--groups names one twice.")
    asked, sources = folders.sources_of(chosen)
    maps = {
        key: path.read_bytes()
        for key, path in (("target_map", target_map), ("current_map", current_map))
        if path is not None and processes.parse(path.read_bytes(), where=str(path))
    }
    target = Path(folder_name)
    make_folder(target.parent)
    folders.create(
        target,
        title=title,
        period=_period(period),
        candidates=_candidates(candidates),
        asked=asked,
        sources=sources,
        maps=maps,
        answers_file=f"answers.{answers}",
        write=write_durably,
    )
    folder = folders.Folder(target, write=write_durably)
    with project_around(session, target) as workspace:
        recorded = record(workspace, folder.read())
    _report_init(session, folder, recorded)


def _report_init(session: Session, folder: "Folder", recorded: int | None) -> None:
    from ratchet.cli import console

    found = folder.read()
    questions = sum(len(one.items) for one in found.questionnaires)
    if session.as_json:
        named = {"folder": str(folder.path), "id": found.id, "period": str(found.period), "groups": list(found.groups)}
        every = {**named, "candidates": list(found.names.candidates), "questions": questions, "recorded": recorded}
        console.print_json(every)
        return
    groups = console.count(len(found.groups), "group")
    console.say(f"{folder.path}/ asks {questions} questions of {groups}, within {found.period}.")
    if not found.candidates:
        console.say("It has no candidates yet: add them to evaluation.toml as [[candidate]].")
    console.say(f"Respondents and what candidates cost and cover stand in {folder.path}/evaluation.toml.")
    console.say("Next: ratchet evaluate answer")
    note_recorded(recorded)


def _period(text: str) -> "Period":
    from ratchet import clock
    from ratchet.measure.evaluations.evaluation import Period, parse_period

    if not text:
        today = clock.now().date()
        return Period(first=today, last=today + timedelta(days=_DEFAULT_DAYS))
    try:
        return parse_period(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--period") from error


def _candidates(text: str) -> "list[Candidate]":
    from ratchet.measure.evaluations.candidates import KINDS, Candidate, refused_name

    found: list[Candidate] = []
    for one in (part.strip() for part in text.split(",") if part.strip()):
        name, _, kind = (part.strip() for part in one.partition("="))
        problem = refused_name(name)
        if name.lower() in {other.name.lower() for other in found}:
            problem = "is named twice."
        if kind and kind not in KINDS:
            problem = f"is of kind '{kind}'; kinds are: {', '.join(KINDS)}."
        if problem:
            raise click.BadParameter(f"'{name}' {problem}", param_hint="--candidates")
        found.append(Candidate(name=name, kind=kind or "open source"))
    return found


@evaluate_command.command(
    "questions", epilog=examples("ratchet evaluate questions", "ratchet evaluate questions security")
)
@click.argument("group", required=False, default="")
@_PLACE
@with_session
def questions_command(session: Session, *, group: str, place: str) -> None:
    """List what each group is asked: as the evaluation here has it, else as it ships."""
    import msgspec

    from ratchet.cli import console
    from ratchet.errors import UnknownName
    from ratchet.measure.evaluations import evaluation
    from ratchet.measure.evaluations.questionnaires import SHIPPED, shipped

    path = path_of(place)
    has_one = bool(place) or (path / evaluation.FILE).is_file()
    every = evaluation.read(path).questionnaires if has_one else tuple(shipped(name) for name in SHIPPED)
    known = {one.group: one for one in every}
    if group and group not in known:
        raise UnknownName(kind="questionnaire", name=group, known=", ".join(known))
    chosen = [known[group]] if group else list(every)
    if session.as_json:
        console.print_json(msgspec.to_builtins(chosen))
        return
    for one in chosen:
        console.title(f"{one.name} ({one.group})")
        made = console.table("", "", "", whole=("",))
        made.show_header = False
        made.columns[1].no_wrap = False
        for item in one.items:
            must = " Must." if item.must else ""
            made.add_row(item.id, item.text if group else f"{item.text}{must}", f"{item.weight:g}")
            if group:
                made.add_row("", f"  {item.why}{must}", "")
        console.say(made)


# ---- answering


@evaluate_command.command(
    "answer",
    epilog=examples(
        "ratchet evaluate answer --respondent legal-counsel-1",
        "ratchet evaluate answer --file filled-in.csv",
        "ratchet evaluate answer --candidate MLflow --group security --item secrets --sentiment yellow \\",
        '    --text "kept in the environment" --evidence https://example.org/docs/secrets',
    ),
)
@_PLACE
@click.option("--respondent", default="", metavar="NAME", help="Who answers; may be left out where it is clear.")
@click.option("--candidate", default="", metavar="NAME", help="About which candidate; all, where questions are asked.")
@click.option("--group", default="", metavar="GROUP", help="For which group.")
@click.option("--item", default="", metavar="ID", help="Which question.")
@_SENTIMENT
@click.option("--text", default="", help="What was found, in words.")
@click.option("--evidence", default="", metavar="LINK", help="Where others can see it.")
@click.option("--comment", default="", help="What else is to be said.")
@click.option(
    "--file", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Answers as TOML or CSV."
)
@with_session
def answer_command(session: Session, *, place: str, source: Path | None, **given: str) -> None:
    """Answer questions: one by one in a terminal, from a file, or a single one by options.

    An answer takes the place of the one that the same respondent gave before. Inside a project both stay in the ledger.
    """
    from ratchet.measure.evaluations.folders import Folder
    from ratchet.store.artifacts import write_durably

    single = given["item"] or given["sentiment"]
    if source is not None and any(given.values()):
        raise click.UsageError("--file brings everything along; no other option of an answer goes with it.")
    if single and not all(given[name] for name in ("candidate", "group", "item", "sentiment")):
        raise click.UsageError("A single answer needs --candidate, --group, --item and --sentiment.")
    folder = Folder(path_of(place), write=write_durably)
    with project_around(session, folder.path) as workspace:
        if source is not None:
            answer_file(session, folder, workspace, source)
        elif single:
            answer_one(session, folder, workspace, given)
        else:
            answer_in_terminal(session, folder, workspace, given)


@evaluate_command.command(
    "sheet", epilog=examples("ratchet evaluate sheet --respondent legal-counsel-1 --out legal.csv")
)
@_PLACE
@click.option("--respondent", default="", metavar="NAME", help="Whose questions; may be left out where it is clear.")
@click.option("--candidate", default="", metavar="NAME", help="About one candidate only.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file; standard output by default.")
@with_session
def sheet_command(session: Session, *, place: str, respondent: str, candidate: str, out: Path | None) -> None:
    """Write a respondent's questions as a sheet (CSV), to be filled in and read with `answer --file`."""
    from ratchet.cli import console
    from ratchet.measure.evaluations import candidates, evaluation, sheets

    found = evaluation.read(path_of(place))
    one = respondent_of(found, "", respondent)
    about = [candidates.find(found.candidates, candidate).name] if candidate else found.names.candidates
    content = sheets.blank(found, one, candidates=about)
    if out is None:
        click.echo(content.decode("utf-8-sig"), nl=False)
        return
    write_output(out, content)
    if session.as_json:
        console.print_json({"file": str(out), "respondent": one.name})
    else:
        console.say(
            f"{out} is for {one.name}. Filled in, it is read with: ratchet evaluate answer --file {out}", is_whole=True
        )


# ---- looking


@evaluate_command.command("progress", epilog=examples("ratchet evaluate progress"))
@_PLACE
@with_session
def progress_command(session: Session, *, place: str) -> None:
    """Show who has answered how much, and who is still missing; inside a project, as the ledger says."""
    from ratchet.cli import console
    from ratchet.measure.evaluations import comparison, evaluation, recording

    path = path_of(place)
    found = evaluation.read(path)
    late = {one.respondent: one for one in comparison.compare(found).missing}
    with project_around(session, path) as workspace:
        known = known_of(workspace, found)
        by_ledger = {one.respondent: one for one in recording.progress(found, known)}
        waiting = None if workspace is None else len(recording.pending(found, known))
    rows: list[dict[str, Any]] = []
    for one in found.respondents:
        mine = sum(answer.respondent == one.name for answer in found.given)
        left = late[one.name].expected - mine if one.name in late else 0
        ledger = by_ledger[one.name]
        counts: dict[str, Any] = {"answered": mine, "expected": mine + left}
        last = ledger.last_at.isoformat() if ledger.last_at else None
        of_ledger = {"recorded": None if workspace is None else ledger.recorded, "last_recorded_at": last}
        rows.append({"respondent": one.name, "groups": list(one.groups), **counts, **of_ledger})
    if session.as_json:
        console.print_json({"evaluation": found.id, "respondents": rows, "not_recorded": waiting})
        return
    made = console.table("RESPONDENT", "GROUPS", "ANSWERED", "RECORDED", "LAST", right=("RECORDED",))
    for row in rows:
        answered = f"{row['answered']} of {row['expected']}"
        on_ledger = "-" if row["recorded"] is None else str(row["recorded"])
        made.add_row(
            row["respondent"], ", ".join(row["groups"]), answered, on_ledger, (row["last_recorded_at"] or "-")[:10]
        )
    console.say(made)
    if waiting:
        console.say(f"\n{console.count(waiting, 'change')} by hand not recorded yet: ratchet evaluate record")
    if waiting is None:
        note_recorded(None)


@evaluate_command.command(
    "compare",
    epilog=examples("ratchet evaluate compare", "ratchet evaluate compare --out comparison.html --out comparison.csv"),
)
@_PLACE
@click.option(
    "--out",
    "outs",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="FILE.md, .csv, .html or .svg.",
)
@with_session
def compare_command(session: Session, *, place: str, outs: tuple[Path, ...]) -> None:
    """Compare the candidates in numbers. There is no overall score."""
    from ratchet.cli import console
    from ratchet.measure.evaluations import evaluation
    from ratchet.measure.evaluations.comparison import compare
    from ratchet.measure.evaluations.export import to_values

    for out in outs:
        if out.suffix.lower() not in _FORMS:
            raise click.UsageError(f"'{out}' is none of: {', '.join(_FORMS)}.")
    found = compare(evaluation.read(path_of(place)))
    for out in outs:
        write_output(out, _exported(found, out.suffix.lower()))
    if session.as_json:
        console.print_json({**to_values(found), "files": [str(out) for out in outs]})
    elif outs:
        for out in outs:
            console.say(f"{out}", is_whole=True)
    else:
        _print_comparison(found)


def _exported(found: "Comparison", form: str) -> bytes:
    from ratchet.measure.evaluations import drawing, markdown, page, sheets

    match form:
        case ".csv":
            return sheets.to_csv(found)
        case ".html":
            return page.to_html(found).encode()
        case ".svg":
            return drawing.to_svg(found).encode()
        case _:
            return markdown.to_markdown(found).encode()


def _print_comparison(found: "Comparison") -> None:
    from rich.text import Text

    from ratchet.cli import console
    from ratchet.measure.evaluations import wording

    console.say(Text(found.evaluation.title, style="bold"))
    console.say(wording.state(found))
    if not found.candidates:
        console.say("There are no candidates yet: add them to evaluation.toml as [[candidate]].")
        return
    console.title("In numbers")
    names = [one.candidate.name for one in found.candidates]
    made = console.table("", *names, whole=("",))
    for label, values in wording.headline(found, is_short=True):
        made.add_row(label, *values)
    console.say(made)
    for remark in wording.remarks(found):
        console.say(Text(remark, style="dim"))
    console.title("Answers by group")
    made = console.table("", *names, whole=("",))
    for index, asked in enumerate(found.evaluation.questionnaires):
        counted = [one.groups[index] for one in found.candidates]
        made.add_row(asked.name, *(wording.sentiment_counts(one.counts) if one.answered else "-" for one in counted))
    console.say(made)
    for veto in (veto for one in found.candidates for veto in one.vetoes):
        console.say(Text(f"🔴 must: {veto}: {veto.text}", style="red"))
    for split in found.disagreements:
        item = f"{split.group}/{split.item}"
        console.say(f"Disagreement on {item}, {split.candidate}: 🔴 {', '.join(split.red)} 🟢 {', '.join(split.green)}")
    print_missing(found.evaluation)
    print_gone(found.evaluation)
    console.say(Text("\nEverything, with all answers: ratchet evaluate compare --out comparison.html", style="dim"))


# ---- the end


@evaluate_command.command(
    "conclude",
    epilog=examples(
        'ratchet evaluate conclude --choice MLflow --reason "covers what we lack" --reason "no new service"',
        'ratchet evaluate conclude --choice none --reason "all are ruled out by a must"',
    ),
)
@_PLACE
@click.option("--choice", required=True, metavar="NAME", help="The candidate that is chosen, or none.")
@click.option("--reason", "reasons", multiple=True, required=True, help="Why; may be given several times.")
@click.option("--by", default="", metavar="NAME", help="Who concludes; your account by default.")
@click.option("--without-answers", is_flag=True, help="Conclude although nobody has answered; this is recorded.")
@with_session
def conclude_command(
    session: Session, *, place: str, choice: str, reasons: tuple[str, ...], by: str, without_answers: bool
) -> None:
    """Conclude the evaluation, once and for all: afterwards neither answers nor another conclusion are taken."""
    import getpass

    from ratchet import clock
    from ratchet.cli import console
    from ratchet.measure.evaluations.folders import Folder
    from ratchet.store.artifacts import write_durably

    if not all(reason.strip() for reason in reasons):
        raise click.UsageError("--reason says nothing.")
    folder = Folder(path_of(place), write=write_durably)
    with project_around(session, folder.path) as workspace:
        known = known_of(workspace, folder.read()).conclusion
        who = by.strip() or getpass.getuser()
        found, made = folder.conclude(
            choice, reasons=reasons, by=who, now=clock.now(), concluded=known, without_answers=without_answers
        )
        recorded = record(workspace, found)
    if session.as_json:
        import msgspec

        console.print_json({"evaluation": found.id, **msgspec.to_builtins(made), "recorded": recorded})
        return
    console.say(f"Concluded: {made.choice}. It rests on {made.answered} of {made.expected} answers.")
    if made.missing:
        console.say(f"Missing were: {', '.join(made.missing)}")
    console.say(f"sha256 of what it rests on: {made.digest}", is_whole=True)
    note_recorded(recorded)


@evaluate_command.command("record", epilog=examples("ratchet evaluate record"))
@_PLACE
@with_session
def record_command(session: Session, *, place: str) -> None:
    """Record in the ledger what was changed in the folder by hand."""
    from ratchet.cli import console
    from ratchet.measure.evaluations import evaluation

    path = path_of(place)
    found = evaluation.read(path)
    with project_around(session, path) as workspace:
        if workspace is None:
            raise Refused(f"{path} lies in no project, so there is no ledger to record in. See: ratchet init --help")
        recorded = record(workspace, found)
    if session.as_json:
        console.print_json({"evaluation": found.id, "recorded": recorded})
    else:
        console.say(
            f"{console.count(recorded or 0, 'change')} recorded." if recorded else "All of it was recorded already."
        )
