"""What registered models want published and what Postgres has, read through Django's connection.

Every function raises the errors of Django and psycopg if the database does not answer, and
ImproperlyConfigured if ``ELECTRIC`` does not name the alias.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from django.apps import apps
from django.db import connections, router
from django.db.models import Model

from django_electric.conf import ALIAS, electric_settings
from django_electric.drift import Drift, PublicationState, RegisteredTable, compare
from django_electric.postgres.grants import Name, Needs
from django_electric.registry import registered_models
from django_electric.replication import tables
from django_electric.replication.publication import Connection, statement

_PUBLISHED = """
WITH listed AS (
  SELECT c.oid FROM pg_publication_tables t
    JOIN pg_namespace n ON n.nspname = t.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
   WHERE t.pubname = %(publication)s
  UNION
  SELECT r.prrelid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
   WHERE p.pubname = %(publication)s
)
SELECT c.oid::int8, n.nspname, c.relname, c.relispartition
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid IN (SELECT oid FROM listed UNION SELECT a.relid FROM listed, pg_partition_ancestors(listed.oid) a)
 ORDER BY n.nspname, c.relname
"""
# Those of identity columns need no grant.
_SEQUENCES = """
SELECT n.nspname, s.relname
  FROM pg_depend d
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_namespace n ON n.oid = s.relnamespace
 WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjid = ANY(%s::oid[])
 ORDER BY 1, 2
"""
_NAMES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY(%s::oid[]) ORDER BY 1, 2
"""


class _Published(NamedTuple):
    """A table that is in the publication, by itself or by a table above it."""

    oid: int
    name: Name
    is_partition: bool


def drift_of(alias: str = ALIAS) -> tuple[Drift, ...]:
    """Everything that keeps registered models of *alias* from being followed."""
    name = electric_settings(alias).publication_name
    return compare(name, publication_state(alias), registered_tables(alias))


def publication_state(alias: str = ALIAS) -> PublicationState | None:
    """The publication of *alias*; None if there is none."""
    return tables.publication_state(_connection(alias), electric_settings(alias))


def registered_tables(alias: str = ALIAS) -> tuple[RegisteredTable, ...]:
    """The tables of registered models that the database routers allow on *alias*, each once."""
    models = list(_models_on(alias, registered_models()))
    names = [_table_of(alias, model) for model in models]
    oids = _oids(alias, names)
    states = tables.table_states(
        _connection(alias), electric_settings(alias), [oid for oid in oids if oid is not None]
    )
    return tuple(
        RegisteredTable(model._meta.label, name, None if oid is None else states.get(oid))
        for model, name, oid in zip(models, names, oids, strict=True)
    )


def registered_oids(alias: str = ALIAS) -> set[int]:
    """Of the tables of registered models that are there."""
    names = [_table_of(alias, model) for model in _models_on(alias, registered_models())]
    return {oid for oid in _oids(alias, names) if oid is not None}


def surplus_tables(alias: str = ALIAS) -> tuple[str, ...]:
    """Tables that are published although no registered model has them: asked for by name, perhaps."""
    registered = registered_oids(alias)
    return tuple(
        str(table.name)
        for table in _published(alias)
        if table.oid not in registered and not table.is_partition
    )


def needs_of(alias: str = ALIAS) -> Needs:
    """What worker and web processes work on, once everything is published."""
    ours = apps.get_app_config("django_electric").get_models()
    own = [oid for oid in _oids(alias, [_table_of(alias, m) for m in ours]) if oid is not None]
    row = _connection(alias).execute("SELECT current_database()").fetchone()
    return Needs(
        database=str(row[0]) if row else "",
        published=tuple(t.name for t in _published(alias) if t.oid not in own),
        own=_names(alias, _NAMES, own),
        sequences=_names(alias, _SEQUENCES, own),
    )


def role_exists(alias: str, role: str) -> bool:
    """Whether the server has a role of this name."""
    found = _connection(alias).execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return found.fetchone() is not None


def _published(alias: str) -> list[_Published]:
    name = electric_settings(alias).publication_name
    rows = _connection(alias).execute(_PUBLISHED, {"publication": name})
    return [
        _Published(cast(int, oid), Name(str(schema), str(table)), bool(is_partition))
        for oid, schema, table, is_partition in rows
    ]


def _names(alias: str, query: str, oids: list[int]) -> tuple[Name, ...]:
    rows = _connection(alias).execute(statement(query), [oids])
    return tuple(Name(str(schema), str(name)) for schema, name in rows)


def _models_on(alias: str, models: Iterable[type[Model]]) -> Iterator[type[Model]]:
    seen: set[str] = set()
    for model in models:
        table = model._meta.db_table
        if table not in seen and router.allow_migrate_model(alias, model):
            seen.add(table)
            yield model


def _table_of(alias: str, model: type[Model]) -> str:
    """As a statement names it."""
    return connections[alias].ops.quote_name(model._meta.db_table)


def _oids(alias: str, names: list[str]) -> list[int | None]:
    """Of the tables that statements would find under these names."""
    rows = _connection(alias).execute(
        "SELECT to_regclass(name)::oid::int8 FROM unnest(%s::text[]) WITH ORDINALITY AS w(name, n) ORDER BY n",
        [names],
    )
    return [cast("int | None", row[0]) for row in rows]


def _connection(alias: str) -> Connection:
    """psycopg's own connection below Django's."""
    connections[alias].ensure_connection()
    return cast(Connection, connections[alias].connection)
