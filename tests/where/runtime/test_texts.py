"""Texts and bytea against Postgres."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from django_electric.where.runtime import binary, texts
from tests.support.oracle import Oracle
from tests.where.runtime.operations import Operation, check

SMALL = "{1} / 4000"


def small(number: int) -> int:
    """int2 divided by 4000, as Postgres divides it."""
    return int(number / 4000)


OF_TEXTS = [
    Operation(f"{name}({{0}})", "text", result, function)
    for name, result, function in [
        ("length", "int4", texts.length),
        ("char_length", "int4", texts.length),
        ("octet_length", "int4", texts.octet_length),
        ("bit_length", "int4", texts.bit_length),
        ("btrim", "text", texts.btrim),
        ("ltrim", "text", texts.ltrim),
        ("rtrim", "text", texts.rtrim),
        ("reverse", "text", texts.reverse),
        ("upper", "text", texts.upper),
        ("lower", "text", texts.lower),
                ("ascii", "int4", texts.ascii_),
        ("md5", "text", texts.md5),
    ]
] + [
    Operation("initcap({0})", "text", "text", texts.initcap, least_decided=0.3),
] + [
    Operation(sql, "text text", result, function)
    for sql, result, function in [
        ("{0} || {1}", "text", texts.concatenate),
        ("btrim({0}, {1})", "text", texts.btrim),
        ("ltrim({0}, {1})", "text", texts.ltrim),
        ("rtrim({0}, {1})", "text", texts.rtrim),
        ("strpos({0}, {1})", "int4", texts.strpos),
        ("starts_with({0}, {1})", "bool", texts.starts_with),
        ("concat({0}, NULL, {1})", "text", lambda a, b: texts.concat(a, None, b)),
        ("concat_ws({0}, NULL, 'x', {1}, NULL)", "text", lambda a, b: texts.concat_ws(a, None, "x", b, None)),
    ]
] + [
    Operation(f"{name}({{0}}, {{1}} / 4000)", "text int2", "text", lambda text, n, function=function: function(text, small(n)))
    for name, function in {
        "left": texts.left,
        "right": texts.right,
        "substring": texts.substring,
        "repeat": texts.repeat,
        "lpad": texts.lpad,
        "rpad": texts.rpad,
    }.items()
] + [
    Operation("substring({0}, {1} / 4000, {2} / 4000)", "text int2 int2", "text", lambda text, a, b: texts.substring(text, small(a), small(b))),
    Operation("substring({0}, {1}, {2})", "text int4 int4", "text", texts.substring),
    Operation("replace({0}, {1}, {2})", "text text text", "text", texts.replace),
    Operation("translate({0}, {1}, {2})", "text text text", "text", texts.translate),
    Operation("split_part({0}, {1}, {2} / 8000)", "text text int2", "text", lambda a, b, n: texts.split_part(a, b, int(n / 8000))),
    Operation("lpad({0}, {1} / 4000, {2})", "text int2 text", "text", lambda a, n, b: texts.lpad(a, small(n), b)),
    Operation("rpad({0}, {1} / 4000, {2})", "text int2 text", "text", lambda a, n, b: texts.rpad(a, small(n), b)),
    Operation("overlay({0} placing {1} from {2} / 4000)", "text text int2", "text", lambda a, b, n: texts.overlay(a, b, small(n))),
    Operation("overlay({0} placing {1} from {2} / 4000 for {3} / 4000)", "text text int2 int2", "text", lambda a, b, n, m: texts.overlay(a, b, small(n), small(m))),
    Operation("chr({0})", "int4", "text", texts.chr_),
    Operation("chr({0})", "int2", "text", lambda n: texts.chr_(n)),
    Operation("{0}::varchar(3)", "text", "text", lambda text: texts.varchar(text, 3)),
    Operation("{0}::char(3)", "text", "bpchar", lambda text: texts.bpchar(text, 3)),
    Operation("{0}::char(6) = {1}::char(3)", "text text", "bool", lambda a, b: texts.bpchar(a, 6) == texts.bpchar(b, 3)),
]  # fmt: skip

OF_BYTES = [
    Operation(f"{name}({{0}})", "bytea", result, function)
    for name, result, function in [
        ("length", "int4", binary.length),
        ("bit_length", "int4", binary.bit_length),
        ("md5", "text", binary.md5),
        ("sha224", "bytea", binary.sha224),
        ("sha256", "bytea", binary.sha256),
        ("sha384", "bytea", binary.sha384),
        ("sha512", "bytea", binary.sha512),
    ]
] + [
    Operation("{0} || {1}", "bytea bytea", "bytea", binary.concatenate),
    Operation("{0} < {1}", "bytea bytea", "bool", lambda a, b: a < b),
    Operation("position({1} in {0})", "bytea bytea", "int4", binary.position),
    Operation("substring({0}, {1} / 4000)", "bytea int2", "bytea", lambda a, n: binary.substring(a, small(n))),
    Operation("substring({0}, {1} / 4000, {2} / 4000)", "bytea int2 int2", "bytea", lambda a, n, m: binary.substring(a, small(n), small(m))),
    Operation("get_byte({0}, {1} / 4000)", "bytea int2", "int4", lambda a, n: binary.get_byte(a, small(n))),
    Operation("encode({0}, 'hex')", "bytea", "text", lambda a: binary.encode(a, "hex")),
    Operation("encode({0}, 'BASE64')", "bytea", "text", lambda a: binary.encode(a, "BASE64")),
    Operation("decode({0}, 'hex')", "text", "bytea", lambda a: binary.decode(a, "hex"), least_decided=0.05),
]  # fmt: skip


@pytest.mark.parametrize("operation", OF_TEXTS + OF_BYTES, ids=lambda o: f"{o.sql} {o.arguments}")
def test_an_operation_is_postgres_s(oracle: Oracle, operation: Operation) -> None:
    check(oracle, operation)


@pytest.mark.parametrize("module", [binary, texts], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
