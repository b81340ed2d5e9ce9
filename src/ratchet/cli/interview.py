"""Asking one respondent question by question, in a terminal.

Invariant: each answer is saved before the next question is shown, so that breaking off loses nothing.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from ratchet.measure.evaluations.answers import Answer, Key, link_problem
from ratchet.measure.evaluations.questionnaires import Item, Questionnaire
from ratchet.measure.evaluations.sentiments import Sentiment, parse
from ratchet.records import Record

if TYPE_CHECKING:
    from ratchet.measure.evaluations.evaluation import Evaluation

_CHOICES = "r red, y yellow, g green; s skip, b back, q stop"


class Question(Record, frozen=True):
    """One item about one candidate."""

    candidate: str
    asked: Questionnaire
    item: Item

    def key(self, respondent: str) -> Key:
        """Return what names the answer of a respondent."""
        return self.candidate, self.asked.group, self.item.id, respondent


def questions(evaluation: "Evaluation", *, groups: Sequence[str], candidates: Sequence[str]) -> list[Question]:
    """Return what there is to ask, one candidate after the other."""
    return [
        Question(candidate=candidate, asked=evaluation.questionnaire(group), item=item)
        for candidate in candidates
        for group in groups
        for item in evaluation.questionnaire(group).items
    ]


def hold(
    every: Sequence[Question], *, respondent: str, given: dict[Key, Answer], save: Callable[[Answer], None]
) -> int:
    """Ask one question after the other, beginning with the first that is not answered.

    Args:
        every: In the order in which they are asked.
        respondent: Who answers.
        given: What is answered already; it is changed as answers come in.
        save: Called with each answer.

    Returns:
        How many answers were given or changed.
    """
    open_from = _next_open(every, 0, respondent, given)
    position = open_from if open_from < len(every) else 0
    saved = 0
    while position < len(every):
        question = every[position]
        key = question.key(respondent)
        _show(question, position, every, respondent, given)
        typed = click.prompt(_CHOICES, prompt_suffix=" > ", default="", show_default=False).strip().lower()
        sentiment = parse(typed)
        if typed == "q":
            break
        if typed == "b":
            position = max(0, position - 1)
        elif typed == "s":
            position += 1
        elif sentiment is None:
            click.echo(f"'{typed}' is none of these: {_CHOICES}.")
        else:
            answer = _ask(question, respondent, sentiment, given.get(key))
            save(answer)
            given[key] = answer
            saved += 1
            position = _next_open(every, position + 1, respondent, given)
    return saved


def _next_open(every: Sequence[Question], start: int, respondent: str, given: dict[Key, Answer]) -> int:
    """Return the position of the next question without an answer; the number of all where there is none."""
    open_ones = (number for number in range(start, len(every)) if every[number].key(respondent) not in given)
    return next(open_ones, len(every))


def _show(
    question: Question, position: int, every: Sequence[Question], respondent: str, given: dict[Key, Answer]
) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from ratchet.cli.console import say

    answered = sum(one.key(respondent) in given for one in every)
    must = "  must: red rules the candidate out" if question.item.must else ""
    head = f"[{position + 1} of {len(every)}, {answered} answered]  {question.candidate}  {question.asked.name}{must}"
    say("")
    say(Text(head, style="bold"))
    say(Text(question.item.text))
    say(Padding(Text(question.item.why, style="dim"), (0, 0, 0, 2)))
    before = given.get(question.key(respondent))
    if before is not None:
        say(Text(f"So far: {before.sentiment.value} {before.text}", style="cyan"))


def _ask(question: Question, respondent: str, sentiment: Sentiment, before: Answer | None) -> Answer:
    text = click.prompt("What did you find", default=before.text if before else "", show_default=bool(before))
    link = _ask_link(before.evidence_link if before else "")
    return Answer(
        candidate=question.candidate,
        group=question.asked.group,
        item=question.item.id,
        respondent=respondent,
        sentiment=sentiment,
        text=text.strip(),
        evidence_link=link,
        comment=before.comment if before else "",
    )


def _ask_link(before: str) -> str:
    while True:
        link = str(click.prompt("Where can others see it (link)", default=before, show_default=bool(before))).strip()
        problem = link_problem(link)
        if not problem:
            return link
        click.echo(f"The link {problem} Write an address that begins with https://, or the path of a file.")
