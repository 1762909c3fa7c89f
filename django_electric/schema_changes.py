"""Migrations tell the worker what they change, with a logical message in their own transaction.

Why by an operation that is put into each planned migration when ``migrate`` begins: it runs inside the
migration's transaction, so that the message commits with the change and has its place in the stream; and
after all that the migration does by itself or by SQL, so that it can tell what the catalogue says then.
Django's signals come once for an app, when the transactions are over. The deferred SQL of a schema editor can
be added to by operations only, and has Django record the migration outside of its transaction. A wrapper
around every statement would have to understand SQL. ``contenttypes`` adds its operations in this way, too.

What is changed otherwise (psql, ``sqlmigrate``) is told by event triggers, if there are any; else the worker's
looks into the catalogue find it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import AddField, AlterField, RemoveField
from django.db.migrations.state import ProjectState

from django_electric import conf
from django_electric.models import Shape
from django_electric.postgres import publishing
from django_electric.postgres.layouts import oids_with_shapes, tell_layouts
from django_electric.shapes.layouts import SCHEMA_PREFIX

logger = logging.getLogger("django_electric.schema")

Plan = Iterable[tuple[Migration, bool]]


class _Added(Operation):
    """An operation of a planned migration that is in no file; it does the same in both directions."""

    reversible = True
    reduces_to_sql = False

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self.database_forwards(app_label, schema_editor, from_state, to_state)


class TellWorker(_Added):
    """Tell the worker how the tables that have shapes are laid out now; it compares."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        _try(schema_editor.connection.alias, tell_worker, "the worker is not told of the migration")

    def describe(self) -> str:
        return "Tell the worker of django_electric"


class LetAllThrough(_Added):
    """Take the row filter off a model's table: Postgres refuses to alter the columns that it names, or
    takes the table out of the publication. The worker puts another one on when it is time.
    """

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = from_state.apps.get_model(app_label, self.model_name)._meta.db_table
        _try(
            schema_editor.connection.alias,
            partial(let_all_through, table),
            f"the row filter of {table} stays",
        )

    def describe(self) -> str:
        return f"Take the row filter off {self.model_name}"


def add_to_plan(*, using: str, plan: Plan = (), **_: object) -> None:
    """Have each migration of *plan* tell the worker; a receiver of ``pre_migrate``."""
    if using not in conf.aliases() or connections[using].vendor != "postgresql":
        return
    for migration, is_backwards in plan:
        # A list of this very migration's, made when it was loaded.
        cast("list[Operation]", migration.operations)[:] = _telling(
            migration, is_backwards=is_backwards
        )


def _telling(migration: Migration, *, is_backwards: bool) -> list[Operation]:
    """The operations of *migration*, with what comes before and after them, as they are done: backwards
    the last of the list is the first.
    """
    own = [o for o in migration.operations if not isinstance(o, _Added)]
    in_order = own[::-1] if is_backwards else own
    groups = [[*_before(operation, is_backwards=is_backwards), operation] for operation in in_order]
    if not migration.atomic:
        # Each operation has a transaction of its own.
        groups = [[*group, TellWorker()] for group in groups]
    elif own:
        groups.append([TellWorker()])
    done = [operation for group in groups for operation in group]
    return done[::-1] if is_backwards else done


def _before(operation: Operation, *, is_backwards: bool) -> list[Operation]:
    drops = AddField if is_backwards else RemoveField
    return (
        [LetAllThrough(operation.model_name)] if isinstance(operation, AlterField | drops) else []
    )


def _try(alias: str, work: Callable[[str], None], failure: str) -> None:
    """A migration never fails by us: what the worker is not told it finds by looking."""
    try:
        with transaction.atomic(using=alias):
            work(alias)
    except DatabaseError as error:
        logger.warning("%s: %s", failure, str(error).strip())


def tell_worker(alias: str) -> None:
    """Send the layouts of all tables that have shapes, with the transaction under way if there is one."""
    table = Shape._meta.db_table
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [connection.ops.quote_name(table)])
        if cursor.fetchone() != (None,):
            cursor.execute(tell_layouts(SCHEMA_PREFIX, oids_with_shapes(table)))


def let_all_through(table: str, alias: str) -> None:
    """Take the row filter off a table, if it has one."""
    connection = connections[alias]
    name = conf.electric_settings(alias).publication_name
    with connection.cursor() as cursor:
        cursor.execute(publishing.let_all_through(name, connection.ops.quote_name(table)))
