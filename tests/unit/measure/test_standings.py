"""Transitions in two letters, and what is judged from them."""

import itertools

from ratchet.clock import from_us, to_us
from ratchet.measure.initiators import EVIDENCE, MODES
from ratchet.measure.levels import is_insufficient
from ratchet.measure.practices import PRACTICES
from ratchet.measure.stages import CustomStage
from ratchet.measure.standings import code_of, practices_of, stage_key
from tests.ledgers import START


def test_codes_tell_all_transitions_apart() -> None:
    """Each mode, grade and practice has letters of its own, all of them printable."""
    shown = list(itertools.product([None, False, True], repeat=3))
    codes = {code_of(m, e, s) for m in MODES for e in EVIDENCE for s in shown}
    assert len(codes) == len(MODES) * len(EVIDENCE) * len(shown)
    assert all(len(code) == 2 and code.isascii() and code.isprintable() for code in codes)
    assert max(len(practices_of(stage)) for stage in PRACTICES.values()) == 3


def test_moments_come_back_exactly() -> None:
    """A moment is the same after it was a number of microseconds."""
    moment = START.replace(microsecond=123457)
    assert from_us(to_us(moment)) == moment


def test_a_stage_of_ones_own_is_kept_by_its_definition() -> None:
    """Two policies that mean different things by one name do not mix; one that all have is kept by its name."""
    one = CustomStage(name="x", type="custom.emitted")
    other = CustomStage(name="x", type="custom.emitted", where="event.data.a")
    assert stage_key("train") == "train"
    assert len({stage_key(one), stage_key(other), "x"}) == 3


def test_only_a_want_of_evidence_is_insufficient() -> None:
    """A level of 0 that something speaks for is a level; so is any higher one."""
    assert is_insufficient(0, ["insufficient", "insufficient"])
    assert not is_insufficient(0, ["insufficient", "not met"])
    assert not is_insufficient(1, ["insufficient"])
    assert not is_insufficient(0, [])
