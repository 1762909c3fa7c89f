"""Drift: where Postgres is otherwise than the registered models want it (PROTOCOL sections 7.5 and 10.3).

Values in, values out; `published` reads them from Postgres.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["publication", "operations", "table", "unpublished", "identity", "generated"]
"""What is missing: the publication, some of its operations, a model's table, the table in the publication,
whole old rows, generated columns."""

OPERATIONS = "INSERT, UPDATE, DELETE, TRUNCATE"
"""What a publication has to publish."""


@dataclass(frozen=True, slots=True)
class PublicationState:
    """A publication as Postgres has it."""

    name: str
    publishes_all: bool
    """Whether it publishes `OPERATIONS`."""
    may_alter: bool
    """Whether the role that asks may add tables."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table that shapes may be on, as far as the stream is concerned."""

    schema: str
    name: str
    is_published: bool
    has_full_identity: bool
    """Whether changes carry whole old rows: of the table itself, and of every leaf."""
    loses_generated: bool
    """Whether it has generated columns that the publication does not carry. From Postgres 18 on such a
    table cannot be written to once it is published with ``REPLICA IDENTITY FULL``."""
    row_filter: str = ""
    """What the publication lets through of the table, or of a table below it, as Postgres prints it."""
    memberships: frozenset[int] = frozenset()
    """Oids of the entries of the catalogue by which it is in the publication: its own, or those of the tables
    above it, its schema, or the publication if that is of all tables."""

    @property
    def full_name(self) -> str:
        """As messages show it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class RegisteredTable:
    """The table of a model that has a policy or a declared shape, or is read by one in a subquery."""

    label: str
    """Of the model: ``demo.Issue``."""
    table: str
    """As a statement names it: ``"demo_issue"``."""
    state: TableState | None
    """None if there is no such table."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is otherwise than it should be."""

    kind: Kind
    subject: str
    """A model's label, or the name of the publication."""
    message: str
    """What is wrong, a sentence."""
    remedy: str
    """What to do, a sentence."""

    @property
    def is_mended_by_publishing(self) -> bool:
        """Whether ``electric_publish`` puts it right."""
        return self.kind in ("publication", "unpublished", "identity")


def compare(
    name: str, publication: PublicationState | None, tables: Iterable[RegisteredTable]
) -> tuple[Drift, ...]:
    """Everything that keeps *tables* from being followed by the publication *name*; nothing if all is well."""
    return (*_of_publication(name, publication), *_of_tables(name, publication, tables))


def _of_publication(name: str, publication: PublicationState | None) -> Iterator[Drift]:
    if publication is None:
        yield Drift(
            "publication", name, f'There is no publication "{name}".', "Run manage.py electric_publish."
        )  # fmt: skip
    elif not publication.publishes_all:
        yield Drift(
            "operations",
            name,
            f'The publication "{name}" does not publish all of {OPERATIONS}.',
            f"Run ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate');",
        )


def _of_tables(
    name: str, publication: PublicationState | None, tables: Iterable[RegisteredTable]
) -> Iterator[Drift]:
    for table in tables:
        state = table.state
        if state is None:
            yield Drift(
                "table", table.label, f"{table.label} has no table {table.table}.", "Run manage.py migrate."
            )  # fmt: skip
            continue
        if publication is None or not state.is_published:
            yield _unpublished(name, table, state)
        if not state.has_full_identity:
            yield _without_identity(table, state)
        if state.loses_generated and publication is not None:
            yield _generated(name, table, state)


def _unpublished(name: str, table: RegisteredTable, state: TableState) -> Drift:
    return Drift(
        "unpublished",
        table.label,
        f'{state.full_name} ({table.label}) is not in the publication "{name}".',
        f'Add PublishModel("{table.label}") to a migration, or run manage.py electric_publish.',
    )


def _without_identity(table: RegisteredTable, state: TableState) -> Drift:
    return Drift(
        "identity",
        table.label,
        f"{state.full_name} ({table.label}), or a partition of it, does not have REPLICA IDENTITY FULL.",
        f'Add PublishModel("{table.label}") to a migration, or run manage.py electric_publish.',
    )


def _generated(name: str, table: RegisteredTable, state: TableState) -> Drift:
    return Drift(
        "generated",
        table.label,
        f"{state.full_name} ({table.label}) has generated columns that the publication"
        f' "{name}" does not carry: with REPLICA IDENTITY FULL it could not be written to.',
        f"Run ALTER PUBLICATION {name} SET (publish_generated_columns = stored); virtual columns cannot be"
        " published at all.",
    )
