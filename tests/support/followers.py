"""Followers: strict clients of our own, many at once, that believe nothing they are told.

Each follows one shape by long-polling, keeps its rows, and notes as a fault whatever a server must not
do: an insert of a row that is there, an update or a delete of one that is not, a key that does not
fit to its row, offsets that do not grow, a transaction that does not end with exactly one ``last``,
a message of a transaction that was called complete, a 409 without cause, any HTTP error.

They run in an event loop in a thread of its own; every public method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from tests.support.plain_http import Answer, BrokenConnection, PlainConnection
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

T = TypeVar("T")
Row = tuple[str | None, ...]
DISPLAY_SETTINGS = (
    "SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; "
    "SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'"
)
_PAUSE = 0.05


class Fault(AssertionError):
    """The server did what it must not do."""


class Follower:
    """One shape as a client has it. Fields are written by the loop's thread only."""

    def __init__(self, followers: Followers, params: Mapping[str, str]) -> None:
        self.params = dict(params)
        self.rows: dict[str, dict[str, str | None]] = {}
        self.tags: dict[str, tuple[list[str], list[bool]]] = {}
        """Of the rows of a shape with subqueries: their tags, and which conditions are true of them."""
        self.columns: tuple[str, ...] = ()
        self.handle = ""
        self.offset = "-1"
        self.seen_lsn = -1
        """``global_last_seen_lsn`` of the latest up-to-date: all up to there is in ``rows``."""
        self.is_up_to_date = False
        self.fault: Exception | None = None
        self.refetches = 0
        self.may_refetch = False
        """Whether a 409 has a cause."""
        self.answers: Counter[int] = Counter()
        self.messages = 0
        self.schema: dict[str, dict[str, Any]] = {}
        self._followers = followers
        self._last: tuple[int, int] = (0, -1)
        self._is_open = False
        """The transaction of the last message has not had its ``last``."""
        self._cursor = ""
        self._connection = PlainConnection("127.0.0.1", followers.server.port)
        self._asked = ""
        """The latest request, and when: for messages."""
        self.task: Future[None] | None = None

    @property
    def _has_moves(self) -> bool:
        """Transactions that a move's query has seen come before it, others behind: not always as they committed."""
        return "(SELECT" in self.params.get("where", "")

    def __repr__(self) -> str:
        return (
            f"Follower({self.params} handle={self.handle} offset={self.offset} "
            f"rows={len(self.rows)} answers={dict(self.answers)} asked={self._asked})"
        )

    @property
    def content(self) -> list[Row]:
        """The rows, each as a tuple in the order of ``columns``, sorted."""
        return sorted(
            (tuple(row[name] for name in self.columns) for row in list(self.rows.values())),
            key=_sort_key,
        )

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.fault is not None:
            raise Fault(f"{self!r}: {self.fault!r}") from self.fault

    async def run(self) -> None:
        try:
            while True:
                await self._step()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.fault = error
        finally:
            self._connection.close()

    async def _step(self) -> None:
        query = {**self.params, "offset": self.offset}
        if self.handle:
            query["handle"] = self.handle
        is_live = self.is_up_to_date
        self._asked = f"{self.offset} at {time.strftime('%H:%M:%S')}"
        if is_live:
            query |= {"live": "true", "cursor": self._cursor}
        try:
            response = await self._connection.get("/v1/shape", query)
        except BrokenConnection:
            if not self._followers.tolerates_broken_connections:
                raise
            await asyncio.sleep(_PAUSE)
            return
        self.answers[response.status_code] += 1
        if response.status_code == 200:
            self._take(response, is_live=is_live)
        elif response.status_code == 409:
            self._start_again(response)
            await asyncio.sleep(_PAUSE)
        elif response.status_code == 503 and self._followers.tolerates_unavailable:
            await asyncio.sleep(_PAUSE)
        else:
            raise Fault(f"{response.status_code} {response.text[:300]} to {query}")

    def _start_again(self, response: Answer) -> None:
        body = response.json()
        if body != [{"headers": {"control": "must-refetch"}}]:
            raise Fault(f"409 with the body {body}")
        if not self.may_refetch:
            raise Fault("409 without a cause")
        if response.headers.get("electric-handle") == self.handle:
            raise Fault("409 names the handle that it refuses")
        self.refetches += 1
        self.rows, self.tags, self.handle, self.offset = {}, {}, "", "-1"
        self.is_up_to_date = self._is_open = False
        self._last, self.seen_lsn = (0, -1), -1

    def _take(self, response: Answer, *, is_live: bool) -> None:
        headers = response.headers
        if not is_live:
            self.schema = json.loads(headers["electric-schema"])
            self.columns = tuple(self.schema)
        self._cursor = headers.get("electric-cursor", self._cursor)
        if self.handle and headers["electric-handle"] != self.handle:
            raise Fault(f"200 with another handle: {headers['electric-handle']}")
        before = self.offset
        self.handle, self.offset = headers["electric-handle"], headers["electric-offset"]
        if _position(self.offset) < _position(before):
            raise Fault(f"the offset went back from {before} to {self.offset}")
        messages = response.json()
        is_up_to_date = "electric-up-to-date" in headers
        for number, message in enumerate(messages):
            control = message["headers"].get("control")
            if control == "up-to-date":
                if number != len(messages) - 1 or not is_up_to_date:
                    raise Fault("up-to-date in the wrong place")
                lsn = int(message["headers"]["global_last_seen_lsn"])
                if self._is_open:
                    raise Fault("up to date in the middle of a transaction")
                self.seen_lsn = max(self.seen_lsn, lsn)
            elif "event" in message["headers"]:
                self._move(message["headers"])
            elif control is None:
                self._apply(message)
            elif control != "snapshot-end":
                raise Fault(f"an unknown message {message}")
        if self._last[0] and _position(self.offset) < self._last and not self._has_moves:
            raise Fault(f"the offset {self.offset} lies before the last message {self._last}")
        self.is_up_to_date = is_up_to_date

    def _apply(self, message: dict[str, Any]) -> None:
        self.messages += 1
        headers, key = message["headers"], message["key"]
        operation, value = headers["operation"], message["value"]
        if "lsn" in headers:
            self._check_order(headers)
        elif operation != "insert" or (self._last[0] and not headers.get("is_move_in")):
            raise Fault(f"a message without an LSN after the snapshot: {message}")
        match operation:
            case "insert":
                if key in self.rows:
                    raise Fault(f"insert of a row that is there: {message}")
                if set(value) != set(self.columns):
                    raise Fault(f"an insert that lacks columns: {message}")
                self.rows[key] = value
                self._tag(message)
                self._check_key(key)
            case "update":
                if key not in self.rows:
                    raise Fault(f"update of a row that is not there: {message}")
                self._check_old(message, self.rows[key])
                self.rows[key] = {**self.rows[key], **value}
                self._tag(message)
                self._check_key(key)
            case "delete":
                if key not in self.rows:
                    raise Fault(f"delete of a row that is not there: {message}")
                gone = self.rows.pop(key)
                self.tags.pop(key, None)
                if any(gone[name] != text for name, text in value.items()):
                    raise Fault(f"delete of another row than {gone}: {message}")
            case _:
                raise Fault(f"an unknown operation: {message}")

    def _tag(self, message: dict[str, Any]) -> None:
        """PROTOCOL section 12.2."""
        headers, key = message["headers"], message["key"]
        if "tags" not in headers:
            if key in self.tags:
                raise Fault(f"a message without tags: {message}")
            return
        before = self.tags.get(key, ([], []))[0]
        if headers["operation"] == "update":
            if set(headers["removed_tags"]) != set(before) - set(headers["tags"]):
                raise Fault(f"the row had the tags {before}: {message}")
        elif "removed_tags" in headers:
            raise Fault(f"tags are removed from a row that is new: {message}")
        self.tags[key] = headers["tags"], headers["active_conditions"]
        if not self._holds(key):
            raise Fault(f"a row of which no alternative is true: {message}")

    def _move(self, headers: dict[str, Any]) -> None:
        """PROTOCOL section 12.3."""
        if not headers["patterns"]:
            raise Fault("a move of nothing")
        for key, (tags, active) in list(self.tags.items()):
            for pattern in headers["patterns"]:
                at = pattern["pos"]
                if any(tag.split("/")[at] == pattern["value"] for tag in tags):
                    active[at] = headers["event"] == "move-in"
            if not self._holds(key):
                del self.rows[key], self.tags[key]

    def _holds(self, key: str) -> bool:
        tags, active = self.tags[key]
        return any(
            all(active[at] for at, slot in enumerate(tag.split("/")) if slot) for tag in tags
        )

    def _check_order(self, headers: dict[str, Any]) -> None:
        position = int(headers["lsn"]), int(headers["op_position"])
        if position <= self._last and not self._has_moves:
            raise Fault(f"{position} comes after {self._last}")
        if position[0] != self._last[0]:
            if self._is_open:
                raise Fault(f"transaction {self._last[0]} had no last message")
        elif not self._is_open:
            raise Fault(f"transaction {position[0]} goes on after its last message")
        if position[0] <= self.seen_lsn:
            raise Fault(f"{position} belongs to what was said to be complete: {self.seen_lsn}")
        self._last, self._is_open = position, headers.get("last") is not True
        if headers.get("last") not in (None, True):
            raise Fault(f"last is {headers['last']!r}")

    def _check_old(self, message: dict[str, Any], row: dict[str, str | None]) -> None:
        """With replica=full ``old_value`` holds what changed, as it was."""
        if self.params.get("replica") != "full":
            if "old_value" in message:
                raise Fault(f"an old value that nobody asked for: {message}")
            return
        changed = {name: row[name] for name, text in message["value"].items() if row[name] != text}
        if set(message["value"]) != set(self.columns) or message["old_value"] != changed:
            raise Fault(f"old_value of {row} is wrong: {message}")

    def _check_key(self, key: str) -> None:
        """PROTOCOL section 4.7."""
        row = self.rows[key]
        parts = sorted(
            (described["pk_index"], name)
            for name, described in self.schema.items()
            if "pk_index" in described
        )
        names = [name for _, name in parts] or self.columns
        texts = (
            "/_" if row[name] is None else '/"' + str(row[name]).replace("/", "//") + '"'
            for name in names
        )
        schema, _, table = self.params["table"].rpartition(".")
        wanted = f'"{schema or "public"}"."{table}"' + "".join(texts)
        if key != wanted:
            raise Fault(f"the key of {row} is {key}, not {wanted}")


async def _tasks_end() -> None:
    """Let cancelled tasks come to their end, and the connections that they closed."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, pending = await asyncio.wait(others, timeout=10)
        assert not pending, f"these did not end when they were cancelled: {pending}"
    await asyncio.sleep(0)


def _position(offset: str) -> tuple[float, float]:
    if offset == "-1":
        return (-1, 0)
    tx, op = offset.split("_")
    return (int(tx), float("inf") if op == "inf" else int(op))


def _sort_key(row: Row) -> list[tuple[bool, str]]:
    return [(text is not None, text or "") for text in row]


class Followers:
    """Many followers of one server; used as a context manager."""

    def __init__(self, server: ElectricServer) -> None:
        self.server = server
        self.all: list[Follower] = []
        self.tolerates_broken_connections = False
        self.tolerates_unavailable = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(*self.all)
        self._wait_for(_tasks_end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def follow(self, *, may_refetch: bool = False, **params: str) -> Follower:
        """Begin to follow a shape; *params* are the request's parameters."""
        follower = Follower(self, params)
        follower.may_refetch = may_refetch
        follower.task = asyncio.run_coroutine_threadsafe(follower.run(), self._loop)
        self.all.append(follower)
        return follower

    def stop(self, *followers: Follower) -> None:
        for follower in followers:
            if follower.task is not None:
                follower.task.cancel()
        for follower in followers:
            if follower in self.all:
                self.all.remove(follower)

    def check(self) -> None:
        for follower in list(self.all):
            follower.check()

    @contextmanager
    def outage(self, *, of_web: bool = False, of_worker: bool = False) -> Any:
        """What a client must expect while a process is away. Existing shapes need no worker."""
        self.tolerates_broken_connections |= of_web
        self.tolerates_unavailable |= of_worker
        try:
            yield
        finally:
            self.tolerates_broken_connections = self.tolerates_unavailable = False

    def expected(self, follower: Follower) -> list[Row]:
        """What Postgres says, with the values as text."""
        where = follower.params.get("where")
        names = follower.columns
        chosen = ", ".join(f'"{name}"::text' for name in names)
        table = follower.params["table"]
        table = ".".join(f'"{part}"' for part in table.split("."))
        for number in range(20, 0, -1):
            text = follower.params.get(f"params[{number}]")
            if text is not None and where is not None:
                where = where.replace(f"${number}", "'" + text.replace("'", "''") + "'")
        with self.server.connect() as connection:
            connection.execute(DISPLAY_SETTINGS)
            found = connection.execute(
                f"SELECT {chosen} FROM {table} WHERE {where or 'true'}"  # type: ignore[arg-type]
            ).fetchall()
        return sorted((tuple(row) for row in found), key=_sort_key)  # type: ignore[arg-type]

    def mark(self) -> int:
        """Commit something; an LSN that what is committed so far lies before, and the mark not after."""
        with self.server.connect() as connection, connection.transaction():
            connection.execute("INSERT INTO electric_marks DEFAULT VALUES")
            row = connection.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
            ).fetchone()
            assert row
            return int(str(row[0]))

    def make_marks(self) -> Follower:
        """The table that `mark` writes to, and a follower that has it published."""
        self.server.sql("CREATE TABLE IF NOT EXISTS electric_marks (id bigserial PRIMARY KEY)")
        follower = self.follow(table="electric_marks")
        eventually(lambda: follower.is_up_to_date or follower.fault, "marks are followed")
        self.check()
        return follower

    def settle(self, followers: Iterable[Follower] | None = None, *, seconds: float = 90.0) -> None:
        """Nobody writes. Every follower has to say that it is complete, and to be equal then.

        A view that is equal is not enough, and one that is not equal is no excuse to wait: once the
        server says that all up to the mark is there, it has to be.
        """
        lsn = self.mark()
        for follower in list(self.all if followers is None else followers):
            self.settle_one(follower, lsn, seconds=seconds)

    def settle_one(self, follower: Follower, lsn: int, *, seconds: float = 90.0) -> None:
        """The same for one, and what was there at a `mark`."""
        eventually(
            lambda: follower.fault or (follower.is_up_to_date and follower.seen_lsn >= lsn),
            f"{follower!r} sees {lsn}",
            seconds=seconds,
        )
        follower.check()
        self.compare(follower)

    def compare(self, follower: Follower) -> None:
        wanted, found = self.expected(follower), follower.content
        if wanted != found:
            missing, surplus = (
                (Counter(wanted) - Counter(found)),
                (Counter(found) - Counter(wanted)),
            )
            raise Fault(
                f"{follower!r} differs at LSN {follower.seen_lsn}:\n  missing {_few(missing)}\n  surplus {_few(surplus)}"
            )

    def until_equal(self, *followers: Follower, seconds: float = 30.0) -> None:
        """Wait until the followers have what Postgres has, however they came there."""
        for follower in followers or tuple(self.all):
            try:
                eventually(
                    lambda f=follower: (
                        f.fault  # type: ignore[misc]
                        or (f.is_up_to_date and f.content == self.expected(f))
                    ),
                    f"{follower!r} is equal",
                    seconds=seconds,
                )
            except AssertionError:
                self.compare(follower)
                raise
            follower.check()


def _few(rows: Counter[Row]) -> str:
    return f"{sum(rows.values())}: " + ", ".join(str(row)[:200] for row in list(rows)[:4])
