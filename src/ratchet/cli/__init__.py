"""The command ``ratchet``: a list of commands, each loaded when it is called.

Invariant: asking for help imports click and nothing else that is slow; whatever a command raises ends as one line and
an exit code: 0 done, 1 refused or failed, 2 not understood.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

import click

import ratchet

# Section of the help page -> command -> (module, one line). The line stands here so that help need not load the module.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Begin": {
        "demo": ("demo", "Replay a year of a real pipeline, from no automation to level 4."),
        "init": ("init", "Start a project that works at once."),
        "up": ("up", "Run the workspace: rules, endpoint and web pages, until stopped."),
        "worker": ("worker", "Carry out runs and steps for a workspace, on this machine."),
        "workers": ("worker", "List the processes that carry out jobs."),
    },
    "Models": {
        "run": ("runs", "Run a pipeline and show what came of it."),
        "runs": ("runs", "List runs, show one, or compare some."),
        "models": ("models", "List model versions, or show one."),
        "promote": ("models", "Let a model version serve in production."),
        "rollback": ("models", "Let the version serve again that served before."),
        "artifacts": ("artifacts", "Show what is stored and what holds it; remove what nothing needs."),
    },
    "Automation": {
        "status": ("status", "Show each pipeline: level, live version, ages, last run, alerts."),
        "level": ("level", "Show how automated a pipeline is, and what blocks the next level."),
        "incidents": ("incidents", "Show what broke and which change it came from; tell of incidents."),
        "kpi": ("kpi", "Show numbers about how the work is done, and the events behind them."),
        "policy": ("policy", "List level policies; check, try and publish one of your own."),
        "goals": ("goals", "Show pipelines by level over time, goals, and the cheapest next steps."),
        "report": ("report", "Write one page with its proof: where we are, should be, and get sooner."),
        "events": ("events", "Read the ledger: what happened, by whom, because of what."),
        "ledger": ("ledger", "Sign the ledger, prove entries, and show whether any was changed."),
        "rules": ("rules", "List rules, adopt and switch them, test them against the past."),
        "token": ("tokens", "Issue, list and revoke tokens of callers."),
        "import": ("imports", "Bring in what happened in other systems."),
    },
    "Care": {
        "doctor": ("doctor", "Look at everything that can be wrong, and say what to do."),
        "backup": ("backup", "Write the whole workspace to one file, also while it runs."),
        "restore": ("backup", "Make a workspace of such a file, also on another kind of database."),
    },
    "Money": {
        "budget": ("budget", "Show budgets: spent, forecast, limit."),
        "bill": ("bill", "Take in bills, and hold them against what the ledger adds up to."),
    },
    "Assessment": {
        "assess": ("assess", "Draw how the work is done, how it shall be, and the way between."),
        "evaluate": ("evaluate", "Choose a platform: questionnaires by group, a comparison in numbers."),
    },
}
COMMANDS = {name: place for section in SECTIONS.values() for name, place in section.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002, click asks like this
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002, as above
        """Return a command, importing its module, or ``None``."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ratchet.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was asked for; a misspelt one is answered with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            if not close or "Did you mean" in error.message:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{close[0]}'?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002, as above
        """Write the commands by section, without importing any."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, about) for name, (_, about) in commands.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command explains itself: ratchet run --help",
)
@click.version_option(ratchet.__version__, message="ratchet %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Close the loop of machine learning in production, and measure it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command line and exit.

    Args:
        arguments: The words after ``ratchet``; those of the process by default.
    """
    from ratchet.cli.session import Session, end

    session = Session()
    try:
        code = cli.main(args=arguments, prog_name="ratchet", standalone_mode=False, obj=session)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001, the border of the process
        code = end(session, error)
    sys.exit(code if isinstance(code, int) else 0)
