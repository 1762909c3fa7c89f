"""Says how the worker would find the rows of a shape that a request would make; makes none."""

from __future__ import annotations

from collections.abc import Iterable

from django_electric.protocol.params import ShapeParams, nest, parse
from django_electric.shapes.explanation import Explanation, explain_definition
from django_electric.web.clauses import Clauses
from django_electric.web.shapes import resolve_with


def explain_request(
    alias: str, table: str, where: str | None, params: Iterable[tuple[str, str]]
) -> Explanation:
    """Of a request with these parameters. Raises InvalidRequest."""
    pairs = [("table", table), ("offset", "-1")]
    pairs += [("where", where)] if where is not None else []
    pairs += [(f"params[{number}]", value) for number, value in params]
    return _explain(parse(nest(pairs)).shape, alias)


def _explain(shape: ShapeParams, alias: str) -> Explanation:
    _, definition = resolve_with(Clauses(alias), shape)
    return explain_definition(definition)
