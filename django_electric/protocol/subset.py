"""Subset snapshots: what a client may ask of part of a shape, and what it is given (PROTOCOL section 11).

`parse_subset` is stage H of validation (section 2.4). It needs the table, as stage G does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeVar

from django_electric.postgres.relation import Relation
from django_electric.postgres.values import is_text
from django_electric.postgres.xid import PgSnapshot
from django_electric.protocol.body import strict_json
from django_electric.protocol.headers import JSON, Headers
from django_electric.protocol.messages import encode
from django_electric.protocol.params import InvalidRequest, ShapeRequest
from django_electric.protocol.query import IS_INVALID, LARGEST_INTEGER
from django_electric.shapes.offset import BEFORE_ALL, LogOffset
from django_electric.shapes.snapshot_sql import Subset
from django_electric.where import (
    Analyse,
    Locale,
    SortKey,
    SubqueryError,
    Where,
    WhereError,
    delegated_where,
    parse_order_by,
    parse_where,
)

T = TypeVar("T")

MARKS: Final = 1 << 31
"""A ``snapshot_mark`` is a random number below this one."""
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_FIRST_CHUNK_END = LogOffset(0, 0)


# --- The request ----------------------------------------------------------------------------------


def parse_subset(
    members: Mapping[str, object],
    relation: Relation,
    queryable: Collection[str] | None = None,
    analyse: Analyse | None = None,
) -> Subset:
    """The subset of a shape on *relation* that *members* ask for; others than those known are ignored.

    *queryable* are the columns that it may name, None for all. *analyse* asks Postgres about a clause
    that is not understood here. Raises InvalidRequest, whose errors stand under ``subset``.
    """
    casts = _Casts(members)
    where, order_by, params = casts.text("where"), casts.text("order_by"), casts.params()
    limit = casts.integer("limit", 1, "must be greater than 0")
    offset = casts.integer("offset", 0, "must be greater than or equal to 0")
    is_part = limit is not None or offset is not None
    if is_part and order_by is None and "order_by" not in casts.errors:
        casts.errors["order_by"] = ["order_by is required when limit or offset is present"]
    casts.raise_errors()
    types = {
        c.name: c.evaluator_type
        for c in relation.columns
        if queryable is None or c.name in queryable
    }
    parsed_where = casts.parsed("where", lambda: _where(where, types, params, analyse))
    keys = casts.parsed("order_by", lambda: _sort_keys(order_by, types))
    casts.raise_errors()
    return Subset(parsed_where, keys or (), limit, offset)


_NO_ORDER: Final = "could not identify an ordering operator"


class FailsOnRow(InvalidRequest):
    """A condition fails on a row, and Postgres's message may hold a value of that row."""


def refused_clause(
    subset: Subset, message: str, *, has_condition: bool = False
) -> FailsOnRow | None:
    """Postgres did not take what the client wrote: its *message*, not in a list (section 11.1).

    The clauses of the subset are suspected first, then the condition of the shape, if it *has_condition*.
    None if there is nothing of the client's.
    """
    if subset.order_by and (message.startswith(_NO_ORDER) or not (subset.where or has_condition)):
        return FailsOnRow({"subset": {"order_by": message}})
    if subset.where:
        return FailsOnRow({"subset": {"where": message}})
    return FailsOnRow({"where": [message]}) if has_condition else None


def _where(
    text: str | None,
    types: Mapping[str, str],
    params: Mapping[str, str] | None,
    analyse: Analyse | None,
) -> Where | None:
    if text is None:
        return None
    try:
        return parse_where(text, types, params, by_postgres=True)
    except SubqueryError:
        raise WhereError("Subqueries are not allowed in subsets") from None
    except WhereError as error:
        if error.is_final or analyse is None:
            raise
        return _analysed(text, types, params or {}, error, analyse)


def _analysed(
    text: str,
    types: Mapping[str, str],
    params: Mapping[str, str],
    refusal: WhereError,
    analyse: Analyse,
) -> Where:
    """The clause as Postgres prints it, if its answer depends on the row alone and on columns that may be named."""
    try:
        analysis = analyse(text, {int(name): value for name, value in params.items()})
    except WhereError as error:
        raise WhereError(f"{refusal.message} ({error.message})", field=refusal.field) from error
    if analysis is None or not types.keys() >= set(analysis.columns):
        raise refusal
    return delegated_where(analysis, types, Locale(collation_is_c=False, lowers_ascii=False))


def _sort_keys(text: str | None, columns: Mapping[str, str]) -> tuple[SortKey, ...]:
    if text is None:
        return ()
    try:
        return parse_order_by(text, columns)
    except WhereError as error:
        raise WhereError(error.message, field="order_by") from None


class _Casts:
    """Reads the members one by one and collects what is wrong with them."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members
        self.errors: dict[str, list[str]] = {}

    def _given(self, name: str) -> object:
        """The value; None if it is absent or blank."""
        value = self._members.get(name)
        return None if isinstance(value, str) and not value.strip() else value

    def text(self, name: str) -> str | None:
        value = self._given(name)
        if value is None or (isinstance(value, str) and is_text(value)):
            return value
        self.errors[name] = [IS_INVALID]
        return None

    def integer(self, name: str, least: int, message: str) -> int | None:
        """The number, even if it is less than *least*, which is an error with this *message*."""
        value = self._given(name)
        if value is None:
            return None
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number and not (isinstance(value, str) and _INTEGER.fullmatch(value)):
            self.errors[name] = [IS_INVALID]
            return None
        number = int(str(value))
        if number > LARGEST_INTEGER:
            self.errors[name] = [IS_INVALID]
        elif number < least:
            self.errors[name] = [message]
        return number

    def params(self) -> dict[str, str] | None:
        """The values of ``$1``…: a JSON object, or its text; numbers become text."""
        try:
            value = _decoded(self._given("params"))
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise ValueError("params must be a JSON object")
            return {str(key): _text_of(member) for key, member in value.items()}
        except ValueError as error:
            self.errors["params"] = [str(error)]
            return None

    def parsed(self, name: str, parse: Callable[[], T]) -> T | None:
        """What *parse* returns; an error of a clause belongs to the member that it names."""
        try:
            return parse()
        except WhereError as error:
            self.errors[error.field] = [error.message]
            return None

    def raise_errors(self) -> None:
        if self.errors:
            raise InvalidRequest({"subset": self.errors})


def _decoded(value: object) -> object:
    """What a text says as JSON; numbers stay as they are written."""
    if not isinstance(value, str):
        return value
    try:
        return strict_json(value, str)
    except (ValueError, RecursionError):
        raise ValueError("params must be valid JSON") from None


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str) or not is_text(value):
        raise ValueError(IS_INVALID)
    return value


# --- The answer -----------------------------------------------------------------------------------


def subset_headers(
    request: ShapeRequest, handle: str, log_end: LogOffset, schema: str | None
) -> Headers:
    """The headers of a 200 (section 6.1). *log_end*: where the log ended before the query began."""
    headers = {
        "content-type": JSON,
        "cache-control": "no-cache",
        "electric-handle": handle,
        "electric-offset": str(_position(request, log_end)),
        "electric-snapshot": "true",
    }
    if schema is not None:
        headers["electric-schema"] = schema
    return headers


def _position(request: ShapeRequest, log_end: LogOffset) -> LogOffset:
    """From where the client goes on: official clients take it over, so nothing may be left out.

    Whoever asked for ``now`` learns what that is. Whoever stands somewhere stays there.
    """
    if request.offset is None:
        return log_end
    return _FIRST_CHUNK_END if request.offset == BEFORE_ALL else request.offset


def subset_body(snapshot: PgSnapshot, mark: int, entries: Iterable[bytes]) -> bytes:
    """The JSON of a 200; *entries* are those of a log, each with a comma before it.

    >>> subset_body(PgSnapshot(7, 9, frozenset([8]), 500), 3, [b',{"key":"a"}'])
    b'{"metadata":{"xmin":"7","xmax":"9","xip_list":["8"],"database_lsn":"500","snapshot_mark":3},"data":[{"key":"a"}]}'
    """
    metadata = {
        "xmin": str(snapshot.xmin),
        "xmax": str(snapshot.xmax),
        "xip_list": [str(xid) for xid in sorted(snapshot.xip)],
        "database_lsn": str(snapshot.wal_lsn),
        "snapshot_mark": mark,
    }
    pieces = [b'{"metadata":', encode(metadata), b',"data":[', *entries, b"]}"]
    if len(pieces) > 4:
        pieces[3] = pieces[3][1:]
    return b"".join(pieces)
