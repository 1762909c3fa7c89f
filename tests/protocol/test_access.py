"""What the client says narrows what it may see, and never widens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from django_electric.errors import ConfigurationError
from django_electric.postgres.relation import Column, Relation
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import (
    DeleteRequest,
    InvalidRequest,
    ShapeParams,
    nest,
    parse,
    parse_delete,
)
from django_electric.protocol.resolve import nameable_columns, resolve
from django_electric.protocol.subset import parse_subset
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where import Analysis, WhereError

ID = Column("id", 23, "int4", not_null=True, pk_position=0, evaluator_type="int4")
OWNER = Column("owner", 23, "int4", evaluator_type="int4")
TITLE = Column("title", 25, "text", evaluator_type="text")
SECRET = Column("secret", 25, "text", evaluator_type="text")
TOTAL = Column("total", 23, "int4", is_generated=True, evaluator_type="int4")
NOTES = Relation(16384, "public", "notes", (ID, OWNER, TITLE, SECRET))
NO_KEY = Relation(16385, "public", "notes", (OWNER, TITLE))

MINE = Access(
    TableName("public", "notes"), "owner = $1", ("7",), ("id", "owner", "title"), user="auth.User:7"
)
WHOLE = Access(TableName("public", "notes"))


def definition(access: Access = MINE, **query: str) -> ShapeDefinition:
    request = parse(nest([("offset", "-1"), *query.items()]), access)
    return resolve(request.shape, NOTES)


def errors(access: Access = MINE, **query: str) -> Mapping[str, object]:
    with pytest.raises(InvalidRequest) as refused:
        definition(access, **query)
    return refused.value.errors


class TestTable:
    def test_it_need_not_be_named(self) -> None:
        assert definition().table == "notes"

    def test_it_may_be_named(self) -> None:
        assert definition(table="notes") == definition(table='public."notes"') == definition()

    @pytest.mark.parametrize("other", ["users", "app.notes", '"Notes"'])
    def test_another_one_is_refused(self, other: str) -> None:
        assert errors(table=other) == {"table": ["is not the table of this shape: leave it out"]}

    def test_without_an_access_it_must_be_named(self) -> None:
        with pytest.raises(InvalidRequest):
            parse({"offset": "-1"})


class TestWhere:
    def test_without_one_of_the_client_it_is_that_of_the_access(self) -> None:
        assert definition().where == '"owner" = 7'

    def test_that_of_the_client_is_added(self) -> None:
        found = definition(where="title = 'a'").where
        assert found == '("owner" = 7) AND ("title" = \'a\'::text)'
        assert definition(WHOLE, where="id = 1").where == '"id" = 1'

    def test_an_or_stays_inside(self) -> None:
        found = definition(where="id = 1 OR title = 'a'").where
        assert found == '("owner" = 7) AND (("id" = 1) OR ("title" = \'a\'::text))'
        assert definition(where="true").where == definition().where
        assert definition(where="true OR owner = 8").where == definition().where

    @pytest.mark.parametrize(
        "text",
        [
            "1=1) OR (1=1",
            "true) OR (owner > 0",
            "id = 1 OR (true",
            "id = 1) --",
            "id = 1 /*",
            "id = 1; SELECT 1",
            "id = 1 UNION SELECT 1",
            "id IN (SELECT id FROM notes)",
            "'",
        ],
    )
    def test_it_is_read_alone(self, text: str) -> None:
        assert set(errors(where=text)) == {"where"}

    @pytest.mark.parametrize(
        "text", ["true --", "true /* ) OR (true */", "(((true)))", "true\n--\n"]
    )
    def test_comments_and_parentheses_end_with_it(self, text: str) -> None:
        assert definition(where=text).where == '"owner" = 7'

    def test_each_has_parameters_of_its_own(self) -> None:
        query = {"where": "title = $1 AND id = $2", "params[1]": "a", "params[2]": "3"}
        expected = '("owner" = 7) AND ("title" = \'a\'::text) AND ("id" = 3)'
        assert definition(**query).where == expected

    def test_a_parameter_of_the_access_cannot_be_used_or_set(self) -> None:
        assert set(errors(where="id = $1")) == {"where"}
        assert definition(**{"where": "true", "params[1]": "8"}).where == '"owner" = 7'
        assert definition(**{"params[1]": "8"}) == definition()

    @pytest.mark.parametrize("text", ["secret = 'x'", "secret IS NULL OR true", "notes IS NULL"])
    def test_hidden_columns_do_not_exist(self, text: str) -> None:
        (message,) = errors(where=text)["where"]  # type: ignore[misc]  # a list of one
        assert message.startswith("At location 0: unknown reference")
        assert set(errors(where="total = 1")) == {"where"}

    def test_postgres_is_not_asked_about_hidden_columns_either(self) -> None:
        asked: list[str] = []

        def analyse(text: str, params: Mapping[int, str]) -> Analysis | None:
            asked.append(text)
            if "now" in text:
                raise WhereError("function now is stable")
            return Analysis("(soundex(secret) = 'x'::text)", ("secret",))

        for text in ("soundex(secret) = 'x'", "secret = now()::text"):
            request = parse({"offset": "-1", "where": text}, MINE)
            with pytest.raises(InvalidRequest) as refused:
                resolve(request.shape, NOTES, analyse)
            assert "stable" not in str(refused.value.errors)
        assert len(asked) == 2

    def test_either_may_be_left_to_postgres(self) -> None:
        def analyse(text: str, params: Mapping[int, str]) -> Analysis | None:
            return Analysis("(soundex(title) = 'x'::text)", ("title",))

        request = parse({"offset": "-1", "where": "soundex(title) = 'x'"}, MINE)
        found = resolve(request.shape, NOTES, analyse)
        assert found.delegated_columns == ("owner", "title")
        assert found.where is not None
        assert found.where.startswith('("owner" = 7) AND CASE WHEN ("owner" = 7) THEN')
        access = replace(MINE, where="soundex(title) = $1", params=("x",))
        request = parse({"offset": "-1", "where": "id = 1"}, access)
        found = resolve(request.shape, NOTES, analyse)
        assert found.where == "((soundex(title) = 'x'::text)) AND (\"id\" = 1)"


class TestColumns:
    def test_those_of_the_access_are_sent(self) -> None:
        assert definition().columns == ("id", "owner", "title")
        assert definition(WHOLE).columns == ("id", "owner", "title", "secret")

    def test_the_primary_key_is_always_among_them(self) -> None:
        assert definition(replace(MINE, columns=("title",))).columns == ("id", "title")

    def test_the_client_may_choose_fewer(self) -> None:
        assert definition(columns="id,title").columns == ("id", "title")
        assert definition(queryable_columns="id,title").columns == ("id", "title")

    @pytest.mark.parametrize("parameter", ["columns", "queryable_columns"])
    def test_a_hidden_one_is_answered_as_one_that_is_not_there(self, parameter: str) -> None:
        (hidden,) = errors(**{parameter: "id,secret"})[parameter]  # type: ignore[misc]  # a list of one
        (unknown,) = errors(**{parameter: "id,nothing"})[parameter]  # type: ignore[misc]  # a list of one
        assert hidden == unknown.replace("nothing", "secret")

    def test_a_column_of_the_access_that_cannot_be_sent_is_not_the_clients_fault(self) -> None:
        for columns, relation in (
            (("id", "gone"), NOTES),
            (("id", "total"), replace(NOTES, columns=(*NOTES.columns, TOTAL))),
            (("title",), NO_KEY),
        ):
            shape = ShapeParams(MINE.table, access=replace(MINE, columns=columns, where=None))
            with pytest.raises(ConfigurationError, match="What may be read of"):
                resolve(shape, relation)

    def test_without_a_primary_key_all_of_them_are_needed(self) -> None:
        access = replace(MINE, columns=("owner", "title"))
        assert resolve(ShapeParams(MINE.table, access=access), NO_KEY).columns == ("owner", "title")


class TestSubsets:
    def nameable(self, access: Access = MINE, **query: str) -> frozenset[str] | None:
        return nameable_columns(
            parse(nest([("offset", "-1"), *query.items()]), access).shape, NOTES
        )

    def test_they_may_name_what_the_access_and_the_client_allow(self) -> None:
        assert self.nameable() == {"id", "owner", "title"}
        assert self.nameable(queryable_columns="id,title") == {"id", "title"}
        assert self.nameable(WHOLE) is None
        assert self.nameable(WHOLE, queryable_columns="id,secret") == {"id", "secret"}

    @pytest.mark.parametrize(
        "members", [{"where": "secret > 'm'"}, {"order_by": "secret", "limit": "1"}]
    )
    def test_hidden_columns_do_not_exist(self, members: dict[str, str]) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse_subset(members, NOTES, self.nameable())
        assert "unknown reference secret" in str(refused.value.errors)


class TestIdentity:
    def test_the_same_rows_are_the_same_shape_for_everybody(self) -> None:
        other = replace(MINE, where="owner = 7", params=(), user="auth.User:8")
        assert definition(other).identity == definition().identity
        assert definition(WHOLE, where="owner = 7", columns="id,owner,title").identity == (
            definition().identity
        )

    def test_other_rows_or_columns_are_another_one(self) -> None:
        identities = {
            definition(access).identity
            for access in (
                MINE,
                replace(MINE, params=("8",)),
                replace(MINE, columns=("id",)),
                WHOLE,
            )
        }
        assert len(identities) == 4

    def test_what_is_remembered_for_one_is_not_found_for_another(self) -> None:
        mine = parse({"offset": "-1"}, MINE).shape
        theirs = parse({"offset": "-1"}, replace(MINE, params=("8",))).shape
        assert hash(mine) == hash(parse({"offset": "-1"}, MINE).shape)
        assert len({mine, theirs}) == 2


def test_a_condition_of_the_access_that_does_not_fit_is_not_told_to_the_client() -> None:
    shape = ShapeParams(MINE.table, access=replace(MINE, where="nothing = 1", params=()))
    with pytest.raises(ConfigurationError, match="unknown reference nothing"):
        resolve(shape, NOTES)


def test_to_drop_a_shape_is_to_drop_the_one_that_may_be_seen() -> None:
    request = parse_delete({"handle": "h"}, MINE)
    assert request == DeleteRequest(ShapeParams(MINE.table, access=MINE), "h")
    with pytest.raises(InvalidRequest):
        parse_delete({"handle": "h", "table": "users"}, MINE)
