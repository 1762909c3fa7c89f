"""Asks Postgres what it makes of a where clause that is not understood here.

A temporary view with the clause is made and thrown away at once. Postgres has then resolved every
name, operator and cast; the view's text has all of that written out, and its tree tells which
functions would run. A clause passes if none of them can change its answer while the row stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from django_electric.postgres.display import LOCAL_DISPLAY_SETTINGS
from django_electric.postgres.relation import Relation, quote_identifier
from django_electric.where.delegated import Analysis
from django_electric.where.errors import WhereError
from django_electric.where.rewriting import reads_the_clock, with_parameters, without_prefix


class Cursor(Protocol):
    """What is needed of a cursor: Django's and psycopg's both have it."""

    def execute(
        self, query: str, params: Sequence[str | int] | Mapping[str, str | int], /
    ) -> object: ...

    def fetchall(self) -> Sequence[Sequence[object]]: ...


_ALIAS = "electric_row"
_VIEW = "electric_clause"

_NODE_NAMES = (
    "ALIAS ARRAY ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASE CASEEXPR CASETESTEXPR CASEWHEN COALESCE"
    " COALESCEEXPR COERCETODOMAIN COERCETODOMAINVALUE COERCEVIAIO COLLATE COLLATEEXPR CONST DISTINCTEXPR"
    " FIELDSELECT FROMEXPR FUNCEXPR MINMAX MINMAXEXPR NULLIFEXPR NULLTEST OPEXPR QUERY RANGETBLENTRY"
    " RANGETBLREF RELABELTYPE ROW ROWCOMPARE ROWCOMPAREEXPR ROWEXPR RTE RTEPERMISSIONINFO SCALARARRAYOPEXPR"
    " SUBSCRIPTINGREF TARGETENTRY VAR WHEN"
)
_NODES = frozenset(_NODE_NAMES.split())
"""Kinds of nodes that can be in a condition which asks nothing but the row."""
_REFUSED_NODES: Mapping[str, str] = {
    "SQLVALUEFUNCTION": "current_date, current_time, current_user and the like are stable",
    "SUBLINK": "subqueries are not supported",
}

_PINNED_NAMES = (
    "age anytextcat array_in array_out array_to_json array_to_string concat concat_ws date date_cmp_timestamptz date_eq_timestamptz"
    " date_ge_timestamptz date_gt_timestamptz date_le_timestamptz date_lt_timestamptz date_ne_timestamptz"
    " date_in date_out date_part date_trunc domain_out enum_in enum_out extract format interval_in interval_out"
    " interval_pl_timestamptz json_build_array json_build_object jsonb_build_array jsonb_build_object"
    " overlaps textanycat time time_in time_out timestamp timestamp_in timestamp_cmp_timestamptz timestamp_eq_timestamptz"
    " timestamp_ge_timestamptz timestamp_gt_timestamptz timestamp_le_timestamptz timestamp_lt_timestamptz"
    " timestamp_ne_timestamptz timestamp_out timestamptz timestamptz_in timestamptz_cmp_date timestamptz_eq_date"
    " timestamptz_ge_date timestamptz_gt_date timestamptz_le_date timestamptz_lt_date timestamptz_mi_interval"
    " timestamptz_ne_date timestamptz_out timestamptz_pl_interval timestamptz_cmp_timestamp"
    " timestamptz_eq_timestamp timestamptz_ge_timestamp timestamptz_gt_timestamp timestamptz_le_timestamp"
    " timestamptz_lt_timestamp timestamptz_ne_timestamp timetz timetz_out timezone to_char to_json to_jsonb"
    " row_to_json"
)
_STABLE_BUT_PINNED = frozenset(_PINNED_NAMES.split())
"""Functions of Postgres that are stable because they depend on the time zone and on how values are shown:
both are the same in every session of ours (PROTOCOL section 4.8)."""

_NODE = re.compile(r"(?<!\\)\{([A-Z_]+) ")
_FUNCTION = re.compile(r"(?<!\\) :(?:op)?funcid (\d+)")
_ROW_OPERATORS = re.compile(r"(?<!\\) :opnos \(o((?: \d+)*)\)")
_ATTRIBUTE = re.compile(r"(?<!\\)\{VAR :varno \d+ :varattno (-?\d+)")
_RESULT = re.compile(r"(?<!\\) :resulttype (\d+)")
_TYPES = re.compile(r"(?<!\\) :(?:vartype|consttype|funcresulttype|opresulttype|resulttype) (\d+)")
_WHERE = re.compile(r"\n  WHERE\s+")

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attgenerated = 'v' OR (a.attgenerated <> '' AND pg_catalog.current_setting('server_version_num')::int < 180000),
       EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = 'text'::pg_catalog.regtype
                  AND k.casttarget = a.atttypid AND k.castmethod = 'f' AND k.oid >= 16384)
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %s AND a.attnum = ANY(%s::int2[])
 ORDER BY a.attnum
"""
# The functions that run when a value of one type is read from the text of one of another are not named
# by the tree: those of all types in it are looked at.
_CALLED = """
SELECT p.oid::pg_catalog.regproc::text, p.provolatile, n.nspname = 'pg_catalog', p.proname
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE p.provolatile <> 'i' AND p.oid IN (
        SELECT unnest(%(functions)s::oid[])
  UNION SELECT oprcode FROM pg_catalog.pg_operator WHERE oid = ANY(%(operators)s::oid[])
  UNION SELECT typinput FROM pg_catalog.pg_type WHERE oid = ANY(%(read)s::oid[])
  UNION SELECT typoutput FROM pg_catalog.pg_type WHERE oid = ANY(%(printed)s::oid[]))
 ORDER BY 1
"""


def analyse(
    cursor: Cursor, relation: Relation, text: str, params: Mapping[int, str] | None = None
) -> Analysis:
    """What Postgres makes of the condition *text* on *relation*, *params* being the values of its ``$1``….

    To be called in a transaction that is rolled back afterwards. *text* must have been parsed as one
    condition. Raises WhereError if the clause may answer otherwise tomorrow, and the driver's errors
    if Postgres refuses it.
    """
    cursor.execute("SET LOCAL standard_conforming_strings = on", ())
    cursor.execute(LOCAL_DISPLAY_SETTINGS, ())
    table = f"{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"
    query = f"SELECT 1 AS one FROM ONLY {table} AS {_ALIAS} WHERE (\n"  # noqa: S608  # what follows is one condition
    if params:
        types = _parameter_types(cursor, f"{query}{text}\n)")
        text = with_parameters(text, params, types)
    _execute(cursor, f"CREATE TEMPORARY VIEW {_VIEW} AS {query}{text}\n)")
    # Constant expressions that fail do so when the query is planned.
    _execute(cursor, f"EXPLAIN SELECT * FROM pg_temp.{_VIEW}")  # noqa: S608  # our own name
    cursor.execute("SET LOCAL search_path = ''", ())
    cursor.execute(
        "SELECT pg_catalog.pg_get_viewdef(c.oid), r.ev_action::text"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid"
        " WHERE c.oid = %s::pg_catalog.regclass",
        (f"pg_temp.{_VIEW}",),
    )
    ((printed, tree),) = cast(Sequence[tuple[str, str]], cursor.fetchall())
    _check_nodes(tree)
    _check_functions(cursor, tree)
    sql = without_prefix(_WHERE.split(printed, maxsplit=1)[1].strip().removesuffix(";"), _ALIAS)
    if reads_the_clock(text, sql):
        raise WhereError(
            "a literal of the clause is the present date or time, which is not constant"
        )
    return Analysis(sql, _columns(cursor, relation, tree))


def _execute(cursor: Cursor, statement: str) -> None:
    cursor.execute(statement.replace("%", "%%"), ())


def _parameter_types(cursor: Cursor, query: str) -> Sequence[str]:
    """Of ``$1``…, as Postgres infers them; a parameter that is not used has a type all the same."""
    _execute(cursor, f"PREPARE {_VIEW} AS {query}")
    cursor.execute(
        "SELECT t::text FROM pg_catalog.pg_prepared_statements, unnest(parameter_types) t WHERE name = %s",
        (_VIEW,),
    )
    types = [str(name) for (name,) in cursor.fetchall()]
    _execute(cursor, f"DEALLOCATE {_VIEW}")
    return types


def _check_nodes(tree: str) -> None:
    for kind in dict.fromkeys(_NODE.findall(tree)):
        if kind not in _NODES:
            raise WhereError(_REFUSED_NODES.get(kind, f"{kind} is not supported in this context"))


def _check_functions(cursor: Cursor, tree: str) -> None:
    reads_text = "{COERCEVIAIO " in tree
    operators = [number for found in _ROW_OPERATORS.findall(tree) for number in found.split()]
    wanted = {
        "functions": _FUNCTION.findall(tree),
        "operators": operators,
        "read": _RESULT.findall(tree) if reads_text else [],
        "printed": _TYPES.findall(tree) if reads_text else [],
    }
    # Lists of numbers as array literals: both drivers' cursors take them.
    cursor.execute(_CALLED, {name: _array(oids) for name, oids in wanted.items()})
    for name, volatility, is_builtin, plain_name in cursor.fetchall():
        if volatility == "s" and is_builtin and plain_name in _STABLE_BUT_PINNED:
            continue
        kind = "volatile" if volatility == "v" else "stable"
        raise WhereError(
            f"function {str(name).removeprefix('pg_catalog.')} is {kind}: its answer can change without a change of the row"
        )


def _array(numbers: Sequence[str]) -> str:
    return "{" + ",".join(dict.fromkeys(numbers)) + "}"


def _columns(cursor: Cursor, relation: Relation, tree: str) -> tuple[str, ...]:
    numbers = _ATTRIBUTE.findall(tree)
    if any(int(number) <= 0 for number in numbers):
        raise WhereError("system columns and whole rows are not supported")
    cursor.execute(_COLUMNS, (relation.oid, _array(numbers)))
    rows = cast(Sequence[tuple[str, str, bool, bool]], cursor.fetchall())
    for name, type_name, is_unseen, has_own_cast in rows:
        if is_unseen:
            raise WhereError(f'column "{name}" is generated: its values are not in the stream')
        if has_own_cast:
            raise WhereError(
                f"a text is not read as {type_name} the way that Postgres reads what it prints"
            )
    return tuple(row[0] for row in rows)
