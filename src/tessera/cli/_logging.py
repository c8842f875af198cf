"""The server's log: one JSON object a line on standard error, bounded, and never a key."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

TEXT_LENGTH_MAX = 4096
# Without local variables: among them are prompts, images and the secret that keys are digested with.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_SECRET = re.compile(r"\b(sk-(?:tess-(?:live|test)-)?)[0-9A-Za-z_-]{12,}|(?<=Bearer )\S+")


def set_up_logging(level: int = logging.INFO) -> None:
    """Sends what the program and its libraries have to say to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _tracebacks,
            bound,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _tracebacks,
                bound,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def bound(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shortens long texts and takes keys out of every one, however deep they stand."""
    return {key: _bounded(value) for key, value in event.items()}


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub(lambda match: f"{match[1] or ''}…", value)[:TEXT_LENGTH_MAX]
    if isinstance(value, dict):
        return {key: _bounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(inner) for inner in value]
    return value
