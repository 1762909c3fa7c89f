"""Conditions with subqueries become definitions that depend on others (PROTOCOL section 12.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from django_electric.errors import ConfigurationError
from django_electric.postgres.relation import Column, Relation
from django_electric.protocol.access import Access
from django_electric.protocol.conditions import FoundTable
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import InvalidRequest, ShapeParams, nest, parse
from django_electric.protocol.resolve import is_outdated, resolve
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where import Analysis, Contained, Plain, WhereError
from django_electric.where.types import EnumName

VECTORS = Path(__file__).parent.parent / "data" / "subquery_vectors.jsonl"

ID = Column("id", 23, "int4", not_null=True, pk_position=0, evaluator_type="int4")
PARENT_ID = Column("parent_id", 23, "int4", evaluator_type="int4")
N = Column("n", 23, "int4", evaluator_type="int4")
NAME = Column("name", 25, "text", evaluator_type="text")
SECRET = Column("secret", 25, "text", evaluator_type="text")
SHAPE = Column("shape", 600, "point", evaluator_type="point")
TOTAL = Column("total", 23, "int4", is_generated=True, evaluator_type="int4")
CHILD = Relation(1, "public", "child", (ID, PARENT_ID, N, NAME, SECRET, SHAPE))
PARENT = Relation(2, "public", "parent", (ID, N, NAME, SHAPE, TOTAL))
PARTS = Relation(3, "public", "parts", (ID, N), is_partitioned=True)
OTHER = Relation(4, "App", "Other", (ID, N))
TABLES = {TableName(one.schema, one.name): one for one in (CHILD, PARENT, PARTS, OTHER)}


def analyse(text: str, params: Mapping[int, str]) -> Analysis | None:
    """Postgres, which knows of points that they have ``~=``, and their column by its bare name."""
    if "~=" not in text:
        return None
    if "U0" in text:
        raise WhereError("missing FROM-clause entry for table")
    return Analysis("(shape ~= '(0,0)'::point)", ("shape",))


def find(table: TableName) -> FoundTable | None:
    relation = TABLES.get(table)
    return relation and FoundTable(relation, analyse)


def definition(where: str, access: Access | None = None, **query: str) -> ShapeDefinition:
    given = {"table": "child", "offset": "-1", "where": where, **query}
    shape = parse(nest(list(given.items())), access).shape
    return resolve(shape, CHILD, analyse, find)


def errors(where: str, access: Access | None = None, **query: str) -> Mapping[str, object]:
    with pytest.raises(InvalidRequest) as refused:
        definition(where, access, **query)
    return refused.value.errors


def test_a_definition_and_what_it_depends_on() -> None:
    found = definition("parent_id IN (SELECT id FROM parent WHERE n > 1) AND name = 'x'")
    select = 'SELECT "id" FROM ONLY "public"."parent" WHERE "n" > 1'
    assert found.where == f'("parent_id" IN ({select})) AND ("name" = \'x\'::text)'
    assert found.parsed_where() is None
    assert found.filtered_columns == {"parent_id", "name"}
    plan = found.plan()
    assert plan is not None
    assert plan.sql == found.where
    ((contained, plain),) = plan.alternatives
    assert contained == Contained(("parent_id",), 0, "in")
    assert isinstance(plain, Plain)
    assert plain.where.sql == "\"name\" = 'x'::text"
    (parent,) = found.dependencies
    assert parent == replace(
        ShapeDefinition.build(PARENT, columns=("id",)), where='"n" > 1', columns=("id",)
    )
    assert (parent.has_explicit_columns, parent.replica, parent.log_mode) == (
        True,
        "default",
        "full",
    )
    assert ShapeDefinition.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_one_that_is_written_twice_is_one_dependency() -> None:
    once, twice = (
        definition(f"parent_id IN (SELECT id FROM parent) AND n IN (SELECT {text})")
        for text in ("id FROM parent WHERE n = 1", "p.id AS x FROM public.parent AS p WHERE true")
    )
    assert len(once.dependencies) == 2
    assert len(twice.dependencies) == 1
    plan = twice.plan()
    assert plan is not None
    assert [one.dependency for _, one in plan.literals() if isinstance(one, Contained)] == [0, 0]


def test_selected_columns_keep_their_order() -> None:
    found = definition("(name, n, n) IN (SELECT name, id, n FROM parent)")
    assert found.dependencies[0].columns == ("name", "id", "n")
    assert found.where == (
        '("name", "n", "n") IN (SELECT "name", "id", "n" FROM ONLY "public"."parent")'
    )
    twice = definition("(n, n) IN (SELECT id, id FROM parent)")
    assert twice.dependencies[0].columns == ("id", "id")
    assert twice.plan() is not None


def test_dependencies_may_depend_on_others() -> None:
    found = definition(
        'n IN (SELECT id FROM parent WHERE n NOT IN (SELECT n FROM "App"."Other" o WHERE o.id = $1))',
        **{"params[1]": "7"},
    )
    (parent,) = found.dependencies
    (other,) = parent.dependencies
    assert (other.schema, other.table, other.where) == ("App", "Other", '"id" = 7')
    assert parent.where == f'NOT ("n" IN ({other.subselect}))'
    assert found.tables == {1, 2, 4}
    assert found.params == ("7",)
    inner = parent.plan()
    assert inner is not None
    assert inner.alternatives == ((Contained(("n",), 0, "not in"),),)


def test_the_table_itself_may_be_read() -> None:
    found = definition("id IN (SELECT child.parent_id FROM child WHERE child.n = 1)")
    assert found.tables == {1}
    assert found.dependencies[0].where == '"n" = 1'


def test_parameters_that_only_a_subquery_uses_make_a_shape() -> None:
    text = "parent_id IN (SELECT id FROM parent WHERE n > $2) AND n < $1"
    given = {"params[1]": "9", "params[2]": "5", "params[3]": "0"}
    found = definition(text, **given)
    assert found.params == ("9", "5")
    assert found.dependencies[0].where == '"n" > 5'
    assert found.identity != definition(text, **{**given, "params[2]": "6"}).identity


def test_what_is_always_true_depends_on_nothing() -> None:
    found = definition("parent_id IN (SELECT id FROM parent) OR true")
    assert (found.where, found.dependencies) == ("true", ())


class TestRefusals:
    """Stage G."""

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (
                "n IN (SELECT id FROM nosuch)",
                {
                    "table": [
                        'Table "public"."nosuch" does not exist. If the table name contains capitals or special'
                        " characters you must quote it."
                    ]
                },
            ),
            (
                "n IN (SELECT nosuch FROM parent)",
                {"columns": ["The following columns are not found on the table: nosuch"]},
            ),
            (
                "n IN (SELECT total FROM parent)",
                {
                    "columns": [
                        "The following columns are generated and cannot be included in the shape: total"
                    ]
                },
            ),
            (
                "n IN (SELECT id FROM parent WHERE nosuch = 1)",
                {"where": ["At location 34: unknown reference nosuch"]},
            ),
            (
                "n IN (SELECT id FROM parent WHERE total = 1)",
                {"where": ["At location 34: unknown reference total"]},
            ),
            (
                "n IN (SELECT id FROM parent WHERE parent_id = 1)",
                {"where": ["At location 34: unknown reference parent_id"]},
            ),
            (
                "n IN (SELECT id FROM parts)",
                {
                    "where": [
                        'At location 2: "public"."parts" is partitioned: a subquery cannot read it'
                    ]
                },
            ),
            (
                "nosuch IN (SELECT id FROM parent)",
                {"where": ["At location 0: unknown reference nosuch"]},
            ),
            (
                "n IN (SELECT id FROM parent WHERE n > $1)",
                {"where": ["At location 38: parameter $1 was not provided"]},
            ),
            (
                "n IN (SELECT id FROM parent) OR NOT n IN (SELECT id FROM parent)",
                {
                    "where": [
                        "a subquery dependency cannot be used with both positive and negative polarity in the"
                        " same filter"
                    ]
                },
            ),
            (
                "n IN (SELECT id FROM parent WHERE n IN (SELECT n FROM child) OR n NOT IN (SELECT n FROM child))",
                {
                    "where": [
                        "a subquery dependency cannot be used with both positive and negative polarity in the"
                        " same filter"
                    ]
                },
            ),
        ],
    )
    def test_messages(self, where: str, expected: Mapping[str, object]) -> None:
        assert errors(where) == expected

    def test_what_only_postgres_evaluates_beside_a_subquery(self) -> None:
        (message,) = errors("n IN (SELECT id FROM parent) AND shape ~= '(0,0)'")["where"]  # type: ignore[misc]
        assert "cannot stand beside a subquery" in message

    def test_and_beside_one_in_a_subquery(self) -> None:
        text = "n IN (SELECT id FROM parent WHERE shape ~= '(0,0)' AND n IN (SELECT n FROM child))"
        (message,) = errors(text)["where"]  # type: ignore[misc]
        assert "cannot stand beside a subquery" in message

    def test_too_deep(self) -> None:
        text = "n IN (SELECT id FROM parent WHERE " * 17 + "true" + ")" * 17
        assert errors(text) == {"where": ["expression is nested too deeply"]}
        assert definition("n IN (SELECT id FROM parent WHERE " * 16 + "true" + ")" * 16).plan()

    def test_too_many(self) -> None:
        def several(count: int, inside: str = "n = {}") -> str:
            alike = f"n IN (SELECT id FROM parent WHERE {inside})"
            return " AND ".join(alike.format(n) for n in range(count))

        refusal = {"where": ["more than 32 different subqueries"]}
        assert len(list(definition(f"{several(32)} AND {several(2)}").walk())) == 33
        assert errors(several(33)) == refusal
        nested = "n = {} AND id IN (SELECT n FROM child)"
        assert definition(several(16, nested)).plan()
        assert errors(several(17, nested)) == refusal

    def test_too_long(self) -> None:
        text = f"{' ' * 65_000}n IN (SELECT id FROM parent WHERE {'n > 1 AND ' * 60} true)"
        assert errors(text) == {"where": ["clause is bigger than maximum size of 65536 bytes"]}

    def test_without_a_look_at_other_tables_there_are_none(self) -> None:
        shape = ShapeParams(TableName("public", "child"), "n IN (SELECT id FROM parent)")
        with pytest.raises(InvalidRequest):
            resolve(shape, CHILD)


def test_what_only_postgres_evaluates_may_stand_in_a_subquery() -> None:
    found = definition("n IN (SELECT id FROM parent U0 WHERE U0.shape ~= '(0,0)')")
    (parent,) = found.dependencies
    assert parent.delegated_columns == ("shape",)
    assert parent.where == "(shape ~= '(0,0)'::point)"
    where, plan = parent.parsed_where(), found.plan()
    assert where is not None
    assert where.is_delegated
    assert plan is not None
    assert plan.alternatives == ((Contained(("n",), 0, "in"),),)


def test_a_column_of_a_dependency_that_has_another_type_now() -> None:
    stored = definition("n IN (SELECT id FROM parent WHERE name = 'x')")
    (parent,) = stored.dependencies
    assert not is_outdated(stored, stored)
    retyped = tuple(
        replace(c, type_oid=1043) if c.name == "name" else c for c in parent.relation_columns
    )
    current = replace(stored, dependencies=(replace(parent, relation_columns=retyped),))
    assert is_outdated(stored, current)


class TestAccess:
    """What the server allows may read other tables; what the client says may not."""

    MINE = Access(
        TableName("public", "child"),
        "parent_id IN (SELECT id FROM parent WHERE n = $1)",
        ("7",),
        ("id", "n", "name"),
    )
    SELECT = '"parent_id" IN (SELECT "id" FROM ONLY "public"."parent" WHERE "n" = 7)'

    def resolved(self, access: Access, **given: Any) -> ShapeDefinition:
        shape = ShapeParams(access.table, access=access, **given)
        return resolve(shape, CHILD, analyse, find)

    def test_its_own_subqueries(self) -> None:
        found = self.resolved(self.MINE)
        assert found.where == self.SELECT
        assert len(found.dependencies) == 1

    def test_narrowed_by_the_client(self) -> None:
        found = self.resolved(self.MINE, where="name = $1 OR n > 3", params=(("1", "a"),))
        assert found.where == f'({self.SELECT}) AND (("name" = \'a\'::text) OR ("n" > 3))'
        plan = found.plan()
        assert plan is not None
        assert [len(literals) for literals in plan.alternatives] == [2, 2]

    @pytest.mark.parametrize("where", ["1 / n = 2", "name::int4 = 1"])
    def test_a_condition_that_can_fail_cannot_narrow_it(self, where: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            self.resolved(self.MINE, where=where)
        (message,) = refused.value.errors["where"]  # type: ignore[misc]
        assert "may fail on a row" in message

    @pytest.mark.parametrize("access", [MINE, replace(MINE, where=None, params=(), columns=None)])
    @pytest.mark.parametrize(
        "where",
        [
            "n IN (SELECT id FROM parent WHERE name > 'm')",
            "n IN (SELECT id FROM child)",
            "n NOT IN (SELECT nosuch FROM nosuch)",
            "id > 0 OR n IN (SELECT id + 1 FROM parent)",
        ],
    )
    def test_the_client_has_no_subqueries(self, access: Access, where: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            self.resolved(access, where=where)
        assert refused.value.errors == {
            "where": [
                "subqueries are not allowed here: they would tell of tables that may not be read"
            ]
        }

    @pytest.mark.parametrize(
        "where",
        [
            "n IN (SELECT id FROM nosuch)",
            "n IN (SELECT id FROM parent) OR n NOT IN (SELECT id FROM parent)",
            "n IN (SELECT id FROM parts)",
        ],
    )
    def test_its_faults_are_not_the_clients(self, where: str) -> None:
        with pytest.raises(ConfigurationError):
            self.resolved(replace(self.MINE, where=where, params=()))


# --- The vectors ------------------------------------------------------------------------------------

BEYOND = {
    "subq-wrapped-06": "coalesce beside a subquery",
    "subq-form-13": "a column qualified by the alias",
    "subq-form-14": "a column qualified by the table's name",
}
"""What the original refuses or fails on, and is accepted here."""


def _vectors() -> list[Any]:
    return [
        pytest.param(vector, id=vector["id"])
        for vector in map(json.loads, VECTORS.read_text().splitlines())
    ]


def _relation(oid: int, name: str, table: dict[str, Any]) -> Relation:
    columns = (
        Column(
            one, 1, kind, pk_position=table["pk"].index(one) if one in table["pk"] else None,
            evaluator_type=EnumName("mood", ("sad", "ok", "happy")) if kind == "mood" else kind,
        )
        for one, kind in table["columns"].items()
    )  # fmt: skip
    return Relation(oid, "public", name, tuple(columns))


def _resolved(vector: dict[str, Any]) -> ShapeDefinition:
    tables = {
        name: FoundTable(_relation(oid, name, table))
        for oid, (name, table) in enumerate(vector["tables"].items(), 1)
    }
    params = tuple(sorted(vector.get("params", {}).items())) or None
    shape = ShapeParams(TableName("public", vector["root"]), vector["where"], params)
    return resolve(
        shape, tables[vector["root"]].relation, find=lambda table: tables.get(table.name)
    )


@pytest.mark.parametrize("vector", _vectors())
def test_vectors(vector: dict[str, Any]) -> None:
    kind = vector["class"]
    if "error" in vector:
        with pytest.raises(InvalidRequest) as refused:
            _resolved(vector)
        assert vector["error"] in str(refused.value.errors)
    elif kind in ("agree", "electric_value") or vector["id"] in BEYOND:
        plan = _resolved(vector).plan()
        assert plan is not None
        assert any(isinstance(one, Contained) for _, one in plan.literals())
    else:
        assert kind == "electric_rejects"
        with pytest.raises(InvalidRequest):
            _resolved(vector)


Row = tuple[str | None, ...]


def _rows(shape: ShapeDefinition, tables: dict[str, Any]) -> list[dict[str, str | None]]:
    """The rows of a shape, by its plan and by what its subqueries give."""
    names = [c.name for c in shape.relation_columns]
    rows = [dict(zip(names, row, strict=True)) for row in tables[shape.table]["rows"]]
    plan, where = shape.plan(), shape.parsed_where()
    positions = {name: at for at, name in enumerate(names)}
    if plan is None:
        if where is None:
            return rows
        matches = where.compile(positions)
        return [row for row in rows if matches(tuple(row.values())) is True]
    given = [
        [tuple(row[name] for name in one.columns) for row in _rows(one, tables)]
        for one in shape.dependencies
    ]

    def is_true(literal: Contained | Plain, row: dict[str, str | None]) -> bool:
        if isinstance(literal, Plain):
            return literal.where.compile(positions)(tuple(row.values())) is True
        found = _is_in(tuple(row[name] for name in literal.columns), given[literal.dependency])
        return {
            "in": found is True,
            "not in": found is False,
            "not true": found is not True,
            "not false": found is not False,
        }[literal.membership]

    return [
        row
        for row in rows
        if any(all(is_true(one, row) for one in literals) for literals in plan.alternatives)
    ]


def _is_in(left: Row, rows: list[Row]) -> bool | None:
    """``left IN (rows)``, in three-valued logic."""
    equal = [_is_equal(left, row) for row in rows]
    return True if True in equal else None if None in equal else False


def _is_equal(left: Row, right: Row) -> bool | None:
    pairs = list(zip(left, right, strict=True))
    if any(None not in pair and pair[0] != pair[1] for pair in pairs):
        return False
    return None if any(None in pair for pair in pairs) else True


@pytest.mark.parametrize(
    "vector", [one for one in _vectors() if one.values[0].get("initial") is not None]
)
def test_the_plans_of_the_vectors_give_the_rows_that_postgres_gives(vector: dict[str, Any]) -> None:
    if vector["class"] == "electric_rejects":
        pytest.skip("it may be refused")
    key = vector["tables"][vector["root"]]["pk"][0]
    found = [row[key] for row in _rows(_resolved(vector), vector["tables"])]
    assert sorted(map(str, found)) == sorted(vector["initial"])
