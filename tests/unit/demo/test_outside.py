"""The airline's system, as seen from its requests."""

from datetime import UTC, datetime

import numpy as np

from ratchet.demo import outside


def test_a_request_is_named_after_its_hour() -> None:
    """Asked again after a crash, a request has the same id."""
    hour = datetime(2013, 3, 4, 15, tzinfo=UTC)
    assert outside._request_id(hour) == outside._request_id(hour) == "2013-03-04T15"


def test_missing_numbers_travel_as_null() -> None:
    """JSON knows no NaN, so a missing value is null."""
    columns = {name: np.array(["AA"], dtype=object) for name in outside.CATEGORICAL}
    columns |= {name: np.array([np.nan]) for name in outside.FEATURES if name not in outside.CATEGORICAL}
    tensors = {tensor["name"]: tensor for tensor in outside._tensors(columns)}
    assert tensors["temp"]["data"] == [None]
    assert tensors["carrier"]["datatype"] == "BYTES"


def test_moments_are_sent_with_their_zone() -> None:
    """What an outcome tells about times is UTC and says so."""
    assert outside._iso(np.datetime64("2013-03-04T15:05:00.000000")) == "2013-03-04T15:05:00+00:00"
