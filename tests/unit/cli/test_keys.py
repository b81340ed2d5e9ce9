"""What is said about the private key."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Call


@pytest.mark.parametrize(
    "words",
    [
        ("ledger", "checkpoint", "--json"),
        ("ledger", "key", "--json"),
        ("ledger", "anchor", "file:kept", "--json"),
        ("ledger", "verify", "--json"),
        ("report", "--out", "page.html", "--json"),
    ],
)
def test_a_key_that_others_may_read_is_warned_of(call: Call, project: Path, words: tuple[str, ...]) -> None:
    """The warning stands on stderr with the command that mends it, and all goes on; mended, there is none."""
    assert call("ledger", "checkpoint").err == ""
    key = project / ".ratchet" / "keys" / "ledger.pem"
    key.chmod(0o644)
    answer = call(*words)
    assert answer.code == 0
    assert f"(mode 0644): whoever reads it can sign in the name of this ledger. Mend it: chmod 600 {key}" in answer.err
    assert json.loads(answer.out)
    key.chmod(0o600)
    assert "Warning" not in call(*words).err
