"""Says how the worker would find the rows of a shape that a request would make; makes none."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import connections

from django_electric.catalogue import find_relation
from django_electric.protocol.params import ShapeParams, nest, parse
from django_electric.protocol.resolve import resolve
from django_electric.shapes.explanation import Explanation, explain
from django_electric.web.clauses import Clauses


def explain_request(
    alias: str, table: str, where: str | None, params: Iterable[tuple[str, str]]
) -> Explanation:
    """Of a request with these parameters. Raises InvalidRequest."""
    pairs = [("table", table), ("offset", "-1")]
    pairs += [("where", where)] if where is not None else []
    pairs += [(f"params[{number}]", value) for number, value in params]
    return _explain(parse(nest(pairs)).shape, alias)


def _explain(shape: ShapeParams, alias: str) -> Explanation:
    with connections[alias].cursor() as cursor:
        relation = find_relation(cursor, shape.table.schema, shape.table.name)
    analyse = partial(Clauses(alias).analyse, relation) if relation else None
    return explain(resolve(shape, relation, analyse).parsed_where())
