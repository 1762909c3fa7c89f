"""Integers, floats and numerics against Postgres."""

from __future__ import annotations

import doctest
from functools import partial
from types import ModuleType

import pytest

from django_electric.where.runtime import floats, integers, numerics
from tests.support.oracle import Oracle
from tests.where.runtime.operations import Operation, check

WIDTHS = {"int2": 16, "int4": 32, "int8": 64}

OF_INTEGERS = [
    Operation(sql, f"{kind} {kind}", kind, partial(function, bits=bits))
    for kind, bits in WIDTHS.items()
    for sql, function in {
        "{0} + {1}": integers.add,
        "{0} - {1}": integers.subtract,
        "{0} * {1}": integers.multiply,
        "{0} / {1}": integers.divide,
        "{0} % {1}": integers.remainder,
    }.items()
] + [
    Operation(sql, kind, kind, partial(function, bits=bits))
    for kind, bits in WIDTHS.items()
    for sql, function in {"- {0}": integers.negate, "abs({0})": integers.absolute}.items()
] + [
    Operation(sql, f"{kind} {kind}", kind, function)
    for kind in WIDTHS
    for sql, function in {
        "{0} & {1}": integers.bit_and,
        "{0} | {1}": integers.bit_or,
        "{0} # {1}": integers.bit_xor,
    }.items()
] + [
    Operation("~ {0}", kind, kind, integers.bit_not) for kind in WIDTHS
] + [
    Operation(sql, f"{kind} int4", kind, partial(function, bits=bits), least_decided=0.1)
    for kind, bits in WIDTHS.items()
    for sql, function in {"{0} << {1}": integers.shift_left, "{0} >> {1}": integers.shift_right}.items()
] + [
    Operation(f"{name}({{0}}, {{1}})", f"{kind} {kind}", kind, partial(function, bits=WIDTHS[kind]))
    for kind in ("int4", "int8")
    for name, function in {"gcd": integers.gcd, "lcm": integers.lcm}.items()
] + [
    Operation("to_hex({0})", kind, "text", partial(integers.to_hex, bits=WIDTHS[kind]))
    for kind in ("int4", "int8")
] + [
    Operation(f"{{0}}::{kind}", source, kind, partial(function, bits=bits))
    for kind, bits in WIDTHS.items()
    for source, function in {
        "int8": integers.narrow,
        "float8": integers.from_float,
        "float4": integers.from_float,
        "numeric": integers.from_numeric,
    }.items()
] + [
    Operation("{0}::int4", "bool", "int4", integers.from_bool),
    Operation("{0}::bool", "int4", "bool", integers.to_bool),
]  # fmt: skip

OF_FLOATS = [
    Operation(sql, f"{kind} {kind}", kind, partial(function, single=kind == "float4"))
    for kind in ("float4", "float8")
    for sql, function in {
        "{0} + {1}": floats.add,
        "{0} - {1}": floats.subtract,
        "{0} * {1}": floats.multiply,
        "{0} / {1}": floats.divide,
    }.items()
] + [
    Operation(sql, kind, kind, function)
    for kind in ("float4", "float8")
    for sql, function in {"- {0}": floats.negate, "abs({0})": floats.absolute}.items()
] + [
    Operation(sql, "float8", "float8", function)
    for sql, function in {
        "sign({0})": floats.sign,
        "ceil({0})": floats.ceil,
        "floor({0})": floats.floor,
        "trunc({0})": floats.trunc,
        "round({0})": floats.round_,
        "sqrt({0})": floats.sqrt,
        "|/ {0}": floats.sqrt,
    }.items()
] + [
    Operation("{0} ^ {1}", "float8 float8", "float8", floats.power, least_decided=0.1),
    Operation("{0} ^ ({1} / 6000)", "float8 int2", "float8", lambda a, b: floats.power(a, float(integers.divide(b, 6000, bits=16))), least_decided=0.3),
    Operation("{0}::float4", "float8", "float4", floats.narrow),
    Operation("{0}::float8", "float4", "float8", lambda value: value),
] + [
    Operation(f"{{0}}::{kind}", source, kind, partial(function, single=kind == "float4"))
    for kind in ("float4", "float8")
    for source, function in {
        "int4": floats.from_integer,
        "int8": floats.from_integer,
        "numeric": floats.from_numeric,
    }.items()
]  # fmt: skip

OF_NUMERICS = [
    Operation(sql, "numeric numeric", "numeric", function)
    for sql, function in {
        "{0} + {1}": numerics.add,
        "{0} - {1}": numerics.subtract,
        "{0} * {1}": numerics.multiply,
        "{0} / {1}": numerics.divide,
        "{0} % {1}": numerics.remainder,
        "div({0}, {1})": numerics.div,
    }.items()
] + [
    Operation(sql, "numeric", "numeric", function)
    for sql, function in {
        "- {0}": numerics.negate,
        "abs({0})": numerics.absolute,
        "sign({0})": numerics.sign,
        "ceil({0})": numerics.ceil,
        "floor({0})": numerics.floor,
        "round({0})": numerics.round_,
        "trunc({0})": numerics.trunc,
        "sqrt({0})": numerics.sqrt,
        "trim_scale({0})": numerics.trim_scale,
    }.items()
] + [
    Operation("scale({0})", "numeric", "int4", numerics.scale),
    Operation("min_scale({0})", "numeric", "int4", numerics.min_scale),
    Operation("round({0}, {1} / 3000)", "numeric int2", "numeric", lambda value, digits: numerics.round_(value, integers.divide(digits, 3000, bits=16))),
    Operation("trunc({0}, {1} / 3000)", "numeric int2", "numeric", lambda value, digits: numerics.trunc(value, integers.divide(digits, 3000, bits=16))),
    Operation("{0}::numeric(6, 2)", "numeric", "numeric", lambda value: numerics.with_precision(value, 6, 2)),
    Operation("{0}::numeric(4)", "numeric", "numeric", lambda value: numerics.with_precision(value, 4)),
    Operation("{0}::numeric", "float8", "numeric", numerics.from_float8),
    Operation("{0}::numeric", "float4", "numeric", numerics.from_float4),
    Operation("{0}::numeric", "int8", "numeric", numerics.from_integer),
]  # fmt: skip


@pytest.mark.parametrize(
    "operation", OF_INTEGERS + OF_FLOATS + OF_NUMERICS, ids=lambda o: f"{o.sql} {o.arguments}"
)
def test_an_operation_is_postgres_s(oracle: Oracle, operation: Operation) -> None:
    check(oracle, operation)


@pytest.mark.parametrize("module", [floats, integers, numerics], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
