"""Shape: the catalogue row and its verbs."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from django_electric.models import Shape, ShapeQuerySet, new_handle
from django_electric.postgres.layouts import oids_with_shapes
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol.conditions import FoundTable
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams
from django_electric.protocol.resolve import resolve
from django_electric.shapes.definition import ShapeDefinition
from tests.shapes.world import ITEMS as ITEMS_TABLE
from tests.shapes.world import define, table

ITEMS = define()
SOME = define(columns=("id",), where="id > 3", replica="full")

# A catalogue needs a database; the cluster has to run before pytest-django makes one in it.
pytestmark = pytest.mark.usefixtures("postgres_cluster", "db")


def test_a_shape_is_registered_with_all_that_its_definition_says() -> None:
    shape = Shape.objects.register(SOME, "default")
    shape.refresh_from_db()
    assert shape.to_definition() == SOME
    assert shape.status == Shape.Status.REGISTERED
    assert (shape.schema_name, shape.table_name, shape.relation_oid) == ("public", "items", 500)
    assert (shape.where, shape.columns) == (SOME.where, ["id"])
    assert shape.identity == SOME.identity
    assert str(shape) == f"public.items ({shape.handle})"


def test_without_columns_or_condition_these_are_empty() -> None:
    shape = Shape.objects.register(ITEMS, "default")
    assert (shape.where, shape.columns) == ("", [])


def test_the_same_definition_is_one_shape_in_each_stream() -> None:
    shape = Shape.objects.register(ITEMS, "default")
    assert Shape.objects.register(define(), "default") == shape
    assert Shape.objects.register(SOME, "default") != shape
    assert Shape.objects.register(ITEMS, "other") != shape
    assert Shape.objects.count() == 3


def test_a_rotated_shape_comes_back_under_another_handle() -> None:
    before = Shape.objects.register(ITEMS, "default")
    before.delete()
    assert Shape.objects.register(ITEMS, "default").handle != before.handle


def test_a_shape_that_is_rotated_while_it_is_asked_for_is_registered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row that was in the way is gone before it can be read."""
    first = Shape.objects.register(ITEMS, "default")
    create = ShapeQuerySet.bulk_create

    def create_and_rotate(self: ShapeQuerySet, *args: Any, **kwargs: Any) -> object:
        monkeypatch.setattr(ShapeQuerySet, "bulk_create", create)
        created = create(self, *args, **kwargs)
        first.delete()
        return created

    monkeypatch.setattr(ShapeQuerySet, "bulk_create", create_and_rotate)
    again = Shape.objects.register(ITEMS, "default")
    assert again.handle != first.handle
    assert Shape.objects.get() == again


def test_a_handle_begins_with_the_definition_and_ends_with_the_time() -> None:
    prefix, _, microseconds = new_handle(ITEMS).partition("-")
    assert prefix == str(ITEMS.handle_prefix)
    assert re.fullmatch(r"\d{16}", microseconds)
    assert new_handle(SOME).partition("-")[0] != prefix


def test_the_database_itself_keeps_handles_and_definitions_unique() -> None:
    shape = Shape.objects.register(ITEMS, "default")
    for change in ({"handle": "other"}, {"identity": "other"}):
        shape.pk = None
        with pytest.raises(IntegrityError), transaction.atomic():
            Shape(**{**values(shape), **change}).save()


def values(shape: Shape) -> dict[str, object]:
    return {
        field.attname: getattr(shape, field.attname)
        for field in Shape._meta.concrete_fields
        if field.attname != "id"
    }


def test_shapes_that_have_their_first_rows_become_active_in_one_statement(
    django_assert_num_queries,  # type: ignore[no-untyped-def]  # pytest-django's
) -> None:
    shapes = [Shape.objects.register(d, "default") for d in (ITEMS, SOME)]
    waiting = Shape.objects.register(define(replica="full"), "default")
    snapshots = [PgSnapshot(10, 20, frozenset([14]), 500), PgSnapshot(30, 30)]
    with django_assert_num_queries(1):
        Shape.objects.activate(
            [(s.handle, snap, n) for n, (s, snap) in enumerate(zip(shapes, snapshots, strict=True))]
            + [("gone-1", PgSnapshot(1, 1), 5)]
        )
    for n, shape in enumerate(shapes):
        shape.refresh_from_db()
        assert shape.status == Shape.Status.ACTIVE
        assert PgSnapshot.parse(shape.snapshot) == snapshots[n]
        assert shape.snapshot_rows == n
    waiting.refresh_from_db()
    assert (waiting.status, waiting.snapshot, waiting.snapshot_rows) == ("registered", "", None)


def test_names_as_long_as_postgres_allows_fit() -> None:
    long = replace(ITEMS, schema="s" * 63, table="t" * 63)
    shape = Shape.objects.register(long, "x" * 40)
    assert shape.to_definition() == long


@pytest.mark.django_db(transaction=True)
def test_processes_that_register_at_the_same_moment_get_one_shape() -> None:
    handles: list[str] = []
    barrier = threading.Barrier(6)

    def register() -> None:
        barrier.wait()
        try:
            handles.append(Shape.objects.register(ITEMS, "default").handle)
        finally:
            connection.close()

    threads = [threading.Thread(target=register) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 6
    assert len(set(handles)) == 1


# --- Rotating -------------------------------------------------------------------------------------


def test_a_rotated_shape_is_another_with_the_same_definition() -> None:
    shape = Shape.objects.register(SOME, "default")
    new = shape.rotate()
    assert [row.handle for row in Shape.objects.all()] == [new.handle]
    assert new.handle != shape.handle
    assert new.to_definition() == SOME
    assert new.status == Shape.Status.REGISTERED


def test_a_shape_that_cannot_be_read_is_not_rotated_and_stays() -> None:
    shape = Shape.objects.register(SOME, "default")
    shape.definition = {"another": "version"}
    with pytest.raises(KeyError):
        shape.rotate()
    assert Shape.objects.filter(pk=shape.pk).exists()


def test_the_migrations_say_what_the_models_do() -> None:
    call_command("makemigrations", "django_electric", check=True, dry_run=True, verbosity=0)


# -- subqueries ------------------------------------------------------------------------------------

PROJECTS = table({"id": "int4", "owner": "int4"}, oid=600, name="projects")
USERS = table({"id": "int4"}, oid=700, name="users", schema="people")
NESTED = "id IN (SELECT id FROM projects WHERE owner IN (SELECT id FROM people.users))"


def with_subqueries(where: str) -> ShapeDefinition:
    relations = {one.name: one for one in (ITEMS_TABLE, PROJECTS, USERS)}

    def find(name: TableName) -> FoundTable:
        return FoundTable(relations[name.name])

    return resolve(ShapeParams(TableName("public", "items"), where=where), ITEMS_TABLE, find=find)


def test_a_shape_is_among_those_that_read_a_table_whether_it_is_on_it_or_a_subquery_reads_it() -> (
    None
):
    plain = Shape.objects.register(ITEMS, "default")
    nested = Shape.objects.register(with_subqueries(NESTED), "default")
    itself = Shape.objects.register(with_subqueries("id NOT IN (SELECT id FROM items)"), "default")
    readers = {oid: set(Shape.objects.reading(oid)) for oid in (500, 600, 700, 800)}
    assert readers == {500: {plain, nested, itself}, 600: {nested}, 700: {nested}, 800: set()}
    assert set(Shape.objects.with_subqueries()) == {nested, itself}
    assert nested.tables == {
        500: ("public", "items"),
        600: ("public", "projects"),
        700: ("people", "users"),
    }
    assert itself.tables == plain.tables == {500: ("public", "items")}


def test_migrations_tell_of_the_tables_that_subqueries_read() -> None:
    Shape.objects.register(with_subqueries(NESTED), "default")
    Shape.objects.register(ITEMS, "default")
    with connection.cursor() as cursor:
        cursor.execute(oids_with_shapes(Shape._meta.db_table))
        assert sorted(cursor.fetchall()) == [(500,), (600,), (700,)]
