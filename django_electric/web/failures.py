"""What the client hears of an error."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Final

from django_electric.authority import Refused
from django_electric.errors import ElectricError, ShapeGone, SnapshotFailed
from django_electric.protocol import replies
from django_electric.protocol.access import Access
from django_electric.protocol.body import BadBody
from django_electric.protocol.params import InvalidRequest
from django_electric.protocol.replies import Reply
from django_electric.protocol.subset import FailsOnRow
from django_electric.tokens import TokenInvalid, TokenMismatch, TokenTooLong
from django_electric.web.admission import Overloaded
from django_electric.web.database import DatabaseUnreachable
from django_electric.web.leaves import Revoked
from django_electric.web.live import NotCreated, NotReady
from django_electric.web.service import ShapeService
from django_electric.web.shapes import NotMigrated

logger = logging.getLogger(__name__)

UNSAID: Final = "fails on a row; the log of the server says why"


def tellable(error: ElectricError, access: Access | None) -> ElectricError:
    """*error* as whoever has *access* may hear it.

    If a condition fails on a row, Postgres's message may hold a value of it. The condition may be that of
    the access itself, and the row one that it keeps out.
    """
    if access is None or access.where is None:
        return error
    match error:
        case FailsOnRow():
            logger.warning("a condition fails on a row: %s", error.errors)
            return FailsOnRow({name: _unsaid(told) for name, told in error.errors.items()})
        case SnapshotFailed(status=400 | 500):
            logger.warning("the first rows could not be read: %s", error.message)
            return SnapshotFailed(UNSAID, status=error.status)
    return error


def _unsaid(told: object) -> object:
    if isinstance(told, Mapping):
        return dict.fromkeys(told, UNSAID)
    return [UNSAID]


def reply_to(error: ElectricError, service: ShapeService) -> Reply:
    """The answer that says *error*."""
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
        case NotMigrated():
            return replies.message(503, error.message, retry_after=10, is_known=True)
    return _refusal(error)


def _refusal(error: ElectricError) -> Reply:
    match error:
        case Refused():
            return replies.message(error.status, error.message)
        case Revoked() | TokenInvalid():
            return replies.challenge(error.message)
        case TokenMismatch():
            return replies.mismatch(error.message, error.fields)
        case TokenTooLong():
            return replies.message(400, error.message)
    logger.error("unexpected error while answering /v1/shape", exc_info=error)
    return replies.UNEXPECTED
