"""A crowd of clients in one process: ``python -m benchmarks.crowd wait|sip PORT TARGET CLIENTS``.

``wait``: each client sends one request and reads its whole answer. Prints ``ready`` when all have asked; then, when
the last answer is whole, the time of the first and of the last one on the monotonic clock, which all processes of a
machine share, and in how many answers the text of the line that it was told on its input stood.

``sip``: each client sends one request, reads the first bytes of the answer and no more. Prints ``ready`` then, and
stays until its input ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Final

SIP: Final = 1_000
AT_ONCE: Final = 50
"""Connections that are made at a time."""


class Client:
    """One connection, read without asyncio's streams, which would fill their own buffers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        # Small, so that what is not read stays with the server.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        self._socket.setblocking(False)
        self._address = ("127.0.0.1", port)
        self.answer = b""
        self.arrived = 0

    async def ask(self, target: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, self._address)
        request = f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{self._address[1]}\r\n\r\n"
        await loop.sock_sendall(self._socket, request.encode())

    async def read(self) -> None:
        """Read until the closing bracket of a short answer."""
        loop = asyncio.get_running_loop()
        while not self.answer.rstrip(b"0\r\n").endswith(b"]"):
            data = await loop.sock_recv(self._socket, 65_536)
            if not data:
                sys.exit(f"a connection was lost after {self.answer[:200]!r}")
            self.answer += data
        self.arrived = time.monotonic_ns()

    async def sip(self) -> None:
        await asyncio.get_running_loop().sock_recv(self._socket, SIP)


async def _ask_all(clients: list[Client], target: str) -> None:
    for at in range(0, len(clients), AT_ONCE):
        await asyncio.gather(*(client.ask(target) for client in clients[at : at + AT_ONCE]))


async def _line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def wait(clients: list[Client], target: str) -> None:
    """Ask, and say when the answers are there."""
    await _ask_all(clients, target)
    readers = asyncio.gather(*(client.read() for client in clients))
    print("ready", flush=True)
    text = (await _line()).strip().encode()
    await readers
    times = sorted(client.arrived for client in clients)
    right = sum(text in client.answer for client in clients)
    print(times[0], times[-1], right, flush=True)


async def sip(clients: list[Client], target: str) -> None:
    """Ask, read a little, and stay."""
    await _ask_all(clients, target)
    await asyncio.gather(*(client.sip() for client in clients))
    print("ready", flush=True)
    await _line()


if __name__ == "__main__":
    crowd = [Client(int(sys.argv[2])) for _ in range(int(sys.argv[4]))]
    asyncio.run((wait if sys.argv[1] == "wait" else sip)(crowd, sys.argv[3]))
