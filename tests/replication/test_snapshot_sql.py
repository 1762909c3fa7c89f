"""A row's entry is the same text whether the snapshot or the stream brings it (PROTOCOL section 4.8)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from django_electric.catalogue import find_relation
from django_electric.postgres.display import DISPLAY_SETTINGS
from django_electric.postgres.pgoutput import Insert, RelationMessage, decode
from django_electric.postgres.relation import quote_identifier
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import ENTRY_END, View, headers_for, insert_items
from django_electric.shapes.snapshot_sql import copy_statement

Connection = psycopg.Connection[tuple[object, ...]]

TYPES = """
CREATE TYPE mood AS ENUM ('ok', 'sad', 'we"ird / one');
CREATE TYPE pair AS (x float8, y text);
CREATE DOMAIN score AS int CHECK (VALUE < 1000);
CREATE DOMAIN flag AS bool;
CREATE DOMAIN code AS char(4);
CREATE DOMAIN deep AS score;
CREATE DOMAIN moods AS mood[];
CREATE TYPE "uuid" AS ENUM ('a/b', 'a"b');
"""

VALUES: dict[str, list[str]] = {
    "bool": ["true", "false"],
    "bool[]": ["'{t,f,NULL}'", "'{}'"],
    "flag": ["true", "false"],
    "int2": ["32767", "'-32768'"],
    "int4": ["0", "'-5'"],
    "int8": ["9223372036854775807"],
    "oid": ["4294967295"],
    "float4": ["4.5", "0.1", "1e20", "'NaN'", "'-Infinity'"],
    "float8": ["0.1", "1e-7", "1e20", "'Infinity'", "-0.0"],
    "numeric": ["1234567890.12300", "'NaN'", "0.00"],
    "numeric(10,3)": ["1.5", "'-0.001'"],
    "text": ["''", "'plain'", "'a/b'", "'//'", "E'q\"uo\\\\te'", "E'\\t\\n\\r\\b\\f\\x01\\x1f\\x7f'", "'é 𝄞 '",
             "U&'\\2028'", "'null'", "'{}'", "E'\\\\.'"],
    "varchar(20)": ["'abc '", "'/'"],
    "name": ["'some\"thing/else'"],
    "char(5)": ["'ab'", "''", "'a/\"'"],
    "code": ["'ab'"],
    "\"char\"": ["'x'", "'/'", "''"],
    "bytea": ["'\\x0001fffe'", "''"],
    "date": ["'2024-01-31'", "'infinity'", "'0044-03-15 BC'"],
    "time": ["'13:45:00.5'"],
    "timetz": ["'13:45:00+02'"],
    "timestamp": ["'2024-01-31 13:45:00.123456'", "'-infinity'", "'0001-01-01 BC'"],
    "timestamptz": ["'2024-01-31 13:45:00.1+02'", "'infinity'"],
    "interval": ["'1 year 2 mons 3 days 04:05:06.7'", "'0'", "'-1 mon'", "'1 day -1 hour'"],
    "pg_catalog.uuid": ["'AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee'"],
    "public.uuid": ["'a/b'", "'a\"b'"],
    "json": ["'{\"a\" :  1}'", "'\"x/y\"'", "'null'"],
    "jsonb": ["'{\"b\":1, \"a\" : \"/\"}'", "'null'"],
    "jsonb[]": ["ARRAY['{\"foo\": \"bar\"}'::jsonb, NULL]"],
    "inet": ["'192.168.0.1'", "'192.168.0.1/24'", "'::1'", "'::1/64'"],
    "cidr": ["'192.168.0.0/24'", "'10.0.0.1/32'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit(4)": ["B'1010'"],
    "varbit": ["B'101'", "B''"],
    "money": ["'12.34'", "'-1234567.8'"],
    "point": ["'(1.1,2)'"],
    "int4range": ["'[1,5)'", "'empty'"],
    "tsvector": ["'a cat'"],
    "xml": ["'<a href=\"/\"/>'"],
    "pair": ["'(1.1,\"a/b\"\"c\")'", "ROW(NULL, NULL)", "ROW(1, NULL)"],
    "pair[]": ["ARRAY[ROW(1.1, 'a')::pair, ROW(NULL, NULL)::pair, NULL]"],
    "mood": ["'ok'", "'we\"ird / one'"],
    "mood[]": ["'{sad,ok}'"],
    "moods": ["'{sad,ok}'"],
    "score": ["7"],
    "deep": ["8"],
    "int4[]": ["'{1,NULL,3}'", "'{{1,2,3},{4,5,6}}'", "'[0:1]={1,2}'"],
    "text[]": ["ARRAY['a b', NULL, '', 'q\"x', 'a/b', E'\\\\']"],
    "pg_lsn": ["'16/B374D848'", "'0/0'"],
    "xid": ["'42'"],
    "xid8": ["'18446744073709551615'"],
    "regclass": ["'pg_class'"],
    "tid": ["'(0,1)'"],
    "pg_snapshot": ["'10:20:10,14'"],
}  # fmt: skip


def entry_parts(entry: bytes) -> str:
    """Key and value as they stand, without the headers, which differ on the two roads."""
    return entry.decode().partition(',"headers":')[0]


class Roads:
    """Both roads of one database: a slot that is asked by SQL, and the snapshot's query."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.slot = f"roads_{uuid.uuid4().hex[:12]}"
        connection.execute(DISPLAY_SETTINGS)
        connection.execute("SET synchronous_commit = on")  # the slot reads what is flushed
        connection.execute("CREATE PUBLICATION roads FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self.slot])

    def definition(self, name: str, **options: object) -> ShapeDefinition:
        relation = find_relation(self.connection.cursor(), "public", name)
        assert relation is not None
        return ShapeDefinition.build(relation, **options)  # type: ignore[arg-type]  # the tests' shorthand

    def snapshot(self, definition: ShapeDefinition) -> list[bytes]:
        with self.connection.cursor().copy(copy_statement(definition, "h")) as copy:
            data = b"".join(bytes(block) for block in copy)
        return data.splitlines(keepends=True)

    def stream(self, definition: ShapeDefinition) -> list[bytes]:
        """Entries of what was inserted since the last call."""
        rows = self.connection.execute(
            "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, "
            "'proto_version', '1', 'publication_names', 'roads')",
            [self.slot],
        )
        entries, layout = [], tuple(c.name for c in definition.relation_columns)
        for (data,) in rows:
            message = decode(bytes(data))  # type: ignore[arg-type]  # bytea
            if isinstance(message, RelationMessage):
                layout = tuple(c.name for c in message.columns)
            if isinstance(message, Insert) and message.oid == definition.relation_oid:
                view = View(definition, layout)
                items = insert_items(view, headers_for(view.relation, 1, 2), 0, message.new)
                entries += [text + ENTRY_END for _, text in items]
        return entries

    def drop(self) -> None:
        self.connection.execute("SELECT pg_drop_replication_slot(%s)", [self.slot])
        self.connection.execute("DROP PUBLICATION roads")


@pytest.fixture(scope="module")
def roads(dsn: str) -> Iterator[Roads]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TYPES)
        roads = Roads(connection)
        yield roads
        roads.drop()


def both_roads(
    roads: Roads, *statements: str, name: str = "t", **options: object
) -> list[tuple[str, str]]:
    """(snapshot, log) of every row that *statements* insert into a table that they make."""
    connection = roads.connection
    try:
        for statement in statements:
            connection.execute(statement)
        definition = roads.definition(name, **options)
        snapshot = sorted(map(entry_parts, roads.snapshot(definition)))
        stream = sorted(map(entry_parts, roads.stream(definition)))
        assert len(snapshot) == len(stream)
        return list(zip(snapshot, stream, strict=True))
    finally:
        connection.execute(f"DROP TABLE IF EXISTS {quote_identifier(name)}")


def skip_what_the_server_lacks(roads: Roads, type_name: str) -> None:
    if type_name == "xml":
        try:
            roads.connection.execute("SELECT '<a/>'::xml")
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this server was built without libxml")


@pytest.mark.parametrize("type_name", VALUES)
def test_a_value_has_one_spelling_in_value_and_key(roads: Roads, type_name: str) -> None:
    """Without a primary key the value is in the key too, and may be NULL."""
    skip_what_the_server_lacks(roads, type_name)
    rows = ", ".join(f"({n}, {v}::{type_name})" for n, v in enumerate([*VALUES[type_name], "NULL"]))
    pairs = both_roads(
        roads,
        f"CREATE TABLE t (id int, v {type_name})",
        f"INSERT INTO t SELECT * FROM (VALUES {rows}) r",
    )
    assert len(pairs) == len(VALUES[type_name]) + 1
    assert pairs == [(stream, stream) for _, stream in pairs]


@pytest.mark.parametrize("type_name", VALUES)
def test_a_value_that_is_never_null_has_one_spelling_too(roads: Roads, type_name: str) -> None:
    """NOT NULL takes another branch of the query; where the type allows it the value is the primary key."""
    skip_what_the_server_lacks(roads, type_name)
    values = VALUES[type_name]
    rows = ", ".join(f"({n}, {v}::{type_name})" for n, v in enumerate(values))
    has_key = roads.connection.execute(
        "SELECT EXISTS (SELECT FROM pg_opclass WHERE opcdefault AND opcintype = %s::regtype "
        "AND opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree'))",
        [type_name],
    ).fetchone()
    key = "PRIMARY KEY (id, v)" if has_key == (True,) else "PRIMARY KEY (id)"
    pairs = both_roads(
        roads,
        f"CREATE TABLE t (id int, v {type_name} NOT NULL, {key})",
        f"INSERT INTO t SELECT * FROM (VALUES {rows}) r",
    )
    assert len(pairs) == len(values)
    assert pairs == [(stream, stream) for _, stream in pairs]


@pytest.mark.parametrize(
    "type_name", ["bool", "text", "pg_lsn", "pg_catalog.uuid", "char(5)", "mood", "inet"]
)
def test_a_primary_key_of_one_column_has_one_spelling(roads: Roads, type_name: str) -> None:
    rows = ", ".join(f"({v}::{type_name})" for v in VALUES[type_name])
    pairs = both_roads(
        roads,
        f"CREATE TABLE t (v {type_name} PRIMARY KEY)",
        f"INSERT INTO t SELECT * FROM (VALUES {rows}) r",
    )
    assert pairs == [(stream, stream) for _, stream in pairs]


def test_every_entry_is_json_that_means_the_row(roads: Roads) -> None:
    ((snapshot, _),) = both_roads(
        roads,
        "CREATE TABLE t (id int PRIMARY KEY, a text, b bool, c int[])",
        "INSERT INTO t VALUES (1, E'q\"\\n/', true, NULL)",
    )
    message = json.loads(snapshot[1:] + "}")
    assert message["key"] == '"public"."t"/"1"'
    assert message["value"] == {"id": "1", "a": 'q"\n/', "b": "true", "c": None}


def test_a_row_of_the_snapshot_has_the_headers_of_the_specification(roads: Roads) -> None:
    roads.connection.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)")
    try:
        (entry,) = roads.snapshot(roads.definition("t"))
    finally:
        roads.connection.execute("DROP TABLE t")
    assert entry == (
        b',{"key":"\\"public\\".\\"t\\"/\\"7\\"","value":{"id":"7"},'
        b'"headers":{"operation":"insert","relation":["public","t"]}}\n'
    )


@pytest.mark.parametrize(
    "name",
    ["we.ird", 'na"me', "sla/sh", "back\\slash", "it's", "p%s", "{}", "nl\nx", "\x01\x02"],
)
def test_names_are_written_alike(roads: Roads, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    pairs = both_roads(
        roads,
        f"CREATE TABLE {quoted} ({quoted} text PRIMARY KEY, v int)",
        f"INSERT INTO {quoted} VALUES ('x', NULL)",
        name=name,
    )
    assert pairs == [(stream, stream) for _, stream in pairs]


def test_a_table_may_have_more_columns_than_a_function_takes_arguments(roads: Roads) -> None:
    columns = ", ".join(f"c{n} text" for n in range(400))
    pairs = both_roads(
        roads,
        f"CREATE TABLE t (id int PRIMARY KEY, {columns})",
        "INSERT INTO t (id, c7, c399) VALUES (1, 'a', 'b')",
    )
    assert pairs == [(stream, stream) for _, stream in pairs]
    assert len(json.loads(pairs[0][0][1:] + "}")["value"]) == 401


def test_selected_columns_are_written_alike(roads: Roads) -> None:
    pairs = both_roads(
        roads,
        "CREATE TABLE t (a text, id int PRIMARY KEY, b bool)",
        "INSERT INTO t VALUES ('x', 1, true)",
        columns=("id", "b"),
    )
    assert pairs == [(stream, stream) for _, stream in pairs]
    assert list(json.loads(pairs[0][0][1:] + "}")["value"]) == ["id", "b"]


def test_children_of_a_table_are_not_its_rows_but_partitions_are(roads: Roads) -> None:
    connection = roads.connection
    connection.execute(
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);"
        "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);"
        "CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE leaf PARTITION OF root DEFAULT; INSERT INTO root VALUES (3)"
    )
    try:
        assert len(roads.snapshot(roads.definition("parent"))) == 1
        assert len(roads.snapshot(roads.definition("root"))) == 1
    finally:
        connection.execute("DROP TABLE child, parent, root")
