"""Hypothesis strategies: random shapes of the tables, with clauses of the supported language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.oracle.tables import TABLES, Column, Table

_ORDERED = {"int", "bigint", "smallint", "numeric(12,2)", "numeric(6,2)", "numeric", "float8", "text", "varchar(20)",
            "date", "timestamp", "timestamptz", "uuid"}  # fmt: skip
_SUPPORTED = _ORDERED | {"boolean"}
_PATTERNS = (
    "a%",
    "%b",
    "A_",
    "_b%",
    "%'%",
    "",
    "%",
    "a\\%b",
    "%\\_%",
    "%ü%",
    "%Ü%",
    "a__",
    "%e%e%",
)
_BARE = {"int", "bigint", "smallint", "numeric(12,2)", "numeric(6,2)", "numeric", "float8"}


_TEXT_EXPRESSIONS = (
    "length({0}) > 3", "{0} ~ '^[a-b]'", "{0} ~* 'E'", "upper({0}) = 'AB'", "{0} ILIKE '%ü%'", "md5({0}) < '8'",
    "to_tsvector('english', {0}) @@ to_tsquery('english', 'smile | say')", "left({0}, 1) = 'a'",
    "coalesce({0}, 'none') = 'none'", "{0} || 'x' LIKE 'a%x'", "nullif({0}, 'a') IS NULL", "{0} SIMILAR TO '(a|A)%'",
    "CASE WHEN {0} = 'a' THEN true WHEN {0} > 'b' THEN {0} < 'z' END", "concat({0}, 'y') = 'y'",
)  # fmt: skip
_NUMBER_EXPRESSIONS = (
    "round({0}) = 2", "abs({0}::numeric) < 2", "numrange(0, 10) @> {0}::numeric", "{0} + 1 > 1.5",
    "greatest({0}, 2) = 2", "({0}, 1) > (1, 0)", "{0}::text LIKE '1%'", "width_bucket({0}::float8, 0, 10, 5) = 1",
)  # fmt: skip
_WHOLE_EXPRESSIONS = (
    "{0} % 3 = 1",
    "{0} & 1 = 1",
    "@ ({0}::numeric) > 2",
    "int8range(0, 3) @> {0}::int8",
)
_MOMENT_EXPRESSIONS = (
    "date_trunc('month', {0}) = '2024-01-01'", "extract(isodow FROM {0}) > 3", "{0} + interval '1 day' > '2024-02-01'",
    "to_char({0}, 'YYYY') = '2024'", "{0}::text LIKE '2024%'",
)  # fmt: skip
_EXPRESSIONS = {
    "text": _TEXT_EXPRESSIONS,
    "varchar(20)": _TEXT_EXPRESSIONS,
    "int": _WHOLE_EXPRESSIONS,
    "smallint": _WHOLE_EXPRESSIONS,
    "bigint": _WHOLE_EXPRESSIONS,
    "numeric(12,2)": _NUMBER_EXPRESSIONS,
    "numeric(6,2)": _NUMBER_EXPRESSIONS,
    "date": ("{0} - date '2024-01-01' > 3", *_MOMENT_EXPRESSIONS),
    "timestamp": ("{0}::date = '2024-01-31'", *_MOMENT_EXPRESSIONS),
    "timestamptz": ("({0} AT TIME ZONE 'Asia/Tokyo')::date = '2024-01-31'", *_MOMENT_EXPRESSIONS),
    "bytea": ("length({0}) = 2", "encode({0}, 'hex') = ''", "{0} > '\\x00'"),
    "jsonb": ("{0} ? 'a'", "{0} @> '{{}}'", "{0} -> 'a' ->> 2 = 'x'", "jsonb_typeof({0} #> '{{a,0}}') = 'number'"),
    "text[]": ("{0} && ARRAY['a']", "cardinality({0}) > 0", "'a' = ANY ({0})", "{0}[2] = 'b c'", "{0} @> '{{a}}'"),
    "uuid": ("{0}::text LIKE 'a0%'",),
    "boolean": ("{0}::int = 1",),
}  # fmt: skip
"""Immutable expressions that never fail: whether they are evaluated here or by Postgres is not said."""


@dataclass(frozen=True, repr=False)
class Shape:
    """What a follower asks for, but for the table's full name."""

    table: Table
    where: str | None = None
    params: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    replica: str | None = None

    def __repr__(self) -> str:
        """Short: Hypothesis dislikes long ones, and a follower that fails shows all of it."""
        return f"{self.table} {self.where} {self.columns} {self.replica}"[:120]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def query(self, table: str) -> dict[str, str]:
        query = {"table": table}
        if self.where is not None:
            query["where"] = self.where
        query |= {f"params[{i}]": value for i, value in enumerate(self.params, 1)}
        if self.columns is not None:
            query["columns"] = ",".join(self.columns)
        if self.replica is not None:
            query["replica"] = self.replica
        return query


def quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def literal(draw: st.DrawFn, column: Column, params: list[str]) -> str:
    value = draw(st.sampled_from(column.literals))
    if column.sql_type == "boolean":
        return value
    if params is not _NO_PARAMS and len(params) < 9 and draw(st.integers(0, 3)) == 0:
        params.append(value)
        return f"${len(params)}"
    if column.sql_type in _BARE and value.lstrip("-").replace(".", "").isdigit():
        return value if draw(st.booleans()) and not value.startswith("-") else quote(value)
    return quote(value)


_NO_PARAMS: list[str] = []


@st.composite
def atom(draw: st.DrawFn, table: Table, params: list[str]) -> str:
    if draw(st.integers(0, 4)) == 0:
        column = draw(st.sampled_from([c for c in table.columns if c.sql_type in _EXPRESSIONS]))
        return f"({draw(st.sampled_from(_EXPRESSIONS[column.sql_type])).format(column.name)})"
    column = draw(st.sampled_from([c for c in table.columns if c.sql_type in _SUPPORTED]))
    name = column.name
    kinds = ["null", "not null", "=", "<>", "in"]
    if column.sql_type == "boolean":
        kinds += ["bare", "is true", "is not true", "is false", "is not false"]
    if column.sql_type in _ORDERED:
        kinds += ["<", "<=", ">", ">=", "between", "not in", "=", "in"]
    if column.sql_type in ("text", "varchar(20)"):
        kinds += ["like", "not like", "ilike", "not ilike"]
    kind = draw(st.sampled_from(kinds))
    value = literal(column, params)
    match kind:
        case "null" | "not null":
            return f"{name} IS {kind.upper()}"
        case "bare":
            return name
        case "is true" | "is not true" | "is false" | "is not false":
            return f"{name} {kind.upper()}"
        case "in" | "not in":
            values = draw(st.lists(value, min_size=1, max_size=4))
            return f"{name} {kind.upper()} ({', '.join(values)})"
        case "between":
            negated = draw(st.sampled_from(["", "NOT "]))
            return f"{name} {negated}BETWEEN {draw(value)} AND {draw(value)}"
        case "like" | "not like" | "ilike" | "not ilike":
            patterns = [
                p for p in _PATTERNS if p.isascii() or "ilike" not in kind
            ]  # no ILIKE beyond ASCII
            return f"{name} {kind.upper()} {quote(draw(st.sampled_from(patterns)))}"
    if draw(st.integers(0, 5)) == 0:
        return f"{draw(value)} {kind} {name}"
    return f"{name} {kind} {draw(value)}"


@st.composite
def condition(draw: st.DrawFn, table: Table, params: list[str], depth: int = 2) -> str:
    kind = draw(st.sampled_from(["atom", "atom", "and", "or", "not"] if depth else ["atom"]))
    if kind == "atom":
        return draw(atom(table, params))
    below = condition(table, params, depth - 1)
    if kind == "not":
        return f"NOT ({draw(below)})"
    parts = draw(st.lists(below, min_size=2, max_size=3))
    return "(" + f" {kind.upper()} ".join(parts) + ")"


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Most are on the first table, which has the most to offer."""
    table = draw(st.sampled_from((TABLES[0], *TABLES)))
    params: list[str] = []
    where = draw(condition(table, params)) if draw(st.integers(0, 9)) else None
    columns = None
    if table.has_primary_key and draw(st.integers(0, 2)) == 0:
        chosen = draw(st.sets(st.sampled_from([c.name for c in table.payload]), max_size=4))
        columns = (*table.key, *sorted(chosen))
    replica = draw(st.sampled_from([None, None, "default", "full", "full"]))
    return Shape(table, where, tuple(params), columns, replica)
