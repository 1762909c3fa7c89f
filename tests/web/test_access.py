"""Requests that the project has authorised, and what it allows them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.web.answer import answer_shape
from django_electric.web.exchange import WebRequest, WebResponse
from tests.web.conftest import Bench

ONE = Access(TableName("public", "items"), "id = $1", ("1",), user="auth.User:1")
TWO = replace(ONE, params=("2",), user="auth.User:2")
FOR_ALL = replace(ONE, is_public=True, user=None)


async def ask(bench: Bench, access: Access, method: str = "GET", **query: str) -> WebResponse:
    request = WebRequest(method, tuple({"offset": "-1", **query}.items()))
    return await answer_shape(bench.service, request, access)


class TestEntrance:
    @pytest.mark.parametrize("secret", [None, "right"])
    async def test_it_needs_no_secret(self, bench: Bench, secret: str | None) -> None:
        bench.use(secret=secret, insecure=False)
        assert (await ask(bench, ONE)).status == 200

    async def test_the_table_is_known(self, bench: Bench) -> None:
        assert (await ask(bench, ONE, table="items")).status == 200
        assert (await ask(bench, ONE, table="users")).status == 400

    async def test_an_access_that_does_not_fit_is_a_500_without_details(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = await ask(bench, replace(ONE, where="nothing = 1", params=()))
        assert answer.status == 500
        assert b"nothing" not in answer.body
        assert "unknown reference nothing" in caplog.text


class TestHandles:
    async def test_that_of_another_users_shape_is_told_the_own_one(self, bench: Bench) -> None:
        mine = (await ask(bench, ONE)).headers["electric-handle"]
        theirs = (await ask(bench, TWO)).headers["electric-handle"]
        assert mine != theirs
        for query in ({"offset": "0_0"}, {"offset": "0_inf", "live": "true"}):
            answer = await ask(bench, ONE, handle=theirs, **query)
            assert (answer.status, answer.headers["electric-handle"]) == (409, mine)
            assert json.loads(answer.body) == [{"headers": {"control": "must-refetch"}}]

    async def test_the_same_rows_have_the_same_handle(self, bench: Bench) -> None:
        handles = {
            (await ask(bench, access)).headers["electric-handle"]
            for access in (ONE, replace(ONE, user="auth.User:9"), FOR_ALL)
        }
        assert len(handles) == 1


class TestCaching:
    async def test_what_is_for_one_user_is_kept_by_no_shared_cache(self, bench: Bench) -> None:
        first = await ask(bench, ONE)
        handle = first.headers["electric-handle"]
        tag = {"if-none-match": f'"{handle}:0_0:0_inf"'}
        request = WebRequest("GET", (("offset", "0_0"), ("handle", handle)), tag)
        answers = [
            first,
            await ask(bench, ONE, handle=handle, offset="0_0"),
            await ask(bench, ONE, offset="now"),
            await ask(bench, ONE, handle="other", offset="0_0"),
            await ask(bench, ONE, "HEAD"),
            await ask(bench, ONE, "POST"),
            await answer_shape(bench.service, request, ONE),
        ]
        assert [answer.status for answer in answers] == [200, 200, 200, 409, 200, 200, 304]
        for answer in answers:
            assert answer.headers["cache-control"] == "private, no-cache"
            assert answer.headers["vary"].endswith("cookie, authorization")

    async def test_errors_are_kept_by_none(self, bench: Bench) -> None:
        answer = await ask(bench, ONE, where="(")
        assert (answer.status, answer.headers["cache-control"]) == (400, "no-store")

    async def test_what_is_for_everybody_is_cached_as_ever(self, bench: Bench) -> None:
        answer = await ask(bench, FOR_ALL)
        assert answer.headers["cache-control"].startswith("public, max-age=604800, s-maxage")
        assert "cookie" not in answer.headers.get("vary", "")


class TestDelete:
    async def test_to_see_a_shape_is_not_to_drop_it(self, bench: Bench) -> None:
        handle = (await ask(bench, ONE)).headers["electric-handle"]
        assert bench.settings.enable_integration_testing
        assert (await ask(bench, ONE, "DELETE", handle=handle)).status == 405
        assert handle in bench.shapes.handles.values()

    async def test_who_may_drops_the_shape_that_is_meant(self, bench: Bench) -> None:
        async def yes() -> bool:
            return True

        mine, theirs = [
            (await ask(bench, access)).headers["electric-handle"] for access in (ONE, TWO)
        ]
        query = (("handle", theirs),)
        answer = await answer_shape(bench.service, WebRequest("DELETE", query, may_delete=yes), ONE)
        assert answer.status == 400
        answer = await answer_shape(bench.service, WebRequest("DELETE", may_delete=yes), ONE)
        assert answer.status == 202
        assert list(bench.shapes.handles.values()) == [theirs]
        assert mine != theirs
