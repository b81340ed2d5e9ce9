"""The small language of the mapping tables: look up a field, fill a text, ask whether a condition holds.

Invariant: what is missing stays missing: a text with a hole is no text, and a condition on a missing field fails.
"""

import re
from typing import Any

_HOLE = re.compile(r"\{([^{}]+)\}")


def look_up(record: Any, path: str) -> Any:
    """Return the value at a path such as ``actor.login``, or ``None``; empty texts count as missing.

    Args:
        record: JSON values.
        path: Names with dots between; alternatives with ``|`` between, the first that is there counts. A name that
            itself holds dots is found, too, where it is the rest of the path.
    """
    for alternative in path.split("|"):
        found = _follow(record, alternative.strip())
        if found not in (None, ""):
            return found
    return None


def fill(template: Any, values: Any) -> Any:
    """Return a template with its holes filled, or ``None`` where one cannot be.

    A text that is one hole keeps the kind of its value. In a table, entries that cannot be filled are left out.

    Args:
        template: A text with holes such as ``{actor.login}``, a list or a table of such, or any other value.
        values: JSON values that the holes are looked up in.
    """
    if isinstance(template, dict):
        filled = {name: fill(one, values) for name, one in template.items()}
        return {name: one for name, one in filled.items() if one is not None}
    if isinstance(template, list):
        return [one for one in (fill(part, values) for part in template) if one is not None]
    if not isinstance(template, str):
        return template
    whole = _HOLE.fullmatch(template)
    if whole:
        return look_up(values, whole[1])
    found = {path: look_up(values, path) for path in _HOLE.findall(template)}
    if None in found.values():
        return None
    return _HOLE.sub(lambda hole: str(found[hole[1]]), template)


def holds(condition: dict[str, Any], record: Any) -> bool:
    """Tell whether all parts of a condition hold for a record; texts are compared without regard to case.

    Args:
        condition: Path -> a value, a list of values of which one must be there, ``{above = N}``, or
            ``{present = true|false}``.
        record: JSON values.
    """
    return all(_is_met(wanted, look_up(record, path)) for path, wanted in condition.items())


def _follow(record: Any, path: str) -> Any:
    found = record
    while path:
        if not isinstance(found, dict):
            return None
        if path in found:
            return found[path]
        name, _, path = path.partition(".")
        found = found.get(name)
    return found


def _is_met(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        if "present" in wanted:
            return (found is not None) is wanted["present"]
        return isinstance(found, int | float) and found > wanted["above"]
    if isinstance(wanted, list):
        return any(_is_met(one, found) for one in wanted)
    return found is not None and _plain(found) == _plain(wanted)


def _plain(value: Any) -> str:
    return str(value).casefold()
