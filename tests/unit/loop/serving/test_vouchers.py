"""A voucher holds for one model, one schema and the very libraries that are installed."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ratchet.loop.serving import vouchers
from ratchet.loop.serving.routes import ModelSchema, ReleaseRoute

from .conftest import SCHEMA

Release = Callable[..., ReleaseRoute]


def test_a_voucher_holds_for_the_model_and_its_schema(folder: Path, release: Release) -> None:
    """Whoever vouched for a version need not do so for its next release; another model or schema is another matter."""
    first = release("v1")
    assert not vouchers.is_vouched_for(folder, first)
    vouchers.vouch(folder, first, libraries=vouchers.LIBRARIES)
    assert vouchers.is_vouched_for(folder, first)
    assert vouchers.is_vouched_for(folder, msgspec.structs.replace(first, share=0.5, role="shadow", traffic_id="x"))
    assert not vouchers.is_vouched_for(folder, release("v2"))
    fewer = ModelSchema(inputs=SCHEMA.inputs[:1], output="probability")
    assert not vouchers.is_vouched_for(folder, msgspec.structs.replace(first, schema=fewer))


def test_other_libraries_void_a_voucher(
    folder: Path, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that was added, or has another version, makes another digest, and the voucher no longer holds."""
    monkeypatch.setattr(vouchers.site, "getsitepackages", lambda: [str(tmp_path), str(tmp_path / "absent")])
    monkeypatch.setattr(vouchers.site, "getusersitepackages", lambda: str(tmp_path / "absent"))
    digests = [vouchers.installed_digest()]
    for name in ("native-1.0.dist-info", "native-1.1.dist-info", "native"):
        (tmp_path / name).mkdir()
        digests.append(vouchers.installed_digest())
    assert len(set(digests[:3])) == 3
    assert digests[3] == digests[2]
    vouchers.vouch(folder, release("v1"), libraries=digests[0])
    for digest in digests:
        monkeypatch.setattr(vouchers, "LIBRARIES", digest)
        assert vouchers.is_vouched_for(folder, release("v1")) == (digest == digests[0])
