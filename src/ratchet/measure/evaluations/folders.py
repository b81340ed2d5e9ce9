"""The folder of an evaluation, as it is made, answered and concluded.

Invariant: each change is one file, written as a whole or not at all, and by one process at a time; after the conclusion
nothing is written any more.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Protocol

from msgspec.structs import replace

from ratchet import clock
from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations import answers, comparison, conclusions, evaluation, questionnaires
from ratchet.measure.evaluations.answers import Answer
from ratchet.measure.evaluations.candidates import NO_CHOICE, Candidate, find
from ratchet.measure.evaluations.conclusions import Conclusion
from ratchet.measure.evaluations.evaluation import Evaluation, Period
from ratchet.measure.evaluations.questionnaires import Questionnaire
from ratchet.measure.evaluations.refusals import (
    ChoiceDisqualified,
    EvaluationConcluded,
    EvaluationExists,
    EvaluationNotFound,
    EvidenceRefused,
    NothingAnswered,
    OutsidePeriod,
    QuestionUnknown,
    RespondentUnknown,
)
from ratchet.toml_tables import suggestion, toml_text

_SUFFIX_LETTERS = 6


class Write(Protocol):
    """How a file is written: after a crash it is there as a whole or not at all."""

    def __call__(self, target: Path, content: bytes) -> None:
        """Write the file."""


class Folder:
    """The folder of one evaluation.

    Args:
        path: Where it lies.
        write: How its files are written.
    """

    def __init__(self, path: Path, *, write: Write) -> None:
        self.path = path
        self._write = write

    def read(self) -> Evaluation:
        """Return the evaluation as it stands.

        Raises:
            EvaluationNotFound: There is none.
            ConfigInvalid: One of its files means nothing.
        """
        return evaluation.read(self.path)

    def put(self, changed: Sequence[Answer], *, now: datetime, concluded: Conclusion | None = None) -> Evaluation:
        """Add answers, or replace those of the same respondent to the same item about the same candidate.

        Args:
            changed: At most one for each key; those without a day get today's.
            now: The moment of answering.
            concluded: A conclusion that is known from elsewhere.

        Returns:
            The evaluation with them.

        Raises:
            EvaluationConcluded: It is concluded already.
            OutsidePeriod: It has not begun, or is over.
            ConfigInvalid: The file of answers means nothing as it is. In each case nothing was written.
        """
        with self._alone():
            found = self.read()
            check_open(found, now=now, concluded=concluded, action="no answer is taken any more")
            dated = [one if one.answered_on else replace(one, answered_on=now.date()) for one in changed]
            path = self.path / found.answers_file
            before = path.read_bytes() if path.is_file() else b""
            self._write(path, answers.put(before, dated, where=path.name, names=found.names))
            return self.read()

    def conclude(
        self,
        choice: str,
        *,
        reasons: Sequence[str],
        by: str,
        now: datetime,
        concluded: Conclusion | None = None,
        without_answers: bool = False,
    ) -> tuple[Evaluation, Conclusion]:
        """Write the conclusion.

        Args:
            choice: Name of a candidate, or ``none``.
            reasons: At least one.
            by: Who concludes.
            now: The moment.
            concluded: A conclusion that is known from elsewhere.
            without_answers: It is meant even if nobody has answered anything.

        Raises:
            EvaluationConcluded: There is one already.
            NothingAnswered: There are no answers, and nobody said that this is meant.
            UnknownName: No candidate has that name.
            ChoiceDisqualified: A red answer to a must rules it out.
            ConfigInvalid: A reason or a name cannot be shown, or is too long. In each case nothing was written.
        """
        with self._alone():
            found = self.read()
            refuse_concluded(found, concluded, action="a second conclusion is refused")
            numbers = comparison.compare(found)
            is_none = choice.strip().lower() == NO_CHOICE
            name = NO_CHOICE if is_none else find(found.candidates, choice).name
            ruled_out = [one for one in numbers.candidates if one.candidate.name == name and one.vetoes]
            if not numbers.answered and not without_answers:
                raise NothingAnswered(evaluation=found.id, expected=numbers.expected)
            if ruled_out:
                vetoes = ", ".join(str(veto) for veto in ruled_out[0].vetoes)
                raise ChoiceDisqualified(candidate=name, vetoes=vetoes)
            made = Conclusion(
                choice=name,
                reasons=tuple(reasons),
                by=by,
                concluded_at=now.isoformat(timespec="seconds"),
                digest=found.digest,
                answered=numbers.answered,
                expected=numbers.expected,
                missing=tuple(one.respondent for one in numbers.missing),
                disqualified=tuple(one.candidate.name for one in numbers.candidates if one.is_disqualified),
                figures=tuple(one.figures for one in numbers.candidates),
                is_without_answers=not numbers.answered,
            )
            content = conclusions.to_toml(made)
            # It is written once: a conclusion that could not be read again would close the folder for good.
            conclusions.parse(content, where="the conclusion")
            self._write(self.path / evaluation.CONCLUSION, content)
            return self.read(), made

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder while it is changed: an answer of another process would else be lost."""
        if not (self.path / evaluation.FILE).is_file():
            raise EvaluationNotFound(folder=str(self.path))
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def check_open(found: Evaluation, *, now: datetime, concluded: Conclusion | None = None, action: str) -> None:
    """Refuse a change after the conclusion, and an answer outside of the period.

    Raises:
        EvaluationConcluded: It is concluded, by its file or by what is known from elsewhere.
        OutsidePeriod: It has not begun, or is over.
    """
    refuse_concluded(found, concluded, action=action)
    problem = "it has not begun" if not found.period.has_begun(now) else ""
    problem = "it is over" if found.period.is_over(now) else problem
    if problem:
        today = now.date().isoformat()
        raise OutsidePeriod(evaluation=found.id, period=str(found.period), today=today, problem=problem)


def refuse_concluded(found: Evaluation, concluded: Conclusion | None, *, action: str) -> None:
    """Refuse a change after the conclusion, also where its file was taken away.

    Raises:
        EvaluationConcluded: It is concluded.
    """
    known = found.conclusion or concluded
    if known is not None:
        raise EvaluationConcluded(evaluation=found.id, choice=known.choice, by=known.by, day=known.day, action=action)


def check_answer(found: Evaluation, answer: Answer) -> Answer:
    """Return an answer that was typed, with its candidate's name as the evaluation writes it.

    Raises:
        UnknownName: No such candidate.
        QuestionUnknown: The group has no such item.
        RespondentUnknown: Nobody of that name answers for that group.
        EvidenceRefused: The link is none.
    """
    candidate = find(found.candidates, answer.candidate)
    known = {one.name: one.groups for one in found.respondents}
    listed = "; ".join(f"{name} ({', '.join(groups)})" for name, groups in known.items()) or "nobody yet"
    if answer.respondent not in known:
        problem = f"is not one of the respondents. {suggestion(answer.respondent, list(known))}".strip(" .")
        raise RespondentUnknown(respondent=answer.respondent, problem=problem, known=listed)
    if answer.group not in known[answer.respondent]:
        problem = f"does not answer for '{answer.group}'"
        raise RespondentUnknown(respondent=answer.respondent, problem=problem, known=listed)
    items = [item.id for item in found.questionnaire(answer.group).items]
    if answer.item not in items:
        hint = suggestion(answer.item, items)
        raise QuestionUnknown(group=answer.group, item=answer.item, known=f"{', '.join(items)}. {hint}".strip(". "))
    if problem := answers.link_problem(answer.evidence_link):
        raise EvidenceRefused(link=answer.evidence_link, problem=problem)
    return replace(answer, candidate=candidate.name)


# ---- making one


def create(
    target: Path,
    *,
    title: str,
    period: Period,
    candidates: Sequence[Candidate],
    asked: Sequence[Questionnaire],
    sources: dict[str, bytes],
    maps: dict[str, bytes],
    answers_file: str,
    write: Write,
) -> None:
    """Make the folder of a new evaluation, as a whole or not at all.

    Args:
        target: The folder, which must not exist.
        asked: The questionnaires of its groups.
        sources: Their files by group.
        maps: Files of maps by key (``target_map``, ``current_map``), copied into it.
        answers_file: ``answers.toml`` or ``answers.csv``.
        write: How files are written.

    Raises:
        EvaluationExists: There is something at the target.
        ConfigInvalid: What is asked for makes no evaluation.
    """
    if target.exists():
        raise EvaluationExists(folder=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    identity = clock.new_id()
    temporary = target.parent / f".{target.name}.{identity}"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", target.resolve().name).strip("-.") or "evaluation"
    text = _definition(
        f"{name[:60]}-{identity[-_SUFFIX_LETTERS:]}",
        title=title,
        period=period,
        candidates=candidates,
        asked=asked,
        maps=maps,
    )
    files = {
        **{f"{evaluation.QUESTIONNAIRES}/{group}.toml": content for group, content in sources.items()},
        **{map_name(key): content for key, content in maps.items()},
        answers_file: answers.to_csv([]) if answers_file.endswith(".csv") else answers.to_toml([]),
        evaluation.FILE: text.encode(),
    }
    try:
        for file, content in files.items():
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            write(temporary / file, content)
        evaluation.read(temporary)
        temporary.rename(target)
    except ConfigInvalid as error:
        rmtree(temporary, ignore_errors=True)
        place = error.where.replace(str(temporary), str(target))
        raise ConfigInvalid(place, error.problem, error.remedy) from error
    except BaseException:
        rmtree(temporary, ignore_errors=True)
        raise


def map_name(key: str) -> str:
    """Return where the map of a key lies, such as ``maps/target.toml``."""
    return f"maps/{key.removesuffix('_map')}.toml"


def _definition(
    name: str,
    *,
    title: str,
    period: Period,
    candidates: Sequence[Candidate],
    asked: Sequence[Questionnaire],
    maps: dict[str, bytes],
) -> str:
    groups = ", ".join(toml_text(one.group) for one in asked)
    parts = [
        "# An evaluation of platforms. Questions: questionnaires/. Answers: ratchet evaluate answer.\n",
        "[evaluation]",
        f"id = {toml_text(name)}                # names it in the ledger; leave it as it is",
        f"title = {toml_text(title)}",
        f"period = {toml_text(str(period))}",
        f"groups = [{groups}]",
    ]
    for key in ("target_map", "current_map"):
        made = f"{key} = {toml_text(map_name(key))}"
        parts.append(made if key in maps else f"# {made}   # with its processes, coverage and steps can be counted")
    for candidate in candidates:
        parts += ["", _candidate_text(candidate)]
    for one in asked:
        parts += ["", "[[respondent]]", f"name = {toml_text(f'{one.role}-1')}", f"groups = [{toml_text(one.group)}]"]
    return "\n".join(parts) + "\n"


def _candidate_text(candidate: Candidate) -> str:
    return "\n".join(
        [
            "[[candidate]]",
            f"name = {toml_text(candidate.name)}",
            f"kind = {toml_text(candidate.kind)}            # bought, open source or own",
            '# tools = { train = "its scheduler" }   # what does the work of each process of the target map',
            '# map = "maps/with-it.toml"             # the map as it would be with this candidate',
            '# cost_year = 12000\n# currency = "EUR"\n# effort_days = 30',
            '# lock_in = "what makes leaving hard"',
        ]
    )


def sources_of(groups: Sequence[str]) -> tuple[list[Questionnaire], dict[str, bytes]]:
    """Return the shipped questionnaires of some groups, and their files.

    Raises:
        UnknownName: None ships for one of them.
    """
    contents = {group: questionnaires.shipped_bytes(group) for group in groups}
    return [questionnaires.parse(content, where=f"{group}.toml") for group, content in contents.items()], contents
