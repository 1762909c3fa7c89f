"""Two processes that see changes come, and say when: ``python -m benchmarks.watchers poll|wal …``.

Each prints ``ready``, and then for every row of `items` its id and the time on the monotonic clock, which
all processes of a machine share.
"""

from __future__ import annotations

import select
import struct
import sys
import time

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from benchmarks import data
from benchmarks.client import ShapeClient


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


def poll(port: int, where: str) -> None:
    """A client that long-polls, as the official one does; the time is that of the last byte."""
    with ShapeClient(port) as client:
        parameters = {"table": "items", "where": where}
        *_, response = client.chunks(**parameters)
        say("ready")
        while True:
            position = {"handle": response.handle, "offset": response.offset, "live": "true"}
            if "electric-cursor" in response.headers:
                position["cursor"] = response.headers["electric-cursor"]
            response = client.get(**parameters, **position)
            arrived = time.monotonic_ns()
            for row in data.ids_in(response.body):
                say(f"{row} {arrived}")


# XLogData: kind, wal start, wal end, clock. Insert: kind, table, 'N', number of columns, 't', length.
_HEAD = 25
_ID_LENGTH = struct.Struct(">I")


def wal(dsn: str, slot: str, publication: str) -> None:
    """The least that a reader of the walsender can do; the time is that of the commit's message."""
    connection = psycopg.connect(make_conninfo(dsn, replication="database"), autocommit=True).pgconn
    result = connection.exec_(
        f"START_REPLICATION SLOT {slot} LOGICAL 0/0"
        f" (proto_version '1', publication_names '{publication}')".encode()
    )
    assert result.status == pq.ExecStatus.COPY_BOTH, result.error_message
    say("ready")
    row = 0
    while True:
        select.select([connection.socket], [], [])
        connection.consume_input()
        while (size_and_frame := connection.get_copy_data(1))[0] > 0:
            frame = bytes(size_and_frame[1])
            if frame[0:1] != b"w":
                continue
            kind = frame[_HEAD : _HEAD + 1]
            if kind == b"I":
                (length,) = _ID_LENGTH.unpack_from(frame, _HEAD + 9)
                row = int(frame[_HEAD + 13 : _HEAD + 13 + length])
            elif kind == b"C" and row:
                say(f"{row} {time.monotonic_ns()}")
                row = 0


if __name__ == "__main__":
    if sys.argv[1] == "poll":
        poll(int(sys.argv[2]), sys.argv[3])
    else:
        wal(*sys.argv[2:5])
