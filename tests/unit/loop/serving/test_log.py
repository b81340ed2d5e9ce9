"""Frames come back as they were written, and torn ones never do."""

import resource
from pathlib import Path

import pytest

from ratchet import clock
from ratchet.errors import PredictionLogUnwritable
from ratchet.loop.serving import claim, log
from ratchet.loop.serving.log import Frame, PredictionLog, read_frames, request_rotation, spool_files


def _frame(number: int = 1, *, text: str = "AA") -> Frame:
    return Frame(
        request_id=f"r{number}",
        endpoint="delay",
        version="delay@v1",
        traffic_id="t",
        caller="anonymous",
        time=1_700_000_000_000_000 + number,
        latency_us=12,
        status=200,
        prediction_ids=[f"r{number}.0"],
        columns={"distance": [None], "carrier": [text]},
        scores=[0.25],
    )


def _only_file(folder: Path) -> Path:
    (found,) = spool_files(folder)
    return found.path


def test_frames_come_back_from_any_offset(folder: Path, log: PredictionLog) -> None:
    """Reading on from a remembered offset gives just the frames behind it."""
    frames = [_frame(number) for number in range(3)]
    for frame in frames:
        log.append(frame)
    read = list(read_frames(_only_file(folder)))
    assert [frame for frame, _ in read] == frames
    assert [frame for frame, _ in read_frames(_only_file(folder), read[0][1])] == frames[1:]
    assert list(read_frames(_only_file(folder), read[-1][1])) == []


def test_every_torn_tail_stops_the_reader(folder: Path, log: PredictionLog) -> None:
    """Wherever the last frame is cut, the reader gives the frames before it and no other."""
    log.append(_frame(1))
    (_, end), *_ = read_frames(_only_file(folder))
    log.append(_frame(2))
    whole = _only_file(folder).read_bytes()
    torn = folder / "torn.wal"
    for length in range(end, len(whole)):
        torn.write_bytes(whole[:length])
        assert [offset for _, offset in read_frames(torn)] == [end]


@pytest.mark.parametrize("damage", [b"\0" * 64, b"\xff" * 64])
def test_damage_stops_the_reader(folder: Path, log: PredictionLog, damage: bytes) -> None:
    """Zeros, which a loss of power leaves, and noise are no frames."""
    log.append(_frame(1))
    path = _only_file(folder)
    path.write_bytes(path.read_bytes() + damage)
    assert [frame for frame, _ in read_frames(path)] == [_frame(1)]


def test_a_flipped_bit_is_found(folder: Path, log: PredictionLog) -> None:
    """A frame whose bytes changed is not given out."""
    log.append(_frame(1))
    path = _only_file(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert list(read_frames(path)) == []


def test_files_rotate_by_size(folder: Path) -> None:
    """A file that would grow over the limit is left for the next, and no frame is lost on the way."""
    small = PredictionLog(folder, writer=clock.new_id(), limit_bytes=400)
    for number in range(20):
        small.append(_frame(number))
    files = spool_files(folder)
    assert len(files) > 1
    assert all(file.path.stat().st_size <= 400 for file in files)
    assert [frame for file in files for frame, _ in read_frames(file.path)] == [_frame(n) for n in range(20)]
    small.close()


def test_only_the_last_file_of_the_living_writer_is_open(folder: Path) -> None:
    """Files of gone writers are closed, and of the present one all but the last."""
    gone = PredictionLog(folder, writer=clock.new_id())
    gone.append(_frame(1))
    gone.close()
    held = claim.Claim(folder)
    held.describe(host="h", port=1)
    mine = PredictionLog(folder, writer=held.writer)
    mine.append(_frame(2))
    mine.rotate()
    # Writers that were named within one millisecond stand in any order.
    own = [file.is_closed for file in spool_files(folder) if file.path.name.startswith(held.writer)]
    assert own == [True, False]
    assert [file.is_closed for file in spool_files(folder) if not file.path.name.startswith(held.writer)] == [True]
    mine.close()
    held.release()
    assert all(file.is_closed for file in spool_files(folder))


def test_rotation_on_request(folder: Path, log: PredictionLog) -> None:
    """The control plane asks by a file, which is gone when the next file is open."""
    log.append(_frame(1))
    assert not log.is_rotation_requested()
    request_rotation(folder)
    assert log.is_rotation_requested()
    log.rotate_as_requested()
    assert not log.is_rotation_requested()
    assert len(spool_files(folder)) == 2
    request_rotation(folder)
    log.rotate_as_requested()
    assert len(spool_files(folder)) == 2, "an empty file is not left behind"


def test_a_full_disk_leaves_no_torn_frame(folder: Path, log: PredictionLog) -> None:
    """What the disk took of a frame that did not fit is taken back, so that later frames can be read."""
    log.append(_frame(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = _only_file(folder).stat().st_size + 50
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        with pytest.raises(PredictionLogUnwritable, match="took 50 of"):
            log.append(_frame(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.append(_frame(3))
    assert [frame for frame, _ in read_frames(_only_file(folder))] == [_frame(1), _frame(3)]


def test_sync_and_close_leave_the_frames(folder: Path) -> None:
    """Bringing the file to the disk changes nothing in it, from whichever thread."""
    written = PredictionLog(folder, writer=clock.new_id())
    written.append(_frame(1))
    written.sync()
    written.sync()
    written.close()
    assert [frame for frame, _ in read_frames(_only_file(folder))] == [_frame(1)]


def test_a_spool_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where the spool cannot take a file, the error names the path."""
    writer = clock.new_id()
    (tmp_path / log.SPOOL_FOLDER).mkdir()
    (tmp_path / log.SPOOL_FOLDER / f"{writer}-000001.wal").touch()
    with pytest.raises(PredictionLogUnwritable, match=writer):
        PredictionLog(tmp_path, writer=writer)
    assert [path.name for path in (tmp_path / log.SPOOL_FOLDER).iterdir()] == [f"{writer}-000001.wal"]
