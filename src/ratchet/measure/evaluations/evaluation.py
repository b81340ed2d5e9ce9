"""An evaluation as it stands in its folder: candidates, respondents, questionnaires, answers and the conclusion.

Invariant: what was read is complete: every answer is about a known candidate and of a known respondent, and those to
items that are gone are kept apart; the digest is that of all bytes that were read, the conclusion's own excepted.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations import answers, candidates, conclusions, processes, questionnaires
from ratchet.measure.evaluations.answers import Answer, Names
from ratchet.measure.evaluations.candidates import Candidate
from ratchet.measure.evaluations.conclusions import Conclusion
from ratchet.measure.evaluations.processes import Processes
from ratchet.measure.evaluations.questionnaires import Questionnaire
from ratchet.measure.evaluations.refusals import EvaluationNotFound
from ratchet.records import Record, digest_of
from ratchet.toml_tables import Table, TableFile, suggestion

FILE = "evaluation.toml"
QUESTIONNAIRES = "questionnaires"
ANSWERS = ("answers.toml", "answers.csv")
CONCLUSION = "conclusion.toml"
_TOP = ("evaluation", "candidate", "respondent")
_EVALUATION = ("id", "title", "period", "groups", "target_map", "current_map")
_RESPONDENT = ("name", "groups")
_LONGEST_PATH = 200
# A day has begun somewhere 14 hours before it does at Greenwich, and is over everywhere 12 hours after.
_FIRST_ZONE, _LAST_ZONE = timedelta(hours=14), timedelta(hours=-12)


class Period(Record, frozen=True):
    """The days on which answers are taken, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        """Return it as it is written: ``2024-10-01..2024-12-31``."""
        return f"{self.first.isoformat()}..{self.last.isoformat()}"

    def has_begun(self, now: datetime) -> bool:
        """Tell whether the first day has begun anywhere."""
        return (now + _FIRST_ZONE).date() >= self.first

    def is_over(self, now: datetime) -> bool:
        """Tell whether the last day is over everywhere."""
        return (now + _LAST_ZONE).date() > self.last


def parse_period(text: str) -> Period:
    """Return the period that a text such as ``2024-10-01..2024-12-31`` means.

    Raises:
        ValueError: It means none; the message says why.
    """
    found = re.fullmatch(r"\s*(\d{4}-\d{2}-\d{2})\s*\.\.\s*(\d{4}-\d{2}-\d{2})\s*", text)
    if found is None:
        message = f"'{text}' is no period. Write it as 2024-10-01..2024-12-31."
        raise ValueError(message)
    try:
        first, last = date.fromisoformat(found[1]), date.fromisoformat(found[2])
    except ValueError as error:
        message = f"'{text}' is no period: {error}. Write it as 2024-10-01..2024-12-31."
        raise ValueError(message) from error
    if last < first:
        message = f"'{text}' ends before it begins. Write the earlier day first."
        raise ValueError(message)
    return Period(first=first, last=last)


class Respondent(Record, frozen=True):
    """Somebody who answers, for one group or for several."""

    name: str
    groups: tuple[str, ...]


class Evaluation(Record, frozen=True):
    """All that the folder says.

    Attributes:
        id: Names it in the ledger; made once, at its beginning.
        questionnaires: Those of its groups, in the order in which they are named.
        given: The answers that count.
        gone: Answers to items that their questionnaires no longer have: kept, not counted.
        target: The map as it shall be; ``None`` where none is named.
        current: The map as it is today.
        maps: The map as it would be, by candidate.
        definition: Digest of everything but answers and conclusion.
        digest: Digest of everything but the conclusion.
        answers_file: Name of the file of answers.
    """

    id: str
    title: str
    period: Period
    candidates: tuple[Candidate, ...]
    respondents: tuple[Respondent, ...]
    questionnaires: tuple[Questionnaire, ...]
    given: tuple[Answer, ...]
    gone: tuple[Answer, ...]
    target: Processes | None
    current: Processes | None
    maps: dict[str, Processes]
    conclusion: Conclusion | None
    definition: str
    digest: str
    answers_file: str

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the names of the groups."""
        return tuple(one.group for one in self.questionnaires)

    @property
    def names(self) -> Names:
        """Return which names an answer may use."""
        return Names(
            candidates=tuple(one.name for one in self.candidates),
            groups=self.groups,
            respondents={one.name: one.groups for one in self.respondents},
        )

    def questionnaire(self, group: str) -> Questionnaire:
        """Return the questionnaire of a group that the evaluation has."""
        return next(one for one in self.questionnaires if one.group == group)


def read(folder: Path) -> Evaluation:
    """Return the evaluation in a folder.

    Raises:
        EvaluationNotFound: There is none.
        ConfigInvalid: One of its files means nothing; file, line and what is allowed are named.
    """
    return _Reading(folder).evaluation()


class _Reading:
    """Reads the files of one folder and keeps the digest of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}

    def evaluation(self) -> Evaluation:
        if not (self.folder / FILE).is_file():
            raise EvaluationNotFound(folder=str(self.folder))
        file = TableFile(self.bytes_of(FILE), where=self.where(FILE))
        file.refuse_unknown(_TOP, "an evaluation")
        head = file.table("evaluation")
        head.refuse_unknown(_EVALUATION, "[evaluation]")
        asked = self.questionnaires(head)
        groups = tuple(one.group for one in asked)
        target, current = (self.map_of(head, key) for key in ("target_map", "current_map"))
        found = candidates.read(file.tables("candidate"))
        self.check_tools(file.tables("candidate"), target)
        maps = {
            one.name: made
            for one, table in zip(found, file.tables("candidate"), strict=True)
            if (made := self.map_of(table, "map")) is not None
        }
        respondents = _respondents(file.tables("respondent"), groups)
        definition = digest_of(self.digests)
        names = Names(
            candidates=tuple(one.name for one in found),
            groups=groups,
            respondents={one.name: one.groups for one in respondents},
        )
        answers_file, every = self.answers(names)
        by_group = {one.group: one for one in asked}
        return Evaluation(
            id=_identity(head),
            title=head.line("title"),
            period=_period(head),
            candidates=found,
            respondents=respondents,
            questionnaires=asked,
            given=tuple(one for one in every if by_group[one.group].item(one.item)),
            gone=tuple(one for one in every if not by_group[one.group].item(one.item)),
            target=target,
            current=current,
            maps=maps,
            conclusion=self.conclusion(),
            definition=definition,
            digest=digest_of(self.digests),
            answers_file=answers_file,
        )

    def questionnaires(self, head: Table) -> tuple[Questionnaire, ...]:
        own = questionnaires.own(self.folder / QUESTIONNAIRES)
        known = tuple(dict.fromkeys([*questionnaires.SHIPPED, *own]))
        chosen = head.texts("groups")
        if not chosen or len(set(chosen)) < len(chosen):
            problem = "names one twice." if chosen else "names none."
            head.refuse("groups", problem, f"Name some of: {', '.join(known)}.")
        for index, group in enumerate(chosen):
            if group not in known:
                remedy = f"{suggestion(group, known)}Known: {', '.join(known)}; or write {QUESTIONNAIRES}/{group}.toml."
                head.refuse("groups", f"names '{group}', for which there is no questionnaire.", remedy, index=index)
        return tuple(self.questionnaire(group, own) for group in chosen)

    def questionnaire(self, group: str, own: dict[str, Path]) -> Questionnaire:
        if group in own:
            name = f"{QUESTIONNAIRES}/{own[group].name}"
            content = self.bytes_of(name)
        else:
            name = f"{QUESTIONNAIRES}/{group}.toml"
            content = questionnaires.shipped_bytes(group)
            self.digests[name] = hashlib.sha256(content).hexdigest()
        read = questionnaires.parse(content, where=self.where(name))
        if read.group != group:
            TableFile(content, where=self.where(name)).refuse(
                "group", f"is '{read.group}', and the file is that of '{group}'.", "Give file and group one name."
            )
        return read

    def map_of(self, table: Table, key: str) -> Processes | None:
        name = table.line(key, default="", longest=_LONGEST_PATH)
        if not name:
            return None
        if not (self.folder / name).is_file():
            table.refuse(key, f"is '{name}', and there is no such file.", f"It is looked for in {self.folder}.")
        return processes.parse(self.bytes_of(name), where=self.where(name))

    def check_tools(self, tables: Sequence[Table], target: Processes | None) -> None:
        """Refuse tools for processes that the target map does not have: most likely they are misspelt."""
        for table in tables:
            tools = table.pairs("tools")
            if tools and target is None:
                table.refuse("tools", "names processes of no map.", "Name the map in [evaluation] under target_map.")
            for name in tools:
                if target is not None and name not in target.degrees:
                    remedy = f"{suggestion(name, list(target.degrees))}It has: {', '.join(target.degrees)}."
                    problem = f"'tools' names '{name}', which is no process of {target.where}."
                    raise ConfigInvalid(table.place_of("tools", name), problem, remedy)

    def answers(self, names: Names) -> tuple[str, list[Answer]]:
        present = [name for name in ANSWERS if (self.folder / name).is_file()]
        if len(present) > 1:
            problem = f"has both {present[0]} and {present[1]}."
            raise ConfigInvalid(str(self.folder), problem, "Keep one; the other: ratchet evaluate answer --file FILE")
        name = present[0] if present else ANSWERS[0]
        content = self.bytes_of(name) if present else b""
        return name, answers.read(content, where=self.where(name), names=names) if content else []

    def conclusion(self) -> Conclusion | None:
        if not (self.folder / CONCLUSION).is_file():
            return None
        return conclusions.parse((self.folder / CONCLUSION).read_bytes(), where=self.where(CONCLUSION))

    def bytes_of(self, name: str) -> bytes:
        content = (self.folder / name).read_bytes()
        self.digests[name] = hashlib.sha256(content).hexdigest()
        return content

    def where(self, name: str) -> str:
        return str(self.folder / name)


def _identity(head: Table) -> str:
    value = head.text("id")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        head.refuse("id", f"is '{value}'.", "Write letters, digits, '.', '_' and '-'.")
    return value


def _period(head: Table) -> Period:
    try:
        return parse_period(head.text("period"))
    except ValueError as error:
        head.refuse("period", "is none:", str(error))


def _respondents(tables: Sequence[Table], groups: tuple[str, ...]) -> tuple[Respondent, ...]:
    seen: dict[str, str] = {}
    found: list[Respondent] = []
    for table in tables:
        table.refuse_unknown(_RESPONDENT, "a respondent")
        name = table.text("name")
        if name in seen:
            problem = f"is '{name}' a second time; the first is at {seen[name]}."
            table.refuse("name", problem, "Keep one, with all groups: groups = [...].")
        seen[name] = table.place_of("name")
        answers_for = table.texts("groups")
        for index, group in enumerate(answers_for):
            if group not in groups:
                remedy = f"{suggestion(group, groups)}Groups of this evaluation: {', '.join(groups)}."
                table.refuse("groups", f"names '{group}'.", remedy, index=index)
        if not answers_for:
            table.refuse("groups", "names none.", f"Name some of: {', '.join(groups)}.")
        found.append(Respondent(name=name, groups=tuple(dict.fromkeys(answers_for))))
    return tuple(found)
