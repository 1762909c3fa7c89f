"""Shapes from a project's own views, and the table-named endpoint for its users: who is let in, and to what."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import connections, models
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory
from django.urls import resolve

from django_electric import querysets
from django_electric.declared import Shape
from django_electric.policies import ShapePolicy
from django_electric.protocol.identifiers import TableName
from django_electric.querysets import UnsupportedQuerySet
from django_electric.registry import registry
from django_electric.web import project_views, views
from django_electric.web.handover import SCOPE_KEY, Handover
from django_electric.web.project_views import ShapeView, shape_view, sync_response
from tests.support.orm import APPS
from tests.web.conftest import Bench

pytestmark = pytest.mark.usefixtures("postgres_cluster", "db", "site")

ANN = User(pk=7, username="ann")
ROOT = User(pk=1, username="root", is_superuser=True)


class Item(models.Model):
    id = models.IntegerField(primary_key=True)
    value = models.TextField()

    class Meta:
        app_label = "orm"
        apps = APPS
        db_table = "items"

    def __str__(self) -> str:
        return self.value


class Policy(ShapePolicy):
    def rows(self, user: Any) -> Any:
        return None if user.username == "eve" else Item.objects.filter(id=user.pk)


@pytest.fixture
async def site(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The service of *bench*, without a secret, and a policy."""
    bench.use(insecure=False)
    monkeypatch.setattr(views, "electric_settings", lambda: bench.settings)
    monkeypatch.setattr(views, "shape_service", lambda settings: bench.service)
    monkeypatch.setattr(querysets, "_find_table", lambda *names: TableName("public", "items"))
    monkeypatch.setattr(registry, "policies", {Item: Policy(Item)})
    monkeypatch.setattr(registry, "shapes", {})
    yield
    await sync_to_async(connections.close_all)()


def asking(user: Any = ANN, method: str = "GET", *, body: object = None, **query: str) -> Any:
    text = "&".join(f"{name}={value}" for name, value in {"offset": "-1", **query}.items())
    data = b"" if body is None else json.dumps(body).encode()
    request = AsyncRequestFactory().generic(method, f"/x?{text}", data)
    request.user = user

    async def auser() -> Any:
        return user

    request.auser = auser
    return request


def where_of(bench: Bench) -> list[str | None]:
    """The conditions of the shapes that there are."""
    return [definition.where for definition in bench.shapes.definitions.values()]


class TestSyncResponse:
    async def test_rows_and_headers(self, bench: Bench) -> None:
        answer = await sync_response(asking(), Item.objects.filter(id=3))
        assert answer.status_code == 200
        assert answer["cache-control"] == "private, no-cache"
        assert answer["vary"] == "accept-encoding, cookie, authorization"
        assert where_of(bench) == ['"id" = 3']

    async def test_the_client_only_narrows(self, bench: Bench) -> None:
        request = asking(where="value='x'", columns="id")
        assert (await sync_response(request, Item.objects.filter(id=3))).status_code == 200
        assert where_of(bench) == ['("id" = 3) AND ("value" = \'x\'::text)']
        request = asking(table="users")
        assert (await sync_response(request, Item)).status_code == 400

    async def test_columns_and_public_answers(self, bench: Bench) -> None:
        answer = await sync_response(asking(), Item, columns=["id"], is_public=True)
        assert answer["cache-control"].startswith("public")
        assert json.loads(answer["electric-schema"]).keys() == {"id"}
        answer = await sync_response(asking(columns="id,value"), Item, columns=["id"])
        assert answer.status_code == 400

    async def test_a_queryset_that_is_no_shape_is_an_error_of_the_project(self) -> None:
        with pytest.raises(UnsupportedQuerySet):
            await sync_response(asking(), Item.objects.order_by("id"))

    async def test_a_preflight_is_answered_without_looking_anything_up(self) -> None:
        answer = await sync_response(asking(method="OPTIONS"), Item.objects.order_by("id"))
        assert answer.status_code == 204

    async def test_no_connection_is_held(self) -> None:
        await sync_response(asking(), Item.objects.filter(id=3))

        def is_open() -> bool:
            return connections["default"].connection is not None

        assert not await sync_to_async(is_open)()

    async def test_behind_shapes_first_it_is_handed_over(self, bench: Bench) -> None:
        request = asking()
        handover = request.scope[SCOPE_KEY] = Handover()
        answer = await sync_response(request, Item.objects.filter(id=3))
        headers = [(k.lower().encode(), v.encode()) for k, v in answer.items()]
        assert handover.is_placeholder(answer.status_code, headers)
        assert handover.leave.user == "auth.User:7"
        assert bench.shapes.queries == 0


class TestDeclaredShapes:
    async def test_by_name(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(registry.shapes, "few-items", Shape(Item.objects.filter(value="x")))
        match = resolve("/shapes/few-items/", "example_project.urls")
        for path in ("/shapes/few-items", "/shapes//few-items//"):
            assert resolve(path, "example_project.urls").kwargs == match.kwargs
        answer = await match.func(asking(), **match.kwargs)
        assert answer.status_code == 200
        assert where_of(bench) == ['("value" = \'x\'::text) AND ("id" = 7)']

    async def test_a_name_that_there_is_not(self) -> None:
        answer = await project_views.declared(asking(), "nothing")
        assert (answer.status_code, answer.content) == (404, b"Not found")

    @pytest.mark.parametrize(
        ("user", "status", "message"),
        [
            (AnonymousUser(), 401, "Sign in to read this shape."),
            (User(pk=9, username="eve"), 403, "You may not read this shape."),
        ],
    )
    async def test_who_may_not(self, user: Any, status: int, message: str) -> None:
        answer = await shape_view(Shape(Item))(asking(user))
        assert (answer.status_code, json.loads(answer.content)) == (status, {"message": message})
        assert answer["cache-control"] == "no-store"
        assert answer["access-control-allow-origin"] == "*"

    async def test_decorators(self) -> None:
        view = login_required(permission_required("demo.view_issue")(shape_view(Shape(Item))))
        assert view.csrf_exempt
        assert (await view(asking(AnonymousUser()))).status_code == 302
        assert (await view(asking(ROOT))).status_code == 200

    async def test_a_preflight_has_no_user(self) -> None:
        assert (
            await shape_view(Shape(Item))(asking(AnonymousUser(), "OPTIONS"))
        ).status_code == 204


class Items(ShapeView):
    def get_queryset(self) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return Item.objects.filter(id=self.request.user.pk)


class Stamping:
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # a mixin
        response["X-Stamp"] = "yes"
        response["Cache-Control"] = "public"
        response["Vary"] = "X-Tenant, Cookie"
        response.set_cookie("seen", "1")
        return response


class Allow:
    def __init__(self, user: str) -> None:
        self.user = user

    def __call__(self) -> Allow:
        return self

    def has_permission(self, request: HttpRequest, view: ShapeView) -> bool:
        assert isinstance(view, ShapeView)
        return bool(request.user.username == self.user)  # type: ignore[union-attr]  # as above


class TestShapeView:
    async def test_the_rows_of_its_queryset(self, bench: Bench) -> None:
        view = Items.as_view()
        assert asyncio.iscoroutinefunction(view)
        answer = await view(asking())
        assert (answer.status_code, answer["cache-control"]) == (200, "private, no-cache")
        assert where_of(bench) == ['"id" = 7']

    async def test_a_model_or_a_queryset_does(self, bench: Bench) -> None:
        assert (await ShapeView.as_view(model=Item)(asking())).status_code == 200
        view = ShapeView.as_view(queryset=Item.objects.filter(id=1), is_public=True)
        assert (await view(asking()))["cache-control"].startswith("public")
        assert where_of(bench) == [None, '"id" = 1']
        with pytest.raises(ImproperlyConfigured, match="override get_queryset"):
            await ShapeView.as_view()(asking())

    async def test_its_columns(self) -> None:
        class Keys(Items):
            def get_columns(self) -> list[str]:
                return ["id"]

        answer = await Keys.as_view()(asking())
        assert json.loads(answer["electric-schema"]).keys() == {"id"}
        assert (await Keys.as_view()(asking(where="value='x'"))).status_code == 400

    async def test_mixins(self) -> None:
        class Guarded(LoginRequiredMixin, PermissionRequiredMixin, Items):
            permission_required = "demo.view_issue"

        view = Guarded.as_view()
        answer = await view(asking(AnonymousUser()))
        assert (answer.status_code, answer["location"]) == (
            302,
            "/accounts/login/?next=/x%3Foffset%3D-1",
        )
        with pytest.raises(PermissionDenied):
            await view(asking(User(pk=9, is_active=False)))
        assert (await view(asking(ROOT))).status_code == 200
        assert (await view(asking(AnonymousUser(), "OPTIONS"))).status_code == 204

    async def test_permission_classes(self) -> None:
        class Guarded(Items):
            permission_classes = (Allow("ann"),)

        view = Guarded.as_view()
        assert (await view(asking(ANN))).status_code == 200
        assert (await view(asking(ROOT))).status_code == 403
        assert (await view(asking(AnonymousUser()))).status_code == 401

    async def test_what_mixins_add_to_the_answer_stays(self) -> None:
        class Stamped(Stamping, Items):
            pass

        for scope in ({}, {SCOPE_KEY: Handover()}):
            request = asking()
            request.scope |= scope
            answer = await Stamped.as_view()(request)
            assert answer["x-stamp"] == "yes"
            assert answer.cookies["seen"].value == "1"
            assert answer["cache-control"].startswith("private"), "what the core says comes first"
            assert "X-Tenant" in answer["vary"]
            assert answer["vary"].lower().count("cookie") == 1

    async def test_methods(self) -> None:
        view = Items.as_view()
        assert (await view(asking(method="HEAD"))).status_code == 200
        assert (await view(asking(method="PUT"))).status_code == 405
        assert (await view(asking(method="DELETE"))).status_code == 405
        assert (await view(asking(method="POST"))).status_code == 200

    async def test_the_view_is_named_after_its_class(self) -> None:
        view: Any = Items.as_view()
        assert view.view_class is Items
        assert view.__doc__ == Items.__doc__


class TestTheTableNamedEndpoint:
    async def test_a_user_reads_by_the_policy(self, bench: Bench) -> None:
        answer = await views.shape(asking(table="items", where="value='x'"))
        assert (answer.status_code, answer["cache-control"]) == (200, "private, no-cache")
        assert where_of(bench) == ['("id" = 7) AND ("value" = \'x\'::text)']

    @pytest.mark.parametrize("table", ["users", "app.items", "", "a.b.c", "items;"])
    async def test_what_has_no_policy_is_refused(self, bench: Bench, table: str) -> None:
        assert (await views.shape(asking(table=table))).status_code == 403
        assert (await views.shape(asking(AnonymousUser(), table=table))).status_code == 401
        assert bench.shapes.queries == 0

    async def test_the_right_secret_opens_everything(self, bench: Bench) -> None:
        bench.use(secret="right")
        nobody = AnonymousUser()
        answer = await views.shape(asking(nobody, table="items", secret="right"))
        assert (answer.status_code, where_of(bench)) == (200, [None])
        answer = await views.shape(asking(nobody, table="items", secret="no"))
        assert (answer.status_code, "access-control-allow-origin" in answer) == (401, False)
        assert (await views.shape(asking(ANN, table="items", secret="no"))).status_code == 200
        assert where_of(bench) == [None, '"id" = 7']

    async def test_open_mode_opens_everything(self, bench: Bench) -> None:
        bench.use(insecure=True)
        assert (await views.shape(asking(AnonymousUser(), table="items"))).status_code == 200
        assert where_of(bench) == [None]

    async def test_both_at_once_open_nothing(self, bench: Bench) -> None:
        bench.use(insecure=True, secret="right")
        for user in (ANN, ROOT, AnonymousUser()):
            answer = await views.shape(asking(user, table="items", secret="right"))
            assert answer.status_code == 503

    async def test_without_policies_it_is_as_ever(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "policies", {})
        assert (await views.shape(asking(ROOT, table="items"))).status_code == 503
        bench.use(secret="right")
        answer = await views.shape(asking(ROOT, table="items"))
        assert (answer.status_code, "access-control-allow-origin" in answer) == (401, False)

    async def test_the_table_may_stand_in_the_body(self, bench: Bench) -> None:
        answer = await views.shape(asking(ANN, "POST", body={"table": "items"}))
        assert answer.status_code == 200
        answer = await views.shape(asking(ANN, "POST", table="items", body={"table": "users"}))
        assert answer.status_code == 403
        assert where_of(bench) == ['"id" = 7']

    async def test_a_body_that_cannot_be_read(self) -> None:
        for user, status in ((ANN, 400), (AnonymousUser(), 401)):
            request = asking(user, "POST", table="items", body="not an object")
            assert (await views.shape(request)).status_code == status
