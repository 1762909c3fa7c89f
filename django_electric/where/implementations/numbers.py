"""Operators and functions on numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django_electric.where.implementations import FLOATS, INTEGERS, Implementation, Key, overloads
from django_electric.where.runtime import floats, integers, numerics


def _checked(bits: int, operator: str, function: Callable[..., Any]) -> Implementation:
    """Integer arithmetic: the result, if it fits, else the function, which raises."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    source = f"({{temporary}} if {low} <= ({{temporary}} := {{0}} {operator} {{1}}) <= {high} else {{function}}({{0}}, {{1}}))"
    return Implementation(partial(function, bits=bits), source=source)


def integer_rows() -> dict[Key, Implementation]:
    rows: dict[Key, Implementation] = {}
    for left, left_bits in INTEGERS.items():
        for right, right_bits in INTEGERS.items():
            bits = max(left_bits, right_bits)
            for name, function in (
                ("+", integers.add),
                ("-", integers.subtract),
                ("*", integers.multiply),
                ("/", integers.divide),
            ):
                done = (
                    _checked(bits, name, function)
                    if name != "/"
                    else Implementation(partial(function, bits=bits))
                )
                rows[name, (left, right)] = done
    for name, bits in INTEGERS.items():
        sized: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("%", integers.remainder), ("mod", integers.remainder), ("gcd", integers.gcd), ("lcm", integers.lcm),
        )  # fmt: skip
        rows |= {(n, (name, name)): Implementation(partial(f, bits=bits)) for n, f in sized}
        rows |= overloads("&", (f"{name} {name}", integers.bit_and), total=True)
        rows |= overloads("|", (f"{name} {name}", integers.bit_or), total=True)
        rows |= overloads("#", (f"{name} {name}", integers.bit_xor), total=True)
        rows |= overloads("~", (name, integers.bit_not), total=True)
        rows |= overloads("<<", (f"{name} int4", partial(integers.shift_left, bits=bits)))
        rows |= overloads(">>", (f"{name} int4", partial(integers.shift_right, bits=bits)))
        rows |= overloads("-", (name, partial(integers.negate, bits=bits)))
        rows |= overloads("@ abs", (name, partial(integers.absolute, bits=bits)))
        rows |= overloads("to_hex", (name, partial(integers.to_hex, bits=bits)))
    return rows


def _power(a: Any, b: Any) -> Any:
    return floats.power(a, b)


def float_rows() -> dict[Key, Implementation]:
    rows: dict[Key, Implementation] = {}
    for left in FLOATS:
        for right in FLOATS:
            single = left == right == "float4"
            for name, function in (
                ("+", floats.add),
                ("-", floats.subtract),
                ("*", floats.multiply),
                ("/", floats.divide),
            ):
                rows[name, (left, right)] = Implementation(partial(function, single=single))
        rows |= overloads("-", (left, floats.negate), total=True)
        rows |= overloads("@ abs", (left, floats.absolute), total=True)
    return {
        **rows,
        **overloads("^ power pow", ("float8 float8", _power)),
        **overloads("|/ sqrt", ("float8", floats.sqrt)),
        **overloads("ceil ceiling", ("float8", floats.ceil), total=True),
        **overloads("floor", ("float8", floats.floor), total=True),
        **overloads("trunc", ("float8", floats.trunc), total=True),
        **overloads("round", ("float8", floats.round_), total=True),
        **overloads("sign", ("float8", floats.sign), total=True),
    }


NUMERIC_ROWS = {
    **overloads("+", ("numeric numeric", numerics.add)),
    **overloads("-", ("numeric numeric", numerics.subtract), ("numeric", numerics.negate)),
    **overloads("*", ("numeric numeric", numerics.multiply)),
    **overloads("/", ("numeric numeric", numerics.divide)),
    **overloads("% mod", ("numeric numeric", numerics.remainder)),
    **overloads("div", ("numeric numeric", numerics.div)),
    **overloads("@ abs", ("numeric", numerics.absolute)),
    **overloads("sign", ("numeric", numerics.sign)),
    **overloads("ceil ceiling", ("numeric", numerics.ceil)),
    **overloads("floor", ("numeric", numerics.floor)),
    **overloads("round", ("numeric", numerics.round_), ("numeric int4", numerics.round_)),
    **overloads("trunc", ("numeric", numerics.trunc), ("numeric int4", numerics.trunc)),
    **overloads("sqrt", ("numeric", numerics.sqrt)),
    **overloads("scale", ("numeric", numerics.scale)),
    **overloads("min_scale", ("numeric", numerics.min_scale)),
    **overloads("trim_scale", ("numeric", numerics.trim_scale)),
}
