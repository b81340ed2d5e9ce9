"""What checks come to, also where one breaks off."""

from collections.abc import Iterator

import pytest

from ratchet.diagnosis.findings import Finding, counted, made


def check_good() -> Iterator[Finding]:
    """Find something that is well."""
    yield Finding(area="a", check="good", status="ok", said="well")


def check_that_breaks() -> Iterator[Finding]:
    """Break off behind the first finding."""
    yield Finding(area="a", check="first", status="ok", said="well")
    message = "line one\nline two"
    raise OSError(message)


def test_a_check_that_breaks_off_keeps_no_other_from_being_made() -> None:
    """It is a problem of its own, in one line, after what it had found."""
    found = list(made("a", [check_that_breaks, check_good]))
    assert [(one.check, one.status) for one in found] == [("first", "ok"), ("that breaks", "problem"), ("good", "ok")]
    assert found[1].said == "could not be checked: line one line two"


def test_a_complaint_says_what_to_do() -> None:
    """A finding without a remedy is a mistake of ours."""
    with pytest.raises(AssertionError, match="no remedy"):
        Finding(area="a", check="c", status="warning", said="bad")


def test_things_are_counted() -> None:
    """One thing, or several."""
    assert (counted(1, "key"), counted(0, "key"), counted(1200, "key")) == ("1 key", "0 keys", "1,200 keys")
