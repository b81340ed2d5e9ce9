"""``ratchet report``: where automation stands, where it should be, how it gets there sooner, with its proof.

Invariant: a file is written whole or not at all, and only after its figures are in the ledger; a check that fails ends
with exit code 1.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.groups import Group
from ratchet.cli.session import FAILED, Session, examples, with_session

if TYPE_CHECKING:
    from ratchet.measure.maps.plans import StepFile
    from ratchet.reporting import Proof
    from ratchet.store.notes import PublicKey
    from ratchet.web.report_file import Checked, ReportFile
    from ratchet.workspace import Workspace

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(
    "report",
    cls=Group,
    invoke_without_command=True,
    epilog=examples(
        "ratchet report",
        "ratchet report --out march.html --as-of 2026-03-31",
        "ratchet report --for lending --policy strict --out lending.html",
        "ratchet report verify march.html --key ledger.pub",
    ),
)
@click.option("--out", type=_FILE, default=Path("report.html"), show_default=True, help="The page that is written.")
@click.option(
    "--as-of", "as_of", default="", metavar="DATE", help="As it was at the end of this day, or at this moment."
)
@click.option("--policy", default="standard", show_default=True, help="By whose levels.")
@click.option(
    "--for",
    "part",
    default="",
    metavar="NODE",
    help="Of one team, department, cost centre, pipeline, endpoint or model.",
)
@click.option(
    "--steps",
    "steps_file",
    type=_FILE,
    default=None,
    metavar="FILE",
    help="Steps to the target map with owner, effort, cost and date, as for `ratchet assess plan`.",
)
@with_session
@click.pass_context
def report_command(
    context: click.Context,
    session: Session,
    *,
    out: Path,
    as_of: str,
    policy: str,
    part: str,
    steps_file: Path | None,
) -> None:
    """Write one page for whoever decides: where we are, where we should be, how we get there sooner.

    The page needs no network and no script, and prints on A4. That it was published is an event of the ledger; the page
    carries the proof of it.
    """
    if context.invoked_subcommand is not None:
        return
    from ratchet import reporting
    from ratchet.cli import console, keys
    from ratchet.cli.level import parse_moment
    from ratchet.store.artifacts import write_durably
    from ratchet.web import report

    if not out.parent.is_dir():
        raise click.UsageError(f"--out is '{out}', and there is no folder '{out.parent}'.")
    with session.workspace() as workspace:
        moment = parse_moment(as_of, zone=workspace.config.project.time_zone) if as_of else None
        steps = _steps(workspace, steps_file)
        with console.progress("Reading the ledger") as bar:
            found = reporting.read_report(
                workspace,
                policy=policy,
                as_of=moment,
                scope=part,
                steps=steps,
                say=lambda what: bar.show(f"Reading {what}"),
            )
            keys.warn_of(workspace.checkpoints.key)
            bar.show("Signing the ledger")
            proof = reporting.publish(workspace, found)
    write_durably(out, report.draw(found, proof).encode())
    if session.as_json:
        console.print_json({"file": str(out), "figures": found, "proof": proof})
        return
    console.say(f"{out}: {report.summary(found)}")
    if found.sentence:
        console.say(f"{found.sentence}.")
    console.note(f"Check it: ratchet report verify {out}" + _key_hint(proof))


def _key_hint(proof: "Proof") -> str:
    return "" if proof.key else " --key PUBLIC"


def _steps(workspace: "Workspace", path: Path | None) -> "StepFile | None":
    """Return the steps in a file, which lead to the target map that was recorded last.

    Raises:
        ConfigInvalid: The file means nothing.
    """
    if path is None:
        return None
    from ratchet.measure.maps import plans
    from ratchet.measure.maps.recording import from_events

    recorded = from_events(workspace.ledger.read(types=["assessment.recorded"]))
    targets = [one.process_map for one in recorded if one.process_map.kind == "target"]
    if not targets:
        raise click.UsageError("--steps lead to a target map, and none is on record: ratchet assess record FILE")
    return plans.load_steps(path, target=targets[-1])


@report_command.command(
    "verify",
    short_help="Check a report, with nothing but its file and a public key.",
    epilog=examples(
        "ratchet report verify report.html --key ledger.pub",
        "ratchet report verify report.html --recompute",
    ),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", default="", help="The public key to trust: a file, or its line; by default the project's.")
@click.option("--recompute", is_flag=True, help="In the project: work out each figure again from the same events.")
@with_session
def verify_command(session: Session, *, file: Path, key: str, recompute: bool) -> None:
    """Say whether a report shows what was published, in a ledger that this key signed.

    The figures in the file have to be those that an event names, the event has to be in the ledger that the checkpoint
    describes, the checkpoint has to be signed by the key, and the page has to show what the figures say.
    """
    from ratchet.cli import console
    from ratchet.web import report_file

    found = report_file.read(file)
    done = report_file.check(found, _trusted(session, key))
    again = _again(session, found) if recompute and done.is_sound else []
    if session.as_json:
        console.print_json(_as_json(found, done, again, is_recomputed=recompute and done.is_sound))
    else:
        _print(found, done, again, is_recomputed=recompute)
    click.get_current_context().exit(0 if done.is_sound and not again else FAILED)


def _trusted(session: Session, key: str) -> "PublicKey":
    from ratchet.cli.proofs import project_key, read_key

    return read_key(key) if key else project_key(session)


def _again(session: Session, found: "ReportFile") -> list[str]:
    from ratchet import reporting
    from ratchet.cli import console

    with session.workspace() as workspace, console.progress("Working out each figure again"):
        return reporting.differences(workspace, found.report)


def _as_json(found: "ReportFile", done: "Checked", again: list[str], *, is_recomputed: bool) -> dict[str, Any]:
    return {
        "is_sound": done.is_sound and not again,
        "faults": [*done.faults, *again],
        "remarks": done.remarks,
        "is_recomputed": is_recomputed,
        "project": found.report.project,
        "as_of": found.report.at,
        "seq": found.report.seq,
        "event": found.proof.event,
        "size": found.proof.size,
    }


def _print(found: "ReportFile", done: "Checked", again: list[str], *, is_recomputed: bool) -> None:
    from ratchet.cli import console

    if not done.is_sound:
        console.say(f"{found.where} proves nothing: {'; '.join(done.faults)}.")
        return
    report, proof = found.report, found.proof
    console.say(f"{found.where} shows what was published of {report.project}, {len(report.numbers)} numbers.")
    pairs = [
        ("as of", f"{report.at:%Y-%m-%d %H:%M} UTC, entry {report.seq:,}"),
        ("published as", f"entry {proof.seq:,}, {proof.event}"),
        ("signed", f"{proof.size:,} entries, root {proof.checkpoint_root}"),
    ]
    console.say(console.facts(pairs))
    for remark in done.remarks:
        console.note(remark)
    if again:
        console.say("\nWorked out again, these are different:")
        for one in again:
            console.say(f"  {one}")
    elif is_recomputed:
        console.say(f"Worked out again from the first {report.seq:,} entries: each figure is the same.")
