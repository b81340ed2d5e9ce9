"""What an import found, for people and programs: who started what, what is mapped to what, and what is odd.

Invariant: whatever does not count, and why, is said; nothing is left out silently.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ratchet.importers.pulls import Tally
from ratchet.importers.readings import Reading
from ratchet.records import Record

_NAMED = 3


class Row(Record, frozen=True):
    """What one workflow, job or experiment was read as.

    Attributes:
        name: What it is called at the source.
        pipeline: The pipeline that it belongs to.
        stages: The stages that it is mapped to; none where nobody said.
        is_contradicting: Whether its records claim to be what others are.
        records: How many records it has.
        triggers: Trigger -> how many.
        outcomes: Outcome -> how many; ``open`` for what has not ended.
    """

    system: str
    name: str
    pipeline: str
    stages: tuple[str, ...]
    is_contradicting: bool
    records: int
    triggers: dict[str, int]
    outcomes: dict[str, int]


class Overview(Record, frozen=True):
    """What an import found.

    Attributes:
        sources: One for each source: what it claims, what was read, what is new.
        rows: One for each name at the source.
        notes: What a person should know, in sentences.
        is_dry: Whether nothing was written.
    """

    sources: tuple[dict[str, Any], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    is_dry: bool


def overview(
    readings: Iterable[Reading], tallies: Mapping[str, Tally], *, broken: Iterable[Reading] = (), is_dry: bool = False
) -> Overview:
    """Return what was found.

    Args:
        readings: All that was read.
        tallies: What became of it, by source.
        broken: Readings whose start nobody has recorded.
        is_dry: Whether nothing was written.
    """
    found = list(readings)
    rows = _rows(found)
    notes = [
        *(() if found else ("Nothing was found: there are no records here.",)),
        *_unmapped(rows),
        *_contradictions(found),
        *_conflicts(tallies),
        *_unknown(list(broken)),
        *_missing(tallies),
    ]
    return Overview(
        sources=tuple(_source(tally) for tally in tallies.values()), rows=tuple(rows), notes=tuple(notes), is_dry=is_dry
    )


def _rows(readings: list[Reading]) -> list[Row]:
    groups: dict[tuple[str, str, str, tuple[str, ...], bool], list[Reading]] = {}
    for one in readings:
        stages = one.stages if one.is_mapped and not one.contradicts else ()
        key = (one.system, one.name, one.pipeline, stages, bool(one.contradicts))
        groups.setdefault(key, []).append(one)
    return [
        Row(
            system=system,
            name=name,
            pipeline=pipeline,
            stages=() if stages == ("unknown",) else stages,
            is_contradicting=is_contradicting,
            records=len(members),
            triggers=dict(Counter(one.trigger for one in members).most_common()),
            outcomes=dict(Counter(one.outcome or "open" for one in members if one.is_execution).most_common()),
        )
        for (system, name, pipeline, stages, is_contradicting), members in sorted(groups.items())
    ]


def _source(tally: Tally) -> dict[str, Any]:
    return {
        "source": tally.source,
        "claimed": tally.claimed,
        "records": tally.records,
        "imported": tally.imported,
        "completeness": tally.completeness,
        "new_events": tally.new_events,
        "known_events": tally.known_events,
        "conflicts": tally.conflicts,
    }


def _unmapped(rows: list[Row]) -> list[str]:
    names = list(dict.fromkeys(row.name for row in rows if not row.stages))
    mapped = {row.name for row in rows if row.stages}
    names = [name for name in names if name not in mapped]
    if not names:
        return []
    system = rows[0].system
    verb = "is" if len(names) == 1 else "are"
    return [
        f"{_listed(names)} {verb} mapped to no stage: recorded, and never counted in a level. Say in ratchet.toml what "
        f'a name stands for: [import.{system}."{names[0]}"] with pipeline = "..." and stages = ["train", "evaluate"]'
    ]


def _contradictions(readings: list[Reading]) -> list[str]:
    found = [one for one in readings if one.contradicts]
    if not found:
        return []
    pairs = _listed([f"{one.key} and {one.contradicts}" for one in found])
    return [
        f"{len(found)} records claim to be the same run as another under another id ({pairs}). "
        "The lowest id is believed; the others are recorded and never counted."
    ]


def _conflicts(tallies: Mapping[str, Tally]) -> list[str]:
    return [
        f"{len(tally.conflicts)} records of {tally.source} are in the ledger with another content "
        f"({_listed(tally.conflicts)}). The first stays; each difference is recorded as ledger.conflict.detected."
        for tally in tallies.values()
        if tally.conflicts
    ]


def _unknown(broken: list[Reading]) -> list[str]:
    if not broken:
        return []
    return [
        f"Nobody says who started {len(broken)} records ({_listed([one.key for one in broken])}): their initiator is "
        "unknown, which never counts as automation."
    ]


def _missing(tallies: Mapping[str, Tally]) -> list[str]:
    return [
        f"{tally.source} claims {tally.claimed} records, and {tally.imported} are imported: fetch the other pages, too."
        for tally in tallies.values()
        if tally.completeness is not None and tally.completeness < 1
    ]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
