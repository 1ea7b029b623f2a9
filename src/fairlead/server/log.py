"""Logs to standard error, one line an event: key=value for people, JSON for machines."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

from fairlead.server.config import LogSection


def set_up(section: LogSection) -> None:
    """Set up the logs of this process: ours by structlog, those of libraries through it."""
    level = logging.getLevelNamesMapping()[section.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: Processor
    if section.format == "json":
        shared.append(structlog.processors.format_exc_info)
        render = structlog.processors.JSONRenderer()
    else:
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # Their lower levels may name peers by address.
    for library in ("nats", "uvicorn", "uvicorn.error", "websockets", "httpx", "httpcore"):
        logging.getLogger(library).setLevel(max(level, logging.ERROR))
