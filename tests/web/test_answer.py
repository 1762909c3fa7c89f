"""The journey of a request through the answering core (PROTOCOL sections 1, 3, 7 and 11.3)."""

from __future__ import annotations

import asyncio
import fcntl
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from django_electric.conf import AdmissionLimits
from django_electric.wakeup import STANDBY_LOCK
from django_electric.web import answer as answer_module
from django_electric.web import live
from django_electric.web.answer import answer_health
from django_electric.web.exchange import WebRequest, WebResponse
from tests.web.conftest import ITEMS, Bench, entry, messages


async def body_of(response: WebResponse) -> bytes:
    if response.stream is None:
        return response.body
    return b"".join([piece async for piece in response.stream])


async def soon(bench: Bench, **query: str) -> asyncio.Task[WebResponse]:
    """A request that has begun to wait."""
    task = asyncio.create_task(bench.get(**query))
    await asyncio.sleep(0.05)
    assert not task.done()
    return task


class TestAccess:
    """Sections 1.2 to 1.4."""

    async def test_a_wrong_secret_is_401_without_cors(self, bench: Bench) -> None:
        bench.use(secret="right", insecure=False)
        for query in (
            {},
            {"secret": "wrong"},
            {"secret": "wrong", "api_secret": "right"},
            {"secret": "ünicode"},
        ):
            answer = await bench.ask(**query)
            assert answer.status == 401
            assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("name", ["secret", "api_secret"])
    async def test_the_right_secret_passes(self, bench: Bench, name: str) -> None:
        bench.use(secret="right", insecure=False)
        assert (await bench.get(**{name: "right"})).status == 200

    async def test_two_secrets_pass_while_clients_change_over(self, bench: Bench) -> None:
        bench.use(secret="new", secret_previous="old", insecure=False)
        statuses = {given: (await bench.get(secret=given)).status for given in ("new", "old", "x")}
        assert statuses == {"new": 200, "old": 200, "x": 401}
        bench.use(secret_previous=None)
        assert (await bench.get(secret="old")).status == 401

    async def test_every_secret_is_compared_whichever_fits(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compared: list[bytes] = []

        def compare(given: bytes, known: bytes) -> bool:
            compared.append(known)
            return given == known

        monkeypatch.setattr(answer_module.hmac, "compare_digest", compare)
        bench.use(secret="new", secret_previous="old", insecure=False)
        for given in ("new", "old", "neither"):
            compared.clear()
            await bench.get(secret=given)
            assert compared == [b"new", b"old"]

    async def test_the_previous_secret_alone_opens_nothing(self, bench: Bench) -> None:
        bench.use(secret=None, secret_previous="old", insecure=False)
        assert (await bench.get(secret="old")).status == 503

    @pytest.mark.parametrize(("secret", "insecure"), [(None, False), ("s", True)])
    async def test_nothing_is_served_unless_exactly_one_is_set(
        self, bench: Bench, secret: str | None, insecure: bool
    ) -> None:
        bench.use(secret=secret, insecure=insecure)
        answer = await bench.get(secret="s")
        assert answer.status == 503
        assert "ELECTRIC_SECRET" in json.loads(answer.body)["message"]
        assert bench.shapes.queries == 0

    async def test_preflight_is_never_authenticated(self, bench: Bench) -> None:
        bench.use(secret="right", insecure=False)
        answer = await bench.ask("OPTIONS")
        assert (answer.status, answer.body) == (204, b"")

    async def test_other_methods_are_not_found(self, bench: Bench) -> None:
        answer = await bench.ask("PUT")
        assert (answer.status, answer.body) == (404, b"Not found")
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD"


class TestReading:
    async def test_from_the_first_rows_to_up_to_date(self, bench: Bench) -> None:
        first = await bench.get()
        assert first.headers["electric-offset"] == "0_0"
        assert [m.get("key") for m in messages(first)] == ["1", None]
        handle = first.headers["electric-handle"]
        second = await bench.get(offset="0_0", handle=handle)
        assert second.headers["electric-offset"] == "0_inf"
        assert second.headers["electric-up-to-date"] == ""
        (message,) = messages(second)
        assert message == {"headers": {"control": "up-to-date", "global_last_seen_lsn": "5"}}

    async def test_a_head_has_the_headers_and_no_body(self, bench: Bench) -> None:
        answer = await bench.ask("HEAD", table="items", offset="-1")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["electric-offset"] == "0_0"
        whole = await bench.get()
        assert answer.headers["content-length"] == str(len(whole.body))

    async def test_a_head_of_a_stream_says_nothing_of_its_length(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        answer = await bench.ask(
            "HEAD", table="items", handle=handle, offset=offset, live="true", live_sse="true"
        )
        assert answer.headers["content-type"] == "text/event-stream"
        assert "content-length" not in answer.headers
        assert answer.stream is not None, "or Django would say that the length is 0"
        assert b"".join([piece async for piece in answer.stream]) == b""
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}

    async def test_each_chunk_is_an_answer(self, bench: Bench) -> None:
        handle, _ = await bench.follow()
        bench.storage.chunk_bytes = 10
        bench.worker.append(handle, 11)
        bench.worker.append(handle, 12)
        answer = await bench.get(offset="0_inf", handle=handle)
        assert answer.headers["electric-offset"] == "11_0"
        assert "electric-up-to-date" not in answer.headers

    async def test_a_large_chunk_is_streamed_and_is_the_same_json(self, bench: Bench) -> None:
        bench.worker.rows = [entry(n, "x" * 1000) for n in range(2000)]
        answer = await bench.get()
        assert answer.stream is not None
        assert bench.service.admission.under_way == {"initial": 0, "existing": 1}
        assert len(json.loads(await body_of(answer))) == 2001
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}

    async def test_a_stream_that_nobody_reads_gives_its_permit_back(self, bench: Bench) -> None:
        bench.worker.rows = [entry(n, "x" * 1000) for n in range(2000)]
        (await bench.get()).close()
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}

    async def test_a_client_that_holds_the_chunk_gets_304(self, bench: Bench) -> None:
        handle, _ = await bench.follow()
        query = {"table": "items", "offset": "0_0", "handle": handle}
        answer = await bench.ask(headers={"if-none-match": f'"{handle}:0_0:0_inf"'}, **query)
        assert (answer.status, answer.body) == (304, b"")
        assert "electric-schema" not in answer.headers

    async def test_now_is_the_end_of_the_log(self, bench: Bench) -> None:
        handle, _ = await bench.follow()
        bench.worker.append(handle, 11)
        answer = await bench.get(offset="now", handle="bogus")
        assert answer.headers["electric-offset"] == "11_0"
        assert answer.headers["electric-has-data"] == "false"

    async def test_an_empty_post_is_an_ordinary_request_that_is_not_cached(
        self, bench: Bench
    ) -> None:
        answer = await bench.ask("POST", table="items", offset="-1")
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")


class TestHandles:
    """Section 7.3."""

    async def test_an_unknown_handle_is_told_the_live_one(self, bench: Bench) -> None:
        answer = await bench.get(offset="0_0", handle="1-1")
        assert answer.status == 409
        assert answer.headers["electric-handle"] == (await bench.get()).headers["electric-handle"]
        assert ("registered", answer.headers["electric-handle"]) in bench.worker.heard

    @pytest.mark.parametrize("handle", ["../../etc", "a b", "x" * 5000, "\u0661"])
    async def test_any_text_may_be_a_handle(self, bench: Bench, handle: str) -> None:
        assert (await bench.get(offset="0_0", handle=handle)).status == 409

    async def test_a_shape_that_goes_while_a_request_waits_is_409_without_a_handle(
        self, bench: Bench
    ) -> None:
        handle, offset = await bench.follow()
        task = await soon(bench, offset=offset, handle=handle, live="true")
        bench.shapes.handles.clear()
        bench.worker.rotate(handle)
        answer = await task
        assert answer.status == 409
        assert "electric-handle" not in answer.headers
        assert messages(answer) == [{"headers": {"control": "must-refetch"}}]


class TestLive:
    """Section 7.1."""

    async def test_news_end_the_wait_at_once(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        bench.use(poll_interval=60_000)
        task = await soon(bench, offset=offset, handle=handle, live="true")
        began = time.monotonic()
        bench.worker.append(handle, 11)
        answer = await task
        assert time.monotonic() - began < 0.1
        assert answer.headers["electric-offset"] == "11_0"
        assert messages(answer)[-1]["headers"] == {
            "control": "up-to-date",
            "global_last_seen_lsn": "11",
        }

    async def test_a_missed_wake_up_costs_the_poll_interval(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        bench.use(long_poll_timeout=5000)
        task = await soon(bench, offset=offset, handle=handle, live="true")
        bench.worker.append(handle, 11, silently=True)
        assert (await asyncio.wait_for(task, 1)).headers["electric-offset"] == "11_0"

    async def test_without_news_the_answer_says_so(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        answer = await bench.get(offset=offset, handle=handle, live="true")
        assert answer.status == 200
        assert answer.headers["electric-has-data"] == "false"
        assert answer.headers["electric-offset"] == offset
        assert len(messages(answer)) == 1

    async def test_wake_ups_for_other_shapes_do_not_end_the_wait(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        other = (await bench.get(replica="full")).headers["electric-handle"]
        task = await soon(bench, offset=offset, handle=handle, live="true")
        bench.worker.append(other, 11)
        await asyncio.sleep(0.05)
        assert not task.done()
        assert (await task).headers["electric-has-data"] == "false"

    async def test_a_client_that_leaves_leaves_nothing_behind(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        task = await soon(bench, offset=offset, handle=handle, live="true")
        assert bench.service.listener.waiting
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not bench.service.listener.waiting
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}


class TestBounds:
    """Section 3.6."""

    @pytest.mark.parametrize("live", ["true", "false"])
    async def test_an_offset_beyond_the_log_is_refused_after_half_the_timeout(
        self, bench: Bench, live: str
    ) -> None:
        handle, _ = await bench.follow()
        began = time.monotonic()
        answer = await bench.get(offset="99_0", handle=handle, live=live)
        assert 0.15 < time.monotonic() - began < 0.4
        assert answer.status == 400
        assert json.loads(answer.body)["errors"] == {"offset": ["out of bounds for this shape"]}

    async def test_unless_the_log_catches_up(self, bench: Bench) -> None:
        handle, _ = await bench.follow()
        task = await soon(bench, offset="99_0", handle=handle)
        bench.worker.append(handle, 99)
        answer = await task
        assert (answer.status, answer.headers["electric-up-to-date"]) == (200, "")


class TestEvents:
    """Section 7.2."""

    async def stream(self, bench: Bench, **query: str) -> AsyncIterator[bytes]:
        answer = await bench.get(live="true", live_sse="true", **query)
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.stream is not None
        return aiter(answer.stream)

    async def test_what_is_there_is_sent_and_ends_the_stream(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        bench.worker.append(handle, 11)
        frames = b"".join([f async for f in await self.stream(bench, offset=offset, handle=handle)])
        events = [json.loads(line[6:]) for line in frames.split(b"\n\n") if line]
        assert [e.get("key") for e in events] == ["11", None]
        assert events[-1]["headers"]["global_last_seen_lsn"] == "11"

    async def test_otherwise_the_stream_stays_open_until_the_shape_goes(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        frames = await self.stream(bench, offset=offset, handle=handle)
        assert await anext(frames) == b""
        task = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0.05)
        assert not task.done()
        bench.worker.append(handle, 11)
        assert b'"key":"11"' in await task
        assert b"up-to-date" in await anext(frames)
        bench.worker.rotate(handle)
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        assert bench.service.admission.under_way == {"initial": 0, "existing": 0}

    async def test_an_offset_beyond_the_log_just_ends_the_stream(self, bench: Bench) -> None:
        handle, _ = await bench.follow()
        frames = await self.stream(bench, offset="99_0", handle=handle)
        assert b"".join([f async for f in frames]) == b""


class TestFailures:
    """Sections 7.5 and 7.6."""

    @pytest.mark.parametrize(("status", "answered"), [(503, 503), (500, 500), (409, 409)])
    async def test_a_snapshot_that_failed_is_passed_on(
        self, bench: Bench, status: int, answered: int
    ) -> None:
        bench.worker.failure = (status, "permission denied for table items")
        bench.worker.on_failure = lambda handle: bench.shapes.handles.clear()
        answer = await bench.get()
        assert answer.status == answered
        if status != 409:
            assert json.loads(answer.body) == {"message": "permission denied for table items"}

    async def test_a_row_that_vanished_before_it_was_filled_is_to_be_asked_for_again(
        self, bench: Bench
    ) -> None:
        bench.worker.fills = False
        task = await soon(bench)
        bench.shapes.handles.clear()
        answer = await task
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert json.loads(answer.body)["message"] == "Failed to create shape, please retry"

    async def test_a_lost_registration_is_repeated(self, bench: Bench) -> None:
        bench.worker.fills = False
        task = await soon(bench)
        bench.worker.fills = True
        assert (await task).status == 200

    async def test_an_unreachable_database(self, bench: Bench) -> None:
        bench.shapes.is_reachable = False
        answer = await bench.get()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "Cannot connect to the database" in json.loads(answer.body)["message"]

    async def test_too_many_requests(self, bench: Bench) -> None:
        bench.service.admission._limits.update(existing=1)
        handle, offset = await bench.follow()
        waiting = await soon(bench, offset=offset, handle=handle, live="true")
        answer = await bench.get(offset=offset, handle=handle)
        assert answer.status == 503
        assert json.loads(answer.body)["code"] == "concurrent_request_limit_exceeded"
        assert 6 <= int(answer.headers["retry-after"]) <= 10
        assert (await bench.get()).status == 200
        await waiting


class TestWithoutWorker:
    """Section 7.6: what exists is served, what has to be made waits."""

    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "WORKER_SECONDS", 0.2)
        monkeypatch.setattr("django_electric.web.answer.WORKER_SECONDS", 0.2)

    async def stop(self, bench: Bench) -> None:
        await bench.worker.stop()
        while bench.service.listener.state is not None:
            await asyncio.sleep(0.01)

    async def test_existing_shapes_are_served(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        await self.stop(bench)
        assert (await bench.get()).status == 200
        answer = await bench.get(offset=offset, handle=handle, live="true")
        assert answer.status == 200
        assert messages(answer)[0]["headers"]["global_last_seen_lsn"] == "0"  # type: ignore[index]

    async def test_what_was_written_meanwhile_is_found_in_the_files(self, bench: Bench) -> None:
        handle, offset = await bench.follow()
        await self.stop(bench)
        task = await soon(bench, offset=offset, handle=handle, live="true")
        bench.worker.append(handle, 11)
        assert (await task).headers["electric-offset"] == "11_0"

    async def test_a_new_shape_is_refused_after_a_while(self, bench: Bench) -> None:
        await bench.get()
        await self.stop(bench)
        answer = await bench.get(where="id = 1")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert json.loads(answer.body)["message"].startswith(
            "Timeout waiting for replication client"
        )

    async def test_a_standby_says_what_it_waits_for(self, bench: Bench) -> None:
        await bench.get()
        await self.stop(bench)
        with (bench.settings.root / STANDBY_LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            answer = await bench.get(where="id = 1")
            health = await answer_health(bench.service, WebRequest("GET"))
        assert json.loads(answer.body) == {
            "message": "Timeout waiting for Postgres lock acquisition"
        }
        assert (health.status, json.loads(health.body)) == (202, {"status": "waiting"})

    async def test_a_new_shape_is_made_when_the_worker_comes_back_in_time(
        self, bench: Bench
    ) -> None:
        await bench.get()
        await self.stop(bench)
        task = asyncio.create_task(bench.get(where="id = 1"))
        await asyncio.sleep(0.05)
        await bench.worker.start()
        assert (await task).status == 200

    async def test_nothing_is_deleted(self, bench: Bench) -> None:
        await bench.get()
        await self.stop(bench)
        assert (await bench.ask("DELETE", table="items")).status == 503


class TestHealth:
    """Section 1.5."""

    async def test_active(self, bench: Bench) -> None:
        answer = await answer_health(bench.service, WebRequest("GET"))
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "active"})

    async def test_starting(self, bench: Bench) -> None:
        await bench.worker.stop()
        await bench.worker.start("starting")
        answer = await answer_health(bench.service, WebRequest("HEAD"))
        assert (answer.status, answer.body) == (202, b"")

    async def test_other_methods_are_not_found(self, bench: Bench) -> None:
        assert (await answer_health(bench.service, WebRequest("OPTIONS"))).status == 404


class TestDelete:
    """Section 1.6."""

    async def test_by_definition_and_by_handle(self, bench: Bench) -> None:
        handle, _ = await bench.follow()
        answer = await bench.ask("DELETE", table="items")
        assert (answer.status, answer.headers["cache-control"], answer.body) == (
            202,
            "no-cache",
            b"",
        )
        await asyncio.sleep(0.05)
        assert ("deleted", handle) in bench.worker.heard
        second, _ = await bench.follow()
        assert second != handle
        assert (await bench.ask("DELETE", handle=second)).status == 202
        assert (await bench.ask("DELETE", handle=second)).status == 404

    async def test_a_handle_of_another_definition(self, bench: Bench) -> None:
        await bench.follow()
        answer = await bench.ask("DELETE", table="items", handle="1-1")
        assert (answer.status, answer.headers["cache-control"]) == (400, "no-cache")

    async def test_unless_it_is_enabled_it_is_not_allowed(self, bench: Bench) -> None:
        bench.use(enable_integration_testing=False)
        assert (await bench.ask("DELETE", table="items")).status == 405


async def test_the_schema_is_the_current_one(bench: Bench) -> None:
    handle, _ = await bench.follow()
    column = replace(ITEMS.columns[1], not_null=True)
    bench.shapes.relations["items"] = replace(ITEMS, columns=(ITEMS.columns[0], column))
    answer = await bench.get(offset="0_inf", handle=handle)
    assert json.loads(answer.headers["electric-schema"])["value"]["not_null"] is True


async def test_admission_comes_before_validation(bench: Bench) -> None:
    bench.service.admission._limits.update(initial=0)
    assert (await bench.ask()).status == 503
    assert bench.shapes.queries == 0


def test_limits_are_those_of_the_setting() -> None:
    assert AdmissionLimits() == AdmissionLimits(300, 10_000)


async def test_every_answer_says_who_answers_which_request(bench: Bench) -> None:
    mine = "a-request-id-of-my-own-1"
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"):
        for given in (mine, "too short", "has a blank in the middle of it"):
            answer = await bench.ask(method, headers={"x-request-id": given}, table="items")
            assert answer.headers["electric-server"].startswith("ElectricSQL/")
            assert (answer.headers["x-request-id"] == given) is (given == mine)
            assert len(answer.headers["x-request-id"]) >= 20
    bench.use(secret="s" * 20, insecure=False)
    answer = await bench.ask(table="items", headers={"x-request-id": mine})
    assert (answer.status, answer.headers["x-request-id"]) == (401, mine)
    assert "access-control-allow-origin" not in answer.headers


async def test_why_a_shape_was_not_filled_is_told_also_if_its_log_goes_first(bench: Bench) -> None:
    bench.worker.fills = False
    asking = asyncio.create_task(bench.get())
    while not bench.shapes.handles:
        await asyncio.sleep(0.01)
    (handle,) = bench.shapes.handles.values()
    bench.storage.writer(handle)
    await asyncio.sleep(3 * bench.settings.poll_interval / 1000)  # looks at the empty log
    bench.storage.delete(handle)
    await asyncio.sleep(2 * bench.settings.poll_interval / 1000)  # and sees that it is gone
    assert not asking.done()
    bench.worker.tell("failed", handle, json.dumps({"status": 503, "message": "no lock"}))
    answer = await asking
    assert (answer.status, json.loads(answer.body)) == (503, {"message": "no lock"})
