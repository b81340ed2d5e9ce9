"""What an evaluation refuses, each refusal with the reason and the way on.

Invariant: a refused command has changed no file and recorded nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

from ratchet.errors import RatchetError


@dataclass
class EvaluationNotFound(RatchetError):
    """There is no evaluation in a folder."""

    folder: str
    template: ClassVar[str] = (
        "No evaluation.toml in {folder}. Start an evaluation with: ratchet evaluate init, "
        "or name its folder with --evaluation DIR"
    )


@dataclass
class EvaluationExists(RatchetError):
    """An evaluation was asked for where something is already."""

    folder: str
    template: ClassVar[str] = (
        "{folder} exists already and is left as it is. Name another one: ratchet evaluate init DIR"
    )


@dataclass
class EvaluationConcluded(RatchetError):
    """Something was to be changed after the conclusion."""

    evaluation: str
    choice: str
    by: str
    day: str
    action: str
    template: ClassVar[str] = (
        "Evaluation {evaluation} was concluded on {day} by {by} with the choice '{choice}', so {action}. "
        "A conclusion stays as it is; start a new evaluation: ratchet evaluate init"
    )


@dataclass
class OutsidePeriod(RatchetError):
    """An answer came before or after the period of the evaluation."""

    evaluation: str
    period: str
    today: str
    problem: str
    template: ClassVar[str] = (
        "Evaluation {evaluation} takes answers within {period}; today is {today}, and {problem}. Nothing was written. "
        "Where the period is to be changed: evaluation.toml, period"
    )


@dataclass
class ChoiceDisqualified(RatchetError):
    """A candidate was chosen that a red answer to a must rules out."""

    candidate: str
    vetoes: str
    template: ClassVar[str] = (
        "'{candidate}' cannot be the choice: red on a must by {vetoes}. Nothing was written. Choose another one or "
        "'none'; or, where the question is no must after all, say so in its questionnaire and conclude again."
    )


@dataclass
class NothingAnswered(RatchetError):
    """An evaluation was to be concluded that nobody has answered."""

    evaluation: str
    expected: int
    template: ClassVar[str] = (
        "Evaluation {evaluation} has no answers yet; there could be {expected}. Nothing was written. Answer first: "
        "ratchet evaluate answer. If a choice without any is meant, say so, and that is recorded: "
        "ratchet evaluate conclude --without-answers ..."
    )


@dataclass
class QuestionUnknown(RatchetError):
    """An answer was given to an item that its questionnaire does not have."""

    group: str
    item: str
    known: str
    template: ClassVar[str] = "The questionnaire '{group}' has no item '{item}'. It has: {known}."


@dataclass
class RespondentUnknown(RatchetError):
    """Somebody answers who is not among the respondents, or not for that group."""

    respondent: str
    problem: str
    known: str
    template: ClassVar[str] = (
        "{respondent} {problem}. Respondents: {known}. Add or change one in evaluation.toml under [[respondent]]."
    )


@dataclass
class EvidenceRefused(RatchetError):
    """A link to evidence is none."""

    link: str
    problem: str
    template: ClassVar[str] = (
        "The evidence link '{link}' {problem} Write an address that begins with https://, or the path of a file."
    )
