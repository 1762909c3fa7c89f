"""PROTOCOL sections 2.3 to 2.5, stage G: what needs the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_electric.postgres.relation import Column, Relation
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import InvalidRequest, ShapeParams
from django_electric.protocol.resolve import is_outdated, resolve

ID = Column("id", 20, "int8", not_null=True, pk_position=0, evaluator_type="int8")
NAME = Column("name", 25, "text", evaluator_type="text")
TOTAL = Column("total", 23, "int4", is_generated=True, evaluator_type="int4")
USERS = Relation(16384, "public", "users", (ID, NAME))
WITH_GENERATED = Relation(16385, "public", "sums", (ID, NAME, TOTAL))
NO_KEY = Relation(16386, "public", "nopk", (replace(NAME, name="col1"), replace(NAME, name="col2")))
SHAPE = ShapeParams(TableName("public", "users"))


def errors_of(shape: ShapeParams, relation: Relation | None) -> object:
    with pytest.raises(InvalidRequest) as refused:
        resolve(shape, relation)
    return refused.value.errors


def test_a_table_that_does_not_exist() -> None:
    text = (
        'Table "public"."users" does not exist. If the table name contains capitals or special characters'
        " you must quote it."
    )
    assert errors_of(SHAPE, None) == {"table": [text]}


class TestColumns:
    """Section 2.3."""

    def test_all_columns_without_a_list(self) -> None:
        definition = resolve(SHAPE, USERS)
        assert definition.columns == ("id", "name")
        assert not definition.has_explicit_columns

    def test_queryable_columns_are_the_default_list(self) -> None:
        definition = resolve(replace(SHAPE, queryable_columns=("id",)), USERS)
        assert definition.columns == ("id",)
        assert definition.has_explicit_columns

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (("name",), "The list of columns must include all primary key columns, missing: id"),
            (("id", "x", "y", "x"), "The following columns are not found on the table: x, y"),
        ],
    )
    def test_refusals(self, columns: tuple[str, ...], message: str) -> None:
        assert errors_of(replace(SHAPE, columns=columns), USERS) == {"columns": [message]}

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (
                ("name",),
                "The list of queryable columns must include all primary key columns, missing: id",
            ),
            (("id", "x"), "The following queryable columns are not found on the table: x"),
        ],
    )
    def test_queryable_columns_are_checked_first(
        self, columns: tuple[str, ...], message: str
    ) -> None:
        shape = replace(SHAPE, columns=("nope",), queryable_columns=columns)
        assert errors_of(shape, USERS) == {"queryable_columns": [message]}

    def test_a_column_that_is_not_queryable_is_not_found(self) -> None:
        shape = replace(SHAPE, columns=("id", "name"), queryable_columns=("id",))
        message = "The following columns are not found on the table: name"
        assert errors_of(shape, USERS) == {"columns": [message]}

    def test_without_a_primary_key_every_column_belongs_to_it(self) -> None:
        message = "The list of columns must include all primary key columns, missing: col2"
        assert errors_of(replace(SHAPE, columns=("col1",)), NO_KEY) == {"columns": [message]}

    def test_generated_columns_that_cannot_be_replicated(self) -> None:
        text = "The following columns are generated and cannot be included in the shape: total"
        advice = (
            ". You can exclude them from the shape by explicitly listing which columns to fetch"
            " in the 'columns' query param"
        )
        assert errors_of(SHAPE, WITH_GENERATED) == {"columns": [text + advice]}
        assert errors_of(replace(SHAPE, columns=("id", "total")), WITH_GENERATED) == {
            "columns": [text]
        }
        assert resolve(replace(SHAPE, columns=("id",)), WITH_GENERATED).columns == ("id",)


class TestWhere:
    """Section 2.5."""

    def test_the_canonical_text_is_stored(self) -> None:
        one = resolve(replace(SHAPE, where="NAME='a'"), USERS)
        other = resolve(replace(SHAPE, where="name  =  'a'"), USERS)
        assert one.where == other.where
        assert one.identity == other.identity

    def test_an_error_names_its_field(self) -> None:
        assert errors_of(replace(SHAPE, where="foo = 1"), USERS) == {
            "where": ["At location 0: unknown reference foo"]
        }
        shape = replace(SHAPE, where="name = 'x'", params=(("a", "x"),))
        assert errors_of(shape, USERS) == {"params": ["Parameters can only use numbers as keys"]}

    def test_a_generated_column_is_unknown(self) -> None:
        shape = replace(SHAPE, columns=("id",), where="total = 1")
        assert errors_of(shape, WITH_GENERATED) == {
            "where": ["At location 0: unknown reference total"]
        }


class TestOutdated:
    """Section 16.1 point 2: a shape is compared with the types stored with it."""

    def outdated(self, shape: ShapeParams, *columns: Column) -> bool:
        return is_outdated(resolve(shape, USERS), resolve(shape, replace(USERS, columns=columns)))

    def test_the_type_of_a_selected_column_changed(self) -> None:
        varchar = replace(NAME, type_oid=1043, type_name="varchar", type_modifier=54)
        assert self.outdated(SHAPE, ID, varchar)
        assert self.outdated(SHAPE, ID, replace(NAME, type_modifier=1))

    def test_the_type_of_another_column_changed(self) -> None:
        changed = replace(NAME, type_oid=1043)
        assert not self.outdated(replace(SHAPE, columns=("id",)), ID, changed)
        assert self.outdated(replace(SHAPE, columns=("id",), where="name = 'a'"), ID, changed)

    def test_nullability_may_change_and_columns_may_be_added(self) -> None:
        shape = replace(SHAPE, columns=("id", "name"))
        assert not self.outdated(
            shape, ID, replace(NAME, not_null=True), replace(NAME, name="more")
        )
