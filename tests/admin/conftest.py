"""A shape with a log, and somebody who may look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, override_settings

from django_electric.conf import electric_settings
from django_electric.models import Shape
from django_electric.postgres.relation import Column, Relation
from django_electric.shapes.definition import ShapeDefinition
from django_electric.storage import FileStorage
from django_electric.where import parse_where

ITEMS = Relation(
    4711,
    "public",
    "items",
    (
        Column("id", 23, "int4", not_null=True, pk_position=0, evaluator_type="int4"),
        Column("text", 25, "text", evaluator_type="text"),
    ),
)


def entry(n: int, **headers: object) -> bytes:
    """A row, or a change of one."""
    message = {
        "key": f'"public"."items"/"{n}"',
        "value": {"id": str(n), "text": f"<b>text {n}</b>"},
        "headers": {"operation": "insert", **headers},
    }
    return b"," + json.dumps(message, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def shape(tmp_path: Path, db: None) -> Iterator[Shape]:
    """A shape with three first rows and one transaction of two changes in its log."""
    where = parse_where("text = 'a'", {"id": "int4", "text": "text"})
    with override_settings(ELECTRIC={"default": {"STORAGE_DIR": tmp_path, "INSECURE": True}}):
        definition = ShapeDefinition.build(ITEMS, columns=("id",), where=where)
        row = Shape.objects.register(definition, "default")
        storage = FileStorage(electric_settings().root)
        writer = storage.writer(row.handle)
        snapshot = writer.snapshot()
        snapshot.write(b"".join(entry(n) for n in range(3)))
        snapshot.finish()
        changes = [entry(n, lsn="4242", op_position=2 * n, txids=[77]) for n in (0, 1)]
        writer.append(4242, [0, 2], changes)
        storage.publish()
        storage.close()
        yield row


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root", password="root"))
    return client


@pytest.fixture
def guest(client: Client, db: None) -> Client:
    """Staff without a permission."""
    client.force_login(get_user_model().objects.create_user("guest", is_staff=True))
    return client
