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
from django_electric.protocol.identifiers import TableName, parse_columns, parse_table
from django_electric.shapes.definition import LogMode, Replica
from django_electric.shapes.offset import BEFORE_ALL, INFINITE, LogOffset

Pairs = Sequence[tuple[str, str]]
Errors = Mapping[str, object]
T = TypeVar("T")

NOW: Final = "now"
IS_INVALID: Final = "is invalid"
BLANK: Final = "can't be blank"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_REPLICAS: dict[str, Replica] = {"default": "default", "full": "full"}
_LOG_MODES: dict[str, LogMode] = {"full": "full", "changes_only": "changes_only"}
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
    def is_now(self) -> bool:
        return self.offset is None

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


def parse(query: Mapping[str, object]) -> ShapeRequest:
    """The request to read a shape. *query* comes from `nest`. Raises InvalidRequest."""
    casts = _Casts(query)
    shape = casts.shape()
    is_live = casts.flag("live")
    is_sse = casts.flag("live_sse") if "live_sse" in query else casts.strict_sse_alias()
    is_compacted = casts.read("experimental_compaction", _boolean) or False
    offset_text = casts.text("offset")
    handle, cursor = casts.text("handle"), casts.text("cursor")
    if offset_text is None and "offset" not in casts.errors:
        casts.errors["offset"] = [BLANK]
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


def parse_delete(query: Mapping[str, object]) -> DeleteRequest:
    """The request to drop a shape (section 1.6): booleans are strict, the offset means nothing."""
    casts = _Casts(query)
    shape = casts.shape()
    for name in ("live", "live_sse", "experimental_compaction"):
        casts.read(name, _boolean)
    handle = casts.text("handle")
    casts.raise_errors()
    if casts.text("table") is not None:
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
        key.removeprefix("subset__"): value
        for key, value in query.items()
        if key.startswith("subset__")
    }
    nested = query.get("subset")
    if isinstance(nested, Mapping):
        members.update(nested)
    return members if members or isinstance(nested, Mapping) else None


class _Casts:
    """Reads parameters one by one and collects what is wrong with them (stage A)."""

    def __init__(self, query: Mapping[str, object]) -> None:
        self.query = query
        self.errors: dict[str, list[str]] = {}

    def read(self, name: str, read: Callable[[str], T]) -> T | None:
        """The value of *name*; None if it is absent, blank or wrong."""
        value = self.query.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            if not isinstance(value, str) or "\0" in value:
                raise ValueError(IS_INVALID)
            return read(value)
        except ValueError as error:
            self.errors[name] = [str(error)]
            return None

    def text(self, name: str) -> str | None:
        return self.read(name, str)

    def flag(self, name: str) -> bool:
        """Present and anything but the text ``false`` is true, even blank (section 2.2)."""
        return name in self.query and self.query[name] not in ("false", False, None)

    def strict_sse_alias(self) -> bool:
        value = self.read("experimental_live_sse", _boolean)
        if "experimental_live_sse" in self.errors:
            self.errors["live_sse"] = self.errors.pop("experimental_live_sse")
        return value or False

    def params(self) -> tuple[tuple[str, str], ...] | None:
        value = self.query.get("params")
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        # ``params[]=x`` is a list, not a mapping: its only name is empty.
        if not isinstance(value, Mapping) or not all(n and _is_text(v) for n, v in value.items()):
            self.errors["params"] = [IS_INVALID]
            return None
        return tuple(sorted(value.items()))

    def shape(self) -> Callable[[], ShapeParams]:
        """Cast what defines a shape now; check the table, stages F and G, when called."""
        table = self.text("table")
        where, params = self.text("where"), self.params()
        columns = self.read("columns", parse_columns)
        queryable = self.read("queryable_columns", parse_columns)
        replica = self.read("replica", lambda text: _one_of(text, _REPLICAS)) or "default"
        log_mode = self.read("log", lambda text: _one_of(text, _LOG_MODES)) or "full"
        given = params if where else None
        return lambda: ShapeParams(
            _table(table), where, given, columns, queryable, replica, log_mode
        )

    def raise_errors(self) -> None:
        if self.errors:
            raise InvalidRequest(self.errors)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _one_of(text: str, choices: Mapping[str, T]) -> T:
    if text not in choices:
        raise ValueError(IS_INVALID)
    return choices[text]


def _boolean(text: str) -> bool:
    return _one_of(text, _BOOLEANS)


def _table(text: str | None) -> TableName:
    if text is None:
        raise invalid("table", BLANK)
    try:
        return parse_table(text)
    except ValueError as error:
        raise invalid("table", str(error)) from None


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
