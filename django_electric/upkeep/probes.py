"""Probes: facts in, findings out; each looks at one thing and asks nobody.

A database in which nothing of ours has run yet has no mistakes: what is not *in use* is not missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from django_electric.replication.heartbeat import STALE_SECONDS
from django_electric.upkeep.facts import Facts, ServerFacts, TableFacts
from django_electric.upkeep.findings import Finding, in_order

MUCH_WAL: Final = 1 << 30
"""A slot that keeps more than this unread is worth a word."""
_NAMED: Final = 5
"""Tables that a sentence names."""

Probe = Callable[[Facts], Iterator[Finding]]


def findings(facts: Facts) -> list[Finding]:
    """What all probes have found, the gravest first."""
    return in_order([finding for probe in PROBES for finding in probe(facts)])


# --- The server -----------------------------------------------------------------------------------


def reachable(facts: Facts) -> Iterator[Finding]:
    """electric.W020: the database cannot be asked."""
    if facts.unreachable:
        yield Finding(
            id="electric.W020",
            severity="error",
            text=f"The database '{facts.alias}' cannot be asked: {facts.unreachable}",
            remedy=f"Look at DATABASES['{facts.alias}']. A host with an IPv6 address is written as any other.",
        )


def server_logs_logically(facts: Facts) -> Iterator[Finding]:
    """electric.W021: ``wal_level`` or the version does not do."""
    server = facts.server
    if server is not None and server.version < 140000:
        yield Finding(
            id="electric.W021",
            severity="error",
            text=f"PostgreSQL {server.version // 10000} is too old.",
            remedy="Use PostgreSQL 14 or newer.",
        )
    if server is not None and server.wal_level != "logical":
        yield Finding(
            id="electric.W021",
            severity="error",
            text=f"wal_level is {server.wal_level}: nothing can be replicated.",
            remedy="Run ALTER SYSTEM SET wal_level = 'logical'; and restart PostgreSQL.",
        )


def role_may_replicate(facts: Facts) -> Iterator[Finding]:
    """electric.W022: the role lacks ``REPLICATION``; not if a worker, with another role, is at work."""
    server = facts.server
    if server is None or server.may_replicate or _is_read(facts):
        return
    yield Finding(
        id="electric.W022",
        severity="error",
        text=f'The role "{server.role}" may not replicate.',
        remedy=f'Run, as a superuser: ALTER ROLE "{server.role}" REPLICATION;',
    )


def room_for_a_slot(facts: Facts) -> Iterator[Finding]:
    """electric.W023: all slots or walsenders of the server are taken."""
    server = facts.server
    if server is None or _is_read(facts):
        return
    for name, used, most, is_needed in _rooms(server, has_slot=facts.slot is not None):
        if is_needed and used >= most:
            yield Finding(
                id="electric.W023",
                severity="error",
                text=f"{name} is {most}, and {used} are in use: the worker finds no room.",
                remedy=f"Run ALTER SYSTEM SET {name} = {most + 10}; and restart PostgreSQL,"
                " or drop slots that nobody reads.",
            )


def _rooms(server: ServerFacts, *, has_slot: bool) -> Iterator[tuple[str, int, int, bool]]:
    yield "max_replication_slots", server.slots, server.max_slots, not has_slot
    yield "max_wal_senders", server.senders, server.max_senders, True


# --- The slot -------------------------------------------------------------------------------------


def slot_is_whole(facts: Facts) -> Iterator[Finding]:
    """electric.W024: the slot has lost WAL, or is about to."""
    if facts.slot is None:
        return
    if facts.slot.status == "lost":
        yield Finding(
            id="electric.W024",
            severity="error",
            text=f"The slot {facts.slot.name} is lost: the WAL that the worker needs is gone.",
            remedy="Start the worker: it makes the slot anew and rotates every shape. To keep more WAL for"
            " next time, raise max_slot_wal_keep_size.",
        )
    if facts.slot.status == "unreserved":
        yield Finding(
            id="electric.W024",
            severity="warning",
            text=f"The slot {facts.slot.name} will soon be lost: it is further behind than"
            " max_slot_wal_keep_size allows.",
            remedy="Start the worker now, or raise max_slot_wal_keep_size; or all clients sync anew.",
        )


def slot_is_read(facts: Facts) -> Iterator[Finding]:
    """electric.W025: an idle slot keeps WAL that fills the disk."""
    slot = facts.slot
    if slot is None or slot.is_active or slot.retained < MUCH_WAL or slot.status == "lost":
        return
    yield Finding(
        id="electric.W025",
        severity="warning",
        text=f"Nobody reads the slot {slot.name}, and Postgres keeps {said_bytes(slot.retained)} of WAL for it.",
        remedy="Start the worker. If it is not to come back: manage.py electric_cleanup drops slot and publication.",
    )


def worker_keeps_up(facts: Facts) -> Iterator[Finding]:
    """electric.W034: a worker is at work, and far behind."""
    slot = facts.slot
    if slot is None or not slot.is_active or slot.behind < MUCH_WAL:
        return
    yield Finding(
        id="electric.W034",
        severity="warning",
        text=f"The worker is {said_bytes(slot.behind)} of WAL behind.",
        remedy="If it does not catch up: look for a transaction that has been open for long"
        " (pg_stat_activity), and for conditions that are slow (the list of shapes in the admin).",
    )


def slot_is_bounded(facts: Facts) -> Iterator[Finding]:
    """electric.I026: a worker that stays away makes Postgres keep WAL without end."""
    if facts.server is not None and facts.slot is not None and facts.server.keep_size_mb < 0:
        yield Finding(
            id="electric.I026",
            severity="note",
            text="max_slot_wal_keep_size is unlimited: if the worker stays away, WAL fills the disk of Postgres.",
            remedy="Set it, if a full disk is worse than a fresh sync of all clients:"
            " ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();",
        )


# --- The publication ------------------------------------------------------------------------------


def publication_is_there(facts: Facts) -> Iterator[Finding]:
    """electric.W027: the publication is missing though nobody but you may make it, or carries too little."""
    publication = facts.publication
    if publication is not None and not publication.publishes_all:
        yield Finding(
            id="electric.W027",
            severity="error",
            text=f"The publication {publication.name} leaves some operations out.",
            remedy=f"Run ALTER PUBLICATION {publication.name} SET (publish = 'insert, update, delete, truncate');",
        )
    if publication is None and (facts.slot or (facts.manual_publishing and facts.is_in_use)):
        name = f"electric_publication_{facts.stream_id}"
        yield Finding(
            id="electric.W027",
            severity="error",
            text=f"There is no publication {name}.",
            remedy=f"Run CREATE PUBLICATION {name};"
            if facts.manual_publishing
            else "Start the worker anew: it makes one, and rotates every shape.",
        )


def tables_are_published(facts: Facts) -> Iterator[Finding]:
    """electric.W028: drift: changes of a table that shapes are on, or may be, are not streamed."""
    if facts.publication is None:
        return
    missing = [table for table in facts.tables if table.exists and not table.is_published]
    served = [table for table in missing if table.is_served]
    if served:
        yield Finding(
            id="electric.W028",
            severity="error",
            text=f"Shapes are served that read tables which are not in the publication, and hear nothing: {_names(served)}.",
            remedy=_publish(facts, served)
            + " The shapes that read it have to be rotated: manage.py electric_shapes rotate --table.",
        )
    waiting = [table for table in missing if not table.is_served]
    if waiting and facts.is_in_use:
        yield Finding(
            id="electric.W028",
            # Else the first request has the table published, and waits for a lock on it.
            severity="warning" if facts.manual_publishing else "note",
            text=f"Models with shapes or policies have tables that are not in the publication: {_names(waiting)}.",
            remedy="Run manage.py electric_publish, as the owner of the tables; or publish them by migration.",
        )


def tables_have_full_identity(facts: Facts) -> Iterator[Finding]:
    """electric.W029: an update or delete would come without the old row."""
    poor = [
        table
        for table in facts.tables
        if table.exists and table.is_published and not table.has_full_identity
    ]
    if poor:
        yield Finding(
            id="electric.W029",
            severity="warning",
            text=f"The replica identity is not FULL: {_names(poor)}. The first update or delete rotates the shapes.",
            remedy="Run " + " ".join(f"ALTER TABLE {t.name} REPLICA IDENTITY FULL;" for t in poor),
        )


def tables_are_there(facts: Facts) -> Iterator[Finding]:
    """electric.W030: shapes of a table that was dropped."""
    gone = [table for table in facts.tables if not table.exists]
    if gone:
        yield Finding(
            id="electric.W030",
            severity="warning",
            text=f"Shapes are on tables that are gone, or read them: {_names(gone)}.",
            remedy="The worker rotates them within a minute. If none runs: manage.py electric_shapes delete --table.",
        )


def _publish(facts: Facts, tables: list[TableFacts]) -> str:
    name = facts.publication.name if facts.publication else ""
    return "Run " + " ".join(f"ALTER PUBLICATION {name} ADD TABLE {t.name};" for t in tables)


def _names(tables: Iterable[TableFacts]) -> str:
    names = [table.name for table in tables]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


# --- The worker -----------------------------------------------------------------------------------


def worker_is_there(facts: Facts) -> Iterator[Finding]:
    """electric.W031: shapes hear of no change, since no worker is at work."""
    if not facts.is_in_use or _is_read(facts) or is_alive(facts):
        return
    beat, age = facts.storage.heartbeat, facts.storage.heartbeat_age
    heard = f"was last heard of {said_age(age)} ago" if age is not None else "has never run here"
    stopped = ", when it was stopped" if beat is not None and beat.is_stopped else ""
    yield Finding(
        id="electric.W031",
        severity="error",
        text=f"No worker is at work: it {heard}{stopped}.",
        remedy="Start it: manage.py run_electric_replication",
    )


def storage_is_shared(facts: Facts) -> Iterator[Finding]:
    """electric.W032: a worker is at work, and writes to a directory that we do not see."""
    if not _is_read(facts) or is_alive(facts):
        return
    yield Finding(
        id="electric.W032",
        severity="error",
        text=f"A worker reads the slot, but there is no sign of it in {facts.storage.root}.",
        remedy="Worker and web processes must see the same STORAGE_DIR: give them one path, or one volume."
        " If the worker has just started, look again in some seconds.",
    )


def migrations_are_applied(facts: Facts) -> Iterator[Finding]:
    """electric.W033: the tables are those of an older version."""
    if facts.pending_migrations:
        yield Finding(
            id="electric.W033",
            severity="error",
            text=f"Migrations are not applied: {', '.join(facts.pending_migrations)}.",
            remedy=f"Run manage.py migrate --database {facts.alias} django_electric",
        )


def is_alive(facts: Facts) -> bool:
    """Whether there is a sign of a worker in the storage directory."""
    beat, age = facts.storage.heartbeat, facts.storage.heartbeat_age
    is_fresh = age is not None and age < STALE_SECONDS
    return facts.storage.is_locked or (is_fresh and beat is not None and not beat.is_stopped)


def _is_read(facts: Facts) -> bool:
    """Whether somebody, somewhere, reads the slot."""
    return facts.slot is not None and facts.slot.is_active


PROBES: Final[tuple[Probe, ...]] = (
    reachable,
    server_logs_logically,
    role_may_replicate,
    room_for_a_slot,
    slot_is_whole,
    slot_is_read,
    worker_keeps_up,
    slot_is_bounded,
    publication_is_there,
    tables_are_published,
    tables_have_full_identity,
    tables_are_there,
    worker_is_there,
    storage_is_shared,
    migrations_are_applied,
)


# --- Words ----------------------------------------------------------------------------------------


def said_bytes(size: int) -> str:
    """
    >>> said_bytes(999), said_bytes(3 << 30)
    ('999 bytes', '3.0 GiB')
    """
    if size < 1024:
        return f"{size} bytes"
    power = min(4, (size.bit_length() - 1) // 10)
    return f"{size / (1 << 10 * power):.1f} {'KMGT'[power - 1]}iB"


def said_age(seconds: float) -> str:
    """
    >>> said_age(7.4), said_age(200), said_age(9000), said_age(900000)
    ('7 s', '3 min', '2.5 h', '10.4 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
