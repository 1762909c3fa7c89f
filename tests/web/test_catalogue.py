"""The look-up of a table in Postgres' catalogue."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from django_electric.catalogue import find_relation, find_relation_by_oid
from django_electric.postgres.relation import Column, Relation
from django_electric.where.types import EnumName


class Place:
    """A schema of the test's own, first in the search path."""

    def __init__(self, cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
        self.cursor = cursor
        self.schema = f"cat_{uuid.uuid4().hex[:8]}"
        self.execute(f"CREATE SCHEMA {self.schema}")
        self.execute(f"SET search_path = {self.schema}")

    def execute(self, statement: str) -> None:
        self.cursor.execute(statement)  # type: ignore[arg-type]  # ours, not a client's

    def find(self, name: str) -> Relation | None:
        return find_relation(self.cursor, self.schema, name)  # type: ignore[arg-type]  # wants literals

    def column(self, declaration: str) -> Column:
        """A column declared so."""
        self.execute(f"DROP TABLE IF EXISTS one; CREATE TABLE one (a {declaration})")
        relation = self.find("one")
        assert relation is not None
        return relation.columns[0]

    def drop(self) -> None:
        self.execute("RESET search_path")
        self.execute(f"DROP SCHEMA {self.schema} CASCADE")


@pytest.fixture
def place(pg: psycopg.Connection[tuple[object, ...]]) -> Iterator[Place]:
    """Dropped at the end."""
    with pg.cursor() as cursor:
        place = Place(cursor)
        yield place
        place.drop()


def test_a_table_with_its_columns_in_order(place: Place) -> None:
    place.execute(
        "CREATE TABLE t (gone int, b text NOT NULL, a int, c text, PRIMARY KEY (c, a) INCLUDE (b))"
    )
    place.execute("ALTER TABLE t DROP COLUMN gone")
    relation = place.find("t")
    assert relation is not None
    assert [c.name for c in relation.columns] == ["b", "a", "c"]
    assert relation.primary_key == ("c", "a")
    assert [c.not_null for c in relation.columns] == [True, True, True]
    assert find_relation_by_oid(place.cursor, relation.oid) == relation  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t ()",
        "CREATE VIEW t AS SELECT 1 AS a",
        "CREATE MATERIALIZED VIEW t AS SELECT 1 AS a",
        "CREATE SEQUENCE t",
        "CREATE TABLE other (a int)",
    ],
)
def test_what_is_not_a_table_with_columns_is_not_found(place: Place, statement: str) -> None:
    place.execute(statement)
    assert place.find("t") is None


def test_a_partitioned_table_is_a_table(place: Place) -> None:
    place.execute("CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    relation = place.find("t")
    assert relation is not None
    assert relation.is_partitioned


@pytest.mark.parametrize(
    ("declaration", "type_name", "dimensions", "evaluator_type"),
    [
        ("int", "int4", 0, "int4"),
        ("varchar(5)[]", "varchar", 1, "varchar[]"),
        ("int[][]", "int4", 2, "int4[]"),
        ("char(3)", "bpchar", 0, "bpchar"),
        ('"char"', "char", 0, '"char"'),
        ("name", "name", 0, "name"),
        ("point", "point", 0, "point"),
        ("mood", "mood", 0, "{schema}.mood"),
        ("mood[]", "mood", 1, "{schema}.mood[]"),
        ("moody", "moody", 0, "{schema}.mood"),
        ("small_number", "small_number", 0, "int4"),
        ("small_number[]", "small_number", 1, "int4[]"),
        ("texts", "texts", 0, "text[]"),
    ],
)
def test_types(
    place: Place,
    declaration: str,
    type_name: str,
    dimensions: int,
    evaluator_type: str,
) -> None:
    for statement in (
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN moody AS mood",
        "CREATE DOMAIN number AS int",
        "CREATE DOMAIN small_number AS number CHECK (VALUE < 10)",
        "CREATE DOMAIN texts AS text[]",
    ):
        place.execute(statement)
    found = place.column(declaration)
    assert (found.type_name, found.dimensions) == (type_name, dimensions)
    assert found.evaluator_type == evaluator_type.format(schema=place.schema)
    if "mood" in declaration:
        assert isinstance(found.evaluator_type, EnumName)
        assert found.evaluator_type.labels == ("sad", "ok")


def test_an_enum_whose_name_could_be_mistaken_is_left_to_postgres(place: Place) -> None:
    place.execute("CREATE TYPE \"odd.mood\" AS ENUM ('sad')")
    place.execute("CREATE TYPE nothing AS ENUM ()")
    for name in ('"odd.mood"', "nothing"):
        assert not isinstance(place.column(name).evaluator_type, EnumName)


def test_a_type_of_the_users_own_is_not_taken_for_the_builtin_one(
    place: Place,
) -> None:
    place.execute("CREATE TYPE int4 AS ENUM ('one')")
    assert place.column(f"{place.schema}.int4").evaluator_type == f"{place.schema}.int4"


@pytest.mark.parametrize(
    ("collation", "is_bytewise"),
    [('COLLATE "C"', True), ('COLLATE "POSIX"', True), ("COLLATE ucs_basic", True)],
)
def test_collations(place: Place, collation: str, is_bytewise: bool) -> None:
    assert place.column(f"text {collation}").is_bytewise is is_bytewise


def test_the_collation_of_the_database(place: Place) -> None:
    place.execute(
        "SELECT datcollate IN ('C', 'POSIX', 'C.UTF-8') FROM pg_database WHERE datname = current_database()"
    )
    row = place.cursor.fetchone()
    assert row is not None
    assert place.column("text").is_bytewise is row[0]
    assert place.column("int").is_bytewise


@pytest.mark.parametrize(
    ("locale", "lowers_ascii"),
    [("tr_TR.UTF-8", False), ("tr", False), ("az-Latn", False), ("en_US.UTF-8", True), ("C", True)],
)
def test_turkish_is_known_by_its_name(place: Place, locale: str, lowers_ascii: bool) -> None:
    # The server may lack the locale itself, so the catalogue is told that it has it.
    place.execute('CREATE COLLATION turkic FROM "C"')
    place.execute(
        f"UPDATE pg_collation SET collctype = '{locale}' WHERE oid = 'turkic'::regcollation"
    )
    assert place.column("text COLLATE turkic").lowers_ascii is lowers_ascii
    assert place.column("text").lowers_ascii


def test_generated_columns(place: Place) -> None:
    place.execute("CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id + 1) STORED)")
    relation = place.find("t")
    assert relation is not None
    version = place.cursor.connection.info.server_version
    assert relation.by_name["g"].is_generated is (version < 180000)
    assert not relation.by_name["id"].is_generated


@pytest.mark.parametrize("name", ['we"ird', "Upper", "a.b", "with%s"])
def test_odd_names(place: Place, name: str) -> None:
    quoted = name.replace('"', '""')
    place.execute(f'CREATE TABLE "{quoted}" ("{quoted}" int)')
    relation = place.find(name)
    assert relation is not None
    assert [c.name for c in relation.columns] == [name]
