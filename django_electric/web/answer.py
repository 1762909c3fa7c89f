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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from django_electric.errors import ElectricError
from django_electric.postgres.relation import Relation
from django_electric.protocol import replies
from django_electric.protocol.access import Access
from django_electric.protocol.headers import (
    LARGEST_JUMP,
    Headers,
    Moment,
    accepts_gzip,
    answer_headers,
    finished,
    identity_headers,
    is_request_id,
    known_tags,
    negotiated,
    not_modified,
    personal,
)
from django_electric.protocol.messages import array, up_to_date
from django_electric.protocol.params import (
    InvalidRequest,
    ShapeRequest,
    invalid,
    nest,
    parse_delete,
)
from django_electric.protocol.plan import NoNews, NotModified, OutOfBounds, Send, SnapshotOverdue
from django_electric.protocol.query import COMPACTION, SECRETS
from django_electric.protocol.replies import Reply
from django_electric.protocol.resolve import nameable_columns
from django_electric.protocol.subset import parse_subset
from django_electric.revocations import UNBOUND, Leave
from django_electric.shapes.snapshot_sql import Subset
from django_electric.storage import Chunk
from django_electric.web.admission import Permit
from django_electric.web.exchange import WebRequest, WebResponse
from django_electric.web.failures import reply_to, tellable
from django_electric.web.leaves import Revoked
from django_electric.web.live import WORKER_SECONDS, NotCreated, NotReady, Settled, settle
from django_electric.web.looks import Look
from django_electric.web.ranges import WORTH_COMPRESSING, Range
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found, Mismatch, NotRegistered
from django_electric.web.streaming import EndedBody, EventBody, LogBody, NoBody
from django_electric.web.subset import answer_subset
from django_electric.web.wanted import wanted_of
from django_electric.where import has_subqueries

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


async def answer_shape(
    service: ShapeService,
    request: WebRequest,
    access: Access | None = None,
    leave: Leave = UNBOUND,
) -> WebResponse:
    """Everything on ``/v1/shape``.

    *access* is what whoever authorised the request allows, as long as the *leave* is good. Without an
    access the secret of the service authorises the request, and allows everything.
    """
    if request.method not in _METHODS:
        return answer_not_found(request)
    if request.method == "OPTIONS":
        return answer_preflight(request)
    if access is None:
        if not service.settings.is_open:
            return _finish(request, WebResponse.of(replies.CLOSED), is_shape_route=True)
        if not is_authentic(service, request):
            return _identified(request, WebResponse.of(replies.UNAUTHORIZED))
    response = await _answer_authorised(service, replace(request, leave=leave), access)
    response = _finish(request, response, is_shape_route=True)
    if access is None or access.is_public:
        return response
    return replace(response, headers=personal(response.headers))


async def _answer_authorised(
    service: ShapeService, request: WebRequest, access: Access | None
) -> WebResponse:
    answer = _delete if request.method == "DELETE" else _read
    try:
        if request.leave.is_revoked:
            raise Revoked
        return await answer(service, request, access)
    except ElectricError as error:
        return WebResponse.of(reply_to(tellable(error, access), service))
    except Exception:
        # Whatever it is, the client gets an answer that it understands, and no details.
        logger.exception("unexpected error while answering /v1/shape")
        return WebResponse.of(replies.UNEXPECTED)


def answer_failure(service: ShapeService, request: WebRequest, error: ElectricError) -> WebResponse:
    """The answer to a request for a shape that has failed with *error*."""
    return answer_reply(request, reply_to(error, service))


def answer_preflight(request: WebRequest) -> WebResponse:
    """``OPTIONS`` (section 1.4)."""
    return answer_reply(
        request, replies.preflight(request.headers.get("access-control-request-headers"))
    )


def answer_reply(request: WebRequest, reply: Reply) -> WebResponse:
    """An answer that holds no rows, with what every answer but Electric's own 401 has."""
    return _finish(request, WebResponse.of(reply), is_shape_route=True)


def is_authentic(service: ShapeService, request: WebRequest) -> bool:
    """Whether *request* has the secret, or one of two, if there is one."""
    known = service.settings.secrets
    if service.settings.secret is None:
        return True
    values = (request.parameter(parameter.name) for parameter in SECRETS)
    given = next((value for value in values if value is not None), None)
    if given is None:
        return False
    # All are compared: how long it takes tells nothing of which one fits.
    matches = [hmac.compare_digest(given.encode(), secret.encode()) for secret in known]
    return any(matches)


def _finish(request: WebRequest, response: WebResponse, *, is_shape_route: bool) -> WebResponse:
    """Add what every answer but 401 has."""
    origin = request.headers.get("origin")
    headers = finished(response.headers, request.method, origin, is_shape_route=is_shape_route)
    return _identified(request, replace(response, headers=headers))


def _identified(request: WebRequest, response: WebResponse) -> WebResponse:
    """Say who answers which request (section 1.2); a HEAD has no body."""
    known_as = request.headers.get("x-request-id", "")
    request_id = known_as if is_request_id(known_as) else secrets.token_urlsafe(15)
    headers = {**response.headers, **identity_headers(request_id)}
    identified = replace(response, headers=headers)
    return _without_body(identified) if request.method == "HEAD" else identified


def _without_body(response: WebResponse) -> WebResponse:
    """What a HEAD hears: of a body that is built, how long it is; otherwise nothing of that, as a GET would."""
    if response.stream is not None:
        response.close()
        return replace(response, stream=NoBody())
    headers = {**response.headers}
    if response.status not in (204, 304):
        headers["content-length"] = str(len(response.body))
    return WebResponse(response.status, headers)


# --- GET, HEAD, POST ------------------------------------------------------------------------------


async def _read(service: ShapeService, request: WebRequest, access: Access | None) -> WebResponse:
    permit = service.admission.admit(service.kind_of(request.parameter("handle")))
    permit.on_release = service.queues.enter(request)
    try:
        response = await _read_admitted(service, request, access, permit)
    except BaseException:
        permit.release()
        raise
    if response.stream is None:
        permit.release()
    return response


async def _read_admitted(
    service: ShapeService, request: WebRequest, access: Access | None, permit: Permit
) -> WebResponse:
    wanted = await wanted_of(request, access)
    await _check_compaction(service, wanted)
    found = await _find(service, wanted)
    subset = await _subset_of(service, wanted, found.relation)
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


async def _check_compaction(service: ShapeService, wanted: ShapeRequest) -> None:
    """Raise InvalidRequest for a request to compact a log that cannot be (section 12.1)."""
    access = wanted.shape.access
    texts = (wanted.shape.where, access and access.where)
    if not wanted.is_compacted or not any(has_subqueries(text) for text in texts if text):
        return
    definition = await service.shapes.definition(wanted.shape)
    if definition.dependencies:
        raise invalid(COMPACTION.name, "can't be enabled for shapes with subqueries")


async def _subset_of(
    service: ShapeService, wanted: ShapeRequest, relation: Relation
) -> Subset | None:
    """The part of the shape that is asked for, if it is a part. Raises InvalidRequest (stage H).

    A condition that is not understood here is asked of Postgres.
    """
    if wanted.subset is None:
        return None
    try:
        return parse_subset(wanted.subset, relation, nameable_columns(wanted.shape, relation))
    except InvalidRequest as error:
        faults = error.errors["subset"]
        if not isinstance(faults, Mapping) or set(faults) != {"where"}:
            raise
    return await service.shapes.subset(wanted, relation)


async def _find(service: ShapeService, request: ShapeRequest) -> Found:
    """The live shape for *request*; registered if there is none and the worker is there to fill it."""
    found = service.shapes.remembered(request)
    if found is not None:
        if service.has_log(found.handle):
            return found
        service.shapes.forget(found.handle)
    listener = service.listener
    may_register = listener.is_active and request.subset is None
    looked_up = await service.shapes.find(request.shape, may_register=may_register)
    if looked_up.rotated is not None:
        listener.send("deleted", looked_up.rotated)
    if isinstance(looked_up, NotRegistered):
        # A request that is refused must not leave a shape behind.
        await _subset_of(service, request, looked_up.relation)
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
            held = self.request.headers.get("if-none-match")
            return WebResponse(304, not_modified(self._headers(answer), held))
        control = _control(self.wanted, answer, settled.lsn)
        if look is not None and look.chunk is not None and look.chunk.size:
            return self._chunk(answer, look.range, look.chunk, control)
        return WebResponse(200, self._headers(answer), array(b"", control))

    def _chunk(
        self, answer: Send | NoNews, entries: Range | None, chunk: Chunk, control: bytes | None
    ) -> WebResponse:
        is_gzipped = chunk.size >= WORTH_COMPRESSING and accepts_gzip(
            self.request.headers.get("accept-encoding", "")
        )
        headers = negotiated(self._headers(answer), is_gzipped=is_gzipped)
        if entries is not None:
            return WebResponse(200, headers, entries.body(control, is_gzipped=is_gzipped))
        reader = self.service.storage.reader(self.handle)
        stream = LogBody(reader, chunk, control, self.release, is_gzipped=is_gzipped)
        return WebResponse(200, headers, stream=stream)

    def _events(self, answer: Send, look: Look | None) -> WebResponse:
        body = EventBody(self.service, self.handle, answer.end, look, self.release)
        body.leave = self.request.leave
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


async def _delete(service: ShapeService, request: WebRequest, access: Access | None) -> WebResponse:
    """Section 1.6. Whoever may see a shape may not therefore drop it."""
    if not await service.listener.until_active(WORKER_SECONDS):
        raise NotReady
    may_all = access is None and service.settings.enable_integration_testing
    if not may_all and not await request.may_delete():
        return WebResponse.of(replies.DELETE_DISABLED)
    wanted = parse_delete(nest(request.query), access)
    deleted = await service.shapes.delete(wanted.shape, wanted.handle)
    if deleted is None:
        return WebResponse.of(replies.NO_SHAPE)
    if isinstance(deleted, Mismatch):
        return WebResponse.of(replies.HANDLE_MISMATCH)
    service.listener.send("deleted", deleted)
    return WebResponse.of(replies.DELETED)
