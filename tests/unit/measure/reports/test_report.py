"""The report as a record."""

import msgspec

from ratchet.measure.reports.report import Report, definition_digest
from ratchet.records import digest_of
from tests.unit.measure.reports import golden


def test_a_report_is_the_same_after_a_way_through_a_file() -> None:
    """Read again from JSON it is equal, and so is the digest of its values."""
    report = golden.report()
    text = msgspec.json.encode(report)
    assert msgspec.json.decode(text, type=Report) == report
    assert digest_of(msgspec.json.decode(text)) == digest_of(msgspec.to_builtins(report))


def test_the_digest_of_definitions_changes_with_any_of_them() -> None:
    """A definition, or a policy, that is another one gives another digest."""
    report = golden.report()
    digests = {name: one.digest for name, one in report.definitions.items()}
    assert report.definition_digest == definition_digest(digests, report.policies)
    assert definition_digest(digests | {"cost": "other"}, report.policies) != report.definition_digest
    assert definition_digest(digests, report.policies | {"standard": "other"}) != report.definition_digest
