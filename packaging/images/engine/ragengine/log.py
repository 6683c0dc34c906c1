"""The engine's log: short lines on standard error, which the journal keeps.
No document text, no secrets."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger("hybridrag")
_LIMIT = 240


class _OneLine(logging.Formatter):
    """The first line of a message and the error it ends with. LightRAG puts
    SQL and document text into the lines between."""

    def format(self, record: logging.LogRecord) -> str:
        lines = record.getMessage().strip().splitlines() or [""]
        text = lines[0]
        for line in lines[1:]:
            if line.lower().startswith("error:"):
                text += " " + line
        if len(text) > _LIMIT:
            text = text[: _LIMIT - 1] + "…"
        level = "" if record.levelno == logging.INFO else record.levelname.lower() + ": "
        return f"{record.name}: {level}{text}"


class _NoTracebacks(logging.Filter):
    """Tracebacks that a library formats into a message say nothing to a user."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        record.exc_text = None
        return not record.getMessage().startswith("Traceback (most recent call last)")


def set_up(level: int = logging.INFO) -> None:
    """Send everything through one handler; libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    handler.addFilter(_NoTracebacks())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(level)
    # It says so each time its pool cannot connect while the database restarts.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    quiet_lightrag()


def quiet_lightrag(level: int = logging.WARNING) -> None:
    """LightRAG adds a handler of its own when it is imported and finds none."""
    logger = logging.getLogger("lightrag")
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = True
    logger.setLevel(level)
