"""Writes the generated parts of the documentation: the help of all commands, the KPIs. Called by ``make docs``.

Invariant: what it writes depends on the commands and the KPIs alone, not on terminal, machine or time.
"""

import sys
from pathlib import Path

import click

REFERENCE = Path(__file__).parent / "reference"
_WIDTH = 96
_HEAD = """# Command line

Written by `make docs` from the help of each command; do not edit it by hand.

The exit code is 0 where a command did what was asked, 1 where it was refused or failed, 2 where it was not understood.
With `--json` a command prints JSON on its standard output and nothing else. It finds its project from the current
folder upwards, or takes it from `--workspace DIR`.
"""


_KPIS_HEAD = """# KPIs

Written by `make docs` from the definitions; do not edit it by hand.

`ratchet kpi` shows the ten that people ask for first: how each is, how it was 30 days before, and its target.
`ratchet kpi --all` shows all of them, `ratchet kpi NAME --explain` one with the events behind it, `--by team` (or
`department`, `cost-centre`, `pipeline`, `endpoint`, `model`, `month`) one line for each part, `--for NODE` one part
alone, `--as-of DATE` an earlier day. The same comes from [`GET /api/v1/kpis`](api.md#apiv1) and from
`workspace.kpi("NAME")`, and stands on the pages of `ratchet up`. Owners and targets are
[settings](settings.md#kpiname).

- A KPI without an event behind it is **no evidence**. A quotient without a denominator is none. Neither is ever 0.
- Times are the events' own, however late they were recorded. Months are local. Quantiles are interpolated.
- The definition of each has a digest. Digest, place in the ledger and moment give the same value again, for ever.
- **Leading** moves before the result does, **lagging** after it. **Leverage** is what a team gains, **risk** what it
  may lose.
- A **production deployment** is live production traffic that makes a version newly live; neither a rollback nor the
  same bytes under another name. An **active pipeline** had an event in the last 90 days and is not archived.
- A part of the organisation has what it owned when it happened, and of what serves now, what it owns now.
"""
_GOOD = {"up": "more", "down": "less", "none": "neither"}


def kpis_page() -> str:
    """Return the page with all KPIs."""
    from ratchet.measure.kpis.catalogue import KPIS

    parts = [_KPIS_HEAD]
    for name, kpi in KPIS.items():
        parts.append(f"\n## `{name}`\n\n**{kpi.title}.** {kpi.sentence}\n\n{kpi.formula}\n\n")
        parts += [f"- {case}\n" for case in kpi.edge_cases]
        parts.append(
            f"\nHeadline: `{kpi.headline}`, in {kpi.unit}. Better: {_GOOD[kpi.direction]}. {kpi.timing.capitalize()}, "
            f"{kpi.nature}.\n"
        )
    return "".join(parts)


def cli_page() -> str:
    """Return the page with the help of all commands."""
    from ratchet.cli import SECTIONS, cli

    parts = [_HEAD, _block(cli, "ratchet", None)]
    for section, commands in SECTIONS.items():
        parts.append(f"\n## {section}\n")
        context = click.Context(cli, info_name="ratchet")
        for name in commands:
            command = cli.get_command(context, name)
            assert command is not None, "each command of the list exists"
            parts += _pages(command, name, context)
    return "".join(parts)


def _pages(command: click.Command, name: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent)
    parts = [f"\n### `{context.command_path}`\n", _block(command, name, parent)]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None, "a group knows its commands"
            parts += _pages(found, inner, context)
    return parts


def _block(command: click.Command, name: str, parent: click.Context | None) -> str:
    settings = {**command.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"\n```text\n{text}\n```\n"


if __name__ == "__main__":
    for page, text in (("cli.md", cli_page()), ("kpis.md", kpis_page())):
        (REFERENCE / page).write_text(text)
        sys.stdout.write(f"{REFERENCE / page}\n")
