"""Grants: equal in all that counts, for a short time."""

from __future__ import annotations

from typing import Any

import pytest

from django_electric.web.exchange import WebRequest, WebResponse
from django_electric.web.grants import MOST, Grants, grant_key

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "scheme": "http",
    "root_path": "",
    "path": "/v1/shape",
    "query_string": b"table=items&offset=-1&where=id%3D1",
    "client": ("10.0.0.1", 5000),
    "headers": [(b"host", b"a"), (b"cookie", b"sessionid=1"), (b"accept", b"*/*")],
}


async def answer(request: WebRequest) -> WebResponse:
    return WebResponse(200, {})


def with_header(name: bytes, value: bytes) -> dict[str, Any]:
    return {"headers": [*SCOPE["headers"], (name, value)]}


@pytest.mark.parametrize(
    "change",
    [
        {"query_string": b"table=items&offset=5_0&handle=1&live=true&cursor=9&where=id%3D1"},
        {"query_string": b"table=items&where=id%3D1&expired_handle=1&cache-buster=2"},
        {"client": ("10.0.0.1", 5001)},
        with_header(b"if-none-match", b'"1:0_0:0_1"'),
        with_header(b"accept-encoding", b"gzip"),
        with_header(b"traceparent", b"00-1"),
        {"raw_path": b"/v1//shape"},
    ],
)
def test_what_says_how_far_a_client_is_does_not_count(change: dict[str, Any]) -> None:
    assert grant_key({**SCOPE, **change}) == grant_key(SCOPE)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "HEAD"},
        {"scheme": "https"},
        {"root_path": "/sub"},
        {"path": "/other/v1/shape"},
        {"client": ("10.0.0.2", 5000)},
        {"client": None},
        {"query_string": b"table=items&where=id%3D2"},
        {"query_string": b"table=items&where=id%3D1&where=true"},
        {"query_string": b"table=items&where=id%3D1&secret=x"},
        {"query_string": b"table=items&where=id%3D1&subset__limit=1"},
        {"headers": [(b"host", b"b"), (b"cookie", b"sessionid=1")]},
        {"headers": [(b"host", b"a"), (b"cookie", b"sessionid=2")]},
        {"headers": [(b"host", b"a")]},
        with_header(b"authorization", b"Bearer x"),
        with_header(b"x-api-key", b"x"),
        with_header(b"x-forwarded-for", b"1.2.3.4"),
        with_header(b"cookie", b"other=1"),
    ],
)
def test_everything_else_counts(change: dict[str, Any]) -> None:
    assert grant_key({**SCOPE, **change}) != grant_key(SCOPE)


def test_header_lists_of_lists_count_the_same() -> None:
    assert grant_key({**SCOPE, "headers": [list(h) for h in SCOPE["headers"]]}) == grant_key(SCOPE)


def test_a_grant_expires() -> None:
    now = 100.0
    grants = Grants(lambda: now)
    grants.put("key", answer, (), 5.0)
    assert grants.get("other") is None
    now = 104.9
    assert grants.get("key") is not None
    now = 105.0
    assert grants.get("key") is None
    assert len(grants) == 0


def test_a_grant_that_lasts_no_time_is_not_kept() -> None:
    grants = Grants()
    grants.put("key", answer, (), 0.0)
    assert len(grants) == 0


def test_the_oldest_go_first_and_all_on_demand() -> None:
    grants = Grants()
    for number in range(MOST + 1):
        grants.put(number, answer, (), 60.0)
    assert len(grants) == MOST
    assert grants.get(0) is None
    assert grants.get(MOST) is not None
    grants.clear()
    assert grants.get(MOST) is None
