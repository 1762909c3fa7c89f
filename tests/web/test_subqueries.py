"""Shapes with subqueries by every kind of request: parts of them, the log from now on, HEAD, DELETE, event streams."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.followers import Followers
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


class Tables:
    """Children of parents, and a client that asks for shapes of them."""

    def __init__(self, server: ElectricServer) -> None:
        self.server = server
        suffix = os.urandom(4).hex()
        self.child, self.parent = f"child_{suffix}", f"parent_{suffix}"
        server.sql(
            f"CREATE TABLE {self.parent} (id int PRIMARY KEY, yes bool NOT NULL)",
            f"CREATE TABLE {self.child} (id int PRIMARY KEY, p int, n int NOT NULL)",
            f"INSERT INTO {self.parent} VALUES (1, true), (2, false), (3, true)",
            f"INSERT INTO {self.child} SELECT g, 1 + g % 3, g FROM generate_series(1, 12) g",
        )
        self.subselect = f"SELECT id FROM {self.parent} WHERE yes"
        self.http = httpx.Client(base_url=server.url, timeout=30)

    @property
    def where(self) -> str:
        return f"p IN ({self.subselect}) OR n > 10"

    def ask(self, method: str = "GET", body: Any = None, **query: str) -> httpx.Response:
        params = {"table": self.child, "where": self.where, "offset": "-1", **query}
        return self.http.request(method, "/v1/shape", params=params, json=body)

    def ids(self, condition: str = "true") -> list[int]:
        found = self.server.query(
            f"SELECT id FROM {self.child} WHERE ({self.where}) AND ({condition}) ORDER BY id"
        )
        return [int(str(number)) for (number,) in found]

    def whole(self, **query: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """The rows as messages, by their ids; where the log goes on."""
        rows: dict[str, dict[str, Any]] = {}
        place = {"offset": "-1"}
        while True:
            answer = self.ask(**query, **place)
            assert answer.status_code == 200, answer.text
            rows |= {m["value"]["id"]: m for m in answer.json() if "key" in m}
            place = place_of(answer)
            if "electric-up-to-date" in answer.headers:
                return rows, place


def place_of(answer: httpx.Response) -> dict[str, str]:
    return {
        "offset": answer.headers["electric-offset"],
        "handle": answer.headers["electric-handle"],
    }


@pytest.fixture(scope="module")
def server(electric_server: Callable[..., ElectricServer]) -> ElectricServer:
    """Its long polls are short: a silent shape says soon how far it is."""
    return electric_server(
        {"ELECTRIC_ENABLE_INTEGRATION_TESTING": "true", "ELECTRIC_LONG_POLL_TIMEOUT": "400"}
    )


@pytest.fixture
def tables(server: ElectricServer) -> Iterator[Tables]:
    tables = Tables(server)
    yield tables
    tables.http.close()


def headers_of(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    return {
        row["value"]["id"]: (row["headers"]["tags"], row["headers"]["active_conditions"])
        for row in rows
    }


NARROWER = "n % 2 = $1 AND p < 3"


@pytest.mark.parametrize("log", ["full", "changes_only"])
def test_the_rows_of_a_subset_say_the_same_of_themselves_as_those_of_the_shape(
    tables: Tables, log: str
) -> None:
    whole, _ = tables.whole()
    known = headers_of(list(whole.values()))
    got = tables.ask(
        log=log, subset__where=NARROWER, subset__params='{"1": "1"}', subset__order_by="id DESC"
    )
    body = {"where": NARROWER, "params": {"1": "1"}, "order_by": "id DESC"}
    posted = tables.ask("POST", body, log=log)
    for answer in (got, posted):
        assert answer.status_code == 200, answer.text
        metadata, data = answer.json()["metadata"], answer.json()["data"]
        wanted = tables.ids("n % 2 = 1 AND p < 3")
        assert [int(row["value"]["id"]) for row in data] == wanted[::-1]
        assert {row["headers"]["snapshot_mark"] for row in data} == {metadata["snapshot_mark"]}
        for number, (tags, active) in headers_of(data).items():
            assert active == known[number][1]
            if log == "full":
                assert tags == known[number][0], "the same log, so the same hashes"
    assert headers_of(got.json()["data"]) == headers_of(posted.json()["data"])


def test_a_subset_adds_no_subquery_and_is_narrowed_with_care(tables: Tables) -> None:
    refused = tables.ask(subset__where=f"p IN ({tables.subselect})")
    assert refused.status_code == 400
    assert "Subqueries are not allowed in subsets" in refused.text
    answer = tables.ask(subset__where="n = 1 OR true")
    found = [int(row["value"]["id"]) for row in answer.json()["data"]]
    assert sorted(found) == tables.ids(), "AND-ed as a whole with the shape's own OR"
    assert tables.ask(subset__where="n < 0").json()["data"] == []


def test_what_is_left_of_a_subset_follows_the_moves_of_the_log(tables: Tables) -> None:
    """The tags of a subset's rows are what a later move names."""
    first = tables.ask(log="changes_only", subset__where="n <= 6")
    held = headers_of(first.json()["data"])
    tables.server.sql(f"UPDATE {tables.parent} SET yes = false WHERE id = 3")
    events = eventually(
        lambda: [m for m in tables.ask(log="changes_only", **place_of(first)).json()
                 if "event" in m["headers"]], "the move"
    )  # fmt: skip
    (pattern,) = events[0]["headers"]["patterns"]
    gone = {int(n) for n, (tags, _) in held.items()
            if any(tag.split("/")[pattern["pos"]] == pattern["value"] for tag in tags)}  # fmt: skip
    assert events[0]["headers"]["event"] == "move-out"
    assert sorted({int(n) for n in held} - gone) == tables.ids("n <= 6")


@pytest.mark.parametrize("log", ["full", "changes_only"])
def test_from_now_on_only_what_moves_is_told(tables: Tables, log: str) -> None:
    now = tables.ask(offset="now", log=log)
    assert [m["headers"].get("control") for m in now.json()] == ["up-to-date"]
    assert now.headers["electric-has-data"] == "false"
    tables.server.sql(f"UPDATE {tables.parent} SET yes = true WHERE id = 2")
    live = eventually(
        lambda: (
            live
            if len((live := tables.ask(live="true", log=log, **place_of(now))).json()) > 1
            else None
        ),
        "the move",
    )
    kinds = [
        m["headers"].get("event") or m["headers"].get("operation") or m["headers"]["control"]
        for m in live.json()
    ]
    came = [m for m in live.json() if m["headers"].get("is_move_in")]
    assert sorted(int(m["value"]["id"]) for m in came) == tables.ids("p = 2 AND n <= 10")
    # What a subset may have brought already is taken back: it may have gone meanwhile.
    before = ["move-out"] if log == "changes_only" else []
    assert kinds == [*before, "move-in", *["insert"] * len(came), "snapshot-end", "up-to-date"]
    assert live.headers["electric-has-data"] == "true"


def test_a_log_of_changes_only_has_no_first_rows(tables: Tables) -> None:
    first = tables.ask(log="changes_only")
    assert [m["headers"].get("control") for m in first.json()] == ["snapshot-end"]


def test_head_says_what_get_says(tables: Tables) -> None:
    tables.whole()
    get, head = tables.ask(), tables.ask("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("electric-handle", "electric-offset", "electric-schema", "etag"):
        assert head.headers[name] == get.headers[name]
    again = tables.http.get(
        "/v1/shape",
        params={"table": tables.child, "where": tables.where, "offset": "-1"},
        headers={"if-none-match": get.headers["etag"]},
    )
    assert again.status_code == 304


def test_a_deleted_shape_begins_anew_with_other_hashes(tables: Tables) -> None:
    before, place = tables.whole()
    assert tables.ask("DELETE", handle=place["handle"]).status_code == 202
    eventually(lambda: tables.ask(**place).status_code == 409, "it has gone")
    tables.server.sql(f"UPDATE {tables.parent} SET yes = NOT yes")
    after, later = tables.whole()
    assert later["handle"] != place["handle"]
    assert sorted(map(int, after)) == tables.ids()
    kept = set(before) & set(after)
    assert kept
    assert all(before[n]["headers"]["tags"] != after[n]["headers"]["tags"] for n in kept)


def test_an_event_stream_brings_moves_as_they_come(tables: Tables) -> None:
    _, place = tables.whole()
    query = {"table": tables.child, "where": tables.where, **place}
    told: list[dict[str, Any]] = []
    wanted = set(map(str, tables.ids("p = 1 AND n <= 10")))
    with tables.http.stream(
        "GET", "/v1/shape", params={**query, "live": "true", "live_sse": "true"}
    ) as stream:
        lines = stream.iter_lines()
        for statement in ("SET yes = false WHERE id = 1", "SET yes = true WHERE id = 1"):
            tables.server.sql(f"UPDATE {tables.parent} {statement}")
            for line in lines:
                if line.startswith("data: "):
                    told.append(json.loads(line.removeprefix("data: ")))
                    if told[-1]["headers"].get("control") == "up-to-date" and len(told) > 1:
                        break
    out, back = [m["headers"] for m in told if "event" in m["headers"]]
    assert (out["event"], back["event"]) == ("move-out", "move-in")
    assert out["patterns"] == back["patterns"]
    assert {m["value"]["id"] for m in told if m["headers"].get("is_move_in")} == wanted


def test_a_subset_that_is_ahead_of_the_log_keeps_no_row_that_has_gone(tables: Tables) -> None:
    """It has rows of a parent that the log has not told of yet; they go before the log does."""
    server = tables.server
    first = tables.ask(log="changes_only")
    assert server.worker
    os.kill(server.worker.pid, signal.SIGSTOP)
    try:
        server.sql(f"UPDATE {tables.parent} SET yes = true WHERE id = 2")
        subset = tables.ask(log="changes_only", subset__where="p = 2 AND n < 8", **place_of(first))
        held = {row["key"]: row["headers"]["tags"] for row in subset.json()["data"]}
        server.sql(
            f"DELETE FROM {tables.child} WHERE n = 1",
            f"UPDATE {tables.child} SET p = 9 WHERE n = 4",
        )
        assert len(held) == 3
    finally:
        os.kill(server.worker.pid, signal.SIGCONT)
    place = place_of(subset)

    def told() -> list[dict[str, Any]]:
        messages = tables.ask(log="changes_only", **place).json()
        return messages if any("event" in m["headers"] for m in messages) else []

    for message in eventually(told, "the move"):
        headers = message["headers"]
        if headers.get("operation") == "delete":
            held.pop(message["key"], None)
        elif headers.get("is_move_in"):
            held[message["key"]] = headers["tags"]
        elif headers.get("event") == "move-out":
            (pattern,) = headers["patterns"]
            at, value = pattern["pos"], pattern["value"]
            held = {
                key: tags for key, tags in held.items()
                if not any(tag.split("/")[at] == value for tag in tags)
            }  # fmt: skip
    wanted = tables.ids("p = 2")
    assert sorted(int(key.rpartition("/")[2].strip('"')) for key in held) == wanted


def test_whole_rows_with_what_they_were(tables: Tables, server: ElectricServer) -> None:
    """replica=full: the follower checks ``old_value`` and ``removed_tags`` of each update."""
    with Followers(server) as followers:
        followers.make_marks()
        follower = followers.follow(table=tables.child, where=tables.where, replica="full")
        followers.settle()
        for statement in (
            f"UPDATE {tables.child} SET p = 3 WHERE p = 1 AND n < 6",
            f"UPDATE {tables.child} SET n = n + 1 WHERE p = 3",
            f"UPDATE {tables.child} SET p = 2 WHERE n > 10",
            f"UPDATE {tables.parent} SET yes = NOT yes",
            f"UPDATE {tables.child} SET p = 2, n = 1 WHERE n > 10",
            f"UPDATE {tables.child} SET id = id + 100 WHERE p = 2",
            f"DELETE FROM {tables.child} WHERE p = 2 AND n % 2 = 0",
        ):
            server.sql(statement)
            followers.settle()
        assert follower.refetches == 0
        assert follower.messages > 20
