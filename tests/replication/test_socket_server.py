"""The worker's end of the wake-up socket, over a real socket; nothing here waits."""

from __future__ import annotations

import selectors
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_electric.replication import socket_server as module
from django_electric.replication.socket_server import SocketServer

_GREETING = b"state active\nlsn 0\n"


class World:
    """A server, the selector that drives it, and web processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.selector = selectors.DefaultSelector()
        self.heard: list[tuple[str, str]] = []
        self.greeting = _GREETING
        self.server = SocketServer(
            path, self.selector, lambda verb, rest: self.heard.append((verb, rest))
        )
        self.sockets: list[socket.socket] = []

    def open(self) -> None:
        self.server.open(lambda: self.greeting)

    def turn(self) -> None:
        """Let the server do all that is to be done now."""
        while events := self.selector.select(0):
            if all(mask == selectors.EVENT_WRITE for _, mask in events):
                for key, mask in events:
                    key.data(mask)
                return
            for key, mask in events:
                key.data(mask)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sockets.append(client)
        client.connect(str(self.path))
        client.setblocking(False)
        self.turn()
        return client

    def close(self) -> None:
        self.server.close()
        for client in self.sockets:
            client.close()
        self.selector.close()


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # a path that a socket can have
        world = World(Path(directory) / "worker.sock")
        world.open()
        yield world
        world.close()


def hear(client: socket.socket) -> bytes:
    """Everything that has arrived."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except BlockingIOError:
        pass
    return data


def test_who_connects_hears_the_greeting_of_the_moment(world: World) -> None:
    assert hear(world.connect()) == _GREETING
    world.greeting = b"state starting\n"
    assert hear(world.connect()) == b"state starting\n"


def test_everybody_hears_what_is_said(world: World) -> None:
    clients = [world.connect() for _ in range(3)]
    assert [hear(c) for c in clients] == [_GREETING] * 3
    world.server.say(b"moved a b\n")
    world.server.say(b"lsn 7\n")
    assert [hear(c) for c in clients] == [b"moved a b\nlsn 7\n"] * 3


def test_it_is_known_whether_anybody_hears(world: World) -> None:
    assert not world.server.is_heard
    world.server.say(b"moved a\n")
    client = world.connect()
    assert world.server.is_heard
    client.close()
    world.turn()
    assert not world.server.is_heard


def test_what_a_web_process_says_is_handed_on_line_by_line(world: World) -> None:
    client = world.connect()
    client.send(b"registered 1-2\ndeleted 3-")
    world.turn()
    assert world.heard == [("registered", "1-2")]
    client.send(b"4\n")
    world.turn()
    assert world.heard == [("registered", "1-2"), ("deleted", "3-4")]


def test_who_goes_away_is_forgotten(world: World) -> None:
    staying, going = world.connect(), world.connect()
    hear(staying)
    going.close()
    world.turn()
    world.server.say(b"moved a\n")
    assert hear(staying) == b"moved a\n"
    assert len(world.server._clients) == 1


def test_who_went_away_unnoticed_is_forgotten_at_the_next_word(world: World) -> None:
    going = world.connect()
    going.close()
    world.server.say(b"moved a\n")
    assert world.server._clients == {}


def test_who_breaks_the_connection_off_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect()
    (client,) = world.server._clients.values()
    real, client.connection = client.connection, BrokenSocket(client.connection)  # type: ignore[assignment]  # a stub
    world.server._serve(client, selectors.EVENT_READ)
    assert world.server._clients == {}
    real.close()


class BrokenSocket:
    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def fileno(self) -> int:
        return self._real.fileno()

    def recv(self, size: int) -> bytes:
        raise ConnectionResetError

    def close(self) -> None:
        self._real.close()


def test_a_wake_up_without_data_is_harmless(world: World) -> None:
    world.connect()
    (client,) = world.server._clients.values()
    world.server._serve(client, selectors.EVENT_READ)
    assert len(world.server._clients) == 1


def test_who_reads_slowly_gets_everything_in_the_end(world: World) -> None:
    client = world.connect()
    hear(client)
    sent = []
    for n in range(300):
        line = "moved " + " ".join(f"{n:04d}-{i:010d}" for i in range(100)) + "\n"
        world.server.say(line.encode())
        sent.append(line)
    (connected,) = world.server._clients.values()
    assert connected.unsent
    heard = b""
    while piece := hear(client):
        heard += piece
        world.turn()
    assert heard.decode() == "".join(sent)
    assert not connected.unsent
    assert world.selector.get_key(connected.connection).events == selectors.EVENT_READ


def test_who_does_not_read_at_all_loses_the_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_UNSENT", 1000)
    world.connect()
    for n in range(300):
        world.server.say(b"moved %d\n" % n * 200)
    assert world.server._clients == {}


def test_a_connection_that_was_given_up_before_it_was_taken_is_harmless(world: World) -> None:
    world.server._accept(selectors.EVENT_READ)
    assert world.server._clients == {}
    world.server.close()
    world.server._accept(selectors.EVENT_READ)


def test_closing_ends_every_connection_and_may_be_done_twice(world: World) -> None:
    client = world.connect()
    hear(client)
    world.server.close()
    world.server.close()
    assert client.recv(10) == b""
    assert not world.path.exists()
    assert list(world.selector.get_map()) == []


def test_opening_again_begins_anew_and_takes_the_path_over(world: World) -> None:
    """What another worker left, or this one before its connection broke."""
    old = world.connect()
    hear(old)
    world.open()
    assert old.recv(10) == b""
    assert hear(world.connect()) == _GREETING
    world.server.close()
    world.path.write_text("left over")
    world.open()
    assert hear(world.connect()) == _GREETING


def test_others_may_not_connect(world: World) -> None:
    assert not stat.S_IMODE(world.path.stat().st_mode) & stat.S_IRWXO
