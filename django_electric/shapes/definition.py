"""ShapeDefinition: a shape as a value, and what makes two of them the same shape (PROTOCOL section 8)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from django_electric.postgres.relation import Column, Relation, quote_identifier
from django_electric.where import (
    Analysis,
    Locale,
    Plan,
    Scope,
    Subqueries,
    Subquery,
    Subselected,
    Where,
    WhereError,
    delegated_where,
    parse_where,
    plan_of,
    subselect_sql,
    table_names,
)
from django_electric.where.types import EnumName

Replica = Literal["default", "full"]
LogMode = Literal["full", "changes_only"]

_Names = TypeVar("_Names", tuple[str, ...], frozenset[str])


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
    sql_type: str = ""
    """As a statement names it (``Column.sql_type``)."""
    lowers_ascii: bool = True


def locale_of(columns: Iterable[StoredColumn | Column]) -> Locale:
    """What holds for the text in all of *columns*."""
    known = list(columns)
    return Locale(all(c.is_bytewise for c in known), all(c.lowers_ascii for c in known))


_NO_DEPENDENCIES: Final[Mapping[str, Any]] = MappingProxyType({})


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
    delegated_columns: tuple[str, ...] | None = None
    """If only Postgres can evaluate the condition, the columns that it refers to."""
    params: tuple[str, ...] = ()
    """The values of ``$1``, ``$2``, …: a literal and a parameter make two shapes (section 8)."""
    replica: Replica = "default"
    log_mode: LogMode = "full"
    dependencies: tuple[ShapeDefinition, ...] = ()
    """What the subqueries of the condition read, each once; their ``columns`` in the order of the SELECT."""

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
        dependencies: Mapping[str, ShapeDefinition] = _NO_DEPENDENCIES,
    ) -> ShapeDefinition:
        """The definition for *relation*; *columns* None selects all. Nothing is validated here.

        *dependencies* has what the subqueries of *where* read, by their canonical texts.
        """
        stored = tuple(
            StoredColumn(
                c.name,
                c.type_oid,
                c.type_modifier,
                c.evaluator_type,
                c.not_null,
                c.is_bytewise,
                c.sql_type,
                c.lowers_ascii,
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
            delegated_columns=tuple(sorted(where.columns))
            if where and where.is_delegated
            else None,
            params=params if where else (),
            replica=replica,
            log_mode=log_mode,
            dependencies=tuple(dependencies[one] for one in where.subselects) if where else (),
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
            *(one.identity for one in self.dependencies),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def handle_prefix(self) -> int:
        """The decimal number 0…134217727 that handles of this definition begin with."""
        return int(self.identity[:8], 16) & 0x7FFFFFF

    def walk(self) -> Iterator[ShapeDefinition]:
        """Itself, and what its subqueries read."""
        yield self
        for one in self.dependencies:
            yield from one.walk()

    @property
    def tables(self) -> frozenset[int]:
        """The oids of all tables that decide about its rows: its own, and those of its subqueries."""
        return frozenset(one.relation_oid for one in self.walk())

    def parsed_where(self) -> Where | None:
        """The condition, parsed again from its canonical text; None if it has subqueries, see `plan`."""
        if self.where is None or self.dependencies:
            return None
        locale = locale_of(self.relation_columns)
        types = {c.name: c.type_name for c in self.relation_columns}
        if self.delegated_columns is not None:
            analysis = Analysis(self.where, self.delegated_columns)
            return delegated_where(analysis, types, locale)
        where = parse_where(self.where, types, locale=locale)
        return replace(where, sql=self.where, columns=_shared(where.columns))

    def plan(self) -> Plan | None:
        """The plan of the condition; None if it has no subqueries, see `parsed_where`. Raises WhereError."""
        return _plan(self) if self.dependencies else None

    @property
    def filtered_columns(self) -> frozenset[str]:
        """The columns of its own table that the condition refers to."""
        plan, where = self.plan(), self.parsed_where()
        return plan.columns if plan else where.columns if where else frozenset()

    @property
    def subselect(self) -> str:
        """The statement that selects its columns from its rows, as a subquery in canonical text."""
        # As the log has it: rows of tables that inherit from this one are not its own.
        only = "" if self.is_partitioned else "ONLY "
        table = f"{only}{quote_identifier(self.schema)}.{quote_identifier(self.table)}"
        return subselect_sql(table, self.columns, self.where)

    def to_json(self) -> dict[str, object]:
        """A value that JSON can hold; `from_json` reads it back."""
        return {
            "relation_oid": self.relation_oid,
            "schema": self.schema,
            "table": self.table,
            "relation_columns": [
                [
                    c.name,
                    c.type_oid,
                    c.type_modifier,
                    _type_to_json(c.type_name),
                    c.not_null,
                    c.is_bytewise,
                    c.sql_type,
                    c.lowers_ascii,
                ]
                for c in self.relation_columns
            ],
            "primary_key": list(self.primary_key),
            "columns": list(self.columns),
            "has_explicit_columns": self.has_explicit_columns,
            "is_partitioned": self.is_partitioned,
            "where": self.where,
            "delegated_columns": self.delegated_columns,
            "params": list(self.params),
            "replica": self.replica,
            "log_mode": self.log_mode,
            **self._dependencies_to_json(),
        }

    def _dependencies_to_json(self) -> dict[str, object]:
        if not self.dependencies:
            return {}
        others = sorted(self.tables - {self.relation_oid})
        return {"dependencies": [one.to_json() for one in self.dependencies], "reads": others}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> ShapeDefinition:
        """The definition that `to_json` wrote."""
        fields: dict[str, Any] = dict(value)
        fields["relation_columns"] = _stored_columns(_as_tuples(fields["relation_columns"]))
        delegated = fields.get("delegated_columns")
        fields["delegated_columns"] = None if delegated is None else _shared(tuple(delegated))
        fields["params"] = tuple(fields["params"])
        fields.pop("reads", None)  # for queries of the catalogue
        fields["dependencies"] = tuple(map(cls.from_json, fields.get("dependencies", ())))
        fields["relation_oid"] = _oid(fields["relation_oid"])
        for name in ("primary_key", "columns"):
            fields[name] = _shared(tuple(fields[name]))
        for name in ("schema", "table", "replica", "log_mode"):
            fields[name] = sys.intern(fields[name])
        return cls(**fields)


def _type_to_json(name: str) -> object:
    return [name, list(name.labels)] if isinstance(name, EnumName) else name


def _type_from_json(name: str | tuple[str, tuple[str, ...]]) -> str:
    return name if isinstance(name, str) else EnumName(*name)


def _as_tuples(value: Any) -> Any:
    """Lists in lists as tuples, which can be compared by their hashes."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@lru_cache(maxsize=256)
def _plan(definition: ShapeDefinition) -> Plan:
    assert definition.where is not None
    known = {one.subselect: one for one in definition.dependencies}
    scope = Scope(table_names(definition.schema, definition.table))
    types = {c.name: c.type_name for c in definition.relation_columns}
    locale = locale_of(definition.relation_columns)
    subqueries = Subqueries(scope, partial(_subselected, known))
    where = parse_where(definition.where, types, locale=locale, subqueries=subqueries)
    return plan_of(where.tree, tuple(known))


def _subselected(known: Mapping[str, ShapeDefinition], subquery: Subquery) -> Subselected:
    """What a canonical subquery reads: its condition need not be understood here again."""
    definition = known.get(subquery.text)
    if definition is None:
        raise WhereError(f"unknown subquery {subquery.text}", at=subquery.at, is_final=True)
    types = {c.name: c.type_name for c in definition.relation_columns}
    return Subselected(subquery.text, tuple(types[name] for name in definition.columns))


# Thousands of shapes of one table have these in common.


@lru_cache(maxsize=1024)
def _stored_columns(columns: tuple[tuple[Any, ...], ...]) -> tuple[StoredColumn, ...]:
    return tuple(
        StoredColumn(name, oid, modifier, _type_from_json(kind), *rest)
        for name, oid, modifier, kind, *rest in columns
    )


@lru_cache(maxsize=4096)
def _oid(oid: int) -> int:
    return oid


@lru_cache(maxsize=4096)
def _shared(names: _Names) -> _Names:
    """The first of all that are equal."""
    return names
