"""Under which key a step's result is kept, and when it is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ratchet.loop.step_keys import Keeping, as_kept, state_of
from ratchet.store import storers

LIMIT = [1]
COUNTED: list[int] = []
CHANCE = np.random.default_rng(0)


def plain(rows: Any) -> Any:
    """Return what it was given."""
    return rows


def limited(rows: Any) -> Any:
    """Read a value of the module."""
    return rows, LIMIT


def counting(rows: Any) -> Any:
    """Change a value of the module."""
    COUNTED.append(1)
    return rows


def drawing(_rows: Any) -> float:
    """Draw from a generator that steps share."""
    return float(CHANCE.random())


def frame() -> pd.DataFrame:
    """Return rows of several types."""
    return pd.DataFrame({"a": [1.5, 2.5], "b": ["x", None], "c": [1, 2]})


def keeping(
    rows: Any = 1, *, function: Callable[..., Any] = plain, name: str = "step", seed: int = 0, wish: bool | None = None
) -> Keeping:
    """Ask for the key of a call."""
    return Keeping(name, function, {"rows": rows}, {"rows": "reference"}, seed=seed, wish=wish)


def told(function: Callable[..., Any], rows: Any = 1, *, wish: bool | None = None, back: Any = None) -> str:
    """Call a step and return why its result is not kept, ``""`` where it is."""
    asked = keeping(rows, function=function, wish=wish)
    with asked.watched():
        result = function(rows)
    note = asked.note(result, lambda: result if back is None else back)
    assert note == {"keep": asked.key} or set(note) <= {"why"}
    return str(note.get("why", asked.asked.get("why", "")))


def test_the_key_is_the_same_for_the_same() -> None:
    """And another one for another step, seed, function, argument."""
    assert keeping().asked == {"key": keeping().key}
    others = [
        keeping(name="other"),
        keeping(seed=1),
        keeping(function=limited),
        Keeping("step", plain, {"rows": 1}, {"rows": "other"}, seed=0),
    ]
    assert len({one.key for one in [keeping(), *others]}) == 5


def test_libraries_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more that is installed, or another version, may give another result."""
    before = keeping().key
    (tmp_path / "newcomer-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert keeping().key != before


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.set_index(pd.Index([5, 6])),
        lambda rows: rows.set_index(pd.Index(["p", "q"])),
        lambda rows: rows.astype({"c": "Int64"}),
        lambda rows: rows["a"],
        list,
    ],
)
def test_what_a_reference_does_not_say_is_in_the_key(change: Callable[[Any], Any]) -> None:
    """A step may look at the index, at types of columns, at whether it is a frame or a series."""
    assert keeping(frame()).key == keeping(frame()).key
    assert keeping(change(frame())).key != keeping(frame()).key


def test_values_that_a_body_has_set_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module holds when the step is called, not what its file says."""
    before = keeping(function=limited).key
    monkeypatch.setattr(f"{__name__}.LIMIT", [2])
    assert keeping(function=limited).key != before


def test_a_step_may_say_that_it_is_not_to_be_kept() -> None:
    """Then nothing is computed for it."""
    assert keeping(wish=False).asked == {"why": "it says cache=False"}
    assert told(plain, wish=False) == "it says cache=False"


def test_a_step_that_reads_the_world_is_not_kept(tmp_path: Path) -> None:
    """Unless its word is taken that what it reads does not change."""
    file = tmp_path / "rows.csv"
    file.write_text("a\n")

    def reading(_rows: Any) -> str:
        return Path(file).read_text()

    assert "rows.csv" in told(reading)
    assert told(reading, wish=True) == ""


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (frame, lambda rows: rows.__setitem__("a", 0.0)),
        (frame, lambda rows: rows.loc.__setitem__((0, "b"), "y")),
        (frame, lambda rows: setattr(rows, "index", pd.Index([3, 4]))),
        (lambda: {"a": [1]}, lambda rows: rows["a"].append(2)),
        (lambda: [frame(), frame()], lambda rows: rows[1].__setitem__("a", 0.0)),
        (lambda: np.arange(3), lambda rows: rows.__setitem__(0, 9)),
        (LogisticRegression, lambda rows: rows.fit([[0.0], [1.0]], [0, 1])),
    ],
)
def test_a_step_that_changes_its_argument_is_not_kept(
    value: Callable[[], Any], change: Callable[[Any], object]
) -> None:
    """Whoever took its result would go on with an argument that is as it was."""

    def changing(rows: Any) -> int:
        change(rows)
        return 1

    assert told(changing, value()) == "it changes its argument 'rows'"
    assert told(plain, value()) == ""


@pytest.mark.parametrize("function", [counting, drawing])
def test_a_step_that_changes_what_others_read_is_not_kept(function: Callable[..., Any]) -> None:
    """A list that it fills, a generator that it draws from: later steps would find another state."""
    assert told(function) == "it changes values that steps share"


@pytest.mark.parametrize(
    "value",
    [
        frame(),
        frame()["b"],
        [frame(), frame()["a"], {"n": 1}],
        {"a": [1, 2.5, "x", None, True]},
        3,
        "text",
        np.arange(3.0),
        pd.DataFrame({"at": pd.to_datetime(["2026-01-01"], utc=True), "d": pd.to_datetime(["2026-01-01"])}),
    ],
)
def test_what_comes_back_as_it_was_is_kept(value: Any) -> None:
    """Frames, series, values of JSON, arrays, and lists of them."""
    loaded = [storers.load(*storers.dump(one)) for one in (value if isinstance(value, list) else [value])]
    if type(value) is pd.DataFrame and "at" in value:
        value["at"] = value["at"].dt.tz_convert(loaded[0]["at"].dt.tz)
    assert told(lambda _rows: value, back=loaded if isinstance(value, list) else loaded[0]) == ""


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (frame().set_index(pd.Index([4, 5])), frame()),
        (frame(), frame().astype({"b": "object"})),
        (frame().astype({"b": "object"}).fillna(np.nan), frame().astype({"b": "object"}).replace({np.nan: None})),
        (frame()["b"], frame()["b"].astype("object")),
        ({"a": 1}, {"a": True}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], [1.0, 2]),
        (np.float64(1.5), None),
    ],
)
def test_what_does_not_come_back_is_not_kept(value: Any, back: Any) -> None:
    """A run that took it would go on with something else."""
    assert told(lambda _rows: value, back=back) == "what it returns is not the same when it is read again"


def test_doubt_is_not_an_error() -> None:
    """A value that cannot be looked at costs the key, not the run."""

    class Stubborn:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    stubborn = Stubborn()
    assert "no key could be made: " in str(keeping(function=lambda _rows: stubborn).asked["why"])


def test_a_result_is_as_it_will_come_back() -> None:
    """A frame has no index but its rows' numbers, in a list as well; one without another index is not copied."""
    rows = frame()
    assert as_kept(rows) is rows
    assert as_kept(3) == 3
    found = as_kept([rows.iloc[1:], (rows["a"].iloc[1:], "x")])
    assert list(found[0].index) == list(found[1][0].index) == [0]
    assert isinstance(found[1], tuple)


def test_the_state_of_a_value_is_the_same_while_nobody_changes_it() -> None:
    """Also where its texts lie elsewhere in memory."""
    assert state_of(frame()) == state_of(frame())
    assert state_of(frame()) != state_of(frame().assign(b="z"))
