"""What ``ratchet level`` shows beside a level: three levels, thresholds, the ML Test Score, what can be automated.

Invariant: what is declared is always marked as such, and never stands alone.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ratchet.cli.session import Refused, Session
from ratchet.measure.counts import TOO_LITTLE

if TYPE_CHECKING:
    from ratchet.measure.gaps import ThreeLevels
    from ratchet.measure.ml_test_score import MlTestScore
    from ratchet.measure.policies import Policy
    from ratchet.measuring import Measuring

_SHOWN_FINDINGS = 2


def print_three_levels(found: "ThreeLevels", *, is_whole: bool, is_insufficient: bool) -> None:
    """Print configured, measured and declared level, and why they differ."""
    from rich.padding import Padding
    from rich.text import Text

    from ratchet.cli import console

    declared = f"{found.declared.level} (on {found.declared.at:%Y-%m-%d})" if found.declared else "nothing"
    measured = TOO_LITTLE if is_insufficient else found.measured
    console.say(f"\nconfigured: {found.configured}, measured: {measured}, declared: {declared}")
    shown = found.findings if is_whole else found.findings[:_SHOWN_FINDINGS]
    for finding in shown:
        console.say(Padding(Text(finding.sentence, style="yellow"), (0, 0, 0, 2), expand=False))
    if len(shown) < len(found.findings):
        console.say(Text(f"  and {len(found.findings) - len(shown)} more: --explain", style="dim"))


def declare(
    session: Session, measuring: "Measuring", pipeline: str, level: int, policy: "Policy", *, because: str
) -> None:
    """Record the level that somebody claims.

    Raises:
        Refused: No pipeline was named, or the policy has no such level.
    """
    from ratchet.cli import console

    known = sorted({0, *(one.id for one in policy.levels)})
    if not pipeline:
        message = "Say of which pipeline: ratchet level PIPELINE --declare LEVEL"
        raise Refused(message)
    if level not in known:
        message = f"The policy '{policy.name}' has no level {level}. Choose one of {', '.join(map(str, known))}."
        raise Refused(message)
    event = measuring.declare(pipeline, level, policy, reason=because)
    if session.as_json:
        console.print_json({"pipeline": pipeline, "level": level, "policy": policy.name, "event": event.id})
        return
    console.say(f"Recorded: level {level} by '{policy.name}' is claimed for {pipeline}. It counts for nothing;")
    console.say(f"ratchet level {pipeline} shows it beside what was measured.")


def answer(measuring: "Measuring", pipeline: str, answers: tuple[str, ...]) -> None:
    """Record answers to the questions that only a person can answer.

    Raises:
        Refused: No pipeline was named, or an answer is none.
    """
    from ratchet.measure.ml_test_score import POINTS, questions

    if not pipeline:
        message = "Say of which pipeline: ratchet level PIPELINE --answer TEST=POINTS"
        raise Refused(message)
    known = [one.id for one in questions()]
    allowed = {f"{points:g}": points for points in POINTS}
    given: dict[str, float] = {}
    for text in answers:
        name, _, points = text.partition("=")
        if name not in known or points not in allowed:
            message = f"'{text}' answers nothing. Write one of {', '.join(known)} with {', '.join(allowed)}: data-5=0.5"
            raise Refused(message)
        given[name] = allowed[points]
    measuring.answer(pipeline, given)


def show_sensitivity(
    measuring: "Measuring", names: list[str], policy: "Policy", *, as_of: datetime | None, as_json: bool
) -> None:
    """Print the level of each pipeline with other thresholds."""
    from ratchet.cli import console

    found = {name: measuring.sensitivity(name, policy, as_of=as_of) for name in names}
    if as_json:
        console.print_json(msgspec.to_builtins(found))
        return
    made = console.table("PIPELINE", "ASKED FOR", "LEVEL", "WHAT BLOCKS THE NEXT", whole=("ASKED FOR", "LEVEL"))
    for name, levels in found.items():
        for number, one in enumerate(levels):
            level = TOO_LITTLE if one.is_insufficient else one.label
            made.add_row("" if number else name, f"{one.theta:.0%}", level, one.explanation or "nothing")
    console.say(made)


def show_capability(measuring: "Measuring", policy: "Policy", *, as_json: bool) -> None:
    """Print what this installation can automate."""
    from ratchet.cli import console

    found = measuring.capability(policy)
    if as_json:
        values: dict[str, Any] = msgspec.to_builtins(found)
        console.print_json({**values, "line": found.line})
        return
    made = console.table("STAGE", "BY ITSELF", "SHIPPED RULES", "FOR RULES OF YOUR OWN", whole=("STAGE",))
    for one in found.stages:
        made.add_row(one.stage, *(", ".join(names) or "-" for names in (one.engine, one.presets, one.actions)))
    console.say(made)
    console.say(f"\n{found.line[:1].upper()}{found.line[1:]}.")
    console.say(
        f"By '{found.policy}' shipped rules alone can give level {found.level_by_presets}, "
        f"with rules of your own level {found.level_with_own_rules}."
    )


def show_scores(
    measuring: "Measuring", names: list[str], *, as_of: datetime | None, as_json: bool, is_explained: bool
) -> None:
    """Print the ML Test Score of each pipeline."""
    from ratchet.cli import console

    found = [measuring.ml_test_score(name, as_of=as_of) for name in names]
    if as_json:
        console.print_json([_score_as_json(one) for one in found])
        return
    for number, score in enumerate(found):
        if number:
            console.say("")
        _print_score(score, is_explained=is_explained)


def _score_as_json(score: "MlTestScore") -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(score)
    return {**values, "sums": score.sums, "score": score.score, "evidence_share": score.evidence_share}


def _print_score(score: "MlTestScore", *, is_explained: bool) -> None:
    from rich.text import Text

    from ratchet.cli import console

    sums = ", ".join(f"{section} {points:g}" for section, points in score.sums.items())
    console.say(Text(f"{score.pipeline}: ML Test Score {score.score:g}, the lowest of four sums", style="bold"))
    shown = "nothing counts yet" if score.evidence_share is None else f"{score.evidence_share:.0%} from evidence"
    console.say(f"{sums} of 7 each; {shown}")
    made = console.table("TEST", "", "POINTS", "HOW", right=("POINTS",), whole=("TEST",))
    for one in score.results:
        how = f"{one.sentence} (declared)" if one.is_declared and one.sentence != "declared" else one.sentence
        made.add_row(one.test.id, one.test.name, f"{one.points:g}", how)
        if is_explained and one.events:
            made.add_row("", Text(", ".join(one.events[-3:]), style="dim"), "", "")
    console.say(made)
