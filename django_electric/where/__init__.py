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
from django_electric.where.nodes import Node, Scope, SortKey, Subquery
from django_electric.where.parser import has_subqueries, parse_order_by
from django_electric.where.plan import Contained, Plain, Plan
from django_electric.where.planning import plan_of
from django_electric.where.sql import subselect_sql
from django_electric.where.subqueries import Subqueries, Subselected, table_names

__all__ = [
    "Analyse",
    "Analysis",
    "Contained",
    "DelegatedWhere",
    "EvaluationError",
    "Evaluator",
    "Key",
    "Locale",
    "Lookup",
    "Node",
    "Part",
    "Plain",
    "Plan",
    "Prefix",
    "Row",
    "Same",
    "Scan",
    "Scope",
    "SortKey",
    "Span",
    "Subqueries",
    "Subquery",
    "SubqueryError",
    "Subselected",
    "Undecided",
    "Where",
    "WhereError",
    "delegated_where",
    "has_subqueries",
    "narrowed",
    "narrowed_sql",
    "parse_order_by",
    "parse_where",
    "plan_of",
    "subselect_sql",
    "table_names",
]
