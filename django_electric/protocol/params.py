"""Query parameters → ShapeRequest, or InvalidRequest that names each bad field (PROTOCOL section 2).

Checks run in the stages A to F of section 2.4: all errors of stage A are reported together, a later
stage only when nothing failed before. Stage G, which needs the table, is in `resolve`; H is in
`subset`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from django_electric.errors import ElectricError
from django_electric.postgres.values import is_text
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName, parse_table
from django_electric.protocol.query import (
    COLUMNS,
    COMPACTION,
    CURSOR,
    EXPERIMENTAL_LIVE_SSE,
    HANDLE,
    IS_INVALID,
    LIVE,
    LIVE_SSE,
    LOG,
    OFFSET,
    PARAMS,
    QUERYABLE_COLUMNS,
    REPLICA,
    SUBSET_NESTED,
    SUBSET_PREFIX,
    TABLE,
    WHERE,
    Parameter,
)
from django_electric.shapes.definition import LogMode, Replica
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, LogOffset

Pairs = Sequence[tuple[str, str]]
Errors = Mapping[str, object]
T = TypeVar("T")

NOW: Final = "now"
BLANK: Final = "can't be blank"
_BRACKETS = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")


class InvalidRequest(ElectricError):
    """Invalid request"""

    def __init__(self, errors: Errors) -> None:
        super().__init__()
        self.errors = errors


def invalid(field: str, message: str) -> InvalidRequest:
    """One field, one message."""
    return InvalidRequest({field: [message]})


@dataclass(frozen=True, slots=True)
class ShapeParams:
    """The parameters that say which shape is meant, as written; a key for caches."""

    table: TableName
    where: str | None = None
    params: tuple[tuple[str, str], ...] | None = None
    columns: tuple[str, ...] | None = None
    queryable_columns: tuple[str, ...] | None = None
    replica: Replica = "default"
    log_mode: LogMode = "full"
    access: Access | None = None
    """What the rest can only narrow; None if who asks may see everything."""


@dataclass(frozen=True, slots=True)
class ShapeRequest:
    """A request to read a shape, its parameters checked as far as they can be without the table."""

    shape: ShapeParams
    offset: LogOffset | None
    """None is ``now``."""
    handle: str | None = None
    is_live: bool = False
    is_sse: bool = False
    cursor: str | None = None
    is_compacted: bool = False
    subset: Mapping[str, object] | None = None
    """The members of a subset request as given (section 11.1)."""

    @property
    def has_position(self) -> bool:
        """Whether the request continues a log, so that its handle counts."""
        return self.offset is not None and self.offset != BEFORE_ALL

    @property
    def offset_text(self) -> str:
        return NOW if self.offset is None else str(self.offset)


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """A request to drop a shape, by its definition, its handle, or both."""

    shape: ShapeParams | None
    handle: str | None


def parse(query: Mapping[str, object], access: Access | None = None) -> ShapeRequest:
    """The request to read a shape. *query* comes from `nest`. Raises InvalidRequest.

    With an *access* the client need not name the table, and cannot name another.
    """
    casts = _Casts(query, access)
    shape = casts.shape()
    is_live = casts.flag(LIVE)
    is_sse = casts.flag(LIVE_SSE) if LIVE_SSE.name in query else casts.strict_sse_alias()
    is_compacted = casts.read(COMPACTION) or False
    offset_text = casts.read(OFFSET)
    handle, cursor = casts.read(HANDLE), casts.read(CURSOR)
    if offset_text is None:
        casts.errors.setdefault(OFFSET.name, [BLANK])
    casts.raise_errors()
    offset = _offset(offset_text or "")
    _check_together(offset, handle, is_live=is_live, is_sse=is_sse)
    return ShapeRequest(
        shape=shape(),
        offset=offset,
        handle=handle,
        is_live=is_live,
        is_sse=is_sse,
        cursor=cursor,
        is_compacted=is_compacted,
        subset=subset_members(query),
    )


def parse_definition(query: Mapping[str, object], access: Access | None = None) -> ShapeParams:
    """The shape that *query* means, whatever it says of offsets. Raises InvalidRequest."""
    casts = _Casts(query, access)
    shape = casts.shape()
    casts.raise_errors()
    return shape()


def parse_delete(query: Mapping[str, object], access: Access | None = None) -> DeleteRequest:
    """The request to drop a shape (section 1.6): booleans are strict, the offset means nothing.

    With an *access* it is always the shape that the definition means, whatever the handle.
    """
    casts = _Casts(query, access)
    shape = casts.shape()
    for parameter in (LIVE, LIVE_SSE, COMPACTION):
        casts.read(parameter)
    handle = casts.read(HANDLE)
    casts.raise_errors()
    if access is not None or casts.read(TABLE) is not None:
        return DeleteRequest(shape(), handle)
    if handle is None:
        raise invalid("handle", "can't be blank when shape definition is missing")
    return DeleteRequest(None, handle)


def nest(pairs: Pairs) -> dict[str, object]:
    """Pairs as a mapping; ``a[b]=c`` becomes ``{"a": {"b": "c"}}``, the last of equals wins.

    >>> nest([("offset", "-1"), ("params[1]", "x"), ("params[2]", "y"), ("offset", "now")])
    {'offset': 'now', 'params': {'1': 'x', '2': 'y'}}
    """
    query: dict[str, object] = {}
    for key, value in pairs:
        match = _BRACKETS.fullmatch(key)
        *outer, last = [match[1], *match[2][1:-1].split("][")] if match else [key]
        members = query
        for name in outer:
            inner = members.get(name)
            if not isinstance(inner, dict):
                inner = members[name] = {}
            members = inner
        members[last] = value
    return query


def subset_members(query: Mapping[str, object]) -> dict[str, object] | None:
    """What stands under ``subset__…`` or ``subset[…]``; None if nothing does."""
    members: dict[str, object] = {
        key.removeprefix(SUBSET_PREFIX): value
        for key, value in query.items()
        if key.startswith(SUBSET_PREFIX)
    }
    nested = query.get(SUBSET_NESTED)
    if isinstance(nested, Mapping):
        members.update(nested)
    return members if members or isinstance(nested, Mapping) else None


class _Casts:
    """Reads parameters one by one and collects what is wrong with them (stage A)."""

    def __init__(self, query: Mapping[str, object], access: Access | None) -> None:
        self.query = query
        self.access = access
        self.errors: dict[str, list[str]] = {}

    def read(self, parameter: Parameter[T]) -> T | None:
        """The value of *parameter*; None if it is absent, blank or wrong."""
        value = self.query.get(parameter.name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            if not isinstance(value, str) or not is_text(value):
                raise ValueError(IS_INVALID)
            return parameter.read(value)
        except ValueError as error:
            self.errors[parameter.name] = [str(error)]
            return None

    def flag(self, parameter: Parameter[bool]) -> bool:
        """Present and anything but the text ``false`` is true, even blank (section 2.2)."""
        return self.query.get(parameter.name, False) not in ("false", False, None)

    def strict_sse_alias(self) -> bool:
        value = self.read(EXPERIMENTAL_LIVE_SSE)
        if EXPERIMENTAL_LIVE_SSE.name in self.errors:
            self.errors[LIVE_SSE.name] = self.errors.pop(EXPERIMENTAL_LIVE_SSE.name)
        return value or False

    def params(self) -> tuple[tuple[str, str], ...] | None:
        value = self.query.get(PARAMS.name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        # ``params[]=x`` is a list, not a mapping: its only name is empty.
        if not isinstance(value, Mapping) or not all(n and _is_text(v) for n, v in value.items()):
            self.errors[PARAMS.name] = [IS_INVALID]
            return None
        return tuple(sorted(value.items()))

    def shape(self) -> Callable[[], ShapeParams]:
        """Cast what defines a shape now; check the table, stages F and G, when called."""
        table = self.read(TABLE)
        where, params = self.read(WHERE), self.params()
        columns = self.read(COLUMNS)
        queryable = self.read(QUERYABLE_COLUMNS)
        replica = self.read(REPLICA) or "default"
        log_mode = self.read(LOG) or "full"
        given, access = params if where else None, self.access
        if access is not None and (where, given) == (access.where, _numbered(access.params)):
            # Whoever repeats what is allowed, word for word, narrows nothing.
            where, given = None, None
        if access is not None and columns == access.columns:
            columns = None
        return lambda: ShapeParams(
            _table(table, access), where, given, columns, queryable, replica, log_mode, access
        )

    def raise_errors(self) -> None:
        if self.errors:
            raise InvalidRequest(self.errors)


def _numbered(values: tuple[str, ...]) -> tuple[tuple[str, str], ...] | None:
    """As a request gives the values of ``$1``…"""
    return tuple(sorted((str(number), value) for number, value in enumerate(values, 1))) or None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_text(value)


def _table(text: str | None, access: Access | None) -> TableName:
    if text is None:
        if access is None:
            raise invalid("table", BLANK)
        return access.table
    try:
        table = parse_table(text)
    except ValueError as error:
        raise invalid("table", str(error)) from None
    if access is not None and table != access.table:
        raise invalid("table", "is not the table of this shape: leave it out")
    return table


def _offset(text: str) -> LogOffset | None:
    """Stage B."""
    if text == NOW:
        return None
    try:
        tx, op = LogOffset.parse(text)
    except ValueError:
        raise invalid("offset", "has invalid format") from None
    # No log gets as far as 64 bits, so that what lies beyond is as good as their end.
    return LogOffset(min(tx, INFINITE), min(op, INFINITE))


def _check_together(
    offset: LogOffset | None, handle: str | None, *, is_live: bool, is_sse: bool
) -> None:
    """Stages C to E: parameters that exclude or need each other."""
    if handle is None and offset is not None and offset != BEFORE_ALL:
        raise invalid("handle", "can't be blank when offset != -1")
    if is_live and offset == BEFORE_ALL:
        raise invalid("live", "can't be true when offset == -1")
    if is_live and offset is None:
        raise invalid("live", "can't be true when offset is 'now'")
    if is_sse and not is_live:
        raise invalid("live_sse", "can't be true unless live is also true")
