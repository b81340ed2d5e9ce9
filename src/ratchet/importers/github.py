"""GitHub: workflow runs with their attempts and jobs, deployments with their statuses, and the reviews of environments.

Invariant: a record is only joined with others that name it; what is not in the files is unknown, nothing is guessed.
"""

import re
from pathlib import Path
from typing import Any

from ratchet.importers.exports import Export, read_exports
from ratchet.importers.readings import Place, Reading, Sections, Witness, initiator_id, read, whole_of
from ratchet.importers.refusals import RecordInvalid
from ratchet.importers.tables import kinds
from ratchet.importers.templates import look_up

SYSTEM = "github"
Found = tuple[str, Place, dict[str, Any]]
_REPOSITORY = re.compile(r"/repos/([^/]+/[^/]+)/")
_RUN = re.compile(r"/actions/runs/(\d+)")
_DEPLOYMENT = re.compile(r"/deployments/(\d+)")


def read_files(files: list[Path], *, sections: Sections, witness: Witness) -> tuple[list[Reading], dict[str, int]]:
    """Return what exported files stand for, and how many runs each repository claims to have.

    Args:
        files: Pages of runs, jobs, deployments, statuses and approvals, in any mixture.
        sections: ``[import.github]``.
        witness: Who tells us.

    Raises:
        ExportUnreadable: A file is no export.
        RecordInvalid: A record lacks something, or says something impossible.
    """
    table = kinds(SYSTEM)
    export = read_exports(files, table)

    def reading(name: str, place: Place, record: dict[str, Any]) -> Reading:
        return read(table, name, record, place=place, sections=sections, witness=witness)

    runs = [(record, reading("run", place, record)) for place, record in _runs(export)]
    others = [(name, reading(name, place, record)) for name, place, record in _others(export, _latest(runs))]
    wanted = [one for name, one in others if one.is_mapped or not table[name].is_optional]
    return [one for _, one in runs] + wanted, _claims(export, wanted)


def _latest(runs: list[tuple[dict[str, Any], Reading]]) -> dict[Any, dict[str, Any]]:
    """Return the latest attempt of each run by its id, with what other records need to know of it."""
    found: dict[Any, dict[str, Any]] = {}
    for run, one in sorted(runs, key=lambda pair: int(pair[0]["run_attempt"])):
        starter = look_up(run, "triggering_actor.login|actor.login")
        subject = f"{run['id']}.{run['run_attempt']}"
        found[run["id"]] = run | {"part": whole_of(one, subject=subject, starter=starter)}
    return found


def _others(export: Export, runs: dict[Any, dict[str, Any]]) -> list[Found]:
    """Return jobs, deployments, statuses and reviews, each with the run that it belongs to."""
    deployments = {one["id"]: one for _, one in export.of("deployment") if "id" in one}
    statuses = [(place, _of_repository(one, "deployment_url")) for place, one in export.of("status")]
    run_of = {
        deployment: run
        for _, status in statuses
        if (deployment := _number(_DEPLOYMENT, status.get("deployment_url"))) is not None
        and (run := runs.get(_number(_RUN, status.get("log_url") or status.get("target_url")))) is not None
    }
    found: list[Found] = []
    for place, one in export.of("job"):
        found.append(("job", place, _of_repository(one, "run_url", "url") | _part(runs.get(one.get("run_id")))))
    for place, one in export.of("deployment"):
        record = _of_repository(one, "url", "statuses_url")
        found.append(("deployment", place, record | _part(run_of.get(one.get("id")))))
    for place, one in statuses:
        identity = _number(_DEPLOYMENT, one.get("deployment_url"))
        if identity not in deployments:
            raise _invalid(place, "deployment_url", f"names deployment {identity}, which is not in the files")
        source = f"{SYSTEM}/{look_up(one, 'repository.full_name')}"
        start = {"cause": initiator_id(source, f"deployment/{identity}")}
        record = one | {"deployment": deployments[identity] | start}
        found.append(("status", place, record | _part(run_of.get(identity))))
    return found + _approvals(export, runs, statuses, run_of)


def _part(run: dict[str, Any] | None) -> dict[str, Any]:
    return {"run": run["part"]} if run else {}


def _runs(export: Export) -> list[tuple[Place, dict[str, Any]]]:
    """Return the runs, those that contradict another marked with its id: the lowest id is believed."""
    first: dict[tuple[Any, ...], Any] = {}
    for _, run in sorted(export.of("run"), key=lambda one: str(one[1].get("id")).zfill(20)):
        first.setdefault(_place_in_workflow(run), run.get("id"))
    return [
        (
            place,
            run
            if first[_place_in_workflow(run)] == run.get("id")
            else run | {"contradicts": str(first[_place_in_workflow(run)])},
        )
        for place, run in export.of("run")
    ]


def _place_in_workflow(run: dict[str, Any]) -> tuple[Any, ...]:
    paths = ("repository.full_name", "workflow_id", "run_number", "run_attempt")
    return tuple(str(look_up(run, path)) for path in paths)


def _approvals(
    export: Export,
    runs: dict[Any, dict[str, Any]],
    statuses: list[tuple[Place, dict[str, Any]]],
    run_of: dict[Any, Any],
) -> list[Found]:
    """Return the reviews, one record for each environment, with the run that they let go on."""
    found: list[Found] = []
    for place, review in export.of("approval"):
        identity = review.get("run_id") or _number(re.compile(r"(\d{4,})"), Path(place.file).stem)
        run = runs.get(identity)
        if run is None:
            remedy = "Save them as approvals-RUN_ID.json, and hand over the run's page, too."
            raise _invalid(place, "run_id", f"is {identity}, and no such run is in the files", remedy)
        for environment in review.get("environments") or []:
            decided = [
                str(status.get("created_at"))
                for _, status in statuses
                if run_of.get(_number(_DEPLOYMENT, status.get("deployment_url"))) is run
                and status.get("environment") == environment.get("name")
                and status.get("state") in ("in_progress", "success")
            ]
            times = {"asked_at": run.get("run_started_at"), "decided_at": min(decided, default=run.get("updated_at"))}
            part = run["part"] | times
            found.append(
                ("approval", place, review | {"environment": environment, "run": part, "repository": run["repository"]})
            )
    return found


def _of_repository(record: dict[str, Any], *paths: str) -> dict[str, Any]:
    """Return a record with its repository, which only its addresses name."""
    if look_up(record, "repository.full_name"):
        return record
    for path in paths:
        found = _REPOSITORY.search(str(record.get(path) or ""))
        if found:
            return record | {"repository": {"full_name": found[1]}}
    return record


def _number(pattern: re.Pattern[str], text: Any) -> Any:
    found = pattern.search(str(text or ""))
    return int(found[1]) if found else None


def _claims(export: Export, others: list[Reading]) -> dict[str, int]:
    """Return how many records each repository claims; pages of one list in several files repeat the same number.

    Of runs alone it says how many there are; of the others there are those that came.
    """
    claims: dict[str, set[int]] = {}
    for (kind, file), total in export.claimed.items():
        for place, record in export.of(kind):
            if place.file == file and kind == "run":
                claims.setdefault(f"{SYSTEM}/{look_up(record, 'repository.full_name')}", set()).add(total)
                break
    came = {(one.source, one.kind, one.key) for one in others}
    return {source: sum(totals) + sum(other[0] == source for other in came) for source, totals in claims.items()}


def _invalid(place: Place, field: str, problem: str, remedy: str = "") -> RecordInvalid:
    return RecordInvalid(
        file=place.file,
        number=place.number,
        field=field,
        problem=problem,
        remedy=remedy or "Hand over the page with it, too.",
    )
