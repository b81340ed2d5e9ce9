"""How a comparison is put into words: the same labels and numbers on every face.

Invariant: what is not known is written as such, never as a zero or an empty cell.
"""

from ratchet.measure.evaluations.comparison import CandidateResult, Comparison, GroupResult, Reach
from ratchet.measure.evaluations.processes import KNOWN
from ratchet.measure.evaluations.sentiments import Sentiment

UNKNOWN = "not stated"
NO_MAP = "no map"
NO_ANSWERS = "no answers"


def headline(comparison: Comparison, *, is_short: bool = False) -> list[tuple[str, list[str]]]:
    """Return the rows of the table of numbers: a label, and a text for each candidate.

    Args:
        comparison: The candidates side by side.
        is_short: Count the reds that rule a candidate out, where they are listed beside the table.
    """
    every = comparison.candidates
    rows = [
        ("Ruled out by a must", [_verdict_short(one) if is_short else verdict(one) for one in every]),
        ("Processes with a tool", [coverage(one) for one in every]),
        *[(f"Processes {degree}", [degree_share(one.reach, degree) for one in every]) for degree in KNOWN],
        ("Steps short of the target", [steps(one.reach) for one in every]),
        ("Answers", [sentiment_counts(one.counts) for one in every]),
        ("Answered", [f"{one.answered} of {one.expected}" for one in every]),
        ("With evidence", [f"{one.with_evidence} of {one.answered}" for one in every]),
        ("Cost a year", [cost(one) for one in every]),
        ("Effort until in use", [effort(one) for one in every]),
        ("Tools", [str(one.tool_count) if one.tool_count else UNKNOWN for one in every]),
        ("Kind", [one.candidate.kind for one in every]),
        ("Lock-in", [one.candidate.lock_in or UNKNOWN for one in every]),
    ]
    if not comparison.target_counts:
        left_out = ("Processes ", "Steps ")
        rows = [row for row in rows if not row[0].startswith(left_out)]
    return rows


def verdict(result: CandidateResult) -> str:
    """Return whether a must rules a candidate out, and which."""
    if result.vetoes:
        return f"yes: {', '.join(str(veto) for veto in result.vetoes)}"
    open_musts = f", {len(result.open_musts)} unanswered" if result.open_musts else ""
    return f"no{open_musts}"


def _verdict_short(result: CandidateResult) -> str:
    return f"yes: {len(result.vetoes)} red" if result.vetoes else verdict(result)


def coverage(result: CandidateResult) -> str:
    """Return for how many processes a candidate has a tool."""
    if result.covered is None:
        return NO_MAP
    total = result.covered + len(result.uncovered)
    return f"{result.covered} of {total} ({result.covered / total:.0%})"


def degree_share(reach: Reach | None, degree: str) -> str:
    """Return how many of the stated processes have a degree."""
    return NO_MAP if reach is None else f"{reach.counts[degree]} of {reach.stated} ({reach.share(degree):.0%})"


def steps(reach: Reach | None) -> str:
    """Return how far a map is from the target."""
    if reach is None:
        return NO_MAP
    left = reach.total - reach.stated
    unstated = f", {left} processes not stated" if left else ""
    return f"{reach.steps_short} in {reach.processes_short} processes{unstated}"


def sentiment_counts(counts: dict[Sentiment, int]) -> str:
    """Return how many answers there are of each sentiment, with emoji."""
    return " ".join(f"{one.value} {counts[one]}" for one in Sentiment)


def weighted(group: GroupResult) -> str:
    """Return the shares of the weight of a group's answers."""
    return " ".join(f"{one.value} {group.shares[one]:.0%}" for one in Sentiment) if group.shares else NO_ANSWERS


def cost(result: CandidateResult) -> str:
    """Return what a candidate costs a year."""
    one = result.candidate
    return UNKNOWN if one.cost_year is None else f"{one.cost_year:,.0f} {one.currency}".strip()


def effort(result: CandidateResult) -> str:
    """Return the days until a candidate is in use."""
    days = result.candidate.effort_days
    return UNKNOWN if days is None else f"{days:g} days"


def state(comparison: Comparison) -> str:
    """Return how far the evaluation is, in one sentence."""
    found = comparison.evaluation
    if found.conclusion is None:
        return f"Answers are taken within {found.period}; {comparison.answered} of {comparison.expected} are given."
    made = found.conclusion
    chosen = "None of the candidates was chosen" if made.choice == "none" else f"'{made.choice}' was chosen"
    changed = " Answers or questions have changed since: these numbers are not those." if comparison.is_changed else ""
    return f"{chosen} on {made.day} by {made.by}.{changed}"


def remarks(comparison: Comparison) -> list[str]:
    """Return what has to be known when the numbers are read."""
    found = []
    if comparison.today is not None:
        found.append(f"Today: {steps(comparison.today)} short of the target.")
    found += [
        f"{one.candidate.name}: degrees and steps rest on {one.reach.stated} of {one.reach.total} processes; "
        "the others are not stated."
        for one in comparison.candidates
        if one.reach is not None and one.reach.stated < one.reach.total
    ]
    if len(comparison.currencies) > 1:
        found.append(f"Costs are in several currencies ({', '.join(comparison.currencies)}); they are not converted.")
    if comparison.silent:
        found.append(f"Nobody answers for: {', '.join(comparison.silent)}.")
    found += [
        f"{one.candidate.name}: nobody has answered the musts {', '.join(one.open_musts)}."
        for one in comparison.candidates
        if one.open_musts
    ]
    return found
