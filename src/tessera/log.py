"""The program's log: structlog's loggers, loaded without what none of them uses.

structlog looks for `rich` when it is imported, for a console that this log is never written to. Loading it takes 90 ms,
a quarter of what a short command takes to start. Where it is loaded already, or when a command draws a table with it
later, nothing is different.
"""

import sys

_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # to import it raises ImportError
try:
    import structlog
finally:
    if _hidden:
        del sys.modules["rich"]

get_logger = structlog.get_logger

__all__ = ["get_logger", "structlog"]
