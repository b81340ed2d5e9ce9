"""A comparison as Markdown.

Invariant: every number of the comparison is in it, and text of respondents cannot break a table or become a heading.
"""

import re
from collections.abc import Iterable, Sequence

from ratchet.measure.evaluations import wording
from ratchet.measure.evaluations.answers import Answer
from ratchet.measure.evaluations.comparison import Comparison
from ratchet.measure.evaluations.questionnaires import Questionnaire


def to_markdown(comparison: Comparison) -> str:
    """Return a comparison as a page of Markdown."""
    names = [one.candidate.name for one in comparison.candidates]
    parts = [f"# {plain(comparison.evaluation.title)}", wording.state(comparison), *_reasons(comparison)]
    rows = [(label, *values) for label, values in wording.headline(comparison)]
    parts += ["## In numbers", _table(["", *names], rows)]
    parts += [f"- {plain(one)}" for one in wording.remarks(comparison)]
    parts += ["## By group", *_groups(comparison, names)]
    parts += ["## What tells the candidates apart", *_contrasts(comparison)]
    parts += ["## Where respondents disagree", *_disagreements(comparison)]
    parts += ["## Processes without a tool", *_uncovered(comparison)]
    parts += ["## Still missing", *_missing(comparison)]
    parts += ["## Answers", *_answers(comparison)]
    if comparison.evaluation.gone:
        gone = [f"- {plain(one.group)}/{plain(one.item)}: {_said(one)}" for one in comparison.evaluation.gone]
        parts += ["## Not counted: the question is gone", "\n".join(gone)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """Return text in one line that Markdown takes as text."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text if text == "---" or text.startswith("[](") else plain(text)


def _reasons(comparison: Comparison) -> list[str]:
    conclusion = comparison.evaluation.conclusion
    return ["\n".join(f"- {plain(reason)}" for reason in conclusion.reasons)] if conclusion else []


def _groups(comparison: Comparison, names: Sequence[str]) -> list[str]:
    counts, shares = [], []
    for index, asked in enumerate(comparison.evaluation.questionnaires):
        results = [one.groups[index] for one in comparison.candidates]
        counts.append([asked.name, *(wording.sentiment_counts(one.counts) for one in results)])
        shares.append([asked.name, *(wording.weighted(one) for one in results)])
    return [
        _table(["Answers", *names], counts),
        "Weighted by how much each question counts:",
        _table(["Share of weight", *names], shares),
    ]


def _contrasts(comparison: Comparison) -> list[str]:
    if not comparison.contrasts:
        return ["No question is red for one and green for another."]
    rows = [
        (f"{one.group}/{one.item}", one.text, f"🔴 {', '.join(one.red)}", f"🟢 {', '.join(one.green)}")
        for one in comparison.contrasts
    ]
    return [_table(["Item", "Question", "Red", "Green"], rows)]


def _disagreements(comparison: Comparison) -> list[str]:
    if not comparison.disagreements:
        return ["No item is both red and green for one candidate."]
    rows = [
        (f"{one.group}/{one.item}", one.candidate, f"🔴 {', '.join(one.red)}", f"🟢 {', '.join(one.green)}")
        for one in comparison.disagreements
    ]
    return [_table(["Item", "Candidate", "Red", "Green"], rows)]


def _uncovered(comparison: Comparison) -> list[str]:
    if not comparison.target_counts:
        return ["No target map is named in evaluation.toml."]
    return [
        "\n".join(
            f"- {plain(one.candidate.name)}: {plain(', '.join(one.uncovered)) or 'none'}"
            for one in comparison.candidates
        )
    ]


def _missing(comparison: Comparison) -> list[str]:
    if not comparison.missing:
        return ["Nobody: all respondents have answered everything."]
    rows = [(one.respondent, ", ".join(one.groups), f"{one.answered} of {one.expected}") for one in comparison.missing]
    return [_table(["Respondent", "Groups", "Answered"], rows)]


def _answers(comparison: Comparison) -> list[str]:
    return [part for asked in comparison.evaluation.questionnaires for part in _answers_of(comparison, asked)]


def _answers_of(comparison: Comparison, asked: Questionnaire) -> list[str]:
    parts = [f"### {plain(asked.name)}"]
    for item in asked.items:
        must = " **(must)**" if item.must else ""
        given = [one for one in comparison.evaluation.given if (one.group, one.item) == (asked.group, item.id)]
        lines = [f"- {_said(one)}" for one in given] or ["- not answered yet"]
        parts += [f"**{item.id}**{must} {plain(item.text)}", "\n".join(lines)]
    return parts


def _said(answer: Answer) -> str:
    """Return one answer in one line."""
    link = f" [evidence](<{re.sub('[<>]', '', answer.evidence_link)}>)" if answer.evidence_link else ""
    comment = f" ({plain(answer.comment)})" if answer.comment else ""
    said = f"{answer.sentiment.value} {plain(answer.candidate)}, {plain(answer.respondent)}: "
    return f"{said}{plain(answer.text) or 'no words'}{comment}{link}"
