"""The where-clause engine: text in, a function from row to truth out, exactly as Postgres has it.

``parse_where`` runs the whole way: ``parser`` (text to tree), ``typecheck`` (types, by the tables in
``functions``, into the normal form of ``folding``), ``sql`` (canonical text). The resulting `Where`
is evaluated by ``evaluate`` and indexed by ``lookups``.
"""

from django_electric.where.checking.operands import Locale
from django_electric.where.clause import Where, parse_where
from django_electric.where.delegated import (
    Analyse,
    Analysis,
    DelegatedWhere,
    delegated_where,
)
from django_electric.where.errors import EvaluationError, SubqueryError, Undecided, WhereError
from django_electric.where.evaluate import Evaluator, Row, Scan
from django_electric.where.lookups import Key, Lookup, Part, Prefix, Same, Span
from django_electric.where.narrowing import narrowed, narrowed_sql
from django_electric.where.nodes import Node, SortKey
from django_electric.where.parser import parse_order_by

__all__ = [
    "Analyse",
    "Analysis",
    "DelegatedWhere",
    "EvaluationError",
    "Evaluator",
    "Key",
    "Locale",
    "Lookup",
    "Node",
    "Part",
    "Prefix",
    "Row",
    "Same",
    "Scan",
    "SortKey",
    "Span",
    "SubqueryError",
    "Undecided",
    "Where",
    "WhereError",
    "delegated_where",
    "narrowed",
    "narrowed_sql",
    "parse_order_by",
    "parse_where",
]
