"""The query of ``/v1/shape`` as a table: what each parameter is called, how it is read, what it means.

`params` reads requests by this table and `openapi` describes it (PROTOCOL section 2.1). A parameter
that does not stand here is ignored: it only tells caches two requests apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from django_electric.protocol.identifiers import parse_columns
from django_electric.shapes.definition import LogMode, Replica

JsonSchema = Mapping[str, object]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

IS_INVALID: Final = "is invalid"
LARGEST_INTEGER: Final = (1 << 63) - 1
"""What LIMIT and OFFSET take."""
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_REPLICAS: dict[str, Replica] = {"default": "default", "full": "full"}
_LOG_MODES: dict[str, LogMode] = {"full": "full", "changes_only": "changes_only"}


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """One parameter, or one member of a subset."""

    name: str
    read: Callable[[str], T_co]
    """Raises ValueError with the client's message. What is blank counts as absent and is not read."""
    schema: JsonSchema
    help: str
    example: object
    is_required: bool = False
    is_deprecated: bool = False


def _one_of(choices: Mapping[str, T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        if text not in choices:
            raise ValueError(IS_INVALID)
        return choices[text]

    return read


# --- How values look, as JSON Schema ----------------------------------------------------------------

_TEXT: JsonSchema = {"type": "string"}
_BOOLEAN: JsonSchema = {"type": "boolean", "default": False}
_NAMES: JsonSchema = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_VALUES: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": "^[1-9][0-9]*$"},
    "additionalProperties": {"type": "string"},
}
_OFFSET: JsonSchema = {"type": "string", "pattern": "^(-1|now|[0-9]+_([0-9]+|inf))$"}

_read_boolean = _one_of(_BOOLEANS)

# fmt: off

# --- What shape is meant ----------------------------------------------------------------------------

TABLE: Final = Parameter("table", str, _TEXT,
    "The table: `name`, or `schema.name`. A name with capitals or special characters stands in double quotes.",
    "items", is_required=True)
WHERE: Final = Parameter("where", str, _TEXT,
    "The condition that a row must meet: what may follow `WHERE` in SQL, without volatile functions."
    " `column IN (SELECT column FROM table WHERE …)` may be part of it.",
    "priority > 3 AND title ILIKE $1")
PARAMS: Final = Parameter("params", str, _VALUES,
    "The values of `$1`, `$2`, … in `where`: `params[1]=…&params[2]=…`.",
    {"1": "a%"})
COLUMNS: Final = Parameter("columns", parse_columns, _NAMES,
    "The columns that are sent, with a comma between them and no blanks; those of the primary key among them."
    " All of them if it is left out.",
    ["id", "title"])
QUERYABLE_COLUMNS: Final = Parameter("queryable_columns", parse_columns, _NAMES,
    "The only columns that `columns` and the conditions of subsets may name. Does not restrict `where`.",
    ["id", "title", "priority"])
REPLICA: Final = Parameter("replica", _one_of(_REPLICAS),
    {"type": "string", "enum": list(_REPLICAS), "default": "default"},
    "How much of a row an update and a delete carry: the key and what changed, or with `full` the whole row, and"
    " of an update the old values too.",
    "full")
LOG: Final = Parameter("log", _one_of(_LOG_MODES),
    {"type": "string", "enum": list(_LOG_MODES), "default": "full"},
    "`changes_only`: the log begins without the rows that there are already.",
    "changes_only")

SHAPE: Final = (TABLE, WHERE, PARAMS, COLUMNS, QUERYABLE_COLUMNS, REPLICA, LOG)

# --- How far the client has come --------------------------------------------------------------------

OFFSET: Final = Parameter("offset", str, _OFFSET,
    "The place in the log after which to read: `-1` for all of it, `now` for its end, otherwise what the last answer"
    " said in `electric-offset`.",
    "-1", is_required=True)
HANDLE: Final = Parameter("handle", str, _TEXT,
    "What the last answer said in `electric-handle`. Needed unless `offset` is `-1` or `now`, which ignore it.",
    "38216733-1763884800000000")
LIVE: Final = Parameter("live", _read_boolean, _BOOLEAN,
    "Wait for news if there is none. Anything but `false` is true, even an empty value.",
    True)
LIVE_SSE: Final = Parameter("live_sse", _read_boolean, _BOOLEAN,
    "With `live`: send server-sent events for a minute. Anything but `false` is true.",
    True)
EXPERIMENTAL_LIVE_SSE: Final = Parameter("experimental_live_sse", _read_boolean, _BOOLEAN,
    "The old name of `live_sse`, read if that is left out.",
    True, is_deprecated=True)
CURSOR: Final = Parameter("cursor", str, _TEXT,
    "What the last live answer said in `electric-cursor`: it keeps caches from answering with old news.",
    "59000020")
COMPACTION: Final = Parameter("experimental_compaction", _read_boolean, _BOOLEAN,
    "Allows that several updates of a row are sent as one. None are at present.",
    True)

POSITION: Final = (OFFSET, HANDLE, LIVE, LIVE_SSE, EXPERIMENTAL_LIVE_SSE, CURSOR, COMPACTION)

# --- Part of a shape (section 11) -------------------------------------------------------------------

SUBSET: Final = (
    Parameter("where", str, _TEXT,
        "The condition that narrows the shape's own, without subqueries.",
        "priority > $1"),
    Parameter("params", str, _VALUES,
        "The values of `$1`, `$2`, … in it: a JSON object, or the text of one.",
        {"1": "3"}),
    Parameter("order_by", str, _TEXT,
        "Columns, each with `ASC`, `DESC`, `NULLS FIRST`, `NULLS LAST` if needed.",
        "priority DESC, id"),
    Parameter("limit", str, {"type": "integer", "minimum": 1, "maximum": LARGEST_INTEGER},
        "How many rows at most; needs `order_by`.",
        50),
    Parameter("offset", str, {"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER},
        "How many rows to pass over; needs `order_by`.",
        100),
)
"""Members of a subset: ``subset__where``, or ``where`` in the body of a POST. `subset` reads them."""
SUBSET_PREFIX: Final = "subset__"
SUBSET_NESTED: Final = "subset"

# --- Who asks, and caches -----------------------------------------------------------------------------

SECRETS: Final = (
    Parameter("secret", str, _TEXT, "The API secret of the server.", "…"),
    Parameter("api_secret", str, _TEXT, "The old name of `secret`, read if that is left out.", "…",
        is_deprecated=True),
)
"""Only ever read from the query (section 1.3)."""
IGNORED: Final = (
    Parameter("expired_handle", str, _TEXT,
        "A handle that is no longer good. Ignored: it keeps a cache from answering with it.",
        "38216733-1763884800000000"),
    Parameter("cache-buster", str, _TEXT, "Anything. Ignored: no cache has an answer to it.", "1763884800"),
    Parameter("database_id", str, _TEXT, "Which database, in Electric's cloud. Ignored.", "main"),
    Parameter("source_id", str, _TEXT, "Which source, in Electric's cloud. Ignored.", "main"),
)
"""What official clients send for the sake of caches and proxies."""
# fmt: on
