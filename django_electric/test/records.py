"""A row as Postgres writes it when it is cast to text → the text of each of its values.

The values inside are those of their types' output functions, as the replication stream has them; NULL is
nothing at all, and what would be misread is in double quotes (Postgres docs, section 8.16.6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from django_electric.postgres.pgoutput import Row

_FIELD: Final = re.compile(r'"((?:[^"\\]|""|\\\\)*)"|([^",]*)')
_DOUBLED: Final = re.compile(r'(["\\])\1')


def read_record(text: str) -> Row:
    """The values of a record.

    >>> read_record('(1,"a, b",,"a ""b"" c","",t)')
    ('1', 'a, b', None, 'a "b" c', '', 't')
    """
    return tuple(_fields(text))


def _fields(text: str) -> Iterator[str | None]:
    at, end = 1, len(text) - 1
    while True:
        field = _FIELD.match(text, at, end)
        assert field is not None, "both alternatives match at every place, the second one nothing"
        quoted, bare = field.groups()
        yield (bare or None) if quoted is None else _DOUBLED.sub(r"\1", quoted)
        at = field.end()
        if at >= end:
            return
        at += 1
