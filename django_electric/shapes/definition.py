"""ShapeDefinition: a shape as a value, and what makes two of them the same shape (PROTOCOL section 8)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from django_electric.postgres.relation import Relation
from django_electric.where import Where, parse_where

Replica = Literal["default", "full"]
LogMode = Literal["full", "changes_only"]


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column as it was when the shape was made: if it is otherwise now, the shape is rotated."""

    name: str
    type_oid: int
    type_modifier: int
    type_name: str
    """As the evaluator knows it (``Column.evaluator_type``)."""
    not_null: bool
    is_bytewise: bool


@dataclass(frozen=True, slots=True)
class ShapeDefinition:
    """One table, optionally some of its columns, optionally a condition on its rows."""

    relation_oid: int
    schema: str
    table: str
    relation_columns: tuple[StoredColumn, ...]
    """Every column of the table in attribute order, generated ones left out."""
    primary_key: tuple[str, ...]
    """In the order of the key's index; empty for a table without one."""
    columns: tuple[str, ...]
    """The selected columns, in attribute order."""
    has_explicit_columns: bool
    is_partitioned: bool = False
    """Whether the table is the root of partitions, whose changes it answers for."""
    where: str | None = None
    """Canonical SQL of the condition, parameters spliced in; None for the whole table."""
    params: tuple[str, ...] = ()
    """The values of ``$1``, ``$2``, …: a literal and a parameter make two shapes (section 8)."""
    replica: Replica = "default"
    log_mode: LogMode = "full"

    @classmethod
    def build(
        cls,
        relation: Relation,
        *,
        columns: tuple[str, ...] | None = None,
        where: Where | None = None,
        params: tuple[str, ...] = (),
        replica: Replica = "default",
        log_mode: LogMode = "full",
    ) -> ShapeDefinition:
        """The definition for *relation*; *columns* None selects all. Nothing is validated here."""
        stored = tuple(
            StoredColumn(
                c.name, c.type_oid, c.type_modifier, c.evaluator_type, c.not_null, c.is_bytewise
            )
            for c in relation.columns
            if not c.is_generated
        )
        chosen = None if columns is None else set(columns)
        return cls(
            relation_oid=relation.oid,
            schema=relation.schema,
            table=relation.name,
            relation_columns=stored,
            primary_key=relation.primary_key,
            columns=tuple(c.name for c in stored if chosen is None or c.name in chosen),
            has_explicit_columns=columns is not None,
            is_partitioned=relation.is_partitioned,
            where=where.sql if where else None,
            params=params if where else (),
            replica=replica,
            log_mode=log_mode,
        )

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Columns of the client-visible key: all of them without a primary key (section 4.6)."""
        return self.primary_key or tuple(c.name for c in self.relation_columns)

    @property
    def identity(self) -> str:
        """Hex digest that is equal for two requests iff they address the same shape."""
        parts = [
            self.relation_oid, self.schema, self.table, self.primary_key, self.where,
            sorted(self.columns), self.has_explicit_columns, self.replica, self.log_mode, self.params,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def handle_prefix(self) -> int:
        """The decimal number 0…134217727 that handles of this definition begin with."""
        return int(self.identity[:8], 16) & 0x7FFFFFF

    def parsed_where(self) -> Where | None:
        """The condition, parsed again from its canonical text."""
        if self.where is None:
            return None
        bytewise = all(c.is_bytewise for c in self.relation_columns)
        types = {c.name: c.type_name for c in self.relation_columns}
        return parse_where(self.where, types, collation_is_c=bytewise)

    def to_json(self) -> dict[str, object]:
        """A value that JSON can hold; `from_json` reads it back."""
        return {
            "relation_oid": self.relation_oid,
            "schema": self.schema,
            "table": self.table,
            "relation_columns": [
                [c.name, c.type_oid, c.type_modifier, c.type_name, c.not_null, c.is_bytewise]
                for c in self.relation_columns
            ],
            "primary_key": list(self.primary_key),
            "columns": list(self.columns),
            "has_explicit_columns": self.has_explicit_columns,
            "is_partitioned": self.is_partitioned,
            "where": self.where,
            "params": list(self.params),
            "replica": self.replica,
            "log_mode": self.log_mode,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> ShapeDefinition:
        """The definition that `to_json` wrote."""
        fields = dict(value)
        fields["relation_columns"] = tuple(StoredColumn(*c) for c in fields["relation_columns"])  # type: ignore[attr-defined]  # as written
        fields["params"] = tuple(fields["params"])  # type: ignore[arg-type]  # as written
        fields["primary_key"] = tuple(fields["primary_key"])  # type: ignore[arg-type]  # as written
        fields["columns"] = tuple(fields["columns"])  # type: ignore[arg-type]  # as written
        return cls(**fields)  # type: ignore[arg-type]  # as written
