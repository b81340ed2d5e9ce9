"""Answers: who found what, about which candidate, as TOML and as CSV.

Invariant: one respondent has one answer to an item about a candidate; what was read and is written again says the same.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from ratchet.errors import ConfigInvalid
from ratchet.measure.evaluations import sentiments
from ratchet.measure.evaluations.sentiments import Sentiment
from ratchet.records import Record
from ratchet.toml_tables import MAX_TEXT, Table, TableFile, line_end, suggestion, toml_text, unprintable

COLUMNS = (
    "candidate",
    "group",
    "item",
    "respondent",
    "sentiment",
    "text",
    "evidence_link",
    "comment",
    "answered_on",
)
# What a sheet shows beside the answer, for those who fill it in.
ASIDE = ("question", "why", "must")
_NEEDED = COLUMNS[:5]
_HEAD = (
    "# What was answered. `ratchet evaluate answer` writes it; it may be edited by hand, too.\n"
    "# sentiment is 🔴, 🟡 or 🟢; red, yellow and green are read as well.\n"
)

Key = tuple[str, str, str, str]


class Answer(Record, frozen=True):
    """What one respondent found about one candidate.

    Attributes:
        text: What was found, in words.
        evidence_link: Where others can see it: an address, or a file beside the evaluation.
        comment: What else is to be said.
        answered_on: The day, where it is known.
        place: File and line, of an answer that was read.
    """

    candidate: str
    group: str
    item: str
    respondent: str
    sentiment: Sentiment
    text: str = ""
    evidence_link: str = ""
    comment: str = ""
    answered_on: date | None = None
    place: str = ""

    @property
    def key(self) -> Key:
        """Return what names the answer."""
        return self.candidate, self.group, self.item, self.respondent

    def values(self) -> dict[str, str]:
        """Return all of it as texts, in the order of the columns; without the place."""
        raw: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        raw["sentiment"] = self.sentiment.value
        raw["answered_on"] = self.answered_on.isoformat() if self.answered_on else ""
        return raw


class Names(Record, frozen=True):
    """Which names an answer may use.

    Attributes:
        respondents: By name, the groups that each answers for.
    """

    candidates: tuple[str, ...]
    groups: tuple[str, ...]
    respondents: dict[str, tuple[str, ...]]


# ---- reading


def read(content: bytes, *, where: str, names: Names) -> list[Answer]:
    """Return the answers in a file, TOML or CSV by the end of its name.

    Rows of a CSV file without a sentiment are not answered yet and are passed over.

    Raises:
        ConfigInvalid: One is not understood; file, line and what is allowed are named.
    """
    tables = _csv_tables(content, where=where) if where.lower().endswith(".csv") else _toml_tables(content, where=where)
    seen: dict[Key, str] = {}
    found: list[Answer] = []
    for table in tables:
        answer = _answer(table, names)
        first = seen.setdefault(answer.key, answer.place)
        if first != answer.place:
            candidate, group, item, respondent = answer.key
            problem = f"answers {group}/{item} about {candidate} for {respondent} a second time; see {first}."
            raise ConfigInvalid(answer.place, problem, "Keep one of the two.")
        found.append(answer)
    return found


def _toml_tables(content: bytes, *, where: str) -> list[Table]:
    file = TableFile(content, where=where)
    file.refuse_unknown(("answer",), "a file of answers")
    tables = file.tables("answer")
    for table in tables:
        table.refuse_unknown(COLUMNS, "an answer")
    return tables


def _csv_tables(content: bytes, *, where: str) -> list[Table]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigInvalid(where, f"is not UTF-8 text ({error.reason}).", "Save it as CSV UTF-8.") from error
    head = text.partition("\n")[0]
    # Spreadsheets of countries with a decimal comma write semicolons.
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for row in reader:
            rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigInvalid(f"{where}:{line}", f"is not CSV: {error}.", "Close each quote that opens.") from error
    return _csv_rows(rows, where=where)


def _csv_rows(rows: list[tuple[int, list[str]]], *, where: str) -> list[Table]:
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        problem = f"has no column {', '.join(missing)} in its first line."
        raise ConfigInvalid(f"{where}:1", problem, f"Its columns are: {', '.join(COLUMNS)}.")
    strange = [name for name in header if name not in (*COLUMNS, *ASIDE)]
    if strange or len(set(header)) < len(header):
        named = strange[0] if strange else next(name for name in header if header.count(name) > 1)
        problem = f"has a column '{named}'" + (", which means nothing." if strange else " twice.")
        raise ConfigInvalid(f"{where}:1", problem, f"Its columns are: {', '.join((*COLUMNS, *ASIDE))}.")
    tables = []
    for line, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            problem = f"has {len(row)} values, and the first line has {len(header)} columns."
            raise ConfigInvalid(f"{where}:{line}", problem, "Put texts with commas or line breaks in quotes.")
        values = dict(zip(header, row, strict=True))
        if values["sentiment"].strip():
            filled = {name: value for name, value in values.items() if name in COLUMNS and value.strip()}
            tables.append(Table(filled, where=where, at={(): line}))
    return tables


def _answer(table: Table, names: Names) -> Answer:
    candidate = table.text("candidate")
    known = next((one for one in names.candidates if one.lower() == candidate.lower()), "")
    if not known:
        table.choice("candidate", names.candidates, suggests=True)
    group = table.choice("group", names.groups, suggests=True)
    typed = table.text("sentiment")
    sentiment = sentiments.parse(typed)
    if sentiment is None:
        table.refuse("sentiment", f"is '{typed}'.", f"Allowed: {sentiments.ALLOWED}.")
    answer = Answer(
        candidate=known,
        group=group,
        item=table.text("item"),
        respondent=_respondent(table, names, group),
        sentiment=sentiment,
        text=table.text("text", default=""),
        evidence_link=table.text("evidence_link", default=""),
        comment=table.text("comment", default=""),
        answered_on=table.day("answered_on"),
        place=table.place,
    )
    if problem := link_problem(answer.evidence_link):
        table.refuse("evidence_link", problem, "Write an address that begins with https://, or the path of a file.")
    return answer


def _respondent(table: Table, names: Names, group: str) -> str:
    name = table.text("respondent")
    groups = names.respondents.get(name)
    if groups is None:
        close = suggestion(name, list(names.respondents))
        known = ", ".join(names.respondents) or "nobody yet"
        remedy = f"{close}Known: {known}. Add others to evaluation.toml as [[respondent]]."
        table.refuse("respondent", f"is '{name}', who is not one of the respondents.", remedy)
    if group not in groups:
        remedy = f"{name} answers for: {', '.join(groups)}. Change that in evaluation.toml under [[respondent]]."
        table.refuse("group", f"is '{group}', for which {name} does not answer.", remedy)
    return name


def link_problem(link: str) -> str:
    """Return why a link cannot be one; ``""`` where it can."""
    scheme = link.partition(":")[0].lower() if ":" in link.partition("/")[0] else ""
    if any(letter.isspace() or ord(letter) < ord(" ") for letter in link):
        return "has a space in it."
    return f"begins with '{scheme}:'." if scheme not in ("", "http", "https") else ""


# ---- writing


def to_toml(answers: Iterable[Answer]) -> bytes:
    """Return answers as a TOML file."""
    return f"{_HEAD}{''.join(f'{chr(10)}{toml_block(answer)}' for answer in answers)}".encode()


def toml_block(answer: Answer) -> str:
    """Return one answer as a table ``[[answer]]``; what is empty is left out."""
    lines = ["[[answer]]"]
    for name, value in answer.values().items():
        if value:
            lines.append(f"{name} = {value if name == 'answered_on' else toml_text(value)}")
    return "\n".join(lines) + "\n"


def to_csv(answers: Iterable[Answer]) -> bytes:
    """Return answers as a CSV file that spreadsheets open with its emoji."""
    return rows_to_csv(COLUMNS, [list(answer.values().values()) for answer in answers])


def rows_to_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows as CSV with a byte order mark: without it, spreadsheets guess the encoding wrongly.

    Source: RFC 4180; with its line end, a carriage return inside of a text is put in quotes as well.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def put(content: bytes, changed: Sequence[Answer], *, where: str, names: Names) -> bytes:
    """Return a file of answers with some added or replaced; comments and order of the others stay.

    Args:
        content: The file as it is.
        changed: At most one for each key.
        where: Its name; TOML or CSV by its end.
        names: Which names are known.

    Raises:
        ConfigInvalid: The file as it is cannot be read, or a text is too long; then nothing is to be written.
    """
    for answer in changed:
        longest = max(answer.text, answer.comment, answer.evidence_link, key=len)
        if len(longest) > MAX_TEXT:
            problem = f"has {len(longest):,} characters; at most {MAX_TEXT:,} are kept."
            raise ConfigInvalid(f"{answer.group}/{answer.item}", problem, "Shorten it.")
        if problem := unprintable(f"{answer.text}{answer.comment}{answer.evidence_link}"):
            raise ConfigInvalid(f"{answer.group}/{answer.item}", problem, "Take it out.")
    present = read(content, where=where, names=names)
    replaced = {answer.key: answer for answer in changed}
    if where.lower().endswith(".csv"):
        kept = [replaced.pop(answer.key, answer) for answer in present]
        return to_csv([*kept, *replaced.values()])
    made = _put_toml(content, present, replaced, where=where)
    return made.replace(b"\n", line_end(content.decode()).encode())


def _put_toml(content: bytes, present: list[Answer], replaced: dict[Key, Answer], *, where: str) -> bytes:
    file = TableFile(content, where=where)
    spans = [file.span(table) for table in file.tables("answer")]
    if None in spans:
        # Written inline, as answer = [...]: there are no blocks to replace.
        return to_toml([*(replaced.pop(answer.key, answer) for answer in present), *replaced.values()])
    lines = file.lines
    for answer, span in reversed(list(zip(present, spans, strict=True))):
        new = replaced.pop(answer.key, None)
        if new is not None and span is not None:
            first, last = span
            while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#")):
                last -= 1
            lines[first:last] = toml_block(new).rstrip("\n").split("\n")
    blocks = ["\n".join(lines).rstrip(), *(toml_block(answer).rstrip() for answer in replaced.values())]
    return ("\n\n".join(block for block in blocks if block) + "\n").encode()
