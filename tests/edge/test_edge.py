"""A token that is checked before the server: the same decisions, whoever takes them, and never a row too many."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import httpx
import httpx_sse
import pytest

from django_electric.tokens import Keyring, Token, TokenShape
from tests.edge.conftest import OLD_KEY, PRIVATE, SECRET, Guarded

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.xdist_group("edge")]

MINE = "assignee = 'ann'"


def ask(
    gate: str, given: dict[str, Any], path: str | None = None, **changes: Any
) -> httpx.Response:
    """With the token; a parameter that is None is left out, one that is a list is there twice."""
    headers = {**given["headers"], **changes.pop("headers", {})}
    method = changes.pop("method", "GET")
    params = {"offset": "-1", **given["params"], **changes}
    query = urlencode({k: v for k, v in params.items() if v is not None}, doseq=True)
    where = path or httpx.URL(given["url"]).path
    return httpx.request(method, f"{gate}{where}?{query}", headers=headers, timeout=40)


def ids(guarded: Guarded, where: str) -> set[str]:
    return {str(row[0]) for row in guarded.server.query(f"SELECT id FROM demo_issue WHERE {where}")}


def found(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {message["value"]["id"] for message in answer.json() if "value" in message}


def test_rows_come_through_for_whoever_has_the_token(gate: str, guarded: Guarded) -> None:
    answer = ask(gate, guarded.ticket())
    assert found(answer) == ids(guarded, MINE)
    assert answer.headers.get_list("cache-control") == ["private, no-cache"]
    assert "authorization" in answer.headers["vary"].lower()
    assert "electric-handle" in answer.headers


def test_narrowed_and_declared_shapes_too(gate: str, guarded: Guarded) -> None:
    given = guarded.ticket(where="id % 2 = 0 AND title <> 'a&b=\"c\" + %'", columns=["id", "title"])
    assert found(ask(gate, given)) == ids(guarded, f"{MINE} AND id % 2 = 0")
    given = guarded.ticket("my-issues")
    assert found(ask(gate, given)) == ids(guarded, f"{MINE} AND status NOT IN ('done', 'canceled')")
    assert found(ask(gate, given, table=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"where": "true"},
        {"where": None},
        {"where": ["true", "true"]},
        {"columns": "id"},
        {"columns": None},
        {"table": "demo_project"},
        {"params[1]": "x"},
        {"path": "/shapes/my-issues/"},
        {"path": "/shapes/board/"},
    ],
    ids=str,
)
def test_another_shape_is_refused(gate: str, guarded: Guarded, changes: dict[str, Any]) -> None:
    assert ask(gate, guarded.ticket(), **changes).status_code == 403


def test_the_same_word_twice_is_one_word_too_many_or_the_tokens(
    gate: str, guarded: Guarded
) -> None:
    """Whichever of the two is looked at, it is not the other one that is answered."""
    given = guarded.ticket()
    for twice in (["true", given["params"]["where"]], [given["params"]["where"], "true"]):
        answer = ask(gate, given, where=twice)
        assert answer.status_code == 403 or found(answer) == ids(guarded, MINE)


def test_tokens_that_are_not_good(gate: str, guarded: Guarded) -> None:
    given = guarded.ticket()
    columns = tuple(given["params"]["columns"].split(","))
    shape = TokenShape(given["params"]["table"], given["params"]["where"], columns=columns)
    good = Token(shape, "auth.User:1", time.time() - 100, time.time() + 60)
    expired = Token(shape, "auth.User:1", time.time() - 100, time.time() - 10)
    stream = guarded.server.stream_id
    for keys, audience, token, status in (
        ((PRIVATE,), stream, good, 200),
        ((OLD_KEY,), stream, good, 200),
        ((PRIVATE,), stream, expired, 401),
        (("f" * 60,), stream, good, 401),
        ((PRIVATE,), "another", good, 401),
    ):
        text = Keyring(keys, audience).sign(token)
        answer = ask(gate, given, headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == status, answer.text
    for header in ("", "Bearer", "Bearer x.y.z", "Basic abc", f"Bearer {text[:-9]}"):
        assert ask(gate, given, headers={"Authorization": header}).status_code == 401


def test_what_only_the_gate_says_cannot_be_said_by_a_client(gate: str, guarded: Guarded) -> None:
    given = guarded.ticket()
    everything = "table=demo_issue&offset=-1"
    smuggled = {
        "X-Electric-Uri": f"/v1/shape?{everything}",
        "X-Forwarded-Uri": f"/v1/shape?{everything}",
        "X-Forwarded-Method": "GET",
    }
    assert found(ask(gate, given, headers=smuggled)) == ids(guarded, MINE)
    assert ask(gate, given, headers={**smuggled, "Authorization": ""}).status_code == 401
    assert ask(gate, given, where="true", headers=smuggled).status_code == 403
    assert found(ask(gate, given, secret="wrong", api_secret="wrong")) == ids(guarded, MINE)


def test_the_secret_stays_behind_the_gate(gate: str, guarded: Guarded) -> None:
    answer = ask(gate, guarded.ticket())
    assert SECRET not in str(answer.headers)
    assert SECRET not in answer.text


def test_bodies_are_not_let_through(gate: str, guarded: Guarded) -> None:
    assert ask(gate, guarded.ticket(), method="POST").status_code in (403, 405)
    assert ask(gate, guarded.ticket(), method="DELETE").status_code in (403, 405)


def test_parts_are_parts_of_the_shape_and_of_its_columns(gate: str, guarded: Guarded) -> None:
    given = guarded.ticket()
    answer = ask(gate, given, subset__where="true OR id > 0")
    assert {row["value"]["id"] for row in answer.json()["data"]} == ids(guarded, MINE)
    assert ask(gate, given, subset__where="position > 0").status_code == 400
    assert ask(gate, given, queryable_columns="position").status_code == 200


def test_news_come_through_as_they_come(gate: str, guarded: Guarded) -> None:
    given = guarded.ticket()
    first = ask(gate, given)
    place = {"handle": first.headers["electric-handle"], "offset": first.headers["electric-offset"]}
    while "electric-up-to-date" not in first.headers:
        first = ask(gate, given, **place)
        place["offset"] = first.headers["electric-offset"]
    query = {**given["params"], **place, "live": "true", "live_sse": "true"}
    with (
        httpx.Client(timeout=20) as client,
        httpx_sse.connect_sse(
            client,
            "GET",
            f"{gate}{httpx.URL(given['url']).path}",
            params=query,
            headers=given["headers"],
        ) as source,
    ):
        events = source.iter_sse()
        for title in ("one", "two"):
            guarded.server.sql(f"UPDATE demo_issue SET title = '{title}' WHERE id = 1")
            assert f'"title":"{title}"' in next(events).data
            assert "up-to-date" in next(events).data
    answer = ask(gate, given, **place, live="true")
    assert answer.status_code == 200
    assert "two" in answer.text
