"""The world outside of the tutorial's shop: new orders, requests for predictions, and what came of them.

Keep it beside the project, not in it. Call it inside the project's folder:

    python ../outside.py orders NAME     write a further file of orders, data/orders/NAME.csv
    python ../outside.py freeze          let the project live in simulated time from now on (it cannot go back)
    python ../outside.py days N          let N days pass, with callers and their outcomes; `ratchet up` must run
"""

import csv
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ratchet as rt
from ratchet import clock

ENDPOINT = "returns"
API = os.environ.get("SHOP_API", "http://127.0.0.1:8750")
ORDERS_A_DAY = 120
INPUTS = {
    "category": "BYTES",
    "channel": "BYTES",
    "price": "FP64",
    "items": "INT64",
    "discount": "FP64",
    "earlier_orders": "INT64",
    "delivery_days": "INT64",
}
READ = {"BYTES": str, "FP64": float, "INT64": int}
# Schedules of the shipped rules begin at 01:00; each needs the one before it to be done.
MONDAY = ("00:45", "01:02", "01:12", "01:22", "01:32", "03:02", "12:00")
OTHER_DAYS = ("00:45", "12:00")


def resample(count: int, *, name: str, day: datetime) -> list[dict[str, str]]:
    """Return orders of a day: rows of the first file under new ids and dates, the same for the same name."""
    with Path("data/orders/first.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chance = random.Random(name)
    return [
        {
            **chance.choice(rows),
            "order_id": f"{name}-{number}",
            "placed_at": f"{day:%Y-%m-%d %H:%M:%S}",
            "decided_at": f"{day + timedelta(days=14):%Y-%m-%d %H:%M:%S}",
        }
        for number in range(count)
    ]


def write_orders(name: str) -> None:
    """Write a file whose outcomes are known today: orders of two weeks ago."""
    orders = resample(400, name=name, day=clock.now() - timedelta(days=14))
    target = Path("data/orders") / f"{name}.csv"
    unfinished = target.with_suffix(".part")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(orders[0]))
        writer.writeheader()
        writer.writerows(orders)
    unfinished.replace(target)
    print(f"{target}: {len(orders)} orders")


def freeze() -> None:
    """Start the project's own clock; it stands until `days` moves it."""
    print(f"The clock stands at {clock.simulate(Path('.ratchet/clock'), start=clock.now()):%Y-%m-%d %H:%M} UTC.")


def post(address: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Send JSON with the shop's token, and return the reply."""
    headers |= {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['SHOP_TOKEN']}"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code} {error.read().decode()}")


def ask(address: str, orders: list[dict[str, str]], *, name: str) -> list[str]:
    """Ask whether the orders will be sent back, and return the ids of the predictions: outcomes name them."""
    tensors = [
        {
            "name": column,
            "datatype": datatype,
            "shape": [len(orders)],
            "data": [READ[datatype](one[column]) for one in orders],
        }
        for column, datatype in INPUTS.items()
    ]
    reply = post(f"{address}/v2/models/{ENDPOINT}/infer", {"id": name, "inputs": tensors})
    return next(one["data"] for one in reply["outputs"] if one["name"] == "prediction_id")


def send_outcomes(orders: list[dict[str, str]], predictions: list[str], *, name: str) -> None:
    """Tell what came of a day's orders; sent again under the same key, they count once."""
    known = ("order_id", "placed_at", "decided_at")
    outcomes = [
        {
            "prediction_id": prediction,
            "value": int(one["returned"]),
            "fields": {column: one[column] for column in known},
        }
        for prediction, one in zip(predictions, orders, strict=True)
    ]
    post(f"{API}/api/v1/feedback/{ENDPOINT}", {"outcomes": outcomes}, **{"Idempotency-Key": name})


def pass_days(count: int) -> None:
    """Let days pass. Half a day's callers come at noon; the outcomes of a day are known at the noon after."""
    with rt.open(".") as workspace:
        assert clock.is_simulated(), "freeze the clock first: python ../outside.py freeze"
        today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(count):
            today += timedelta(days=1)
            for hour in MONDAY if today.weekday() == 0 else OTHER_DAYS:
                clock.advance(datetime.fromisoformat(f"{today:%Y-%m-%d}T{hour}:00+00:00"))
                time.sleep(1.3)  # `ratchet up` looks at the clock each second
                workspace.settle()
            name, before = f"day-{today:%Y-%m-%d}", f"day-{today - timedelta(days=1):%Y-%m-%d}"
            asked = ask(workspace.endpoint_address(), resample(ORDERS_A_DAY, name=name, day=today), name=name)
            kept = Path(f".ratchet/{before}.json")
            if kept.exists():
                yesterday = resample(ORDERS_A_DAY, name=before, day=today - timedelta(days=1))
                send_outcomes(yesterday, json.loads(kept.read_text()), name=before)
            Path(f".ratchet/{name}.json").write_text(json.dumps(asked))
            print(f"{today:%a %Y-%m-%d}  level {workspace.level('returns').label}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["orders", name]:
            write_orders(name)
        case ["freeze"]:
            freeze()
        case ["days", count]:
            pass_days(int(count))
        case _:
            sys.exit(__doc__)
