"""Tokens of the gatekeeper × everything that one may try with them, on both mounts, against the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from django_electric.tokens import Keyring, Token, TokenShape
from tests.access.conftest import GATEKEEPER_KEYS, Site

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("access")]

MINE = "assignee = 'ann'"


@dataclass(frozen=True)
class Ticket:
    """What the gatekeeper gave out."""

    path: str
    params: dict[str, str]
    authorization: str


def ticket(site: Site, person: str = "ann", name: str = "demo_issue", **body: Any) -> Ticket:
    answer = site.ask(person, f"/gatekeeper/{name}/", method="POST", body=body)
    assert answer.status_code == 200, answer.text
    given = answer.json()
    params = {**given["params"], "columns": ",".join(given["params"]["columns"])}
    return Ticket(httpx.URL(given["url"]).path, params, given["headers"]["Authorization"])


@pytest.fixture(params=["first", "plain"])
def mount(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def use(site: Site, mount: str) -> Callable[..., httpx.Response]:
    """``use(ticket, …)``: a request of nobody with the token; a parameter that is None is left out."""

    def ask(
        given: Ticket, path: str | None = None, *, method: str = "GET", body: Any = None,
        authorization: str | None = None, **changes: str | None,
    ) -> httpx.Response:  # fmt: skip
        params = {"offset": "-1", **given.params, **changes}
        return httpx.request(
            method,
            f"{site.mounts[mount]}{path or given.path}",
            params={name: value for name, value in params.items() if value is not None},
            headers={"authorization": authorization or given.authorization},
            json=body,
            timeout=30,
        )

    return ask


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return [message["value"] for message in answer.json() if "value" in message]


def ids(site: Site, table: str, where: str) -> set[str]:
    return {str(row[0]) for row in site.server.query(f"SELECT id FROM {table} WHERE {where}")}


def test_it_opens_the_rows_of_its_user_and_no_other(site: Site, use: Any) -> None:
    given = ticket(site)
    rows = rows_of(use(given))
    assert {row["id"] for row in rows} == ids(site, "demo_issue", MINE)
    assert all("position" not in row for row in rows)


def test_what_narrows_it_is_in_it(site: Site, use: Any) -> None:
    given = ticket(site, where="status = $1 OR true", params={"1": "done"}, columns=["id", "title"])
    rows = rows_of(use(given))
    assert {row["id"] for row in rows} == ids(site, "demo_issue", MINE)
    assert {frozenset(row) for row in rows} == {frozenset(("id", "title"))}
    given = ticket(site, where="id % 2 = 0 AND title LIKE '%1%'")
    assert {row["id"] for row in rows_of(use(given))} == ids(
        site, "demo_issue", f"{MINE} AND id % 2 = 0 AND title LIKE '%1%'"
    )


def test_what_only_postgres_understands_goes_into_it_too(site: Site, use: Any) -> None:
    narrowing = "to_tsvector('simple', title) @@ to_tsquery('simple', 'ann')"
    given = ticket(site, where=narrowing)
    assert {row["id"] for row in rows_of(use(given))} == ids(site, "demo_issue", MINE)


def test_a_declared_shape(site: Site, use: Any) -> None:
    given = ticket(site, name="my-issues")
    assert given.path == "/shapes/my-issues"
    for path in ("/shapes/my-issues/", "/shapes//my-issues", "//shapes/my-issues/"):
        rows = rows_of(use(given, path))
        assert {row["id"] for row in rows} == ids(
            site, "demo_issue", f"{MINE} AND status NOT IN ('done', 'canceled')"
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"where": "true"},
        {"where": None},
        {"where": "\"assignee\" = 'bob'::text"},
        {"columns": None},
        {"columns": "id,position"},
        {"columns": "id"},
        {"table": "demo_project"},
        {"table": "auth_user", "where": None, "columns": None},
        {"params[1]": "bob"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/v1/shape", "/v1//shape/", "//v1/shape"])
def test_another_shape_is_refused(
    site: Site, use: Any, changes: dict[str, str | None], path: str
) -> None:
    answer = use(ticket(site), path, **changes)
    assert answer.status_code == 403, answer.text
    assert "bob" not in answer.text


@pytest.mark.parametrize(
    "path", ["/shapes/my-issues/", "/shapes/board/", "/shapes/granted-projects/"]
)
def test_another_endpoint_is_refused(site: Site, use: Any, path: str) -> None:
    assert use(ticket(site), path).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"where": "true", "subset": {}},
        {"columns": ["id", "position"], "subset": {}},
        {"table": "auth_user"},
        {"params": {"1": "bob"}, "where": "assignee = $1", "subset": {}},
    ],
    ids=str,
)
def test_a_body_smuggles_nothing_in(site: Site, use: Any, body: dict[str, Any]) -> None:
    assert use(ticket(site), method="POST", body=body).status_code == 403


@pytest.mark.parametrize(
    ("subset", "status"),
    [
        ({"where": "true OR id > 0"}, 200),
        ({"where": "position > 0"}, 400),
        ({"order_by": "position", "limit": 3}, 400),
        ({"where": "1=1) OR (1=1"}, 400),
    ],
    ids=str,
)
def test_parts_of_it_are_parts_of_it(
    site: Site, use: Any, subset: dict[str, Any], status: int
) -> None:
    answer = use(ticket(site), method="POST", body=subset)
    assert answer.status_code == status, answer.text
    if status == 200:
        found = {row["value"]["id"] for row in answer.json()["data"]}
        assert found == ids(site, "demo_issue", MINE)


def test_a_handle_of_another_users_shape_is_told_the_own_one(site: Site, use: Any) -> None:
    mine, theirs = ticket(site), ticket(site, "bob")
    handle = use(theirs).headers["electric-handle"]
    for place in ({"offset": "0_0"}, {"offset": "0_inf", "live": "true"}):
        answer = use(mine, handle=handle, **place)
        assert answer.status_code == 409
        assert answer.headers["electric-handle"] == use(mine).headers["electric-handle"]
        assert json.loads(answer.text) == [{"headers": {"control": "must-refetch"}}]


def test_tokens_of_others_and_old_ones_are_refused(site: Site, use: Any) -> None:
    given = ticket(site)
    shape = TokenShape(
        given.params["table"],
        given.params["where"],
        columns=tuple(given.params["columns"].split(",")),
    )
    # Not ann: she may have been revoked a moment ago.
    somebody = "auth.User:0"
    good = Token(shape, somebody, time.time() - 10, time.time() + 60)
    expired = Token(shape, somebody, time.time() - 100, time.time() - 10)
    stream = site.server.stream_id
    new, old = GATEKEEPER_KEYS
    for keys, audience, token, message in (
        ((new,), stream, expired, "The token has expired"),
        (("f" * 60,), stream, good, "The token is not valid"),
        ((new,), "another", good, "The token is not valid"),
    ):
        text = Keyring(keys, audience).sign(token)
        for path in (given.path, "/shapes/my-issues/"):
            answer = use(given, path, authorization=f"Bearer {text}")
            assert (answer.status_code, answer.json()["message"]) == (401, message)
            assert answer.headers["www-authenticate"].startswith("Bearer ")
    answer = use(given, authorization="Bearer " + Keyring((old,), stream).sign(good))
    assert {row["id"] for row in rows_of(answer)} == ids(site, "demo_issue", MINE)


@pytest.mark.parametrize(
    ("person", "status"), [("nobody", 401), ("eve", 200), ("bob", 200), ("staff", 200)]
)
def test_who_asks_the_gatekeeper_is_who_may_read(
    site: Site, use: Any, person: str, status: int
) -> None:
    answer = site.ask(person, "/gatekeeper/demo_issue/", method="POST", body={})
    assert answer.status_code == status
    for name in ("auth_user", "django_session"):
        refused = site.ask(person, f"/gatekeeper/{name}/", method="POST", body={})
        assert refused.status_code == (401 if person == "nobody" else 403)
    if status == 200:
        rows = rows_of(use(ticket(site, person)))
        own = "true" if person == "staff" else f"assignee = '{person}'"
        assert {row["id"] for row in rows} == ids(site, "demo_issue", own)


def test_a_session_has_to_mean_it(site: Site) -> None:
    cookies = {"sessionid": site.sessions["ann"]}
    answer = httpx.post(f"{site.server.url}/gatekeeper/demo_issue/", cookies=cookies)
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["message"]


class TestCheck:
    """What a proxy asks, and is told to ask for."""

    def check(
        self, site: Site, given: Ticket, uri: str | None = None, **headers: str
    ) -> httpx.Response:
        asked = uri if uri is not None else f"{given.path}?{httpx.QueryParams(given.params)}"
        said = {
            "x-forwarded-uri": asked,
            "x-forwarded-method": "GET",
            "authorization": given.authorization,
            **headers,
        }
        return httpx.get(f"{site.server.url}/gatekeeper/check", headers=said, timeout=30)

    def test_the_tokens_words_and_the_clients_place(self, site: Site) -> None:
        given = ticket(site, columns=["id"])
        query = f"{httpx.QueryParams(given.params)}&offset=-1&secret=x&params[1]=&subset__limit=1"
        answer = self.check(site, given, f"{given.path}?{query}")
        assert answer.status_code == 403, "a parameter that is not the token's"
        query = query.replace("&params[1]=", "&queryable_columns=position")
        answer = self.check(site, given, f"{given.path}?{query}")
        assert answer.status_code == 204
        uri = httpx.URL(answer.headers["x-electric-uri"])
        assert uri.path == "/v1/shape"
        assert dict(uri.params) == {
            **given.params,
            "offset": "-1",
            "subset__limit": "1",
            "queryable_columns": "id",
        }

    @pytest.mark.parametrize("path", ["/v1//shape/", "//v1/shape", "/v1/%73hape"])
    def test_paths_are_those_of_the_project(self, site: Site, path: str) -> None:
        given = ticket(site)
        uri = f"{path}?{httpx.QueryParams(given.params)}"
        assert self.check(site, given, uri).status_code == 204

    def test_a_declared_shape_is_asked_for_by_its_definition(self, site: Site) -> None:
        answer = self.check(site, ticket(site, name="my-issues"))
        assert answer.status_code == 204
        assert answer.headers["x-electric-uri"].startswith("/v1/shape?table=public.demo_issue&")

    @pytest.mark.parametrize("method", ["POST", "DELETE", "", "get"])
    def test_what_has_a_body_cannot_be_checked(self, site: Site, method: str) -> None:
        answer = self.check(site, ticket(site), **{"x-forwarded-method": method})
        assert answer.status_code == 403

    @pytest.mark.parametrize(
        "uri",
        ["", "/", "/v1/health", "/admin/", "/class/", "/v1/shape", "/v1/shape?table=a.b.c", "//["],
    )
    def test_other_paths_and_what_names_no_shape(self, site: Site, uri: str) -> None:
        assert self.check(site, ticket(site), uri).status_code == 403

    def test_who_has_no_token(self, site: Site) -> None:
        assert self.check(site, ticket(site), authorization="").status_code == 401
        assert self.check(site, ticket(site), authorization="Bearer x").status_code == 401
