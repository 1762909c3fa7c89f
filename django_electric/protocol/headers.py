"""The headers of an answer (PROTOCOL sections 1.4 and 6). Time and chance are arguments."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Final

from django_electric import __version__
from django_electric.protocol.params import ShapeRequest
from django_electric.protocol.plan import NoNews, NotModified, Send, etag
from django_electric.shapes.offset import BEFORE_ALL

Headers = dict[str, str]

JSON: Final = "application/json; charset=utf-8"
EVENT_STREAM: Final = "text/event-stream"
FRAMEWORK_DEFAULT: Final = "max-age=0, private, must-revalidate"
"""``cache-control`` of the answers that stand outside the table of section 6.4."""
SSE_SECONDS: Final = 60
SERVER: Final = f"ElectricSQL/1.7.12 (django_electric {__version__})"
"""``electric-server``: whose protocol is spoken, and who speaks it."""
CURSOR_EPOCH: Final = 1_728_432_000
"""2024-10-09T00:00:00Z."""
LARGEST_JUMP: Final = 3600

_REQUEST_ID = re.compile(r"[!-~]{20,200}", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_PREFLIGHT_HEADERS = ("if-none-match", "traceparent", "authorization", "content-type")
_WHOSE: Final = "cookie, authorization"
"""Request headers by which the project knows who asks."""
_EXPOSED = (
    "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,"
    "electric-up-to-date,electric-internal-known-error,retry-after"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What headers depend on besides the request: settings, the time, and chance."""

    method: str
    max_age: int
    stale_age: int
    long_poll_seconds: int
    now: float
    """Seconds since 1970."""
    jump: int
    """A random number, 1 to 3600."""
    tick: int
    """A number that only grows."""


def answer_headers(
    request: ShapeRequest,
    handle: str,
    answer: Send | NoNews | NotModified,
    moment: Moment,
    schema: str | None,
) -> Headers:
    """The headers of a 200 or 304; *schema* None leaves ``electric-schema`` out."""
    tag = etag(handle, request, answer.end)
    has_news = not isinstance(answer, NoNews)
    headers = {
        "content-type": EVENT_STREAM if request.is_sse and isinstance(answer, Send) else JSON,
        "cache-control": cache_control(request, moment),
        "electric-handle": handle,
        "electric-offset": str(answer.end),
        "electric-has-data": "true" if has_news else "false",
        # An answer without news must not be revalidated for ever: its tag is used once.
        "etag": f'"{tag}"' if has_news else f'"{tag}:{moment.tick}"',
    }
    if headers["content-type"] == EVENT_STREAM:
        headers["connection"] = "keep-alive"
        # nginx and others would hold events back to fill their buffers.
        headers["x-accel-buffering"] = "no"
    if isinstance(answer, NoNews) or answer.is_up_to_date:
        headers["electric-up-to-date"] = ""
    if request.is_live:
        headers["electric-cursor"] = str(
            cursor(request.cursor, moment.now, moment.long_poll_seconds, moment.jump)
        )
    elif schema is not None and not isinstance(answer, NotModified):
        headers["electric-schema"] = schema
    return headers


def cache_control(request: ShapeRequest, moment: Moment) -> str:
    """Section 6.4, the rows of successful answers."""
    if moment.method not in ("GET", "HEAD", "OPTIONS") or request.subset is not None:
        return "no-cache"
    if request.offset == BEFORE_ALL:
        return "public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746"
    if request.is_sse:
        return f"public, max-age={max(1, SSE_SECONDS - 1)}"
    if request.is_live:
        return "public, max-age=5, stale-while-revalidate=5"
    return f"public, max-age={moment.max_age}, stale-while-revalidate={moment.stale_age}"


def cursor(previous: str | None, now: float, long_poll_seconds: int, jump: int) -> int:
    """``electric-cursor``: the time slot, but always beyond what the client sent (section 6.6).

    >>> cursor(None, CURSOR_EPOCH + 41, 20, 7), cursor("60", CURSOR_EPOCH + 41, 20, 7)
    (60, 67)
    """
    if not long_poll_seconds:
        return 0
    slot = ceil((now - CURSOR_EPOCH) / long_poll_seconds) * long_poll_seconds
    sent = int(previous) if previous and len(previous) < 100 and _INTEGER.fullmatch(previous) else 0
    return slot if slot > sent else sent + jump


def known_tags(if_none_match: str | None) -> Collection[str]:
    """The tags in an ``If-None-Match`` header, blanks, quotes and the mark of weak ones trimmed.

    >>> sorted(known_tags('"a:0_0:0_inf", b, W/"c"'))
    ['a:0_0:0_inf', 'b', 'c']
    """
    if not if_none_match:
        return ()
    return {part.strip().removeprefix("W/").strip('"') for part in if_none_match.split(",")}


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client of this ``Accept-Encoding`` takes gzip (RFC 9110, section 12.5.3).

    >>> accepts_gzip("br, gzip;q=0.5"), accepts_gzip("gzip;q=0, *"), accepts_gzip("*")
    (True, False, True)
    """
    qualities = dict(map(_coding, accept_encoding.lower().split(",")))
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _coding(part: str) -> tuple[str, float]:
    name, _, quality = part.partition(";")
    try:
        return name.strip(), float(quality.strip().removeprefix("q=") or 1)
    except ValueError:
        return name.strip(), 0.0


def is_request_id(text: str) -> bool:
    """Whether the client's own ``x-request-id`` may stand in logs and in the answer."""
    return _REQUEST_ID.fullmatch(text) is not None


def negotiated(headers: Headers, *, is_gzipped: bool) -> Headers:
    """Of an answer whose form depends on ``Accept-Encoding``."""
    negotiated = {**headers, "vary": "accept-encoding"}
    if is_gzipped:
        negotiated["content-encoding"] = "gzip"
        # Other bytes than those of the answer that is not compressed, but they mean the same.
        negotiated["etag"] = f"W/{headers['etag']}"
    return negotiated


def not_modified(headers: Headers, if_none_match: str | None) -> Headers:
    """Of a 304: the tag is as weak as the one that the client holds, so that caches know whose it is."""
    held = f"W/{headers['etag']}"
    is_weak = if_none_match is not None and held in if_none_match
    return {**headers, "vary": "accept-encoding", **({"etag": held} if is_weak else {})}


def refetch_headers(handle: str | None) -> Headers:
    """409: with the handle to go on with it may be cached a minute, without one a second."""
    if handle is None:
        return {"content-type": JSON, "cache-control": "public, max-age=1, must-revalidate"}
    return {
        "content-type": JSON,
        "cache-control": "public, max-age=60, must-revalidate",
        "electric-handle": handle,
        "etag": f'"{handle}::"',
    }


def failure_headers(*, retry_after: int | None = None, is_known: bool = False) -> Headers:
    """Any other status from 400 on: never cached."""
    headers = {"content-type": JSON, "cache-control": "no-store", "surrogate-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    if is_known:
        headers["electric-internal-known-error"] = "true"
    return headers


def cors_headers(origin: str | None, *, is_shape_route: bool) -> Headers:
    """On every answer except 401."""
    return {
        "access-control-allow-origin": origin or "*",
        "access-control-expose-headers": _EXPOSED,
        "access-control-allow-methods": "GET, POST, HEAD, DELETE, OPTIONS"
        if is_shape_route
        else "GET, HEAD",
    }


def personal(headers: Mapping[str, str]) -> Headers:
    """*headers* of an answer for one user: no cache that others share may keep it.

    The user's own browser asks every time, so that whoever may no longer see it does not; what has not
    changed is not sent again (``etag``).
    """
    given = headers.get("vary")
    kept = {**headers, "vary": f"{given}, {_WHOSE}" if given else _WHOSE}
    if "no-store" not in headers.get("cache-control", ""):
        kept["cache-control"] = "private, no-cache"
    return kept


def finished(
    headers: Mapping[str, str], method: str, origin: str | None, *, is_shape_route: bool
) -> Headers:
    """With what every answer but 401 has; nothing that answers a POST or a DELETE is cached."""
    finished = {**headers, **cors_headers(origin, is_shape_route=is_shape_route)}
    if method in ("POST", "DELETE") and headers.get("cache-control") != FRAMEWORK_DEFAULT:
        finished["cache-control"] = "no-cache"
        finished.pop("surrogate-control", None)
    return finished


def identity_headers(request_id: str) -> Headers:
    """Who answers which request (section 1.2): on every answer."""
    return {"electric-server": SERVER, "x-request-id": request_id}


def preflight_headers(requested: str | None) -> Headers:
    """``OPTIONS /v1/shape``. Of a list of headers those that are known are allowed."""
    headers = {"access-control-max-age": "86400", "connection": "keep-alive"}
    names = [name.strip() for name in (requested or "").split(",")]
    allowed = [name for name in names if name.lower() in _PREFLIGHT_HEADERS]
    if allowed:
        headers["access-control-allow-headers"] = ",".join(allowed)
    return headers
