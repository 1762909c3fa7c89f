"""A QuerySet as a shape: the same rows, the columns that it loads, and what is refused, by name."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import DataError, connection, transaction
from django.db.models import (
    Avg,
    BooleanField,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Length, Lower, Now, Random, Trim, Upper
from django.db.models.lookups import Exact, GreaterThan

from django_electric.analysis import analyse
from django_electric.catalogue import find_relation
from django_electric.postgres.relation import Relation
from django_electric.protocol.conditions import FoundTable
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import ShapeParams
from django_electric.protocol.resolve import resolve
from django_electric.querysets import UnsupportedQuerySet, access_of, check_queryset, table_of
from django_electric.shapes.definition import ShapeDefinition
from django_electric.where import Contained, EvaluationError, Undecided
from example_project.demo.models import Project
from tests.support.orm import LongNote, Note, NoteProxy, Owner, tables

pytestmark = pytest.mark.usefixtures("postgres_cluster", "db", "notes")

AT = dt.datetime(2024, 2, 29, 23, 30, tzinfo=dt.UTC)
IDENT = uuid.UUID(int=7)


@pytest.fixture(scope="module")
def note_tables(
    postgres_cluster: object, django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    with django_db_blocker.unblock(), tables():
        yield


@pytest.fixture
def notes(note_tables: None, db: None) -> None:
    """Rows that differ in everything that a lookup may ask for."""
    owners = [Owner.objects.create(name=name) for name in ("Ann", "Bob")]
    Note.objects.create()
    Note.objects.create(
        owner=owners[0], title="It's 100% \\ Ärger", body="One line\nand 'two'", count=5, rank=1,
        price=Decimal("10.50"), ratio=0.5, done=True, day=AT.date(), at=AT,
        spent=dt.timedelta(hours=3), ident=IDENT, data={"a": {"b": [1, "x"]}, "n": 5, "flag": True},
        tags=["red", "blue"], address="10.0.0.1",
    )  # fmt: skip
    Note.objects.create(
        owner=owners[1], title="it's", body="", count=-1, rank=5, price=Decimal("-1"), ratio=-2.25,
        day=dt.date(2024, 3, 1), at=AT + dt.timedelta(hours=1), spent=dt.timedelta(days=-1),
        ident=uuid.UUID(int=8), data={"a": None, "n": "5"}, tags=[], address="::1",
    )  # fmt: skip
    Note.objects.create(
        owner=owners[1], title="ÄRGER", body=None, count=5, data=[1, 2], tags=["red"]
    )


def relation_of_notes() -> Relation:
    with connection.cursor() as cursor:
        relation = find_relation(cursor, *table_of(Note))
    assert relation is not None
    return relation


def definition(rows: Any) -> ShapeDefinition:
    """The shape, as the web side makes it. Raises ConfigurationError if nobody can evaluate it."""
    relation = relation_of_notes()
    access = access_of(rows)
    with transaction.atomic(), connection.cursor() as cursor:

        def find(table: TableName) -> FoundTable | None:
            found = find_relation(cursor, *table)
            return found and FoundTable(found, partial(analyse, cursor, found))

        try:
            analyse_here = partial(analyse, cursor, relation)
            shape = ShapeParams(access.table, access=access)
            return resolve(shape, relation, analyse_here, find)
        finally:
            transaction.set_rollback(True)


def keys_of(shape: ShapeDefinition) -> set[int]:
    """The rows of the shape: as the worker decides for each, and as its first rows are selected."""
    names = [column.name for column in shape.relation_columns]
    texts = ", ".join(f'"{name}"::text' for name in names)
    table = f'"{shape.schema}"."{shape.table}"'
    condition = shape.where or "true"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL IntervalStyle = 'iso_8601'")
        cursor.execute(f"SELECT id, {texts} FROM {table}")
        rows = cursor.fetchall()
        cursor.execute(f"SELECT id FROM {table} WHERE {condition}".replace("%", "%%"), [])
        selected = {key for (key,) in cursor.fetchall()}
    where = shape.parsed_where()
    if where is None:
        return selected
    matches = where.compile({name: at for at, name in enumerate(names)})
    for key, *row in rows:
        try:
            assert (matches(row) is True) == (key in selected), (key, shape.where)
        except Undecided:
            continue  # Postgres is asked, with the very condition that selected
        except EvaluationError:
            assert key not in selected
    return selected


LOOKUPS: list[Q | Any] = [
    Q(),
    Q(pk=3),
    Q(count=5),
    Q(count=None),
    Q(count__isnull=False),
    Q(owner=1) | Q(owner_id=2),
    Q(owner__isnull=True),
    Q(owner__id__in=[1, 3]),
    Q(owner__pk__gt=1),
    Q(count__in=[5, -1, 77]),
    Q(count__in=[]),
    ~Q(count__in=[]),
    ~Q(count=5),
    ~Q(count__in=[5]),
    ~Q(Q(count=5) & Q(done=True)),
    Q(count__gt=F("rank")),
    Q(count=F("rank") + 4),
    Q(rank__lte=F("count") * 2),
    Q(count__range=(0, 10)),
    Q(count__in=[F("rank"), 5]),
    Q(done=True),
    Q(done=False),
    ~Q(done=True),
    Q(title="it's"),
    Q(title__iexact="IT'S"),
    Q(title__contains="%"),
    Q(title__contains="\\"),
    Q(title__icontains="ärger"),
    Q(title__startswith="It"),
    Q(title__istartswith="it"),
    Q(title__endswith="s"),
    Q(title__iendswith="GER"),
    Q(title__regex=r"^[Ii]t"),
    Q(title__iregex=r"^it's$"),
    Q(title__in=["it's", "x"]),
    Q(title__gt="a"),
    Q(body__contains="'two'"),
    Q(body=""),
    Q(title=F("body")),
    Q(price=Decimal("10.5")),
    Q(price__lt=0),
    Q(ratio__gte=0.5),
    Q(day=AT.date()),
    Q(day__gt=AT.date()),
    Q(day__year=2024),
    Q(day__month=3),
    Q(day__week_day=6),
    Q(at=AT),
    Q(at__lt=AT + dt.timedelta(minutes=1)),
    Q(at__date=dt.date(2024, 2, 29)),
    Q(at__year=2024),
    Q(at__hour=23),
    Q(at__time__gt=dt.time(23)),
    Q(at__gt=F("day")),
    Q(spent__gt=dt.timedelta(0)),
    Q(ident=IDENT),
    Q(ident__in=[IDENT, uuid.UUID(int=8)]),
    Q(data__n=5),
    Q(data__a__b__0=1),
    Q(data__n="5"),
    Q(data__flag=True),
    Q(data__a=None),
    Q(data__a__isnull=True),
    Q(data__has_key="n"),
    Q(data__has_any_keys=["x", "flag"]),
    Q(data__contains={"n": 5}),
    Q(data=[1, 2]),
    Q(data__0=1),
    Q(data__n__gt=4),
    Q(tags__contains=["red"]),
    Q(tags__overlap=["blue", "x"]),
    Q(tags__len=2),
    Q(tags__0="red"),
    Q(tags=[]),
    Q(address="10.0.0.1"),
    Q(address__startswith="10."),
    Exact(Lower("title"), "it's"),
    GreaterThan(Length("title"), 4),
    Exact(Coalesce("count", 0), 0),
    Exact(Trim("title"), Upper("title")),
    Case(When(count__gt=0, then=Value(True)), default=Value(False), output_field=BooleanField()),
    ExpressionWrapper(Q(count__gt=0) ^ Q(done=True), output_field=BooleanField()),
]


@pytest.mark.parametrize("condition", LOOKUPS, ids=str)
def test_the_rows_are_those_of_the_queryset(condition: Any) -> None:
    queryset = Note.objects.filter(condition)
    assert keys_of(definition(queryset)) == set(queryset.values_list("pk", flat=True))


IN_QUERYSETS = [
    lambda: Q(owner__in=Owner.objects.all()),
    lambda: Q(owner__in=Owner.objects.filter(name="Ann")),
    lambda: Q(owner_id__in=Owner.objects.filter(name="Ann").values("pk")),
    lambda: ~Q(owner__in=Owner.objects.filter(name="Ann")),
    lambda: ~Q(rank__in=Note.objects.filter(count=5).values("rank")),
    lambda: Q(owner__in=Owner.objects.filter(name="Ann")) | Q(count=5),
    lambda: Q(owner__in=Owner.objects.filter(pk__in=Note.objects.filter(count=5).values("owner"))),
    lambda: Q(owner__in=Owner.objects.exclude(name="Ann"), title__icontains="S"),
    lambda: Q(pk__in=Note.objects.filter(done=True)),
    lambda: Q(pk__in=Note.objects.all()),
    lambda: Q(owner__in=Owner.objects.filter(name__icontains="ä")),
    lambda: Q(owner__in=Owner.objects.order_by("name")),
    lambda: Q(owner__in=Owner.objects.none()),
    lambda: ~Q(owner__in=Owner.objects.none()),
    # Joins along foreign keys.
    lambda: Q(owner__name="Ann"),
    lambda: Q(owner__name="Nobody"),
    lambda: Q(owner__name__in=["Ann", "Bob"], owner__name__startswith="B", count=5),
    lambda: Q(owner__name__icontains="n"),
    lambda: Q(owner__name__isnull=False),
    lambda: Q(owner__name="Ann") | Q(count=-1),
    lambda: Q(owner__name="Ann") | Q(owner__name="Bob", title__icontains="R"),
    lambda: ~Q(owner__name="Ann"),
    lambda: ~Q(owner__name="Nobody"),
    lambda: ~Q(owner__name="Bob", count=5),
    lambda: ~(Q(owner__name="Ann") | Q(count=-1)),
    lambda: Q(owner__name="Bob") & ~Q(owner__name__startswith="A"),
    lambda: Q(owner__in=Owner.objects.filter(name="Ann")) | Q(owner__name="Bob"),
]


@pytest.mark.parametrize("make", IN_QUERYSETS)
def test_the_rows_are_those_of_a_queryset_in_a_queryset(make: Any) -> None:
    queryset = Note.objects.filter(make())
    shape = definition(queryset)
    assert keys_of(shape) == set(queryset.values_list("pk", flat=True))
    plan = shape.plan()
    assert plan is None or plan.sql == shape.where


def test_a_queryset_in_a_queryset_is_a_dependency() -> None:
    shape = definition(Note.objects.exclude(owner__in=Owner.objects.filter(name="Ann")))
    condition = (
        '"owner_id" IN (SELECT "id" FROM ONLY "public"."Odd owners" WHERE "name" = \'Ann\'::text)'
    )
    assert shape.where == f'(NOT ({condition})) OR ("owner_id" IS NULL)'
    (owners,) = shape.dependencies
    assert (owners.table, owners.columns, owners.where) == (
        "Odd owners",
        ("id",),
        "\"name\" = 'Ann'::text",
    )
    plan = shape.plan()
    assert plan is not None
    assert plan.columns == {"owner_id"}
    assert plan.alternatives[0] == (Contained(("owner_id",), 0, "not in"),)


def test_what_only_postgres_evaluates_may_stand_inside() -> None:
    shape = definition(Note.objects.filter(owner__in=Owner.objects.filter(name__icontains="ä")))
    (owners,) = shape.dependencies
    assert owners.delegated_columns == ("name",)


class TestManners:
    """What a QuerySet may be besides its lookups."""

    @pytest.mark.parametrize(
        "rows",
        [
            Note,
            Note.objects,
            Note.objects.all(),
            Note.objects.order_by(),
            Note.objects.using("default"),
            NoteProxy.objects.all(),
            Note.objects.filter(Q()),
        ],
        ids=range(7),
    )
    def test_all_rows(self, rows: Any) -> None:
        shape = definition(rows)
        assert shape.where is None
        assert shape.table == "orm_notes"

    def test_no_rows(self) -> None:
        assert keys_of(definition(Note.objects.none())) == set()

    def test_filters_that_follow_one_another(self) -> None:
        queryset = Note.objects.filter(count=5).exclude(done=True).filter(rank=0)
        assert keys_of(definition(queryset)) == {queryset.get().pk}

    def test_querysets_joined_by_and_and_or(self) -> None:
        fives, done = Note.objects.filter(count=5), Note.objects.filter(done=True)
        for queryset in (fives & done, fives | done):
            expected = set(queryset.values_list("pk", flat=True))
            assert keys_of(definition(queryset)) == expected

    def test_several_narrow_one_another(self) -> None:
        access = access_of(
            Note.objects.filter(Q(count=5) | Q(rank=5)), NoteProxy.objects.filter(done=True)
        )
        assert access.where == '(("count" = 5 OR "rank" = 5)) AND ("done")'
        with pytest.raises(ValueError, match=r"of one model, not of orm\.Note, orm\.Owner"):
            access_of(Note, Owner)

    def test_other_things_are_no_querysets(self) -> None:
        for other in (Note.objects.raw("SELECT 1"), [1], Note(), "orm.Note"):
            with pytest.raises(TypeError, match="a model, a manager or a QuerySet"):
                access_of(other)  # type: ignore[arg-type]  # that is the point

    def test_a_queryset_is_left_as_it_was(self) -> None:
        queryset = Note.objects.filter(count=5)
        before = str(queryset.query), dict(queryset.query.alias_refcount)
        access_of(queryset)
        assert (str(queryset.query), dict(queryset.query.alias_refcount)) == before

    def test_the_same_condition_is_the_same_shape(self) -> None:
        one = definition(Note.objects.filter(count=5, done=True))
        other = definition(Note.objects.filter(count=5).filter(done=True))
        assert one.identity == other.identity


class TestTables:
    def test_the_search_path_decides_on_the_schema(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                'CREATE SCHEMA elsewhere CREATE TABLE "Odd owners" (id bigint PRIMARY KEY)'
            )
            assert table_of(Owner) == ("public", "Odd owners")
            cursor.execute("SET LOCAL search_path = elsewhere, public")
        changed = {"options": "-c search_path=elsewhere"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(connection.settings_dict, "OPTIONS", changed)
            assert table_of(Owner) == ("elsewhere", "Odd owners")

    def test_a_table_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match='no table "orm_longnote": run migrate'):
            table_of(LongNote)


class TestColumns:
    def columns(self, rows: Any, *names: str) -> tuple[str, ...] | None:
        return access_of(rows, columns=names or None).columns

    def test_without_a_choice_all_but_those_that_the_database_generates(self) -> None:
        columns = self.columns(Owner)
        assert columns == ("id", "name")
        assert "label" not in (self.columns(Note) or ())
        assert "Heading text" in (self.columns(Note) or ())

    def test_only_and_defer(self) -> None:
        assert self.columns(Note.objects.only("title", "owner")) == (
            "id",
            "owner_id",
            "Heading text",
        )
        deferred = self.columns(Note.objects.defer("secret", "data", "label")) or ()
        assert {"secret", "data"}.isdisjoint(deferred)
        assert "body" in deferred

    def test_named_beside_the_queryset(self) -> None:
        assert self.columns(Note, "title") == ("id", "Heading text")
        assert self.columns(Note, "owner_id", "pk") == ("id", "owner_id")
        assert self.columns(Note.objects.only("title"), "body", "title") == ("id", "Heading text")

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(
            ValueError, match=r"orm.Owner has no field 'nam' to send; it has id, name"
        ):
            self.columns(Owner, "nam")

    def test_those_that_all_of_several_load(self) -> None:
        access = access_of(Note.objects.only("title", "body"), Note.objects.defer("body"))
        assert access.columns == ("id", "Heading text")


REFUSED: list[tuple[Any, str, str]] = [
    (lambda: Note.objects.filter(owner__name__isnull=True), "owner__name__isnull", "its rows"),
    (
        lambda: Note.objects.filter(owner__name=F("title")),
        "owner__name",
        "project__in=Project.objects",
    ),
    (lambda: Project.objects.filter(issues__isnull=True), "issues__id__isnull", "another table"),
    (lambda: Project.objects.filter(issues__priority=F("id")), "issues__priority", "another table"),
    (lambda: Note.objects.filter(title=F("owner__name")), "owner__name", "another table"),
    (lambda: Note.objects.filter(title__in=[F("owner__name")]), "owner__name__in", "another table"),
    (lambda: Project.objects.exclude(issues__priority=1), "subquery", "list("),
    (
        lambda: Note.objects.filter(owner=Owner.objects.values("pk")[:1]),
        "a subquery in exact",
        "list(",
    ),
    (
        lambda: Note.objects.filter(owner__in=Owner.objects.all()[:3]),
        "subquery with a slice",
        "list",
    ),
    (
        lambda: Note.objects.filter(owner__in=Owner.objects.distinct()),
        "with distinct()",
        "leave it out",
    ),
    (
        lambda: Note.objects.filter(owner__in=Owner.objects.values(n=F("id") + 1)),
        "a subquery with a value that is no column",
        "values()",
    ),
    (
        lambda: Note.objects.filter(owner__in=Owner.objects.values("name").values(n=Count("id"))),
        "a subquery with aggregates",
        "column of the row",
    ),
    (
        lambda: Note.objects.filter(
            rank__in=Project.objects.filter(issues__priority=1).values("id")
        ),
        "a subquery with issues__priority",
        "another table",
    ),
    (
        lambda: Note.objects.filter(owner__in=Owner.objects.filter(name=OuterRef("title"))),
        "a subquery with OuterRef('title')",
        "its own rows",
    ),
    (
        lambda: Note.objects.filter(
            owner__in=Owner.objects.filter(pk__in=Note.objects.values("owner")[:2])
        ),
        "a subquery with a subquery with a slice",
        "list",
    ),
    (
        lambda: Note.objects.filter(owner__in=Owner.objects.all().union(Owner.objects.all())),
        "union()",
        "Q objects",
    ),
    (
        lambda: Note.objects.filter(Exists(Owner.objects.filter(pk=OuterRef("owner")))),
        "a subquery",
        "list(",
    ),
    (lambda: Note.objects.filter(at__lt=Now()), "Now()", "computed"),
    (lambda: Note.objects.filter(ratio__lt=Random()), "Random()", "computed"),
    (lambda: Note.objects.annotate(n=F("count") + 1), "annotations", "filter()"),
    (lambda: Note.objects.alias(n=F("count") + 1).filter(n=2), "annotations", "filter()"),
    (lambda: Project.objects.annotate(n=Count("issues")), "annotations", "filter()"),
    (
        lambda: Project.objects.annotate(n=Avg("issues__priority")).filter(n__gt=1),
        "annotations",
        "filter()",
    ),
    (lambda: Note.objects.all()[:5], "a slice", "subset"),
    (lambda: Note.objects.order_by("count"), "an order", "Sort in the client"),
    (lambda: Note.objects.reverse(), "an order", "order_by()"),
    (lambda: Note.objects.order_by("?"), "an order", "order_by()"),
    (lambda: Note.objects.distinct(), "distinct()", "leave it out"),
    (lambda: Note.objects.distinct("count"), "distinct()", "leave it out"),
    (lambda: Note.objects.all().union(Note.objects.all()), "union()", "Q objects"),
    (lambda: Note.objects.all().difference(Note.objects.all()), "union()", "Q objects"),
    (lambda: Note.objects.select_related("owner"), "select_related()", "other model"),
    (lambda: Note.objects.prefetch_related("owner"), "prefetch_related()", "other model"),
    (lambda: Note.objects.select_for_update(), "select_for_update()", "leave it out"),
    (lambda: Note.objects.values("id"), "values()", "only()"),
    (lambda: Note.objects.values_list("id"), "values()", "only()"),
    (lambda: Note.objects.dates("day", "year"), "distinct()", "leave it out"),
    (lambda: Note.objects.extra(where=["1 = 1"]), "extra()", "lookups"),
    (lambda: Note.objects.extra(select={"x": "1"}), "extra()", "lookups"),
    (lambda: Note.objects.using("other"), "another database", "leave out using()"),
    (lambda: Note.objects.only("owner__name"), "another table's columns", "own fields"),
    (lambda: Note.objects.only("label"), "the database generates: label", "only()"),
    (lambda: LongNote.objects.all(), "in two tables", "parent"),
]


@pytest.mark.parametrize(("make", "what", "remedy"), REFUSED)
def test_what_no_shape_can_be_is_refused_by_name(make: Any, what: str, remedy: str) -> None:
    with pytest.raises(UnsupportedQuerySet) as refused:
        check_queryset(make())
    assert what in refused.value.message
    assert remedy in refused.value.message


def test_a_clients_condition_that_fails_is_not_asked_about_rows_outside() -> None:
    """Postgres asks the cheaper of two conditions first, wherever it stands."""
    allowed = Note.objects.filter(Exact(Upper(Upper(Upper("title"))), "IT'S"))
    access, asked = access_of(allowed), "10 / (count - 5) < 0"
    shape = resolve(ShapeParams(access.table, where=asked, access=access), relation_of_notes())
    with connection.cursor() as cursor:
        select = "SELECT id FROM orm_notes WHERE "
        with pytest.raises(DataError, match="division by zero"), transaction.atomic():
            cursor.execute(f"{select} ({access.where}) AND ({asked})")
        cursor.execute(f"{select} {shape.where}")
        assert cursor.fetchall() == [(Note.objects.get(title="it's").pk,)]
