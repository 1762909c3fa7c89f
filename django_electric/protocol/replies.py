"""Whole answers that hold no rows: errors, must-refetch, health (PROTOCOL sections 1.5, 2.4, 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from django_electric.protocol.headers import (
    FRAMEWORK_DEFAULT,
    JSON,
    Headers,
    failure_headers,
    preflight_headers,
    refetch_headers,
)
from django_electric.protocol.messages import MUST_REFETCH, encode


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and a body of bytes."""

    status: int
    headers: Headers = field(default_factory=dict)
    body: bytes = b""


def failure(
    status: int, body: object, *, retry_after: int | None = None, is_known: bool = False
) -> Reply:
    """Any error with a JSON body."""
    return Reply(status, failure_headers(retry_after=retry_after, is_known=is_known), encode(body))


def message(
    status: int, text: str, *, retry_after: int | None = None, is_known: bool = False
) -> Reply:
    """``{"message": …}``."""
    return failure(status, {"message": text}, retry_after=retry_after, is_known=is_known)


def invalid_request(errors: Mapping[str, object]) -> Reply:
    """400 with the fields that are wrong."""
    return failure(400, {"message": "Invalid request", "errors": errors})


def refetch(handle: str | None) -> Reply:
    """409: the client drops its data and starts over, with *handle* if there is one."""
    return Reply(409, refetch_headers(handle), MUST_REFETCH)


def snapshot_failed(status: int, text: str) -> Reply:
    """The first rows could not be read (section 7.5)."""
    if status == 409:
        return refetch(None)
    if status == 400:
        return invalid_request({"where": [text]})
    if status == 503:
        return message(503, text, retry_after=10, is_known=True)
    return message(status, text)


def challenge(text: str) -> Reply:
    """401 to whoever may come back with another token, or signed in (RFC 6750, section 3)."""
    reply = message(401, text)
    header = f'Bearer error="invalid_token", error_description="{text}"'
    return Reply(reply.status, {**reply.headers, "www-authenticate": header}, reply.body)


def mismatch(text: str, fields: Collection[str]) -> Reply:
    """403 that names the parameters that are not those of the token."""
    errors = {name: ["is not the token's"] for name in fields}
    return failure(403, {"message": text, "errors": errors})


def ticket(body: bytes) -> Reply:
    """What the gatekeeper gives out, for nobody else and kept by nobody."""
    return Reply(200, {"content-type": JSON, "cache-control": "no-store"}, body)


def let_through(headers: Headers) -> Reply:
    """204 to a proxy that asks whether it may."""
    return Reply(204, {"cache-control": "no-store", **headers})


def overloaded(kind: str, limit: int, retry_after: int) -> Reply:
    """Admission refused (section 7.7)."""
    text = f"Concurrent {kind} request limit exceeded (limit: {limit}), please retry"
    body = {"code": "concurrent_request_limit_exceeded", "message": text}
    return failure(503, body, retry_after=retry_after, is_known=True)


def bad_body(status: int, text: str, details: str | None = None) -> Reply:
    """The body of a POST cannot be used (section 2.8)."""
    body = {"error": text} if details is None else {"error": text, "details": details}
    return Reply(status, {"content-type": JSON, "cache-control": FRAMEWORK_DEFAULT}, encode(body))


def health(state: str) -> Reply:
    """``active`` is 200, anything else 202."""
    headers = {"content-type": JSON, "cache-control": "no-cache, no-store, must-revalidate"}
    return Reply(200 if state == "active" else 202, headers, encode({"status": state}))


def preflight(requested: str | None) -> Reply:
    """``OPTIONS /v1/shape``."""
    return Reply(204, preflight_headers(requested))


UNAUTHORIZED = Reply(
    401,
    {"cache-control": FRAMEWORK_DEFAULT},
    encode({"message": "Unauthorized - Invalid API secret"}),
)
ROOT = Reply(200, {"cache-control": FRAMEWORK_DEFAULT})
NOT_FOUND = Reply(
    404,
    {"content-type": "text/plain; charset=utf-8", "cache-control": FRAMEWORK_DEFAULT},
    b"Not found",
)
CLOSED = message(
    503,
    "Nothing is served: set exactly one of SECRET (ELECTRIC_SECRET) and INSECURE (ELECTRIC_INSECURE=true)"
    " in the ELECTRIC setting.",
)
DATABASE_UNREACHABLE = message(
    503,
    "Cannot connect to the database to verify the shape. Please try again later.",
    retry_after=1,
)
NOT_CREATED = message(503, "Failed to create shape, please retry", retry_after=1)
OUT_OF_BOUNDS = invalid_request({"offset": ["out of bounds for this shape"]})
SNAPSHOT_OVERDUE = message(
    500,
    "Unable to retrieve shape log: ** (RuntimeError) Timed out while waiting for snapshot to start",
)
UNEXPECTED = Reply(
    500,
    {"cache-control": FRAMEWORK_DEFAULT, "content-type": JSON},
    encode({"error": "Internal server error"}),
)
NOT_READY_STANDBY = message(503, "Timeout waiting for Postgres lock acquisition", retry_after=5)
NOT_READY = message(
    503,
    "Timeout waiting for replication client to be ready. Check that you don't have pending transactions in the"
    " database. Electric has to wait for all pending transactions to commit or rollback before it can create"
    " the replication slot.",
    retry_after=5,
)
POST_ONLY = message(405, "The gatekeeper takes POST only")
NO_KEYS = message(
    503,
    "The gatekeeper has no keys: set GATEKEEPER_KEYS (ELECTRIC_GATEKEEPER_KEYS) in the ELECTRIC setting.",
)
NOT_MEANT = message(
    403, "CSRF token missing or incorrect: send it as X-CSRFToken, as every POST with a session."
)
DELETE_DISABLED = message(405, "DELETE not allowed")
NO_SHAPE = message(404, "No existing shape found")
HANDLE_MISMATCH = message(
    400,
    "The specified shape definition and handle do not match. Please ensure the shape definition is correct or"
    " omit the shape handle from the request to obtain a new one.",
)
DELETED = Reply(202, {"cache-control": "no-cache", "electric-has-data": "true"})
