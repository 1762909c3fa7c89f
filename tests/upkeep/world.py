"""An installation in which nothing is wrong, as facts; tests change one of them."""

from __future__ import annotations

from dataclasses import replace

from django_electric.drift import PublicationState
from django_electric.replication.heartbeat import Heartbeat, Sample, Vitals
from django_electric.upkeep.facts import (
    Facts,
    ServerFacts,
    SlotFacts,
    StorageFacts,
    TableFacts,
)

SERVER = ServerFacts(
    version=180003,
    wal_level="logical",
    role="app",
    may_replicate=True,
    has_catalogue=True,
    slots=1,
    max_slots=10,
    senders=1,
    max_senders=10,
    keep_size_mb=10_240,
    wal_end=1_000,
)
SLOT = SlotFacts("electric_slot_default", True, "reserved", 100, 10, "0/1", "0/2")
PUBLICATION = PublicationState("electric_publication_default", publishes_all=True, may_alter=True)
TABLE = TableFacts(
    oid=4711,
    schema="public",
    table="items",
    exists=True,
    is_published=True,
    has_full_identity=True,
    shapes=2,
    is_registered=False,
)
BEAT = Heartbeat(
    at=1_000.0,
    started_at=900.0,
    host="here",
    pid=42,
    is_stopped=False,
    vitals=Vitals(published=900, confirmed=800, wal_end=1_000, changes=7, shapes=2),
    samples=(Sample(995.0, 50, 1.5),),
)
STORAGE = StorageFacts("/logs", True, True, False, BEAT, 2.0)
FINE = Facts("default", "default", False, STORAGE, "", SERVER, SLOT, PUBLICATION, (TABLE,))

FRESH = replace(
    FINE,
    storage=replace(STORAGE, is_locked=False, heartbeat=None, heartbeat_age=None),
    server=replace(SERVER, has_catalogue=False, slots=0, senders=0),
    slot=None,
    publication=None,
    tables=(),
)
"""A database that has not been migrated."""


def without_worker(facts: Facts, age: float | None = 600.0) -> Facts:
    """The worker was last heard of *age* seconds ago; None for never."""
    beat = BEAT if age is not None else None
    storage = replace(facts.storage, is_locked=False, heartbeat=beat, heartbeat_age=age)
    slot = replace(facts.slot, is_active=False) if facts.slot else None
    return replace(facts, storage=storage, slot=slot)
