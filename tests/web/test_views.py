"""The core behind Django: routes, adapters, and the whole of it on a running server."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import Resolver404, resolve

from django_electric.protocol.headers import JSON
from django_electric.protocol.openapi import document
from django_electric.web import views
from django_electric.web.exchange import WebResponse
from django_electric.web.views import from_django, health, shape, to_django
from tests.support.server import ElectricServer
from tests.web.conftest import Bench


class TestRoutes:
    """PROTOCOL section 1.1: empty segments are ignored."""

    @pytest.mark.parametrize("path", ["/v1/shape", "/v1/shape/", "/v1//shape", "//v1/shape//"])
    def test_spellings_of_the_shape_route(self, path: str) -> None:
        assert (
            resolve(
                path, "django_electric.urls" if path.startswith("//") else "example_project.urls"
            ).func
            is shape
        )

    def test_the_health_route(self) -> None:
        assert resolve("/v1/health", "example_project.urls").func is health

    @pytest.mark.parametrize("path", ["v1/shapes", "xv1/shape", "v1/shape\n", "v1shape"])
    def test_other_paths(self, path: str) -> None:
        with pytest.raises(Resolver404):
            resolve(path, "django_electric.urls")


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE"]
)
@pytest.mark.parametrize("path", document()["paths"])
async def test_the_methods_that_are_documented_are_those_that_are_answered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, path: str, method: str
) -> None:
    monkeypatch.setattr(views, "electric_settings", lambda: bench.settings)
    monkeypatch.setattr(views, "shape_service", lambda settings: bench.service)
    view = resolve(path, "django_electric.urls").func
    answer = await view(AsyncRequestFactory().generic(method, path))
    documented = document()["paths"][path]  # type: ignore[index]  # an object
    assert (answer.status_code != 404) == (method.lower() in documented)


class TestAdapters:
    def test_the_query_is_taken_as_it_was_sent(self) -> None:
        request = RequestFactory().get(
            "/v1/shape?live=&params%5B1%5D=a%2Bb&x=1&x=2", headers={"origin": "o"}
        )
        given = from_django(request)
        assert given.query == (("live", ""), ("params[1]", "a+b"), ("x", "1"), ("x", "2"))
        assert given.parameter("x") == "2"
        assert given.headers["origin"] == "o"

    def test_a_body_is_read_no_further_than_asked(self) -> None:
        request = RequestFactory().post("/v1/shape", b"x" * 100, content_type="application/json")
        assert asyncio.run(from_django(request).read_body(10)) == b"x" * 10

    def test_the_headers_are_exactly_the_cores(self) -> None:
        request = RequestFactory().get("/")
        answer = to_django(
            request, WebResponse(401, {"connection": "keep-alive", "etag": '"x"'}, b"{}")
        )
        assert isinstance(answer, HttpResponse)
        assert dict(answer.headers) == {"etag": '"x"'}, (
            "and WSGI forbids to speak of the connection"
        )

    @pytest.mark.django_db  # at the end of a request Django looks at the connection that it may have
    def test_a_stream_is_closed_with_the_response(self) -> None:
        class Body:
            closed = 0

            async def __aiter__(self):  # type: ignore[no-untyped-def]  # an async generator
                yield b"x"

            def close(self) -> None:
                self.closed += 1

        body = Body()
        answer = to_django(
            RequestFactory().get("/"), WebResponse(200, {"content-type": JSON}, stream=body)
        )
        assert isinstance(answer, StreamingHttpResponse)
        answer.close()
        assert body.closed == 1


@pytest.mark.parametrize("path", ["/v1/%73hape", "/v1//shape/", "/v1/shape//"])
def test_no_spelling_of_the_path_gets_around_the_secret(electric_server, path: str) -> None:  # type: ignore[no-untyped-def]  # as made
    server = electric_server({"ELECTRIC_SECRET": "golden-secret"})
    answer = httpx.get(f"{server.url}{path}?offset=-1")
    assert answer.status_code == 401
    assert "content-type" not in answer.headers
    assert httpx.get(f"{server.url}{path}?secret=golden-secret").status_code == 400


def test_a_waiting_request_holds_no_database_connection(server: ElectricServer) -> None:
    server.sql("CREATE TABLE IF NOT EXISTS idle (id int PRIMARY KEY)")
    first = httpx.get(f"{server.url}/v1/shape?table=idle&offset=-1")
    handle = first.headers["electric-handle"]
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    before = server.query(count)[0][0]

    async def wait_together() -> tuple[object, list[int]]:
        async with httpx.AsyncClient(timeout=30) as client:
            url = f"{server.url}/v1/shape?table=idle&offset=0_0&handle={handle}&live=true"
            tasks = [asyncio.create_task(client.get(url)) for _ in range(50)]
            await asyncio.sleep(1)
            during = server.query(count)[0][0]
            server.sql("INSERT INTO idle VALUES (1) ON CONFLICT DO NOTHING")
            return during, [answer.status_code for answer in await asyncio.gather(*tasks)]

    during, statuses = asyncio.run(wait_together())
    assert statuses == [200] * 50
    assert int(str(during)) <= int(str(before)), "at most the few of the look-up's own threads"


class TestDeleting:
    """Where DELETE is not open to everybody a permission of Django's opens it."""

    @pytest.fixture
    def handle(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
        bench.use(enable_integration_testing=False)
        bench.shapes.handles["identity"] = "1-1"
        monkeypatch.setattr(views, "electric_settings", lambda: bench.settings)
        monkeypatch.setattr(views, "shape_service", lambda settings: bench.service)
        return "1-1"

    async def delete(self, handle: str, user: object, **cookies: str) -> int:
        request = AsyncRequestFactory().delete(f"/v1/shape?handle={handle}")
        request.user = user  # type: ignore[assignment]
        request.COOKIES.update(cookies)
        token = cookies.get("csrftoken")
        if token:
            request.META["HTTP_X_CSRFTOKEN"] = token
        return (await views.shape(request)).status_code

    async def test_only_with_the_permission(self, handle: str) -> None:
        assert await self.delete(handle, AnonymousUser()) == 405
        assert await self.delete(handle, User(is_active=False, is_superuser=True)) == 405
        assert await self.delete(handle, User(is_superuser=True)) == 202

    @pytest.mark.django_db(transaction=True)
    async def test_the_permission_is_the_one_that_django_makes_for_shapes(
        self, handle: str, postgres_cluster: object
    ) -> None:
        def user_with(*codenames: str) -> User:
            user = User.objects.create_user("-".join(codenames))
            of_shapes = Permission.objects.filter(content_type__app_label="django_electric")
            user.user_permissions.set(of_shapes.filter(codename__in=codenames))
            return User.objects.get(pk=user.pk)  # what it may do is remembered

        viewer = await sync_to_async(user_with)("view_shape", "change_shape")
        assert await self.delete(handle, viewer) == 405
        deleter = await sync_to_async(user_with)("delete_shape")
        assert await self.delete(handle, deleter) == 202
        # The thread that did this keeps a connection, and nobody else would close it.
        await sync_to_async(connections.close_all)()

    async def test_a_session_needs_a_token(self, handle: str) -> None:
        user = User(is_superuser=True)
        assert await self.delete(handle, user, sessionid="x") == 405
        assert await self.delete(handle, user, sessionid="x", csrftoken="a" * 32) == 202

    async def test_without_users_nobody_may(self, handle: str) -> None:
        request = AsyncRequestFactory().delete(f"/v1/shape?handle={handle}")
        assert (await views.shape(request)).status_code == 405
