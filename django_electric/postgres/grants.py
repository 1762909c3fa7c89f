"""The statements that give a role what worker and web processes need, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django_electric.postgres.relation import quote_identifier


@dataclass(frozen=True, slots=True)
class Name:
    """A table or a sequence, with its schema."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a runtime role works on."""

    database: str
    published: tuple[Name, ...]
    """Tables to read: those that are published, their partitions among them."""
    own: tuple[Name, ...]
    """Tables of django_electric itself."""
    sequences: tuple[Name, ...]
    """Sequences of these."""


def role_statements(role: str, *, exists: bool) -> Iterator[str]:
    """Make the role, or give an existing one what it lacks."""
    name = quote_identifier(role)
    if exists:
        yield f"ALTER ROLE {name} LOGIN REPLICATION;"
    else:
        yield f"CREATE ROLE {name} LOGIN REPLICATION NOSUPERUSER PASSWORD 'choose one';"


def grant_statements(role: str, needs: Needs) -> Iterator[str]:
    """What *role* may do: connect, read the published tables, keep the books of django_electric."""
    name = quote_identifier(role)
    yield f"GRANT CONNECT ON DATABASE {quote_identifier(needs.database)} TO {name};"
    for schema in sorted({n.schema for n in (*needs.published, *needs.own)}):
        yield f"GRANT USAGE ON SCHEMA {quote_identifier(schema)} TO {name};"
    yield from _on("SELECT ON TABLE", needs.published, name)
    yield from _on("SELECT, INSERT, UPDATE, DELETE ON TABLE", needs.own, name)
    yield from _on("USAGE ON SEQUENCE", needs.sequences, name)


def _on(what: str, names: Iterable[Name], role: str) -> Iterator[str]:
    for name in names:
        yield f"GRANT {what} {name} TO {role};"
