"""Arrays against Postgres."""

from __future__ import annotations

import doctest
import operator

import pytest

from django_electric.postgres.values import TYPES
from django_electric.where.runtime import arrays
from tests.support.oracle import Oracle
from tests.where.runtime.operations import Operation, check

KINDS = ["int4[]", "text[]", "numeric[]", "jsonb[]"]
COMPARISONS = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, "<>": operator.ne, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ABSENT = arrays.ABSENT


def small(number: int) -> int:
    return int(number / 8000)


OPERATIONS = [
    Operation(f"{{0}} {sql} {{1}}", f"{kind} {kind}", "bool", function)
    for kind in KINDS
    for sql, function in {
        **{sign: compare for sign, compare in COMPARISONS.items() if kind != "text[]"},
        "@>": arrays.contains,
        "<@": arrays.contained,
        "&&": arrays.overlaps,
    }.items()
] + [
    Operation(f'{{0}} COLLATE "C" {sign} {{1}}', "text[] text[]", "bool", compare) for sign, compare in COMPARISONS.items()
] + [
    Operation(sql, kind, result, function)
    for kind in ("int4[]", "text[]")
    for sql, result, function in [
        ("cardinality({0})", "int4", arrays.cardinality),
        ("array_ndims({0})", "int4", arrays.ndims),
        ("array_dims({0})", "text", arrays.dims),
        ("{0}", kind, lambda array: array),
        ("ARRAY[{0}, {0}]", kind, lambda array: arrays.make_nested([array, array])),
        ("array_remove({0}, NULL)", kind, lambda array: arrays.remove(array, None)),
        ("array_position({0}, NULL)", "int4", lambda array: arrays.position(array, None)),
        ("array_append({0}, NULL)", kind, lambda array: arrays.append(array, None)),
        ("{0}[2:]", kind, lambda array: arrays.slice_(array, (2, ABSENT))),
        ("{0}[:1]", kind, lambda array: arrays.slice_(array, (ABSENT, 1))),
        ("{0}[0:NULL]", kind, lambda array: arrays.slice_(array, (0, None))),
        ("{0}[:][2:3]", kind, lambda array: arrays.slice_(array, (ABSENT, ABSENT), (2, 3))),
        ("{0}[1][NULL]", kind.removesuffix("[]"), lambda array: arrays.item(array, 1, None)),
        ("array_to_string({0}, '-', NULL)", "text", lambda array, kind=kind: arrays.to_string(array, "-", None, TYPES[kind.removesuffix("[]")].encode)),
        ("array_to_string({0}, '', '?')", "text", lambda array, kind=kind: arrays.to_string(array, "", "?", TYPES[kind.removesuffix("[]")].encode)),
    ]
] + [
    Operation(f"{name}({{0}}, {{1}} / 8000)", "int4[] int2", "int4", lambda array, n, function=function: function(array, small(n)))
    for name, function in {"array_length": arrays.length, "array_lower": arrays.lower, "array_upper": arrays.upper}.items()
] + [
    Operation("{0}[{1} / 8000]", "int4[] int2", "int4", lambda array, n: arrays.item(array, small(n))),
    Operation("{0}[{1} / 8000][{2} / 8000]", "int4[] int2 int2", "int4", lambda array, n, m: arrays.item(array, small(n), small(m))),
    Operation("{0}[{1} / 8000 : {2} / 8000]", "int4[] int2 int2", "int4[]", lambda array, n, m: arrays.slice_(array, (small(n), small(m)))),
    Operation("ARRAY[{0}, {1}]", "int4[] int4[]", "int4[]", lambda a, b: arrays.make_nested([a, b])),
    Operation("ARRAY[{0}, NULL, {1}]", "int4 int4", "int4[]", lambda a, b: arrays.make([a, None, b])),
    Operation("{0} || {1}", "int4[] int4[]", "int4[]", arrays.concatenate),
    Operation("array_cat({0}, NULL)", "int4[]", "int4[]", lambda array: arrays.concatenate(array, None)),
    Operation("array_append({0}, {1})", "text[] text", "text[]", arrays.append),
    Operation("array_prepend({0}, {1})", "text text[]", "text[]", arrays.prepend),
    Operation("array_position({0}, {1})", "text[] key", "int4", arrays.position),
    Operation("array_position({0}, {1}, {2} / 8000)", "text[] key int2", "int4", lambda array, one, n: arrays.position(array, one, small(n), has_start=True)),
    Operation("array_positions({0}, {1})", "text[] key", "int4[]", arrays.positions),
    Operation("array_remove({0}, {1})", "text[] key", "text[]", arrays.remove),
    Operation("array_replace({0}, {1}, {2})", "text[] key key", "text[]", arrays.replace),
    Operation("array_replace({0}, NULL, {1})", "text[] key", "text[]", lambda array, one: arrays.replace(array, None, one)),
    Operation("string_to_array({0}, {1})", "text text", "text[]", arrays.from_string),
    Operation("string_to_array({0}, {1}, {2})", "text text text", "text[]", arrays.from_string),
    Operation("string_to_array({0}, NULL, {1})", "text key", "text[]", lambda text, null: arrays.from_string(text, None, null)),
    *(
        operation
        for sign, compare in COMPARISONS.items()
        for operation in (
            Operation(f"{{0}} / 10 {sign} ANY ({{1}})", "int2 int4[]", "bool", lambda n, array, compare=compare: arrays.any_(int(n / 10), array, compare)),
            Operation(f"{{0}} / 10 {sign} ALL ({{1}})", "int2 int4[]", "bool", lambda n, array, compare=compare: arrays.all_(int(n / 10), array, compare)),
        )
    ),
    Operation("NULL = ANY ({0})", "int4[]", "bool", lambda array: arrays.any_(None, array, operator.eq)),
    Operation("NULL <> ALL ({0})", "int4[]", "bool", lambda array: arrays.all_(None, array, operator.ne)),
]  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.sql} {o.arguments}")
def test_an_operation_is_postgres_s(oracle: Oracle, operation: Operation) -> None:
    check(oracle, operation)


def test_the_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(arrays).failed == 0
