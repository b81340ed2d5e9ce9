"""``ratchet init``: a project that works at once, to change into one's own.

Invariant: nothing that is there is written over; either the whole project is written or nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ratchet.cli.session import Session, examples

if TYPE_CHECKING:
    import numpy as np

PIPELINE = "returns"
DATA_FILE = Path("data/orders/first.csv")
_ROWS = 4000
_DAYS = 180
_CATEGORIES = ("books", "clothes", "garden", "shoes", "toys")
_RETURNED_MORE = {"books": -1.0, "clothes": 0.9, "garden": -0.4, "shoes": 1.2, "toys": -0.3}
_CHANNELS = ("app", "phone", "web")
_IGNORED = ".ratchet/"
_NEEDED = ("pandas", "sklearn", "skops")


@click.command(
    "init",
    epilog=examples(
        "ratchet init shop",
        "ratchet init                here, in the current folder",
        "ratchet init --empty        here, without the example",
        "ratchet init shop --database 'postgresql://me:${PASSWORD}@db.example.org/shop'",
    ),
)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--empty",
    "is_empty",
    is_flag=True,
    help="Write settings only: for code of your own, or to measure what runs elsewhere.",
)
@click.option(
    "--database",
    default="",
    metavar="URL",
    help="An empty PostgreSQL database in place of a file. ${NAME} stands for a variable of the environment.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and nothing else.")
@click.pass_obj
def init_command(_session: Session, folder: Path, is_empty: bool, database: str, as_json: bool) -> None:
    """Start a project that works at once.

    It writes ratchet.toml, an example pipeline in plain Python, and made-up data for it. Nothing is written over. The
    example trains with scikit-learn, which the extra 'sklearn' brings; a project with --empty needs no extra.
    """
    from ratchet.cli import console

    written = write_project(folder.resolve(), is_empty=is_empty, database=database)
    missing = "" if is_empty else _missing_extra()
    if as_json:
        console.print_json(
            {
                "folder": str(folder.resolve()),
                "files": [str(path) for path in written],
                "pipeline": "" if is_empty else PIPELINE,
                "missing_extra": missing,
            }
        )
        return
    _print_written(folder, written, is_empty=is_empty, missing=missing)


def _missing_extra() -> str:
    """Return the extra that the example needs and this installation lacks, ``""`` where nothing is lacking."""
    from ratchet.store.formats import extras

    return "" if all(map(extras.is_installed, _NEEDED)) else extras.FRAMES


def _print_written(folder: Path, written: list[Path], *, is_empty: bool, missing: str) -> None:
    from ratchet.cli import console

    abouts = {
        "ratchet.toml": "datasets, fitness functions, rules",
        f"{PIPELINE}.py": "the pipeline: will an order be sent back?",
        str(DATA_FILE): f"{_ROWS} made-up orders",
        ".gitignore": "leaves out the workspace's state",
    }
    console.say(f"A project in {folder.resolve()}:\n")
    console.say(console.facts((f"  {path}", abouts[str(path)]) for path in written))
    console.say("\nNext:")
    if folder != Path():
        console.say(f"  cd {folder}")
    if is_empty:
        console.say("  ratchet import github runs.json --dry-run   what records would be read as")
        console.say("  ratchet assess init                         a map of your processes")
        console.say("  or a pipeline of your own: a Python file beside ratchet.toml")
        return
    if missing:
        console.say(f"  pip install 'mlratchet[{missing}]'   missing here, and the example needs it")
    console.say(f"  ratchet run {PIPELINE}       train, and see whether the model passes its gate")
    console.say("  ratchet up                rules, endpoint and web pages, until Ctrl-C")


def write_project(folder: Path, *, is_empty: bool = False, database: str = "") -> list[Path]:
    """Write the example project and return its files, as seen from the folder.

    Args:
        folder: Where to; made where missing.
        is_empty: Write the settings alone, without the example.
        database: URL of a database on a server; a file by default.

    Raises:
        WorkspaceExists: One of the files is there already; nothing was written.
        DatabaseInvalid: The URL means nothing, or holds a password.
        DatabaseTaken: The database holds a workspace already.
        DatabaseAway: It cannot be reached.
    """
    from ratchet.config import with_database
    from ratchet.errors import WorkspaceExists
    from ratchet.toml_tables import line_end

    name = _project_name(folder)
    settings = _template("empty.toml" if is_empty else "ratchet.toml").replace("{name}", name)
    if database:
        settings = with_database(settings, database)
    contents = {Path("ratchet.toml"): settings}
    if not is_empty:
        contents |= {Path(f"{PIPELINE}.py"): _template(f"{PIPELINE}.py"), DATA_FILE: ""}
    for path in contents:
        if (folder / path).exists():
            raise WorkspaceExists(path=str(folder / path))
    if database:
        _see_that_it_is_free(database, project=name)
    if not is_empty:
        contents[DATA_FILE] = _orders()
    ignored = folder / ".gitignore"
    before = ignored.read_bytes().decode() if ignored.exists() else ""
    if _IGNORED not in before.split():
        end = line_end(before)
        contents[Path(".gitignore")] = f"{before.rstrip()}{end}{_IGNORED}{end}__pycache__/{end}".lstrip()
    for path, text in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return list(contents)


def _see_that_it_is_free(url: str, *, project: str) -> None:
    from contextlib import closing

    from ratchet.store import ownership
    from ratchet.store.database import Database, url_to_keep

    with closing(Database(url_to_keep(url))) as database:
        ownership.refuse_taken(database, project=project)


def _template(name: str) -> str:
    from importlib import resources

    return resources.files("ratchet.cli").joinpath("template", name).read_text()


def _project_name(folder: Path) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in folder.name) or "project"


def _orders() -> str:
    """Return made-up orders of the last half year as CSV, always the same but for the dates."""
    import csv
    import io

    import numpy as np

    chance = np.random.default_rng(7)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    order_ids = range(1, _ROWS + 1)
    orders = [_order(chance, order_id) for order_id in order_ids]
    writer.writerow(orders[0])
    writer.writerows(order.values() for order in orders)
    return target.getvalue()


def _order(chance: "np.random.Generator", order_id: int) -> dict[str, Any]:
    """Make up an order; clothes, discounts and slow deliveries come back more often."""
    import math
    from datetime import timedelta

    from ratchet import clock

    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    placed = midnight - timedelta(days=_DAYS + 14) + timedelta(minutes=order_id * _DAYS * 1440 // _ROWS)
    category = _CATEGORIES[int(chance.integers(len(_CATEGORIES)))]
    price = round(float(chance.lognormal(3.5, 0.6)), 2)
    discount = float(chance.choice([0.0, 0.0, 0.1, 0.2, 0.4]))
    earlier, delivery = int(chance.poisson(4)), int(chance.integers(1, 9))
    inclination = -2.2 + _RETURNED_MORE[category] + 2.5 * discount + 0.012 * price + 0.18 * delivery - 0.12 * earlier
    return {
        "order_id": f"o{order_id:05d}",
        "placed_at": placed.strftime("%Y-%m-%d %H:%M:%S"),
        "category": category,
        "channel": _CHANNELS[int(chance.integers(len(_CHANNELS)))],
        "price": price,
        "items": int(chance.integers(1, 5)),
        "discount": discount,
        "earlier_orders": earlier,
        "delivery_days": delivery,
        "returned": int(chance.random() < 1 / (1 + math.exp(-inclination))),
        "decided_at": (placed + timedelta(days=14)).strftime("%Y-%m-%d %H:%M:%S"),
    }
