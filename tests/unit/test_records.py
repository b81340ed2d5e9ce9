"""The frozen records, identifiers derived from causes, and who counts as what."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from ratchet.records import Actor, DatasetVersion, Event, ModelVersion, actor_class, derive_id, digest_of, to_utc

MOMENT = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("authtype", "claims", "expected"),
    [
        ("user", {}, "human"),
        ("app_user", {}, "human"),
        ("api_key", {"person": True}, "human"),
        ("service_account", {"on_behalf_of": "anna"}, "human"),
        ("system", {"on_behalf_of": "anna", "minted_by": "engine"}, "human"),
        ("system", {"on_behalf_of": "anna", "minted_by": "rule"}, "automation"),
        ("system", {"minted_by": "rule"}, "automation"),
        ("system", {"minted_by": "engine"}, "automation"),
        ("service_account", {"minted_by": "oidc"}, "automation"),
        ("api_key", {"system": "towers"}, "automation"),
        ("service_account", {}, "unknown"),
        ("system", {}, "unknown"),
        ("api_key", {}, "unknown"),
        ("service_account", {"minted_by": "a stranger"}, "unknown"),
        ("unknown", {"minted_by": "rule", "system": "x", "person": True}, "unknown"),
        ("unauthenticated", {"minted_by": "rule"}, "unknown"),
        ("", {"minted_by": "rule"}, "unknown"),
    ],
)
def test_actor_class(authtype: str, claims: dict[str, Any], expected: str) -> None:
    """A credential stands for a human, for automation, or for nobody knows, and doubt is never automation."""
    assert actor_class(authtype, claims) == expected
    assert Actor(authtype=authtype, claims=claims).actor_class == expected
    assert Event(type="t", subject="s", authtype=authtype, authclaims=claims).actor_class == expected


def test_records_do_not_change() -> None:
    """A record that was made never changes."""
    event = Event(type="t", subject="s")
    with pytest.raises(AttributeError):
        event.type = "other"  # type: ignore[misc]


def test_event_has_no_time_before_it_is_appended() -> None:
    """Asking an event for its time is a programmer's error until it has one."""
    with pytest.raises(AssertionError, match="appended"):
        _ = Event(type="t", subject="s").at
    assert Event(type="t", subject="s", time=MOMENT).at == MOMENT


def test_derived_ids_depend_on_every_part() -> None:
    """The same parts give the same id; another part, or another order, gives another one."""
    assert derive_id("a", 1) == derive_id("a", 1)
    others = {
        derive_id("a", 1),
        derive_id("a", 2),
        derive_id(1, "a"),
        derive_id("a"),
        derive_id("a", 1, ""),
        derive_id(),
    }
    assert len(others) == 6
    assert derive_id("ab", "c") != derive_id("a", "bc")


def test_derived_ids_never_change() -> None:
    """An id is the same in every version: ledgers of earlier versions hold them."""
    assert derive_id("rule", "event", 0) == derive_id("rule", "event", "0")
    assert derive_id("a") == "SABR24PA3EYWNYP266SSM8YW9P"
    assert len(derive_id("a")) == 26


def test_digest_ignores_the_order_of_keys() -> None:
    """Values that are equal have one digest, whatever the order of their keys."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": [1, 2]}) != digest_of({"a": [2, 1]})
    assert digest_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_times_become_utc() -> None:
    """A moment with an offset is the same moment in UTC; one without says nothing and is refused."""
    there = datetime(2013, 1, 31, 20, tzinfo=timezone(timedelta(hours=-5)))
    assert to_utc(there) == there
    assert to_utc(there).tzinfo is UTC
    with pytest.raises(ValueError, match="2013-01-31T20:00:00 has no time zone"):
        to_utc(datetime(2013, 1, 31, 20))  # noqa: DTZ001, a moment without a zone is what is refused


def test_versions_have_names() -> None:
    """Versions are called by what they are versions of and their number."""
    dataset = DatasetVersion(
        dataset="flights",
        number=12,
        manifest="m",
        row_count=0,
        data_from="",
        data_until="",
        schema_digest="",
        parents=(),
        generated=False,
        published_at=MOMENT,
        event_id="e",
    )
    model = ModelVersion(
        model="flight-delay",
        number=7,
        run_id="r",
        pipeline="p",
        artifact="a",
        storer="skops",
        inputs=(),
        output="o",
        profile="",
        holdout="",
        label="late",
        data_until="",
        registered_at=MOMENT,
        event_id="e",
    )
    assert (dataset.name, model.name) == ("flights@v12", "flight-delay@v7")
    assert msgspec.json.decode(msgspec.json.encode(model), type=ModelVersion) == model
