"""Tables, rows and sinks for the tests of this package, and PROTOCOL section 4 applied naively."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from django_electric.postgres.pgoutput import (
    Begin,
    Commit,
    Message,
    RelationColumn,
    RelationMessage,
    Row,
)
from django_electric.postgres.relation import Column, Relation
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.routed import RoutedShape
from django_electric.shapes.transactions import Answers, Question, TransactionBuilder
from django_electric.where import DelegatedWhere, EvaluationError, WhereError, parse_where
from django_electric.where.nodes import FALSE, TRUE

OIDS = {
    "bool": 16,
    "int4": 23,
    "int8": 20,
    "text": 25,
    "pg_lsn": 3220,
    "numeric": 1700,
    "inet": 869,
    "int4[]": 1007,
}

texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.sampled_from('/"\\\n\r\t\b\f\x01\x1f\x7f{},'),
    max_size=8,
)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "bool": st.sampled_from("tf"),
    "int4": st.integers(-3, 3).map(str),
    "int8": st.integers(-(1 << 63), (1 << 63) - 1).map(str),
    "text": texts,
    "pg_lsn": st.sampled_from(["0/0", "16/B374D848", "FFFFFFFF/1"]),
    "numeric": st.sampled_from(["1.50", "-0.001", "NaN"]),
    "inet": st.sampled_from(["192.168.0.1", "192.168.0.0/24"]),
}


def table(
    columns: dict[str, str],
    key: Sequence[str] = ("id",),
    *,
    oid: int = 500,
    schema: str = "public",
    name: str = "items",
    is_partitioned: bool = False,
) -> Relation:
    """A table; *columns*: name to type."""
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        is_partitioned=is_partitioned,
        columns=tuple(
            Column(
                n,
                OIDS[t],
                t,
                evaluator_type=t,
                not_null=n in key,
                pk_position=list(key).index(n) if n in key else None,
            )
            for n, t in columns.items()
        ),
    )


ITEMS = table({"id": "int4", "text": "text", "done": "bool"})


def define(
    relation: Relation = ITEMS,
    where: str | None = None,
    *,
    columns: tuple[str, ...] | None = None,
    **options: Any,
) -> ShapeDefinition:
    types = {c.name: c.evaluator_type for c in relation.columns}
    parsed = None if where is None else parse_where(where, types)
    return ShapeDefinition.build(relation, columns=columns, where=parsed, **options)


def described(relation: Relation, identity: str = "f") -> RelationMessage:
    """How the stream describes *relation*."""
    return RelationMessage(
        relation.oid,
        relation.schema,
        relation.name,
        identity,
        tuple(
            RelationColumn(c.name, c.type_oid, c.type_modifier, True)
            for c in relation.columns
            if not c.is_generated
        ),
    )


def without(relation: Relation, name: str) -> Relation:
    """*relation* after DROP COLUMN."""
    return replace(relation, columns=tuple(c for c in relation.columns if c.name != name))


def with_column(relation: Relation, name: str, type_name: str = "text") -> Relation:
    """*relation* after ADD COLUMN."""
    added = Column(name, OIDS[type_name], type_name, evaluator_type=type_name)
    return replace(relation, columns=(*relation.columns, added))


@dataclass
class ListSink:
    """A sink that remembers; it checks what every caller has to keep."""

    last_tx: int = 0
    transactions: list[tuple[int, list[int], list[bytes]]] = field(default_factory=list)
    spilled: list[tuple[int, int, bytes]] = field(default_factory=list)
    spills: int = 0
    discards: int = 0

    def append(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        assert tx > self.last_tx, "a transaction that the log holds is not appended"
        assert len(ops) == len(entries) > 0
        assert all(tx == t for t, _, _ in self.spilled)
        before = self.spilled
        self.transactions.append(
            (tx, [op for _, op, _ in before] + list(ops), [e for _, _, e in before] + list(entries))
        )
        self.spilled, self.last_tx = [], tx

    def spill(self, tx: int, ops: Sequence[int], entries: Sequence[bytes]) -> None:
        assert len(ops) == len(entries)
        if tx > self.last_tx:
            self.spilled += zip([tx] * len(ops), ops, entries, strict=True)
            self.spills += 1

    def discard(self) -> None:
        self.discards += 1
        self.spilled = []

    @property
    def txs(self) -> list[int]:
        return [tx for tx, _, _ in self.transactions]

    @property
    def ops(self) -> list[int]:
        return [op for _, ops, _ in self.transactions for op in ops]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message, decoded; the offset of each agrees with its headers."""
        found = []
        for tx, ops, entries in self.transactions:
            assert ops == sorted(set(ops))
            for op, entry in zip(ops, entries, strict=True):
                assert entry.startswith(b",{")
                assert entry.endswith(b"}}\n")
                message = json.loads(entry[1:])
                assert message["headers"]["lsn"] == str(tx)
                assert message["headers"]["op_position"] == op
                found.append(message)
        return found


SEES_NOTHING = PgSnapshot(1, 1)


def shape(
    definition: ShapeDefinition | None = None,
    handle: str = "h",
    snapshot: PgSnapshot | None = SEES_NOTHING,
) -> RoutedShape:
    """A shape that goes into a `ListSink`; held if *snapshot* is None."""
    return RoutedShape(handle, definition or define(), ListSink(), snapshot=snapshot)


def sink_of(shape: RoutedShape) -> ListSink:
    assert isinstance(shape.sink, ListSink)
    return shape.sink


def send(
    builder: TransactionBuilder, tx: int, *messages: Message, xid: int | None = None, size: int = 0
) -> None:
    """A whole transaction; each message is said to have *size* bytes."""
    builder.handle(Begin(tx, tx if xid is None else xid))
    for message in messages:
        builder.handle(message, size)
    builder.handle(Commit(tx, tx + 8))


# -- PROTOCOL section 4, word by word ------------------------------------------------------------


def _shown(definition: ShapeDefinition, row: dict[str, str | None], name: str) -> str | None:
    type_name = next(c.type_name for c in definition.relation_columns if c.name == name)
    value = row[name]
    return {"t": "true", "f": "false"}.get(value or "", value) if type_name == "bool" else value


def naive_key(definition: ShapeDefinition, row: dict[str, str | None]) -> str:
    """Section 4.7, with the escaping of names as in SQL on both roads."""
    names = (definition.schema, definition.table)
    key = ".".join('"' + n.replace('"', '""') + '"' for n in names)
    for name in definition.key_columns:
        value = _shown(definition, row, name)
        key += "/_" if value is None else '/"' + value.replace("/", "//") + '"'
    return key


def _value(
    definition: ShapeDefinition, row: dict[str, str | None], names: Sequence[str]
) -> dict[str, str | None]:
    return {n: _shown(definition, row, n) for n in names if n in definition.columns}


def naive_messages(
    definition: ShapeDefinition,
    layout: Sequence[str],
    old: Row | None,
    new: Row | None,
    *,
    xid: int,
    tx: int,
    op: int,
) -> list[dict[str, Any]]:
    """Sections 4.2 to 4.6 for a change whose rows are in the shape; `last` is the caller's."""
    before = None if old is None else dict(zip(layout, old, strict=True))
    after = None if new is None else dict(zip(layout, new, strict=True))
    common = {"relation": [definition.schema, definition.table], "txids": [xid], "lsn": str(tx)}
    is_full = definition.replica == "full"
    all_columns = definition.columns

    def message(operation: str, row: dict, value: dict, at: int = op, **more: str) -> dict:
        headers = {"operation": operation, **more, **common, "op_position": at}
        return {"key": naive_key(definition, row), "value": value, "headers": headers}

    def gone(row: dict) -> dict:
        return _value(definition, row, all_columns if is_full else definition.key_columns)

    if before is None:
        assert after is not None
        return [message("insert", after, _value(definition, after, all_columns))]
    if after is None:
        return [message("delete", before, gone(before))]
    old_key, new_key = naive_key(definition, before), naive_key(definition, after)
    changed = [n for n in all_columns if before[n] != after[n]]
    if old_key != new_key:
        return [
            message("delete", before, gone(before), key_change_to=new_key),
            message(
                "insert",
                after,
                _value(definition, after, all_columns),
                op + 1,
                key_change_from=old_key,
            ),
        ]
    if not changed:
        return []
    if is_full:
        full = message("update", after, _value(definition, after, all_columns))
        return [{**full, "old_value": _value(definition, before, changed)}]
    names = [n for n in all_columns if n in changed or n in definition.key_columns]
    return [message("update", after, _value(definition, after, names))]


# -- random conditions and rows of ITEMS -----------------------------------------------------------

item_rows: st.SearchStrategy[Row] = st.tuples(
    st.integers(0, 4).map(str),
    st.none() | st.sampled_from(["", "a", "ab", "b", "A"]),
    st.none() | st.sampled_from("tf"),
)
_ATOMS = st.one_of(
    st.integers(0, 4).map("id = {}".format),
    st.integers(0, 4).map("{} = id".format),
    st.integers(0, 4).map("id <> {}".format),
    st.integers(0, 4).map("id > {}".format),
    st.lists(st.integers(0, 4), min_size=1, max_size=3).map(
        lambda ns: f"id IN ({', '.join(map(str, ns))})"
    ),
    st.sampled_from(
        ["text = 'a'", "text = ''", "text LIKE 'a%'", "text ILIKE 'A'", "text IS NULL"]
    ),
    st.sampled_from(["done", "NOT done", "done IS NOT TRUE", "done = false", "done IS NULL"]),
    st.sampled_from(
        ["text IS NOT DISTINCT FROM 'b'", "text IN ('a', 'b')", "id = 1.0", "id = 1.5"]
    ),
    st.sampled_from(["true", "false"]),
)
clauses: st.SearchStrategy[str] = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} AND {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} OR {two[1]})"),
        inner.map(lambda one: f"(NOT {one})"),
    ),
    max_leaves=4,
)


def accepted(clause: str | None) -> bool:
    """Whether the engine takes this clause; what it takes is not this package's question."""
    try:
        define(where=clause)
    except WhereError:
        return False
    return True


def belongs(definition: ShapeDefinition, layout: Sequence[str], row: Row | None) -> bool:
    """Whether *row* belongs to the shape, by evaluating its condition on it and nothing else."""
    where = definition.parsed_where()
    if row is None or where is None:
        return row is not None
    try:
        return where.compile({n: i for i, n in enumerate(layout)})(row) is True
    except EvaluationError:
        return False


class Oracle:
    """A where clause that only Postgres could evaluate, and the Postgres that does.

    The answers are those of the condition evaluated here; *asked* counts the questions.
    """

    def __init__(self) -> None:
        self.asked = 0

    def delegate(self, shape: RoutedShape) -> RoutedShape:
        """*shape* with its condition, if it has one, taken for one that cannot be evaluated here."""
        if shape.where is not None:
            where = shape.where
            shape.where = DelegatedWhere(TRUE, where.sql, where.columns)
        return shape

    def ask(self, columns: tuple[str, ...], questions: Sequence[Question]) -> Answers:
        """What the builder is given to ask."""
        self.asked += sum(len(shapes) for _, shapes in questions)
        return Answers(
            [
                [one for one in shapes if belongs(one.definition, columns, row)]
                for row, shapes in questions
            ]
        )


class Failing:
    """A condition whose evaluation fails."""

    is_delegated = True
    tree = FALSE
    columns = frozenset[str]()

    def __init__(self, error: Exception) -> None:
        self._error = error

    def lookups(self) -> None:
        """None: evaluate it always."""

    def compile(self, positions: Any) -> Any:
        def fail(row: Row) -> bool:
            raise self._error

        return fail
