"""revoke(): in both mounts, who is revoked is out within a second, all others stay, and whoever signs in again is in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from django_electric.revocations import LOOK_SECONDS, TRIAL_SECONDS, RevocationLog
from tests.access.conftest import Site, serving
from tests.access.people import PASSWORD
from tests.access.test_tokens import ticket

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("access")]

MOUNTS = ("first", "plain")
KINDS: tuple[dict[str, str], ...] = ({}, {"live_sse": "true"})
SOON = 1.0


@pytest.fixture(scope="module")
def patient(site: Site) -> Iterator[Site]:
    """The same with web processes in which a request may wait as long as it does in the field."""
    long = {"ELECTRIC_LONG_POLL_TIMEOUT": "50s", "ELECTRIC_GRANT_TTL": "5s"}
    with (
        serving(site.server, "wrapped", **long) as first,
        serving(site.server, "plain", **long) as plain,
    ):
        patient = replace(site, mounts={"first": first, "plain": plain}, clients={})
        yield patient
        for client in patient.clients.values():
            client.close()


class Live:
    """Requests that wait, of one client at one endpoint; one for each mount and kind."""

    def __init__(self, site: Site, path: str, headers: dict[str, str], **query: str) -> None:
        self._site = site
        self._path = path
        self._query = query
        self._client = httpx.AsyncClient(headers=headers, timeout=70)
        self.waiting: list[asyncio.Task[httpx.Response]] = []

    async def start(self) -> None:
        for mount in MOUNTS:
            place = await self._place(mount)
            self.waiting += [
                asyncio.create_task(self._get(mount, live="true", **place, **kind))
                for kind in KINDS
            ]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in self.waiting)

    async def _get(self, mount: str, **query: str) -> httpx.Response:
        url = f"{self._site.mounts[mount]}{self._path}"
        return await self._client.get(url, params={"offset": "-1", **self._query, **query})

    async def _place(self, mount: str) -> dict[str, str]:
        place: dict[str, str] = {}
        while True:
            answer = await self._get(mount, **place)
            assert answer.status_code == 200, answer.text
            place = {
                "offset": answer.headers["electric-offset"],
                "handle": answer.headers["electric-handle"],
            }
            if "electric-up-to-date" in answer.headers:
                return place

    async def ended(self) -> list[tuple[int, str]]:
        """Statuses and messages, once all have been answered; a stream of events just ends."""
        answers = await asyncio.gather(*self.waiting)
        self.waiting.clear()
        return [
            (answer.status_code, answer.text and answer.json()["message"])
            if answer.status_code != 200
            else (200, answer.text)
            for answer in answers
        ]

    async def ask(self) -> set[int]:
        return {(await self._get(mount)).status_code for mount in MOUNTS}

    async def close(self) -> None:
        for task in self.waiting:
            task.cancel()
        await asyncio.gather(*self.waiting, return_exceptions=True)
        await self._client.aclose()


@pytest.fixture
async def bystanders(patient: Site) -> AsyncIterator[list[Live]]:
    """One who has signed in, one with a token, one with the secret: what happens is not their affair."""
    given = ticket(patient, "bob")
    bob = {"cookie": f"sessionid={patient.sessions['bob']}"}
    all_of_them = [
        Live(patient, "/shapes/my-issues/", bob),
        Live(patient, given.path, {"authorization": given.authorization}, **given.params),
        Live(patient, "/v1/shape", {}, table="demo_issue", secret="matrix-secret"),
    ]
    for bystander in all_of_them:
        await bystander.start()
    yield all_of_them
    for bystander in all_of_them:
        assert not any(task.done() for task in bystander.waiting), "they go on"
        await bystander.close()


def revoke(site: Site, person: str) -> float:
    """As any process does that sees the storage; when."""
    ((key,),) = site.server.query("SELECT id FROM auth_user WHERE username = %s", [person])
    began = time.monotonic()
    RevocationLog(site.server.storage / site.server.stream_id).append([f"auth.User:{key}"])
    return began


async def ends_soon(live: Live, began: float) -> None:
    async with asyncio.timeout(10):
        answers = await live.ended()
    seconds = time.monotonic() - began
    print(f"ended after {seconds:.2f} s")
    assert seconds < SOON
    assert [status for status, _ in answers] == [401, 200] * len(MOUNTS)
    for status, text in answers:
        assert (
            ("Leave to read" in text) if status == 401 else (text.strip() in ("", ": keep-alive"))
        )


async def test_who_has_signed_in_is_out_and_comes_back(patient: Site, bystanders: Any) -> None:
    headers = {"cookie": f"sessionid={patient.sessions['ann']}"}
    live = Live(patient, "/shapes/my-issues/", headers)
    table = Live(patient, "/v1/shape", headers, table="demo_issue")
    for each in (live, table):
        await each.start()
    began = await asyncio.to_thread(revoke, patient, "ann")
    for each in (live, table):
        await ends_soon(each, began)
    # The session is there still, and the project lets it in again.
    assert await live.ask() == {200}
    await asyncio.sleep(max(0.0, TRIAL_SECONDS - (time.monotonic() - began)))
    await live.start()
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert not any(task.done() for task in live.waiting)
    for each in (live, table):
        await each.close()


async def test_tokens_are_good_no_longer(patient: Site, bystanders: Any) -> None:
    given = await asyncio.to_thread(ticket, patient)
    live = Live(patient, given.path, {"authorization": given.authorization}, **given.params)
    await live.start()
    began = await asyncio.to_thread(revoke, patient, "ann")
    async with asyncio.timeout(10):
        answers = await live.ended()
    assert time.monotonic() - began < SOON
    assert [status for status, _ in answers] == [401, 200] * len(MOUNTS)
    assert await live.ask() == {401}
    await live.close()
    fresh = await asyncio.to_thread(ticket, patient)
    again = Live(patient, fresh.path, {"authorization": fresh.authorization}, **fresh.params)
    assert await again.ask() == {200}
    await again.close()


async def test_a_logout_ends_what_the_session_reads_and_a_login_begins_it_again(
    patient: Site, bystanders: Any
) -> None:
    form = {"x-csrftoken": "a" * 32, "cookie": f"csrftoken={'a' * 32}"}
    url = f"{patient.mounts['first']}/accounts"

    async def sign_in() -> dict[str, str]:
        async with httpx.AsyncClient(headers=form, timeout=30) as client:
            answer = await client.post(
                f"{url}/login/", data={"username": "leo", "password": PASSWORD}
            )
        assert answer.status_code == 302, answer.text
        return {"cookie": f"sessionid={answer.cookies['sessionid']}"}

    here = await sign_in()
    live = Live(patient, "/shapes/my-issues/", here)
    await live.start()
    async with httpx.AsyncClient(timeout=30) as client:
        cookie = f"{here['cookie']}; {form['cookie']}"
        answer = await client.post(f"{url}/logout/", headers={**form, "cookie": cookie})
    began = time.monotonic()
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(10):
        answers = await live.ended()
    assert time.monotonic() - began < SOON
    assert [status for status, _ in answers] == [401, 200] * len(MOUNTS)
    assert await live.ask() == {401}, "the session has gone"
    await live.close()
    again = Live(patient, "/shapes/my-issues/", await sign_in())
    assert await again.ask() == {200}, "at once"
    await again.close()


async def test_a_command_reaches_all_web_processes(patient: Site, bystanders: Any) -> None:
    live = Live(patient, "/shapes/my-issues/", {"cookie": f"sessionid={patient.sessions['ann']}"})
    await live.start()
    said = await asyncio.to_thread(patient.server.manage, "electric_revoke", "ann")
    began = time.monotonic()
    assert "1 revoked" in said
    await ends_soon(live, began)
    await live.close()


async def test_what_is_remembered_of_the_user_is_forgotten(patient: Site) -> None:
    """A grant outlives the permission that it rests on, unless somebody is told."""
    given = await asyncio.to_thread(ticket, patient)
    token = Live(patient, given.path, {"authorization": given.authorization}, **given.params)
    assert await token.ask() == {200}
    await asyncio.to_thread(revoke, patient, "ann")
    await asyncio.sleep(LOOK_SECONDS)
    assert await token.ask() == {401}
    await token.close()
