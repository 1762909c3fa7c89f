"""Finds the shape that a request means, and registers it when there is none.

The catalogue of Postgres and the `Shape` table are asked for every request that begins; a request that
continues is answered from the memory of this process. What is remembered is valid as long as the
shape's log exists, so nothing here has to be told of a rotation. If the database cannot be reached,
what is remembered serves.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from typing import Final

from django.db import ProgrammingError

from django_electric.conf import ElectricSettings
from django_electric.errors import ElectricError
from django_electric.models import Shape
from django_electric.postgres.relation import Relation
from django_electric.protocol.params import ShapeParams, ShapeRequest
from django_electric.protocol.resolve import (
    analyse_within,
    is_outdated,
    nameable_columns,
    resolve,
)
from django_electric.protocol.schema import schema_header
from django_electric.protocol.subset import parse_subset
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.snapshot_sql import Subset
from django_electric.web.clauses import Clauses
from django_electric.web.database import DatabaseThreads, DatabaseUnreachable
from django_electric.where import Analyse

REMEMBERED: Final = 4_096
FRESH_SECONDS: Final = 0.2
"""How long a request that continues a log may go without the catalogue: `electric-schema` is current
to this much."""

SHARED_SECONDS: Final = 0.05
"""Requests that begin a log and come this close together share one look into the catalogue."""


class NotMigrated(ElectricError):
    """The tables of django_electric are missing or old: run manage.py migrate."""


@dataclass(frozen=True)
class Found:
    """The live shape for some parameters."""

    handle: str
    definition: ShapeDefinition
    relation: Relation
    is_filled: bool = True
    """Whether the worker has taken it up."""
    rotated: str | None = None
    """Handle of the shape that this look-up found outdated and deleted."""

    @cached_property
    def schema(self) -> str:
        """The header ``electric-schema``."""
        return schema_header(self.relation, self.definition.columns)


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """The parameters are good, but there is no such shape."""

    relation: Relation
    rotated: str | None = None


_Question = tuple[asyncio.AbstractEventLoop, ShapeParams, bool]


class _Memory:
    """What was found lately, by parameters and by handle."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._found: OrderedDict[ShapeParams, tuple[Found, float]] = OrderedDict()
        self._params: dict[str, set[ShapeParams]] = {}
        self._lock = Lock()

    def get(self, shape: ShapeParams, max_age: float | None = None) -> Found | None:
        """What was found for *shape*, if not longer ago than *max_age*."""
        found, at = self._found.get(shape, (None, 0.0))
        is_too_old = max_age is not None and self._clock() - at > max_age
        return None if is_too_old else found

    def put(self, shape: ShapeParams, found: Found) -> None:
        with self._lock:
            self._drop(shape)
            self._found[shape] = (found, self._clock())
            self._params.setdefault(found.handle, set()).add(shape)
            while len(self._found) > self._limit:
                self._drop(next(iter(self._found)))

    def forget(self, handle: str) -> None:
        with self._lock:
            for shape in list(self._params.get(handle, ())):
                self._drop(shape)

    def knows(self, handle: str) -> bool:
        return handle in self._params

    def _drop(self, shape: ShapeParams) -> None:
        found, _ = self._found.pop(shape, (None, 0.0))
        if found is not None:
            same = self._params[found.handle]
            same.discard(shape)
            if not same:
                del self._params[found.handle]


class Shapes:
    """The look-up of one process."""

    def __init__(
        self,
        settings: ElectricSettings,
        threads: DatabaseThreads,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alias = settings.alias
        self._stream_id = settings.replication_stream_id
        self._threads = threads
        self._memory = _Memory(REMEMBERED, clock)
        self._clauses = Clauses(settings.alias, clock)
        self._under_way: dict[_Question, asyncio.Task[Found | NotRegistered]] = {}

    def knows(self, handle: str) -> bool:
        """Whether *handle* was found lately."""
        return self._memory.knows(handle)

    def forget(self, handle: str) -> None:
        """The shape was rotated or deleted."""
        self._memory.forget(handle)

    def remembered(self, request: ShapeRequest) -> Found | None:
        """The shape that *request* means, without the database."""
        if not request.has_position:
            return self._memory.get(request.shape, SHARED_SECONDS)
        found = self._memory.get(request.shape, None if request.is_live else FRESH_SECONDS)
        return found if found is not None and found.handle == request.handle else None

    async def find(self, shape: ShapeParams, *, may_register: bool) -> Found | NotRegistered:
        """The live shape. Raises InvalidRequest, or `DatabaseUnreachable` if nothing is remembered.

        Whoever asks while the same is being looked up gets the same answer.
        """
        key = (asyncio.get_running_loop(), shape, may_register)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(shape, may_register=may_register))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key))
        return await asyncio.shield(task)

    async def _look_up(self, shape: ShapeParams, *, may_register: bool) -> Found | NotRegistered:
        try:
            found = await self._threads.run(self._find, shape, may_register=may_register)
        except DatabaseUnreachable:
            remembered = self._memory.get(shape)
            if remembered is None:
                raise
            return remembered
        if found.rotated is not None:
            self.forget(found.rotated)
        if isinstance(found, Found):
            self._memory.put(shape, found)
        return found

    async def definition(self, shape: ShapeParams) -> ShapeDefinition:
        """What *shape* means, whether there is one or not. Raises InvalidRequest."""
        _, definition = await self._threads.run(self._resolve, shape)
        return definition

    async def exists(self, handle: str) -> bool:
        """Whether the `Shape` table has a row for *handle*."""
        return await self._threads.run(self._exists, handle)

    async def delete(self, shape: ShapeParams | None, handle: str | None) -> str | Mismatch | None:
        """Delete by definition, by handle or both: the handle that was deleted, None if there is none."""
        deleted = await self._threads.run(self._delete, shape, handle)
        if isinstance(deleted, str):
            self.forget(deleted)
        return deleted

    async def subset(self, request: ShapeRequest, relation: Relation) -> Subset:
        """The subset that is asked for, with the help of Postgres. Raises InvalidRequest."""
        return await self._threads.run(self._subset, request, relation)

    # --- In a database thread ---------------------------------------------------------------------

    def _find(self, shape: ShapeParams, *, may_register: bool) -> Found | NotRegistered:
        relation, definition = self._resolve(shape)
        row = self._row(definition)
        rotated = None
        if row is not None and is_outdated(row.to_definition(), definition):
            Shape.objects.using(self._alias).filter(pk=row.pk).delete()
            rotated = row.handle
            row = None
        if row is None:
            if not may_register:
                return NotRegistered(relation, rotated)
            row = Shape.objects.using(self._alias).register(
                definition, self._stream_id, (shape.access and shape.access.user) or ""
            )
        is_filled = row.status != Shape.Status.REGISTERED
        return Found(row.handle, definition, relation, is_filled, rotated)

    def _resolve(self, shape: ShapeParams) -> tuple[Relation, ShapeDefinition]:
        return resolve_with(self._clauses, shape)

    def _subset(self, request: ShapeRequest, relation: Relation) -> Subset:
        analyse: Analyse = partial(self._clauses.analyse, relation)
        nameable = nameable_columns(request.shape, relation)
        if nameable is not None:
            analyse = analyse_within(nameable, analyse)
        return parse_subset(request.subset or {}, relation, nameable, analyse)

    def _row(self, definition: ShapeDefinition) -> Shape | None:
        rows = Shape.objects.using(self._alias)
        try:
            return rows.filter(stream_id=self._stream_id, identity=definition.identity).first()
        except ProgrammingError as error:  # only the table can be wrong with this query of ours
            raise NotMigrated from error

    def _exists(self, handle: str) -> bool:
        return Shape.objects.using(self._alias).filter(handle=handle).exists()

    def _delete(self, shape: ShapeParams | None, handle: str | None) -> str | Mismatch | None:
        rows = Shape.objects.using(self._alias).filter(stream_id=self._stream_id)
        if shape is not None:
            _, definition = self._resolve(shape)
            rows = rows.filter(identity=definition.identity)
        else:
            rows = rows.filter(handle=handle)
        row = rows.first()
        if row is None:
            return None
        if handle is not None and row.handle != handle:
            return Mismatch()
        row.delete()
        return row.handle


def resolve_with(clauses: Clauses, shape: ShapeParams) -> tuple[Relation, ShapeDefinition]:
    """The table and the definition that *shape* means. Raises InvalidRequest."""
    found = clauses.find(shape.table)
    relation, analyse = found or (None, None)
    definition = resolve(shape, relation, analyse, clauses.find)
    assert relation is not None, "resolve refuses a table that does not exist"
    return relation, definition


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The definition's live handle is another than the one given."""
