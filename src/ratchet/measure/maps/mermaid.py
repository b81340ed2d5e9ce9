"""The map as a Mermaid flowchart, for pages that draw one from text.

Invariant: what comes from users stands in quotes with its special characters escaped, and ids are ours.
"""

from ratchet.measure.maps.degrees import DEGREES, ROLES
from ratchet.measure.maps.process_maps import Edge, ProcessMap

_ESCAPED = str.maketrans({'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\n": " ", "`": "#96;"})


def to_mermaid(process_map: ProcessMap) -> str:
    """Return the text of a flowchart: a subgraph for each phase, a class for each degree."""
    names = {node.id: f"n{number}" for number, node in enumerate(process_map.nodes, 1)}
    lines = ["---", f"title: {_title(process_map.title)}", "---", "flowchart LR"]
    for number, phase in enumerate(process_map.phases, 1):
        lines += [f'  subgraph p{number}["{_text(phase)}"]', "    direction LR"]
        for node in process_map.in_phase(phase):
            look = DEGREES[node.degree]
            roles = " ".join(ROLES[role] for role in node.roles)
            label = f"{_text(node.name)}<br/>({look.letter}) {roles}"
            lines.append(f'    {names[node.id]}("{label}"):::{_class(node.degree)}')
        lines += ["  end", f"  style p{number} fill:#f5f7f8,stroke:#c9d0d6,color:#1a1f24"]
    lines += [f"  {_arrow(edge, names)}" for edge in process_map.edges]
    for degree, look in DEGREES.items():
        fill = "#ffffff" if look.fill == "none" else look.fill
        dashes = ",stroke-dasharray:6 4" if degree in ("absent", "unmeasured") else ""
        lines.append(f"  classDef {_class(degree)} fill:{fill},stroke:{look.ink},color:#1a1f24{dashes}")
    return "\n".join(lines) + "\n"


def _arrow(edge: Edge, names: dict[str, str]) -> str:
    source, target = names[edge.source], names[edge.target]
    if edge.kind == "data":
        return f'{source} -. "{_text(edge.artifact)}" .-> {target}'
    return f'{source} -- "again" --> {target}' if edge.loop else f"{source} --> {target}"


def _class(degree: str) -> str:
    """Return the degree as one word."""
    return "".join(letter for letter in degree if letter.isalpha())


def _text(text: str) -> str:
    return text.translate(_ESCAPED)


def _title(text: str) -> str:
    """Return a text as a quoted YAML value."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
