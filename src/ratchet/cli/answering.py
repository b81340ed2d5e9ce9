"""Answering: from a file, by options, or question by question in a terminal.

Invariant: an answer that is not understood, comes too late, or is about nothing known changes neither file nor ledger.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ratchet.cli.bookkeeping import known_of, note_recorded, record
from ratchet.cli.session import Refused, Session

if TYPE_CHECKING:
    from ratchet.measure.evaluations.answers import Answer
    from ratchet.measure.evaluations.evaluation import Evaluation, Respondent
    from ratchet.measure.evaluations.folders import Folder
    from ratchet.workspace import Workspace


def answer_file(session: Session, folder: "Folder", workspace: "Workspace | None", source: Path) -> None:
    """Take in the answers of a file.

    Raises:
        ConfigInvalid: One is not understood; then none is taken in.
        Refused: There are none in it.
    """
    from ratchet.measure.evaluations import answers

    found = folder.read()
    if source.suffix.lower() not in (".toml", ".csv"):
        raise click.UsageError(f"'{source}' is neither .toml nor .csv.")
    read = answers.read(source.read_bytes(), where=str(source), names=found.names)
    if not read:
        raise Refused(f"{source} has no answers: each needs a sentiment. Nothing was written.")
    _put(session, folder, workspace, read)


def answer_one(session: Session, folder: "Folder", workspace: "Workspace | None", given: dict[str, str]) -> None:
    """Take in one answer that was given by options.

    Raises:
        UnknownName: No such group or candidate.
        BadParameter: The sentiment is none.
    """
    from ratchet.errors import UnknownName
    from ratchet.measure.evaluations import folders, sentiments
    from ratchet.measure.evaluations.answers import Answer

    found = folder.read()
    if given["group"] not in found.groups:
        raise UnknownName(kind="group", name=given["group"], known=", ".join(found.groups))
    sentiment = sentiments.parse(given["sentiment"])
    if sentiment is None:
        message = f"'{given['sentiment']}' is none. Allowed: {sentiments.ALLOWED}."
        raise click.BadParameter(message, param_hint="--sentiment")
    answer = Answer(
        candidate=given["candidate"],
        group=given["group"],
        item=given["item"],
        respondent=given["respondent"] or respondent_of(found, given["group"]).name,
        sentiment=sentiment,
        text=given["text"].strip(),
        evidence_link=given["evidence"].strip(),
        comment=given["comment"].strip(),
    )
    _put(session, folder, workspace, [folders.check_answer(found, answer)])


def answer_in_terminal(
    session: Session, folder: "Folder", workspace: "Workspace | None", given: dict[str, str]
) -> None:
    """Ask question after question, each answer saved before the next is shown.

    Raises:
        UsageError: There is no terminal.
    """
    import sys

    from ratchet import clock
    from ratchet.cli import console, interview
    from ratchet.measure.evaluations import candidates, folders

    if session.as_json or not sys.stdin.isatty():
        raise click.UsageError(
            "Questions are asked in a terminal. Elsewhere, name --file FILE, or --item and the rest."
        )
    found = folder.read()
    known = known_of(workspace, found).conclusion
    folders.check_open(found, now=clock.now(), concluded=known, action="no answer is taken any more")
    if not found.candidates:
        raise Refused("There are no candidates yet: add them to evaluation.toml as [[candidate]].")
    one = respondent_of(found, given["group"], given["respondent"])
    about = candidates.find(found.candidates, given["candidate"]).name if given["candidate"] else ""
    every = interview.questions(
        found,
        groups=[given["group"]] if given["group"] else one.groups,
        candidates=[about] if about else found.names.candidates,
    )

    def save(answer: "Answer") -> None:
        changed = folder.put([answer], now=clock.now(), concluded=known_of(workspace, folder.read()).conclusion)
        record(workspace, changed)

    saved = interview.hold(every, respondent=one.name, given={answer.key: answer for answer in found.given}, save=save)
    console.say(f"\n{console.count(saved, 'answer')} saved.")
    print_missing(folder.read())
    note_recorded(None if workspace is None else saved)


def respondent_of(found: "Evaluation", group: str, name: str = "") -> "Respondent":
    """Return who answers: the one who is named, or the only one there is for the group."""
    from ratchet.measure.evaluations.refusals import RespondentUnknown
    from ratchet.toml_tables import suggestion

    listed = "; ".join(f"{one.name} ({', '.join(one.groups)})" for one in found.respondents) or "nobody yet"
    fitting = [one for one in found.respondents if not group or group in one.groups]
    if name:
        fitting = [one for one in fitting if one.name == name]
        if not fitting:
            problem = f"does not answer {f'for {group}' if group else 'here'}. "
            hint = suggestion(name, [one.name for one in found.respondents])
            raise RespondentUnknown(respondent=name, problem=f"{problem}{hint}".strip(". "), known=listed)
    if len(fitting) != 1:
        raise click.UsageError(f"Say who answers: --respondent NAME. Respondents: {listed}.")
    return fitting[0]


def _put(session: Session, folder: "Folder", workspace: "Workspace | None", given: "Sequence[Answer]") -> None:
    from ratchet import clock
    from ratchet.cli import console

    known = known_of(workspace, folder.read()).conclusion
    found = folder.put(given, now=clock.now(), concluded=known)
    recorded = record(workspace, found)
    expected = _expected(found)
    if session.as_json:
        gone = [f"{one.group}/{one.item}" for one in found.gone]
        counts = {"written": len(given), "answered": len(found.given), "expected": expected}
        console.print_json({"evaluation": found.id, **counts, "gone": gone, "recorded": recorded})
        return
    written = console.count(len(given), "answer")
    console.say(f"{written} written; {len(found.given)} of {expected} are given.")
    print_gone(found)
    note_recorded(recorded)


def _expected(found: "Evaluation") -> int:
    from ratchet.measure.evaluations.comparison import compare

    return compare(found).expected


def print_missing(found: "Evaluation") -> None:
    """Say who has not answered everything."""
    from ratchet.cli import console
    from ratchet.measure.evaluations.comparison import compare

    late = compare(found).missing
    if late:
        listed = ", ".join(f"{one.respondent} ({one.answered} of {one.expected})" for one in late)
        console.say(f"Still missing: {listed}")


def print_gone(found: "Evaluation") -> None:
    """Say which answers are kept without being counted."""
    from ratchet.cli import console

    if found.gone:
        listed = ", ".join(dict.fromkeys(f"{one.group}/{one.item}" for one in found.gone))
        console.say(f"Kept and not counted, because their questions are gone: {listed}")
