"""The client's parser on every type: numbers, bigints, booleans and JSON become such, the rest stays text.

Each value comes once with the snapshot and once through the log, and both times has to be what a SELECT says.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.node import NodeClient
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.client, pytest.mark.slow]

NUMBERS: dict[str, list[str]] = {
    "int2": ["-32768", "32767"],
    "int4": ["-2147483648", "2147483647"],
    "float4": ["1e-07", "Infinity", "0.1"],
    "float8": ["1e20", "-Infinity", "NaN", "0.30000000000000004"],
}
BIGINTS: dict[str, list[str]] = {"int8": ["9223372036854775807", "-9007199254740993"]}
BOOLEANS: dict[str, list[str]] = {"bool": ["true", "false"]}
JSONS: dict[str, list[str]] = {
    "json": ['{"a" :  [1, null, "x"]}', '"text"', "5e-3", "null"],
    "jsonb": ['{"b": {"c": true}, "a": "ü\\"\\\\"}', "[]", "1.50"],
}
TEXTS: dict[str, list[str]] = {
    "numeric": ["1234567890.12300", "NaN", "-0.0000000000000000000001"],
    "numeric(10,3)": ["1.5"],
    "oid": ["4294967295"],
    "text": ["", 'a "b" \\ \'\n\t/ € 😀', "{a,b}"],
    "varchar(9)": ["nine"],
    "char(5)": ["ab"],
    "name": ["a_name"],
    "bytea": ["\\x0001fffe", "\\x"],
    "date": ["2024-01-31", "infinity", "0044-03-15 BC"],
    "time": ["13:45:00.5"],
    "timetz": ["13:45:00+02"],
    "timestamp": ["2024-01-31 13:45:00.123456", "-infinity"],
    "timestamptz": ["2024-01-31 13:45:00.1+02", "infinity"],
    "timestamptz(0)": ["2024-01-31 13:45:00+02"],
    "interval": ["1 year 2 mons 3 days 04:05:06.7", "0", "-1 month", "1 day -1 hour"],
    "uuid": ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "inet": ["192.168.0.0/24", "::1/64"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(4)": ["1010"],
    "varbit": ["101"],
    "money": ["12.34"],
    "point": ["(1.1,2)"],
    "box": ["(3,4),(1,2)"],
    "path": ["((0,0),(1,1))"],
    "int4range": ["[1,5)", "empty"],
    "tstzrange": ['["2024-01-01 00:00+00",)'],
    "int4multirange": ["{[1,3),[5,8)}"],
    "tsvector": ["a fat cat"],
    "tsquery": ["fat & cat"],
    "jsonpath": ["$.a[*]"],
    "pg_lsn": ["16/B374D848"],
    "xid8": ["18446744073709551615"],
    "mood": ["happy", "so, so"],
    "pair": ["(1,x)"],
    "positive": ["7"],
}
KINDS = {
    **dict.fromkeys(NUMBERS, "number"),
    **dict.fromkeys(BIGINTS, "bigint"),
    **dict.fromkeys(BOOLEANS, "boolean"),
    **dict.fromkeys(JSONS, "json"),
    **dict.fromkeys(TEXTS, "string"),
}
VALUES = NUMBERS | BIGINTS | BOOLEANS | JSONS | TEXTS
ARRAYS: dict[str, list[str]] = {
    "int2": ["{1,NULL,3}", "{}"],
    "int4": ["{{1,2,3},{4,5,6}}"],
    "int8": ["{9223372036854775807,NULL}"],
    "bool": ["{t,f,NULL}"],
    "float8": ["{NaN,Infinity,1e-300}"],
    "numeric": ["{1.50,NULL}"],
    "text": ['{"a b",NULL,"","q\\"x\\\\","{}",",","é"}', '{{a,b},{"c d",e}}'],
    "char(5)": ["{abcde,fghij}"],
    "uuid": ["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
    "timestamptz": ['{"2024-01-31 13:45:00+02",NULL}'],
    "json": ['{"{\\"a\\": [1, 2]}",null}'],
    "jsonb": ['{"{\\"foo\\": \\"bar\\"}","[]","7"}'],
    "mood": ['{sad,"so, so"}'],
    "pair": ['{"(1,x)","(2,\\"y z\\")"}'],
    "bytea": ['{"\\\\x00ff"}'],
    "date": ["{2024-01-31,infinity}"],
}
ROWS = 4
SETTINGS = (
    "SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; "
    "SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'"
)


def columns() -> list[tuple[str, str, bool, list[str]]]:
    """Name, type, whether an array, values."""
    plain = [(f"c{i}", type_name, False, v) for i, (type_name, v) in enumerate(VALUES.items())]
    return plain + [
        (f"a{i}", type_name, True, v) for i, (type_name, v) in enumerate(ARRAYS.items())
    ]


def create(server: ElectricServer, table: str) -> None:
    for statement in (
        "CREATE TYPE mood AS ENUM ('sad', 'happy', 'so, so')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN positive AS numeric CHECK (value > 0)",
    ):
        name = statement.split()[2]
        if not server.query("SELECT 1 FROM pg_type WHERE typname = %s", [name]):
            server.sql(statement)
    declared = ", ".join(
        f"{name} {type_name}{'[]' if array else ''}" for name, type_name, array, _ in columns()
    )
    server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, {declared})")


def fill(server: ElectricServer, table: str, first: int) -> None:
    """Rows that together have each value, and one that has none."""
    marks = ", ".join(["%s"] * len(columns()))
    with server.connect() as connection:
        for number in range(ROWS):
            values = [values[number % len(values)] for *_, values in columns()]
            connection.execute(f"INSERT INTO {table} VALUES ({first + number}, {marks})", values)  # type: ignore[arg-type]
        connection.execute(f"INSERT INTO {table} (id) VALUES ({first + ROWS})")  # type: ignore[arg-type]


def _as_text(name: str, type_name: str, array: bool) -> str:
    if type_name.startswith("char") and not array:
        return (
            f"CASE WHEN {name} IS NOT NULL THEN format('%s', {name}) END"  # ::text drops the blanks
        )
    return f"{name}::text[]" if array else f"{name}::text"


def wanted(server: ElectricServer, table: str) -> dict[str, dict[str, Any]]:
    """By id: what the parser has to make of each value, in the notation of ``typed`` (lines.mjs)."""
    chosen = ", ".join(_as_text(name, type_name, array) for name, type_name, array, _ in columns())
    with server.connect() as connection:
        connection.execute(SETTINGS)
        found = connection.execute(f"SELECT id::text, {chosen} FROM {table}").fetchall()  # type: ignore[arg-type]
    kinds = [(name, KINDS[type_name]) for name, type_name, _, _ in columns()]
    return {
        str(key): {
            "id": {"number": float(str(key))},
            **{n: as_typed(kind, v) for (n, kind), v in zip(kinds, values, strict=True)},
        }
        for key, *values in found
    }


def as_typed(kind: str, value: Any) -> Any:
    """The text of a value, or nested lists of texts, as *kind*."""
    if value is None:
        return None
    if isinstance(value, list):
        return {"array": [as_typed(kind, v) for v in value]}
    if kind == "number":
        return {"number": float(value)}
    if kind == "boolean":
        return {"boolean": value == "true"}
    return from_json(json.loads(value)) if kind == "json" else {kind: value}


def from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {"object": {k: from_json(v) for k, v in value.items()}}
    if isinstance(value, list):
        return {"array": [from_json(v) for v in value]}
    if isinstance(value, bool):
        return {"boolean": value}
    if isinstance(value, int | float):
        return {"number": float(value)}
    return None if value is None else {"string": value}


def numbers_compared(value: Any) -> Any:
    """JavaScript's text of a number as a float, however it is spelt; NaN as text, to be equal to itself."""
    if isinstance(value, dict):
        if "number" in value:
            return {"number": repr(float(value["number"]))}
        return {k: numbers_compared(v) for k, v in value.items()}
    return [numbers_compared(v) for v in value] if isinstance(value, list) else value


def test_every_type(client: NodeClient, server: ElectricServer) -> None:
    table = f"types_{abs(hash(client)) % 10**9}"
    create(server, table)
    fill(server, table, 1)
    shape = client.follow(server.url, table=table)
    for count, first in ((ROWS + 1, None), (2 * (ROWS + 1), 100)):
        if first is not None:
            fill(server, table, first)
        eventually(lambda count=count: shape.report()["count"] == count, "all rows came")  # type: ignore[misc]
        found = {row["id"]["number"]: numbers_compared(row) for row in shape.typed()}
        expected = {key: numbers_compared(row) for key, row in wanted(server, table).items()}
        assert found.keys() == expected.keys()
        names = {"id": "id", **{name: f"{t}{'[]' * a}" for name, t, a, _ in columns()}}
        differing = [
            (names[name], found[key][name], value)
            for key, row in expected.items()
            for name, value in row.items()
            if found[key][name] != value
        ]
        assert not differing
    assert shape.report()["faults"] == []


def test_a_parser_of_ones_own(client: NodeClient, server: ElectricServer) -> None:
    table = f"dates_{abs(hash(client)) % 10**9}"
    server.sql(
        f"CREATE TABLE {table} (id int PRIMARY KEY, at timestamptz, spans timestamptz[])",
        f"INSERT INTO {table} VALUES (1, '2024-01-31 13:45:00.1+02', '{{2024-01-31 13:45:00+02}}')",
    )
    shape = client.follow(server.url, {"dates": True}, table=table)
    eventually(lambda: shape.report()["count"] == 1, "the row came")
    assert shape.typed() == [
        {
            "id": {"number": "1"},
            "at": {"date": "2024-01-31T11:45:00.100Z"},
            "spans": {"array": [{"date": "2024-01-31T11:45:00.000Z"}]},
        }
    ]
