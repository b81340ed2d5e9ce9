"""Questionnaires: what each group of people asks of a platform, as data.

Invariant: an item is named by its group and its id, each once; nine groups ship, and a file in an evaluation's folder
with the name of a group takes the place of the shipped one.
"""

import re
from importlib import resources
from pathlib import Path

from ratchet.errors import ConfigInvalid, UnknownName
from ratchet.records import Record
from ratchet.toml_tables import Table, TableFile, suggestion

# In the order in which they are asked: those who work with it first, those who answer for it last.
SHIPPED = (
    "data-scientists",
    "data-analysts",
    "data-curators",
    "ml-engineers",
    "operations",
    "security",
    "legal",
    "product-engineers",
    "business",
)
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TOP = ("group", "name", "role", "about", "item")
_ITEM = ("id", "text", "why", "weight", "must")
_MAX_WEIGHT = 100


class Item(Record, frozen=True):
    """One question.

    Attributes:
        id: Its name within the group.
        text: What to try, or to find out.
        why: What hangs on the answer.
        weight: How much it counts within its group, above 0.
        must: Whether one red answer rules a candidate out.
    """

    id: str
    text: str
    why: str
    weight: float = 1.0
    must: bool = False


class Questionnaire(Record, frozen=True):
    """What one group asks.

    Attributes:
        group: Its name in files and commands.
        name: Its name for people.
        role: What one of the group is called; names respondents until they have names of their own.
    """

    group: str
    name: str
    role: str
    items: tuple[Item, ...]
    about: str = ""

    def item(self, item_id: str) -> Item | None:
        """Return an item by its id, or ``None`` where it is gone."""
        return next((item for item in self.items if item.id == item_id), None)


def shipped_bytes(group: str) -> bytes:
    """Return the file of a shipped questionnaire.

    Raises:
        UnknownName: No questionnaire ships for that group.
    """
    if group not in SHIPPED:
        hint = suggestion(group, SHIPPED)
        raise UnknownName(kind="shipped questionnaire", name=group, known=f"{', '.join(SHIPPED)}. {hint}".strip(". "))
    return resources.files("ratchet.measure.evaluations").joinpath("questionnaires", f"{group}.toml").read_bytes()


def shipped(group: str) -> Questionnaire:
    """Return a questionnaire that comes with Ratchet.

    Raises:
        UnknownName: None ships for that group.
    """
    return parse(shipped_bytes(group), where=f"{group}.toml")


def own(folder: Path) -> dict[str, Path]:
    """Return the files of a folder of questionnaires by their groups' names."""
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def parse(content: bytes, *, where: str) -> Questionnaire:
    """Return the questionnaire in a file's bytes.

    Args:
        content: The bytes.
        where: Name of the file, for messages.

    Raises:
        ConfigInvalid: They are none; the message names the line and what is allowed.
    """
    file = TableFile(content, where=where)
    file.refuse_unknown(_TOP, "a questionnaire")
    group = _name(file, "group")
    items = [_item(table) for table in file.tables("item")]
    if not items:
        raise ConfigInvalid(where, "asks nothing.", "Write at least one table [[item]] with id, text and why.")
    _refuse_twice(file.tables("item"))
    name = file.text("name", default=group)
    role = file.text("role", default=group)
    return Questionnaire(group=group, name=name, role=role, about=file.text("about", default=""), items=tuple(items))


def _item(table: Table) -> Item:
    table.refuse_unknown(_ITEM, "an item")
    weight = table.number("weight", default=1.0, high=_MAX_WEIGHT, is_above=True)
    return Item(
        id=_name(table, "id"),
        text=table.text("text"),
        why=table.text("why"),
        weight=weight,
        must=table.flag("must", default=False),
    )


def _name(table: Table, key: str) -> str:
    value = table.text(key)
    if not NAME.fullmatch(value):
        table.refuse(key, f"is '{value}'.", "Write small letters, digits and hyphens, such as 'audit-trail'.")
    return value


def _refuse_twice(tables: list[Table]) -> None:
    seen: dict[str, str] = {}
    for table in tables:
        item = table.values["id"]
        if item in seen:
            table.refuse("id", f"is '{item}' a second time; the first is at {seen[item]}.", "Give each item its own.")
        seen[item] = table.place_of("id")
