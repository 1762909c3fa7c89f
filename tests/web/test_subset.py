"""Subset snapshots against a running server (PROTOCOL section 11.1): which rows, and which refusals."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.oracle.clauses import condition
from tests.oracle.tables import ISSUES
from tests.support.server import ElectricServer

ROWS = 80
MOODS = ("sad", "ok", "happy")


class Client:
    """Asks for subsets of one table's shapes."""

    def __init__(self, server: ElectricServer, table: str) -> None:
        self.server = server
        self.table = table
        self.http = httpx.Client(base_url=server.url, timeout=30)

    def get(self, subset: dict[str, str] | None = None, **shape: str) -> httpx.Response:
        members = {f"subset__{name}": value for name, value in (subset or {"where": ""}).items()}
        query = {"table": self.table, "offset": "-1", "log": "changes_only", **shape, **members}
        return self.http.get("/v1/shape", params=query)

    def post(self, body: dict[str, Any], **shape: str) -> httpx.Response:
        query = {"table": self.table, "offset": "-1", "log": "changes_only", **shape}
        return self.http.post("/v1/shape", params=query, json=body)

    def rows(self, subset: dict[str, str] | None = None, **shape: str) -> list[dict[str, Any]]:
        answer = self.get(subset, **shape)
        assert answer.status_code == 200, answer.text
        return [row["value"] for row in answer.json()["data"]]

    def ids(self, subset: dict[str, str] | None = None, **shape: str) -> list[int]:
        return [int(row["id"]) for row in self.rows(subset, **shape)]

    def select(self, clauses: str) -> list[int]:
        """The ids that Postgres finds."""
        return [int(str(i)) for (i,) in self.server.query(f"SELECT id FROM {self.table} {clauses}")]


@pytest.fixture(scope="module")
def client(server: ElectricServer) -> Iterator[Client]:
    """A table of the oracle's, with an enum and a tenant, and rows that never change."""
    name = f"subset_{uuid.uuid4().hex[:8]}"
    chance = random.Random(7)
    columns = [c for c in ISSUES.columns if c.name != "id"]
    names = ", ".join(["id", *(c.name for c in columns), "mood", "tenant"])
    places = ", ".join(
        ["%s", *(f"%s::{c.sql_type}" for c in columns), f"%s::mood_{name}", "%s::int"]
    )
    with server.connect() as connection:
        connection.execute(f"CREATE TYPE mood_{name} AS ENUM {MOODS}")
        connection.execute(ISSUES.create(name))
        connection.execute(f"ALTER TABLE {name} ADD mood mood_{name}, ADD tenant int NOT NULL")
        values = [
            [
                n,
                *(chance.choice(c.pool if "NOT NULL" not in c.constraint else c.literals) for c in columns),
                chance.choice((*MOODS, None)),
                1 + n % 2,
            ]
            for n in range(1, ROWS + 1)
        ]  # fmt: skip
        connection.cursor().executemany(f"INSERT INTO {name} ({names}) VALUES ({places})", values)
    client = Client(server, name)
    assert len(client.ids()) == ROWS
    yield client
    client.http.close()


# --- Rows -----------------------------------------------------------------------------------------


QUICK = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_ORDERS = ("id DESC", "n, id", "title DESC NULLS LAST, id", "price NULLS FIRST, id DESC", "mood DESC, id",
           "score, id", "uid DESC, made, id")  # fmt: skip


@QUICK
@given(st.data())
def test_the_rows_are_those_that_postgres_selects(client: Client, data: st.DataObject) -> None:
    params: list[str] = []
    where = data.draw(condition(ISSUES, params))
    order_by = data.draw(st.sampled_from(_ORDERS))
    limit = data.draw(st.none() | st.integers(1, 30))
    offset = data.draw(st.none() | st.integers(0, 30))
    values = {str(n): value for n, value in enumerate(params, 1)}
    members: dict[str, Any] = {"where": where, "order_by": order_by, "params": values}
    clauses = f"WHERE {_spliced(where, values)} ORDER BY {order_by}"
    if limit is not None:
        members["limit"] = limit
        clauses += f" LIMIT {limit}"
    if offset is not None:
        members["offset"] = offset
        clauses += f" OFFSET {offset}"
    expected = client.select(clauses)
    answer = client.get(_as_texts(members))
    assert answer.status_code == 200, answer.text
    assert client.ids(_as_texts(members)) == expected
    posted = client.post(members)
    assert posted.status_code == 200, posted.text
    assert [int(row["value"]["id"]) for row in posted.json()["data"]] == expected


def _spliced(where: str, values: dict[str, str]) -> str:
    for number in sorted(values, key=int, reverse=True):
        where = where.replace(f"${number}", "'" + values[number].replace("'", "''") + "'")
    return where


def _as_texts(members: dict[str, Any]) -> dict[str, str]:
    return {
        name: json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in members.items()
    }


def test_the_three_ways_to_ask_give_the_same_rows(client: Client) -> None:
    members = {"where": "id > $1", "params": {"1": "70"}, "order_by": "id", "limit": 3}
    by_get = client.get(_as_texts(members)).json()["data"]
    flat = client.post(members).json()["data"]
    nested = client.post({"subset": members}).json()["data"]
    brackets = client.http.get(
        f"/v1/shape?table={client.table}&offset=-1&log=changes_only&subset[where]=id > $1"
        '&subset[params]={"1":"70"}&subset[order_by]=id&subset[limit]=3'
    ).json()["data"]
    rows = [[row["value"] for row in data] for data in (by_get, flat, nested, brackets)]
    assert [int(row["id"]) for row in rows[0]] == [71, 72, 73]
    assert rows[1:] == [rows[0]] * 3


def test_a_row_is_as_the_shape_s_log_has_it(client: Client) -> None:
    first = client.http.get("/v1/shape", params={"table": client.table, "offset": "-1"}).json()[:-1]
    subset = client.get({"order_by": "id"}, log="full").json()["data"]
    for row in subset:
        del row["headers"]["snapshot_mark"]
    assert sorted(subset, key=lambda row: str(row["key"])) == sorted(
        first, key=lambda row: str(row["key"])
    )


def test_columns_are_the_shape_s(client: Client) -> None:
    (row,) = client.rows({"where": "id = 1 AND tenant = 2"}, columns="id,title")
    assert list(row) == ["id", "title"]


@pytest.mark.parametrize(
    ("where", "params"),
    [
        ("mood = 'ok'", {}),
        ("mood = $1", {"1": "sad"}),
        ("mood IN ('sad', 'happy')", {}),
        ("NOT (mood > 'sad')", {}),
        ("mood BETWEEN $1 AND $2 AND id > 5", {"1": "ok", "2": "happy"}),
        ("mood IS DISTINCT FROM 'ok'", {}),
        ("tags = '{}' OR data = '{}'", {}),
        ("title > 'a' AND title ILIKE '%B%'", {}),
    ],
)
def test_types_that_only_postgres_compares(
    client: Client, where: str, params: dict[str, str]
) -> None:
    expected = client.select(f"WHERE {_spliced(where, params)} ORDER BY id")
    assert expected
    members = {"where": where, "params": params, "order_by": "id"}
    assert client.ids(_as_texts(members)) == expected


def test_a_subset_without_rows(client: Client) -> None:
    answer = client.get({"where": "id < 0"}).json()
    assert answer["data"] == []
    assert set(answer["metadata"]) == {
        "xmin",
        "xmax",
        "xip_list",
        "database_lsn",
        "snapshot_mark",
    }


def test_every_row_bears_the_mark_of_its_snapshot(client: Client) -> None:
    answers = [client.get().json() for _ in range(2)]
    marks = [answer["metadata"]["snapshot_mark"] for answer in answers]
    for answer, mark in zip(answers, marks, strict=True):
        assert {row["headers"]["snapshot_mark"] for row in answer["data"]} == {mark}
        assert 0 <= mark < 1 << 31
    assert marks[0] != marks[1]


@pytest.mark.parametrize(
    "create",
    [
        'CREATE TABLE {t} ("we ""ird/" text, "concat" int, PRIMARY KEY ("we ""ird/"))',
        'CREATE TABLE {t} ("we ""ird/" text, "concat" int)',
        'CREATE TABLE {t} ("we ""ird/" text, "concat" int) PARTITION BY RANGE ("concat");'
        " CREATE TABLE {t2} PARTITION OF {t} FOR VALUES FROM (MINVALUE) TO (2);"
        " CREATE TABLE {t3} PARTITION OF {t} DEFAULT",
    ],
    ids=["quoted", "without a key", "partitioned"],
)
def test_tables_of_all_kinds(client: Client, create: str) -> None:
    """The query's result has a column named concat, too: what is sorted by is the table's."""
    names = {f"t{n}": f'"Sub""set {n} {uuid.uuid4().hex[:6]}"' for n in ("", 2, 3)}
    client.server.sql(
        *create.format_map(names).split(";"),
        f"INSERT INTO {names['t']} VALUES ('a/b', 3), ('c\"d', 1), ('e', 2)",
    )
    other = Client(client.server, names["t"])
    members = {"where": '"concat" > 0', "order_by": '"concat" DESC', "limit": "2"}
    data = other.get(members).json()["data"]
    assert [row["value"] for row in data] == [
        {'we "ird/': "a/b", "concat": "3"},
        {'we "ird/': "e", "concat": "2"},
    ]
    assert [row["key"].partition("/")[2] for row in data] == (
        ['"a//b"/"3"', '"e"/"2"'] if "KEY" not in create else ['"a//b"', '"e"']
    )
    other.http.close()


# --- Nothing outside the shape --------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "tenant = 2",
        "tenant = 1 OR tenant = 2",
        "true",
        "tenant = 1 OR true",
        "NOT (tenant = 1)",
        "id IS NOT NULL OR mood = 'ok'",
    ],
)
def test_a_subset_never_leaves_its_shape(client: Client, where: str) -> None:
    shape_where = "tenant = 1 AND id > 10 OR tenant = 1 AND id = 2"
    expected = client.select(f"WHERE ({shape_where}) AND ({where}) ORDER BY id")
    assert client.ids({"where": where, "order_by": "id"}, where=shape_where) == expected


_BREAKOUTS = (
    "true) OR (true",
    "true) OR true --",
    "id = 1 OR (SELECT true)",
    "id = 1; DROP TABLE {table}",
    "id = 1 UNION SELECT * FROM {table}",
    "id = 1) UNION ALL SELECT secret FROM passwords --",
    "pg_sleep(5) IS NOT NULL",
    "pg_read_file('/etc/passwd') = ''",
    "id = 1 LIMIT 1",
    "id = 1 FOR UPDATE",
    "{table}.id = 1",
    "ctid IS NOT NULL",
    "tableoid > 0",
)


@pytest.mark.parametrize("text", _BREAKOUTS)
def test_a_condition_cannot_break_out(client: Client, text: str) -> None:
    answer = client.get({"where": text.format(table=client.table)}, where="tenant = 1")
    assert (answer.status_code, list(answer.json()["errors"]["subset"])) == (400, ["where"])


@pytest.mark.parametrize(
    "text",
    [
        "id; DROP TABLE {table}",
        "id) TO STDOUT; --",
        "id LIMIT ALL",
        "(SELECT 1)",
        "pg_sleep(5)",
        "CASE WHEN tenant = 2 THEN 1 END",
        "id OFFSET 0",
        "$1",
        "ctid",
        'id" --',
    ],
)
def test_an_order_cannot_break_out(client: Client, text: str) -> None:
    answer = client.get({"order_by": text.format(table=client.table), "limit": "5"})
    assert (answer.status_code, list(answer.json()["errors"]["subset"])) == (400, ["order_by"])


@pytest.mark.parametrize(
    "value",
    ["x' OR true --", "x') OR (true", "\\' OR true --", "$1", "'; DROP TABLE x; --", "a\\b", "😀'"],
)
def test_a_parameter_cannot_break_out(client: Client, value: str) -> None:
    for column in ("title", "mood"):
        answer = client.get({"where": f"{column} = $1", "params": json.dumps({"1": value})})
        if column == "title":
            assert answer.json()["data"] == [
                row for row in answer.json()["data"] if row["value"]["title"] == value
            ]
        else:
            assert answer.status_code == 400
            assert answer.json()["errors"]["subset"]["where"].endswith(f'"{value}"')


def test_only_queryable_columns_may_be_asked_about(client: Client) -> None:
    shape = {"queryable_columns": "id,title"}
    for members in ({"where": "n = 1"}, {"order_by": "n"}):
        (name,) = members
        refused = client.get(members, **shape)
        assert refused.json()["errors"] == {
            "subset": {name: ["At location 0: unknown reference n"]}
        }
    (row,) = client.rows({"where": "id = 7 AND title IS NOT DISTINCT FROM title"}, **shape)
    assert list(row) == ["id", "title"]
    assert len(client.ids({"where": "id > 0"}, where="tenant = 1", **shape)) == ROWS // 2


# --- Answers --------------------------------------------------------------------------------------


def test_headers(client: Client) -> None:
    answer = client.get()
    assert answer.headers["electric-snapshot"] == "true"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["electric-offset"] == "0_0"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(answer.headers["electric-schema"])["id"]["pk_index"] == 0
    for absent in ("etag", "electric-has-data", "electric-up-to-date", "electric-cursor"):
        assert absent not in answer.headers
    handle = answer.headers["electric-handle"]
    log = client.http.get(
        "/v1/shape",
        params={"table": client.table, "offset": "0_0", "log": "changes_only", "handle": handle},
    )
    assert (log.status_code, log.headers["electric-handle"]) == (200, handle)


def test_rows_are_compressed_when_asked(client: Client) -> None:
    zipped = client.get()
    assert zipped.headers["content-encoding"] == "gzip"
    del client.http.headers["accept-encoding"]
    try:
        plain = client.get()
    finally:
        client.http.headers["accept-encoding"] = "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert len(zipped.json()["data"]) == len(plain.json()["data"]) == ROWS
    assert "content-encoding" not in client.get({"where": "id = 1"}).headers, "not worth while"


def test_a_post_is_not_cached_and_a_head_has_no_body(client: Client) -> None:
    assert client.post({"where": "id = 1"}).headers["cache-control"] == "no-cache"
    query = {"table": client.table, "offset": "-1", "subset__where": "id = 1"}
    head = client.http.head("/v1/shape", params=query)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["electric-snapshot"] == "true"


def test_live_does_not_wait_and_gets_no_schema(client: Client) -> None:
    handle = client.get().headers["electric-handle"]
    answer = client.get(offset="0_inf", handle=handle, live="true", live_sse="true")
    assert len(answer.json()["data"]) == ROWS
    assert "electric-schema" not in answer.headers
    assert answer.headers["electric-offset"] == "0_inf"


def test_a_matching_tag_is_not_looked_at(client: Client) -> None:
    handle = client.get().headers["electric-handle"]
    query = {"table": client.table, "offset": "-1", "log": "changes_only", "subset__where": ""}
    for tag in (f"{handle}:-1:0_0", "*"):
        answer = client.http.get("/v1/shape", params=query, headers={"if-none-match": f'"{tag}"'})
        assert answer.status_code == 200


def test_another_handle_is_409(client: Client) -> None:
    handle = client.get().headers["electric-handle"]
    answer = client.get({"where": "id = 1"}, offset="0_inf", handle="1-1")
    assert (answer.status_code, answer.headers["electric-handle"]) == (409, handle)
    assert client.get({"where": "id = 1"}, offset="-1", handle="1-1").status_code == 200


def test_errors_come_in_the_order_of_the_specification(client: Client) -> None:
    def fields(**shape: str) -> list[str]:
        answer = client.get({"limit": "x"}, **shape)
        assert answer.status_code == 400
        return list(answer.json()["errors"])

    assert fields(offset="x", table="nosuch") == ["offset"]
    assert fields(table="nosuch") == ["table"]
    assert fields(where="nosuch = 1") == ["where"]
    assert fields() == ["subset"]
    assert fields(offset="0_inf", handle="1-1") == ["subset"]


@pytest.mark.parametrize(
    ("members", "field", "message"),
    [
        ({"where": "mood = 'x\"y'"}, "where", 'invalid input value for enum {mood}: "x"y"'),
        ({"where": "data = 'x'"}, "where", "invalid input syntax for type json"),
        ({"where": "mood = id"}, "where", "operator does not exist: {mood} = integer"),
        ({"where": "tags = '{'"}, "where", 'malformed array literal: "{{"'),
        ({"where": f"tags = '{'{' * 7}{'}' * 7}'"}, "where", "number of array dimensions exceeds the maximum allowed (6)"),
    ],
)  # fmt: skip
def test_what_postgres_refuses_is_said_without_a_list(
    client: Client, members: dict[str, str], field: str, message: str
) -> None:
    answer = client.get(members)
    assert answer.status_code == 400
    expected = message.format(mood=f"mood_{client.table}")
    assert answer.json() == {"message": "Invalid request", "errors": {"subset": {field: expected}}}


def test_a_value_that_a_row_cannot_be_compared_with_is_the_clients_error(client: Client) -> None:
    name = f"subset_{uuid.uuid4().hex[:8]}"
    client.server.sql(
        f"CREATE TABLE {name} (id int PRIMARY KEY, big numeric, f float8, j json)",
        f"INSERT INTO {name} VALUES (1, 1e400, 1, '1')",
    )
    other = Client(client.server, name)
    answer = other.get({"where": "big > f"})
    assert answer.status_code == 400
    assert "out of range" in answer.json()["errors"]["subset"]["where"]
    refused = other.get({"order_by": "j"})
    assert (refused.status_code, refused.json()["errors"]) == (
        400,
        {"subset": {"order_by": "could not identify an ordering operator for type json"}},
    )
    other.http.close()
