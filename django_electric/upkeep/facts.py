"""Facts: an installation as plain values, as it was found at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from django_electric.drift import PublicationState
from django_electric.postgres.relation import quote_identifier
from django_electric.replication.heartbeat import Heartbeat


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Postgres, and what the role of this connection may do there."""

    version: int
    """As ``server_version_num``: 180003."""
    wal_level: str
    role: str
    may_replicate: bool
    has_catalogue: bool
    """Whether the table of shapes is there: the first `migrate` has run."""
    slots: int
    """Replication slots in use, whoever's they are."""
    max_slots: int
    senders: int
    """Walsenders at work, whoever's they are."""
    max_senders: int
    keep_size_mb: int
    """``max_slot_wal_keep_size``; -1 for no limit."""
    wal_end: int
    """LSN of the end of the WAL."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """The replication slot of the stream."""

    name: str
    is_active: bool
    status: str
    """``wal_status``: reserved, extended, unreserved or lost."""
    retained: int
    """Bytes of WAL that it keeps."""
    behind: int
    """Bytes of WAL that the worker has not confirmed."""
    restart_lsn: str
    confirmed_lsn: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table that shapes are on or read, or that a model with a policy or a declared shape has."""

    oid: int
    schema: str
    table: str
    """Its names; those of a table that is gone as the shapes knew them."""
    exists: bool
    is_published: bool
    has_full_identity: bool
    shapes: int
    is_registered: bool
    """Whether it belongs to a model that has a policy or a declared shape."""
    readers: int = 0
    """Shapes on other tables whose subqueries read it."""

    @property
    def is_served(self) -> bool:
        """Whether what a shape holds depends on its rows."""
        return bool(self.shapes or self.readers)

    @property
    def name(self) -> str:
        """Quoted where it must be, as statements want it."""
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.table)}"


@dataclass(frozen=True, slots=True)
class StorageFacts:
    """The directory of the logs, as this process sees it."""

    root: str
    is_writable: bool
    """Whether the directory, or one above that is there, can be written to."""
    is_locked: bool
    """A worker on a machine that shares the directory writes here."""
    has_standby: bool
    heartbeat: Heartbeat | None
    heartbeat_age: float | None
    """Seconds since the last one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    alias: str
    stream_id: str
    manual_publishing: bool
    storage: StorageFacts
    unreachable: str = ""
    """Why the database could not be asked; then what follows is not known."""
    server: ServerFacts | None = None
    slot: SlotFacts | None = None
    publication: PublicationState | None = None
    tables: tuple[TableFacts, ...] = ()
    pending_migrations: tuple[str, ...] = ()

    @property
    def is_in_use(self) -> bool:
        """Whether a worker has run here, or a shape has been asked for."""
        return self.slot is not None or any(table.shapes for table in self.tables)

    @property
    def shapes(self) -> int:
        return sum(table.shapes for table in self.tables)
