"""The map as one HTML file: the picture, and all that it shows in words.

Invariant: the page asks nobody for anything, runs no script, and can be read without the picture and without colours.
"""

from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ratchet.measure.maps.degrees import DEGREES
from ratchet.measure.maps.measured import Measured, disagreements
from ratchet.measure.maps.process_maps import ProcessMap
from ratchet.measure.maps.routes import place
from ratchet.measure.maps.svg import degree_summary, draw

# A picture that is not much higher than wide is put on one printed page, upright or not; others run over several.
_HEIGHT_OF_A_PAGE = 1.5
_HEIGHT_OF_A_WIDE_PAGE = 0.75


def to_html(process_map: ProcessMap, measured: dict[str, Measured] | None = None, *, seq: int = 0) -> str:
    """Return the page of a map.

    Args:
        process_map: What to show.
        measured: What the ledger says about its nodes.
        seq: The place in the ledger up to which it was read.
    """
    geometry = place(process_map)
    text = resources.files("ratchet.measure.maps").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(text)
    return template.render(
        map=process_map,
        measured=measured,
        picture=Markup(draw(process_map, measured, has_title=False)),  # noqa: S704, drawn by us, with every text escaped
        summary=degree_summary(process_map),
        looks=list(DEGREES.values()),
        letters={name: look.letter for name, look in DEGREES.items()},
        counts=process_map.count_by_degree(),
        disagreements=disagreements(process_map, measured or {}),
        handed_over=[edge for edge in process_map.edges if edge.kind == "data"],
        names={node.id: node.name for node in process_map.nodes},
        fits_a_page=geometry.height < _HEIGHT_OF_A_PAGE * geometry.width,
        is_wide=geometry.height < _HEIGHT_OF_A_WIDE_PAGE * geometry.width,
        seq=seq,
    )
