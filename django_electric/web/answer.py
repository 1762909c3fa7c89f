"""WebRequest → WebResponse: the answers to /v1/shape and /v1/health, whatever serves them.

`answer_shape` is the journey of one request (PROTOCOL section 1.2): authenticate, admit, validate,
find the shape, look at its log or wait, answer. What it decides, it decides in `protocol`.
"""

from __future__ import annotations

import hmac
import logging
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from django_electric.errors import ElectricError, ShapeGone, SnapshotFailed
from django_electric.protocol import body as post_body
from django_electric.protocol import replies
from django_electric.protocol.body import BadBody
from django_electric.protocol.headers import (
    FRAMEWORK_DEFAULT,
    LARGEST_JUMP,
    SERVER,
    Headers,
    Moment,
    accepts_gzip,
    answer_headers,
    cors_headers,
    is_request_id,
    known_tags,
)
from django_electric.protocol.messages import array, up_to_date
from django_electric.protocol.params import (
    InvalidRequest,
    ShapeRequest,
    nest,
    parse,
    parse_delete,
)
from django_electric.protocol.plan import NoNews, NotModified, OutOfBounds, Send, SnapshotOverdue
from django_electric.protocol.replies import Reply
from django_electric.protocol.subset import parse_subset
from django_electric.storage import Chunk
from django_electric.web.admission import Overloaded, Permit
from django_electric.web.database import DatabaseUnreachable
from django_electric.web.exchange import Pairs, WebRequest, WebResponse
from django_electric.web.live import WORKER_SECONDS, NotCreated, NotReady, Settled, settle
from django_electric.web.looks import Look
from django_electric.web.ranges import WORTH_COMPRESSING, Range
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found, Mismatch, NotRegistered
from django_electric.web.streaming import EndedBody, EventBody, LogBody
from django_electric.web.subset import answer_subset

logger = logging.getLogger(__name__)

_FIRST_CONTACT_SECONDS: Final = 0.5
_METHODS: Final = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")


async def answer_health(service: ShapeService, request: WebRequest) -> WebResponse:
    """``GET /v1/health``: asks the worker's socket, never the database."""
    if request.method not in ("GET", "HEAD"):
        return answer_not_found(request)
    await service.listener.first_contact(_FIRST_CONTACT_SECONDS)
    reply = replies.health(service.worker_state())
    return _finish(request, WebResponse.of(reply), is_shape_route=False)


def answer_root(request: WebRequest) -> WebResponse:
    """``/``: an empty 200 for probes (section 1.1)."""
    if request.method not in ("GET", "HEAD"):
        return answer_not_found(request)
    return _finish(request, WebResponse.of(replies.ROOT), is_shape_route=False)


def answer_not_found(request: WebRequest) -> WebResponse:
    """Any other path, any method (section 1.1)."""
    return _finish(request, WebResponse.of(replies.NOT_FOUND), is_shape_route=False)


async def answer_shape(service: ShapeService, request: WebRequest) -> WebResponse:
    """Everything on ``/v1/shape``."""
    if request.method not in _METHODS:
        return answer_not_found(request)
    if request.method == "OPTIONS":
        requested = request.headers.get("access-control-request-headers")
        return _finish(request, WebResponse.of(replies.preflight(requested)), is_shape_route=True)
    if not service.settings.is_open:
        return _finish(request, WebResponse.of(replies.CLOSED), is_shape_route=True)
    if not _is_authentic(service, request):
        return _identified(request, WebResponse.of(replies.UNAUTHORIZED))
    answer = _delete if request.method == "DELETE" else _read
    try:
        response = await answer(service, request)
    except ElectricError as error:
        response = WebResponse.of(_reply_to(error, service))
    except Exception:
        # Whatever it is, the client gets an answer that it understands, and no details.
        logger.exception("unexpected error while answering /v1/shape")
        response = WebResponse.of(replies.UNEXPECTED)
    return _finish(request, response, is_shape_route=True)


def _is_authentic(service: ShapeService, request: WebRequest) -> bool:
    secret = service.settings.secret
    if secret is None:
        return True
    given = request.parameter("secret")
    if given is None:
        given = request.parameter("api_secret")
    return given is not None and hmac.compare_digest(given.encode(), secret.encode())


def _finish(request: WebRequest, response: WebResponse, *, is_shape_route: bool) -> WebResponse:
    """Add what every answer but 401 has."""
    headers = dict(response.headers)
    headers.update(cors_headers(request.headers.get("origin"), is_shape_route=is_shape_route))
    if request.method in ("POST", "DELETE") and headers.get("cache-control") != FRAMEWORK_DEFAULT:
        headers["cache-control"] = "no-cache"
        headers.pop("surrogate-control", None)
    return _identified(request, replace(response, headers=headers))


def _identified(request: WebRequest, response: WebResponse) -> WebResponse:
    """Say who answers which request (section 1.2); a HEAD has no body."""
    known_as = request.headers.get("x-request-id", "")
    own = {
        "electric-server": SERVER,
        "x-request-id": known_as if is_request_id(known_as) else secrets.token_urlsafe(15),
    }
    headers = {**response.headers, **own}
    if request.method == "HEAD":
        response.close()
        return WebResponse(response.status, headers)
    return replace(response, headers=headers)


# --- GET, HEAD, POST ------------------------------------------------------------------------------


async def _read(service: ShapeService, request: WebRequest) -> WebResponse:
    permit = service.admission.admit(service.kind_of(request.parameter("handle")))
    try:
        response = await _read_admitted(service, request, permit)
    except BaseException:
        permit.release()
        raise
    if response.stream is None:
        permit.release()
    return response


async def _read_admitted(service: ShapeService, request: WebRequest, permit: Permit) -> WebResponse:
    wanted = await _wanted(request)
    found = await _find(service, wanted)
    subset = None
    if wanted.subset is not None:
        subset = parse_subset(wanted.subset, found.relation, wanted.shape.queryable_columns)
    if wanted.has_position and wanted.handle != found.handle:
        return WebResponse.of(replies.refetch(found.handle))
    if subset is not None:
        return await answer_subset(service, request, wanted, found, subset, permit)
    tags = known_tags(request.headers.get("if-none-match"))
    settled = await settle(service, found, wanted, request, tags)
    permit.becomes_existing()
    schema = None if wanted.is_live else found.schema
    reading = _Reading(service, request, wanted, found.handle, schema, permit.release)
    return reading.respond(settled)


async def _wanted(request: WebRequest) -> ShapeRequest:
    if request.method != "POST":
        return _parse(request.query)
    body = post_body.decode(await request.read_body(post_body.LARGEST + 1))
    return parse(post_body.merge(nest(request.query), body))


@lru_cache(maxsize=4_096)
def _parse(query: Pairs) -> ShapeRequest:
    """Clients that wait for the same news ask the same question."""
    return parse(nest(query))


async def _find(service: ShapeService, request: ShapeRequest) -> Found:
    """The live shape for *request*; registered if there is none and the worker is there to fill it."""
    found = service.shapes.remembered(request)
    if found is not None:
        if service.has_log(found.handle):
            return found
        service.shapes.forget(found.handle)
    listener = service.listener
    looked_up = await service.shapes.find(request.shape, may_register=listener.is_active)
    if looked_up.rotated is not None:
        listener.send("deleted", looked_up.rotated)
    if isinstance(looked_up, NotRegistered):
        if not await listener.until_active(WORKER_SECONDS):
            raise NotReady
        looked_up = await service.shapes.find(request.shape, may_register=True)
    if isinstance(looked_up, NotRegistered):
        raise NotCreated
    if looked_up.is_filled and not service.has_log(looked_up.handle):
        looked_up = await _replace(service, request, looked_up.handle)
    if not looked_up.is_filled:
        listener.send("registered", looked_up.handle)
    return looked_up


async def _replace(service: ShapeService, request: ShapeRequest, handle: str) -> Found:
    """The worker has just taken the log of *handle* away; its row goes first, then comes the next one."""
    await service.shapes.delete(None, handle)
    service.listener.send("deleted", handle)
    looked_up = await service.shapes.find(request.shape, may_register=service.listener.is_active)
    if isinstance(looked_up, NotRegistered):
        raise NotReady
    return looked_up


@dataclass(frozen=True, slots=True)
class _Reading:
    """An admitted request whose shape is known."""

    service: ShapeService
    request: WebRequest
    wanted: ShapeRequest
    handle: str
    schema: str | None
    release: Callable[[], None]
    """Gives the permit back; a stream does so when it ends."""

    def respond(self, settled: Settled) -> WebResponse:
        """The response for what *settled* says."""
        answer, look = settled.answer, settled.look
        if isinstance(answer, SnapshotOverdue):
            return WebResponse.of(replies.SNAPSHOT_OVERDUE)
        if isinstance(answer, OutOfBounds):
            return self._out_of_bounds()
        if isinstance(answer, Send) and self.wanted.is_sse:
            return self._events(answer, look)
        if isinstance(answer, NotModified):
            return WebResponse(304, self._headers(answer))
        control = _control(self.wanted, answer, settled.lsn)
        if look is not None and look.chunk is not None and look.chunk.size:
            return self._chunk(answer, look.range, look.chunk, control)
        return WebResponse(200, self._headers(answer), array(b"", control))

    def _chunk(
        self, answer: Send | NoNews, entries: Range | None, chunk: Chunk, control: bytes | None
    ) -> WebResponse:
        headers = self._headers(answer)
        headers["vary"] = "accept-encoding"
        is_gzipped = chunk.size >= WORTH_COMPRESSING and accepts_gzip(
            self.request.headers.get("accept-encoding", "")
        )
        if is_gzipped:
            headers["content-encoding"] = "gzip"
            # Other bytes than those of the answer that is not compressed, but they mean the same.
            headers["etag"] = f"W/{headers['etag']}"
        if entries is not None:
            return WebResponse(200, headers, entries.body(control, is_gzipped=is_gzipped))
        reader = self.service.storage.reader(self.handle)
        stream = LogBody(reader, chunk, control, self.release, is_gzipped=is_gzipped)
        return WebResponse(200, headers, stream=stream)

    def _events(self, answer: Send, look: Look | None) -> WebResponse:
        body = EventBody(self.service, self.handle, answer.end, look, self.release)
        return WebResponse(200, self._headers(answer), stream=body)

    def _out_of_bounds(self) -> WebResponse:
        offset = self.wanted.offset
        if not self.wanted.is_sse or offset is None:
            return WebResponse.of(replies.OUT_OF_BOUNDS)
        # A stream just ends: its client asks again until the log has caught up (section 3.6).
        headers = self._headers(Send(offset, is_up_to_date=False))
        return WebResponse(200, headers, stream=EndedBody(self.release))

    def _headers(self, answer: Send | NoNews | NotModified) -> Headers:
        moment = _moment(self.service, self.request)
        return answer_headers(self.wanted, self.handle, answer, moment, self.schema)


def _control(request: ShapeRequest, answer: Send | NoNews, lsn: int) -> bytes | None:
    """The closing ``up-to-date``, with the LSN that section 5 asks for."""
    if isinstance(answer, Send) and not answer.is_up_to_date:
        return None
    end = max(0, answer.end.tx)
    if isinstance(answer, Send) and request.is_live:
        return up_to_date(end)
    return up_to_date(max(lsn, end))


def _moment(service: ShapeService, request: WebRequest) -> Moment:
    settings = service.settings
    return Moment(
        method=request.method,
        max_age=settings.cache_max_age,
        stale_age=settings.cache_stale_age,
        long_poll_seconds=settings.long_poll_timeout // 1000,
        now=time.time(),
        jump=random.randint(1, LARGEST_JUMP),  # noqa: S311  # spreads clients, guards nothing
        tick=time.monotonic_ns(),
    )


# --- DELETE ---------------------------------------------------------------------------------------


async def _delete(service: ShapeService, request: WebRequest) -> WebResponse:
    """Section 1.6."""
    if not await service.listener.until_active(WORKER_SECONDS):
        raise NotReady
    if not service.settings.enable_integration_testing and not await request.may_delete():
        return WebResponse.of(replies.DELETE_DISABLED)
    wanted = parse_delete(nest(request.query))
    deleted = await service.shapes.delete(wanted.shape, wanted.handle)
    if deleted is None:
        return WebResponse.of(replies.NO_SHAPE)
    if isinstance(deleted, Mismatch):
        return WebResponse.of(replies.HANDLE_MISMATCH)
    service.listener.send("deleted", deleted)
    return WebResponse.of(replies.DELETED)


# --- Errors ---------------------------------------------------------------------------------------


def _reply_to(error: ElectricError, service: ShapeService) -> Reply:
    """What the client hears of *error*."""
    match error:
        case InvalidRequest():
            return replies.invalid_request(error.errors)
        case BadBody():
            return replies.bad_body(error.status, error.message, error.details)
        case Overloaded():
            return replies.overloaded(error.kind, error.limit, random.randint(6, 10))  # noqa: S311
        case SnapshotFailed():
            return replies.snapshot_failed(error.status, error.message)
        case ShapeGone():
            return replies.refetch(None)
        case NotReady():
            return replies.NOT_READY_STANDBY if service.is_standby else replies.NOT_READY
        case NotCreated():
            return replies.NOT_CREATED
        case DatabaseUnreachable():
            return replies.DATABASE_UNREACHABLE
    logger.error("unexpected error while answering /v1/shape", exc_info=error)
    return replies.UNEXPECTED
