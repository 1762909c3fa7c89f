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
        (b'{"where": NaN}', 400, "Invalid JSON in request body"),
        (b'{"limit": -Infinity}', 400, "Invalid JSON in request body"),
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


def test_an_integer_may_have_any_number_of_digits() -> None:
    digits = "9" * 10_000
    body = decode(f'{{"params": {{"1": {digits}}}, "limit": 5, "subset": {{}}}}'.encode())
    assert merge({}, body) == {"params": {"1": digits}, "limit": "5", "subset": {}}


def test_numbers_become_the_text_that_was_written() -> None:
    body = decode(
        b'{"params": {"1": 1.50, "2": 1e999, "3": -7, "4": true}, "subset": {}, "x": 1.0}'
    )
    params = {"1": "1.50", "2": "1e999", "3": "-7", "4": "true"}
    assert merge({}, body) == {"params": params, "subset": {}, "x": "1.0"}


@pytest.mark.parametrize("member", ["where", "params", "columns", "x"])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_what_no_parameter_can_be_is_left_alone_however_deep(member: str, brackets: str) -> None:
    opening = "[" if brackets == "[]" else '{"a":'
    body = decode(f'{{"{member}":{opening * 900}1{brackets[1] * 900},"subset":{{}}}}'.encode())
    merged = merge({"where": "id = 1", "params": "x", "columns": "id", "x": "y"}, body)
    assert isinstance(merged[member], list | dict)


def test_names_in_a_list_are_a_list_of_names() -> None:
    assert merge({}, {"columns": ["id", '"B"']}) == {"columns": 'id,"B"'}
    assert merge({}, {"columns": ["id", 1]}) == {"columns": ["id", 1]}
    assert merge({}, {"table": ["id"]}) == {"table": ["id"]}


def test_members_of_a_subset_stand_above_those_of_the_query() -> None:
    query = {"subset": {"where": "id = 1", "order_by": "id"}}
    assert merge(query, {"where": "id = 2"}) == {"subset": {"where": "id = 2", "order_by": "id"}}
    assert merge(query, {"subset": {"where": "id = 2"}}) == {"subset": {"where": "id = 2"}}


def test_a_cursor_never_comes_from_the_body() -> None:
    assert merge({"cursor": "1"}, {"cursor": "2", "live": True}) == {"cursor": "1", "live": "true"}


def test_a_secret_never_comes_from_the_body() -> None:
    assert merge({}, {"secret": "s", "api_secret": "s"}) == {}
