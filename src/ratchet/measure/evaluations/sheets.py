"""A comparison as CSV, and sheets that respondents fill in.

Invariant: a cell that a spreadsheet would carry out as a formula is exported as text; a sheet that is
filled in comes back through ``answers.read`` as it was typed.
"""

from collections.abc import Iterator, Sequence

from ratchet.measure.evaluations import wording
from ratchet.measure.evaluations.answers import ASIDE, COLUMNS, rows_to_csv
from ratchet.measure.evaluations.comparison import CandidateResult, Comparison
from ratchet.measure.evaluations.evaluation import Evaluation, Respondent
from ratchet.measure.evaluations.processes import KNOWN
from ratchet.measure.evaluations.sentiments import Sentiment

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
HEADER = ("part", "candidate", "group", "item", "respondent", "measure", "value")


def to_csv(comparison: Comparison) -> bytes:
    """Return a comparison as one table, a number or an answer a row, for a pivot table."""
    return rows_to_csv(HEADER, [[_harmless(cell) for cell in row] for row in _rows(comparison)])


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _rows(comparison: Comparison) -> Iterator[Sequence[str]]:
    for one in comparison.candidates:
        for measure, value in _numbers(one):
            yield "headline", one.candidate.name, "", "", "", measure, value
        for group in one.groups:
            for sentiment in Sentiment:
                place = one.candidate.name, group.group, "", ""
                yield "group", *place, f"answers {sentiment.value}", str(group.counts[sentiment])
                share = f"{group.shares[sentiment]:.4f}" if group.shares else ""
                yield "group", *place, f"share of weight {sentiment.value}", share
        for veto in one.vetoes:
            yield "veto", one.candidate.name, veto.group, veto.item, veto.respondent, Sentiment.RED.value, veto.text
    for split in comparison.disagreements:
        place = split.candidate, split.group, split.item, ""
        yield "disagreement", *place, Sentiment.RED.value, ", ".join(split.red)
        yield "disagreement", *place, Sentiment.GREEN.value, ", ".join(split.green)
    for late in comparison.missing:
        value = f"{late.answered} of {late.expected}"
        yield "missing", "", " ".join(late.groups), "", late.respondent, "answered", value
    for part, every in (("answer", comparison.evaluation.given), ("gone", comparison.evaluation.gone)):
        for answer in every:
            where = answer.candidate, answer.group, answer.item, answer.respondent
            yield part, *where, answer.sentiment.value, answer.text


def _numbers(result: CandidateResult) -> Iterator[tuple[str, str]]:
    """Give the numbers of a candidate; what is not known is an empty value."""
    yield "is disqualified", str(result.is_disqualified).lower()
    yield "musts unanswered", str(len(result.open_musts))
    yield "processes covered", "" if result.covered is None else str(result.covered)
    yield "processes not covered", "" if result.covered is None else str(len(result.uncovered))
    for degree in KNOWN:
        yield f"processes {degree}", "" if result.reach is None else str(result.reach.counts[degree])
    yield "steps short of the target", "" if result.reach is None else str(result.reach.steps_short)
    yield "processes short of the target", "" if result.reach is None else str(result.reach.processes_short)
    for sentiment in Sentiment:
        yield f"answers {sentiment.value}", str(result.counts[sentiment])
    yield "answered", str(result.answered)
    yield "expected", str(result.expected)
    yield "with evidence", str(result.with_evidence)
    yield "cost a year", "" if result.candidate.cost_year is None else f"{result.candidate.cost_year:g}"
    yield "currency", result.candidate.currency
    yield "effort in days", "" if result.candidate.effort_days is None else f"{result.candidate.effort_days:g}"
    yield "lock-in", result.candidate.lock_in
    yield "verdict", wording.verdict(result)


def blank(evaluation: Evaluation, respondent: Respondent, *, candidates: Sequence[str]) -> bytes:
    """Return a sheet with a row for each question that a respondent has, with what is answered already filled in."""
    given = {answer.key: answer.values() for answer in evaluation.given}
    rows = []
    for candidate in candidates:
        for group in respondent.groups:
            for item in evaluation.questionnaire(group).items:
                names = candidate, group, item.id, respondent.name
                values = given.get(names) or dict(zip(COLUMNS, names, strict=False))
                aside = {"question": item.text, "why": item.why, "must": "must" if item.must else ""}
                rows.append([{**values, **aside}.get(name, "") for name in (*COLUMNS[:4], *ASIDE, *COLUMNS[4:])])
    return rows_to_csv((*COLUMNS[:4], *ASIDE, *COLUMNS[4:]), rows)
