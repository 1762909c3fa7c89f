"""Conditions with subqueries: how they are read, and the plan that is made of them (WHERE.md section 14)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_electric.where import (
    Contained,
    Plain,
    Plan,
    Scope,
    Subqueries,
    Subquery,
    SubqueryError,
    Subselected,
    Where,
    WhereError,
    has_subqueries,
    parse_where,
    plan_of,
    table_names,
)
from django_electric.where.nodes import Within, children, subselects
from django_electric.where.types import EnumName

TYPES = {
    "x": "int4",
    "y": "int4",
    "n": "int4",
    "t": "text",
    "a": "bool",
    "b": "bool",
    "mood": EnumName("public.mood", ("sad", "ok")),
    "doc": "jsonb",
}
INNER = {"id": "int4", "big": "int8", "name": "text", "on": "bool", "tags": "text[]", **TYPES}
BOTH_POLARITIES = "a subquery dependency cannot be used with both positive and negative polarity in the same filter"


def read(subquery: Subquery) -> Subselected:
    """Every table has the columns of `INNER`."""
    condition = ""
    if subquery.condition is not None:
        inner = Subqueries(subquery.scope, read)
        condition = (
            f" WHERE {parse_where(subquery.condition, INNER, {'1': '7'}, subqueries=inner).sql}"
        )
    names = ", ".join(subquery.columns)
    sql = f"SELECT {names} FROM {subquery.schema or 'public'}.{subquery.table}{condition}"
    return Subselected(sql, tuple(INNER[name] for name in subquery.columns))


SUBQUERIES = Subqueries(Scope(table_names("public", "items")), read)


def parsed(text: str) -> Where:
    return parse_where(text, TYPES, {"1": "7"}, subqueries=SUBQUERIES)


def planned(text: str) -> Plan:
    where = parsed(text)
    return plan_of(where.tree, where.subselects)


def said(text: str) -> list[list[str]]:
    """The plan of *text* as texts."""
    return [[_said(one) for one in literals] for literals in planned(text).alternatives]


def _said(literal: Contained | Plain) -> str:
    if isinstance(literal, Plain):
        return literal.where.sql
    return f"{','.join(literal.columns)} {literal.membership} {literal.dependency}"


def refusal(text: str) -> str:
    with pytest.raises(WhereError) as refused:
        planned(text)
    assert refused.value.is_final
    return refused.value.message


# --- What is read -----------------------------------------------------------------------------------

S = "SELECT id FROM public.s"
READ = {
    "x IN (SELECT id FROM s)": f'"x" IN ({S})',
    "X iN(select ID fRoM S)": f'"x" IN ({S})',
    "x IN ((SELECT id FROM s))": f'"x" IN ({S})',
    "x NOT IN (SELECT id FROM s)": f'NOT ("x" IN ({S}))',
    "NOT x IN (SELECT id FROM s)": f'NOT ("x" IN ({S}))',
    "NOT x NOT IN (SELECT id FROM s)": f'"x" IN ({S})',
    "x IN (SELECT id FROM ONLY public.s)": f'"x" IN ({S})',
    "x IN (SELECT id FROM app.s)": '"x" IN (SELECT id FROM app.s)',
    "x IN (SELECT id AS foo FROM s AS bar)": f'"x" IN ({S})',
    "x IN (SELECT bar.id FROM s bar)": f'"x" IN ({S})',
    'x IN (SELECT "U0"."id" FROM "s" "U0" WHERE "U0"."on")': f'"x" IN ({S} WHERE "on")',
    "x IN (SELECT s.id FROM s WHERE public.s.n = $1)": f'"x" IN ({S} WHERE "n" = 7)',
    "(x, t) IN (SELECT id, name FROM s)": '("x", "t") IN (SELECT id, name FROM public.s)',
    "(t, x) IN (SELECT name, id FROM s)": '("t", "x") IN (SELECT name, id FROM public.s)',
    "ROW(x, x) IN (SELECT id, id FROM s)": '("x", "x") IN (SELECT id, id FROM public.s)',
    "x IN (SELECT id FROM s WHERE id IN (SELECT n FROM r WHERE r.on))": (
        f'"x" IN ({S} WHERE "id" IN (SELECT n FROM public.r WHERE "on"))'
    ),
    # Each column is of the innermost table that bears its name.
    "x IN (SELECT id FROM items WHERE items.n = 1)": (
        '"x" IN (SELECT id FROM public.items WHERE "n" = 1)'
    ),
    "x IN (SELECT /* WHERE ( */ id -- )\n FROM s WHERE t = 'ä (WHERE)' /* ) */)": (
        f'"x" IN ({S} WHERE "t" = \'ä (WHERE)\'::text)'
    ),
    "t = 'ääää' AND x IN (SELECT id FROM s WHERE n = 1)": (
        f'("t" = \'ääää\'::text) AND ("x" IN ({S} WHERE "n" = 1))'
    ),
    "(x IN (SELECT id FROM s)) = true": f'"x" IN ({S})',
    "false <> (x IN (SELECT id FROM s))": f'"x" IN ({S})',
    "(x IN (SELECT id FROM s)) <> true": f'NOT ("x" IN ({S}))',
    "(x IN (SELECT id FROM s)) IS TRUE": f'("x" IN ({S})) IS TRUE',
    "x IN (SELECT id FROM s) AND true": f'"x" IN ({S})',
    "x IN (SELECT id FROM s) OR true": "true",
    "mood IN (SELECT mood FROM s)": '"mood" IN (SELECT mood FROM public.s)',
}


@pytest.mark.parametrize("text", READ, ids=ascii)
def test_what_is_read(text: str) -> None:
    assert parsed(text).sql == READ[text]


ONLY_IN = "only `value IN (SELECT ...)` sublinks are supported right now"
LEFT = "currently, left side of `IN (SELECT ...)` can only be a column reference or a list of column references"
REFUSED = {
    "x = ANY (SELECT id FROM s)": f"At location 2: {ONLY_IN}",
    "x <> ALL (SELECT id FROM s)": f"At location 2: {ONLY_IN}",
    "EXISTS (SELECT id FROM s)": f"At location 0: {ONLY_IN}",
    "x = (SELECT id FROM s)": f"At location 4: {ONLY_IN}",
    "x = ANY (ARRAY(SELECT id FROM s))": f"At location 9: {ONLY_IN}",
    "x IN (SELECT id FROM s LIMIT 1)": "SELECT statement must not contain any clauses",
    "x IN (SELECT id FROM s UNION SELECT 1)": "Expected a single table reference",
    "x IN (VALUES (1))": "Expected a single table reference",
    "x IN (SELECT id FROM s TABLESAMPLE SYSTEM (100))": "Expected a single table reference",
    "x IN (SELECT id FROM other.public.s)": "Expected a single table reference",
    "x IN (SELECT p FROM s AS r (p))": "Expected a single table reference",
    "x IN (SELECT q.id FROM s)": "At location 28: Expected a plain column reference",
    "x IN (SELECT s.id FROM s AS r)": "At location 28: Expected a plain column reference",
    "x IN (SELECT items.id FROM s)": "a subquery cannot refer to the row around it: items.id",
    "x + 1 IN (SELECT id FROM s)": LEFT,
    "1 IN (SELECT id FROM s)": LEFT,
    "x::int8 IN (SELECT big FROM s)": LEFT,
    "x IN (SELECT id FROM s WHERE items.n = 1)": (
        "At location 29: a subquery cannot refer to the row around it: items.n"
    ),
    "x IN (SELECT id FROM s WHERE public.items.n = 1)": (
        "At location 29: a subquery cannot refer to the row around it: public.items.n"
    ),
    "x IN (SELECT id FROM s WHERE id IN (SELECT n FROM r WHERE s.on))": (
        "At location 58: a subquery cannot refer to the row around it: s.on"
    ),
    "x IN (SELECT id FROM s WHERE items.x IN (SELECT n FROM r))": (
        "At location 29: a subquery cannot refer to the row around it: items.x"
    ),
    "x IN (SELECT big FROM s)": (
        "At location 2: left side of `IN (SELECT ...)` has type int4 but subquery returns int8[]"
    ),
    "x IN (SELECT id, t FROM s)": (
        "At location 2: left side of `IN (SELECT ...)` has type int4 but subquery returns row of (int4, text)[]"
    ),
    "(x, t) IN (SELECT t, id FROM s)": (
        "At location 7: left side of `IN (SELECT ...)` has type row of (int4, text) but subquery returns row"
        " of (text, int4)[]"
    ),
    "doc IN (SELECT doc FROM s)": (
        "At location 4: values of type jsonb cannot be compared with those of a subquery"
    ),
    "x IN (SELECT id FROM s) OR NOT x IN (SELECT id FROM s)": BOTH_POLARITIES,
    "x IN (SELECT id FROM s) AND y NOT IN (SELECT s.id FROM public.s)": BOTH_POLARITIES,
    "(x IN (SELECT id FROM s)) IS UNKNOWN": BOTH_POLARITIES,
    "coalesce(x IN (SELECT id FROM s), false)": (
        "a subquery can only be joined with other conditions by AND, OR, NOT and IS"
    ),
    "(x IN (SELECT id FROM s)) = b": (
        "a subquery can only be joined with other conditions by AND, OR, NOT and IS"
    ),
    "(x IN (SELECT id FROM s))::int4 = 1": (
        "a subquery can only be joined with other conditions by AND, OR, NOT and IS"
    ),
    " AND ".join(["(x IN (SELECT id FROM s) OR a)"] * 7): (
        "WHERE clause too complex for DNF decomposition (128 disjuncts exceeds limit of 100)"
    ),
    " AND ".join(["(x IN (SELECT id FROM s) OR a)"] * 60): (
        f"WHERE clause too complex for DNF decomposition ({2**60} disjuncts exceeds limit of 100)"
    ),
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text)[:80])
def test_what_is_refused(text: str) -> None:
    assert refusal(text) == REFUSED[text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("z IN (SELECT id FROM s)", "At location 0: unknown reference z"),
        ("items.x IN (SELECT id FROM s)", "At location 0: unknown reference items.x"),
        ("x IN (SELECT id FROM s WHERE nosuch = 1)", "At location 29: unknown reference nosuch"),
        ("x IN (SELECT id FROM s WHERE n)", "WHERE clause must return a boolean"),
        ("x IN (SELECT id FROM s) AND n", "reference n of type int4 is not castable to bool"),
    ],
)
def test_faults_that_are_those_of_any_condition(text: str, message: str) -> None:
    with pytest.raises(WhereError, match=message):
        planned(text)


def test_without_the_means_to_read_them_there_are_none() -> None:
    with pytest.raises(SubqueryError, match="SubLink is not supported"):
        parse_where("a AND x IN (SELECT id FROM s)", TYPES)


def test_100_alternatives_are_not_too_many() -> None:
    ten = " OR ".join(f"n > {number}" for number in range(9))
    text = f"(x IN (SELECT id FROM s) OR {ten}) AND (y IN (SELECT id FROM s) OR {ten})"
    assert len(planned(text).alternatives) == 100


def test_has_subqueries() -> None:
    assert has_subqueries("a OR EXISTS (SELECT 1)")
    assert not has_subqueries("t = '\"SubLink\":'")
    assert not has_subqueries("\x00")


# --- The plan ---------------------------------------------------------------------------------------

PLANS: dict[str, list[list[str]]] = {
    "x IN (SELECT id FROM s)": [["x in 0"]],
    "x IN (SELECT id FROM s) AND y > 1": [["x in 0", '"y" > 1']],
    "x IN (SELECT id FROM s) OR a": [["x in 0"], ['"a"']],
    "x IN (SELECT id FROM s) AND (a OR b)": [["x in 0", '"a"'], ["x in 0", '"b"']],
    "(a OR b) AND x IN (SELECT id FROM s)": [['"a"', "x in 0"], ['"b"', "x in 0"]],
    "x IN (SELECT id FROM s) AND y IN (SELECT id FROM s)": [["x in 0", "y in 0"]],
    "x IN (SELECT id FROM s) AND y NOT IN (SELECT id FROM r)": [["x in 0", "y not in 1"]],
    "NOT (x IN (SELECT id FROM s) AND n > 1)": [["x not in 0"], ['"n" <= 1']],
    "NOT (x IN (SELECT id FROM s) OR NOT a)": [["x not in 0", '"a"']],
    # What Django writes to exclude.
    "NOT (x IN (SELECT id FROM s) AND x IS NOT NULL)": [["x not in 0"], ['"x" IS NULL']],
    "x IN (SELECT id FROM s) AND n IN (1, 2)": [["x in 0", '"n" IN (1, 2)']],
    "NOT (x IN (SELECT id FROM s) OR n IN (1, 2))": [["x not in 0", '"n" NOT IN (1, 2)']],
    "(x IN (SELECT id FROM s)) IS TRUE": [["x in 0"]],
    "(x IN (SELECT id FROM s)) IS NOT TRUE": [["x not true 0"]],
    "(x IN (SELECT id FROM s)) IS FALSE": [["x not in 0"]],
    "(x IN (SELECT id FROM s)) IS NOT FALSE": [["x not false 0"]],
    "(x IN (SELECT id FROM s) AND n > 1) IS NOT TRUE": [
        ["x not true 0"],
        ['("n" > 1) IS NOT TRUE'],
    ],
    "(x IN (SELECT id FROM s) OR n > 1) IS NOT FALSE": [
        ["x not false 0"],
        ['("n" > 1) IS NOT FALSE'],
    ],
    "NOT ((x IN (SELECT id FROM s)) IS NOT FALSE)": [["x not in 0"]],
    "((NOT x IN (SELECT id FROM s)) IS NOT FALSE) IS TRUE": [["x not true 0"]],
}


@pytest.mark.parametrize("text", PLANS)
def test_plan(text: str) -> None:
    assert said(text) == PLANS[text]


def test_positions_count_through_all_alternatives() -> None:
    plan = planned("x IN (SELECT id FROM s) AND (a OR b)")
    assert [(place, _said(one)) for place, one in plan.literals()] == [
        (0, "x in 0"),
        (1, '"a"'),
        (2, "x in 0"),
        (3, '"b"'),
    ]


def test_columns_are_those_of_its_own_table() -> None:
    assert planned('(x, t) IN (SELECT id, name FROM s WHERE "on") AND a').columns == {"x", "t", "a"}


# --- Any condition ----------------------------------------------------------------------------------

_LEAVES = st.sampled_from(
    [
        "x IN (SELECT id FROM s)",
        "y IN (SELECT id FROM s)",
        "x NOT IN (SELECT id FROM r)",
        "y NOT IN (SELECT id FROM r)",
        "x IN (SELECT id FROM q)",
        "a",
        "b",
        "n > 1",
        "n IS NULL",
        "n IN (1, 3)",
        "true",
        "NULL",
    ]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    tests = st.sampled_from(
        ["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE", "IS UNKNOWN", "IS NOT UNKNOWN",
         "= true", "= false", "<> true", "IS NOT NULL"]
    )  # fmt: skip
    return st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda p: f"({' '.join(p)})"),
        inner.map(lambda one: f"(NOT {one})"),
        st.tuples(inner, tests).map(lambda p: f"(({p[0]}) {p[1]})"),
    )


CONDITIONS = st.recursive(_LEAVES, _grown, max_leaves=8)
TRUTHS = st.sampled_from([True, False, None])


def _evaluated(node: Any, row: dict[str, Any]) -> bool | None:
    """The typed tree with its subqueries as columns, by what evaluates every other condition."""
    names = [*row]
    return Where(node, "", frozenset()).compile({name: at for at, name in enumerate(names)})(
        tuple(row.values())
    )


def _text(value: bool | None) -> str | None:
    return None if value is None else "t" if value else "f"


def _is_true(
    literal: Contained | Plain, row: dict[str, Any], within: dict[Any, bool | None]
) -> bool:
    if isinstance(literal, Plain):
        return _evaluated(literal.where.tree, row) is True
    value = within[literal.columns, literal.dependency]
    return {
        "in": value is True,
        "not in": value is False,
        "not true": value is not True,
        "not false": value is not False,
    }[literal.membership]


def _withins(node: Any) -> list[Within]:
    below = [one for child in children(node) for one in _withins(child)]
    return [node, *below] if isinstance(node, Within) else below


@settings(max_examples=600, deadline=None)
@given(text=CONDITIONS, data=st.data())
def test_a_plan_is_true_of_the_rows_that_its_condition_is_true_of(text: str, data: Any) -> None:
    where = parsed(text)
    try:
        plan = plan_of(where.tree, where.subselects)
    except WhereError as error:
        if error.message == BOTH_POLARITIES or "too complex" in error.message:
            return
        raise
    row: dict[str, Any] = {
        "a": _text(data.draw(TRUTHS)),
        "b": _text(data.draw(TRUTHS)),
        "n": data.draw(st.sampled_from([None, "1", "2", "3"])),
    }
    within: dict[Any, bool | None] = {}
    for one in _withins(where.tree):
        key = one.columns, where.subselects.index(one.subselect)
        if key not in within:
            within[key] = data.draw(TRUTHS)
        row[one.name] = _text(within[key])
    expected = _evaluated(where.tree, row) is True
    matches = any(
        all(_is_true(one, row, within) for one in literals) for literals in plan.alternatives
    )
    assert matches == expected


@settings(max_examples=200, deadline=None)
@given(CONDITIONS)
def test_the_canonical_text_is_read_as_the_same_condition(text: str) -> None:
    where = parsed(text)
    known = dict.fromkeys(subselects(where.tree), ("int4",))
    again = parse_where(
        where.sql,
        TYPES,
        subqueries=Subqueries(
            SUBQUERIES.scope, lambda found: Subselected(found.text, known[found.text])
        ),
    )
    assert again == where
