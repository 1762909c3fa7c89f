"""One answer of each kind, made by the functions that make the real ones: `openapi` describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django_electric.protocol import replies
from django_electric.protocol.headers import (
    CURSOR_EPOCH,
    Headers,
    Moment,
    answer_headers,
    negotiated,
    not_modified,
)
from django_electric.protocol.params import ShapeRequest, parse
from django_electric.protocol.plan import NoNews, NotModified, Send
from django_electric.protocol.replies import Reply
from django_electric.protocol.subset import subset_headers
from django_electric.shapes.offset import SNAPSHOT_END, LogOffset


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer, and the name of its body's schema; None if there is no body, or none that has a type."""

    name: str
    reply: Reply
    schema: str | None = None


_HANDLE: Final = "38216733-1763884800000000"
_END: Final = LogOffset(26741384, 0)
_AT: Final = {"table": "items", "handle": _HANDLE}
_FIRST = parse({"table": "items", "offset": "-1"})
_NEXT = parse({**_AT, "offset": "0_0"})
_LIVE = parse({**_AT, "offset": "0_inf", "live": "true"})
_EVENTS = parse({**_AT, "offset": "0_inf", "live": "true", "live_sse": "true"})
_NOW = parse({"table": "items", "offset": "now"})
_SCHEMA: Final = '{"id":{"type":"int4","pk_index":0,"not_null":true}}'

_ROW: Final = (
    b'{"key":"\\"public\\".\\"items\\"/\\"1\\"","value":{"id":"1"},"headers":{"operation":"insert",'
    b'"relation":["public","items"]}}'
)
_CHANGE: Final = (
    b'{"key":"\\"public\\".\\"items\\"/\\"1\\"","value":{"id":"1"},"headers":{"operation":"delete",'
    b'"relation":["public","items"],"txids":[742],"lsn":"26741384","op_position":0,"last":true}}'
)
_SNAPSHOT_END: Final = (
    b'{"headers":{"control":"snapshot-end","xmin":"740","xmax":"740","xip_list":[]}}'
)
_UP_TO_DATE: Final = b'{"headers":{"control":"up-to-date","global_last_seen_lsn":"26741384"}}'
_SUBSET: Final = (
    b'{"metadata":{"xmin":"740","xmax":"740","xip_list":[],"database_lsn":"26741384",'
    b'"snapshot_mark":1804289383},"data":[]}'
)


def reading_answers(method: str) -> list[Sample]:
    """What GET, HEAD and POST are answered."""
    moment = Moment(method, 60, 300, 20, now=CURSOR_EPOCH + 41.0, jump=1, tick=1)

    def headers(request: ShapeRequest, answer: Send | NoNews | NotModified) -> Headers:
        schema = None if request.is_live else _SCHEMA
        return answer_headers(request, _HANDLE, answer, moment, schema)

    first = headers(_FIRST, Send(LogOffset(0, 0), is_up_to_date=False))
    news = Send(_END, is_up_to_date=True)
    quiet = NoNews(SNAPSHOT_END)
    known = NotModified(_END, is_up_to_date=True)
    known_first = NotModified(LogOffset(0, 0), is_up_to_date=False)
    subset = subset_headers(_FIRST, _HANDLE, _END, _SCHEMA)
    return [
        Sample("first_rows", Reply(200, negotiated(first, is_gzipped=False), b"[%s,%s]" % (_ROW, _SNAPSHOT_END)), "Log"),
        Sample("compressed", Reply(200, negotiated(first, is_gzipped=True), b"[%s,%s]" % (_ROW, _SNAPSHOT_END)), "Log"),
        Sample("nothing_more", Reply(200, headers(_NEXT, news), b"[%s]" % _UP_TO_DATE), "Log"),
        Sample("news", Reply(200, headers(_LIVE, news), b"[%s,%s]" % (_CHANGE, _UP_TO_DATE)), "Log"),
        Sample("no_news", Reply(200, headers(_LIVE, quiet), b"[%s]" % _UP_TO_DATE), "Log"),
        Sample("now", Reply(200, headers(_NOW, quiet), b"[%s]" % _UP_TO_DATE), "Log"),
        Sample("events", Reply(200, headers(_EVENTS, news), b"data: %s\n\n" % _CHANGE), "Events"),
        Sample("subset", Reply(200, subset, _SUBSET), "Subset"),
        Sample("known", Reply(304, not_modified(headers(_NEXT, known), None))),
        Sample("known_first", Reply(304, not_modified(headers(_FIRST, known_first), None))),
        Sample("known_live", Reply(304, not_modified(headers(_LIVE, known), None))),
        *FAILURES,
        *_READING_FAILURES,
    ]  # fmt: skip


_INVALID: Final = replies.invalid_request({"offset": ["can't be blank"]})
_INVALID_SUBSET: Final = replies.invalid_request({"subset": {"limit": ["must be greater than 0"]}})
_NO_PRIVILEGE: Final = "Unable to create initial snapshot: permission denied for table items"
_TIMEOUT: Final = (
    "Unexpected error while creating snapshot: canceling statement due to statement timeout"
)
_DIVISION: Final = "division by zero"


def _to_a_user(reply: Reply) -> Reply:
    """*reply* as it is where the project looks at cookies to know who asks."""
    return Reply(reply.status, {**reply.headers, "vary": "cookie"}, reply.body)


FAILURES: Final = (
    Sample("invalid", _INVALID, "InvalidRequest"),
    Sample("unauthorized", replies.UNAUTHORIZED),
    # Its body is JSON too, but that of the other is not said to be, so that neither is described.
    Sample("unknown", _to_a_user(replies.message(401, "Sign in to read this shape."))),
    Sample("refused", _to_a_user(replies.message(403, "You may not read this shape.")), "Message"),
    Sample("unexpected", replies.UNEXPECTED, "Error"),
    Sample("closed", replies.CLOSED, "Message"),
    Sample("no_worker", replies.NOT_READY, "Message"),
    Sample("worker_waits", replies.NOT_READY_STANDBY, "Message"),
    Sample("no_database", replies.DATABASE_UNREACHABLE, "Message"),
)
"""Of every method but OPTIONS."""
_READING_FAILURES: Final = (
    Sample("out_of_bounds", replies.OUT_OF_BOUNDS, "InvalidRequest"),
    Sample("invalid_subset", _INVALID_SUBSET, "InvalidRequest"),
    Sample("another_handle", replies.refetch(_HANDLE), "MustRefetch"),
    Sample("gone", replies.refetch(None), "MustRefetch"),
    Sample("overdue", replies.SNAPSHOT_OVERDUE, "Message"),
    Sample("condition_failed", replies.snapshot_failed(400, _DIVISION), "InvalidRequest"),
    Sample("query_failed", replies.snapshot_failed(500, _TIMEOUT), "Message"),
    Sample("not_created", replies.NOT_CREATED, "Message"),
    Sample("no_rows", replies.snapshot_failed(503, _NO_PRIVILEGE), "Message"),
    Sample("overloaded", replies.overloaded("initial", 300, 6), "Overloaded"),
)
BAD_BODIES: Final = (
    Sample("no_object", replies.bad_body(400, "Request body must be a JSON object"), "Error"),
    Sample("no_json", replies.bad_body(400, "Invalid JSON in request body", "…"), "Error"),
    Sample("too_large", replies.bad_body(413, "Request body too large"), "Error"),
)
DELETING_ANSWERS: Final = (
    Sample("deleted", replies.DELETED),
    *FAILURES,
    Sample("mismatch", replies.HANDLE_MISMATCH, "Message"),
    Sample("no_shape", replies.NO_SHAPE, "Message"),
    Sample("disabled", replies.DELETE_DISABLED, "Message"),
)
PREFLIGHT_ANSWERS: Final = (
    Sample("all", replies.preflight(None)),
    Sample("asked", replies.preflight("traceparent")),
)
HEALTH_ANSWERS: Final = tuple(
    Sample(state, replies.health(state), "Health") for state in ("active", "waiting", "starting")
)
