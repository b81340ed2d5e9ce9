"""What a zygote may load that makes a child in hand hang, or end, while it warms up."""

import os
from pathlib import Path

from ratchet import clock
from ratchet.engine.zygote import SPARE_NAME


def warm_up() -> None:
    """Hang in a child that is kept in hand; end it where a variable says so."""
    if Path("/proc/self/comm").read_text().strip() == SPARE_NAME:
        if os.environ.get("SPARE_ENDS"):
            os._exit(3)
        clock.sleep(600)
