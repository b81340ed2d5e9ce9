"""The report as one page: drawn from its figures alone, with its style and its pictures inside.

Invariant: the page asks nobody for anything and runs no script; the same figures and the same proof give the same
bytes, so that a page can be compared with what stands in it.
"""

from base64 import b64encode
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ratchet.measure.counts import TOO_LITTLE
from ratchet.measure.distribution import INSUFFICIENT
from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.svg import draw as draw_map
from ratchet.measure.maps.svg import renamed
from ratchet.measure.reports.numbers import Number
from ratchet.measure.reports.report import FORM, Report
from ratchet.reporting import Proof
from ratchet.web import report_charts

TEMPLATE = "report.html"
BLOCK = '<script type="application/json" id="figures">'
_SHOWN_RULES = 30


def draw(report: Report, proof: Proof | None = None, *, home: str = "") -> str:
    """Return the page.

    Args:
        report: Its figures.
        proof: That they were published; ``None`` for a page of now, which nobody published.
        home: Address of the web pages, for a page that is shown among them.
    """
    zone = ZoneInfo(report.time_zone)
    anchors = {name: f"n{place}" for place, name in enumerate(report.numbers, 1)}
    by_definition: dict[str, list[str]] = {}
    for name, number in report.numbers.items():
        by_definition.setdefault(number.definition, []).append(name)
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            r=report,
            proof=proof,
            home=home,
            anchors=anchors,
            by_definition=by_definition,
            as_of=as_of_words(report.at, zone),
            moment=lambda at: f"{at.astimezone(zone):%Y-%m-%d %H:%M}",
            summary=summary(report),
            style=Markup(style()),  # noqa: S704, our own file
            style_digest=style_digest(),
            pictures=_pictures(report),
            looks=list(DEGREES.values()),
            letters={name: look.letter for name, look in DEGREES.items()},
            shown_rules=_SHOWN_RULES,
            block=Markup(block(report, proof)),  # noqa: S704, escaped by block()
        )
    )


@cache
def style() -> str:
    """Return the style of the page."""
    return resources.files("ratchet.web").joinpath("templates/report.css").read_text(encoding="utf-8")


@cache
def style_digest() -> str:
    """Return by which name a content policy lets the page's style through, and no other."""
    return f"sha256-{b64encode(sha256(style().encode()).digest()).decode()}"


def as_of_words(at: datetime, zone: ZoneInfo) -> str:
    """Return the moment of a report; midnight is the end of the day that is over."""
    local = at.astimezone(zone)
    if (local.hour, local.minute) == (0, 0):
        return f"end of {local - timedelta(days=1):%Y-%m-%d}"
    return f"{local:%Y-%m-%d %H:%M}"


def block(report: Report, proof: Proof | None) -> str:
    """Return figures and proof as JSON that can stand inside a page."""
    values = {"form": FORM, "figures": report, "proof": proof}
    text = msgspec.json.encode(values).decode()
    # Inside a page nothing may look like the end of the element, or like a comment.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def summary(report: Report) -> str:
    """Return in a sentence where the pipelines stand."""
    if not report.months:
        return "Nothing has happened yet, so nothing is said."
    buckets = report.months[-1].buckets
    active = sum(buckets.values())
    if not active:
        return "No pipeline is active."
    named = [
        f"{count} at level {name}" for name, count in sorted(buckets.items(), reverse=True) if count and name.isdigit()
    ]
    unknown = buckets.get(INSUFFICIENT, 0)
    named += [f"{unknown} with {TOO_LITTLE}"] if unknown else []
    pipelines = "1 active pipeline" if active == 1 else f"{active:,} active pipelines"
    return f"{pipelines}: {', '.join(named)}."


def _pictures(report: Report) -> dict[str, Any]:
    """Return all drawings; all text in them is escaped where it is drawn."""
    maps = report.maps
    found: dict[str, Any] = {
        "levels": report_charts.by_level(report.months, report.levels) if report.months else "",
        "errors": report_charts.errors(report.months) if report.months else "",
        "current": draw_map(maps.current, maps.measured, has_title=False) if maps.current else "",
        "target": renamed(draw_map(maps.target, has_title=False), "target-") if maps.target else "",
    }
    drawn = {name: Markup(text) for name, text in found.items()}  # noqa: S704, escaped by those who draw
    sparks = {name: report_charts.spark(number.series, title=number.title) for name, number in _ten(report)}
    return {
        **drawn,
        "sparks": {name: Markup(text) for name, text in sparks.items()},  # noqa: S704, as above
        "goals": [Markup(report_charts.burn_up(one)) for one in report.goals],  # noqa: S704, as above
    }


def _ten(report: Report) -> list[tuple[str, Number]]:
    return [(name, report.numbers[name]) for name in report.ten]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ratchet.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    # The small drawings are shared with the web pages, whose other parts name addresses.
    made.filters |= {"capitalize_first": lambda text: text[:1].upper() + text[1:]}
    made.filters |= {"month": report_charts.month_words, "part": lambda text: quote(text, safe="")}
    return made
