"""A secret in a URL is not in the access log, whichever server writes it."""

from __future__ import annotations

import doctest
import io
import logging

import pytest

from django_electric import access_logs

URL = "/v1/shape?table=items&secret=hush&api_secret=hush&offset=-1"


def logged(name: str, text: str, *args: object) -> str:
    """What a handler of that logger prints."""
    logger, stream = logging.getLogger(name), io.StringIO()
    handler = logging.StreamHandler(stream)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel("INFO")
    logger.propagate = False
    try:
        logger.info(text, *args)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
    return stream.getvalue()


def test_the_examples_are_right() -> None:
    assert doctest.testmod(access_logs).failed == 0


# As each server logs a request: its logger, its format, its arguments.
SERVERS = {
    "uvicorn.access": ('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", URL, "1.1", 200),
    "django.server": ('"%s" %s %s', f"GET {URL} HTTP/1.1", "200", "15"),
    "django.channels.server": ("HTTP %(method)s %(path)s", {"method": "GET", "path": URL}),
    "hypercorn.access": ("%(R)s %(q)s", {"R": f"GET {URL} 1.1", "q": URL.partition("?")[2]}),
    "gunicorn.access": ("%(r)s %(q)s", {"r": f"GET {URL} HTTP/1.1", "q": "secret=hush"}),
    "granian.access": ("%(path)s?%(query_string)s", {"path": "/", "query_string": "token=hush"}),
}


@pytest.mark.parametrize("name", SERVERS)
def test_no_server_logs_a_secret(name: str) -> None:
    """The app has seen to it when it was loaded."""
    text = logged(name, *SERVERS[name])
    assert "hush" not in text
    assert access_logs.REDACTED in text
    assert "items" in text or name == "granian.access"


@pytest.mark.parametrize(
    "text",
    ["?where=secret='x'", "?my_secret=1", "?secret=", "a secret=x", "?tokens=1", "/secret?a=b"],
)
def test_everything_else_is_logged_as_it_is(text: str) -> None:
    assert logged("uvicorn.access", "%s", text) == f"{text}\n"


def test_a_filter_is_set_once() -> None:
    before = list(logging.getLogger("uvicorn.access").filters)
    access_logs.redact_access_logs()
    assert logging.getLogger("uvicorn.access").filters == before
