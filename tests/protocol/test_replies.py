"""PROTOCOL sections 1.5, 2.4 and 7: answers that hold no rows."""

from __future__ import annotations

import json

import pytest

from django_electric.protocol import replies


def test_an_invalid_request_names_its_fields() -> None:
    reply = replies.invalid_request({"offset": ["can't be blank"]})
    assert reply.status == 400
    assert json.loads(reply.body) == {
        "message": "Invalid request",
        "errors": {"offset": ["can't be blank"]},
    }
    assert reply.headers["cache-control"] == reply.headers["surrogate-control"] == "no-store"


@pytest.mark.parametrize(
    ("status", "known", "retry_after"), [(503, "true", "10"), (500, None, None)]
)
def test_a_failed_snapshot(status: int, known: str | None, retry_after: str | None) -> None:
    reply = replies.snapshot_failed(status, "because")
    assert (reply.status, json.loads(reply.body)) == (status, {"message": "because"})
    assert reply.headers.get("electric-internal-known-error") == known
    assert reply.headers.get("retry-after") == retry_after


def test_a_snapshot_whose_table_changed_is_a_must_refetch_without_a_handle() -> None:
    assert replies.snapshot_failed(409, "relation does not exist") == replies.refetch(None)
    assert json.loads(replies.refetch(None).body) == [{"headers": {"control": "must-refetch"}}]


def test_overload() -> None:
    reply = replies.overloaded("existing", 10_000, 7)
    assert json.loads(reply.body) == {
        "code": "concurrent_request_limit_exceeded",
        "message": "Concurrent existing request limit exceeded (limit: 10000), please retry",
    }
    assert reply.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("state", "status"), [("active", 200), ("waiting", 202), ("starting", 202)]
)
def test_health(state: str, status: int) -> None:
    reply = replies.health(state)
    assert (reply.status, json.loads(reply.body)) == (status, {"status": state})


def test_what_serves_nothing_names_the_two_settings() -> None:
    assert replies.CLOSED.status == 503
    assert b"ELECTRIC_SECRET" in replies.CLOSED.body
    assert b"ELECTRIC_INSECURE" in replies.CLOSED.body
