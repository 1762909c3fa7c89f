"""A where clause that Postgres evaluates: its text as Postgres prints it, and what of it an index can use.

Such a clause is asked of Postgres for every row that might match. Those of its conditions that are
joined by AND and can be evaluated here are, and keep most rows from being asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from django_electric.where import folding
from django_electric.where.checking.operands import Locale
from django_electric.where.clause import Where
from django_electric.where.errors import Undecided, WhereError
from django_electric.where.evaluate import Evaluator, compile_node
from django_electric.where.lookups import Lookup
from django_electric.where.nodes import TRUE, Junction, Node
from django_electric.where.parser import parse
from django_electric.where.typecheck import typecheck


class Analysis(NamedTuple):
    """What Postgres makes of a clause that it can be asked about for every row."""

    sql: str
    """As Postgres prints it: all names qualified but those of columns, all constants with their types."""
    columns: tuple[str, ...]
    """Those that it refers to."""


Analyse = Callable[[str, Mapping[int, str]], Analysis | None]
"""From the text of a condition and the values of its parameters; None if Postgres refuses it. Raises
WhereError."""


@dataclass(frozen=True, slots=True)
class DelegatedWhere(Where):
    """A condition that Postgres evaluates.

    ``tree`` is what of it can be told here: a row that fails it does not match.
    """

    is_delegated: ClassVar[bool] = True

    def compile(self, positions: Mapping[str, int]) -> Evaluator:
        """As that of `Where`, but where it might be true the function raises `Undecided`."""
        return _asking(compile_node(self.tree, positions))

    def residual_evaluator(self, lookup: Lookup, positions: Mapping[str, int]) -> Evaluator:
        """As that of `Where`; never None, for no hit is sure."""
        return _asking(compile_node(lookup.residual or TRUE, positions))


def _asking(evaluate: Evaluator) -> Evaluator:
    def ask(row: Sequence[str | None]) -> bool | None:
        result = evaluate(row)
        if result is True:
            raise Undecided("only Postgres can tell")
        return result

    return ask


def delegated_where(analysis: Analysis, types: Mapping[str, str], locale: Locale) -> DelegatedWhere:
    """The condition that *analysis* is of, on a table whose columns have *types*."""
    tree = folding.conjunction(_known(analysis.sql, types, locale))
    return DelegatedWhere(tree, analysis.sql, frozenset(analysis.columns))


def _known(sql: str, types: Mapping[str, str], locale: Locale) -> Iterator[Node]:
    """Those of the conditions joined by AND that can be evaluated here."""
    try:
        syntax = parse(sql)
    except WhereError:
        return
    is_and = isinstance(syntax, Junction) and syntax.operator == "AND"
    for arm in syntax.operands if is_and and isinstance(syntax, Junction) else (syntax,):
        try:
            yield typecheck(arm, types, {}, locale=locale)
        except (WhereError, RecursionError):
            continue
