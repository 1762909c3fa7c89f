"""Every way to a shape × everybody × everything that one may try: never a row or a column too many.

What somebody may read is said here in SQL and asked of the database; none of our code is in the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.access.conftest import SECRET, Site

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("access")]

NOBODY, ANN, BOB, EVE, STAFF, ROOT = "nobody", "ann", "bob", "eve", "staff", "root"
PEOPLE = (NOBODY, ANN, BOB, EVE, STAFF, ROOT)
ISSUE = "id project_id title description status priority assignee created updated"
OWN = {ANN: "assignee = 'ann'", BOB: "assignee = 'bob'", EVE: "false"}
BOSSES = (STAFF, ROOT)
ALL = dict.fromkeys(BOSSES, "true")
_OPEN = "status NOT IN ('done', 'canceled')"
OPEN = {person: f"{rows} AND {_OPEN}" for person, rows in OWN.items()}


@dataclass(frozen=True)
class Endpoint:
    """A path, and in SQL which rows of which table each person may read there; all others are refused."""

    path: str
    table: str
    rows: Mapping[str, str]
    columns: str
    text: str = "title"
    """A column of the table that holds words of the person whose row it is."""
    refusal: int = 401
    """What nobody hears."""

    def allowed(self, person: str) -> str | None:
        return self.rows.get(person)


ENDPOINTS = {
    "table": Endpoint("/v1/shape?table=demo_issue", "demo_issue", OWN, ISSUE),
    "table of staff": Endpoint(
        "/v1/shape?table=demo_issue", "demo_issue", ALL, f"{ISSUE} position"
    ),
    "table by permission": Endpoint(
        "/v1/shape?table=demo_comment", "demo_comment", {ROOT: "true"}, "id issue_id author body created", "author"
    ),
    "table without policy": Endpoint("/v1/shape?table=auth_user", "auth_user", {}, "", "username"),
    "declared": Endpoint(
        "/shapes/my-issues/", "demo_issue", {**OPEN, **dict.fromkeys(BOSSES, _OPEN)}, "id project_id title status priority"
    ),
    "decorated": Endpoint(
        "/decorated/", "demo_issue", {**OPEN, **dict.fromkeys(BOSSES, _OPEN)}, "id project_id title status priority", refusal=302
    ),
    "public": Endpoint(
        "/shapes/board/", "demo_project", dict.fromkeys(PEOPLE, "true"), "id name key color", "name"
    ),
    "guardian": Endpoint(
        "/shapes/granted-projects/", "demo_project", {ANN: "key = 'P1'", **dict.fromkeys((BOB, EVE, STAFF), "false"), ROOT: "true"},
        "id name key color description created", "name",
    ),
    "rules": Endpoint(
        "/shapes/written-comments/", "demo_comment",
        {ANN: "author = 'ann'", BOB: "author = 'bob'", EVE: "false", STAFF: "false", ROOT: "true"}, "id author body", "body",
    ),
    "class": Endpoint("/class/", "demo_issue", {**OWN, **ALL}, "id title status", refusal=403),
    "permitted": Endpoint("/permitted/", "demo_issue", {**OWN, **ALL}, "id title status"),
    "computed": Endpoint(
        "/computed/", "demo_issue", {**OWN, **ALL}, "id title status", refusal=302
    ),
    "drf": Endpoint(
        "/drf/issues/shape/", "demo_issue", {**OWN, **ALL}, "id title status", refusal=403
    ),
    "ninja": Endpoint("/ninja/issues/shape", "demo_issue", {**OWN, **ALL}, "id title status"),
}  # fmt: skip


@dataclass(frozen=True)
class Try:
    """Something to say to an endpoint, and the statuses of which one answers it."""

    query: Mapping[str, str]
    statuses: tuple[int, ...] = (200,)
    method: str = "GET"
    body: Any = None


def tries(endpoint: Endpoint, foreign: int, theirs: str) -> Iterator[Try]:
    """*foreign* is the id of a row that may not be read, *theirs* the handle of another shape."""
    text = endpoint.text
    broken = f"CASE WHEN id = {foreign} THEN {text}::int4 ELSE 1 END = 1"
    # More rows, by the condition.
    for where in (
        "true",
        "true OR id > 0",
        f"id = {foreign} OR true",
        "true --",
        "true /*) OR (*/",
    ):
        yield Try({"where": where})
    for where in ("1=1) OR (1=1", "true) --", "true; SELECT 1", "id IN (SELECT id FROM auth_user)"):
        yield Try({"where": where}, (400,))
    yield Try({"where": f"id = {foreign}"})
    yield Try({"where": "id > $1", "params[1]": "-1"})
    yield Try({"where": f"{text} = $1", "params[1]": "x') OR ('1' = '1"})
    yield Try({"params[1]": "bob", "params[2]": "true"})
    # What a condition says of rows and columns that may not be read.
    for where in (f"1 / (id - {foreign}) <> 77", broken):
        yield Try({"where": where})
        yield Try({"offset": "now", "subset__where": where})
    yield Try({"where": "password > 'm'"}, (400,))
    yield Try({"subset__where": "password > 'm'"}, (400,))
    yield Try({"subset__order_by": "password", "subset__limit": "1"}, (400,))
    yield Try({"where": f"{endpoint.table}::text LIKE '%x%'"}, (400,))
    # More columns.
    yield Try({"columns": "id,password"}, (400,))
    yield Try({"columns": "id", "queryable_columns": "id,password"}, (400,))
    yield Try({"queryable_columns": "id", "replica": "full"})
    # Another table.
    yield Try({"table": "auth_user"}, (400, 403))
    yield Try({"table": "auth_user", "columns": "id,username"}, (400, 403))
    # Another shape's handle.
    for place in ({"offset": "0_0"}, {"offset": "0_inf", "live": "true"}):
        yield Try({"handle": theirs, **place}, (409,))
    yield Try({"handle": theirs})
    # Parts of the shape.
    yield Try({"subset__where": "true OR id > 0"})
    yield Try({"subset__where": "1=1) OR (1=1"}, (400,))
    yield Try({"log": "changes_only"})
    yield from _posts(foreign)
    yield Try({"handle": theirs}, (405,), "DELETE")
    yield Try({"secret": "wrong"})


def _posts(foreign: int) -> Iterator[Try]:
    """What a body may smuggle in."""
    for body, expected in (
        ({"where": f"id = {foreign} OR true"}, 200),
        ({"where": "id > $1", "params": {"1": "-1"}, "limit": 5, "order_by": "id"}, 200),
        ({"where": "password = 'x'"}, 400),
        ({"where": "1=1) OR (1=1"}, 400),
        ({"table": "auth_user"}, 400),
        ({"columns": "id,password"}, 400),
        ({"subset": {"where": "true"}, "where": "true"}, 200),
        ({"subset": {}, "where": "1=1) OR (1=1"}, 400),
        ({"access": {"where": "true"}, "user": "root", "secret": SECRET}, 200),
    ):
        # The table-named endpoint asks first whether there is a policy.
        yield Try({}, (expected, 403) if "table" in body else (expected,), "POST", body)


def hidden(endpoint: Endpoint) -> tuple[str, ...]:
    return (
        ("position",)
        if endpoint.table == "demo_issue" and "position" not in endpoint.columns
        else ()
    )


def rows_of(answer: httpx.Response) -> list[dict[str, Any]]:
    if answer.status_code != 200 or not answer.content:
        return []
    messages = answer.json()
    return [m for m in (messages["data"] if isinstance(messages, dict) else messages) if "key" in m]


class Reader:
    """What a person may read at an endpoint, as the database has it, and answers held against that."""

    def __init__(self, site: Site, endpoint: Endpoint, person: str) -> None:
        self.site, self.endpoint, self.person = site, endpoint, person
        condition = endpoint.allowed(person)
        self.is_refused = condition is None
        query = f"SELECT id FROM {endpoint.table} WHERE {condition or 'false'}"
        self.ids = {str(key) for (key,) in site.server.query(query)}
        every = site.server.query(f"SELECT id FROM {endpoint.table} ORDER BY id")
        others = [int(str(key)) for (key,) in every if str(key) not in self.ids]
        self.foreign = others[0] if others else 10**6
        self.columns = set(endpoint.columns.split())

    def check(self, answer: httpx.Response, what: object) -> None:
        """No row and no column too many."""
        assert answer.status_code < 500, (what, answer.text)
        for row in rows_of(answer):
            assert row["headers"]["relation"] == ["public", self.endpoint.table], what
            assert row["key"].rpartition('/"')[2].rstrip('"') in self.ids, (what, row)
            assert set(row["value"]) <= self.columns, (what, row)
        schema = answer.headers.get("electric-schema", "{}")
        for name in ("password", *hidden(self.endpoint)):
            assert f'"{name}"' not in schema, what


@pytest.fixture(scope="module")
def foreign_handle(site: Site) -> str:
    """The handle of a shape that only holders of the secret may read."""
    answer = site.ask(NOBODY, "/v1/shape?table=auth_user", secret=SECRET)
    assert answer.status_code == 200
    return answer.headers["electric-handle"]


def _everybody() -> Iterator[tuple[str, str]]:
    """Of the path that serves bosses other columns, each is asked about the people that it is about."""
    for name in ENDPOINTS:
        for person in PEOPLE:
            is_boss = person in BOSSES
            if (name != "table" or not is_boss) and (name != "table of staff" or is_boss):
                yield name, person


@pytest.mark.parametrize(("name", "person"), list(_everybody()))
def test_nobody_reads_more_than_the_rule_says(
    site: Site, foreign_handle: str, name: str, person: str
) -> None:
    endpoint = ENDPOINTS[name]
    reader = Reader(site, endpoint, person)
    if reader.is_refused:
        expected = endpoint.refusal if person == NOBODY else None
        _all_is_refused(reader, foreign_handle, expected)
        return
    _all_is_read(reader)
    if person in (ANN, STAFF):
        _nothing_else_is_read(reader, foreign_handle)


def _all_is_read(reader: Reader) -> None:
    for mount in reader.site.mounts:
        answer, messages = reader.site.read(reader.person, reader.endpoint.path, mount=mount)
        assert answer.status_code == 200, answer.text
        rows = _as_a_client_has_them(messages)
        assert {row["id"] for row in rows} == reader.ids
        assert {frozenset(row) for row in rows} <= {frozenset(reader.columns)}
        is_public = reader.endpoint.path == "/shapes/board/"
        assert answer.headers["cache-control"].startswith("public" if is_public else "private")


def _as_a_client_has_them(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for message in messages:
        if message["headers"].get("operation") == "delete":
            del rows[message["key"]]
        elif "key" in message:
            rows.setdefault(message["key"], {}).update(message["value"])
    return list(rows.values())


def _nothing_else_is_read(reader: Reader, foreign_handle: str) -> None:
    endpoint = reader.endpoint
    for number, one in enumerate(tries(endpoint, reader.foreign, foreign_handle)):
        mount = ("first", "plain")[number % 2]
        answer = reader.site.ask(
            reader.person, endpoint.path, mount=mount, method=one.method, body=one.body, **one.query
        )
        assert answer.status_code in one.statuses, (one, answer.status_code, answer.text)
        reader.check(answer, one)
    for name in hidden(endpoint):
        for query in (
            {"where": f"{name} > 3"},
            {"columns": f"id,{name}"},
            {"subset__where": f"{name} > 3"},
        ):
            answer = reader.site.ask(reader.person, endpoint.path, **query)
            assert answer.status_code == 400, query


def _all_is_refused(reader: Reader, foreign_handle: str, expected: int | None) -> None:
    statuses = (400, 401, 403) if expected is None else (expected,)
    for number, one in enumerate([Try({}), *tries(reader.endpoint, 1, foreign_handle)]):
        mount = ("first", "plain")[number % 2]
        answer = reader.site.ask(
            reader.person,
            reader.endpoint.path,
            mount=mount,
            method=one.method,
            body=one.body,
            **one.query,
        )
        # A view says first that it knows no such method.
        allowed = (*statuses, 405) if one.method == "DELETE" else statuses
        assert answer.status_code in allowed, (one, answer.status_code, answer.text)
        assert not rows_of(answer)


@pytest.mark.parametrize(
    "path",
    [
        "//v1//shape//?table=demo_issue",
        "/v1/%73hape?table=demo_issue",
        "/v1/shape/?table=demo_issue&table=auth_user",
        "/v1/shape?table=auth_user&table=demo_issue",
        "/v1/shape?table[]=auth_user",
        "/v1/shape?table=public.auth_user",
        '/v1/shape?table="auth_user"',
        "/v1/shape?table=django_electric_shape",
        "/v1/shape?table=pg_catalog.pg_authid",
        "/v1/shape;x=1?table=auth_user",
        "/shapes//my-issues//",
        "/shapes/my-issues/../../v1/shape?table=auth_user",
        "/shapes/my%2Dissues/",
        "/shapes/My-Issues/",
        "/shapes/my_issues/",
        "/shapes/..%2Fv1%2Fshape?table=auth_user",
        "/v1/shapes/my-issues/",
    ],
)
@pytest.mark.parametrize("person", [NOBODY, ANN])
def test_no_spelling_of_a_path_gets_around_the_rule(site: Site, person: str, path: str) -> None:
    mine = {
        str(key) for (key,) in site.server.query("SELECT id FROM demo_issue WHERE assignee = 'ann'")
    }
    for mount in site.mounts:
        answer = site.ask(person, path, mount=mount)
        assert answer.status_code in (200, 400, 401, 403, 404)
        rows = rows_of(answer)
        assert all(row["headers"]["relation"] == ["public", "demo_issue"] for row in rows)
        assert {row["value"]["id"] for row in rows} <= (mine if person == ANN else set())


class TestGrants:
    """What `shapes_first` remembers is remembered for whoever it was given to."""

    def test_another_cookie_is_another_grant(self, site: Site) -> None:
        path = "/v1/shape?table=demo_issue"
        for _ in range(2):
            found = {
                person: site.read(person, path)[0].headers.get("electric-handle")
                for person in (ANN, BOB, STAFF, NOBODY)
            }
        assert len(set(found.values())) == 4
        assert found[NOBODY] is None

    def test_the_secret_of_one_request_is_not_that_of_the_next(self, site: Site) -> None:
        path = "/v1/shape?table=auth_user"
        assert site.ask(NOBODY, path, secret=SECRET).status_code == 200
        assert site.ask(NOBODY, path).status_code == 401
        assert site.ask(ANN, path).status_code == 403


def test_users_of_the_same_rows_share_a_shape(site: Site) -> None:
    staff = site.ask(STAFF, "/class/").headers["electric-handle"]
    assert site.ask(STAFF, "/permitted/", mount="plain").headers["electric-handle"] == staff
    assert site.ask(STAFF, "/ninja/issues/shape").headers["electric-handle"] == staff
    assert site.ask(ANN, "/class/").headers["electric-handle"] != staff


def test_what_an_error_says_holds_no_row_of_others(site: Site) -> None:
    """Postgres puts the value that it cannot read into its message."""
    (theirs,) = site.server.query("SELECT id, title FROM demo_issue WHERE assignee = 'bob' LIMIT 1")
    broken = f"CASE WHEN id = {theirs[0]} THEN title::int4 ELSE 1 END = 1"
    for query in ({"where": broken}, {"subset__where": broken}):
        answer = site.ask(ANN, "/class/", **query)
        assert answer.status_code == 200
        assert str(theirs[1]) not in answer.text
        answer = site.ask(BOB, "/class/", **query)
        assert answer.status_code == 400
        # It may have been the rule's own condition that fails: nobody is told on what row.
        assert str(theirs[1]) not in answer.text
    assert str(theirs[1]) in site.server.logs()


def test_a_change_of_the_owner_moves_a_row_from_one_to_the_other(site: Site) -> None:
    """Live: who loses a row hears a delete, and nothing of what it became."""
    path = "/v1/shape?table=demo_issue"
    places = {}
    for person in (ANN, BOB):
        answer, _ = site.read(person, path)
        places[person] = {
            "offset": answer.headers["electric-offset"],
            "handle": answer.headers["electric-handle"],
        }
    (row,) = site.server.query("SELECT id FROM demo_issue WHERE assignee = 'ann' LIMIT 1")
    site.server.sql(
        f"UPDATE demo_issue SET assignee = 'bob', description = 'new words' WHERE id = {row[0]}"
    )
    heard = {
        person: [m for m in site.ask(person, path, live="true", **place).json() if "key" in m]
        for person, place in places.items()
    }
    site.server.sql(f"UPDATE demo_issue SET assignee = 'ann' WHERE id = {row[0]}")
    assert [m["headers"]["operation"] for m in heard[ANN]] == ["delete"]
    assert "new words" not in str(heard[ANN])
    assert [m["headers"]["operation"] for m in heard[BOB]] == ["insert"]
    assert "position" not in heard[BOB][0]["value"]
