"""Keeps secrets out of access logs: clients send them in the query, and servers log the whole URL (PROTOCOL section 1.3)."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Final

REDACTED: Final = "[redacted]"
_LOGGERS: Final = (
    "django.server",
    "django.channels.server",
    "granian.access",
    "gunicorn.access",
    "hypercorn.access",
    "uvicorn.access",
)
_SECRET: Final = re.compile(
    r"((?:^|[?&])(?:secret|api_secret|token|access_token|api_key|password)=)[^&\s\"]+"
)


def redacted(text: str) -> str:
    """*text* without the values of such parameters as hold secrets.

    >>> redacted("GET /v1/shape?table=items&secret=abc&offset=-1 HTTP/1.1")
    'GET /v1/shape?table=items&secret=[redacted]&offset=-1 HTTP/1.1'
    """
    return _SECRET.sub(rf"\1{REDACTED}", text)


def _redact(record: logging.LogRecord) -> bool:
    """A filter that lets all records through."""
    if isinstance(record.args, MutableMapping):
        # In place: to some servers it is more than a dictionary.
        for name, value in list(record.args.items()):
            if isinstance(value, str):
                record.args[name] = redacted(value)
    elif isinstance(record.args, tuple):
        record.args = tuple(redacted(one) if isinstance(one, str) else one for one in record.args)
    return True


def redact_access_logs() -> None:
    """From now on, in the logs of all servers that log by Python's means. Harmless when called twice."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_redact)
