"""Messages equal PROTOCOL section 4 applied naively."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.postgres.pgoutput import Row
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.log_items import (
    ENTRY_END,
    LAST_ENTRY_END,
    Item,
    View,
    delete_items,
    headers_for,
    insert_items,
    relation_key,
    update_items,
    value_writer,
    view_key,
)
from tests.shapes.world import ITEMS, VALUES, define, naive_messages, table, texts

XID, TX, OP = 742, 26741384, 4


def view_of(definition: ShapeDefinition, layout: Sequence[str] | None = None) -> View:
    own = tuple(c.name for c in definition.relation_columns)
    return View(definition, tuple(layout or own))


def rendered(items: list[Item]) -> list[dict[str, Any]]:
    """The messages, each as it stands in the middle of a transaction."""
    for _, text in items:
        assert text[:1] == b","
        assert b"\n" not in text
    messages = [json.loads(text[1:] + ENTRY_END) for _, text in items]
    assert [m["headers"]["op_position"] for m in messages] == [op for op, _ in items]
    return messages


def render(definition: ShapeDefinition, old: Row | None, new: Row | None) -> list[dict[str, Any]]:
    view = view_of(definition)
    headers = headers_for(view.relation, XID, TX)
    if old is None:
        assert new is not None
        return rendered(insert_items(view, headers, OP, new))
    if new is None:
        return rendered(delete_items(view, headers, OP, old))
    return rendered(update_items(view, headers, OP, old, new))


def expected(definition: ShapeDefinition, old: Row | None, new: Row | None) -> list[dict[str, Any]]:
    layout = [c.name for c in definition.relation_columns]
    return naive_messages(definition, layout, old, new, xid=XID, tx=TX, op=OP)


# -- against the model -----------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> tuple[ShapeDefinition, Row, Row]:
    names = draw(st.lists(texts.filter(bool), min_size=1, max_size=5, unique=True))
    types = [draw(st.sampled_from(sorted(VALUES))) for _ in names]
    key = draw(st.permutations(names))[: draw(st.integers(0, len(names)))]
    relation = table(
        dict(zip(names, types, strict=True)), key, schema=draw(texts.filter(bool)), name=draw(texts)
    )
    chosen = draw(
        st.none() | st.sets(st.sampled_from(names), min_size=1).map(lambda s: tuple(s | set(key)))
    )
    definition = define(
        relation, columns=chosen, replica=draw(st.sampled_from(["default", "full"]))
    )

    def row() -> Row:
        return tuple(
            draw(VALUES[t] if n in key else st.none() | VALUES[t])
            for n, t in zip(names, types, strict=True)
        )

    old, other = row(), row()
    keep = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    new = tuple(o if k else n for o, n, k in zip(old, other, keep, strict=True))
    return definition, old, new


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_change_is_told_as_the_specification_tells_it(
    case: tuple[ShapeDefinition, Row, Row],
) -> None:
    definition, old, new = case
    assert render(definition, None, new) == expected(definition, None, new)
    assert render(definition, old, None) == expected(definition, old, None)
    assert render(definition, old, new) == expected(definition, old, new)


# -- by hand -----------------------------------------------------------------------------------------

KEYED = table({"id": "text", "flag": "bool", "n": "int4"})


def test_an_insert_has_every_selected_column_and_the_headers_of_the_specification() -> None:
    view = view_of(define(columns=("id", "text")))
    ((_, text),) = insert_items(view, headers_for(view.relation, XID, TX), OP, ("7", 'a"b\n', "t"))
    assert text + LAST_ENTRY_END == (
        b',{"key":"\\"public\\".\\"items\\"/\\"7\\"","value":{"id":"7","text":"a\\"b\\n"},'
        b'"headers":{"operation":"insert","relation":["public","items"],"txids":[742],'
        b'"lsn":"26741384","op_position":4,"last":true}}\n'
    )


def test_members_of_a_message_stand_in_one_order_whatever_the_operation() -> None:
    for old, new in [(None, ("1", "a", "t")), (("1", "a", "t"), None), (("1", "a", "t"), ("1", "b", "t")),
                     (("1", "a", "t"), ("2", "a", "t"))]:  # fmt: skip
        for message in render(define(), old, new):
            assert list(message) == ["key", "value", "headers"]
            assert next(iter(message["headers"])) == "operation"


def test_null_is_null_and_an_empty_text_is_not() -> None:
    (message,) = render(define(), None, ("1", None, None))
    assert message["value"] == {"id": "1", "text": None, "done": None}
    (message,) = render(define(), None, ("1", "", "f"))
    assert message["value"] == {"id": "1", "text": "", "done": "false"}


def test_a_boolean_is_spelt_out_in_value_and_key() -> None:
    flags = table({"flag": "bool", "n": "int4"}, ["flag"])
    (message,) = render(define(flags), None, ("t", "1"))
    assert message["value"]["flag"] == "true"
    assert message["key"] == '"public"."items"/"true"'


@pytest.mark.parametrize(
    ("value", "part"),
    [("42", '/"42"'), ('a/b"c', '/"a//b"c"'), ("", '/""'), ("//", '/"////"'), ("a\nb", '/"a\nb"')],
)
def test_in_a_key_only_the_slash_is_doubled(value: str, part: str) -> None:
    (message,) = render(define(KEYED), None, (value, "t", "1"))
    assert message["key"] == '"public"."items"' + part


def test_a_key_of_several_columns_is_in_the_order_of_its_index() -> None:
    relation = table(
        {"second": "text", "first": "text", "third": "text"},
        ["first", "second", "third"],
        name="foo",
    )
    (message,) = render(define(relation), None, ("b", "a", "c"))
    assert message["key"] == '"public"."foo"/"a"/"b"/"c"'


@pytest.mark.parametrize("key", [["at"], ["at", "id"]])
def test_the_slash_of_a_pg_lsn_is_doubled_in_a_key_as_any_other(key: list[str]) -> None:
    relation = table({"at": "pg_lsn", "id": "int4"}, key)
    (message,) = render(define(relation), None, ("16/B374D848", "1"))
    assert message["key"].startswith('"public"."items"/"16//B374D848"')
    assert message["value"]["at"] == "16/B374D848"


def test_without_a_primary_key_all_columns_are_the_key_and_null_has_no_quotes() -> None:
    keyless = table({"a": "int4", "b": "text"}, [])
    (message,) = render(define(keyless), None, (None, "x"))
    assert message["key"] == '"public"."items"/_/"x"'
    single = table({"a": "int4"}, [])
    (message,) = render(define(single), None, (None,))
    assert message["key"] == '"public"."items"/_'
    (message,) = render(define(single), None, ("5",))
    assert message["key"] == '"public"."items"/"5"'


def test_names_are_quoted_in_a_key_as_in_sql() -> None:
    assert relation_key("public", "items") == '"public"."items"'
    assert relation_key("we.ird", 'na"me/x') == '"we.ird"."na""me/x"'


def test_an_update_of_a_row_without_a_primary_key_is_a_delete_and_an_insert() -> None:
    keyless = table({"a": "int4", "b": "text"}, [])
    delete, insert = render(define(keyless), ("1", "x"), ("1", "y"))
    assert delete["headers"]["key_change_to"] == insert["key"]
    assert insert["headers"]["key_change_from"] == delete["key"]
    assert delete["value"] == {"a": "1", "b": "x"}


def test_a_row_without_a_primary_key_changes_its_key_even_in_a_column_that_is_not_selected() -> (
    None
):
    """Else the client keeps it under a key by which it is never deleted."""
    keyless = table({"a": "int4", "b": "text"}, [])
    delete, insert = render(define(keyless, columns=("a",)), ("1", "x"), ("1", "y"))
    assert (delete["key"], insert["key"]) == (
        '"public"."items"/"1"/"x"',
        '"public"."items"/"1"/"y"',
    )


def test_a_changed_key_keeps_its_two_halves_together() -> None:
    delete, insert = render(define(), ("1", "a", "t"), ("2", "b", "f"))
    assert delete["value"] == {"id": "1"}
    assert insert["value"] == {"id": "2", "text": "b", "done": "false"}
    assert (delete["headers"]["op_position"], insert["headers"]["op_position"]) == (OP, OP + 1)
    assert "old_value" not in insert


def test_an_update_tells_what_changed_and_the_key() -> None:
    (message,) = render(define(), ("1", "a", "t"), ("1", "b", "t"))
    assert message["value"] == {"id": "1", "text": "b"}
    assert "old_value" not in message


def test_an_update_with_full_replica_tells_the_row_and_what_it_was() -> None:
    (message,) = render(define(replica="full"), ("1", "a", "t"), ("1", None, "t"))
    assert message["value"] == {"id": "1", "text": None, "done": "true"}
    assert message["old_value"] == {"text": "a"}


def test_an_update_that_changes_nothing_selected_is_not_told() -> None:
    assert render(define(columns=("id", "done")), ("1", "a", "t"), ("1", "b", "t")) == []
    assert render(define(), ("1", "a", "t"), ("1", "a", "t")) == []


def test_a_delete_tells_the_key_or_with_full_replica_the_row() -> None:
    (message,) = render(define(), ("1", "a", None), None)
    assert message["value"] == {"id": "1"}
    (message,) = render(define(replica="full"), ("1", "a", None), None)
    assert message["value"] == {"id": "1", "text": "a", "done": None}


def test_a_view_follows_the_layout_of_the_rows_and_not_the_order_of_the_definition() -> None:
    view = view_of(define(), ("done", "added", "text", "id"))
    ((_, text),) = insert_items(view, headers_for(view.relation, 1, 2), 0, ("f", "?", "a", "9"))
    message = json.loads(text[1:] + ENTRY_END)
    assert message["key"] == '"public"."items"/"9"'
    assert message["value"] == {"id": "9", "text": "a", "done": "false"}


@pytest.mark.parametrize(
    "value", ["\0x".replace("\0", "\x01"), "\u2028", "\x7f", "𝄞", '"\\/', "\ud7ff"]
)
def test_any_text_survives_as_json(value: str) -> None:
    assert json.loads(value_writer("text")(value)) == value


def test_shapes_share_a_view_only_if_they_see_rows_alike() -> None:
    layout = ("id", "text", "done")
    one = define(where="id = 1")
    assert view_key(one, layout) == view_key(define(where="id = 2"), layout)
    assert view_key(one, layout) == view_key(define(), layout)
    others = [define(replica="full"), define(columns=("id",)), define(table({"id": "int4"}))]
    assert all(view_key(other, layout) != view_key(one, layout) for other in others)
    assert view_key(one, ("text", "id", "done")) != view_key(one, layout)
    assert ITEMS.oid == one.relation_oid


def test_the_headers_of_a_transaction_are_made_once() -> None:
    assert headers_for("r", 1, 2) is headers_for("r", 1, 2)
