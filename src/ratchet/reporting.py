"""Where the report meets a workspace: figures of now or of a day, published in the ledger with their proof.

Invariant: what is published names its figures by their digest, in an event that a signed checkpoint covers; figures
that are worked out again from the same events are the same.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

import ratchet
from ratchet import origin
from ratchet.garbage import without_collector
from ratchet.measure.history import History
from ratchet.measure.kpis.automation import take_samples
from ratchet.measure.kpis.facts import Facts
from ratchet.measure.kpis.questions import Question
from ratchet.measure.kpis.readings import scope_named
from ratchet.measure.kpis.settings import Settings
from ratchet.measure.maps.plans import StepFile
from ratchet.measure.months import ClosedMonths
from ratchet.measure.policies import Policy
from ratchet.measure.reports.collecting import collect, settings_digest
from ratchet.measure.reports.report import Report
from ratchet.measuring import Measuring, means
from ratchet.records import Actor, Event, Record, digest_of
from ratchet.store import tree
from ratchet.store.answers import Answers
from ratchet.store.checkpoints import CHECKPOINT, parse_checkpoint
from ratchet.store.proofs import prove_entry
from ratchet.workspace import Workspace

TYPE = "report.published"
ACTION = "publish_report"
_POLICY = "standard"
# Another process may fold further than what was asked of, while it is asked.
_TRIES = 2
_SHOWN_DIFFERENCES = 20
Say = Callable[[str], None]


class Proof(Record, frozen=True):
    """That a report's figures were published, for somebody who has nothing but a public key.

    Attributes:
        event: Id of the event ``report.published``.
        seq: Its place in the ledger.
        size: Entries that the checkpoint covers.
        root: Of the tree over the entries that the figures were read from.
        checkpoint_root: Of the tree over all entries that the checkpoint covers.
        key: The public key that signed, as a line; whether it is to be trusted is for the reader to know.
        bundle: The event's exact bytes, the way to the root, and the signed checkpoint.
    """

    event: str
    seq: int
    size: int
    root: str
    checkpoint_root: str
    key: str
    bundle: dict[str, Any]


def _quiet(_text: str) -> None:
    pass


def read_report(
    workspace: Workspace,
    *,
    policy: str = _POLICY,
    as_of: datetime | None = None,
    scope: str = "",
    steps: StepFile | None = None,
    seq: int | None = None,
    say: Say = _quiet,
) -> Report:
    """Return the figures of a workspace.

    Args:
        workspace: Whose.
        policy: By whose levels.
        as_of: The moment (UTC); now if not given.
        scope: A team, department, cost centre, pipeline, endpoint or model; ``""`` for the whole.
        steps: What somebody wrote about the way to the target map.
        seq: Leave out what came after this place in the ledger.
        say: Told what is under way.

    Raises:
        UnknownName: There is no such policy, or no such part.
    """
    say("the ledger")
    chosen = workspace.policy(policy)
    question = _asked_now(workspace, chosen, scope=scope, seq=seq) if as_of is None else None
    if question is None:
        asked = workspace.ask(as_of=as_of, scope=scope, seq=seq)
        question = Question(asked.view, asked.settings, asked.scope, policies=_with(asked.policies, chosen))
    closed = ClosedMonths(Answers(workspace.database), ratchet=ratchet.__version__)
    return _collect(workspace, question, chosen, steps=steps, closed=closed, say=say)


def _asked_now(workspace: Workspace, chosen: Policy, *, scope: str, seq: int | None) -> Question | None:
    """Return what is asked of now, with samples and levels from the kept table; ``None`` where it does not tell."""
    measuring = Measuring(workspace)
    for _ in range(_TRIES):
        asked = workspace.ask(scope=scope, seq=seq)
        question = Question(asked.view, asked.settings, asked.scope, policies=_with(asked.policies, chosen))
        sampled = measuring.sampled(question)
        if sampled is not None:
            take_samples(question.view, sampled)
            return question
    return None


def _collect(
    workspace: Workspace,
    question: Question,
    policy: Policy,
    *,
    steps: StepFile | None,
    closed: ClosedMonths | None = None,
    say: Say = _quiet,
) -> Report:
    with without_collector():
        return collect(
            question,
            policy,
            ratchet=ratchet.__version__,
            project=workspace.config.project.name,
            means=means(),
            steps=steps,
            closed=closed,
            say=say,
        )


def _with(policies: tuple[Policy, ...], chosen: Policy) -> tuple[Policy, ...]:
    is_there = any(one.digest == chosen.digest for one in policies)
    return policies if is_there else (*policies, chosen)


def publish(workspace: Workspace, report: Report, *, actor: Actor | None = None) -> Proof:
    """Record that figures were published, and return the proof of it.

    Args:
        workspace: Whose ledger.
        report: The figures.
        actor: Who publishes; whoever gives commands here if not given.

    Raises:
        LedgerCut: The ledger contradicts what was signed before; so do ``LedgerDiffers`` and ``LedgerGap``.
        SigningKeyUnusable: The checkpoint that the proof needs cannot be signed.
    """
    tree.catch_up(workspace.database)
    subject = report.scope or report.project
    data = {
        "definition_digest": report.definition_digest,
        "seq": report.seq,
        "root": _root_at(workspace, report.seq),
        "value": digest_of(msgspec.to_builtins(report)),
    }
    command = _command(report, subject, actor or workspace.local_actor())
    with workspace.database.write() as transaction:
        issued = workspace.ledger.append(transaction, command)[0]
        who = Actor(authtype=issued.authtype, authid=issued.authid, claims=issued.authclaims)
        with origin.use(origin.following(issued, actor=who)):
            event = workspace.ledger.append(transaction, Event(type=TYPE, subject=subject, data=data))[0]
    return _prove(workspace, event)


def publish_once(workspace: Workspace, *, actor: Actor | None = None) -> tuple[Report, Proof]:
    """Publish the figures of now, unless they are the last thing that was published and nothing happened since.

    Args:
        workspace: Whose.
        actor: Who publishes.

    Raises:
        SigningKeyUnusable: The checkpoint that the proof needs cannot be signed.
    """
    newest = next(workspace.ledger.read(types=(TYPE,), newest_first=True, limit=1), None)
    if newest is not None and all(one.type == CHECKPOINT for one in workspace.ledger.read(after=newest.seq)):
        before = read_report(workspace, seq=newest.data["seq"])
        if digest_of(msgspec.to_builtins(before)) == newest.data["value"]:
            return before, _prove(workspace, newest)
    report = read_report(workspace)
    return report, publish(workspace, report, actor=actor)


def _command(report: Report, subject: str, who: Actor) -> Event:
    arguments = {"policy": report.policy, "scope": report.scope, "as_of": report.at.isoformat()}
    return Event(
        type="command.issued",
        subject=subject,
        trigger="cli",
        authtype=who.authtype,
        authid=who.authid,
        authclaims=who.claims,
        data={
            "action": ACTION,
            "target_stage": "",
            "args_digest": digest_of(arguments),
            "arguments": arguments,
            "channel": "cli",
        },
    )


def _root_at(workspace: Workspace, seq: int) -> str:
    with workspace.database.read() as connection:
        return tree.root_at(connection, seq).hex()


def _prove(workspace: Workspace, event: Event) -> Proof:
    checkpoints = workspace.checkpoints
    proof = prove_entry(checkpoints, event)
    checkpoint, _ = parse_checkpoint(proof.checkpoint, where="The ledger")
    key = checkpoints.known_key()
    return Proof(
        event=event.id,
        seq=event.seq,
        size=checkpoint.size,
        root=str(event.data["root"]),
        checkpoint_root=checkpoint.root.hex(),
        key=key.line if key else "",
        bundle=proof.to_bundle(),
    )


# ---- again


def differences(workspace: Workspace, published: Report) -> list[str]:
    """Work out a report's figures again from the events that it was made of, and say what is different.

    Args:
        workspace: The one that it was made from; its settings are those of now.
        published: What stands in the file.

    Returns:
        What differs, by its place among the figures; empty where nothing does.

    Raises:
        UnknownName: A policy or a part is not there any more.
    """
    chosen = workspace.policy(published.policy)
    question = _asked_then(workspace, published.seq, at=published.at, scope=published.scope, chosen=chosen)
    again = _collect(workspace, question, chosen, steps=published.maps.written)
    found = list(_compare(msgspec.to_builtins(published), msgspec.to_builtins(again), ""))
    if published.settings != settings_digest(question):
        found.insert(0, "ratchet.toml has other settings now than when this was published")
    return found[:_SHOWN_DIFFERENCES]


def _asked_then(workspace: Workspace, seq: int, *, at: datetime, scope: str, chosen: Policy) -> Question:
    """Return what could be asked when the ledger had so many entries: nothing that came later is read at all."""
    facts = Facts(History())
    facts.fold(workspace.ledger.read(before=seq + 1))
    policies = _with(tuple(workspace.policies()), chosen)
    question = Question(facts.as_of(at), Settings.of(workspace.config), policies=policies)
    return Question(question.view, question.settings, scope_named(question, scope), policies=policies)


def _compare(before: Any, after: Any, place: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _compare(before.get(name), after.get(name), f"{place}.{name}" if place else str(name))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _compare(one, other, f"{place}[{number}]")
    elif before != after:
        yield f"{place}: published {_short(before)}, worked out again {_short(after)}"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004, what fits a line beside another
