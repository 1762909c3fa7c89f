"""Takes away what an installation has made: its shapes and logs, and what it keeps in Postgres.

While a worker is at work the logs are its own: then only the rows of the shapes go, and the worker
deletes the logs and tells the clients.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from django.db import connections

from django_electric.conf import ElectricSettings
from django_electric.errors import ElectricError
from django_electric.models import Shape
from django_electric.postgres.relation import quote_identifier
from django_electric.replication.locks import FileLock
from django_electric.revocations import FILE as REVOCATIONS
from django_electric.wakeup import WRITER_LOCK


class InUse(ElectricError):
    """A worker is at work; stop it first."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """What has gone."""

    shapes: int
    files: bool
    """Whether the directory was emptied; if not, a worker is at work and empties it."""


def clear(settings: ElectricSettings) -> Cleared:
    """Delete every shape of the stream, and everything in its directory. Raises OSError, DatabaseError.

    A worker that starts meanwhile waits.
    """
    rows = Shape.objects.using(settings.alias).filter(stream_id=settings.replication_stream_id)
    count = rows.count()
    lock = FileLock(settings.root / WRITER_LOCK)
    if settings.root.is_dir() and not lock.try_acquire():
        rows.delete()
        return Cleared(count, files=False)
    try:
        rows.delete()
        _empty(settings)
    finally:
        lock.release()
    return Cleared(count, files=True)


def _empty(settings: ElectricSettings) -> None:
    """Everything but the lock, which we hold: whoever waits for it has the file open; and the revocations,
    without which tokens that were revoked would be good again."""
    if not settings.root.is_dir():
        return
    for path in settings.root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (WRITER_LOCK, REVOCATIONS):
            path.unlink()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Names of what was there and has been dropped."""

    slot: str | None
    publication: str | None


def clean_up(settings: ElectricSettings) -> Dropped:
    """Drop slot and publication. Raises `InUse`, DatabaseError.

    The logs are worth nothing after it: the next worker finds its slot new and rotates every shape.
    """
    with connections[settings.alias].cursor() as cursor:
        cursor.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s AND database = current_database()",
            [settings.slot_name],
        )
        slot = cursor.fetchone()
        if slot is not None and slot[0]:
            raise InUse(f"A worker reads the slot {settings.slot_name}; stop it first.")
        cursor.execute("SELECT FROM pg_publication WHERE pubname = %s", [settings.publication_name])
        publication = cursor.fetchone()
        if slot is not None:
            cursor.execute("SELECT pg_drop_replication_slot(%s)", [settings.slot_name])
        if publication is not None:
            cursor.execute(f"DROP PUBLICATION {quote_identifier(settings.publication_name)}")
    return Dropped(
        settings.slot_name if slot is not None else None,
        settings.publication_name if publication is not None else None,
    )
