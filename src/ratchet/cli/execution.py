"""Carries out what a person asks for: by the process that runs the workspace, or in this one where none does.

Invariant: what was asked for is in the ledger before anybody works on it, so it is carried out once, whichever process
does it and whichever dies meanwhile.
"""

from typing import TYPE_CHECKING, Any

from ratchet import clock
from ratchet.cli.console import Progress, note
from ratchet.cli.session import Refused
from ratchet.errors import NotSettled, RunCancelled, WorkspaceInUse
from ratchet.loop import registry
from ratchet.records import Event, Run

if TYPE_CHECKING:
    from ratchet.workspace import Workspace

_PATIENCE_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_SETTLE_SECONDS = 600.0
_OTHERS_SECONDS = 30.0
_ENDING_SECONDS = 10.0
_UNDER_WAY = ("ENQUEUED", "PENDING", "DELAYED", "UNKNOWN")


def ensure_running(workspace: "Workspace", *, serve: bool) -> bool:
    """Let this process carry out jobs, unless another one does.

    Args:
        serve: Whether an endpoint process is needed for it; where a rule may deploy, one always is.

    Returns:
        Whether it is this process.
    """
    if not workspace.is_running:
        try:
            workspace.start(serve=serve or _may_deploy(workspace), die_together=True)
        except WorkspaceInUse:
            # Somebody was faster between the look and the start, and will carry it out.
            return False
    return workspace.is_executor


def _may_deploy(workspace: "Workspace") -> bool:
    return any(rule.is_enabled and "deploy" in rule.leads_to for rule in workspace.rules().rules)


def execute(
    workspace: "Workspace",
    action: str,
    parameters: dict[str, Any],
    *,
    subject: str,
    pipeline: str,
    progress: Progress,
    serve: bool = False,
) -> Event:
    """Give a command and wait until it was carried out.

    Returns:
        The last event that it caused.

    Raises:
        Refused: It was not done; the message says why.
    """
    ensure_running(workspace, serve=serve)
    command = workspace.command(action, parameters, subject=subject, pipeline=pipeline)
    outcome = _wait(workspace, command, progress=progress, serve=serve)
    if outcome["error"]:
        raise Refused(str(outcome["error"]))
    return workspace.ledger.get(str(outcome["event"])) or command


def _wait(workspace: "Workspace", command: Event, *, progress: Progress, serve: bool) -> dict[str, Any]:
    what = f"{command.data['action'].replace('_', ' ')} {command.subject}"
    while True:
        progress.show(what)
        try:
            return workspace.outcome(command, timeout_seconds=_PATIENCE_SECONDS)
        except NotSettled:
            _take_over(workspace, serve=serve)


def _take_over(workspace: "Workspace", *, serve: bool) -> None:
    """Go on here with what another process has left undone when it ended."""
    if not workspace.is_running:
        note("The process that ran the workspace has ended; going on here.")
        ensure_running(workspace, serve=serve)


def follow_run(workspace: "Workspace", run_id: str, *, progress: Progress) -> Run:
    """Wait until a run has ended, gate included, and return it.

    Raises:
        Refused: It ended without saying how.
    """
    looked_at, lacking = clock.monotonic(), ""
    while True:
        run = registry.run(workspace.database, run_id)
        progress.show(f"{run.pipeline}: {lacking or _phase(run)}")
        status, result = workspace.runs.outcome(f"run:{run.id}")
        if status not in _UNDER_WAY:
            break
        if clock.monotonic() - looked_at > _PATIENCE_SECONDS:
            looked_at = clock.monotonic()
            _take_over(workspace, serve=False)
            lacking = _lacking(workspace, run_id, told=lacking)
        clock.sleep(_LOOK_SECONDS)
    _let_end(workspace, run_id)
    run = registry.run(workspace.database, run_id)
    if run.status in ("queued", "running"):
        raise Refused(f"Run {run.id} ended without a result: {result}")
    return run


def _let_end(workspace: "Workspace", run_id: str) -> None:
    """Let a run that was cancelled and is carried out here record what it has cost."""
    limit = clock.monotonic() + _ENDING_SECONDS
    while run_id in workspace.resources.under_way and clock.monotonic() < limit:
        clock.sleep(_LOOK_SECONDS)


def _lacking(workspace: "Workspace", run_id: str, *, told: str) -> str:
    """Say what a run waits for in vain, once where nobody sees the progress; ``""`` where it can go on."""
    jobs = (f"run:{run_id}", f"step:{run_id}:")
    found = next((f"waits: {one.reason}" for one in workspace.runs.stranded() if one.job_id.startswith(jobs)), "")
    if found and found != told:
        note(f"Run {run_id} {found}.")
    return found


def _phase(run: Run) -> str:
    if run.status == "success" and not run.gate:
        return "at the gate"
    return {"queued": "waiting for its turn", "running": "training"}.get(run.status, run.status)


def finish(workspace: "Workspace", event: Event | None, *, progress: Progress) -> None:
    """Wait for what rules have set off: all of it where this process carries it out, else what an event has."""
    progress.show("finishing what rules have set off")
    if workspace.is_executor:
        workspace.settle(timeout_seconds=_SETTLE_SECONDS)
        return
    limit = clock.monotonic() + _OTHERS_SECONDS
    while event is not None and not _is_reacted_to(workspace, event) and clock.monotonic() < limit:
        clock.sleep(_LOOK_SECONDS)


def _is_reacted_to(workspace: "Workspace", event: Event) -> bool:
    """Tell whether all rules that listen to an event have done what they do."""
    status, _ = workspace.runs.outcome(f"dispatch:{event.source}:{event.id}")
    if status == "UNKNOWN":
        return True
    if status in _UNDER_WAY:
        return False
    fired = [one for one in workspace.ledger.caused_by(event.id) if one.type == "rule.fired"]
    return all(
        any(effect.type.startswith("rule.action.") for effect in workspace.ledger.caused_by(one.id)) for one in fired
    )


def abandon(workspace: "Workspace", run_id: str) -> Refused:
    """Cancel a run that is carried out here and was interrupted; leave one that another process carries out."""
    if not workspace.is_executor:
        goes_on = f"see it with: ratchet runs {run_id[:8]}, stop it with: ratchet runs cancel {run_id[:8]}"
        return Refused(f"No longer waiting. The run goes on; {goes_on}")
    command = workspace.command("cancel_run", {"run": run_id}, subject=run_id)
    workspace.outcome(command, timeout_seconds=30)
    _let_end(workspace, run_id)
    return Refused(str(RunCancelled(run_id=run_id[:8])))
