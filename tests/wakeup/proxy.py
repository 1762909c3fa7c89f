"""Proxy: stands between the worker's socket and the web process, and can cut them apart."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Self


class Proxy:
    """Listens at *place* and hands on to *real*, and back."""

    def __init__(self, place: Path, real: Path) -> None:
        self._place = place
        self._real = real
        self._listener = socket.socket(socket.AF_UNIX)
        self._ends: list[socket.socket] = []
        self._is_cut = False

    def __enter__(self) -> Self:
        self._listener.bind(str(self._place))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._place.unlink()
        self._end_all()

    def cut(self) -> None:
        """End what is connected, and refuse whoever comes."""
        self._is_cut = True
        assert self._end_all()

    def mend(self) -> None:
        self._is_cut = False

    def _end_all(self) -> bool:
        ends, self._ends = self._ends, []
        for end in ends:
            _end(end)
        return bool(ends)

    def _accept(self) -> None:
        while True:
            try:
                web = self._listener.accept()[0]
            except OSError:
                return
            worker = socket.socket(socket.AF_UNIX)
            if self._is_cut or worker.connect_ex(str(self._real)):
                web.close()
                worker.close()
                continue
            self._ends += [web, worker]
            threading.Thread(target=_carry, args=(web, worker), daemon=True).start()


def _carry(web: socket.socket, worker: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(worker, web), daemon=True)
    back.start()
    _pump(web, worker)
    back.join()
    web.close()
    worker.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    _end(source)
    _end(sink)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended already
