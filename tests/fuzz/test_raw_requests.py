"""Bytes that no client sends: always an answer, in time, never 500, and never a row without the secret."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, event, given, settings

from tests.fuzz.conftest import MARKER
from tests.fuzz.raw import RawRequest, exchange, raw_requests
from tests.support.server import ElectricServer

SECONDS = 10.0
FEW = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@FEW
@given(request_=raw_requests())
def test_whoever_is_served_always_gets_an_answer(
    open_server: ElectricServer, request_: RawRequest
) -> None:
    answer = exchange(open_server.port, request_, SECONDS)
    event(f"{answer.status}")
    assert answer.status < 500, (request_, answer, open_server.logs()[-3000:])


@FEW
@given(request_=raw_requests())
def test_nobody_sees_a_row_without_the_secret(
    closed_server: ElectricServer, request_: RawRequest
) -> None:
    answer = exchange(closed_server.port, request_, SECONDS)
    event(f"{answer.status}")
    assert answer.status < 500, (request_, answer, closed_server.logs()[-3000:])
    assert MARKER.encode() not in answer.body
