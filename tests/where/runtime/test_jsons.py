"""json and jsonb against Postgres."""

from __future__ import annotations

import doctest
from functools import partial
from operator import eq, lt
from types import ModuleType

import pytest

from django_electric.postgres.values import TYPES
from django_electric.where.runtime import jsons, raw_jsons
from tests.support.oracle import Oracle
from tests.where.runtime.operations import Operation, check


def small(number: int) -> int:
    return int(number / 8000)


PARTS = [
    operation
    for kind, module in {"json": raw_jsons, "jsonb": jsons}.items()
    for operation in [
        Operation("{0} -> {1}", f"{kind} key", kind, module.get_key),
        Operation("{0} ->> {1}", f"{kind} key", "text", module.get_key_text),
        Operation("{0} -> ({1} / 8000)", f"{kind} int2", kind, lambda json, n, module=module: module.get_index(json, small(n))),
        Operation("{0} ->> ({1} / 8000)", f"{kind} int2", "text", lambda json, n, module=module: module.get_index_text(json, small(n))),
        Operation("{0} #> {1}", f"{kind} text[]", kind, module.get_path),
        Operation("{0} #>> {1}", f"{kind} text[]", "text", module.get_path_text),
        Operation(f"{kind}_typeof({{0}})", kind, "text", module.typeof),
        Operation(f"{kind}_array_length({{0}})", kind, "int4", module.array_length),
    ]
]  # fmt: skip

OF_JSONB = [
    Operation("{0} @> {1}", "jsonb jsonb", "bool", jsons.contains),
    Operation("{0} <@ {1}", "jsonb jsonb", "bool", jsons.contained),
    Operation("{0} = {1}", "jsonb jsonb", "bool", eq),
    Operation("{0} < {1}", "jsonb jsonb", "bool", lt),
    Operation("{0} || {1}", "jsonb jsonb", "jsonb", jsons.concatenate),
    Operation("{0} ? {1}", "jsonb key", "bool", jsons.has_key),
    Operation("{0} ?| {1}", "jsonb text[]", "bool", jsons.has_any),
    Operation("{0} ?& {1}", "jsonb text[]", "bool", jsons.has_all),
    Operation("{0} - {1}", "jsonb key", "jsonb", jsons.delete_key),
    Operation("{0} - {1}", "jsonb text[]", "jsonb", jsons.delete_keys),
    Operation("{0} - ({1} / 8000)", "jsonb int2", "jsonb", lambda json, n: jsons.delete_index(json, small(n))),
    Operation("{0} #- {1}", "jsonb text[]", "jsonb", jsons.delete_path),
    Operation("{0}::bool", "jsonb", "bool", jsons.to_bool),
    Operation("{0}::numeric", "jsonb", "numeric", jsons.to_numeric),
    Operation("{0}::int4", "jsonb", "int4", partial(jsons.to_int, bits=32)),
    Operation("{0}::int8", "jsonb", "int8", partial(jsons.to_int, bits=64)),
    Operation("{0}::float8", "jsonb", "float8", jsons.to_float),
    Operation("{0}::float4", "jsonb", "float4", partial(jsons.to_float, single=True)),
    Operation("{0}::text", "jsonb", "text", TYPES["jsonb"].encode),
    Operation("{0}::jsonb", "json", "jsonb", lambda text: TYPES["jsonb"].decode(TYPES["jsonb"].canonical(text))),
]  # fmt: skip


@pytest.mark.parametrize("operation", PARTS + OF_JSONB, ids=lambda o: f"{o.sql} {o.arguments}")
def test_an_operation_is_postgres_s(oracle: Oracle, operation: Operation) -> None:
    check(oracle, operation, count=300)


@pytest.mark.parametrize("module", [jsons, raw_jsons], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
