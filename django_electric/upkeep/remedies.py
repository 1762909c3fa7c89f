"""Remedies: puts right what can be put right without harm; each says what it did.

Nothing here waits for a lock for long, restarts anything or loses anything. Shapes whose table was not
streamed are rotated: what they missed cannot be told later. With MANUAL_TABLE_PUBLISHING the publication is
left alone, as that setting promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, cast

import psycopg
from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.postgres.relation import quote_identifier
from django_electric.replication.publication import Connection, message_of, statement
from django_electric.replication.tables import LOCK_TIMEOUT_MS, set_full_identity
from django_electric.upkeep.facts import Facts, TableFacts
from django_electric.upkeep.findings import Finding

Fix = Callable[[ElectricSettings, Facts], Iterator[str]]


def can_fix(finding: Finding, facts: Facts) -> bool:
    """Whether `fix` knows what to do."""
    if finding.id in _OF_PUBLICATION:
        return not facts.manual_publishing
    return finding.id in FIXES


def fix(settings: ElectricSettings, facts: Facts, findings: list[Finding]) -> Iterator[str]:
    """Do it; a sentence for each thing that was done, or could not be."""
    wanted = {finding.id for finding in findings if can_fix(finding, facts)}
    for identifier, remedy in FIXES.items():
        if identifier in wanted:
            yield from remedy(settings, facts)


def complete_publication(settings: ElectricSettings, facts: Facts) -> Iterator[str]:
    """electric.W027: operations are left out. One that is missing is made by the worker, which knows when."""
    publication = facts.publication
    if publication is None or publication.publishes_all:
        return
    done = f"publication {publication.name} carries all operations"
    yield _run(settings, done, partial(_carry_all, settings))


def publish_tables(settings: ElectricSettings, facts: Facts) -> Iterator[str]:
    """electric.W028: tables are not in the publication."""
    for table in facts.tables:
        if table.exists and not table.is_published:
            yield _run(
                settings,
                f"{table.name} is in the publication",
                partial(_publish, settings, table),
            )
            if table.is_served:
                yield f"{_delete_shapes(settings, table)} shapes of {table.name} are rotated"


def complete_identity(settings: ElectricSettings, facts: Facts) -> Iterator[str]:
    """electric.W029: the replica identity is not FULL."""
    for table in facts.tables:
        if table.exists and table.is_published and not table.has_full_identity:
            yield _run(
                settings,
                f"{table.name} has REPLICA IDENTITY FULL",
                partial(_complete_identity, table),
            )


def delete_orphans(settings: ElectricSettings, facts: Facts) -> Iterator[str]:
    """electric.W030: the table is gone."""
    for table in facts.tables:
        if not table.exists:
            yield f"{_delete_shapes(settings, table)} shapes of {table.name} are deleted"


FIXES: Final[dict[str, Fix]] = {
    "electric.W027": complete_publication,
    "electric.W028": publish_tables,
    "electric.W029": complete_identity,
    "electric.W030": delete_orphans,
}
_OF_PUBLICATION: Final = FIXES.keys() - {"electric.W030"}


def _run(settings: ElectricSettings, done: str, action: Callable[[Connection], object]) -> str:
    connections[settings.alias].ensure_connection()
    connection = cast(Connection, connections[settings.alias].connection)
    try:
        with connection.transaction():
            action(connection)
    except psycopg.Error as error:
        return f"not done: {done}: {message_of(error)}"
    return done


def _carry_all(settings: ElectricSettings, connection: Connection) -> None:
    name = quote_identifier(settings.publication_name)
    operations = "publish = 'insert, update, delete, truncate'"
    connection.execute(statement(f"ALTER PUBLICATION {name} SET ({operations})"))


def _publish(settings: ElectricSettings, table: TableFacts, connection: Connection) -> None:
    _complete_identity(table, connection)
    publication = quote_identifier(settings.publication_name)
    connection.execute(statement(f"ALTER PUBLICATION {publication} ADD TABLE {table.name}"))


def _complete_identity(table: TableFacts, connection: Connection) -> None:
    set_full_identity(connection, table.oid, LOCK_TIMEOUT_MS)


def _delete_shapes(settings: ElectricSettings, table: TableFacts) -> int:
    """Those on a table, and those that read it."""
    shapes = Shape.objects.using(settings.alias).filter(stream_id=settings.replication_stream_id)
    return shapes.reading(table.oid).delete()[0]
