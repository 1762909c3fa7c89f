"""Where a test's changes come from, whatever carries them: `Capture` or `SlotStream`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import psycopg

from django_electric.postgres.pgoutput import Message
from django_electric.postgres.xid import PgSnapshot
from django_electric.shapes.definition import ShapeDefinition

Connection = psycopg.Connection[Any]


class Source(Protocol):
    """The changes of some tables, as messages of the replication stream."""

    @property
    def connection(self) -> Connection:
        """One that sees what the test has written."""

    def watch(self, definition: ShapeDefinition) -> None:
        """From now on the changes of the shape's table come. Raises SnapshotFailed and psycopg's errors."""

    def take(self) -> Sequence[Message] | None:
        """What came since the last call, as whole transactions.

        None if something that was taken before has not happened after all.
        """

    def snapshot(self) -> AbstractContextManager[PgSnapshot]:
        """What the connection sees now; inside, queries show values as the stream does, and an error
        leaves no trace."""

    def close(self) -> None:
        """Leave the database as it was."""
