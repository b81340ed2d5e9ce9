"""What the demo prints: the year by month, what automation bought, and where to look further.

Invariant: every figure comes from the ledger or from logged predictions and their outcomes; months that lose are
printed like the others.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec

from ratchet import clock, reporting
from ratchet.demo.flights import NEW_YORK
from ratchet.demo.story import PERSON, PIPELINE
from ratchet.loop import backtests
from ratchet.measure.counts import times
from ratchet.measure.freshness import freshness
from ratchet.store.artifacts import write_durably
from ratchet.web.report import draw
from ratchet.workspace import Workspace

OWN_POLICY = "three-levels"
_RESAMPLES = 200
WIDTH = 88
PAGE = "report.html"


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes:
        level: By the policy ``standard``, at the month's end.
        own_level: By the user's own policy.
        live, january: Area under the ROC curve of what was answered, and of the January model on the same flights.
        data_age_days: Of what served at the month's end.
        human_actions: Trainings, deployments, adopted presets and rules: commands of a person.
    """

    month: str
    level: int
    own_level: int
    live: float | None
    january: float | None
    data_age_days: float | None
    predictions: int
    labelled: int
    trainings: int
    deployments: int
    human_actions: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that the demo prints."""

    months: list[Month]
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    flights: int
    coverage: float | None
    trainings: int
    refused: int
    deployments: int
    human_trainings: int
    human_deployments: int
    closures: int
    events: int
    level_name: str
    own_level_name: str
    explanation: str


@contextmanager
def progress(start: datetime, end: datetime, *, quiet: bool) -> Iterator[Callable[[datetime], None]]:
    """Show how far the year has come, on the error stream: a bar on a terminal, else a line a month."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    ]
    total = (end - start).total_seconds()
    console = Console(stderr=True)
    if not quiet and not console.is_terminal:
        yield _a_line_a_month(clock.monotonic())
        return
    with Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        task = bar.add_task("2013-01-01", total=total)

        def advance(at: datetime) -> None:
            done = (at - start).total_seconds()
            bar.update(task, completed=done, description=at.astimezone(NEW_YORK).date().isoformat())

        yield advance


def _a_line_a_month(began: float) -> Callable[[datetime], None]:
    said = ""

    def advance(at: datetime) -> None:
        nonlocal said
        month = f"{at.astimezone(NEW_YORK):%Y-%m}"
        if month != said:
            said = month
            sys.stderr.write(f"{month} begins after {clock.monotonic() - began:.0f} s\n")
            sys.stderr.flush()

    return advance


def compute(workspace: Workspace, *, until: datetime) -> Figures:
    """Read the figures off the ledger and the logs."""
    compared = {live.period: (live, frozen) for live, frozen in backtests.compare(workspace.resources, PIPELINE)}
    events = _by_month(workspace)
    months = [_month(workspace, name, end, compared.get(name), events) for name, end in _month_ends(until)]
    standard, own = workspace.level(PIPELINE), workspace.level(PIPELINE, policy=OWN_POLICY)
    totals = sum((events[name] for name in events), Counter())
    gain = backtests.bootstrap_gain(workspace.resources, PIPELINE, resamples=_RESAMPLES, first="2013-03")
    predicted = sum(one.predictions for one in months)
    return Figures(
        months=months,
        gain=gain.mean if gain else None,
        gain_low=gain.low if gain else None,
        gain_high=gain.high if gain else None,
        flights=predicted,
        coverage=sum(one.labelled for one in months) / predicted if predicted else None,
        trainings=totals["training"],
        refused=totals["refused"],
        deployments=totals["deployment"],
        human_trainings=totals["training by hand"],
        human_deployments=totals["deployment by hand"],
        closures=len(standard.closures),
        events=workspace.ledger.last_seq(),
        level_name=f"{standard.level} ({standard.name})",
        own_level_name=f"{own.level} ({own.name})",
        explanation=standard.explanation,
    )


def _month_ends(until: datetime) -> list[tuple[str, datetime]]:
    ends = []
    for number in range(1, 13):
        end = datetime(2013 + number // 12, number % 12 + 1, 1, tzinfo=NEW_YORK)
        if end <= until:
            ends.append((f"2013-{number:02d}", end.astimezone(UTC)))
    return ends


def _by_month(workspace: Workspace) -> dict[str, Counter[str]]:
    """Count what happened, by month of New York."""
    found: dict[str, Counter[str]] = {}
    for event in workspace.ledger.read(types=["run.finished", "traffic.shifted", "gate.evaluated", "command.issued"]):
        counter = found.setdefault(event.at.astimezone(NEW_YORK).strftime("%Y-%m"), Counter())
        if event.type == "run.finished" and event.data["outcome"] == "success":
            counter["training"] += 1
        elif event.type == "traffic.shifted":
            counter["deployment"] += 1
        elif event.type == "gate.evaluated" and event.data["decision"] == "fail":
            counter["refused"] += 1
        elif event.type == "command.issued" and event.actor_class == "human":
            counter["human"] += 1
            counter[
                {"start_run": "training by hand", "promote": "deployment by hand"}.get(event.data["action"], "")
            ] += 1
    return found


def _month(workspace: Workspace, name: str, end: datetime, compared: Any, events: dict[str, Counter[str]]) -> Month:
    live, frozen = compared or (None, None)
    counted = events.get(name, Counter())
    return Month(
        month=name,
        level=workspace.level(PIPELINE, as_of=end).level,
        own_level=workspace.level(PIPELINE, policy=OWN_POLICY, as_of=end).level,
        live=live.value if live else None,
        january=frozen,
        data_age_days=freshness(workspace.history(), PIPELINE, as_of=end).data_age_days,
        predictions=live.predictions if live else 0,
        labelled=live.labelled if live else 0,
        trainings=counted["training"],
        deployments=counted["deployment"],
        human_actions=counted["human"],
    )


def write_page(workspace: Workspace) -> Path:
    """Publish the report and write its page into the demo's folder; done again after nothing, it is the same page."""
    found, proof = reporting.publish_once(workspace, actor=workspace.person(PERSON))
    path = workspace.project / PAGE
    write_durably(path, draw(found, proof).encode())
    return path


# ---- printing


def as_json(figures: Figures) -> str:
    """Return the figures as JSON."""
    return msgspec.json.format(msgspec.json.encode(figures), indent=2).decode() + "\n"


def as_text(figures: Figures, *, folder: Path) -> str:
    """Return the figures as people read them."""
    from rich.console import Console

    output = StringIO()
    console = Console(file=output, width=WIDTH, highlight=False, force_terminal=False)
    console.print(_table(figures))
    console.print(_paragraph(figures))
    console.print(
        f"\nBy the policy of the project's own file ({OWN_POLICY}, three levels) the same ledger is at level "
        f"{figures.own_level_name}."
    )
    if figures.explanation:
        console.print(figures.explanation)
    shown, written = _from_here(folder), _from_here(folder / PAGE)
    console.print(f"\nSee it:  ratchet up --workspace {shown}")
    console.print(f"Ask it:  ratchet level --explain --workspace {shown}")
    console.print(f"Send it: {written}")
    return output.getvalue()


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _table(figures: Figures) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        title="New York's flights of 2013, replayed",
        title_justify="left",
        caption="AUC: of what was answered; Jan.: of January's model on the same flights; People: their commands.",
        caption_justify="left",
    )
    for heading, justify in (
        ("Month", "left"),
        ("Level", "right"),
        ("AUC", "right"),
        ("Jan.", "right"),
        ("Gain", "right"),
        ("Data age", "right"),
        ("Flights", "right"),
        ("Deploys", "right"),
        ("People", "right"),
    ):
        table.add_column(heading, justify="left" if justify == "left" else "right", no_wrap=True)
    for one in figures.months:
        table.add_row(
            one.month,
            str(one.level),
            _number(one.live, "{:.3f}"),
            _number(one.january, "{:.3f}"),
            _number(None if one.live is None or one.january is None else one.live - one.january, "{:+.3f}"),
            _number(one.data_age_days, "{:.0f} d"),
            f"{one.predictions:,}" if one.predictions else "-",
            str(one.deployments or "-"),
            str(one.human_actions or "-"),
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _paragraph(figures: Figures) -> str:
    lines = [
        f"The pipeline reached level {figures.level_name}. Of {figures.trainings} trainings a person started "
        f"{figures.human_trainings}, of {figures.deployments} deployments {figures.human_deployments}; "
        f"{figures.refused} candidates were refused at the gate."
    ]
    if figures.gain is not None:
        lines.append(
            f"Against the January model on the same flights, from March on, the live model gained "
            f"{figures.gain:.3f} of AUC in the monthly mean (95 % of resamples: {figures.gain_low:.3f} to "
            f"{figures.gain_high:.3f})."
        )
    lost = [
        one.month
        for one in figures.months
        if one.live is not None and one.january is not None and one.live < one.january
    ]
    if lost:
        lines.append(f"It lost in {', '.join(lost)}.")
    lines.append(
        f"The loop closed {times(figures.closures)} from an alert to live traffic with no person in it. "
        f"{figures.flights:,} flights were predicted over HTTP"
        + (f", {figures.coverage:.1%} of them have an outcome" if figures.coverage else "")
        + f". All of it stands in {figures.events:,} events of the ledger."
    )
    return " ".join(lines)
