"""The maps that ship: each gives a current map to fill in, and a target to begin with.

Invariant: a template never says how far anything is automated today: that is for those who do the work to say.
"""

import re
from importlib import resources

from ratchet.errors import UnknownName
from ratchet.measure.maps.process_maps import MapKind

ABOUT = {
    "ml-process": "the usual way of a model from design to operations and back",
    "crisp-ml-q": "the six phases of CRISP-ML(Q), each with its quality checks",
    "stack-canvas": "the building blocks of a platform, one process each",
    "ml-test-score": "the 28 tests of the ML Test Score, as processes that run or do not",
    "ai-act-9-15": "what Articles 9 to 15 of the EU AI Act ask of high-risk systems",
    "nist-ai-rmf": "the functions of the NIST AI Risk Management Framework",
}
_TARGET = re.compile(r'^target = "([^"\n]*)"$', re.MULTILINE)
_MAP_ID = re.compile(r'^id = "[^"\n]*"$', re.MULTILINE)


def template_text(name: str, *, kind: MapKind, map_id: str = "") -> str:
    """Return the text of a map to begin with.

    Args:
        name: Of the template.
        kind: ``target`` gives the degrees that one could aim at; any other kind leaves them open.
        map_id: Id of the map; that of the template where it is not given.

    Raises:
        UnknownName: There is no such template.
    """
    if name not in ABOUT:
        raise UnknownName(kind="template", name=name, known=", ".join(ABOUT))
    text = resources.files("ratchet.measure.maps").joinpath("templates", f"{name}.toml").read_text(encoding="utf-8")
    degree = r'degree = "\1"' if kind == "target" else 'degree = "unmeasured"'
    text = _TARGET.sub(degree, text).replace('kind = "current"', f'kind = "{kind}"', 1)
    return _MAP_ID.sub(f'id = "{map_id}"', text, count=1) if map_id else text
