"""The table of the operators and functions of the where language.

Resolution (``resolve``) chooses a signature as Postgres does; what is done with the values stands in
``implementations``, in one row for each. A signature without a row is left to Postgres. A new operator or function is a row
there, after which ``tests.where.make_catalog`` is run. Rows do what the modules of ``runtime`` say, on
values as `django_electric.postgres.values` decodes them; which functions are called with NULL, the
catalogue knows. Functions that Postgres calls stable are here if the session's settings, which are
fixed (PROTOCOL section 4.8), are all that their answer depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django_electric.where.families import COMPARISONS, family
from django_electric.where.implementations import NUMBERS, Implementation, Key, long_bool, same
from django_electric.where.implementations.casts import CASTS
from django_electric.where.implementations.containers import ARRAY_ROWS, JSON_ROWS
from django_electric.where.implementations.moments import MOMENT_ROWS
from django_electric.where.implementations.numbers import NUMERIC_ROWS, float_rows, integer_rows
from django_electric.where.implementations.strings import BINARY_ROWS, TEXT_ROWS
from django_electric.where.runtime import arrays, texts
from django_electric.where.types import element_of, is_known, value_type

IMPLEMENTATIONS: Mapping[Key, Implementation] = {
    **integer_rows(),
    **float_rows(),
    **NUMERIC_ROWS,
    **{("+", (name,)): Implementation(same, is_total=True) for name in NUMBERS},
    **TEXT_ROWS,
    **BINARY_ROWS,
    **MOMENT_ROWS,
    **ARRAY_ROWS,
    **JSON_ROWS,
}
"""By name and argument types of the signature."""

_PRINTING: Mapping[Key, Callable[..., Any]] = {
    ("||", ("text", "anynonarray")): lambda encode: lambda text, one: texts.concatenate(text, encode[1](one)),
    ("||", ("anynonarray", "text")): lambda encode: lambda one, text: texts.concatenate(encode[0](one), text),
    ("concat", ("any",)): lambda encode: partial(_concat, encode),
    ("concat_ws", ("text", "any")): lambda encode: partial(_concat_ws, encode[1:]),
    ("array_to_string", ("anyarray", "text")): lambda encode: partial(_to_string, encode[0]),
    ("array_to_string", ("anyarray", "text", "text")): lambda encode: partial(_to_string, encode[0]),
}  # fmt: skip
"""Those that print their arguments; made for what these are, from what prints them."""


def _printed(encode: Sequence[Callable[[Any], str]], items: Sequence[Any]) -> list[str | None]:
    return [None if one is None else write(one) for write, one in zip(encode, items, strict=True)]


def _concat(encode: Sequence[Callable[[Any], str]], *items: Any) -> str:
    return texts.concat(*_printed(encode, items))


def _concat_ws(encode: Sequence[Callable[[Any], str]], separator: Any, *items: Any) -> str | None:
    return texts.concat_ws(separator, *_printed(encode, items))


def _to_string(encode: Callable[[Any], str], array: Any, separator: Any, null: Any = None) -> Any:
    if array is None or separator is None:
        return None
    return arrays.to_string(array, separator, null, encode)


def implementation(
    name: str, signature: Sequence[str], arguments: Sequence[str]
) -> Implementation | None:
    """What is done for a *signature* called with *arguments* of these types; None if it is left to Postgres."""
    key = name, tuple(signature)
    if found := IMPLEMENTATIONS.get(key):
        return found if all(map(_has_equality, key[1], arguments)) else None
    if (make := _PRINTING.get(key)) is None:
        return None
    if not all(is_known(one) and element_of(one) != "bpchar" for one in arguments):
        return None
    wanted = [*key[1], *[key[1][-1]] * len(arguments)]
    return Implementation(
        make([_printer(name, *pair) for pair in zip(wanted, arguments, strict=False)])
    )


def _printer(name: str, wanted: str, given: str) -> Callable[[Any], str]:
    """How an argument is printed: by ``||`` as a cast to text does."""
    if given == "bool" and name == "||":
        return long_bool
    return value_type(element_of(given) if wanted == "anyarray" else given).encode


def _has_equality(wanted: str, given: str) -> bool:
    """Whether a polymorphic argument's values are known here and compare."""
    return not wanted.startswith("any") or family(given) is not None


FOLDS_CASE = frozenset({"upper", "lower", "initcap", "~~*", "!~~*", "~*", "!~*"})
"""Those that ask which letters are one but for their case: in Turkish and Azeri I is not i."""


OPERATOR_NAMES = frozenset(
    {name for name, _ in (*IMPLEMENTATIONS, *_PRINTING) if not name[0].isalpha()} | {*COMPARISONS}
)
"""All operators of which some overload is known."""
FUNCTION_NAMES = frozenset(
    {name for name, _ in (*IMPLEMENTATIONS, *_PRINTING) if name[0].isalpha()}
    | {target for _, target in CASTS}
)  # fmt: skip
"""All functions of which some overload is known."""
