"""Access: what whoever authorised a request allows it to see. All that the client says only narrows it."""

from __future__ import annotations

from dataclasses import dataclass

from django_electric.protocol.identifiers import TableName


@dataclass(frozen=True, slots=True)
class Access:
    """Rows and columns of one table.

    The server writes it, never the client. It is a value and part of `ShapeParams`, and so of every key
    under which an answer is kept: nobody is answered with what was found for somebody else.
    """

    table: TableName
    where: str | None = None
    """SQL with ``$1``…; None allows every row."""
    params: tuple[str, ...] = ()
    """The values of ``$1``…, as text. They are not the client's, which has its own ``$1``…."""
    columns: tuple[str, ...] | None = None
    """The columns that may be read and named in conditions; those of the primary key always may. None: all."""
    is_public: bool = False
    """Whether everybody gets the same, so that shared caches may keep it."""
    user: str | None = None
    """The key of the user that it was given to."""
