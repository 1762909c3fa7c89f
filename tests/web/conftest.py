"""A service without Postgres: logs in memory, a look-up in memory, a worker on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from django_electric.conf import AdmissionLimits, ElectricSettings
from django_electric.models import new_handle
from django_electric.postgres.relation import Column, Relation
from django_electric.protocol.params import ShapeParams, ShapeRequest
from django_electric.protocol.resolve import resolve
from django_electric.shapes.definition import ShapeDefinition
from django_electric.storage import MemoryStorage, ShapeLogWriter
from django_electric.wakeup import LineBuffer, decode, encode, socket_path
from django_electric.web.answer import answer_shape
from django_electric.web.database import DatabaseUnreachable
from django_electric.web.exchange import WebRequest, WebResponse
from django_electric.web.service import ShapeService
from django_electric.web.shapes import Found, Mismatch, NotRegistered

ITEMS = Relation(
    16384,
    "public",
    "items",
    (
        Column("id", 23, "int4", not_null=True, pk_position=0, evaluator_type="int4"),
        Column("value", 25, "text", evaluator_type="text"),
    ),
)
SNAPSHOT_END = b',{"headers":{"control":"snapshot-end","xmin":"1","xmax":"1","xip_list":[]}}\n'


def entry(tx: int, text: str = "x") -> bytes:
    return b',{"key":"%d","value":{"value":"%s"}}\n' % (tx, text.encode())


class MemoryShapes:
    """Stands in for `Shapes`: the catalogue is a dict, the table has one relation."""

    def __init__(self) -> None:
        self.relations: dict[str, Relation] = {"items": ITEMS}
        self.handles: dict[str, str] = {}
        self.definitions: dict[str, ShapeDefinition] = {}
        """By handle, in the order in which they came."""
        self.is_reachable = True
        self.queries = 0

    def knows(self, handle: str) -> bool:
        return handle in self.handles.values()

    def forget(self, handle: str) -> None:
        """Nothing is remembered."""

    def remembered(self, request: ShapeRequest) -> Found | None:
        return None

    def _query(self) -> None:
        self.queries += 1
        if not self.is_reachable:
            raise DatabaseUnreachable

    async def find(self, shape: ShapeParams, *, may_register: bool) -> Found | NotRegistered:
        self._query()
        relation = self.relations.get(shape.table.name)
        definition = resolve(shape, relation)
        assert relation is not None
        if definition.identity not in self.handles and not may_register:
            return NotRegistered(relation)
        handle = self.handles.setdefault(definition.identity, new_handle(definition))
        self.definitions[handle] = definition
        return Found(handle, definition, relation, is_filled=False)

    async def definition(self, shape: ShapeParams) -> ShapeDefinition:
        self._query()
        return resolve(shape, self.relations.get(shape.table.name))

    async def exists(self, handle: str) -> bool:
        self._query()
        return handle in self.handles.values()

    async def delete(self, shape: ShapeParams | None, handle: str | None) -> str | Mismatch | None:
        self._query()
        identity = resolve(shape, ITEMS).identity if shape else None
        for known, live in list(self.handles.items()):
            if known == identity or (shape is None and live == handle):
                if handle is not None and live != handle:
                    return Mismatch()
                del self.handles[known]
                return live
        return None


class FakeWorker:
    """The worker's end of the socket; fills a shape when it hears of it."""

    def __init__(self, path: Path, storage: MemoryStorage) -> None:
        self.path = path
        self.storage = storage
        self.rows: list[bytes] = [entry(1, "a")]
        self.heard: list[tuple[str, str]] = []
        self.failure: tuple[int, str] | None = None
        self.fills = True
        self.on_failure: Callable[[str], None] = lambda handle: None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._logs: dict[str, ShapeLogWriter] = {}
        self._server: asyncio.Server | None = None

    async def start(self, state: str = "active") -> None:
        self.state = state
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            self._writers.clear()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=1)
            self._tasks.clear()
            self._server = None
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writer.write(encode("state", self.state) + encode("lsn", "5"))
        lines = LineBuffer()
        while data := await reader.read(65536):
            for line in lines.feed(data):
                verb, handle = decode(line)
                self.heard.append((verb, handle))
                self._obey(verb, handle)

    def _obey(self, verb: str, handle: str) -> None:
        if verb == "deleted":
            self.rotate(handle)
        elif self.failure is not None:
            status, message = self.failure
            self.on_failure(handle)
            self.tell("failed", handle, json.dumps({"status": status, "message": message}))
        elif self.fills:
            self.fill(handle)

    def tell(self, *words: str) -> None:
        for writer in self._writers:
            writer.write(encode(*words))

    def fill(self, handle: str) -> None:
        if handle in self.storage.logs:
            return
        snapshot = self.storage.writer(handle).snapshot()
        for row in self.rows:
            snapshot.write(row)
        snapshot.write(SNAPSHOT_END)
        snapshot.finish()
        self.tell("moved", handle)

    def append(self, handle: str, tx: int, *, silently: bool = False) -> None:
        log = self._logs.setdefault(handle, self.storage.writer(handle, durable_tx=0))
        log.append(tx, [0], [entry(tx)])
        self.storage.publish()
        if not silently:
            self.tell("lsn", str(tx))
            self.tell("moved", handle)

    def rotate(self, handle: str) -> None:
        self.storage.delete(handle)
        self.tell("gone", handle)


class Bench:
    """One service, its worker, and the client's side of it."""

    def __init__(self, settings: ElectricSettings) -> None:
        self.storage = MemoryStorage(chunk_bytes=settings.shape_chunk_bytes_threshold)
        self.settings = settings
        self.service = ShapeService(settings, self.storage)
        self.shapes = MemoryShapes()
        self.service.shapes = self.shapes  # type: ignore[assignment]  # the same methods
        self.worker = FakeWorker(socket_path(settings.root), self.storage)

    def use(self, **changes: object) -> None:
        """Other settings."""
        self.service.settings = self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]

    async def ask(
        self, method: str = "GET", *, headers: dict[str, str] | None = None, **query: str
    ) -> WebResponse:
        pairs = tuple(query.items())
        return await answer_shape(self.service, WebRequest(method, pairs, headers or {}))

    async def get(self, **query: str) -> WebResponse:
        return await self.ask(**{"table": "items", "offset": "-1", **query})

    async def follow(self) -> tuple[str, str]:
        """Handle and offset of a client that is up to date."""
        answer = await self.get()
        handle, offset = answer.headers["electric-handle"], answer.headers["electric-offset"]
        while "electric-up-to-date" not in answer.headers:
            answer = await self.get(handle=handle, offset=offset)
            offset = answer.headers["electric-offset"]
        return handle, offset


def messages(response: WebResponse) -> list[dict[str, object]]:
    return list(json.loads(response.body))


@pytest.fixture
def settings(tmp_path: Path) -> ElectricSettings:
    root = tmp_path / "default"
    root.mkdir()
    return ElectricSettings(
        alias="default",
        storage_dir=tmp_path,
        replication_stream_id="default",
        secret=None,
        secret_previous=None,
        insecure=True,
        enable_integration_testing=True,
        long_poll_timeout=400,
        shape_chunk_bytes_threshold=10_485_760,
        max_concurrent_requests=AdmissionLimits(),
        manual_table_publishing=False,
        cache_max_age=60,
        cache_stale_age=300,
        grant_ttl=5_000,
        gatekeeper_keys=(),
        token_ttl=300_000,
        authorize=None,
        poll_interval=100,
        wakeup="socket",
        channel_layer="default",
        snapshot_connections=1,
        publication_row_filter="off",
    )


@pytest.fixture
async def bench(settings: ElectricSettings) -> AsyncIterator[Bench]:
    """A service with an active worker."""
    bench = Bench(settings)
    await bench.worker.start()
    yield bench
    await bench.service.listener.stop()
    await bench.worker.stop()
