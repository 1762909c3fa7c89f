"""The where-clause engine: text in, a function from row to truth out, exactly as Postgres has it.

``parse_where`` runs the whole way: ``parser`` (text to tree), ``typecheck`` (types, by the tables in
``functions``, into the normal form of ``folding``), ``sql`` (canonical text). The resulting `Where`
is evaluated by ``evaluate`` and indexed by ``lookups``.
"""

from django_electric.where.clause import Where, parse_where
from django_electric.where.errors import EvaluationError, SubqueryError, WhereError
from django_electric.where.evaluate import Evaluator, Row
from django_electric.where.lookups import Lookup
from django_electric.where.nodes import Node, SortKey
from django_electric.where.parser import parse_order_by

__all__ = [
    "EvaluationError",
    "Evaluator",
    "Lookup",
    "Node",
    "Row",
    "SortKey",
    "SubqueryError",
    "Where",
    "WhereError",
    "parse_order_by",
    "parse_where",
]
