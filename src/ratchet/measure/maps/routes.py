"""The geometry of a drawn map: boxes, lanes, and edges that run between the boxes and never through one.

Invariant: boxes do not overlap; edges run in channels between rows and columns only, and where two share a stretch of
a channel each has a track of its own.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ratchet.measure.maps.layout import Arrangement, Cell, arrange
from ratchet.measure.maps.lettering import text_width
from ratchet.measure.maps.process_maps import Edge, ProcessMap
from ratchet.records import Record

BOX_WIDTH, BOX_HEIGHT = 176.0, 80.0
HEADER_WIDTH = 132.0
LABEL_SIZE = 10.5
_TRACK_ACROSS, _TRACK_ALONG = 10.0, 15.0
_NARROWEST, _LOWEST = 34.0, 28.0
_LANE_GAP = 14.0
_PORT_STEP_ALONG, _PORT_STEP_DOWN = 22.0, 13.0
_PORT_SHIFT, _PORT_SHIFT_LEFT = 7.0, 3.25
_PITCH = BOX_WIDTH + _NARROWEST
_PADDING = 0.22
_LABEL_MARGIN = 12.0

Side = Literal["left", "right", "top", "bottom"]
Point = tuple[float, float]
# A channel is ("along", k): above row k; or ("down", c): to the left of column c.
Channel = tuple[Literal["along", "down"], int]


class Box(Record, frozen=True):
    """A rectangle: of a node, or of a lane."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Return where it ends to the right."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Return where it ends below."""
        return self.y + self.height


class Lane(Record, frozen=True):
    """A phase and its area."""

    phase: str
    box: Box


class Line(Record, frozen=True):
    """An edge as it is drawn: corners from the source's border to the target's, and the middle of its label."""

    edge: Edge
    points: tuple[Point, ...]
    label_at: Point | None = None


class Geometry(Record, frozen=True):
    """Everything with its coordinates, from 0 at the top left, in pixels."""

    width: float
    height: float
    lanes: tuple[Lane, ...]
    boxes: dict[str, Box]
    lines: tuple[Line, ...]


@dataclass(eq=False)
class _Way:
    """An edge on its way through channels."""

    edge: Edge
    source: Cell
    target: Cell
    leaves: Side
    enters: Side
    channels: tuple[Channel, ...]
    shifts: list[float]
    tracks: list[int]

    @property
    def label_run(self) -> int:
        """Return which of its channels holds the label: the longest one that runs along; -1 for none."""
        if not self.edge.artifact:
            return -1
        runs = [(abs(low - high), n) for n, (low, high) in enumerate(self.spans()) if self.channels[n][0] == "along"]
        return max(runs)[1] if runs else -1

    def spans(self) -> list[tuple[float, float]]:
        """Return from where to where it runs in each channel, in rows or columns."""
        found = []
        for number, (kind, _) in enumerate(self.channels):
            before = self.channels[number - 1][1] if number else self._port(self.source, kind, self.shifts[0])
            is_last = number == len(self.channels) - 1
            after = self._port(self.target, kind, self.shifts[1]) if is_last else self.channels[number + 1][1]
            found.append((float(before), float(after)))
        return found

    def _port(self, cell: Cell, kind: str, shift: float) -> float:
        if kind == "along":
            return cell.column + 0.5 + shift / _PITCH
        return cell.row + 0.5 + shift / (BOX_HEIGHT + _LOWEST)


def place(process_map: ProcessMap) -> Geometry:
    """Return the geometry of a map."""
    arrangement = arrange(process_map)
    ways = [_way(edge, arrangement) for edge in process_map.edges]
    _share_ports(ways)
    counts = _share_tracks(ways)
    frame = _Frame(arrangement, counts)
    boxes = {name: frame.box(cell) for name, cell in arrangement.cells.items()}
    lanes = tuple(Lane(phase=lane.phase, box=frame.lane(lane.first, lane.last)) for lane in arrangement.lanes)
    return Geometry(
        width=frame.width,
        height=frame.height,
        lanes=lanes,
        boxes=boxes,
        lines=tuple(_line(way, frame) for way in ways),
    )


# ---- which way


def _way(edge: Edge, arrangement: Arrangement) -> _Way:
    source, target = arrangement.cells[edge.source], arrangement.cells[edge.target]
    find = _loop if edge.loop or source == target else _data if edge.kind == "data" else _control
    leaves, enters, channels = find(source, target)
    return _Way(
        edge=edge,
        source=source,
        target=target,
        leaves=leaves,
        enters=enters,
        channels=channels,
        shifts=[0.0, 0.0],
        tracks=[0] * len(channels),
    )


_Course = tuple[Side, Side, tuple[Channel, ...]]


def _control(source: Cell, target: Cell) -> _Course:
    """Go from right to left where the target is in the next column, else the shortest way to its top or bottom."""
    down = target.row - source.row
    if target.column == source.column + 1:
        return "right", "left", () if not down else (("down", target.column),)
    if not down:
        return "top", "top", (("along", source.row),)
    if down == 1:
        return "bottom", "top", (("along", target.row),)
    if down == -1:
        return "top", "bottom", (("along", source.row),)
    channel: Channel = ("along", target.row if down > 0 else target.row + 1)
    return "right", "top" if down > 0 else "bottom", (("down", source.column + 1), channel)


def _data(source: Cell, target: Cell) -> _Course:
    """Go along below or above the row, where a label has room."""
    down = target.row - source.row
    if not down:
        return "bottom", "bottom", (("along", source.row + 1),)
    if down == 1:
        return "bottom", "top", (("along", target.row),)
    if down == -1:
        return "top", "bottom", (("along", source.row),)
    beside: Channel = ("down", target.column + (target.column < source.column))
    if down > 0:
        return "bottom", "top", (("along", source.row + 1), beside, ("along", target.row))
    return "top", "bottom", (("along", source.row), beside, ("along", target.row + 1))


def _loop(source: Cell, target: Cell) -> _Course:
    """Return below, whatever lies between."""
    if source.row == target.row:
        return "bottom", "bottom", (("along", source.row + 1),)
    beside: Channel = ("down", target.column)
    return "bottom", "bottom", (("along", source.row + 1), beside, ("along", target.row + 1))


# ---- ports and tracks


def _share_ports(ways: list[_Way]) -> None:
    """Give each end at a box a place of its own on its side, in the order of where it goes."""
    ends: dict[tuple[Cell, Side], list[tuple[float, _Way, int]]] = defaultdict(list)
    for way in ways:
        if way.channels:
            first, last = way.spans()[0], way.spans()[-1]
            ends[way.source, way.leaves].append((first[1], way, 0))
            ends[way.target, way.enters].append((last[0], way, 1))
    straight = {(way.source, "right") for way in ways if not way.channels}
    straight |= {(way.target, "left") for way in ways if not way.channels}
    for (cell, side), found in ends.items():
        found.sort(key=lambda one: one[0])
        for (_, way, end), shift in zip(found, _shifts(side, len(found), (cell, side) in straight), strict=True):
            way.shifts[end] = shift


def _shifts(side: Side, count: int, has_straight: bool) -> list[float]:
    """Return how far from the middle of a side its ports lie.

    Ports that face one another are shifted apart, so that what leaves one box does not lie upon what enters the other.
    """
    if side in ("top", "bottom"):
        step = min(_PORT_STEP_ALONG, (BOX_WIDTH - 40) / max(count - 1, 1))
        shift = _PORT_SHIFT if side == "top" else -_PORT_SHIFT
        return [(number - (count - 1) / 2) * step + shift for number in range(count)]
    places = count + has_straight
    step = min(_PORT_STEP_DOWN, (BOX_HEIGHT - 28) / max(places - 1, 1))
    middle = (places - 1) / 2 if not has_straight else float(places // 2)
    taken = [number for number in range(places) if not has_straight or number != places // 2]
    shift = 0.0 if side == "right" else _PORT_SHIFT_LEFT
    return [(number - middle) * step + shift for number in taken]


def _share_tracks(ways: list[_Way]) -> dict[Channel, int]:
    """Give each run in a channel a track where it meets no other; return how many tracks each channel has."""
    runs: dict[Channel, list[tuple[float, float, _Way, int]]] = defaultdict(list)
    for way in ways:
        for number, (one, other) in enumerate(way.spans()):
            low, high = sorted((one, other))
            if number == way.label_run:
                half = (text_width(way.edge.artifact, size=LABEL_SIZE) / 2 + _LABEL_MARGIN) / _PITCH
                low, high = min(low, (one + other) / 2 - half), max(high, (one + other) / 2 + half)
            runs[way.channels[number]].append((low - _PADDING, high + _PADDING, way, number))
    counts = {}
    for channel, found in runs.items():
        found.sort(key=lambda run: (_rank_in_channel(run[2], run[3]), run[1] - run[0]))
        tracks: list[list[tuple[float, float]]] = []
        for low, high, way, number in found:
            free = (n for n, taken in enumerate(tracks) if all(high <= one or low >= other for one, other in taken))
            track = next(free, len(tracks))
            if track == len(tracks):
                tracks.append([])
            tracks[track].append((low, high))
            way.tracks[number] = track
        counts[channel] = len(tracks)
    return counts


def _rank_in_channel(way: _Way, number: int) -> int:
    """Return 0 for a run that hangs below the upper row, 2 for one that stands on the lower, 1 for those between."""
    is_first, is_last = number == 0, number == len(way.channels) - 1
    hangs = (not is_first or way.leaves == "bottom") and (not is_last or way.enters == "bottom")
    stands = (not is_first or way.leaves == "top") and (not is_last or way.enters == "top")
    return 0 if hangs and not stands else 2 if stands and not hangs else 1


# ---- coordinates


class _Frame:
    """Where rows, columns and channels lie, once it is known how many tracks each channel has."""

    def __init__(self, arrangement: Arrangement, counts: dict[Channel, int]) -> None:
        self.counts = counts
        self.firsts = {lane.first for lane in arrangement.lanes}
        self.columns_at: list[float] = []
        self.channels_across: list[float] = []
        x = HEADER_WIDTH
        for column in range(arrangement.columns + 1):
            self.channels_across.append(x)
            x += self._width(column)
            self.columns_at.append(x)
            x += BOX_WIDTH
        self.width = x - BOX_WIDTH
        self.rows_at: list[float] = []
        self.channels_along: list[float] = []
        y = 0.0
        for row in range(arrangement.rows + 1):
            self.channels_along.append(y)
            y += self._height(row)
            self.rows_at.append(y)
            y += BOX_HEIGHT
        self.height = y - BOX_HEIGHT

    def _width(self, column: int) -> float:
        return max(_NARROWEST, 2 * _TRACK_ACROSS + _TRACK_ACROSS * self.counts.get(("down", column), 0))

    def _height(self, row: int) -> float:
        gap = _LANE_GAP if row in self.firsts and row else 0.0
        return max(_LOWEST, 26.0 + _TRACK_ALONG * (self.counts.get(("along", row), 0) - 1)) + gap

    def box(self, cell: Cell) -> Box:
        return Box(x=self.columns_at[cell.column], y=self.rows_at[cell.row], width=BOX_WIDTH, height=BOX_HEIGHT)

    def lane(self, first: int, last: int) -> Box:
        """Return a lane's area; the channel between two lanes belongs to the upper one."""
        top = self.rows_at[first] - _LANE_GAP if first else 0.0
        is_lowest = last + 2 == len(self.rows_at)
        bottom = self.height if is_lowest else self.rows_at[last + 1] - _LANE_GAP
        return Box(x=0.0, y=top, width=self.width, height=bottom - top)

    def track(self, channel: Channel, track: int) -> float:
        kind, number = channel
        if kind == "down":
            used = _TRACK_ACROSS * (self.counts[channel] - 1)
            return self.channels_across[number] + (self._width(number) - used) / 2 + _TRACK_ACROSS * track
        gap = _LANE_GAP if number in self.firsts and number else 0.0
        used = _TRACK_ALONG * (self.counts[channel] - 1)
        return self.channels_along[number] + (self._height(number) - gap - used) / 2 + _TRACK_ALONG * track

    def port(self, cell: Cell, side: Side, shift: float) -> Point:
        box = self.box(cell)
        if side in ("left", "right"):
            return (box.x if side == "left" else box.right), box.y + box.height / 2 + shift
        return box.x + box.width / 2 + shift, (box.y if side == "top" else box.bottom)


def _line(way: _Way, frame: _Frame) -> Line:
    start = frame.port(way.source, way.leaves, way.shifts[0])
    end = frame.port(way.target, way.enters, way.shifts[1])
    at = [frame.track(channel, track) for channel, track in zip(way.channels, way.tracks, strict=True)]
    points = list(_corners(start, end, way.channels, at))
    label_at = None
    if way.label_run >= 0:
        one, other = points[way.label_run + 1], points[way.label_run + 2]
        half = text_width(way.edge.artifact, size=LABEL_SIZE) / 2
        middle = min(max((one[0] + other[0]) / 2, HEADER_WIDTH + half + 4), frame.width - half - 4)
        label_at = (middle, one[1])
    return Line(edge=way.edge, points=tuple(_without_repeats(points)), label_at=label_at)


def _corners(start: Point, end: Point, channels: tuple[Channel, ...], at: list[float]) -> Iterator[Point]:
    """Give the corners: into the first channel, from channel to channel, out of the last one."""
    yield start
    x, y = start
    for number, (kind, _) in enumerate(channels):
        if kind == "along":
            y = at[number]
            yield x, y
            x = at[number + 1] if number + 1 < len(channels) else end[0]
            if number + 1 == len(channels):
                yield x, y
        else:
            x = at[number]
            yield x, y
            y = at[number + 1] if number + 1 < len(channels) else end[1]
            if number + 1 == len(channels):
                yield x, y
    yield end


def _without_repeats(points: list[Point]) -> list[Point]:
    return [points[0], *(after for before, after in pairwise(points) if after != before)]
