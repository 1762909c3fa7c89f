"""The list of shapes in Django's admin, and the page of one."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.replication.heartbeat import Heart, Vitals
from django_electric.revocations import FILE
from django_electric.shapes.costs import COSTS_FILE, Costs
from django_electric.shapes.definition import ShapeDefinition
from django_electric.storage import FileStorage, state_file
from django_electric.storage.files import FileLogReader
from django_electric.storage.state_file import replace_quickly
from django_electric.web.presence import Presence
from django_electric.where import parse_where
from tests.admin.conftest import ITEMS

LIST = "admin:django_electric_shape_changelist"


def test_the_list_shows_what_a_shape_is_and_how_far_its_log_goes(
    admin: Client, shape: Shape
) -> None:
    page = admin.get(reverse(LIST)).content.decode()
    assert shape.handle in page
    assert "&quot;public&quot;.&quot;items&quot;" in page
    assert shape.where.replace('"', "&quot;").replace("'", "&#x27;") in page
    assert "4242_2" in page
    assert "\xa0bytes" in page


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


def more(count: int) -> None:
    for n in range(count):
        definition = ShapeDefinition.build(ITEMS, columns=("id",), replica="full", params=(str(n),))
        Shape.objects.create(
            handle=f"1-{n}", identity=f"{n}", relation_oid=1, schema_name="public", table_name="items",
            definition=definition.to_json(),
        )  # fmt: skip


def test_a_row_costs_the_list_no_query_of_its_own(
    admin: Client, shape: Shape, django_assert_num_queries: object
) -> None:
    # Session and user; the count twice, the rows; the tables and the schemas to filter by.
    with django_assert_num_queries(7):  # type: ignore[operator]  # a fixture without a type
        admin.get(reverse(LIST))
    more(20)
    with django_assert_num_queries(7):  # type: ignore[operator]
        admin.get(reverse(LIST))


def test_a_row_costs_the_list_one_look_at_its_log_and_none_at_what_all_share(
    admin: Client, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    more(20)
    storage = FileStorage(electric_settings().root)
    for n in range(20):
        storage.writer(f"1-{n}").snapshot().finish()
    looks: list[str] = []
    state, read = FileLogReader.state, state_file.read

    def counted_state(reader: FileLogReader) -> object:
        looks.append("log")
        return state(reader)

    def counted_read(path: object) -> object:
        looks.append("shared")
        return read(path)  # type: ignore[arg-type]

    monkeypatch.setattr(FileLogReader, "state", counted_state)
    monkeypatch.setattr(state_file, "read", counted_read)
    admin.get(reverse(LIST))
    assert (looks.count("log"), looks.count("shared")) == (21, 2)


def test_someone_without_the_permission_sees_nothing(guest: Client, shape: Shape) -> None:
    assert guest.get(reverse(LIST)).status_code == 403


def test_what_a_condition_costs_is_shown_and_a_slow_one_stands_out(
    admin: Client, shape: Shape
) -> None:
    assert "µs a row" not in admin.get(reverse(LIST)).content.decode()
    costs = Costs(lambda: 0)
    costs.add(shape.handle, 12_345 * 4, 4)
    path = electric_settings().root / COSTS_FILE
    replace_quickly(path, costs.to_json())
    assert "12.3 µs a row" in admin.get(reverse(LIST)).content.decode()
    costs.add(shape.handle, 10**9, 1, is_delegated=True)
    replace_quickly(path, costs.to_json())
    page = admin.get(reverse(LIST)).content.decode()
    assert re.search(r"<strong>200,009.9 µs a row \(slow\)</strong>", page)
    path.write_text("[]")
    assert "µs a row" not in admin.get(reverse(LIST)).content.decode()


def test_how_a_shape_is_found_is_shown(admin: Client, shape: Shape) -> None:
    url = reverse("admin:django_electric_shape_change", args=[shape.pk])
    assert "found by an index" in admin.get(url).content.decode()


def test_a_shape_with_subqueries_says_what_is_kept_of_them(admin: Client, shape: Shape) -> None:
    inner = ShapeDefinition.build(
        ITEMS, columns=("id",), where=parse_where("text = 'b'", {"id": "int4", "text": "text"})
    )
    outer = ShapeDefinition.build(ITEMS, columns=("id",))
    where = f'("id" IN ({inner.subselect}))'
    row = Shape.objects.register(replace(outer, where=where, dependencies=(inner,)), "default")
    url = reverse("admin:django_electric_shape_change", args=[row.pk])
    page = html.unescape(admin.get(url).content.decode())
    assert "compared with the rows of its subqueries, for every changed row" in page
    assert 'kept in the worker\'s memory: "id" of "public"."items"' in page
    listed = admin.get(reverse(LIST)).content.decode()
    of_row = listed.split(f">{row.handle}<")[1].split("</tr>")[0]
    assert 'alt="False"' in of_row, "it is not found by an index"


def test_clients_that_wait_are_counted_and_can_be_filtered_by(admin: Client, shape: Shape) -> None:
    more(1)

    class Listener:
        waiting = {shape.handle: {1, 2, 3}}

    assert '<td class="field-clients">0</td>' in listed(admin)
    Presence(electric_settings().root, 1.0).note([Listener()])
    assert '<td class="field-clients">3</td>' in listed(admin)
    some, none = listed(admin, clients="yes"), listed(admin, clients="no")
    assert (shape.handle in some, "1-0" in some) == (True, False)
    assert (shape.handle in none, "1-0" in none) == (False, True)


def listed(admin: Client, **query: str) -> str:
    return admin.get(reverse(LIST), query).content.decode()


def test_shapes_with_a_condition_can_be_filtered_from_those_of_whole_tables(
    admin: Client, shape: Shape
) -> None:
    more(1)
    some, whole = listed(admin, condition="yes"), listed(admin, condition="no")
    assert (shape.handle in some, "1-0" in some) == (True, False)
    assert (shape.handle in whole, "1-0" in whole) == (False, True)


def test_the_lag_is_the_workers_for_shapes_that_have_their_first_rows(
    admin: Client, shape: Shape
) -> None:
    Heart(electric_settings().root).beat(0.0, Vitals(1_000, 900, 3_048, 1, 1))
    assert "2.0 KiB" not in listed(admin)
    Shape.objects.update(status=Shape.Status.ACTIVE)
    assert "2.0 KiB" in listed(admin)


def test_whether_an_index_finds_the_shape_is_shown(admin: Client, shape: Shape) -> None:
    assert re.search(r'class="field-is_indexed"><img [^>]*alt="True"', listed(admin))
    Shape.objects.update(definition={"another": "version"})
    assert re.search(r'class="field-is_indexed"><img [^>]*alt="None"', listed(admin))


# --- Rotating -------------------------------------------------------------------------------------


def rotate(client: Client, shape: Shape) -> None:
    chosen = {"action": "rotate_selected", "_selected_action": [shape.pk]}
    client.post(reverse(LIST), chosen)


def test_the_rotate_action_gives_a_new_handle(admin: Client, shape: Shape) -> None:
    rotate(admin, shape)
    new = Shape.objects.get()
    assert new.handle != shape.handle
    assert new.identity == shape.identity
    assert "1 shape was rotated." in listed(admin)


def revoke(client: Client, shape: Shape) -> str:
    chosen = {"action": "revoke_owners", "_selected_action": [shape.pk]}
    return client.post(reverse(LIST), chosen, follow=True).content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_owner_is_shown_and_may_be_revoked(admin: Client, shape: Shape) -> None:
    Shape.objects.update(owner="auth.User:4711")
    assert "auth.User:4711" in listed(admin)
    assert shape.handle in listed(admin, q="auth.User:4711")
    page = revoke(admin, shape)
    assert "1 user was revoked." in page
    assert '"auth.User:4711"' in (electric_settings().root / FILE).read_text()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("codename", "may"), [("view_shape", False), ("revoke_shape_owner", True)])
def test_to_revoke_wants_a_permission_of_its_own(
    guest: Client, shape: Shape, codename: str, may: bool
) -> None:
    guest_user = User.objects.get(username="guest")
    permissions = Permission.objects.filter(codename__in={"view_shape", codename})
    guest_user.user_permissions.set(permissions)
    assert ("revoke_owners" in listed(guest)) is may


def test_a_shape_that_is_rotated_keeps_its_owner(shape: Shape) -> None:
    Shape.objects.update(owner="auth.User:7")
    shape.refresh_from_db()
    assert shape.rotate().owner == "auth.User:7"


@pytest.mark.parametrize(("codename", "may"), [("view_shape", False), ("rotate_shape", True)])
def test_rotating_has_a_permission_of_its_own(
    guest: Client, shape: Shape, codename: str, may: bool
) -> None:
    user = User.objects.get(username="guest")
    user.user_permissions.add(*Permission.objects.filter(codename__in=["view_shape", codename]))
    rotate(guest, shape)
    assert (Shape.objects.get().handle != shape.handle) is may
    assert ("rotate_selected" in listed(guest)) is may
