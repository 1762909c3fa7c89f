"""A typed tree as a function from row to True, False or None (SQL has three).

The function is Python source, compiled: one expression that reads the row's texts, decodes a column
when it is first needed, and stops at the first arm that decides an AND or OR. Constants are not in
the source but arguments of the factory around it, so clauses that differ only in their constants
share one code object. What the source looks like for ``a = 1 AND b > 5``::

    (False if (t1 := (None if (c0 := r[0]) is None else c0 == k0)) is False
           or (t2 := (None if (c1 := r[1]) is None else (v1 := int(c1)) > k1)) is False
     else t1 and t2)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from django_electric.postgres.values import Unreadable
from django_electric.where.decoding import DECODERS, decoding
from django_electric.where.errors import EvaluationError, Undecided
from django_electric.where.nodes import Column, Node, children
from django_electric.where.writer import Writer

Row = Sequence[str | None]
Evaluator = Callable[[Row], bool | None]

_TEMPLATE = """\
def make({constants}):
    def match(r):
        try:
            return {expression}
        except ERRORS as error:
            raise EvaluationError(str(error)) from error
        except UNREADABLE as error:
            raise Undecided(str(error)) from error
    return match
"""

_NAMESPACE: dict[str, object] = {
    "EvaluationError": EvaluationError,
    "Undecided": Undecided,
    "REFUSALS": (ArithmeticError, ValueError, TypeError, EvaluationError),
    "UNREADABLE": (Unreadable, RecursionError),
    "UNSURE": (Undecided, Unreadable, RecursionError),
    "ERRORS": (ArithmeticError, ValueError, TypeError),
}

_SCAN_TEMPLATE = """\
def make():
    def scan(r, entries, found, undecided, failed):
        {columns}
        for entry, [{constants}] in entries:
            try:
                if {expression} is True:
                    found.append(entry)
            except REFUSALS:
                continue
            except UNSURE:
                undecided.append(entry)
            except Exception:
                failed.append(entry)
    return scan
"""
_VARIABLE = re.compile(r"\b([cv])([0-9]+)\b")


def compile_node(node: Node, positions: Mapping[str, int]) -> Evaluator:
    """The function for a condition; *positions* says where in a row each column stands."""
    writer = Writer(positions)
    expression = writer.condition(node)
    source = _TEMPLATE.format(constants=_names(writer), expression=expression)
    return cast(Evaluator, _maker(source)(*writer.constants))


Scan = Callable[
    [Row, Iterable[tuple[Any, Sequence[object]]], list[Any], list[Any], list[Any]], None
]
"""Of a row, entries each with its constants, and lists to add entries to: those that the row matches,
those that only Postgres can tell, and those that failed."""


def compile_scan(node: Node, positions: Mapping[str, int]) -> tuple[Scan, tuple[object, ...]]:
    """A function for all conditions that differ from this one in constants only, and its constants.

    Conditions of one form get the very same function. It reads each column once for all entries, and
    raises ValueError or ArithmeticError if it cannot.
    """
    writer = Writer(positions, are_columns_known=True)
    expression = writer.condition(node)
    used = dict.fromkeys(_VARIABLE.findall(expression))
    types = {positions[column.name]: column.type for column in _columns(node)}
    places = dict.fromkeys(int(place) for _, place in used)
    lines = [f"c{place} = r[{place}]" for place in places]
    lines += [
        f"v{place} = None if c{place} is None else {decoding(types[int(place)]).format(f'c{place}')}"
        for kind, place in used
        if kind == "v"
    ]
    constants = "".join(f"k{number}, " for number in range(len(writer.constants)))
    columns = "\n        ".join(lines) or "pass"
    source = _SCAN_TEMPLATE.format(columns=columns, constants=constants, expression=expression)
    return cast(Scan, _scan(source)), tuple(writer.constants)


def _columns(node: Node) -> Iterator[Column]:
    if isinstance(node, Column):
        yield node
    for child in children(node):
        yield from _columns(child)


def _names(writer: Writer) -> str:
    return ", ".join(f"k{number}" for number in range(len(writer.constants)))


def _maker(source: str) -> Callable[..., object]:
    """The function ``make`` of *source*; conditions of one form share it."""
    return _kept_maker(source) if len(source) < 4096 else _new_maker(source)


def _new_maker(source: str) -> Callable[..., object]:
    namespace = {**_NAMESPACE, **DECODERS}
    code = compile(source, "<where>", "exec")
    exec(code, namespace)  # noqa: S102  # our source: user text reaches it only through constants
    return cast(Callable[..., object], namespace["make"])


_kept_maker = lru_cache(maxsize=1024)(_new_maker)


@lru_cache(maxsize=1024)
def _scan(source: str) -> object:
    return _new_maker(source)()
