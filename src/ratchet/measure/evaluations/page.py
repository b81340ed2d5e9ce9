"""A comparison as one HTML page that stands by itself.

Invariant: the page asks nothing of the network and needs no script; text of respondents is escaped, and a link leads
only where ``answers.link_problem`` lets it.
"""

from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ratchet.measure.evaluations import drawing, wording
from ratchet.measure.evaluations.comparison import Comparison
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.measure.maps.svg import picture_width

_TEMPLATE = "page.html"


def to_html(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["dots"] = dots
    source = resources.files("ratchet.measure.evaluations").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    found = comparison.evaluation
    picture = drawing.to_svg(comparison)
    return environment.from_string(source).render(
        comparison=comparison,
        evaluation=found,
        names=[one.candidate.name for one in comparison.candidates],
        headline=wording.headline(comparison),
        state=wording.state(comparison),
        remarks=wording.remarks(comparison),
        sentiments=list(Sentiment),
        # Of our own making, and escaped there.
        picture=Markup(picture),  # noqa: S704, all text in it is escaped where it is drawn
        width=picture_width(picture),
        degrees=drawing.legend_words(),
        given={
            (asked.group, item.id): [one for one in found.given if (one.group, one.item) == (asked.group, item.id)]
            for asked in found.questionnaires
            for item in asked.items
        },
    )


def dots(text: str) -> Markup:
    """Return text in which each emoji is drawn as its circle with a letter, and still read and copied as itself."""
    shown = Markup("").join([text])
    for one in Sentiment:
        drawn = Markup('<span class="s {0}" role="img" aria-label="{0}">{1}</span>').format(one.word, one.value)
        shown = Markup(str(shown).replace(one.value, drawn))  # noqa: S704, the text was escaped in the line before
    return shown
