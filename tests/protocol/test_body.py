"""PROTOCOL section 2.8: the body of a POST."""

from __future__ import annotations

import pytest

from django_electric.protocol.body import LARGEST, BadBody, decode, merge


def test_an_empty_body_is_an_empty_object() -> None:
    assert decode(b"") == decode(b"{}") == {}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{not json", 400, "Invalid JSON in request body"),
        (b"\xff", 400, "Invalid JSON in request body"),
        (b"[" * 200_000, 400, "Invalid JSON in request body"),
        (b"[1]", 400, "Request body must be a JSON object"),
        (b"x" * (LARGEST + 1), 413, "Request body too large"),
    ],
)
def test_a_bad_body(body: bytes, status: int, message: str) -> None:
    with pytest.raises(BadBody) as refused:
        decode(body)
    assert (refused.value.status, refused.value.message) == (status, message)


def test_members_of_a_subset_leave_the_parameters_of_the_query_alone() -> None:
    query = {"table": "items", "offset": "-1"}
    body = {"where": "id = $1", "params": {"1": 2}, "limit": 5, "replica": "full"}
    assert merge(query, body) == {
        "table": "items",
        "offset": "-1",
        "replica": "full",
        "subset": {"where": "id = $1", "params": {"1": 2}, "limit": 5},
    }


def test_beside_a_nested_subset_all_members_are_parameters() -> None:
    body = {
        "subset": {"limit": 5},
        "where": "id = 1",
        "offset": "0_0",
        "live": True,
        "columns": ["id", "b"],
    }
    assert merge({"offset": "-1"}, body) == {
        "subset": {"limit": 5},
        "where": "id = 1",
        "offset": "0_0",
        "live": "true",
        "columns": "id,b",
    }


def test_a_secret_never_comes_from_the_body() -> None:
    assert merge({}, {"secret": "s", "api_secret": "s"}) == {}
