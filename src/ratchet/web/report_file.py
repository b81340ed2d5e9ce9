"""A report's file: figures and proof inside one page, and what somebody can check who has nothing but that file.

Invariant: a file is sound only where its figures are those that an event names, the event is in a ledger that the given
key signed, and the page shows what the figures say.
"""

from pathlib import Path
from typing import Any

import msgspec

import ratchet
from ratchet.catalogue import short_name
from ratchet.errors import ProofInvalid
from ratchet.measure.reports.report import FORM, Report, definition_digest
from ratchet.records import Record, digest_of
from ratchet.reporting import TYPE, Proof
from ratchet.store.notes import PublicKey
from ratchet.store.proofs import EntryProof
from ratchet.web.report import BLOCK, draw
from ratchet.web.report_refusals import ReportUnreadable

_END = "</script>"


class ReportFile(Record, frozen=True):
    """A report as it stands in a file.

    Attributes:
        where: The file.
        page: All of it.
        values: The figures as they stand in it.
        report: The same as records.
        proof: That they were published.
    """

    where: str
    page: str
    values: dict[str, Any]
    report: Report
    proof: Proof


class Checked(Record, frozen=True):
    """What came of checking a file.

    Attributes:
        faults: What is wrong; it proves nothing unless this is empty.
        remarks: What could not be compared, and why.
    """

    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.faults


class _Block(msgspec.Struct):
    form: str
    figures: dict[str, Any]
    proof: dict[str, Any] | None


def parse(page: str, *, where: str) -> ReportFile:
    """Return the report in a page.

    Raises:
        ReportUnreadable: There is none, or one of another form.
    """
    _, begin, rest = page.rpartition(BLOCK)
    text, end, _ = rest.partition(_END)
    if not begin or not end:
        raise ReportUnreadable(where=where, problem="it holds no figures of a report")
    try:
        found = msgspec.json.decode(text, type=_Block)
    except msgspec.DecodeError as error:
        raise ReportUnreadable(where=where, problem=f"its figures are no JSON of a report ({error})") from error
    if found.form != FORM:
        raise ReportUnreadable(where=where, problem=f"its form is '{found.form}', and this Ratchet reads '{FORM}'")
    if found.proof is None:
        raise ReportUnreadable(where=where, problem="it was never published: it is a page of how things stood")
    try:
        report, proof = msgspec.convert(found.figures, Report), msgspec.convert(found.proof, Proof)
    except msgspec.ValidationError as error:
        raise ReportUnreadable(where=where, problem=f"its figures have another form ({error})") from error
    return ReportFile(where=where, page=page, values=found.figures, report=report, proof=proof)


def read(path: Path) -> ReportFile:
    """Return the report in a file.

    Raises:
        ReportUnreadable: It cannot be read, or holds no report.
    """
    try:
        page = path.read_bytes().decode()
    except OSError as error:
        raise ReportUnreadable(where=str(path), problem=f"it cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ReportUnreadable(where=str(path), problem="it is no text in UTF-8") from error
    return parse(page, where=str(path))


def check(file: ReportFile, key: PublicKey) -> Checked:
    """Say what is wrong with a report; nothing is, where there are no faults.

    Args:
        file: The report.
        key: Which must have signed the ledger.
    """
    try:
        entry = EntryProof.from_bundle(file.proof.bundle, where=file.where)
    except ProofInvalid as error:
        return Checked(faults=(str(error),), remarks=())
    faults = entry.faults(key)
    remarks = []
    if faults:
        return Checked(faults=tuple(faults), remarks=())
    faults += _against_event(file, entry)
    if file.report.ratchet != ratchet.__version__:
        remarks.append(
            f"it was drawn by Ratchet {file.report.ratchet} and this is {ratchet.__version__}: whether the page shows "
            "what its figures say was not compared"
        )
    elif not faults and draw(file.report, file.proof) != file.page:
        faults.append("the page shows something else than what its figures say")
    return Checked(faults=tuple(faults), remarks=tuple(remarks))


def _against_event(file: ReportFile, entry: EntryProof) -> list[str]:
    """Hold the figures against the event that names them."""
    fields, data = entry.fields, entry.data
    if data is None:
        return ["the event's payload is not in the proof, so it names no figures"]
    faults = []
    kind = short_name(str(fields.get("type")))
    if kind != TYPE:
        faults.append(f"the event is '{kind}', and a report is published by '{TYPE}'")
    if data.get("value") != digest_of(file.values):
        faults.append("the figures are not those that were published: their digest is another one")
    if data.get("seq") != file.report.seq:
        faults.append(f"the figures are of entry {file.report.seq}, and the event says {data.get('seq')}")
    if data.get("definition_digest") != _definitions(file.values):
        faults.append("the definitions are not those that were published")
    proof = file.proof
    told = (proof.event, proof.seq, proof.root)
    if told != (fields.get("id"), entry.index + 1, data.get("root")):
        faults.append("what the page says of its event is not what the event says")
    return faults


def _definitions(values: dict[str, Any]) -> str:
    digests = {name: one["digest"] for name, one in values["definitions"].items()}
    return definition_digest(digests, values["policies"])
