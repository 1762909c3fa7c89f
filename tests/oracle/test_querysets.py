"""Shapes of QuerySets: after whatever writes, each has the rows that its QuerySet finds.

Hypothesis combines lookups; a seed decides what is written through the ORM, in bulk and in plain SQL.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower
from hypothesis import given, note, settings
from hypothesis import strategies as st

from django_electric.querysets import access_of
from tests.oracle.conftest import ORACLE
from tests.support.followers import Follower, Followers
from tests.support.orm import Note, Owner, tables
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

AT = dt.datetime(2024, 2, 29, 23, 30, tzinfo=dt.UTC)
TITLES = ("", "It's", "100% \\", "ärger", "ÄRGER", "x_y", "a" * 60)


def _lookups() -> st.SearchStrategy[Q]:
    numbers, titles = st.integers(-2, 6), st.sampled_from(TITLES)
    moments = st.integers(-3, 3).map(lambda hours: AT + dt.timedelta(hours=hours))
    values: dict[str, st.SearchStrategy[Any]] = {
        "count": numbers, "count__gt": numbers, "count__in": st.lists(numbers, max_size=3),
        "count__isnull": st.booleans(), "rank__lte": numbers, "owner_id": st.integers(1, 3),
        "owner__in": st.lists(st.integers(1, 3), max_size=2), "done": st.booleans(),
        "owner__name": titles, "owner__name__startswith": st.just("O"),
        "count__lt": st.just(F("rank")), "rank": st.just(F("count") - 1), "title": titles,
        "title__icontains": titles, "title__contains": titles, "title__istartswith": titles,
        "title__in": st.lists(titles, max_size=3), "title__iregex": st.sampled_from(["^a", "r$"]),
        "body__isnull": st.booleans(), "body": st.just(F("title")), "body__iexact": titles,
        "price__gte": st.decimals(-2, 9, places=2), "at__lt": moments, "at__date": moments.map(dt.datetime.date),
        "day__year": st.just(2024), "day": moments.map(dt.datetime.date), "data__n": numbers,
        "data__has_key": st.sampled_from(["n", "x"]), "data__contains": numbers.map(lambda n: {"n": n}),
        "tags__contains": st.lists(titles, max_size=2), "tags__len": st.integers(0, 2),
    }  # fmt: skip
    return st.one_of([drawn.map(lambda v, n=name: Q(**{n: v})) for name, drawn in values.items()])


def conditions() -> st.SearchStrategy[Q]:
    """Lookups, joined and negated."""
    return st.recursive(
        _lookups(),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
            st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
            inner.map(lambda one: ~one),
        ),
        max_leaves=4,
    )


class Writer:
    """Random writes of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.kinds: tuple[Callable[[], object], ...] = (
            self.create, self.save, self.delete, self.update, self.bulk_create, self.bulk_update,
            self.raw, self.rolled_back,
        )  # fmt: skip

    def write(self, times: int) -> None:
        for _ in range(times):
            self.random.choice(self.kinds)()

    def values(self) -> dict[str, Any]:
        choice, title = self.random.choice, self.random.choice(TITLES)
        number = choice((None, *range(-2, 7)))
        at = choice((None, AT + dt.timedelta(minutes=choice(range(-200, 200)))))
        return {
            "title": title, "body": choice((None, title, "", "Ärger")), "count": number,
            "rank": choice(range(-2, 7)), "done": choice((True, False)), "owner_id": choice((None, 1, 2)),
            "price": None if number is None else Decimal(number) + Decimal("0.25"), "at": at,
            "day": at and at.date(), "data": choice((None, {}, {"n": number}, {"x": [number]}, [1])),
            "tags": choice((None, [], [title], [title, "It's"])),
        }  # fmt: skip

    def some(self) -> QuerySet[Note]:
        keys = list(Note.objects.order_by().values_list("pk", flat=True))
        return Note.objects.filter(pk__in=self.random.sample(keys, min(3, len(keys))))

    def create(self) -> None:
        Note.objects.create(**self.values())

    def save(self) -> None:
        for one in self.some():
            for name, value in self.values().items():
                setattr(one, name, value)
            one.save()

    def delete(self) -> None:
        self.some()[:1].get().delete() if self.some().exists() else None

    def update(self) -> None:
        self.some().update(count=F("rank"), title=Lower("title"), data=self.values()["data"])

    def bulk_create(self) -> None:
        Note.objects.bulk_create([Note(**self.values()) for _ in range(4)])

    def bulk_update(self) -> None:
        changed = list(self.some())
        for one in changed:
            one.title, one.at = self.values()["title"], self.values()["at"]
        Note.objects.bulk_update(changed, ["title", "at"])

    def raw(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE orm_notes SET rank = -rank, done = NOT done WHERE id % 3 = 0")

    def rolled_back(self) -> None:
        with transaction.atomic():
            self.create()
            Note.objects.all().delete()
            transaction.set_rollback(True)


@contextmanager
def django_on(server: ElectricServer, blocker: Any) -> Iterator[None]:
    """The ORM on the server's database."""
    before = connection.settings_dict["NAME"]
    with blocker.unblock():
        connection.close()
        connection.settings_dict["NAME"] = server.database
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = before


def check(server: ElectricServer, chosen: Sequence[Q], seed: int, batches: int) -> None:
    """Follow the shapes of all conditions while rows are written."""
    querysets = [Note.objects.filter(condition) for condition in chosen]
    writer = Writer(seed)
    with tables(), Followers(server) as followers:
        for name in ("Ann", "Bob"):
            Owner.objects.create(name=name)
        followers.make_marks()
        writer.bulk_create()
        following = [follow(followers, queryset) for queryset in querysets]
        for _ in range(batches):
            writer.write(10)
            followers.settle()
            for follower, queryset in zip(following, querysets, strict=True):
                found = {int(row["id"] or 0) for row in follower.rows.values()}
                expected = set(queryset.order_by().values_list("pk", flat=True))
                assert found == expected, str(queryset.query)
        followers.stop(*followers.all)


def follow(followers: Followers, queryset: QuerySet[Note]) -> Follower:
    access = access_of(queryset)
    columns = ",".join(f'"{name}"' for name in access.columns or ())
    where = {"where": access.where} if access.where is not None else {}
    return followers.follow(table=access.table.name, columns=columns, **where)


@settings(ORACLE, max_examples=2)
@given(chosen=st.lists(conditions(), min_size=20, max_size=25), seed=st.integers(0, 2**31))
def test_shapes_have_the_rows_of_their_querysets(
    oracle_server: ElectricServer,
    django_db_setup: None,
    django_db_blocker: Any,
    chosen: list[Q],
    seed: int,
) -> None:
    note(f"seed {seed}")
    with django_on(oracle_server, django_db_blocker):
        check(oracle_server, chosen, seed, batches=2)


@pytest.mark.soak
@pytest.mark.timeout(0)
@settings(ORACLE, max_examples=40, derandomize=False)
@given(chosen=st.lists(conditions(), min_size=40, max_size=60), seed=st.integers(0, 2**31))
def test_soak_of_querysets(
    oracle_server: ElectricServer,
    django_db_setup: None,
    django_db_blocker: Any,
    chosen: list[Q],
    seed: int,
) -> None:
    note(f"seed {seed}")
    with django_on(oracle_server, django_db_blocker):
        check(oracle_server, chosen, seed, batches=6)
