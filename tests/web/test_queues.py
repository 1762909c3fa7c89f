"""A browser that is about to stand still is warned of, while one develops."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from django_electric.web.exchange import WebRequest
from django_electric.web.queues import MOST_CONNECTIONS, BrowserQueues

FIREFOX = {"user-agent": "Mozilla/5.0 Firefox"}


def request(
    headers: dict[str, str] | None = None, version: str = "1.1", live: str = "true"
) -> WebRequest:
    return WebRequest(
        method="GET",
        query=(("live", live),),
        headers=FIREFOX if headers is None else headers,
        http_version=version,
        client="10.0.0.1",
    )


def enter(queues: BrowserQueues, count: int, one: WebRequest) -> list[Callable[[], None]]:
    return [queues.enter(one) for _ in range(count)]


def test_the_sixth_live_request_of_a_browser_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queues = BrowserQueues(is_on=True)
    enter(queues, MOST_CONNECTIONS - 1, request())
    assert caplog.messages == []
    enter(queues, 2, request())
    (message,) = caplog.messages
    assert "6 live shape requests of one browser (10.0.0.1)" in message
    assert "caddy reverse-proxy" in message


def test_requests_that_have_ended_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    queues = BrowserQueues(is_on=True)
    for _ in range(3):
        for leave in enter(queues, MOST_CONNECTIONS - 1, request()):
            leave()
    assert caplog.messages == []


@pytest.mark.parametrize(
    "one",
    [
        request(version="2"),
        request(version=""),
        request({"user-agent": "curl/8"}),
        request({}),
        request({**FIREFOX, "x-forwarded-for": "10.0.0.2"}),
        request({**FIREFOX, "via": "2.0 Caddy"}),
        request(live="false"),
    ],
    ids=["http2", "unknown", "curl", "nameless", "behind a proxy", "behind Caddy", "not live"],
)
def test_who_does_not_queue_is_not_warned_of(
    caplog: pytest.LogCaptureFixture, one: WebRequest
) -> None:
    enter(BrowserQueues(is_on=True), 10, one)
    assert caplog.messages == []


def test_in_production_nothing_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    enter(BrowserQueues(is_on=False), 10, request())
    assert caplog.messages == []


def test_two_browsers_have_two_queues(caplog: pytest.LogCaptureFixture) -> None:
    queues = BrowserQueues(is_on=True)
    with caplog.at_level(logging.WARNING):
        enter(queues, MOST_CONNECTIONS - 1, request())
        enter(queues, MOST_CONNECTIONS - 1, request({"user-agent": "Mozilla/5.0 Chrome"}))
    assert caplog.messages == []
