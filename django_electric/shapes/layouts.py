"""Layouts: tables as they are now, and which shapes cannot go on with them (PROTOCOL section 10.5).

A layout comes from the stream, with the rows that have it; from a logical message, that a migration or an
event trigger sends with the transaction which changes the table; or from a look into the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, cast

from django_electric.errors import DecodeError
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.routed import RoutedShape

SCHEMA_PREFIX = "django_electric:schema"
"""Prefix of the logical messages that tell of changed tables."""


class DescribedColumn(Protocol):
    """A column, as far as the stream describes it."""

    @property
    def name(self) -> str: ...
    @property
    def type_oid(self) -> int: ...
    @property
    def type_modifier(self) -> int: ...


class Described(Protocol):
    """A table, as far as the stream describes it."""

    @property
    def oid(self) -> int: ...
    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> Sequence[DescribedColumn]: ...


class ColumnLayout(NamedTuple):
    """A column, as the catalogue describes it."""

    name: str
    type_oid: int
    type_modifier: int
    sql_type: str
    """As a statement names it, with its collation (``Column.sql_type``)."""


class TableLayout(NamedTuple):
    """A table, as the catalogue describes it."""

    oid: int
    schema: str
    name: str
    columns: tuple[ColumnLayout, ...]
    """Those that the stream carries, in attribute order."""
    primary_key: tuple[str, ...]


class SchemaChange(NamedTuple):
    """What a logical message tells."""

    tables: tuple[TableLayout, ...]
    dropped: tuple[int, ...]
    unpublished: tuple[int, ...]
    """Taken out of the publication; they may be in it again by now."""


def parse_schema_change(text: str | bytes) -> SchemaChange:
    """What `postgres.layouts` wrote. Raises DecodeError."""
    try:
        found = cast("dict[str, list[list[object]]]", json.loads(text))
        return SchemaChange(
            tuple(map(_table, found.get("tables", ()))),
            tuple(cast("list[int]", found.get("dropped", ()))),
            tuple(cast("list[int]", found.get("unpublished", ()))),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise DecodeError(f"a message of changed tables is malformed: {error}") from error


def _table(value: Sequence[object]) -> TableLayout:
    oid, schema, name, columns, key = value
    return TableLayout(
        cast(int, oid),
        cast(str, schema),
        cast(str, name),
        tuple(ColumnLayout(*column) for column in cast("list[tuple[str, int, int, str]]", columns or ())),
        tuple(cast("list[str]", key or ())),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableChange:
    """How a table differs from what was known of it."""

    gone: str = ""
    """Why no shape of the table can go on, or empty."""
    has_other_columns: bool = False
    """Whether columns were added or dropped."""
    changed: frozenset[str] = frozenset()
    """Columns that were dropped or renamed, or have another type."""
    recollated: frozenset[str] = frozenset()
    """Columns whose values are compared otherwise."""

    def __bool__(self) -> bool:
        return self != _NOTHING

    def why_rotated(self, definition: ShapeDefinition, filtered: Collection[str]) -> str:
        """Why a shape that filters by the columns *filtered* cannot go on, or an empty string."""
        if self.gone:
            return self.gone
        if self.has_other_columns and not definition.has_explicit_columns:
            return "columns were added to its table or dropped from it"
        used = {*definition.columns, *definition.key_columns, *filtered}
        for name in sorted(self.changed & used):
            return f'column "{name}" was dropped, renamed or changed its type'
        for name in sorted(self.recollated.intersection(filtered)):
            return f'column "{name}" has another collation'
        return ""


_NOTHING = TableChange()


def mismatch(shape: RoutedShape, table: Described) -> str:
    """Why a shape cannot go on with a table of this description, or an empty string.

    Partitions are described under their own oid and name; only their columns are compared.
    """
    change = _change(shape.definition, table)
    return change.why_rotated(shape.definition, _filtered(shape)) if change else ""


def outdated(
    shapes: Iterable[RoutedShape], table: TableLayout
) -> Iterator[tuple[RoutedShape, str]]:
    """Shapes of a table that cannot go on with it, and why: by all that the catalogue knows.

    Of thousands of shapes most know their table by the same tuple of columns: it is compared once.
    """
    changes: dict[tuple[object, ...], TableChange | None] = {}
    for shape in shapes:
        d = shape.definition
        known = (id(d.relation_columns), d.primary_key, d.relation_oid, d.schema, d.table)
        if known not in changes:
            changes[known] = _catalogue_change(d, table) or None
        change = changes[known]
        if change is not None and (reason := change.why_rotated(d, _filtered(shape))):
            yield shape, reason


def _filtered(shape: RoutedShape) -> Collection[str]:
    return shape.where.columns if shape.where else shape.definition.filtered_columns


def _change(definition: ShapeDefinition, table: Described) -> TableChange:
    is_own = table.oid == definition.relation_oid
    if is_own and (table.schema, table.name) != (definition.schema, definition.table):
        return TableChange(gone="its table was renamed")
    types = {c.name: (c.type_oid, c.type_modifier) for c in table.columns}
    stored = {c.name: (c.type_oid, c.type_modifier) for c in definition.relation_columns}
    if types == stored:
        return _NOTHING
    changed = frozenset(name for name, known in stored.items() if types.get(name) != known)
    return TableChange(has_other_columns=types.keys() != stored.keys(), changed=changed)


def _catalogue_change(definition: ShapeDefinition, table: TableLayout) -> TableChange:
    """The same with what only the catalogue knows: the primary key, and how text is compared."""
    change = _change(definition, table)
    if change.gone or table.oid != definition.relation_oid:
        return change
    if table.primary_key != definition.primary_key:
        return TableChange(gone="its table has another primary key")
    # Definitions of an older version of the package do not say.
    stored = {c.name: c.sql_type for c in definition.relation_columns if c.sql_type}
    recollated = (c.name for c in table.columns if stored.get(c.name, c.sql_type) != c.sql_type)
    return replace(change, recollated=frozenset(recollated))
