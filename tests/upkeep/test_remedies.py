"""Remedies: what --fix does, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from django_electric.conf import ElectricSettings
from django_electric.models import Shape
from django_electric.upkeep.examine import examine
from django_electric.upkeep.probes import findings
from django_electric.upkeep.remedies import FIXES, can_fix, fix
from tests.upkeep.shapes import register, register_reader


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def fixed(settings: ElectricSettings) -> list[str]:
    facts = examine(settings)
    return list(fix(settings, facts, findings(facts)))


def left(settings: ElectricSettings) -> set[str]:
    facts = examine(settings)
    return {finding.id for finding in findings(facts) if can_fix(finding, facts)}


def test_a_table_of_shapes_that_was_not_streamed_is_published_and_its_shapes_are_rotated(
    in_use: ElectricSettings,
) -> None:
    register(in_use, "items")
    run(f"ALTER PUBLICATION {in_use.publication_name} ADD TABLE others",
        "ALTER TABLE others REPLICA IDENTITY FULL")  # fmt: skip
    kept = register(in_use, "others")
    done = fixed(in_use)
    assert done == [
        '"public"."items" is in the publication',
        '1 shapes of "public"."items" are rotated',
    ]
    assert [shape.handle for shape in Shape.objects.all()] == [kept.handle]
    assert left(in_use) == set()
    again = register(in_use, "items")
    assert {t.table: (t.is_published, t.has_full_identity) for t in examine(in_use).tables} == {
        again.table_name: (True, True), "others": (True, True),
    }  # fmt: skip


def test_shapes_whose_subqueries_read_a_table_that_was_not_streamed_are_rotated(
    in_use: ElectricSettings,
) -> None:
    run(f"ALTER PUBLICATION {in_use.publication_name} ADD TABLE items",
        "ALTER TABLE items REPLICA IDENTITY FULL")  # fmt: skip
    kept = register(in_use, "items")
    register_reader(in_use, "items", "others")
    assert fixed(in_use) == [
        '"public"."others" is in the publication',
        '1 shapes of "public"."others" are rotated',
    ]
    assert [shape.handle for shape in Shape.objects.all()] == [kept.handle]


def test_the_replica_identity_is_made_full(in_use: ElectricSettings) -> None:
    shape = register(in_use, "items")
    run(f"ALTER PUBLICATION {in_use.publication_name} ADD TABLE items")
    assert fixed(in_use) == ['"public"."items" has REPLICA IDENTITY FULL']
    assert left(in_use) == set()
    assert Shape.objects.filter(pk=shape.pk).exists()


def test_a_publication_that_left_operations_out_carries_them(in_use: ElectricSettings) -> None:
    run(f"ALTER PUBLICATION {in_use.publication_name} SET (publish = 'insert')")
    assert fixed(in_use) == [f"publication {in_use.publication_name} carries all operations"]
    assert left(in_use) == set()


def test_shapes_of_a_table_that_is_gone_are_deleted(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    run("DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY)")
    assert fixed(in_use) == ['1 shapes of "public"."items" are deleted']
    assert not Shape.objects.exists()


def test_who_publishes_by_hand_is_left_alone(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    by_hand = replace(in_use, manual_table_publishing=True)
    assert fixed(by_hand) == []
    assert left(by_hand) == set()
    assert Shape.objects.exists()


def test_what_cannot_be_done_is_said_and_the_rest_is_done(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    register(in_use, "others")
    facts = examine(in_use)
    run("DROP TABLE items")
    done = list(fix(in_use, facts, findings(facts)))
    assert done[0].startswith('not done: "public"."items" is in the publication: ')
    assert '"public"."others" is in the publication' in done
    run("CREATE TABLE items (id int PRIMARY KEY)")


def test_nothing_is_done_where_nothing_is_wrong(in_use: ElectricSettings) -> None:
    assert fixed(in_use) == []


@pytest.mark.parametrize("identifier", FIXES)
def test_each_remedy_names_the_finding_that_it_is_for(identifier: str) -> None:
    assert (FIXES[identifier].__doc__ or "").startswith(f"{identifier}: ")
