"""Drift: what registered models want, against what Postgres has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from django_electric.drift import Drift, PublicationState, RegisteredTable, TableState, compare

FINE = TableState("public", "items", True, True, False)
PUBLICATION = PublicationState("pub", publishes_all=True, may_alter=True)


def found(
    state: TableState | None = FINE, publication: PublicationState | None = PUBLICATION
) -> tuple[Drift, ...]:
    return compare("pub", publication, [RegisteredTable("shop.Item", '"items"', state)])


def test_where_all_is_as_it_should_be_there_is_no_drift() -> None:
    assert found() == ()
    assert compare("pub", PUBLICATION, []) == ()


@pytest.mark.parametrize(
    ("state", "kind", "is_mended"),
    [
        (None, "table", False),
        (replace(FINE, is_published=False), "unpublished", True),
        (replace(FINE, has_full_identity=False), "identity", True),
        (replace(FINE, loses_generated=True), "generated", False),
    ],
)
def test_a_table_that_cannot_be_followed_is_named_by_its_model_with_a_remedy(
    state: TableState | None, kind: str, is_mended: bool
) -> None:
    (drift,) = found(state)
    assert (drift.kind, drift.subject, drift.is_mended_by_publishing) == (
        kind,
        "shop.Item",
        is_mended,
    )
    assert "shop.Item" in drift.message
    assert drift.remedy.endswith((".", ";"))


def test_several_faults_of_one_table_are_all_said() -> None:
    state = replace(FINE, is_published=False, has_full_identity=False)
    assert [drift.kind for drift in found(state)] == ["unpublished", "identity"]


def test_without_a_publication_nothing_is_published_whatever_else_is_well() -> None:
    first, second = found(publication=None)
    assert (first.kind, first.subject) == ("publication", "pub")
    assert second.kind == "unpublished"
    (alone,) = compare("pub", None, [])
    assert alone.is_mended_by_publishing


def test_a_publication_that_leaves_operations_out_is_drift() -> None:
    (drift,) = found(publication=replace(PUBLICATION, publishes_all=False))
    assert drift.kind == "operations"
    assert "ALTER PUBLICATION pub SET" in drift.remedy
