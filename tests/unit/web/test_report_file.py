"""A report's file, checked by somebody who has nothing but that file and a key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ratchet
from ratchet import clock, reporting
from ratchet.store import notes
from ratchet.store.notes import PublicKey
from ratchet.web import report, report_file
from ratchet.web.report_refusals import ReportUnreadable
from ratchet.workspace import Workspace
from tests.kpis import write_golden_year


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, PublicKey]:
    """The page of the golden year as it was published, and the key that signed its ledger."""
    with Workspace(write_golden_year(tmp_path_factory.mktemp("golden"))) as workspace:
        found = reporting.read_report(workspace)
        proof = reporting.publish(workspace, found)
        key = workspace.checkpoints.known_key()
    clock.stop_simulating()
    assert key is not None
    return report.draw(found, proof), key


def _changed(page: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Return a page in whose figures or proof something was changed."""
    before, begin, rest = page.rpartition(report.BLOCK)
    text, end, after = rest.partition("</script>")
    values = json.loads(text)
    change(values)
    return f"{before}{begin}{json.dumps(values)}{end}{after}"


def _checked(page: str, key: PublicKey) -> report_file.Checked:
    return report_file.check(report_file.parse(page, where="report.html"), key)


def test_what_was_published_is_sound(published: tuple[str, PublicKey]) -> None:
    """Figures, event, ledger, signature and page fit."""
    page, key = published
    assert _checked(page, key) == report_file.Checked(faults=(), remarks=())


def _raise_number(values: dict[str, Any]) -> None:
    values["figures"]["numbers"]["ten/new_models"]["value"] = 9.0


def _raise_text(values: dict[str, Any]) -> None:
    values["figures"]["pipelines"][0]["blocking"] = "Nothing stands before the next level."


def _loosen_definition(values: dict[str, Any]) -> None:
    values["figures"]["definitions"]["cost"]["digest"] = "0" * 64


def _claim_more(values: dict[str, Any]) -> None:
    values["figures"]["seq"] += 1


@pytest.mark.parametrize("change", [_raise_number, _raise_text, _loosen_definition, _claim_more])
def test_changed_figures_are_not_those_that_were_published(
    published: tuple[str, PublicKey], change: Callable[[dict[str, Any]], object]
) -> None:
    """A number, a sentence, a definition, a place: each gives another digest."""
    page, key = published
    found = _checked(_changed(page, change), key)
    assert "the figures are not those that were published: their digest is another one" in found.faults


@pytest.mark.parametrize(("old", "new"), [("3</a> models with", "9</a> models with"), ("7 h</b>", "1 h</b>")])
def test_a_changed_page_does_not_show_its_figures(published: tuple[str, PublicKey], old: str, new: str) -> None:
    """What people read is compared as well, not only what machines read."""
    page, key = published
    assert old in page
    assert _checked(page.replace(old, new, 1), key).faults == (
        "the page shows something else than what its figures say",
    )


def test_another_key_is_not_believed(published: tuple[str, PublicKey]) -> None:
    """Whoever signs with a key of their own, even under the same name, proves nothing."""
    page, key = published
    foreign = notes.make_key(key.name).public
    assert _checked(page, foreign).faults == ("the checkpoint is not signed by this key",)


def _cut_way(values: dict[str, Any]) -> None:
    values["proof"]["bundle"]["hashes"].pop()


def _cut_payload(values: dict[str, Any]) -> None:
    values["proof"]["bundle"] |= {"payload": None, "salt": None}


def _change_payload(values: dict[str, Any]) -> None:
    bundle = values["proof"]["bundle"]
    bundle["payload"] = bundle["payload"].replace('"seq":', '"seq":1')


def _move_entry(values: dict[str, Any]) -> None:
    values["proof"]["bundle"]["index"] -= 1


def _cut_bundle(values: dict[str, Any]) -> None:
    del values["proof"]["bundle"]["checkpoint"]


def _other_event(values: dict[str, Any]) -> None:
    values["proof"]["event"] = "01J5Q9BPC00000000000000090"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_cut_way, "the entry is not in the ledger that the checkpoint describes"),
        (_cut_payload, "the event's payload is not in the proof, so it names no figures"),
        (_change_payload, "the payload is not the one that the entry was written with"),
        (_move_entry, "the entry is not in the ledger that the checkpoint describes"),
        (_cut_bundle, "its values have another form"),
        (_other_event, "what the page says of its event is not what the event says"),
    ],
)
def test_a_proof_that_was_cut_or_changed_proves_nothing(
    published: tuple[str, PublicKey], change: Callable[[dict[str, Any]], object], fault: str
) -> None:
    """Each part of the proof is needed."""
    page, key = published
    found = _checked(_changed(page, change), key)
    assert any(fault in one for one in found.faults), found.faults


def test_the_event_of_something_else_is_no_publication(published: tuple[str, PublicKey], tmp_path: Path) -> None:
    """Another event of the same, truly signed ledger does not stand for a report."""
    from ratchet.store.proofs import prove_entry

    with Workspace(write_golden_year(tmp_path)) as workspace:
        found = reporting.read_report(workspace)
        proof = reporting.publish(workspace, found)
        other = prove_entry(workspace.checkpoints, next(workspace.ledger.read(limit=1))).to_bundle()
        key = workspace.checkpoints.known_key()
    clock.stop_simulating()
    assert key is not None
    page = _changed(report.draw(found, proof), lambda values: values["proof"].update(bundle=other))
    assert any("a report is published by 'report.published'" in one for one in _checked(page, key).faults)


def test_a_page_of_another_version_is_not_compared(
    published: tuple[str, PublicKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures and proof are; that the page shows them is not, and the answer says so."""
    page, key = published
    monkeypatch.setattr(ratchet, "__version__", "9.9.9")
    found = _checked(page, key)
    assert found.is_sound
    assert "whether the page shows what its figures say was not compared" in found.remarks[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<p>nothing</p>", "it holds no figures of a report"),
        (f"{report.BLOCK}{{</script>", "its figures are no JSON of a report"),
        (f'{report.BLOCK}{{"form":"x","figures":{{}},"proof":null}}</script>', "its form is 'x'"),
        (f'{report.BLOCK}{{"form":"ratchet-report-v1","figures":{{}},"proof":null}}</script>', "never published"),
        (f'{report.BLOCK}{{"form":"ratchet-report-v1","figures":{{}},"proof":{{}}}}</script>', "another form"),
    ],
)
def test_what_is_no_published_report_is_refused(text: str, problem: str) -> None:
    """The message says what is missing."""
    with pytest.raises(ReportUnreadable) as refused:
        report_file.parse(text, where="report.html")
    assert problem in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """No text, or no file."""
    (tmp_path / "picture.html").write_bytes(b"\xff\xfe\x00")
    for name in ("picture.html", "gone.html"):
        with pytest.raises(ReportUnreadable):
            report_file.read(tmp_path / name)
