"""The OpenAPI document is the truth: schemathesis asks what it allows and what it forbids, and checks each answer."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from django_electric.protocol.openapi import document
from tests.fuzz.conftest import MARKER, SECRET
from tests.support.server import ElectricServer

SECONDS = 10.0
OPEN = schemathesis.openapi.from_dict(document(is_open=True))
CLOSED = schemathesis.openapi.from_dict(document())
OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, operations in document()["paths"].items()  # type: ignore[attr-defined]  # an object
    for method in operations
]
CONFORMANCE = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
CARRIED = {
    "date", "server", "content-type", "content-length", "transfer-encoding", "connection",
    "x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-opener-policy",
}  # fmt: skip
"""Headers of the server and of the project's middleware."""
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
EXAMPLES = {"get": 90, "post": 90, "delete": 40, "head": 40, "options": 20}
"""How often each method of the shape's path is asked, others less."""
FEW = 20
SOAKED = 30
"""How many times more often in the long run."""

# What lets a request through, by parameter; None leaves the parameter out.
_SOUND: dict[str, list[str | None]] = {
    "table": ["items", "public.items"],
    "offset": ["-1", "now", "0_0", "0_inf", "1_0"],
    "where": [None, None, "id = 1", "title LIKE 'x%'"],
    "params": [None],
    "columns": [None, "id,title"],
    "queryable_columns": [None, "id,title"],
    "replica": [None, "full"],
    "log": [None, "changes_only"],
    "live": [None, "true"],
    "live_sse": [None, None, None, "true"],
    "experimental_live_sse": [None],
    "experimental_compaction": [None],
    "subset__where": [None, None, None, "id = 1"],
    "subset__params": [None],
    "subset__order_by": [None, None, "id"],
    "subset__limit": [None],
    "subset__offset": [None],
}


@st.composite
def cases(draw: st.DrawFn, operation: Any, handle: str) -> Case:
    """A request that the document allows or forbids; most are sound but for one or two parameters."""
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case: Case = draw(operation.as_strategy(generation_mode=mode))
    if operation.path == "/v1/shape" and draw(st.integers(0, 3)):
        sound: dict[str, list[str | None]] = {**_SOUND, "handle": [handle, handle, "x"]}
        odd = draw(st.sets(st.sampled_from(sorted(sound)), max_size=2))
        for name in sorted(sound.keys() - odd):
            case.query.pop(name, None)
            value = draw(st.sampled_from(sound[name]))
            if value is not None:
                case.query[name] = value
        if isinstance(case.body, dict) and draw(st.booleans()):
            case.body = {key: case.body[key] for key in case.body.keys() & odd}
        elif isinstance(case.body, dict) and draw(st.booleans()):
            case.body = {"subset": case.body}
        if draw(st.integers(0, 4)) == 0:
            case.headers["if-none-match"] = draw(
                st.sampled_from([f'"{handle}:-1:0_0"', f'W/"{handle}:0_0:0_inf"'])
            )
    return case


def _handle(server: ElectricServer, **parameters: str) -> str:
    query = {"table": "items", "offset": "-1", **parameters}
    answer = requests.get(f"{server.url}/v1/shape", params=query, timeout=SECONDS)
    return answer.headers["electric-handle"]


def _times(path: str, method: str, factor: int = 1) -> settings:
    examples = EXAMPLES[method] if path == "/v1/shape" else FEW
    return settings(SETTINGS, max_examples=examples * factor, derandomize=factor == 1)


def _ask(server: ElectricServer, case: Case, **parameters: str) -> requests.Response:
    return case.call(base_url=server.url, params=parameters, timeout=SECONDS)  # type: ignore[return-value]


def _check(case: Case, answer: Any) -> None:
    event(f"{case.method} {answer.status_code}")
    assert answer.status_code < 500, (case.as_curl_command(), answer.content)
    case.validate_response(answer, checks=CONFORMANCE)
    documented = case.operation.definition.raw["responses"][str(answer.status_code)]["headers"]
    unknown = set(answer.headers) - set(documented) - CARRIED
    assert not unknown, (case.as_curl_command(), answer.status_code)


def _try_open(server: ElectricServer, path: str, method: str, how_often: settings) -> None:
    @how_often
    @given(case=cases(OPEN[path][method.upper()], _handle(server)))
    def ask(case: Case) -> None:
        _check(case, _ask(server, case))

    ask()


def _try_closed(server: ElectricServer, path: str, method: str, how_often: settings) -> None:
    @how_often
    @given(
        case=cases(CLOSED[path][method.upper()], _handle(server, secret=SECRET)),
        has_secret=st.booleans(),
    )
    def ask(case: Case, has_secret: bool) -> None:
        for name in ("secret", "api_secret"):
            case.query.pop(name, None)
        answer = _ask(server, case, **({"secret": SECRET} if has_secret else {}))
        _check(case, answer)
        if not has_secret:
            assert MARKER.encode() not in answer.content
            assert answer.status_code == 401 or path != "/v1/shape" or method == "options"

    ask()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_open_server_answers_as_its_document_says(
    open_server: ElectricServer, path: str, method: str
) -> None:
    _try_open(open_server, path, method, _times(path, method))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_closed_server_answers_as_its_document_says_and_shows_no_row_without_the_secret(
    closed_server: ElectricServer, path: str, method: str
) -> None:
    _try_closed(closed_server, path, method, _times(path, method))


@pytest.mark.soak
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_for_long_servers_answer_as_their_document_says(
    open_server: ElectricServer, closed_server: ElectricServer, path: str, method: str
) -> None:
    _try_open(open_server, path, method, _times(path, method, SOAKED))
    _try_closed(closed_server, path, method, _times(path, method, SOAKED))
