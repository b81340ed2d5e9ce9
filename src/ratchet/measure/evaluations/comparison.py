"""The comparison of the candidates in numbers: coverage, degrees, steps to the target, sentiments, cost, effort.

Invariant: what is not known is ``None`` and never zero; no number mixes two of these measures, and there is no single
score; a candidate with a red answer to a must is named as disqualified, whatever else is green.
"""

from collections import defaultdict
from collections.abc import Iterable

from ratchet.measure.evaluations.answers import Answer
from ratchet.measure.evaluations.candidates import Candidate
from ratchet.measure.evaluations.evaluation import Evaluation
from ratchet.measure.evaluations.figures import Figures
from ratchet.measure.evaluations.processes import Processes, steps_below
from ratchet.measure.evaluations.questionnaires import Item, Questionnaire
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.measure.maps.degrees import is_known
from ratchet.records import Record


class GroupResult(Record, frozen=True):
    """How one group finds one candidate.

    Attributes:
        counts: Answers by sentiment.
        shares: Share of the answered weight by sentiment, summing to 1; empty where nothing is answered.
        answered: Answers that were given.
        expected: Answers that the group's respondents could give.
    """

    group: str
    name: str
    counts: dict[Sentiment, int]
    shares: dict[Sentiment, float]
    answered: int
    expected: int


class Reach(Record, frozen=True):
    """How far a map is from the target.

    Attributes:
        counts: Processes by degree, all five degrees.
        total: Processes of the target.
        stated: Those of them that the map has a degree for.
        steps_short: Degrees missing, summed over the stated processes.
        processes_short: Stated processes that are below their target.
        short: Those processes with their degree and the wanted one.
    """

    counts: dict[str, int]
    total: int
    stated: int
    steps_short: int
    processes_short: int
    short: tuple[tuple[str, str, str], ...]

    def share(self, degree: str) -> float:
        """Return the share of the stated processes that have a degree, 0..1."""
        return self.counts[degree] / self.stated if self.stated else 0.0


class Veto(Record, frozen=True):
    """A red answer to a must."""

    group: str
    item: str
    respondent: str
    text: str

    def __str__(self) -> str:
        """Return it in short."""
        return f"{self.group}/{self.item} ({self.respondent})"


class CandidateResult(Record, frozen=True):
    """One candidate in numbers.

    Attributes:
        covered: Processes of the target for which it has a tool; ``None`` without a target map.
        uncovered: The names of the others.
        tool_count: Different tools.
        reach: How far its map is from the target; ``None`` where one of the two is missing.
        vetoes: What disqualifies it.
        open_musts: Musts that nobody has answered for it.
        with_evidence: Answers with a link to evidence.
    """

    candidate: Candidate
    covered: int | None
    uncovered: tuple[str, ...]
    tool_count: int
    reach: Reach | None
    groups: tuple[GroupResult, ...]
    vetoes: tuple[Veto, ...]
    open_musts: tuple[str, ...]
    with_evidence: int

    @property
    def counts(self) -> dict[Sentiment, int]:
        """Return the answers of all groups by sentiment."""
        return {one: sum(group.counts[one] for group in self.groups) for one in Sentiment}

    @property
    def answered(self) -> int:
        """Return the answers of all groups."""
        return sum(group.answered for group in self.groups)

    @property
    def expected(self) -> int:
        """Return the answers that all groups could give."""
        return sum(group.expected for group in self.groups)

    @property
    def figures(self) -> Figures:
        """Return what it would take and bring."""
        one = self.candidate
        return Figures(
            name=one.name,
            cost_year=one.cost_year,
            currency=one.currency,
            effort_days=one.effort_days,
            processes=None if self.covered is None else self.covered + len(self.uncovered),
            covered=self.covered,
            stated=self.reach.stated if self.reach else None,
            steps_short=self.reach.steps_short if self.reach else None,
        )

    @property
    def is_disqualified(self) -> bool:
        """Tell whether a must is red."""
        return bool(self.vetoes)


class Disagreement(Record, frozen=True):
    """An item that some find red and others green, about one candidate."""

    group: str
    item: str
    candidate: str
    red: tuple[str, ...]
    green: tuple[str, ...]


class Contrast(Record, frozen=True):
    """An item on which all answers are red for some candidates and green for others."""

    group: str
    item: str
    text: str
    red: tuple[str, ...]
    green: tuple[str, ...]


class Missing(Record, frozen=True):
    """What a respondent has not answered yet."""

    respondent: str
    groups: tuple[str, ...]
    answered: int
    expected: int


class Comparison(Record, frozen=True):
    """All candidates side by side.

    Attributes:
        today: How far the current map is from the target; ``None`` where one is missing.
        target_counts: Processes of the target map by degree; empty without one.
        silent: Groups that have no respondent.
        is_changed: Whether answers or questions have changed since the conclusion.
    """

    evaluation: Evaluation
    candidates: tuple[CandidateResult, ...]
    today: Reach | None
    target_counts: dict[str, int]
    disagreements: tuple[Disagreement, ...]
    contrasts: tuple[Contrast, ...]
    missing: tuple[Missing, ...]
    silent: tuple[str, ...]
    currencies: tuple[str, ...]
    is_changed: bool

    @property
    def answered(self) -> int:
        """Return how many answers count."""
        return len(self.evaluation.given)

    @property
    def expected(self) -> int:
        """Return how many answers there could be."""
        return sum(one.expected for one in self.candidates)

    def result(self, name: str) -> CandidateResult:
        """Return the numbers of a candidate that the evaluation has."""
        return next(one for one in self.candidates if one.candidate.name == name)


def compare(evaluation: Evaluation) -> Comparison:
    """Return the candidates of an evaluation side by side."""
    results = tuple(_result(evaluation, one) for one in evaluation.candidates)
    target, current = evaluation.target, evaluation.current
    conclusion = evaluation.conclusion
    asked = {group for one in evaluation.respondents for group in one.groups}
    return Comparison(
        evaluation=evaluation,
        candidates=results,
        today=reach(current, target) if current and target else None,
        target_counts=target.counts() if target else {},
        disagreements=tuple(_disagreements(evaluation)),
        contrasts=tuple(_contrasts(evaluation)),
        missing=tuple(_missing(evaluation)),
        silent=tuple(group for group in evaluation.groups if group not in asked),
        currencies=tuple(sorted({one.currency for one in evaluation.candidates if one.cost_year and one.currency})),
        is_changed=conclusion is not None and conclusion.digest != evaluation.digest,
    )


def _result(evaluation: Evaluation, candidate: Candidate) -> CandidateResult:
    given = [answer for answer in evaluation.given if answer.candidate == candidate.name]
    target, own = evaluation.target, evaluation.maps.get(candidate.name)
    uncovered = [one.name for one in target.every if one.id not in candidate.tools] if target else []
    answered = {(answer.group, answer.item) for answer in given}
    return CandidateResult(
        candidate=candidate,
        covered=len(target.every) - len(uncovered) if target else None,
        uncovered=tuple(uncovered),
        tool_count=len(set(candidate.tools.values())),
        reach=reach(own, target) if own and target else None,
        groups=tuple(_group(evaluation, one, given) for one in evaluation.questionnaires),
        vetoes=tuple(_vetoes(evaluation, given)),
        open_musts=tuple(
            f"{group}/{item.id}" for group, item in _musts(evaluation) if (group, item.id) not in answered
        ),
        with_evidence=sum(bool(answer.evidence_link) for answer in given),
    )


def reach(found: Processes, target: Processes) -> Reach:
    """Return how far a map is from the target; processes that the target does not have are passed over."""
    stated = [one for one in target.every if is_known(found.degrees.get(one.id, "unmeasured"))]
    degrees = [found.degrees[one.id] for one in stated]
    steps = [steps_below(degree, one.degree) for one, degree in zip(stated, degrees, strict=True)]
    return Reach(
        counts={degree: degrees.count(degree) for degree in target.counts()},
        total=len(target.every),
        stated=len(stated),
        steps_short=sum(steps),
        processes_short=sum(step > 0 for step in steps),
        short=tuple(
            (one.name, degree, one.degree) for one, degree, step in zip(stated, degrees, steps, strict=True) if step > 0
        ),
    )


def _group(evaluation: Evaluation, asked: Questionnaire, given: Iterable[Answer]) -> GroupResult:
    mine = [answer for answer in given if answer.group == asked.group]
    weights: dict[Sentiment, float] = dict.fromkeys(Sentiment, 0.0)
    for answer in mine:
        weights[answer.sentiment] += _item(asked, answer).weight
    total = sum(weights.values())
    respondents = sum(asked.group in one.groups for one in evaluation.respondents)
    return GroupResult(
        group=asked.group,
        name=asked.name,
        counts={one: sum(answer.sentiment is one for answer in mine) for one in Sentiment},
        shares={one: weight / total for one, weight in weights.items()} if total else {},
        answered=len(mine),
        expected=respondents * len(asked.items),
    )


def _musts(evaluation: Evaluation) -> list[tuple[str, Item]]:
    return [(asked.group, item) for asked in evaluation.questionnaires for item in asked.items if item.must]


def _vetoes(evaluation: Evaluation, given: Iterable[Answer]) -> list[Veto]:
    musts = {(group, item.id) for group, item in _musts(evaluation)}
    return [
        Veto(group=answer.group, item=answer.item, respondent=answer.respondent, text=answer.text)
        for answer in given
        if answer.sentiment is Sentiment.RED and (answer.group, answer.item) in musts
    ]


def _item(asked: Questionnaire, answer: Answer) -> Item:
    item = asked.item(answer.item)
    assert item is not None, "answers to items that are gone are kept apart"
    return item


def _by_item(evaluation: Evaluation) -> dict[tuple[str, str], dict[str, list[Answer]]]:
    """Return the answers by group and item, in the order of the questionnaires, and there by candidate."""
    found: dict[tuple[str, str], dict[str, list[Answer]]] = {
        (asked.group, item.id): defaultdict(list) for asked in evaluation.questionnaires for item in asked.items
    }
    for answer in evaluation.given:
        found[answer.group, answer.item][answer.candidate].append(answer)
    return found


def _disagreements(evaluation: Evaluation) -> Iterable[Disagreement]:
    for (group, item), by_candidate in _by_item(evaluation).items():
        for candidate in evaluation.names.candidates:
            given = by_candidate.get(candidate, [])
            red = tuple(answer.respondent for answer in given if answer.sentiment is Sentiment.RED)
            green = tuple(answer.respondent for answer in given if answer.sentiment is Sentiment.GREEN)
            if red and green:
                yield Disagreement(group=group, item=item, candidate=candidate, red=red, green=green)


def _contrasts(evaluation: Evaluation) -> Iterable[Contrast]:
    for (group, item), by_candidate in _by_item(evaluation).items():
        found = {name: {answer.sentiment for answer in given} for name, given in by_candidate.items()}
        ordered = [name for name in evaluation.names.candidates if name in found]
        red = tuple(name for name in ordered if found[name] == {Sentiment.RED})
        green = tuple(name for name in ordered if found[name] == {Sentiment.GREEN})
        if red and green:
            asked = evaluation.questionnaire(group).item(item)
            yield Contrast(group=group, item=item, text=asked.text if asked else "", red=red, green=green)


def _missing(evaluation: Evaluation) -> Iterable[Missing]:
    given: dict[str, int] = defaultdict(int)
    for answer in evaluation.given:
        given[answer.respondent] += 1
    for one in evaluation.respondents:
        items = sum(len(evaluation.questionnaire(group).items) for group in one.groups)
        expected = items * len(evaluation.candidates)
        if given[one.name] < expected:
            yield Missing(respondent=one.name, groups=one.groups, answered=given[one.name], expected=expected)
