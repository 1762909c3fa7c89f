"""The gatekeeper: who is given a token, and that a token opens the door to its own shape and to no other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import connections, models
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.test import AsyncRequestFactory

from django_electric import querysets, revocations
from django_electric.declared import Shape
from django_electric.policies import ShapePolicy
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams
from django_electric.registry import registry
from django_electric.revocations import RevocationLog
from django_electric.tokens import Keyring, Token, TokenShape
from django_electric.web import gatekeeper as module
from django_electric.web import project_views, views
from django_electric.web.handover import SCOPE_KEY, Handover
from tests.support.orm import APPS
from tests.web.conftest import Bench

pytestmark = pytest.mark.usefixtures("postgres_cluster", "db", "site")

NEW, OLD, FOREIGN = "n" * 64, "o" * 64, "f" * 64
ANN, BOB = User(pk=7, username="ann"), User(pk=8, username="bob")
EVE, NOBODY = User(pk=9, username="eve"), AnonymousUser()
HERE = f"{__name__}."


class Thing(models.Model):
    id = models.IntegerField(primary_key=True)
    value = models.TextField()

    class Meta:
        app_label = "orm"
        apps = APPS
        db_table = "items"

    def __str__(self) -> str:
        return self.value


class Policy(ShapePolicy):
    asked = 0

    def rows(self, user: Any) -> Any:
        Policy.asked += 1
        return None if user.username == "eve" else Thing.objects.filter(id=user.pk)


@pytest.fixture
async def site(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The service of *bench* with the keys of a gatekeeper, a policy, and two declared shapes."""
    bench.use(insecure=False, gatekeeper_keys=(NEW, OLD))
    monkeypatch.setattr(views, "electric_settings", lambda: bench.settings)
    monkeypatch.setattr(views, "shape_service", lambda settings: bench.service)
    monkeypatch.setattr(querysets, "_find_table", lambda *names: TableName("public", "items"))
    monkeypatch.setattr(registry, "policies", {Thing: Policy(Thing)})
    shapes = {"good": Shape(Thing.objects.exclude(value="bad")), "all": Shape(Thing)}
    monkeypatch.setattr(registry, "shapes", shapes)
    yield
    await sync_to_async(connections.close_all)()


class Session:
    """One that is there, until it is flushed."""

    is_there: ClassVar[bool] = True

    def __init__(self, session_key: str = "s") -> None:
        self.session_key = session_key

    def load(self) -> dict[str, str]:
        return {"_auth_user_id": "7"} if self.is_there else {}


def asking(user: Any, method: str, path: str, body: object = None, **headers: str) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    request = AsyncRequestFactory().generic(method, path, data, headers=headers)
    request.user = user
    return request


async def ticket(name: str = "items", user: Any = ANN, **body: object) -> dict[str, Any]:
    answer = await module.gatekeeper(asking(user, "POST", f"/gatekeeper/{name}/", body), name)
    assert answer.status_code == 200, answer.content  # type: ignore[attr-defined]  # no stream
    return json.loads(answer.content)  # type: ignore[attr-defined, no-any-return]  # as above


async def refusal(request: Any, name: str = "items") -> tuple[int, dict[str, Any]]:
    answer = await module.gatekeeper(request, name)
    return answer.status_code, json.loads(answer.content)  # type: ignore[attr-defined]  # no stream


def query_of(given: dict[str, Any], **changes: object) -> str:
    """As the official client makes it of a ticket."""
    params = {"offset": "-1", **given["params"], **changes}
    if isinstance(params.get("columns"), list):
        params["columns"] = ",".join(params["columns"])
    return urlencode({key: value for key, value in params.items() if value is not None})


async def use(
    given: dict[str, Any],
    *,
    name: str | None = None,
    token: str | None = None,
    method: str = "GET",
    body: object = None,
    **changes: object,
) -> Any:
    """The answer to a request with the token of a ticket; a change to None leaves a parameter out."""
    authorization = given["headers"]["Authorization"] if token is None else f"Bearer {token}"
    query = query_of(given, **changes)
    request = asking(NOBODY, method, f"/x?{query}", body, authorization=authorization)
    if name is None:
        return await views.shape(request)
    return await project_views.declared(request, name)


def said(answer: Any) -> str:
    return str(json.loads(answer.content)["message"])


def signed(key: str = NEW, **changes: Any) -> str:
    """A token for ann's items."""
    shape = TokenShape("public.items", '"id" = 7', columns=("id", "value"))
    token = {
        "shape": shape,
        "user": "auth.User:7",
        "issued": time.time() - 5,
        "expires": time.time() + 60,
    }
    return Keyring((key,), "default").sign(Token(**{**token, **changes}))


class TestGivingOut:
    async def test_what_the_client_takes_as_its_options(self) -> None:
        given = await ticket()
        assert given["url"] == "http://testserver/v1/shape"
        assert given["params"] == {
            "table": "public.items",
            "where": '"id" = 7',
            "columns": ["id", "value"],
        }
        assert given["headers"]["Authorization"].startswith("Bearer ey")
        assert given["expires"] == pytest.approx(time.time() + 300, abs=2)

    async def test_it_is_kept_by_nobody(self) -> None:
        answer = await module.gatekeeper(asking(ANN, "POST", "/gatekeeper/items/"), "items")
        assert answer["cache-control"] in ("no-store", "no-cache")
        assert answer["access-control-allow-origin"] == "*"
        assert not answer.has_header("access-control-allow-credentials")

    async def test_the_client_only_narrows(self) -> None:
        given = await ticket(where="value = $1", params={"1": "x' OR true"}, columns=["id"])
        assert given["params"]["where"] == "(\"id\" = 7) AND (\"value\" = 'x'' OR true'::text)"
        assert given["params"]["columns"] == ["id"]
        request = asking(ANN, "POST", "/gatekeeper/items/?where=id=3&offset=5&live=true")
        answer = await module.gatekeeper(request, "items")
        assert json.loads(answer.content)["params"]["where"] == '("id" = 7) AND ("id" = 3)'  # type: ignore[attr-defined]  # no stream

    async def test_a_condition_cannot_break_out(self) -> None:
        status, body = await refusal(
            asking(ANN, "POST", "/gatekeeper/items/", {"where": "1=1) OR (1=1"})
        )
        assert status == 400
        assert "where" in body["errors"]

    async def test_another_table_than_that_of_the_path_is_refused(self) -> None:
        status, body = await refusal(asking(ANN, "POST", "/x/", {"table": "users"}))
        assert (status, list(body["errors"])) == (400, ["table"])

    async def test_a_declared_shape_is_opened_by_its_name(self) -> None:
        given = await ticket("good")
        assert given["url"] == "http://testserver/shapes/good"
        assert given["params"]["where"] == '("value" <> \'bad\'::text) AND ("id" = 7)'

    @pytest.mark.parametrize(("user", "status"), [(NOBODY, 401), (EVE, 403)])
    @pytest.mark.parametrize("name", ["items", "good", "users", "no table at all"])
    async def test_who_may_not_is_told_nothing_else(
        self, user: Any, status: int, name: str
    ) -> None:
        assert (await refusal(asking(user, "POST", "/x/"), name))[0] == status

    @pytest.mark.parametrize("name", ["users", "a.b.c", ""])
    async def test_a_table_without_a_policy_is_refused_like_one_that_is_not_there(
        self, name: str
    ) -> None:
        assert (await refusal(asking(ANN, "POST", "/x/"), name))[0] == 403

    async def test_other_methods_and_preflights(self) -> None:
        assert (await refusal(asking(ANN, "GET", "/x/")))[0] == 405
        answer = await module.gatekeeper(
            asking(NOBODY, "OPTIONS", "/x/", **{"access-control-request-headers": "content-type"}),
            "items",
        )
        assert answer.status_code == 204
        assert answer["access-control-allow-headers"] == "content-type"

    async def test_without_keys_it_says_which_setting_is_missing(self, bench: Bench) -> None:
        bench.use(gatekeeper_keys=())
        status, body = await refusal(asking(ANN, "POST", "/x/"))
        assert status == 503
        assert "GATEKEEPER_KEYS" in body["message"]

    async def test_a_shape_too_long_for_a_header_is_refused(self) -> None:
        many = f"value = '{'x' * 6_000}'"
        status, body = await refusal(asking(ANN, "POST", "/x/", {"where": many}))
        assert status == 400
        assert "too long" in body["message"]

    async def test_a_session_has_to_show_that_it_means_it(self) -> None:
        request = asking(ANN, "POST", "/x/")
        request.COOKIES["sessionid"] = "s"
        status, body = await refusal(request)
        assert status == 403
        assert "CSRF" in body["message"]
        asked_before = Policy.asked
        request = asking(ANN, "POST", "/x/")
        request.COOKIES["sessionid"] = "s"
        token = get_token(request)
        request.COOKIES["csrftoken"] = request.META["CSRF_COOKIE"]
        request.META["HTTP_X_CSRFTOKEN"] = token
        assert (await module.gatekeeper(request, "items")).status_code == 200
        assert Policy.asked == asked_before + 1

    async def test_the_project_is_asked_once(self) -> None:
        given = await ticket()
        asked = Policy.asked
        for _ in range(3):
            assert (await use(given)).status_code == 200
        assert Policy.asked == asked


class TestUsing:
    async def test_it_opens_its_shape(self, bench: Bench) -> None:
        given = await ticket(where="value='x'", columns=["id"])
        answer = await use(given)
        assert answer.status_code == 200
        assert answer["cache-control"] == "private, no-cache"
        assert answer["vary"].endswith("cookie, authorization")
        assert json.loads(answer["electric-schema"]).keys() == {"id"}
        (definition,) = bench.shapes.definitions.values()
        assert definition.where == '("id" = 7) AND ("value" = \'x\'::text)'

    async def test_it_shares_the_shape_of_those_whom_the_policy_gives_the_same(
        self, bench: Bench
    ) -> None:
        await use(await ticket())
        await views.shape(asking(ANN, "GET", "/x?table=items&offset=-1"))
        assert len(bench.shapes.handles) == 1

    async def test_a_declared_shape_with_and_without_its_table(self) -> None:
        given = await ticket("good")
        assert (await use(given, name="good")).status_code == 200
        assert (await use(given, name="good", table=None)).status_code == 200

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"where": None}, "where"),
            ({"where": "true"}, "where"),
            ({"where": '"id" = 7 OR true'}, "where"),
            ({"where": '"id" = 8'}, "where"),
            ({"columns": "id"}, "columns"),
            ({"columns": "value,id"}, "columns"),
            ({"columns": None}, "columns"),
            ({"table": "users"}, "table"),
            ({"table": "items", "where": "id = 7"}, "where"),
            ({"params[1]": "x"}, "params"),
        ],
        ids=str,
    )
    async def test_another_shape_is_refused_and_the_difference_named(
        self, changes: dict[str, object], field: str
    ) -> None:
        answer = await use(await ticket(), **changes)
        assert answer.status_code == 403
        assert list(json.loads(answer.content)["errors"]) == [field]
        assert said(answer) == "The token is for another shape"
        assert answer["access-control-allow-origin"] == "*"

    async def test_a_shape_is_narrowed_when_the_token_is_made_and_not_later(self) -> None:
        given = await ticket(columns=["id"])
        assert (await use(given, columns=None)).status_code == 403
        assert (await use(given, columns="id,value")).status_code == 403

    @pytest.mark.parametrize(
        "body",
        [
            {"where": "true", "subset": {}},
            {"columns": "id", "subset": {}},
            {"table": "users"},
            {"params": {"1": "8"}, "subset": {"where": "id = 7"}},
        ],
    )
    async def test_a_body_does_not_change_the_shape(self, body: dict[str, object]) -> None:
        assert (await use(await ticket(), method="POST", body=body)).status_code == 403

    async def test_one_name_is_not_another(self) -> None:
        given = await ticket("good")
        for answer in (
            await use(given),
            await use(given, name="all"),
            await use(await ticket(), name="all"),
        ):
            assert answer.status_code == 403
            assert list(json.loads(answer.content)["errors"]) == ["name"]

    async def test_twice_the_same_parameter_is_what_is_answered_too(self) -> None:
        given = await ticket()
        request = asking(
            NOBODY,
            "GET",
            f"/x?{query_of(given)}&where=true",
            authorization=given["headers"]["Authorization"],
        )
        assert (await views.shape(request)).status_code == 403

    async def test_a_handle_of_another_users_shape_is_told_the_own_one(self) -> None:
        mine, theirs = await ticket(), await ticket(user=BOB)
        handle = (await use(theirs))["electric-handle"]
        answer = await use(mine, offset="0_0", handle=handle)
        assert answer.status_code == 409
        assert answer["electric-handle"] == (await use(mine))["electric-handle"]

    async def test_it_deletes_nothing(self) -> None:
        assert (await use(await ticket(), method="DELETE")).status_code in (403, 405)

    async def test_behind_shapes_first_it_is_handed_over_for_as_long_as_it_is_good(self) -> None:
        given = await ticket()
        request = asking(
            NOBODY, "GET", f"/x?{query_of(given)}", authorization=given["headers"]["Authorization"]
        )
        handover = request.scope[SCOPE_KEY] = Handover()
        await views.shape(request)
        assert handover.leave.user == "auth.User:7"
        assert 299 < handover.leave.seconds <= 303


class TestRefusing:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: signed(expires=time.time() - 10), "The token has expired"),
            (lambda: signed(FOREIGN), "The token is not valid"),
            (lambda: signed()[:-4] + "AAAA", "The token is not valid"),
            (lambda: signed().rpartition(".")[0] + ".", "The token is not valid"),
        ],
    )
    @pytest.mark.parametrize("name", [None, "all"])
    async def test_a_token_that_is_not_good_is_401_and_says_why(
        self, make: Callable[[], str], message: str, name: str | None
    ) -> None:
        answer = await use(await ticket(), token=make(), name=name)
        assert (answer.status_code, said(answer)) == (401, message)
        assert answer["www-authenticate"] == (
            f'Bearer error="invalid_token", error_description="{message}"'
        )
        assert answer["cache-control"] == "no-store"
        assert answer["access-control-allow-origin"] == "*", "a page elsewhere has to see why"

    async def test_keys_change_one_after_the_other(self, bench: Bench) -> None:
        given = await ticket()
        assert (await use(given, token=signed(OLD))).status_code == 200
        bench.use(gatekeeper_keys=(FOREIGN, NEW))
        assert (await use(given)).status_code == 200
        assert (await use(given, token=signed(OLD))).status_code == 401

    async def test_the_right_secret_needs_no_token(self, bench: Bench) -> None:
        bench.use(secret="right")
        given = await ticket()
        assert (await use(given, token="nonsense", where=None, secret="right")).status_code == 200
        assert (await use(given)).status_code == 200

    async def test_bearers_of_other_tokens_are_the_projects_users(self) -> None:
        request = asking(ANN, "GET", "/x?table=items&offset=-1", authorization="Bearer of.the.api")
        assert (await views.shape(request)).status_code == 200
        request.user = NOBODY
        assert (await views.shape(request)).status_code == 401


class TestRevoking:
    async def test_tokens_made_before_are_good_no_longer_and_others_are(self, bench: Bench) -> None:
        mine, theirs = await ticket(), await ticket(user=BOB)
        RevocationLog(bench.settings.root).append(["auth.User:7"])
        answer = await use(mine)
        assert (answer.status_code, said(answer)) == (401, "The token was revoked")
        assert (await use(theirs)).status_code == 200

    async def test_a_token_made_afterwards_is_good(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revocations, "TRIAL_SECONDS", 0.2)
        RevocationLog(bench.settings.root).append(["auth.User:7"])
        began = time.monotonic()
        given = await ticket()
        assert time.monotonic() - began > 0.15, "it waits until what is being taken away has gone"
        assert (await use(given)).status_code == 200

    async def test_a_session_that_goes_meanwhile_gets_none(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A logout says so first and takes the session away a moment later."""
        monkeypatch.setattr(revocations, "TRIAL_SECONDS", 0.2)
        for is_there, status in ((True, 200), (False, 401)):
            RevocationLog(bench.settings.root).append(["auth.User:7"])
            request = asking(ANN, "POST", "/x/")
            request.session = Session()
            monkeypatch.setattr(Session, "is_there", is_there)
            assert (await module.gatekeeper(request, "items")).status_code == status

    async def test_a_live_request_with_a_token_ends(self, bench: Bench) -> None:
        bench.use(long_poll_timeout=20_000)
        given = await ticket()
        first = await use(given)
        where = {"handle": first["electric-handle"], "offset": "0_inf", "live": "true"}
        waiting = asyncio.create_task(use(given, **where))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        RevocationLog(bench.settings.root).append(["auth.User:7"])
        answer = await asyncio.wait_for(waiting, 5)
        assert answer.status_code == 401
        assert time.monotonic() - began < 1


# --- The hook -------------------------------------------------------------------------------------


async def allow_some(request: HttpRequest, shape: ShapeParams) -> Access | None:
    if request.headers.get("x-key") != "sesame":
        return None
    return Access(shape.table, "id = $1", ("5",), user="elsewhere:5")


async def fail(request: HttpRequest, shape: ShapeParams) -> Access | None:
    raise LookupError("the service is not there")


async def say_yes(request: HttpRequest, shape: ShapeParams) -> Any:
    return True


class TestHook:
    async def ask(self, bench: Bench, hook: str, **headers: str) -> Any:
        bench.use(authorize=HERE + hook)
        request = asking(ANN, "GET", "/x?table=items&offset=-1&where=value='x'", **headers)
        return await views.shape(request)

    async def test_it_decides_in_place_of_the_policies(self, bench: Bench) -> None:
        assert (await self.ask(bench, "allow_some", **{"x-key": "sesame"})).status_code == 200
        (definition,) = bench.shapes.definitions.values()
        assert definition.where == '("id" = 5) AND ("value" = \'x\'::text)'
        assert (await self.ask(bench, "allow_some")).status_code == 403

    @pytest.mark.parametrize("hook", ["fail", "say_yes", "nothing_of_that_name"])
    async def test_whatever_goes_wrong_in_it_opens_nothing(
        self, bench: Bench, hook: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = await self.ask(bench, hook)
        assert answer.status_code == 500
        assert json.loads(answer.content) == {"error": "Internal server error"}
        assert "HookFailed" in caplog.text

    async def test_the_secret_and_a_token_come_before_it(self, bench: Bench) -> None:
        given = await ticket()
        bench.use(authorize=HERE + "fail", secret="right")
        assert (await use(given)).status_code == 200
        assert (await use(given, token="x", secret="right")).status_code == 200

    async def test_the_gatekeeper_asks_it_too(self, bench: Bench) -> None:
        bench.use(authorize=HERE + "allow_some")
        request = asking(NOBODY, "POST", "/x/", **{"x-key": "sesame"})
        answer = await module.gatekeeper(request, "items")
        assert json.loads(answer.content)["params"]["where"] == '"id" = 5'  # type: ignore[attr-defined]  # no stream
        assert (await refusal(asking(ANN, "POST", "/x/")))[0] == 403

    async def test_it_alone_opens_the_endpoint(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "policies", {})
        bench.use(gatekeeper_keys=())
        assert (await self.ask(bench, "allow_some", **{"x-key": "sesame"})).status_code == 200
