"""The queries of shapes with subqueries: what the subqueries give, tags in Postgres, and the rows of a move.

In a snapshot the subqueries are Postgres's own. The query for a move instead spells out what the log has
been told of them, and is going to be told: what they give while it runs may be something else again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from django_electric.postgres.relation import quote_identifier, quote_literal
from django_electric.shapes.definition import ShapeDefinition, StoredColumn
from django_electric.shapes.members import Value
from django_electric.where.plan import Contained, Literal, Plain, Plan

LeafSql = Callable[[Contained], str]
_FORMS = {
    "in": "{}",
    "not in": "NOT {}",
    "not true": "{} IS NOT TRUE",
    "not false": "{} IS NOT FALSE",
}


class Part(NamedTuple):
    """A piece of a log entry: text, or an SQL expression for it."""

    is_text: bool
    sql: str


def table_sql(definition: ShapeDefinition) -> str:
    """The table in a FROM."""
    only = "" if definition.is_partitioned else "ONLY "
    return f"{only}{quote_identifier(definition.schema)}.{quote_identifier(definition.table)}"


def condition_sql(plan: Plan, leaf: LeafSql) -> str:
    """The whole condition, its subqueries as *leaf* writes them."""
    return " OR ".join(
        "(" + " AND ".join(_literal_sql(literal, leaf) for literal in literals) + ")"
        for literals in plan.alternatives
    )


def _literal_sql(literal: Literal, leaf: LeafSql) -> str:
    return f"({literal.where.sql if isinstance(literal, Plain) else leaf(literal)})"


def subselects(definition: ShapeDefinition) -> LeafSql:
    """Literals with the subqueries themselves."""
    selects = [one.subselect for one in definition.dependencies]

    def leaf(literal: Contained) -> str:
        inside = f"({_row(literal.columns)} IN ({selects[literal.dependency]}))"
        return _FORMS[literal.membership].format(inside)

    return leaf


def members_statement(definition: ShapeDefinition) -> str:
    """How often a subquery gives each of its rows; see `counts_statement`."""
    return counts_statement(definition, definition.columns, definition.where)


def counts_statement(
    definition: ShapeDefinition, columns: Sequence[str], condition: str | None
) -> str:
    """How often the *columns* of a table have which values where *condition* is true: the count, then their texts."""
    types = {c.name: c for c in definition.relation_columns}
    texts = ", ".join(_text_or_null(types[name]) for name in columns)
    places = ", ".join(str(at + 2) for at in range(len(columns)))
    where = f" WHERE ({condition})" if condition else ""
    return f"SELECT count(*), {texts} FROM {table_sql(definition)}{where} GROUP BY {places}"  # noqa: S608  # quoted


def _text_or_null(column: StoredColumn) -> str:
    name = quote_identifier(column.name)
    return f"CASE WHEN {name} IS NULL THEN NULL ELSE concat({name}) END"


# --- What the log has been told, spelt out ------------------------------------------------------------


def told_sql(rows: Sequence[Iterable[Value]]) -> LeafSql:
    """Literals with the *rows* that each of the subqueries is taken to give."""

    # Written now: the rows may be others by the time that it is asked for.
    listed = [", ".join(map(_value, some)) for some in rows]

    def leaf(literal: Contained) -> str:
        some = listed[literal.dependency]
        inside = f"({_row(literal.columns)} IN ({some}))" if some else "(false)"
        return _FORMS[literal.membership].format(inside)

    return leaf


def _among(columns: Sequence[str], rows: Iterable[Value]) -> str:
    return f"{_row(columns)} IN ({', '.join(map(_value, rows))})"


def like_sql(columns: Sequence[str], values: Iterable[Value]) -> str:
    """Whether the columns are, NULL for NULL, like one of the values."""
    whole: list[Value] = []
    others: list[Value] = []
    for value in values:
        (others if None in value else whole).append(value)
    arms = [_among(columns, whole)] if whole else []
    for value in others:
        tests = (
            f"{quote_identifier(name)} IS NULL"
            if text is None
            else f"{quote_identifier(name)} = {quote_literal(text)}"
            for name, text in zip(columns, value, strict=True)
        )
        arms.append("(" + " AND ".join(tests) + ")")
    return "(" + " OR ".join(arms) + ")" if arms else "false"


def _row(columns: Sequence[str]) -> str:
    names = ", ".join(map(quote_identifier, columns))
    return names if len(columns) == 1 else f"({names})"


def _value(value: Value) -> str:
    texts = ["NULL" if text is None else quote_literal(text) for text in value]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


# --- Tags ---------------------------------------------------------------------------------------------


def tag_parts(definition: ShapeDefinition, plan: Plan, salt: str, leaf: LeafSql) -> list[Part]:
    """``tags`` and ``active_conditions`` of a row that matches, from the comma on."""
    types = {c.name: c for c in definition.relation_columns}
    parts = [Part(is_text=True, sql=',"tags":[')]
    before, after = 0, sum(map(len, plan.alternatives))
    for number, literals in enumerate(plan.alternatives):
        after -= len(literals)
        parts.append(Part(is_text=True, sql=("," if number else "") + '"' + "/" * before))
        for at, literal in enumerate(literals):
            slash = "/" if at else ""
            if isinstance(literal, Plain):
                parts.append(Part(is_text=True, sql=slash + "1"))
            else:
                parts.append(Part(is_text=True, sql=slash))
                names = definition.dependencies[literal.dependency].columns
                columns = [types[name] for name in literal.columns]
                parts.append(Part(is_text=False, sql=_hash_sql(salt, names, columns)))
        parts.append(Part(is_text=True, sql="/" * after + '"'))
        before += len(literals)
    parts.append(Part(is_text=True, sql='],"active_conditions":['))
    for number, literal in plan.literals():
        parts.append(Part(is_text=True, sql="," if number else ""))
        if len(plan.alternatives) == 1:
            # All of them are true of a row that matches.
            parts.append(Part(is_text=True, sql="true"))
        else:
            truth = f"CASE WHEN {_literal_sql(literal, leaf)} THEN 'true' ELSE 'false' END"
            parts.append(Part(is_text=False, sql=truth))
    parts.append(Part(is_text=True, sql="]"))
    return parts


def _hash_sql(salt: str, names: Sequence[str], columns: Sequence[StoredColumn]) -> str:
    """As `tags.hash_of` makes it."""
    pieces = [quote_literal(salt)]
    for name, column in zip(names, columns, strict=True):
        if len(columns) > 1:
            pieces.append(quote_literal(f"{name}:"))
        null = f"{quote_identifier(column.name)} IS NULL"
        pieces.append(
            f"CASE WHEN {null} THEN 'NULL' ELSE concat('v:', {_canonical_sql(column)}) END"
        )
    return f"md5({' || '.join(pieces)})"


def _canonical_sql(column: StoredColumn) -> str:
    """The text that all equal values have (`members.canonical`)."""
    name = quote_identifier(column.name)
    if column.type_name == "numeric":
        return f"trim_scale({name})"
    if column.type_name in ("float4", "float8"):
        return f"{name} + 0::{column.type_name}"  # -0 is 0
    if column.type_name == "bpchar":
        return f"{name}::text"
    return name
