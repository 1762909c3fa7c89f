"""The text of a where clause as a tree, and that of an ORDER BY as a list; the only module that knows pglast.

The clause is parsed as ``SELECT 1 WHERE <clause>``. Its errors name the place: syntax errors by the
offset in that whole text, all others by the offset in the clause (WHERE.md section 2). An ORDER BY's
errors all name the offset in what the client wrote (section 17).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping
from typing import NamedTuple, NoReturn, cast

from pglast.parser import ParseError, parse_sql_json

from django_electric.postgres.values import is_text
from django_electric.where.errors import SubqueryError, WhereError
from django_electric.where.nodes import (
    Alternatives,
    Bounds,
    Choice,
    Conversion,
    Distinction,
    Indexing,
    Invocation,
    Junction,
    Likeness,
    Listing,
    Literal,
    Membership,
    Number,
    Operation,
    Parameter,
    Quantification,
    Range,
    Reference,
    RowValue,
    Scope,
    SortKey,
    Subquery,
    Syntax,
    Test,
    Truth,
)
from django_electric.where.rewriting import Source
from django_electric.where.subqueries import check, column_name, selected, table_of

_PREFIX = "SELECT 1 WHERE "
_ORDER_PREFIX = "SELECT 1 ORDER BY "
_LONGEST_ORDER = 65_536
"""Bytes."""
_MAX_DEPTH = 50
"""Deeper nesting is refused: Python's own compiler gives up at 200 parentheses."""

Json = Mapping[str, object]
"""A node of libpg_query: members that hold their default are absent."""


class _Context(NamedTuple):
    """What is known of the clause that an expression is part of."""

    depth: int
    """How much deeper it may go."""
    source: Source
    scope: Scope | None

    def deeper(self) -> _Context:
        return self._replace(depth=self.depth - 1)


def parse(text: str, scope: Scope | None = None) -> Syntax:
    """The condition that *text* writes; without a *scope* it can have no subqueries. Raises WhereError."""
    context = _Context(_MAX_DEPTH, Source(text), scope)
    return _expression(_condition(_tree(_PREFIX, text, 0)), context)


def has_subqueries(text: str) -> bool:
    """Whether there is a subquery anywhere in *text*, if it is a condition at all.

    >>> has_subqueries("a IN (SELECT b FROM t)"), has_subqueries("a = 'IN (SELECT'"), has_subqueries("a (")
    (True, False, False)
    """
    try:
        # In a string of JSON there is a backslash before each quote.
        return is_text(text) and '"SubLink":' in parse_sql_json(_PREFIX + text)
    except ParseError:
        return False


def _tree(prefix: str, text: str, hidden: int) -> Json:
    """The syntax tree of *prefix* and *text*; the place of an error does not count *hidden* characters."""
    if not is_text(text):
        raise WhereError('invalid byte sequence for encoding "UTF8"', is_final=True)
    try:
        return cast(Json, json.loads(parse_sql_json(prefix + text)))
    except ParseError as error:
        message, position = error.args
        if message == "stack depth limit exceeded":
            raise WhereError("expression is nested too deeply", is_final=True) from None
        at = len(prefix + text) if position is None else position
        raise WhereError(message, at=max(at - hidden, 0), is_final=True) from None
    except RecursionError:
        raise WhereError("expression is nested too deeply", is_final=True) from None


def _condition(tree: Json) -> Json:
    """The WHERE of the one SELECT that may be there, and nothing beside it."""
    statements = cast(list[Json], tree["stmts"])
    if len(statements) > 1:
        raise WhereError('unescaped ";" causing statement split', is_final=True)
    if "stmt_len" in statements[0]:
        at = cast(int, statements[0]["stmt_len"])
        raise WhereError('syntax error at or near ";"', at=at, is_final=True)
    select = _member(_member(statements[0], "stmt"), "SelectStmt")
    if (
        select.keys() - {"targetList", "whereClause", "limitOption", "op"}
        or select["op"] != "SETOP_NONE"
    ):
        raise WhereError("malformed query ending with SQL clauses", is_final=True)
    return _member(select, "whereClause")


# --- ORDER BY -----------------------------------------------------------------------------------


def parse_order_by(text: str, columns: Container[str]) -> tuple[SortKey, ...]:
    """What *text* sorts by: plain *columns* (WHERE.md section 17). Raises WhereError.

    Constants, which sort nothing, and columns that come a second time are passed over.

    >>> parse_order_by("Name DESC NULLS LAST, 1", {"name"})
    (SortKey(column='name', direction='DESC', nulls='LAST'),)
    """
    if len(text.encode(errors="replace")) > _LONGEST_ORDER:
        raise WhereError(f"clause is bigger than maximum size of {_LONGEST_ORDER} bytes")
    tree = _tree(_ORDER_PREFIX, text, len(_ORDER_PREFIX))
    statements = _members(tree, "stmts")
    if len(statements) > 1 or "stmt_len" in statements[0]:
        raise WhereError("Unexpected `;` in order by")
    select = _member(_member(statements[0], "stmt"), "SelectStmt")
    if select.keys() - {"targetList", "sortClause", "limitOption", "op"}:
        raise WhereError("malformed query ending with SQL clauses", is_final=True)
    keys: dict[str, SortKey] = {}
    for item in _members(select, "sortClause"):
        key = _sort_key(_member(item, "SortBy"), columns)
        if key is not None:
            keys.setdefault(key.column, key)
    return tuple(keys.values())


def _sort_key(item: Json, columns: Container[str]) -> SortKey | None:
    ((kind, body),) = _member(item, "node").items()
    node = cast(Json, body)
    at = max(cast(int, node.get("location", 0)) - len(_ORDER_PREFIX), 0)
    if kind == "ParamRef":
        number = node.get("number", 0)
        raise WhereError(f"parameter ${number} is not supported in ORDER BY clauses", at=at)
    if kind not in ("ColumnRef", "A_Const"):
        raise WhereError(f"{kind} expressions are not allowed in ORDER BY clauses", at=at)
    if "useOp" in item:
        raise WhereError("USING is not supported in ORDER BY clauses", at=at)
    if kind == "A_Const":
        return None
    names = _names(node, "fields")
    if len(names) > 1 or names[0] not in columns:
        raise WhereError(f"unknown reference {'.'.join(name or '*' for name in names)}", at=at)
    return SortKey(names[0], _last_word(item, "sortby_dir"), _last_word(item, "sortby_nulls"))


def _last_word(item: Json, name: str) -> str:
    """``SORTBY_NULLS_LAST`` → ``LAST``; empty for the default."""
    return _string(item, name).rpartition("_")[2].replace("DEFAULT", "")


# --- reading libpg_query's JSON ---------------------------------------------------------------


def _member(node: Json, name: str) -> Json:
    return cast(Json, node.get(name, {}))


def _members(node: Json, name: str) -> list[Json]:
    return cast(list[Json], node.get(name, []))


def _string(node: Json, name: str) -> str:
    return cast(str, node.get(name, ""))


def _at(node: Json) -> int:
    return max(cast(int, node.get("location", 0)) - len(_PREFIX), 0)


def _names(node: Json, name: str) -> list[str]:
    return [_string(_member(part, "String"), "sval") for part in _members(node, name)]


def _unqualified(names: list[str]) -> str:
    return ".".join(names[1:] if names[0] == "pg_catalog" and len(names) > 1 else names)


def _refuse(reason: str, node: Json) -> NoReturn:
    raise WhereError(reason, at=_at(node))


# --- one function per kind of node --------------------------------------------------------------


def _expression(node: Json, context: _Context) -> Syntax:
    if not context.depth:
        raise WhereError("expression is nested too deeply", is_final=True)
    ((kind, body),) = node.items()
    read = _READERS.get(kind)
    if read is None:
        _refuse(f"{kind} is not supported in this context", cast(Json, body))
    return read(cast(Json, body), context.deeper())


def _constant(node: Json, context: _Context) -> Syntax:
    if "sval" in node:
        return Literal(_string(_member(node, "sval"), "sval"), _at(node))
    if "ival" in node:
        return Number(str(_member(node, "ival").get("ival", 0)), _at(node))
    if "fval" in node:
        return Number(_string(_member(node, "fval"), "fval"), _at(node))
    if "boolval" in node:
        return Truth(bool(_member(node, "boolval")), _at(node))
    if "isnull" in node:
        return Literal(None, _at(node))
    _refuse("BitString values are not supported", node)


def _reference(node: Json, context: _Context) -> Syntax:
    if any("A_Star" in field for field in _members(node, "fields")):
        _refuse("A_Star is not supported in this context", node)
    return _column(node, context)


def _column(node: Json, context: _Context) -> Reference:
    return Reference(column_name(_names(node, "fields"), context.scope, _at(node)), _at(node))


def _parameter(node: Json, context: _Context) -> Syntax:
    return Parameter(cast(int, node.get("number", 0)), _at(node))


def _conversion(node: Json, context: _Context) -> Syntax:
    wanted = _member(node, "typeName")
    name = _unqualified(_names(wanted, "names"))
    if name == "char":
        # The keyword is bpchar by now: what is left is the type of one byte.
        name = '"char"'
    modifier = tuple(_modifier(one, name, wanted) for one in _members(wanted, "typmods"))
    if "arrayBounds" in wanted:
        name += "[]"
    return Conversion(_expression(_member(node, "arg"), context), name, _at(wanted), modifier)


def _modifier(one: Json, name: str, wanted: Json) -> int:
    constant = _member(one, "A_Const")
    if "ival" not in constant or name == "interval":
        _refuse(f"unsupported type {name} with a modifier", wanted)
    return cast(int, _member(constant, "ival").get("ival", 0))


def _junction(node: Json, context: _Context) -> Syntax:
    operands = tuple(_expression(operand, context) for operand in _members(node, "args"))
    return Junction(_string(node, "boolop").removesuffix("_EXPR"), operands, _at(node))


def _null_test(node: Json, context: _Context) -> Syntax:
    operand = _expression(_member(node, "arg"), context)
    return Test(operand, "NULL", node["nulltesttype"] == "IS_NOT_NULL", _at(node))


def _truth_test(node: Json, context: _Context) -> Syntax:
    words = _string(node, "booltesttype").split("_")
    return Test(_expression(_member(node, "arg"), context), words[-1], "NOT" in words, _at(node))


def _operation(node: Json, context: _Context) -> Syntax:
    kind, name = _string(node, "kind"), _unqualified(_names(node, "name"))
    read = _OPERATIONS.get(kind)
    if read is None:
        _refuse(f'expression "{name}" of :{kind} is not currently supported', node)
    return read(name, node, context)


def _operator(name: str, node: Json, context: _Context) -> Syntax:
    if name in _LIKE_OPERATORS and "lexpr" in node:
        return _likeness(name, node, context)
    sides = [_member(node, side) for side in ("lexpr", "rexpr") if side in node]
    return Operation(name, tuple(_expression(side, context) for side in sides), _at(node))


def _quantification(name: str, node: Json, context: _Context) -> Syntax:
    left, right = (_expression(_member(node, side), context) for side in ("lexpr", "rexpr"))
    return Quantification(name, left, right, node["kind"] == "AEXPR_OP_ALL", _at(node))


def _null_if(name: str, node: Json, context: _Context) -> Syntax:
    sides = tuple(_expression(_member(node, side), context) for side in ("lexpr", "rexpr"))
    return Alternatives("NULLIF", sides, _at(node))


def _distinction(name: str, node: Json, context: _Context) -> Syntax:
    left, right = _member(node, "lexpr"), _member(node, "rexpr")
    is_negated = node["kind"] == "AEXPR_NOT_DISTINCT"
    return Distinction(
        _expression(left, context), _expression(right, context), is_negated, _at(node)
    )


def _listed(node: Json, context: _Context) -> tuple[Syntax, ...]:
    items = _members(_member(_member(node, "rexpr"), "List"), "items")
    return tuple(_expression(item, context) for item in items)


def _membership(name: str, node: Json, context: _Context) -> Syntax:
    operand = _expression(_member(node, "lexpr"), context)
    return Membership(operand, _listed(node, context), name == "<>", _at(node))


def _range(name: str, node: Json, context: _Context) -> Syntax:
    operand = _expression(_member(node, "lexpr"), context)
    low, high = _listed(node, context)
    return Range(operand, low, high, "NOT" in name, "SYMMETRIC" in name, _at(node))


_LIKE_OPERATORS = {
    "~~": (False, False),
    "!~~": (True, False),
    "~~*": (False, True),
    "!~~*": (True, True),
}


def _likeness(name: str, node: Json, context: _Context) -> Syntax:
    pattern, escape = _member(node, "rexpr"), None
    call = _member(pattern, "FuncCall")
    if (
        call
        and _unqualified(_names(call, "funcname")) == "like_escape"
        and node["kind"] != "AEXPR_OP"
    ):
        pattern, escape_node = _members(call, "args")
        escape = _expression(escape_node, context)
    operand = _expression(_member(node, "lexpr"), context)
    return Likeness(
        operand, _expression(pattern, context), escape, *_LIKE_OPERATORS[name], _at(node)
    )


_AGGREGATION = {"agg_star", "agg_distinct", "agg_filter", "agg_order", "agg_within_group", "over"}


def _call(node: Json, context: _Context) -> Syntax:
    name = _unqualified(_names(node, "funcname"))
    if node.keys() & _AGGREGATION:
        _refuse("aggregation is not supported in this context", node)
    if "func_variadic" in node:
        _refuse("explicit VARIADIC function calls are not currently supported", node)
    arguments = tuple(_expression(one, context) for one in _members(node, "args"))
    return Invocation(name, arguments, _at(node))


def _choice(node: Json, context: _Context) -> Syntax:
    arms = [_member(one, "CaseWhen") for one in _members(node, "args")]
    pairs = tuple(
        (_expression(_member(arm, "expr"), context), _expression(_member(arm, "result"), context))
        for arm in arms
    )
    ends = [
        _expression(_member(node, n), context) if n in node else None for n in ("arg", "defresult")
    ]
    return Choice(ends[0], pairs, ends[1], _at(node))


def _alternatives(node: Json, context: _Context) -> Syntax:
    what = _string(node, "op").removeprefix("IS_") or "COALESCE"
    operands = tuple(_expression(one, context) for one in _members(node, "args"))
    return Alternatives(what, operands, _at(node))


def _listing(node: Json, context: _Context) -> Syntax:
    items = tuple(_expression(one, context) for one in _members(node, "elements"))
    return Listing(items, _at(node))


def _row(node: Json, context: _Context) -> Syntax:
    members = tuple(_expression(one, context) for one in _members(node, "args"))
    return RowValue(members, _at(node))


def _indexing(node: Json, context: _Context) -> Syntax:
    parts = _members(node, "indirection")
    if any("A_Indices" not in part for part in parts):
        _refuse("A_Indirection is not supported in this context", node)
    operand = _expression(_member(node, "arg"), context)
    subscripts = tuple(_subscript(_member(part, "A_Indices"), context) for part in parts)
    return Indexing(operand, subscripts, operand.at)


def _subscript(node: Json, context: _Context) -> Syntax | Bounds:
    low, high = (
        _expression(_member(node, end), context) if end in node else None
        for end in ("lidx", "uidx")
    )
    if node.get("is_slice"):
        return Bounds(low, high)
    assert high is not None
    return high


def _subquery(node: Json, context: _Context) -> Syntax:
    if node.get("subLinkType") != "ANY_SUBLINK" or "operName" in node:
        message = "only `value IN (SELECT ...)` sublinks are supported right now"
        raise WhereError(message, at=_at(node), is_final=True)
    left, select = _member(node, "testexpr"), _member(_member(node, "subselect"), "SelectStmt")
    check(left, select)
    if context.scope is None:
        raise SubqueryError("SubLink is not supported in this context", at=_at(node), is_final=True)
    row = _members(_member(left, "RowExpr"), "args") if "RowExpr" in left else [left]
    table, names = table_of(select)
    scope = context.scope.inside(names)
    statement = context.source.statement(_at(node), has_condition="whereClause" in select)
    return Subquery(
        tuple(_column(_member(one, "ColumnRef"), context) for one in row),
        *table,
        tuple(selected(select, scope)),
        statement.condition,
        scope,
        statement.text,
        _at(node),
    )


_READERS: Mapping[str, Callable[[Json, _Context], Syntax]] = {
    "A_ArrayExpr": _listing,
    "A_Const": _constant,
    "A_Indirection": _indexing,
    "A_Expr": _operation,
    "BoolExpr": _junction,
    "BooleanTest": _truth_test,
    "CaseExpr": _choice,
    "CoalesceExpr": _alternatives,
    "ColumnRef": _reference,
    "FuncCall": _call,
    "MinMaxExpr": _alternatives,
    "NullTest": _null_test,
    "ParamRef": _parameter,
    "RowExpr": _row,
    "SubLink": _subquery,
    "TypeCast": _conversion,
}

_OPERATIONS: Mapping[str, Callable[[str, Json, _Context], Syntax]] = {
    "AEXPR_OP": _operator,
    "AEXPR_OP_ANY": _quantification,
    "AEXPR_OP_ALL": _quantification,
    "AEXPR_NULLIF": _null_if,
    "AEXPR_SIMILAR": _operator,
    "AEXPR_DISTINCT": _distinction,
    "AEXPR_NOT_DISTINCT": _distinction,
    "AEXPR_IN": _membership,
    "AEXPR_LIKE": _likeness,
    "AEXPR_ILIKE": _likeness,
    "AEXPR_BETWEEN": _range,
    "AEXPR_NOT_BETWEEN": _range,
    "AEXPR_BETWEEN_SYM": _range,
    "AEXPR_NOT_BETWEEN_SYM": _range,
}
