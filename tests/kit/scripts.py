"""Writes that the kit and a real worker are to tell alike: tables, a shape, and transactions of statements.

The last transaction of each script inserts a row with the id 1000, which every shape has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LAST_ID = "1000"


@dataclass(frozen=True)
class Script:
    """*made* makes the tables; *transactions* are what a client of the shape sees happen."""

    name: str
    made: tuple[str, ...]
    transactions: tuple[tuple[str, ...], ...]
    params: dict[str, object] = field(default_factory=dict)
    """Of the shape."""

    def __str__(self) -> str:
        return self.name


_TYPES = {
    "flag": ("bool", "true"),
    "flags": ("bool[]", "'{t,f,NULL}'"),
    "small": ("int2", "-32768"),
    "whole": ("int4", "7"),
    "big": ("int8", "9223372036854775807"),
    "number": ("oid", "4294967295"),
    "single": ("float4", "0.1"),
    "double": ("float8", "1e-07"),
    "exact": ("numeric", "1234567890.12300"),
    "price": ("numeric(10,3)", "1.5"),
    "body": ("text", "E'say \"hi\", (a\\\\b)\\n\\ttab'"),
    "empty": ("text", "''"),
    "label": ("varchar(20)", "'Größe 😀'"),
    "padded": ("char(5)", "'ab'"),
    "short": ("name", "'n'"),
    "bytes": ("bytea", "'\\x0001fffe'"),
    "day": ("date", "'0044-03-15 BC'"),
    "hour": ("time", "'13:45:00.5'"),
    "hour_there": ("timetz", "'13:45:00+02'"),
    "moment": ("timestamp", "'2024-01-31 13:45:00.123456'"),
    "instant": ("timestamptz", "'2024-01-31 13:45:00.1+02'"),
    "span": ("interval", "'1 year 2 mons 3 days 04:05:06.7'"),
    "uid": ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
    "document": ("json", "'{\"a\" :  1}'"),
    "tree": ("jsonb", "'{\"b\":1, \"a\": [null]}'"),
    "host": ("inet", "'192.168.0.1'"),
    "net": ("cidr", "'192.168.0.0/24'"),
    "card": ("macaddr", "'08:00:2b:01:02:03'"),
    "bits": ("bit(4)", "B'1010'"),
    "more_bits": ("varbit", "B'101'"),
    "cash": ("money", "12.34"),
    "place": ("point", "'(1.1,2)'"),
    "span_of": ("int4range", "'[1,4]'"),
    "words": ("tsvector", "'a cat'"),
    "mood": ("kit_mood", "'ok'"),
    "moods": ("kit_mood[]", "'{sad,ok}'"),
    "pair": ("kit_pair", "'(1,\"a, b\")'"),
    "pairs": ("kit_pair[]", "ARRAY['(1,a)'::kit_pair, '(,)']"),
    "nothing_in_it": ("kit_pair", "'(,)'"),
    "positive": ("kit_positive", "5"),
    "list": ("int[]", "'{{1,NULL},{3,4}}'"),
    "texts": ("text[]", "ARRAY['a b', NULL, '', 'q\"x']"),
    "trees": ("jsonb[]", "ARRAY['{\"foo\": \"bar\"}'::jsonb]"),
    "table_of": ("regclass", "'kit_types'"),
}  # fmt: skip

TYPES = Script(
    "every type",
    (
        "CREATE TYPE kit_mood AS ENUM ('sad', 'ok')",
        "CREATE TYPE kit_pair AS (a int, b text)",
        "CREATE DOMAIN kit_positive AS int CHECK (value > 0)",
        "CREATE TABLE kit_types (id int PRIMARY KEY, "
        + ", ".join(f"{name} {sql_type}" for name, (sql_type, _) in _TYPES.items())
        + ")",
        "INSERT INTO kit_types (id) VALUES (1)",
    ),
    (
        (f"INSERT INTO kit_types VALUES (2, {', '.join(value for _, value in _TYPES.values())})",),
        ("INSERT INTO kit_types (id) VALUES (3)",),
        (
            "UPDATE kit_types SET "
            + ", ".join(f"{name} = {value}" for name, (_, value) in _TYPES.items())
            + " WHERE id = 3",
        ),
        (f"UPDATE kit_types SET {', '.join(f'{name} = NULL' for name in _TYPES)} WHERE id = 2",),
        (f"INSERT INTO kit_types (id) VALUES ({LAST_ID})",),
    ),
    {"table": "kit_types", "replica": "full"},
)

WRITES = Script(
    "every write",
    (
        "CREATE TABLE kit_parent (id int PRIMARY KEY, v text)",
        "CREATE TABLE kit_items (id int PRIMARY KEY, v text, n int, parent int"
        " REFERENCES kit_parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO kit_parent VALUES (1, 'one'), (2, 'two')",
        "INSERT INTO kit_items VALUES (1, 'a', 1, 1), (2, 'b', 2, 2)",
    ),
    (
        ("INSERT INTO kit_items SELECT i, 'v' || i, i, 1 FROM generate_series(3, 6) i",),
        ("INSERT INTO kit_items VALUES (3, 'again', 3) ON CONFLICT (id) DO UPDATE SET v = excluded.v",),
        ("UPDATE kit_items SET n = n + 10 WHERE id > 3",),
        ("UPDATE kit_items SET v = v",),
        ("UPDATE kit_items SET id = 70 WHERE id = 6",),
        ("UPDATE kit_items SET id = 71, v = 'moved' WHERE id = 70",),
        ("DELETE FROM kit_items WHERE id = 71", "INSERT INTO kit_items VALUES (71, 'back', 0, 2)"),
        ("DELETE FROM kit_parent WHERE id = 2",),
        (
            "INSERT INTO kit_items VALUES (80, 'kept', 0)",
            "SAVEPOINT s",
            "INSERT INTO kit_items VALUES (81, 'lost', 0)",
            "UPDATE kit_items SET v = 'lost'",
            "ROLLBACK TO SAVEPOINT s",
            "UPDATE kit_items SET n = 81 WHERE id = 80",
        ),
        (f"INSERT INTO kit_items VALUES ({LAST_ID})",),
    ),
    {"table": "kit_items"},
)  # fmt: skip

FILTERED = Script(
    "rows that move in and out of a shape",
    (
        "CREATE TABLE kit_filtered (id int PRIMARY KEY, n int, v text)",
        "INSERT INTO kit_filtered VALUES (1, 1, 'out'), (2, 20, 'in')",
    ),
    (
        ("UPDATE kit_filtered SET n = 11 WHERE id = 1",),
        ("UPDATE kit_filtered SET n = 2 WHERE id = 2", "INSERT INTO kit_filtered VALUES (3, 3, 'x')"),
        ("UPDATE kit_filtered SET v = 'unseen' WHERE id = 1",),
        ("DELETE FROM kit_filtered",),
        (f"INSERT INTO kit_filtered VALUES ({LAST_ID}, 100, 'in')",),
    ),
    {"table": "kit_filtered", "where": "n > $1", "params": ["10"], "columns": ["id", "n"]},
)  # fmt: skip

DELEGATED = Script(
    "a condition that only Postgres can evaluate",
    (
        "CREATE TABLE kit_delegated (id int PRIMARY KEY, v text)",
        "INSERT INTO kit_delegated VALUES (1, 'ab')",
    ),
    (
        ("INSERT INTO kit_delegated VALUES (2, 'xy'), (3, 'ab c')",),
        ("UPDATE kit_delegated SET v = 'zz' WHERE id = 3", "UPDATE kit_delegated SET v = 'ab' WHERE id = 2"),
        (f"INSERT INTO kit_delegated VALUES ({LAST_ID}, 'ab')",),
    ),
    {"table": "kit_delegated", "where": "to_tsvector('simple', v) @@ 'ab'"},
)  # fmt: skip

PARTITIONED = Script(
    "rows that move between partitions",
    (
        "CREATE TABLE kit_parts (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
        "CREATE TABLE kit_parts_eu PARTITION OF kit_parts FOR VALUES IN ('eu')",
        "CREATE TABLE kit_parts_us (v text, dropped int, region text NOT NULL, id int NOT NULL)",
        "ALTER TABLE kit_parts_us DROP COLUMN dropped",
        "ALTER TABLE kit_parts ATTACH PARTITION kit_parts_us FOR VALUES IN ('us')",
        "INSERT INTO kit_parts VALUES (1, 'eu', 'a')",
    ),
    (
        ("INSERT INTO kit_parts VALUES (2, 'us', 'b')", "INSERT INTO kit_parts_eu VALUES (3, 'eu', 'c')"),
        ("UPDATE kit_parts SET v = 'changed'",),
        ("UPDATE kit_parts SET region = 'us' WHERE id = 1",),
        ("DELETE FROM kit_parts_us WHERE id = 2",),
        (f"INSERT INTO kit_parts VALUES ({LAST_ID}, 'us', 'last')",),
    ),
    {"table": "kit_parts"},
)  # fmt: skip

KEYLESS = Script(
    "a table without a key",
    ('CREATE TABLE "Kit keyless" (flag bool, "v/x" text, id int)',),
    (
        ("""INSERT INTO "Kit keyless" VALUES (true, 'a/b', 1), (NULL, NULL, 2)""",),
        ("""UPDATE "Kit keyless" SET "v/x" = 'new' WHERE id = 2""",),
        ("""DELETE FROM "Kit keyless" WHERE id = 1""",),
        (f"""INSERT INTO "Kit keyless" VALUES (false, 'last', {LAST_ID})""",),
    ),
    {"table": '"Kit keyless"', "replica": "full"},
)

SCRIPTS = (TYPES, WRITES, FILTERED, DELEGATED, PARTITIONED, KEYLESS)
