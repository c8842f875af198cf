"""The targets. Each is a module with `check`, `seeds` and `WORDS`.

`check(data)` returns for any bytes or raises: AssertionError when a property does not hold, anything else when the code
under test did. `seeds()` gives inputs made from real shapes, `WORDS` what a mutation may put in.
"""

import importlib
from types import ModuleType

TARGETS = ("header", "base64_text", "bodies", "streams", "replies", "upstream_http", "connections", "addresses")


def target(name: str) -> ModuleType:
    """The module of a target; importing it imports what it tests."""
    return importlib.import_module(f"fuzz.targets.{name}")
