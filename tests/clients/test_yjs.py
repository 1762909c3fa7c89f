"""@electric-sql/y-electric: documents that are edited at once converge through a bytea column."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.node import NodeProcess
from tests.support.server import ElectricServer
from tests.support.waiting import eventually
from tests.support.write_api import WriteApi

pytestmark = [pytest.mark.client, pytest.mark.slow]

TIMEOUT = 20_000


class Room:
    """A room of a table of updates, with an endpoint that saves what the documents send."""

    def __init__(self, node: NodeProcess, server: ElectricServer, api: WriteApi) -> None:
        self.node = node
        self.server = server
        self.name = f"room {os.urandom(4).hex()}"
        suffix = os.urandom(5).hex()
        self.updates, self.awareness = f"ydoc_updates_{suffix}", f"ydoc_awareness_{suffix}"
        server.sql(
            f"CREATE TABLE {self.updates} (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, room text NOT NULL, op bytea NOT NULL)",
            f"CREATE TABLE {self.awareness} (client_id text, room text, op bytea NOT NULL, "
            "updated timestamptz DEFAULT now(), PRIMARY KEY (client_id, room))",
        )
        self.api = api
        api.handlers["/updates"] = self._save_update
        api.handlers["/awareness"] = self._save_awareness

    def _save_update(self, query: dict[str, str], body: bytes) -> None:
        with self.server.connect() as connection:
            text = f"INSERT INTO {self.updates} (room, op) VALUES (%s, %s)"
            connection.execute(text, [query["room"], body])  # type: ignore[arg-type]

    def _save_awareness(self, query: dict[str, str], body: bytes) -> None:
        text = (
            f"INSERT INTO {self.awareness} (room, client_id, op) VALUES (%s, %s, %s) "
            "ON CONFLICT (client_id, room) DO UPDATE SET op = excluded.op, updated = now()"
        )
        with self.server.connect() as connection:
            connection.execute(text, [query["room"], query["client"], body])  # type: ignore[arg-type]

    def open(self, name: str) -> None:
        synced = self.node.call(
            "open",
            name=name,
            url=f"{self.server.url}/v1/shape",
            updates=self.updates,
            awareness=self.awareness,
            room=self.name,
            sendUrl=self.api.url,
            timeout=TIMEOUT,
        )
        assert synced, f"{name} is not synced"

    def saved(self) -> list[str]:
        query = f"SELECT op::text FROM {self.updates} WHERE room = %s ORDER BY ctid"
        return [str(op) for (op,) in self.server.query(query, [self.name])]

    def converged(self, *names: str, words: tuple[str, ...]) -> str:
        """The text that all these documents have."""
        texts: list[Any] = self.node.call(
            "converged", names=names, words=words, timeout=TIMEOUT, patience=30
        )
        assert len(set(texts)) == 1, texts
        assert all(word in texts[0] for word in words), texts
        return str(texts[0])


@pytest.fixture
def room(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, write_api: WriteApi
) -> Room:
    return Room(start_driver("yjs"), server, write_api)


def test_documents_converge_and_a_late_joiner_catches_up(room: Room) -> None:
    room.open("first")
    room.open("second")
    room.node.call("insert", name="first", at=0, text="alpha ")
    room.node.call("insert", name="second", at=0, text="beta ")
    text = room.converged("first", "second", words=("alpha ", "beta "))
    room.node.call("remove", name="first", at=0, length=len("beta "))
    room.node.call("insert", name="second", at=len(text), text="gamma € ")
    room.converged("first", "second", words=("gamma € ",))
    eventually(
        lambda: (
            room.node.call("text_of", updates=room.saved())
            == room.converged("first", "second", words=("gamma € ",))
        ),
        "what Postgres has makes the same text",
    )
    room.open("late")
    text = room.converged("first", "second", "late", words=("gamma € ",))
    assert len(text) == len("alpha beta gamma € ") - len("beta ")
    assert room.node.call("received", name="late") == len(room.saved())


def test_a_document_that_comes_back_gets_what_it_missed(room: Room) -> None:
    room.open("first")
    room.open("second")
    room.node.call("insert", name="first", at=0, text="alpha ")
    room.converged("first", "second", words=("alpha ",))
    room.node.call("disconnect", name="second")
    before = len(room.saved())
    room.node.call("insert", name="first", at=0, text="beta ")
    room.node.call("insert", name="second", at=0, text="while offline ")
    eventually(lambda: len(room.saved()) == before + 1, "the first document's update is saved")
    assert room.node.call("reconnect", name="second", timeout=TIMEOUT)
    room.converged("first", "second", words=("alpha ", "beta ", "while offline "))
    assert room.node.call("received", name="second") <= 2, "resumed, not fetched again"


def test_presence(room: Room) -> None:
    room.open("first")
    room.open("second")
    for state in ("here", "typing"):
        room.node.call("present", name="first", state=state)
        arguments = {"name": "second", "other": "first", "wanted": state, "timeout": TIMEOUT}
        assert room.node.call("sees", **arguments) == state
