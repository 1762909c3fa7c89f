"""A Django QuerySet → the Access that allows its rows: where, columns, table.

The condition is Django's own SQL, with its values as Django writes them, so that shape and QuerySet cannot
differ. A shape is rows of one table without an order. What a QuerySet is beyond that is refused, by name
and with what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Manager, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col, Subquery
from django.db.models.functions import Now, Random
from django.db.models.lookups import Lookup
from django.db.models.query import ModelIterable
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import ExtraWhere

from django_electric import conf
from django_electric.errors import ElectricError
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.queryset_joins import without_joins
from django_electric.where.rewriting import with_schemas, without_prefix

Rows = type[Model] | Manager[Model] | QuerySet[Model]
"""A model, which means all that its default manager finds; a manager; or a QuerySet."""


class UnsupportedQuerySet(ElectricError):
    """A shape cannot be what this QuerySet selects."""

    def __init__(self, queryset: QuerySet[Model], what: str, remedy: str) -> None:
        name = queryset.model._meta.label
        super().__init__(f"A shape of {name} cannot have {what}. {remedy}")


def queryset_of(rows: Rows) -> QuerySet[Model]:
    """*rows* as a QuerySet. Raises TypeError for anything else, a RawQuerySet among it."""
    if isinstance(rows, type) and issubclass(rows, Model):
        return rows._default_manager.all()
    if isinstance(rows, Manager):
        return rows.all()
    if isinstance(rows, QuerySet):
        return rows
    raise TypeError(f"A shape is made of a model, a manager or a QuerySet, not of {rows!r}.")


def models_of(queryset: QuerySet[Any]) -> Iterator[type[Model]]:
    """The models whose rows decide what *queryset* selects: its own, and those of QuerySets in ``__in``."""
    yield from _models_of(queryset.query)


def _models_of(query: Query) -> Iterator[type[Model]]:
    if query.model is not None:
        yield query.model
    yield from _models_of_subqueries(without_joins(query))


def access_of(
    *rows: Rows,
    columns: Iterable[str] | None = None,
    is_public: bool = False,
    user: str | None = None,
) -> Access:
    """What allows the rows that are in all of the QuerySets *rows*, and the columns that all of them load.

    *columns* names fields to restrict them to. All must be of one model. It asks the database at most
    for the schema of the table. Raises `UnsupportedQuerySet`, and ValueError for what is no field.
    """
    querysets = [queryset_of(one) for one in rows]
    for queryset in querysets:
        check_queryset(queryset)
    first = querysets[0]
    models = {one.model._meta.concrete_model for one in querysets}
    if len(models) > 1:
        names = ", ".join(sorted(model._meta.label for model in models if model is not None))
        raise ValueError(
            f"QuerySets that are narrowed by one another are of one model, not of {names}."
        )
    named = [columns_of(one) for one in querysets]
    if columns is not None:
        named.append(columns_named(first.model, columns))
    connection = connections[conf.ALIAS]
    return Access(
        table=table_of(first.model),
        where=_where(connection, [one.query for one in querysets]),
        columns=tuple(name for name in named[0] if all(name in others for others in named[1:])),
        is_public=is_public,
        user=user,
    )


# --- What is refused --------------------------------------------------------------------------------


def check_queryset(queryset: QuerySet[Model]) -> None:
    """Raise `UnsupportedQuerySet` for what no shape can be. Asks no database."""
    for refusal in _REFUSALS:
        if refusal.applies(queryset):
            raise UnsupportedQuerySet(queryset, refusal.what, refusal.remedy)
    fault = _fault_of_condition(queryset.query)
    if fault is not None:
        raise UnsupportedQuerySet(queryset, *fault)
    columns_of(queryset)


_Fault = tuple[str, str]
"""What is wrong, and what to do instead."""


def _fault_of_condition(query: Query) -> _Fault | None:
    query = without_joins(query)
    table = query.get_initial_alias()
    for lookup, expression in _expressions(query.where, ""):
        fault = _fault(expression, lookup) or _join(query, table, expression, lookup)
        if fault is not None:
            return fault
    for alias, uses in query.alias_refcount.items():
        if alias != table and uses:
            return LOOKUP_SEP.join(_path(query, alias)), _OTHER_TABLE
    return None


def _fault_of_subquery(query: Query) -> _Fault | None:
    """What keeps a QuerySet on the right of ``__in`` from being the subquery of a shape."""
    for is_there, what, remedy in (
        (query.combinator, "union(), intersection() or difference()", "Use Q objects."),
        (query.is_sliced, "a slice", "Leave it out, or give its values as a list."),
        (query.distinct, "distinct()", "It changes nothing: leave it out."),
        (query.extra or query.extra_tables, "extra()", "Write the condition as lookups."),
        (query.group_by is not None, "aggregates", "Keep their value in a column of the row."),
        (
            not query.select or query.annotation_select or not all(map(_is_plain, query.select)),
            "a value that is no column",
            "Name one column with values().",
        ),
        (query.select_for_update, "select_for_update()", "A shape only reads: leave it out."),
    ):
        if is_there:
            return f"a subquery with {what}", remedy
    fault = _fault_of_condition(query)
    return fault and (f"a subquery with {fault[0]}", fault[1])


def _is_plain(expression: Any) -> bool:
    return isinstance(expression, Col)


@dataclass(frozen=True, slots=True)
class _Refusal:
    applies: Callable[[QuerySet[Model]], bool]
    what: str
    remedy: str


def _is_of_several_tables(queryset: QuerySet[Model]) -> bool:
    concrete = queryset.model._meta.concrete_model
    return concrete is not None and any(concrete._meta.parents.values())


def _is_of_another_database(queryset: QuerySet[Model]) -> bool:
    return queryset._db not in (None, conf.ALIAS)  # type: ignore[attr-defined]  # not in the stubs


_REFUSALS = (
    _Refusal(
        lambda rows: bool(rows.query.combinator),
        "union(), intersection() or difference()",
        "Join conditions with Q objects: filter(Q(…) | Q(…)).",
    ),
    _Refusal(
        _is_of_several_tables,
        "rows that lie in two tables, as those of a model that inherits from another do",
        "Declare a shape of the parent, and one of the child's own table through an unmanaged model.",
    ),
    _Refusal(
        lambda rows: rows.query.is_sliced,
        "a slice",
        "Leave it out; a client that wants part of a shape asks for a subset with limit and offset.",
    ),
    _Refusal(lambda rows: rows.query.distinct, "distinct()", "Rows of one table are distinct: leave it out."),
    _Refusal(
        lambda rows: bool(rows.query.order_by or rows.query.extra_order_by)
        or not rows.query.standard_ordering,
        "an order",
        "Leave out order_by(); the order of Meta.ordering does not matter. Sort in the client.",
    ),
    _Refusal(
        lambda rows: bool(rows.query.extra or rows.query.extra_tables),
        "extra()",
        "Write the condition as lookups or expressions.",
    ),
    _Refusal(
        lambda rows: not issubclass(rows._iterable_class, ModelIterable),
        "values(), values_list() or dates()",
        "Name the columns with only() or defer().",
    ),
    _Refusal(
        lambda rows: bool(rows.query.annotations) or rows.query.group_by is not None,
        "annotations or aggregates",
        "Write the expression into filter() itself, or keep its value in a column.",
    ),
    _Refusal(
        lambda rows: bool(rows.query.select_related),
        "select_related()",
        "Declare a shape of the other model too, and join them in the client.",
    ),
    _Refusal(
        lambda rows: bool(rows._prefetch_related_lookups),  # type: ignore[attr-defined]  # not in the stubs
        "prefetch_related()",
        "Declare a shape of the other model too, and join them in the client.",
    ),
    _Refusal(
        lambda rows: rows.query.select_for_update, "select_for_update()", "A shape only reads: leave it out."
    ),
    _Refusal(
        _is_of_another_database,
        "rows of another database",
        f"Only '{conf.ALIAS}' is replicated: leave out using().",
    ),
)  # fmt: skip


def _expressions(node: Any, lookup: str) -> Iterator[tuple[str, Any]]:
    """Every expression of a condition, with the name of the innermost lookup that it is part of."""
    if isinstance(node, Lookup):
        lookup = node.lookup_name or ""
    yield lookup, node
    if isinstance(node, Query | Subquery):
        return
    listed = getattr(node, "rhs", None)
    below = [*getattr(node, "get_source_expressions", list)()]
    for child in [*below, *(listed if isinstance(listed, list | tuple) else ())]:
        if child is not None:
            yield from _expressions(child, lookup)


_OTHER_TABLE = (
    'That is another table. Filter by its rows, such as project__in=Project.objects.filter(slug="x"), or keep'
    " the value in a column of the row."
)


def _join(query: Query, table: str, node: Any, lookup: str) -> _Fault | None:
    """An expression that is not of the model's own *table*, and what to do instead."""
    if not isinstance(node, Col) or node.alias == table:
        return None
    if node.alias not in query.alias_map:
        remedy = "It can know only its own rows: look the values up first, and give them as a list."
        return f"OuterRef({node.target.name!r})", remedy
    path = LOOKUP_SEP.join([*_path(query, node.alias), node.target.name])
    return path if lookup in ("", "exact") else f"{path}{LOOKUP_SEP}{lookup}", _OTHER_TABLE


def _fault(node: Any, lookup: str) -> _Fault | None:
    """What is wrong with an expression of the model's own table, and what to do instead."""
    if isinstance(node, Query) and lookup == "in":
        return _fault_of_subquery(node)
    if isinstance(node, Query | Subquery):
        return (
            f"a subquery in {lookup or 'its condition'}",
            "Only __in can have one. Look the values up first, and give them as a list:"
            " list(….values_list('pk', flat=True)).",
        )
    if isinstance(node, Now | Random) or getattr(node, "function", None) in _CHANGING:
        return (
            f"{type(node).__name__}() in its condition, whose value changes while the rows do not",
            "Give a value that you have computed.",
        )
    if isinstance(node, ExtraWhere):
        return "extra()", "Write the condition as lookups or expressions."
    if getattr(node, "contains_aggregate", False) or getattr(node, "contains_over_clause", False):
        return "aggregates or windows in its condition", "Keep their value in a column of the row."
    return None


_CHANGING = ("CURRENT_TIMESTAMP", "GEN_RANDOM_UUID", "RANDOM")


def _path(query: Query, alias: str) -> list[str]:
    """The names that lead from the model to the table of *alias*, as a lookup has them."""
    names: list[str] = []
    while isinstance(join := query.alias_map.get(alias), Join):
        names.insert(0, str(getattr(join.join_field, "name", join.table_name)))
        alias = join.parent_alias
    return names


# --- Columns ----------------------------------------------------------------------------------------


def columns_of(queryset: QuerySet[Model]) -> tuple[str, ...]:
    """The columns that the QuerySet loads, generated ones left out: the log never has their values."""
    mask: dict[Any, dict[Any, Any]] = queryset.query.get_select_mask()
    fields = [field for field in _fields(queryset.model) if not mask or field in mask]
    if any(mask.values()) or (mask and not fields):
        remedy = "Name only the model's own fields."
        raise UnsupportedQuerySet(queryset, "only() or defer() of another table's columns", remedy)
    generated = [field.name for field in fields if _is_generated(field)]
    if generated and mask and not queryset.query.deferred_loading[1]:
        remedy = "Leave them out of only(), and compute them in the client."
        what = f"columns that the database generates: {', '.join(generated)}"
        raise UnsupportedQuerySet(queryset, what, remedy)
    return tuple(str(field.column) for field in fields if not _is_generated(field))


def columns_named(model: type[Model], names: Iterable[str]) -> tuple[str, ...]:
    """Those of the fields called *names*, ``project`` or ``project_id``, and of the primary key."""
    by_name = {name: field for field in _fields(model) for name in (field.name, field.attname)}
    wanted = dict.fromkeys(names)
    for name in wanted:
        if name != "pk" and name not in by_name:
            known = ", ".join(field.name for field in _fields(model))
            raise ValueError(f"{model._meta.label} has no field {name!r} to send; it has {known}.")
    chosen = {by_name[name] for name in wanted if name != "pk"}
    key = set(getattr(model._meta, "pk_fields", [model._meta.pk]))
    return tuple(str(field.column) for field in _fields(model) if field in chosen | key)


def _fields(model: type[Model]) -> list[Field[Any, Any]]:
    return [field for field in model._meta.concrete_fields if field.column]


def _is_generated(field: Field[Any, Any]) -> bool:
    return bool(getattr(field, "generated", False))


# --- Table and condition ------------------------------------------------------------------------------


_SCHEMA = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(%s)
"""


def table_of(model: type[Model]) -> TableName:
    """The table of *model*, in the schema that the search path finds it in. Raises ValueError."""
    connection = connections[conf.ALIAS]
    options = str(connection.settings_dict.get("OPTIONS"))
    database = str(connection.settings_dict["NAME"])
    return _find_table(database, options, connection.ops.quote_name(model._meta.db_table))


@lru_cache(maxsize=1_024)
def _find_table(database: str, options: str, quoted: str) -> TableName:
    """The table called *quoted*; *database* and *options* tell search paths apart. Raises ValueError."""
    with connections[conf.ALIAS].cursor() as cursor:
        cursor.execute(_SCHEMA, [quoted])
        row = cursor.fetchone()
    if row is None:
        raise ValueError(f"The database has no table {quoted}: run migrate.")
    return TableName(*row)


def _where(connection: BaseDatabaseWrapper, queries: Sequence[Query]) -> str | None:
    """The conditions of all *queries* as one, without placeholders; None if there is none."""
    conditions = [_condition(connection, query) for query in queries]
    return " AND ".join(f"({one})" for one in conditions if one is not None) or None


def _condition(connection: BaseDatabaseWrapper, query: Query) -> str | None:
    query = without_joins(query)
    table = query.get_initial_alias()
    try:
        sql, params = query.get_compiler(connection=connection).compile(query.where)
    except FullResultSet:
        return None
    except EmptyResultSet:
        return "false"
    # A shape has one table, whose columns bear no other name.
    condition = connection.ops.compose_sql(sql, params)  # type: ignore[attr-defined]  # of Postgres
    names = {
        connection.ops.quote_name(model._meta.db_table): _quoted(connection, table_of(model))
        for model in _models_of_subqueries(query)
    }
    condition = with_schemas(condition, names) if names else condition
    return without_prefix(condition, connection.ops.quote_name(table))


def _models_of_subqueries(query: Query) -> Iterator[type[Model]]:
    for _, node in _expressions(query.where, ""):
        if isinstance(node, Query):
            yield from _models_of(node)


def _quoted(connection: BaseDatabaseWrapper, table: TableName) -> str:
    return ".".join(map(connection.ops.quote_name, table))
