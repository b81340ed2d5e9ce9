"""Maps of one process, to be written into files."""

MAP = """
[map]
id = "ID"
version = 1
kind = "KIND"

[[node]]
id = "a"
phase = "Data"
name = "Bring in data"
purpose = "Have data."
roles = ["data curator"]
degree = "DEGREE"
bound_to = { pipeline = "flight-delay", stage = "train" }
"""


def map_text(
    *, map_id: str = "flights", kind: str = "current", degree: str = "non-repeatable", version: str = "1"
) -> str:
    """Return a map of one process."""
    text = MAP.replace("ID", map_id).replace("KIND", kind).replace("DEGREE", degree)
    return text.replace("version = 1", f'version = "{version}"')
