"""PROTOCOL sections 1.4 and 6: the headers of an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_electric.protocol.headers import (
    CURSOR_EPOCH,
    Moment,
    answer_headers,
    cache_control,
    cors_headers,
    cursor,
    failure_headers,
    known_tags,
    not_modified,
    preflight_headers,
    refetch_headers,
)
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams, ShapeRequest
from django_electric.protocol.plan import NoNews, NotModified, Send
from django_electric.shapes.offset import BEFORE_ALL, SNAPSHOT_END, LogOffset

MOMENT = Moment("GET", 60, 300, 20, CURSOR_EPOCH + 41.5, 7, 99)
END = LogOffset(7, 0)
INITIAL = ShapeRequest(ShapeParams(TableName("public", "items")), BEFORE_ALL)
CATCH_UP = replace(INITIAL, offset=SNAPSHOT_END, handle="h")
LIVE = replace(CATCH_UP, is_live=True)
SSE = replace(LIVE, is_sse=True)
NOW = replace(INITIAL, offset=None)


class TestAnswers:
    """Section 6.1."""

    def test_not_live(self) -> None:
        headers = answer_headers(CATCH_UP, "h", Send(END, is_up_to_date=True), MOMENT, "{}")
        assert headers == {
            "content-type": "application/json; charset=utf-8",
            "cache-control": "public, max-age=60, stale-while-revalidate=300",
            "electric-handle": "h",
            "electric-offset": "7_0",
            "electric-has-data": "true",
            "etag": '"h:0_inf:7_0"',
            "electric-up-to-date": "",
            "electric-schema": "{}",
        }

    def test_not_up_to_date(self) -> None:
        headers = answer_headers(
            INITIAL, "h", Send(LogOffset(0, 0), is_up_to_date=False), MOMENT, "{}"
        )
        assert "electric-up-to-date" not in headers
        assert headers["etag"] == '"h:-1:0_0"'

    def test_live(self) -> None:
        headers = answer_headers(LIVE, "h", Send(END, is_up_to_date=True), MOMENT, None)
        assert headers["electric-cursor"] == "60"
        assert "electric-schema" not in headers

    @pytest.mark.parametrize("request_", [LIVE, NOW])
    def test_without_news_the_tag_is_used_once(self, request_: ShapeRequest) -> None:
        headers = answer_headers(request_, "h", NoNews(END), MOMENT, "{}")
        assert headers["electric-has-data"] == "false"
        assert headers["etag"] == f'"h:{request_.offset_text}:7_0:99"'
        assert headers["electric-up-to-date"] == ""

    def test_not_modified(self) -> None:
        headers = answer_headers(CATCH_UP, "h", NotModified(END, is_up_to_date=True), MOMENT, "{}")
        assert headers["electric-has-data"] == "true"
        assert "electric-schema" not in headers

    @pytest.mark.parametrize(
        ("if_none_match", "tag"),
        [
            ('"h:0_inf:7_0"', '"h:0_inf:7_0"'),
            ("h:0_inf:7_0", '"h:0_inf:7_0"'),
            ('"a", W/"h:0_inf:7_0"', 'W/"h:0_inf:7_0"'),
            ('W/"a", "h:0_inf:7_0"', '"h:0_inf:7_0"'),
            (None, '"h:0_inf:7_0"'),
        ],
    )
    def test_whose_answer_is_not_modified_is_told_as_of_the_whole_one(
        self, if_none_match: str | None, tag: str
    ) -> None:
        """RFC 9110, section 15.4.5, and RFC 9111, section 4.3.4: of a compressed answer the tag is weak."""
        whole = answer_headers(CATCH_UP, "h", NotModified(END, is_up_to_date=True), MOMENT, None)
        headers = not_modified(whole, if_none_match)
        assert headers == {**whole, "vary": "accept-encoding", "etag": tag}

    def test_events(self) -> None:
        headers = answer_headers(SSE, "h", Send(END, is_up_to_date=True), MOMENT, None)
        assert headers["content-type"] == "text/event-stream"


class TestCacheControl:
    """Section 6.4, row by row."""

    @pytest.mark.parametrize(
        ("request_", "value"),
        [
            (INITIAL, "public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746"),
            (SSE, "public, max-age=59"),
            (LIVE, "public, max-age=5, stale-while-revalidate=5"),
            (CATCH_UP, "public, max-age=60, stale-while-revalidate=300"),
            (NOW, "public, max-age=60, stale-while-revalidate=300"),
            (replace(INITIAL, subset={}), "no-cache"),
        ],
    )
    def test_of_a_success(self, request_: ShapeRequest, value: str) -> None:
        assert cache_control(request_, MOMENT) == value
        assert cache_control(request_, replace(MOMENT, method="POST")) == "no-cache"

    def test_of_a_must_refetch(self) -> None:
        assert refetch_headers("h") == {
            "content-type": "application/json; charset=utf-8",
            "cache-control": "public, max-age=60, must-revalidate",
            "electric-handle": "h",
            "etag": '"h::"',
        }
        assert refetch_headers(None)["cache-control"] == "public, max-age=1, must-revalidate"
        assert "electric-handle" not in refetch_headers(None)

    def test_of_other_errors(self) -> None:
        headers = failure_headers(retry_after=10, is_known=True)
        assert headers["cache-control"] == headers["surrogate-control"] == "no-store"
        assert headers["retry-after"] == "10"
        assert headers["electric-internal-known-error"] == "true"
        assert "retry-after" not in failure_headers()


class TestCursor:
    """Section 6.6: strictly beyond what the client sent."""

    @pytest.mark.parametrize(
        ("previous", "expected"),
        [
            (None, 60),
            ("", 60),
            ("59", 60),
            ("60", 67),
            ("999999999", 1_000_000_006),
            ("garbage", 60),
            ("1e3", 60),
        ],
    )
    def test_the_slot_or_a_jump(self, previous: str | None, expected: int) -> None:
        assert cursor(previous, CURSOR_EPOCH + 41.5, 20, 7) == expected

    def test_a_timeout_below_a_second_has_no_slots(self) -> None:
        assert cursor("5", CURSOR_EPOCH + 41, 0, 7) == 0

    def test_a_number_of_absurd_length_counts_as_none(self) -> None:
        assert cursor("9" * 5000, CURSOR_EPOCH + 41, 20, 7) == 60


class TestIfNoneMatch:
    def test_tags_are_cut_at_commas_and_trimmed(self) -> None:
        assert set(known_tags('"foo", "h:0_0:0_inf" ,bar')) == {"foo", "h:0_0:0_inf", "bar"}
        assert not known_tags(None)


class TestCors:
    """Section 1.4."""

    def test_the_origin_is_echoed(self) -> None:
        assert cors_headers("https://a.example", is_shape_route=True)[
            "access-control-allow-origin"
        ] == ("https://a.example")
        assert (
            cors_headers(None, is_shape_route=False)["access-control-allow-methods"] == "GET, HEAD"
        )

    def test_preflight_allows_the_headers_it_knows(self) -> None:
        assert preflight_headers("If-None-Match")["access-control-allow-headers"] == "If-None-Match"
        allowed = preflight_headers("traceparent, x-foo, if-none-match")[
            "access-control-allow-headers"
        ]
        assert allowed == "traceparent,if-none-match"
        assert "access-control-allow-headers" not in preflight_headers("x-foo")
        assert preflight_headers(None)["access-control-max-age"] == "86400"
