"""``ratchet rules``: what reacts to what; adopt shipped rules, switch rules on and off.

Invariant: rules in force are those of ``ratchet.toml`` and of the project's Python files; what these commands change is
the file, line by line, so that its comments stay and the change is a diff that a person can review.
"""

import difflib
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ratchet.cli.groups import Group
from ratchet.cli.rules_check import check_command, print_cycles
from ratchet.cli.rules_past import backfill_command, test_command
from ratchet.cli.session import Refused, Session, examples, with_session
from ratchet.records import NATIVE_SOURCE

if TYPE_CHECKING:
    from ratchet.automation.rules import Rule
    from ratchet.records import Event
    from ratchet.workspace import Workspace

_OUTCOMES = ("rule.fired", "rule.suppressed", "rule.action.failed")


@click.group(
    "rules",
    cls=Group,
    invoke_without_command=True,
    epilog=examples(
        "ratchet rules",
        "ratchet rules adopt level-1 --dry-run",
        "ratchet rules disable 'train returns weekly'",
        "ratchet rules show 'train returns weekly'",
    ),
)
@with_session
@click.pass_context
def rules_command(context: click.Context, session: Session) -> None:
    """List the rules; adopt shipped ones, switch rules on and off."""
    if context.invoked_subcommand is not None:
        return
    from ratchet.cli import console

    with session.workspace() as workspace:
        workspace.sync()
        found = workspace.rules().rules
        if session.as_json:
            console.print_json([_as_json(workspace, rule) for rule in found])
        elif found:
            _list(workspace, found)
        else:
            console.say(
                "No rules yet: nothing happens by itself. See what ships: ratchet rules adopt level-1 --dry-run"
            )


def _as_json(workspace: "Workspace", rule: "Rule") -> dict[str, Any]:
    fired = _last(workspace, rule, "rule.fired")
    values: dict[str, Any] = msgspec.to_builtins(rule) | {"catch_up": rule.catch_up, "at_most": rule.at_most}
    return {**values, "last_fired_at": fired.at if fired else None, "last_fired_event": fired.id if fired else ""}


def _of(rule: "Rule") -> dict[str, Any]:
    """Return how what happened to a rule is found: the newest first, and nothing of another system's rules."""
    return {"subject": rule.name, "source": NATIVE_SOURCE, "newest_first": True}


def _last(workspace: "Workspace", rule: "Rule", kind: str) -> "Event | None":
    return next(workspace.ledger.read(types=[kind], **_of(rule), limit=1), None)


def _list(workspace: "Workspace", found: "tuple[Rule, ...]") -> None:
    from rich.text import Text

    from ratchet.cli import console

    made = console.table("", "RULE", "ORIGIN", "LAST FIRED", whole=("", "ORIGIN", "LAST FIRED"))
    for rule in found:
        fired = _last(workspace, rule, "rule.fired")
        does = Text(f"{' '.join(filter(None, ['on', rule.on, rule.cron]))}: {_does(rule)}", style="dim")
        about = Text.assemble((rule.name, "bold"), "\n", does)
        switch = console.state("on" if rule.is_enabled else "off")
        made.add_row(switch, about, rule.origin, console.ago(fired.at if fired else None))
    console.say(made)
    print_cycles(found)


def _does(rule: "Rule") -> str:
    return ", ".join(call.action for call in rule.calls) or f"{rule.function} in {rule.module}.py"


# ---- show


@rules_command.command(
    "show",
    short_help="Show one rule, and when it last fired.",
    epilog=examples("ratchet rules show 'train returns weekly'"),
)
@click.argument("name")
@with_session
def show_command(session: Session, *, name: str) -> None:
    """Show one rule: what it reacts to, what it does, and when it last did."""
    from ratchet.cli import console

    with session.workspace() as workspace:
        workspace.sync()
        rule = _find(workspace, name)
        if session.as_json:
            console.print_json(_as_json(workspace, rule))
            return
        pairs: list[tuple[str, Any]] = [
            ("rule", rule.name),
            ("on", rule.on),
            ("schedule", f"{rule.cron} ({rule.time_zone})" if rule.cron else ""),
            ("catch up", f"{rule.catch_up} of what was missed" if rule.catch_up != "latest" else ""),
            ("at most", rule.at_most),
            ("when", rule.when),
            ("does", _calls(rule)),
            ("pipeline", rule.pipeline),
            ("leads to", ", ".join(rule.leads_to)),
            ("origin", {"template": "template, ships with Ratchet", "user": "user, the team's own"}[rule.origin]),
            ("enabled", console.state("on" if rule.is_enabled else "off")),
            ("digest", console.short(rule.digest)),
        ]
        console.say(console.facts(pair for pair in pairs if pair[1]))
        _print_past(workspace, rule)


def _calls(rule: "Rule") -> str:
    if not rule.calls:
        return f"calls {rule.function} in {rule.module}.py"
    texts = []
    for call in rule.calls:
        given = ", ".join(f"{key}={value}" for key, value in call.parameters.items())
        texts.append(f"{call.action}({given})")
    return ", then ".join(texts)


def _print_past(workspace: "Workspace", rule: "Rule") -> None:
    from ratchet.automation.limits import bursts
    from ratchet.cli import console

    past = list(workspace.ledger.read(types=_OUTCOMES, **_of(rule), limit=5))
    if not past:
        console.say("\nIt has not fired yet.")
        return
    console.title("Lately")
    made = console.table("#", "WHAT", "WHEN", "WHY", right=("#",), whole=("WHAT", "WHEN"))
    for event in past:
        why = event.data.get("error") or event.data.get("reason") or f"ratchet events {event.seq}"
        made.add_row(str(event.seq), event.type, console.ago(event.at), str(why))
    console.say(made)
    with workspace.database.read() as connection:
        quiet = {reason: burst for reason, burst in bursts(connection, rule.digest).items() if burst["more"]}
    for reason, burst in quiet.items():
        since = console.ago(datetime.fromisoformat(burst["since"]))
        console.say(
            f"Held back {console.count(burst['more'], 'time')} more since {since} ({reason}), without an event."
        )


def _find(workspace: "Workspace", name: str) -> "Rule":
    from ratchet.errors import UnknownName

    found = {rule.name: rule for rule in workspace.rules().rules}
    if name not in found:
        known = ", ".join(f"'{one}'" for one in found)
        raise UnknownName(kind="rule", name=name, known=known or "none yet")
    return found[name]


rules_command.add_command(check_command)
rules_command.add_command(test_command)
rules_command.add_command(backfill_command)


# ---- adopt


@rules_command.command(
    "adopt",
    short_help="Write the shipped rules of a level into ratchet.toml.",
    epilog=examples(
        "ratchet rules adopt level-1 --dry-run",
        "ratchet rules adopt level-2 --pipeline returns",
        "ratchet rules adopt train-daily",
    ),
)
@click.argument("which", metavar="level-N|PRESET")
@click.option("--pipeline", default="", help="The pipeline that they act on; needed where there are several.")
@click.option("--dry-run", is_flag=True, help="Print the change and make none.")
@with_session
def adopt_command(session: Session, *, which: str, pipeline: str, dry_run: bool) -> None:
    """Write the shipped rules of a level, or one of them, into ratchet.toml, and put them in force.

    They are yours from then on: read, change or switch them off there. Rules that are there already are left alone.
    """
    from ratchet.cli import console
    from ratchet.toml_tables import with_block

    found = re.fullmatch(r"(?:level-)?(\d)", which)
    with session.workspace() as workspace:
        workspace.sync()
        chosen = pipeline or _only_pipeline(workspace)
        path = workspace.project / "ratchet.toml"
        before = path.read_bytes().decode()
        added = workspace.adopt(int(found[1]) if found else which, chosen, dry_run=dry_run)
        names = [rule["name"] for rule in tomllib.loads(added).get("rule", [])]
        if session.as_json:
            console.print_json({"pipeline": chosen, "added": names, "text": added, "is_written": not dry_run})
            return
        if not added:
            console.say(f"All of {which} is in {path.name} already; nothing was changed.")
        else:
            after = with_block(before, added) if dry_run else path.read_bytes().decode()
            _print_diff(before, after, name=path.name)
            rules = console.count(len(names), "rule")
            console.say(
                f"\n{rules} would be added; nothing was written." if dry_run else f"\n{rules} added, and in force."
            )
        if found and not dry_run:
            _print_reach(workspace, chosen, level=int(found[1]))


def _only_pipeline(workspace: "Workspace") -> str:
    names = list(workspace.pipelines())
    if len(names) != 1:
        known = ", ".join(names) or "none yet"
        raise click.UsageError(f"Which pipeline? Name it with --pipeline. Known: {known}.")
    return names[0]


def _print_reach(workspace: "Workspace", pipeline: str, *, level: int) -> None:
    """Say which level the rules can give, so that a step that was left out shows."""
    from ratchet.cli import console
    from ratchet.measure.gaps import configured_level

    reach = configured_level(workspace.history(), pipeline, workspace.policy("standard"))
    console.say(f"With the rules as they are, {pipeline} can reach level {reach}.")
    if reach < level:
        console.say(f"Level {level} builds on the levels below it. Next: ratchet rules adopt level-{reach + 1}")
    if not workspace.is_running:
        console.say("They act while the workspace runs: ratchet up")


def _print_diff(before: str, after: str, *, name: str) -> None:
    from rich.text import Text

    from ratchet.cli import console

    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm=""):
        console.say(Text(line, style=colours.get(line[:1], "")), is_whole=True)


# ---- on and off


@rules_command.command("enable", epilog=examples("ratchet rules enable 'train returns weekly'"))
@click.argument("name")
@with_session
def enable_command(session: Session, *, name: str) -> None:
    """Switch a rule on, in ratchet.toml."""
    _switch(session, name, is_enabled=True)


@rules_command.command("disable", epilog=examples("ratchet rules disable 'train returns weekly'"))
@click.argument("name")
@with_session
def disable_command(session: Session, *, name: str) -> None:
    """Switch a rule off, in ratchet.toml."""
    _switch(session, name, is_enabled=False)


def _switch(session: Session, name: str, *, is_enabled: bool) -> None:
    from ratchet.cli import console
    from ratchet.store.artifacts import write_durably

    with session.workspace() as workspace:
        workspace.sync()
        rule = _find(workspace, name)
        if rule.module:
            raise Refused(
                f"Rule '{name}' is written in Python: {rule.function} in {rule.module}.py. "
                "To switch it off, take its @rt.rule line away."
            )
        path = workspace.project / "ratchet.toml"
        before = path.read_bytes().decode()
        after = with_switch(before, name, is_enabled=is_enabled, path=path)
        if after != before:
            write_durably(path, after.encode())
            workspace.reload()
            workspace.sync()
        if session.as_json:
            console.print_json({"rule": name, "is_enabled": is_enabled, "is_changed": after != before})
            return
        word = "on" if is_enabled else "off"
        if after == before:
            console.say(f"Rule '{name}' is {word} already; nothing was changed.")
        else:
            _print_diff(before, after, name=path.name)
            console.say(f"\nRule '{name}' is {word}.")


def with_switch(text: str, name: str, *, is_enabled: bool, path: Path) -> str:
    """Return the text of ``ratchet.toml`` with a rule switched on or off and every other character as it was.

    Raises:
        Refused: The file is written in a way in which that line cannot be found.
    """
    values = tomllib.loads(text)
    number = next(index for index, rule in enumerate(values["rule"]) if rule["name"] == name)
    if values["rule"][number].get("enabled", True) == is_enabled:
        return text
    wanted = "true" if is_enabled else "false"
    lines = text.splitlines(keepends=True)
    headers = [index for index, line in enumerate(lines) if re.match(r"\s*\[", line)]
    rules = [index for index in headers if re.match(r"\s*\[\[\s*rule\s*\]\]", lines[index])]
    if number < len(rules):
        start = rules[number] + 1
        end = next((index for index in headers if index >= start), len(lines))
        _set_enabled(lines, start, end, wanted)
    changed = "".join(lines)
    # The lines were found by their looks: what they mean now decides whether they were the right ones.
    if not _means(changed, values, number, is_enabled=is_enabled):
        message = f"Cannot find the lines of rule '{name}' in {path}. Set enabled = {wanted} there by hand."
        raise Refused(message)
    return changed


def _set_enabled(lines: list[str], start: int, end: int, wanted: str) -> None:
    from ratchet.toml_tables import line_end

    for index in range(start, end):
        if wanted == "true" and re.fullmatch(r"\s*enabled\s*=\s*false\s*", lines[index]):
            # On is what a rule is by itself: the line that `disable` wrote goes without a trace.
            del lines[index]
            return
        if re.match(r"\s*enabled\s*=", lines[index]):
            lines[index] = re.sub(r"(enabled\s*=\s*)(true|false)", rf"\g<1>{wanted}", lines[index], count=1)
            return
    for index in range(start, end):
        if re.match(r"\s*name\s*=", lines[index]):
            end_of_line = line_end("".join(lines))
            if not lines[index].endswith("\n"):
                lines[index] += end_of_line
            lines.insert(index + 1, f"enabled = {wanted}{end_of_line}")
            return


def _means(text: str, values: dict[str, Any], number: int, *, is_enabled: bool) -> bool:
    """Tell whether a text means these values, but for one rule's switch."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    values["rule"][number].pop("enabled", None)
    is_on: bool = found["rule"][number].pop("enabled", True)
    return found == values and is_on == is_enabled
