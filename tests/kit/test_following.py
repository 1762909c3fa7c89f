"""What an answer changes for a client, and what it asks next."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_electric.test import ShapeRefused
from django_electric.test.following import MOST_REFETCHES, Following

MUST_REFETCH = b'[{"headers":{"control":"must-refetch"}}]'


def change(operation: str, key: str, **value: str) -> dict[str, Any]:
    return {"key": key, "value": value, "headers": {"operation": operation}}


def headers(offset: str, *, is_up_to_date: bool = True) -> dict[str, str]:
    given = {"electric-handle": "1-1", "electric-offset": offset, "electric-cursor": "7"}
    return {**given, "electric-up-to-date": ""} if is_up_to_date else given


class TestFollowing:
    def test_from_the_beginning_to_a_live_request(self) -> None:
        following = Following()
        assert following.query == {"offset": "-1"}
        following.take(200, headers("0_0", is_up_to_date=False), b"[]")
        assert following.query == {"offset": "0_0", "handle": "1-1"}
        following.take(200, headers("0_inf"), b"[]")
        assert following.query == {
            "offset": "0_inf", "handle": "1-1", "live": "true", "cursor": "7",
        }  # fmt: skip

    def test_rows_are_what_the_messages_make_of_them(self) -> None:
        following = Following()
        messages = [
            change("insert", "1", id="1", v="a"),
            change("insert", "2", id="2", v="b"),
            change("update", "1", id="1", v="c"),
            change("delete", "2", id="2"),
            {"headers": {"control": "up-to-date"}},
        ]
        assert following.take(200, headers("5_0"), json.dumps(messages).encode()) == messages
        assert following.rows == {"1": {"id": "1", "v": "c"}}
        assert following.messages == messages

    @pytest.mark.parametrize("operation", ["update", "delete"])
    def test_a_change_of_a_row_that_is_not_there_fails_the_test(self, operation: str) -> None:
        body = json.dumps([change(operation, "1", id="1")]).encode()
        with pytest.raises(AssertionError, match=f"{operation} of a row that this client"):
            Following().take(200, headers("5_0"), body)

    def test_a_log_of_changes_only_begins_with_any(self) -> None:
        following = Following(has_first_rows=False)
        changes = [change("update", "1", id="1", v="a"), change("delete", "2", id="2")]
        following.take(200, headers("5_0"), json.dumps(changes).encode())
        assert following.rows == {"1": {"id": "1", "v": "a"}}

    def test_must_refetch_begins_anew(self) -> None:
        following = Following()
        following.take(200, headers("5_0"), json.dumps([change("insert", "1", id="1")]).encode())
        following.take(409, {"electric-handle": "2-2"}, MUST_REFETCH)
        assert following.query == {"offset": "-1"}
        assert (following.rows, following.refetches) == ({}, 1)

    def test_going_round_in_circles_fails_the_test(self) -> None:
        following = Following()
        for _ in range(MOST_REFETCHES):
            following.take(409, {}, MUST_REFETCH)
        with pytest.raises(AssertionError, match="times in a row"):
            following.take(409, {}, MUST_REFETCH)

    @pytest.mark.parametrize("status", [302, 400, 401, 503])
    def test_any_other_status_says_what_was_answered(self, status: int) -> None:
        with pytest.raises(ShapeRefused, match=f"{status}: why") as refused:
            Following().take(status, {}, b"why")
        assert (refused.value.status, refused.value.body) == (status, "why")
