"""What unapplied migrations do to tables, and which shapes that rotates: told before it happens.

The states of the models before and after an operation are compared, so that it does not matter which
operation it is. What is done by SQL cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from django.apps.registry import Apps
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import operations as django_operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Model

from django_electric.conf import electric_settings
from django_electric.errors import StorageError
from django_electric.models import Shape
from django_electric.operations import PublishModel, UnpublishModel
from django_electric.shapes.layouts import TableChange
from django_electric.storage import FileStorage

_KNOWN = ("django.db.migrations.", "django.contrib.")
"""Operations that do to tables what they do to models."""


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table as models describe it."""

    columns: Mapping[str, str]
    """Name → type."""
    collations: Mapping[str, str]
    """Name → collation, of all columns."""
    primary_key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rotated:
    """A shape that an operation rotates."""

    handle: str
    table: str
    where: str
    reason: str
    size: int
    """Bytes of its log, which its clients fetch anew; 0 if it cannot be read from here."""


@dataclass(frozen=True, slots=True)
class Step:
    """An operation of a migration that is not applied yet."""

    migration: str
    operation: str
    rotates: tuple[Rotated, ...]
    is_unknown: bool
    """Whether it may do to tables what cannot be known."""


def steps(alias: str) -> Iterator[Step]:
    """The operations to come, in order, with the shapes that each rotates; a shape is rotated once."""
    executor = MigrationExecutor(connections[alias])
    live = _LiveShapes(alias)
    state = _applied_state(executor)
    for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes()):
        for operation in migration.operations:
            before = state.clone()
            operation.state_forwards(migration.app_label, state)
            changes = list(_changes(alias, migration.app_label, operation, before))
            yield Step(
                migration=f"{migration.app_label}.{migration.name}",
                operation=operation.describe(),
                rotates=tuple(live.take(changes)),
                is_unknown=may_do_anything(operation),
            )


def _applied_state(executor: MigrationExecutor) -> ProjectState:
    """The models as the applied migrations left them."""
    loader = executor.loader
    state = ProjectState(real_apps=loader.unmigrated_apps)
    for migration, _ in executor.migration_plan(loader.graph.leaf_nodes(), clean_start=True):
        if (migration.app_label, migration.name) in loader.applied_migrations:
            migration.mutate_state(state, preserve=False)
    return state


def _changes(
    alias: str, app_label: str, operation: Operation, state: ProjectState
) -> Iterator[tuple[str, TableChange]]:
    for step in _database_operations(operation):
        before = tables_of(alias, state.apps)
        if isinstance(step, UnpublishModel):
            table = step.table_in(app_label, state.apps)
            yield table, TableChange(gone="its table is taken out of the publication")
        state = state.clone()
        step.state_forwards(app_label, state)
        yield from differences(before, tables_of(alias, state.apps))


def _database_operations(operation: Operation) -> Iterator[Operation]:
    if isinstance(operation, django_operations.SeparateDatabaseAndState):
        for inner in operation.database_operations:
            yield from _database_operations(inner)
    else:
        yield operation


def may_do_anything(operation: Operation) -> bool:
    """Whether it cannot be known what it does to tables. ``RunPython`` is taken to write rows, and no more."""
    return any(map(_is_foreign, _database_operations(operation)))


def _is_foreign(operation: Operation) -> bool:
    if isinstance(operation, django_operations.RunSQL):
        return True
    return not isinstance(operation, PublishModel | UnpublishModel) and not type(
        operation
    ).__module__.startswith(_KNOWN)


def tables_of(alias: str, apps: Apps) -> dict[str, PlannedTable]:
    """The tables of all models that are migrated on *alias*."""
    connection = connections[alias]
    return {
        model._meta.db_table: _planned(model, connection)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed
        and not model._meta.proxy
        and router.allow_migrate_model(alias, model)
    }


def _planned(model: type[Model], connection: BaseDatabaseWrapper) -> PlannedTable:
    fields = model._meta.local_concrete_fields
    found = {str(field.column): field.db_parameters(connection) for field in fields}
    return PlannedTable(
        columns={name: str(parameters["type"]) for name, parameters in found.items()},
        collations={name: str(p.get("collation") or "") for name, p in found.items()},
        primary_key=tuple(str(field.column) for field in model._meta.pk_fields),
    )


def differences(
    before: Mapping[str, PlannedTable], after: Mapping[str, PlannedTable]
) -> Iterator[tuple[str, TableChange]]:
    """What happened to the tables of *before*, by name. Nothing else can have shapes."""
    for name, was in before.items():
        now = after.get(name)
        if now is None:
            yield name, TableChange(gone="its table is dropped or renamed")
        elif now != was:
            yield name, _difference(was, now)


def _difference(was: PlannedTable, now: PlannedTable) -> TableChange:
    if now.primary_key != was.primary_key:
        return TableChange(gone="its table gets another primary key")
    changed = (name for name, kind in was.columns.items() if now.columns.get(name) != kind)
    recollated = (name for name, kind in was.collations.items() if now.collations.get(name) != kind)
    return TableChange(
        has_other_columns=now.columns.keys() != was.columns.keys(),
        changed=frozenset(changed),
        recollated=frozenset(recollated),
    )


def _why_rotated(shape: Shape, oid: int, change: TableChange) -> str:
    """Why a change of a table ends a shape on it, or with subqueries that read it; or nothing."""
    reasons = (
        change.why_rotated(one, one.filtered_columns)
        for one in shape.to_definition().walk()
        if one.relation_oid == oid
    )
    return next(filter(None, reasons), "")


class _LiveShapes:
    """The shapes of the catalogue, by the tables that they read, until they are rotated."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        settings = electric_settings(alias)
        self._storage = FileStorage(settings.root)
        self._shapes: dict[int, dict[str, Shape]] = {}
        self._taken: set[str] = set()
        shapes = Shape.objects.using(alias).filter(stream_id=settings.replication_stream_id)
        for shape in shapes.order_by("id"):
            for oid in shape.tables:
                self._shapes.setdefault(oid, {})[shape.handle] = shape

    def take(self, changes: Iterable[tuple[str, TableChange]]) -> Iterator[Rotated]:
        """Those that *changes* rotate; they are not here any more."""
        for table, change in changes:
            oid = self._oid(table)
            for handle, shape in self._shapes.get(oid, {}).items():
                reason = "" if handle in self._taken else _why_rotated(shape, oid, change)
                if reason and oid != shape.relation_oid:
                    reason = f"of {table}, which a subquery reads: {reason}"
                if reason:
                    self._taken.add(handle)
                    name = table if oid == shape.relation_oid else shape.table_name
                    yield Rotated(handle, name, shape.where, reason, self._size(handle))

    def _size(self, handle: str) -> int:
        try:
            with closing(self._storage.reader(handle)) as reader:
                return reader.state().size
        except StorageError:
            return 0

    def _oid(self, table: str) -> int:
        """Of the table that bears this name now: a new one has no shapes."""
        connection = connections[self._alias]
        with connection.cursor() as cursor:
            name = connection.ops.quote_name(table)
            cursor.execute("SELECT coalesce(to_regclass(%s)::oid::int8, 0)", [name])
            row: tuple[int] = cursor.fetchone()
            return row[0]
