"""A map, and two maps side by side, as one HTML file: the picture, and all that it shows in words.

Invariant: the page asks nobody for anything, runs no script, and can be read without the picture and without colours.
"""

from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.difference_svg import difference_summary, draw_difference, mark, united
from ratchet.measure.maps.differences import compare
from ratchet.measure.maps.measured import Measured, disagreements
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.maps.routes import place
from ratchet.measure.maps.svg import degree_summary, draw, picture_width

# A picture that is not much higher than wide is put on one printed page, upright or not; others run over several.
_HEIGHT_OF_A_PAGE = 1.5
_HEIGHT_OF_A_WIDE_PAGE = 0.75
# The share of its size below which letters of a picture are too small to be read.
_SMALLEST_SCALE = 0.62


def to_html(process_map: ProcessMap, measured: dict[str, Measured] | None = None, *, seq: int = 0) -> str:
    """Return the page of a map.

    Args:
        process_map: What to show.
        measured: What the ledger says about its nodes.
        seq: The place in the ledger up to which it was read.
    """
    return _page(
        "page.html",
        drawn=process_map,
        picture=draw(process_map, measured, has_title=False),
        map=process_map,
        measured=measured,
        summary=degree_summary(process_map),
        looks=list(DEGREES.values()),
        letters={name: look.letter for name, look in DEGREES.items()},
        counts=process_map.count_by_degree(),
        disagreements=disagreements(process_map, measured or {}),
        handed_over=[edge for edge in process_map.edges if edge.kind == "data"],
        names={node.id: node.name for node in process_map.nodes},
        seq=seq,
    )


def difference_to_html(before: ProcessMap, after: ProcessMap) -> str:
    """Return the page of what changes from one map to another."""
    difference = compare(before, after)
    both = united(before, after)
    return _page(
        "difference.html",
        drawn=both,
        picture=draw_difference(before, after, has_title=False),
        after=after,
        difference=difference,
        summary=difference_summary(difference),
        changed=[one for one in difference.changes if one.before != one.after],
        reworded=[one for one in difference.changes if one.fields],
        names={node.id: node.name for node in both.nodes},
        digests=(before.digest, after.digest),
        degree=_degree,
        mark=mark,
    )


def _degree(name: str) -> Markup:
    """Return a degree with its sign."""
    look = DEGREES.get(name)
    if look is None:
        return Markup('<span class="soft">{}</span>').format(name)
    sign = Markup('<span class="sign {}" aria-hidden="true">{}</span>').format(name.replace(" ", "-"), look.letter)
    return Markup('<span class="degree">{}{}</span>').format(sign, name)


def _page(template: str, *, drawn: ProcessMap, picture: str, **values: Any) -> str:
    geometry = place(drawn)
    widest = picture_width(picture)
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_text))
    return environment.get_template(template).render(
        picture=Markup(picture),  # noqa: S704, drawn by us, with every text escaped
        widest=widest,
        narrowest=round(widest * _SMALLEST_SCALE),
        fits_a_page=geometry.height < _HEIGHT_OF_A_PAGE * geometry.width,
        is_wide=geometry.height < _HEIGHT_OF_A_WIDE_PAGE * geometry.width,
        **values,
    )


def _text(name: str) -> str:
    return resources.files("ratchet.measure.maps").joinpath(name).read_text(encoding="utf-8")
