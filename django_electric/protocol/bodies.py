"""The bodies of answers as JSON Schemas, by name (PROTOCOL sections 1.5, 2.4, 4, 5, 7 and 11.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django_electric.protocol.query import JsonSchema
from django_electric.protocol.subset import MARKS

_TEXT: JsonSchema = {"type": "string"}
_TEXTS: JsonSchema = {"type": "array", "items": _TEXT, "minItems": 1}
_NUMBER_TEXT: JsonSchema = {"type": "string", "pattern": "^[0-9]+$"}
_KEY: JsonSchema = {
    "type": "string",
    "description": 'The row, in the shape: `"schema"."table"/"value of its primary key"`.',
}


def reference(name: str) -> JsonSchema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(
    properties: Mapping[str, JsonSchema], *, optional: tuple[str, ...] = (), description: str = ""
) -> JsonSchema:
    """An object with these members and no others."""
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _control(kind: str, members: Mapping[str, JsonSchema], description: str) -> JsonSchema:
    headers = _object({"control": {"const": kind}, **members})
    return _object({"headers": headers}, description=description)


_VISIBLE: Mapping[str, JsonSchema] = {
    "xmin": _NUMBER_TEXT,
    "xmax": _NUMBER_TEXT,
    "xip_list": {"type": "array", "items": _NUMBER_TEXT},
}
"""Which transactions rows contain, as ``pg_current_snapshot()`` says it."""

_ROW_HEADERS = _object(
    {
        "operation": {"enum": ["insert", "update", "delete"]},
        "relation": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2},
        "txids": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        "lsn": _NUMBER_TEXT,
        "op_position": {"type": "integer", "minimum": 0},
        "last": {"const": True},
        "key_change_to": _TEXT,
        "key_change_from": _TEXT,
        "snapshot_mark": {"type": "integer", "minimum": 0, "exclusiveMaximum": MARKS},
    },
    optional=("txids", "lsn", "op_position", "last", "key_change_to", "key_change_from",
              "snapshot_mark"),
)  # fmt: skip

SCHEMAS: Final[Mapping[str, JsonSchema]] = {
    "Row": {
        "type": "object",
        "description": "Column → value, as Postgres writes it; `null` for NULL.",
        "additionalProperties": {"type": ["string", "null"]},
    },
    "RowMessage": _object(
        {
            "key": _KEY,
            "value": reference("Row"),
            "old_value": reference("Row"),
            "headers": _ROW_HEADERS,
        },
        optional=("old_value",),
        description="A row of the snapshot (without `lsn`), or a change to one.",
    ),
    "SnapshotEnd": _control("snapshot-end", _VISIBLE, "Follows the rows that there were already."),
    "UpToDate": _control(
        "up-to-date",
        {"global_last_seen_lsn": _NUMBER_TEXT},
        "The client has all that was committed up to this LSN.",
    ),
    "Log": {
        "type": "array",
        "description": "A chunk of the shape's log.",
        "items": {"anyOf": [reference(name) for name in ("RowMessage", "SnapshotEnd", "UpToDate")]},
    },
    "Events": {
        "type": "string",
        "description": "Server-sent events, each with one message of the log: `data: {…}` and an empty line.",
    },
    "Subset": _object(
        {
            "metadata": _object(
                {
                    **_VISIBLE,
                    "database_lsn": _NUMBER_TEXT,
                    "snapshot_mark": {"type": "integer", "minimum": 0, "exclusiveMaximum": MARKS},
                }
            ),
            "data": {"type": "array", "items": reference("RowMessage")},
        },
        description="Part of a shape, and what joins it to the log.",
    ),
    "MustRefetch": {
        "type": "array",
        "description": "The client drops its data and starts again at `offset=-1`.",
        "items": _control("must-refetch", {}, ""),
        "minItems": 1,
        "maxItems": 1,
    },
    "InvalidRequest": _object(
        {
            "message": {"const": "Invalid request"},
            "errors": {
                "type": "object",
                "description": "Parameter → what is wrong with it; for a subset member → what is wrong.",
                "additionalProperties": {
                    "anyOf": [
                        _TEXTS,
                        {
                            "type": "object",
                            "additionalProperties": {"anyOf": [_TEXTS, _TEXT]},
                        },
                    ]
                },
                "minProperties": 1,
            },
        }
    ),
    "Message": _object({"message": _TEXT}),
    "Overloaded": _object({"code": _TEXT, "message": _TEXT}),
    "Error": _object({"error": _TEXT, "details": _TEXT}, optional=("details",)),
    "Health": _object({"status": {"enum": ["active", "waiting", "starting"]}}),
}
