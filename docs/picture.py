"""Draws docs/images/levels.svg from a demo's folder: ``python docs/picture.py ratchet-demo``.

The picture of the README: the level at the end of each month, and below it what keeping the model fresh was worth.
"""

import sys
from datetime import date
from pathlib import Path

from ratchet.demo import report
from ratchet.demo.story import END
from ratchet.web import charts
from ratchet.workspace import Workspace

TARGET = Path(__file__).parent / "images" / "levels.svg"
GAP = 34
STYLE = """
svg { font: 11px system-ui, sans-serif; } text { fill: #5c6670; } .head { font-size: 13px; font-weight: 600; }
.head, .key text { fill: #1b2126; } .grid line { stroke: #dfe3e6; } .line { fill: none; stroke-width: 2.4; }
.line.s1 { stroke: #17656f; } .line.s2 { stroke: #8a5a12; stroke-dasharray: 6 3.5; stroke-width: 1.9; }
.mark { fill: #17656f; } .mark.s2 { fill: #8a5a12; }
"""


def main(folder: Path) -> None:
    """Read the demo's figures and write the picture."""
    with Workspace(folder) as workspace:
        months = report.compute(workspace, until=END).months
    labels = [f"{date.fromisoformat(one.month + '-01'):%b} {one.month[:4]}" for one in months]
    levels = charts.step_chart(
        labels,
        [
            charts.Series(
                name="level of automation, policy 'standard'", values=tuple(float(one.level) for one in months)
            )
        ],
        title="Level of automation",
        description="The level at the end of each month.",
        top=4,
    )
    quality = charts.line_chart(
        labels,
        [
            charts.Series(name="what served", values=tuple(one.live for one in months)),
            charts.Series(name="January's model, same flights", values=tuple(one.january for one in months)),
        ],
        title="Area under the ROC curve",
        description="The live metric by month beside that of a model that was never renewed.",
    )
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(_together([("Level of automation", levels), ("Area under the ROC curve", quality)]))


def _together(drawings: list[tuple[str, str]]) -> str:
    height = len(drawings) * (charts.HEIGHT + GAP)
    parts = [f'<rect width="{charts.WIDTH}" height="{height}" fill="#ffffff"/><style>{STYLE}</style>']
    for number, (head, drawing) in enumerate(drawings):
        top = number * (charts.HEIGHT + GAP)
        parts.append(f'<text class="head" x="14" y="{top + 22}">{head}</text>')
        placed = f'<svg y="{top + GAP}" width="{charts.WIDTH}" height="{charts.HEIGHT}"'
        parts.append(drawing.replace("<svg", placed, 1))
    size = f'width="{charts.WIDTH}" height="{height}" viewBox="0 0 {charts.WIDTH} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
