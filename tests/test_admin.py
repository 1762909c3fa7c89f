"""The shapes in Django's admin."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import reverse

from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.postgres.relation import Column, Relation
from django_electric.shapes.definition import ShapeDefinition
from django_electric.storage import FileStorage
from django_electric.where import parse_where

pytestmark = pytest.mark.django_db

ITEMS = Relation(
    4711,
    "public",
    "items",
    (
        Column("id", 23, "int4", not_null=True, pk_position=0, evaluator_type="int4"),
        Column("text", 25, "text", evaluator_type="text"),
    ),
)
LIST = "admin:django_electric_shape_changelist"


@pytest.fixture
def shape(tmp_path: Path) -> Shape:
    """A shape with first rows and one transaction in its log."""
    where = parse_where("text = 'a'", {"id": "int4", "text": "text"})
    with override_settings(ELECTRIC={"default": {"STORAGE_DIR": tmp_path, "INSECURE": True}}):
        definition = ShapeDefinition.build(ITEMS, columns=("id",), where=where)
        row = Shape.objects.register(definition, "default")
        storage = FileStorage(electric_settings().root)
        writer = storage.writer(row.handle)
        snapshot = writer.snapshot()
        snapshot.write(b",{}\n")
        snapshot.finish()
        writer.append(4242, [0, 2], [b",{}\n", b",{}\n"])
        storage.publish()
        storage.close()
        yield row


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root", password="root"))
    return client


def test_the_list_shows_what_a_shape_is_and_how_far_its_log_goes(
    admin: Client, shape: Shape
) -> None:
    page = admin.get(reverse(LIST)).content.decode()
    assert shape.handle in page
    assert "&quot;public&quot;.&quot;items&quot;" in page
    assert shape.where.replace('"', "&quot;").replace("'", "&#x27;") in page
    assert "4242_2" in page
    assert "12\xa0bytes" in page


def test_a_shape_whose_log_is_not_there_yet_is_listed_too(admin: Client, shape: Shape) -> None:
    FileStorage(electric_settings().root).delete(shape.handle)
    page = admin.get(reverse(LIST)).content.decode()
    assert shape.handle in page
    assert "4242_2" not in page


def test_a_shape_is_to_be_looked_at_and_not_changed(admin: Client, shape: Shape) -> None:
    page = admin.get(reverse("admin:django_electric_shape_change", args=[shape.pk]))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert admin.get(reverse("admin:django_electric_shape_add")).status_code == 403


def test_the_delete_action_removes_the_row_and_so_rotates_the_shape(
    admin: Client, shape: Shape
) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [shape.pk], "post": "yes"}
    admin.post(reverse(LIST), chosen)
    assert not Shape.objects.exists()


def test_a_row_costs_the_list_no_query_of_its_own(
    admin: Client, shape: Shape, django_assert_max_num_queries: object
) -> None:
    for n in range(20):
        definition = ShapeDefinition.build(ITEMS, columns=("id",), replica="full", params=(str(n),))
        Shape.objects.create(
            handle=f"1-{n}", identity=f"{n}", relation_oid=1, schema_name="public", table_name="items",
            definition=definition.to_json(),
        )  # fmt: skip
    with django_assert_max_num_queries(12):  # type: ignore[operator]  # a fixture without a type
        admin.get(reverse(LIST))


def test_someone_without_the_permission_sees_nothing(client: Client, shape: Shape) -> None:
    client.force_login(get_user_model().objects.create_user("guest", is_staff=True))
    assert client.get(reverse(LIST)).status_code == 403
