"""Plays one golden case against a server and its database, step by step.

The notation: a case has ``setup`` (SQL) and ``steps``; ``{{t_NAME}}`` is a relation of the case's own,
``{{name}}`` a value saved by an earlier step. `Player` has one method for each kind of step.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from tests.golden.matchers import mismatch

SECRET = "golden-secret"
HTTP_TIMEOUT = 60.0
MOST_REQUESTS_OF_FOLLOW = 200

Step = Mapping[str, Any]


class CaseFailed(AssertionError):
    """The server did not do what the case expects."""


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    is_closed: bool = True
    """Of an event stream: whether the server ended it."""

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise CaseFailed(f"not JSON: {self.status} {self.body[:2000]!r}") from None

    def events(self) -> list[Any]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]


class Player:
    """Plays the steps of one case. Close it afterwards."""

    def __init__(self, case: Step, url: str, database_url: str, names: Mapping[str, str]) -> None:
        self.case = case
        self.url = url
        self.database_url = database_url
        self.run_id = f"r{os.urandom(3).hex()}"
        self.saved: dict[str, Any] = dict(names)
        self.sessions: dict[str, psycopg.Connection[Any]] = {}
        self.pending: dict[str, Future[Answer]] = {}
        self.client = httpx.Client(
            timeout=HTTP_TIMEOUT, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.threads = ThreadPoolExecutor(8)
        self.kinds: dict[str, Callable[[Step], None]] = {
            "session": self.session,
            "start": self.start,
            "still_pending": self.still_pending,
            "join": self.join,
            "follow": self.follow,
            "request": self.request,
            "query": self.query,
            "tx": self.transaction,
            "sql": self.sql,
            "sleep_ms": self.sleep,
        }

    def play(self) -> None:
        """All steps, in order. Raises `CaseFailed`."""
        self.sql({"sql": self.case.get("setup") or []})
        for number, step in enumerate(self.case["steps"], 1):
            # A key of a step names its kind; some are options of others, so the order counts.
            kind = next(name for name in self.kinds if name in step)
            try:
                self.kinds[kind](
                    self.fill(step, except_for=("expect", "expect_messages", "expect_rows"))
                )
            except CaseFailed as error:
                raise CaseFailed(
                    f"case {self.case['id']}, step {number} ({kind}): {error}"
                ) from None

    def close(self) -> None:
        for connection in self.sessions.values():
            connection.close()
        self.client.close()
        self.threads.shutdown(wait=False, cancel_futures=True)

    # --- Templates and expectations ---------------------------------------------------------------

    def fill(self, value: Any, except_for: tuple[str, ...] = ()) -> Any:
        """*value* with its templates replaced; expectations are filled after their ``save``."""
        if isinstance(value, str):
            return re.sub(r"\{\{(\w+)\}\}", self._name, value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {
                self.fill(key): item if key in except_for else self.fill(item)
                for key, item in value.items()
            }
        return value

    def _name(self, match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("t_"):
            return f"{name[2:]}_{self.case['id']}_{self.run_id}".lower()
        return str(self.saved[name])

    def expect(self, expected: Any, actual: Any, at: str) -> None:
        if why := mismatch(self.fill(expected), actual, self.saved, at):
            raise CaseFailed(why)

    # --- SQL --------------------------------------------------------------------------------------

    def session(self, step: Step) -> None:
        name = step["session"]
        if name not in self.sessions:
            self.sessions[name] = psycopg.connect(self.database_url, autocommit=True)
        for statement in step["sql"]:
            self.sessions[name].execute(statement)

    def sql(self, step: Step) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for statement in self.fill(step["sql"]):
                connection.execute(statement)

    def transaction(self, step: Step) -> None:
        with psycopg.connect(self.database_url) as connection:
            for statement in step["tx"]:
                connection.execute(statement)

    def query(self, step: Step) -> None:
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute(step["query"]).fetchall()
        texts = [[None if value is None else str(value) for value in row] for row in rows]
        self.expect(step["expect_rows"], texts, "rows")

    def sleep(self, step: Step) -> None:
        time.sleep(step["sleep_ms"] / 1000)

    # --- HTTP -------------------------------------------------------------------------------------

    def request(self, step: Step) -> None:
        self.check(step, self.send(step["request"]))

    def start(self, step: Step) -> None:
        self.pending[step["start"]] = self.threads.submit(self.send, step["request"])
        time.sleep(0.3)

    def still_pending(self, step: Step) -> None:
        time.sleep(step["ms"] / 1000)
        if self.pending[step["still_pending"]].done():
            answer = self.pending[step["still_pending"]].result()
            raise CaseFailed(f"answered too early: {answer.status} {answer.body[:2000]!r}")

    def join(self, step: Step) -> None:
        began = time.monotonic()
        try:
            answer = self.pending.pop(step["join"]).result(timeout=step["within_ms"] / 1000)
        except TimeoutError:
            raise CaseFailed(f"no answer within {step['within_ms']} ms") from None
        # What counts is how long the answer took from here, not since it was started.
        took = time.monotonic() - began
        self.check(step, Answer(answer.status, answer.headers, answer.body, took, answer.is_closed))

    def follow(self, step: Step) -> None:
        query, offset = dict(step["follow"]["query"]), step["follow"]["offset"]
        messages: list[Any] = []
        for _ in range(MOST_REQUESTS_OF_FOLLOW):
            answer = self.send({"path": "/v1/shape", "query": {**query, "offset": offset}})
            if answer.status != 200:
                raise CaseFailed(f"follow: {answer.status} {answer.body[:2000]!r}")
            messages += answer.json()
            offset = answer.headers["electric-offset"]
            query["handle"] = answer.headers["electric-handle"]
            if "electric-up-to-date" in answer.headers:
                break
        ends = {"handle": query["handle"], "offset": offset}
        self.saved.update({name: ends[source] for name, source in step.get("save", {}).items()})
        if "expect_messages" in step:
            self.expect(step["expect_messages"], messages[:-1], "messages")

    def send(self, request: Step) -> Answer:
        content = request.get("raw")
        if "raw_repeat" in request:
            text, count = request["raw_repeat"]
            content = text * count
        built = self.client.build_request(
            request.get("method", "GET"),
            self.url + request["path"],
            params=request.get("query"),
            headers=request.get("headers"),
            content=content.encode() if content is not None else None,
            json=request.get("json"),
            timeout=httpx.Timeout(
                HTTP_TIMEOUT, read=request.get("read_ms", HTTP_TIMEOUT * 1000) / 1000
            ),
        )
        began = time.monotonic()
        response = self.client.send(built, stream=True)
        try:
            body, is_closed = self._read(response, request.get("read_ms"))
        finally:
            response.close()
        return Answer(
            response.status_code, response.headers, body, time.monotonic() - began, is_closed
        )

    @staticmethod
    def _read(response: httpx.Response, read_ms: int | None) -> tuple[bytes, bool]:
        if read_ms is None:
            return response.read(), True
        end = time.monotonic() + read_ms / 1000
        body = b""
        try:
            for piece in response.iter_raw():
                body += piece
                if time.monotonic() > end:
                    return body, False
        except httpx.ReadTimeout:
            return body, False
        return body, True

    def check(self, step: Step, answer: Answer) -> None:
        """Save, then compare."""
        for name, source in step.get("save", {}).items():
            self.saved[name] = self._value(answer, source)
        expected = step.get("expect", {})
        if "status" in expected and expected["status"] != answer.status:
            raise CaseFailed(
                f"expected status {expected['status']}, got {answer.status}: {answer.body[:2000]!r}"
            )
        for name, value in expected.get("headers", {}).items():
            self.expect(value, answer.headers.get(name), f"header {name}")
        for name in expected.get("absent", ()):
            if name in answer.headers:
                raise CaseFailed(f"header {name} should be absent, is {answer.headers[name]!r}")
        if "body" in expected:
            self._check_body(expected["body"], answer)
        milliseconds = answer.seconds * 1000
        if milliseconds < step.get("min_ms", 0):
            raise CaseFailed(f"took {milliseconds:.0f} ms, expected at least {step['min_ms']}")
        if milliseconds > step.get("within_ms", float("inf")):
            raise CaseFailed(f"took {milliseconds:.0f} ms, expected at most {step['within_ms']}")

    def _check_body(self, expected: Any, answer: Answer) -> None:
        if isinstance(expected, dict) and expected.get("$empty"):
            if answer.body:
                raise CaseFailed(f"expected no body, got {answer.body[:2000]!r}")
        elif isinstance(expected, dict) and "$text" in expected:
            self.expect(expected["$text"], answer.body.decode(), "body")
        elif isinstance(expected, dict) and "$sse" in expected:
            self.expect(expected["$sse"], answer.events(), "events")
            if expected.get("closed", answer.is_closed) != answer.is_closed:
                raise CaseFailed(
                    f"the stream was {'' if answer.is_closed else 'not '}ended by the server"
                )
        else:
            self.expect(expected, answer.json(), "body")

    def _value(self, answer: Answer, source: str) -> Any:
        kind, _, path = source.partition(":")
        if kind == "header":
            return answer.headers.get(path)
        value = answer.json()
        try:
            for part in path.split("."):
                value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise CaseFailed(f"nothing at {path} in {answer.body[:2000]!r}") from None
        return value
