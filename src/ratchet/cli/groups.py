"""Groups of commands that say in full what each command does.

Invariant: a line of help is wrapped on a narrow terminal and never cut.
"""

import click


class Group(click.Group):
    """A group whose help has the whole first sentence of each command."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with what they do."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, _first_sentence(command)) for name, command in found.items() if command and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


class ShowByDefault(Group):
    """A group that takes what is no command of its own as arguments of its command ``show``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``show`` before everything but a command or a call for help."""
        is_command = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_command else ["show", *args])


def _first_sentence(command: click.Command) -> str:
    return command.get_short_help_str(limit=len(command.help or "") + 1)
