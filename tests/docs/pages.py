"""The pages of the documentation, as the tests read them: blocks of code, headings, tables, links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(DOCS.rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    """Return how a page is called in messages."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, kind: str) -> list[str]:
    """Return the code blocks of one kind."""
    return [text for found, text in _FENCE.findall(page.read_text()) if found == kind]


def all_blocks(kind: str) -> list[tuple[str, str]]:
    """Return the blocks of one kind in all pages, each with the page's name."""
    return [(name_of(page), text) for page in PAGES for text in blocks(page, kind)]


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return where a page's links go."""
    return _LINK.findall(prose(page))


def headings(page: Path) -> list[str]:
    """Return a page's headings, without backticks."""
    return [text.replace("`", "") for _, text in _HEADING.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """Return the names under which a page's headings can be linked to."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def section(page: Path, heading: str) -> str:
    """Return the text below a heading, down to the next one of the same or a higher rank."""
    text = page.read_text()
    found = re.search(rf"^(#+) `?{re.escape(heading)}`?$", text, re.MULTILINE)
    assert found is not None, f"{name_of(page)} has no heading '{heading}'"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each table row whose first cell is a name in backticks, those backticks taken off."""
    for line in text.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield [cells[0].strip("`"), *cells[1:]]
