"""``ratchet demo``: hands over to the demo.

Invariant: nothing of the demo is imported before it is asked for.
"""

from pathlib import Path

import click

from ratchet.cli.session import Session, examples


@click.command(
    "demo",
    epilog=examples(
        "ratchet demo",
        "ratchet demo --until 2013-04-30",
        "ratchet demo --keep flights && cd flights",
        "ratchet demo --database postgresql:///flights",
    ),
)
@click.option("--until", default=None, metavar="DATE", help="Last day to replay; the whole year by default.")
@click.option(
    "--keep",
    default=None,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the project is left, to look at with every other command.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed gives another sample of training and traffic.")
@click.option("--database", default="", metavar="URL", help="An empty PostgreSQL database in place of a file.")
@click.option("--scenario", default="story", hidden=True, help="A control that leaves something out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and nothing else.")
@click.pass_obj
def demo_command(
    session: Session, *, until: str | None, keep: Path | None, seed: int, database: str, scenario: str, as_json: bool
) -> int:
    """Replay a year of a real pipeline, from no automation to level 4.

    It predicts late flights from New York, 2013: real data, real training, a real endpoint, simulated days. Broken off,
    the same command goes on.
    """
    from ratchet.demo.command import run_demo

    session.project = keep
    return run_demo(keep=keep, until=until, seed=seed, database=database, scenario=scenario, as_json=as_json)
