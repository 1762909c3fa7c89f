"""Following: one shape as a client of the protocol has it; what to ask next, and what an answer changes.

No I/O: `client` asks. What a client must check it checks, so that an answer which no client could use fails
the test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

Message = dict[str, Any]
Row = dict[str, str | None]

MOST_REFETCHES: Final = 10
"""So many 409s one after the other, and it goes round in circles."""


class ShapeRefused(AssertionError):
    """The answer to a shape request was an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"the answer is {status}: {body[:1000]}")
        self.status = status
        self.body = body


class _Tags(NamedTuple):
    """Why a row is in a shape: alternatives, each of conditions that have a place in the list of all."""

    tags: list[str]
    """One for each alternative."""
    active: list[bool]

    def move(self, patterns: Iterable[Message], *, is_active: bool) -> None:
        for pattern in patterns:
            at = pattern["pos"]
            if any(tag.split("/")[at] == pattern["value"] for tag in self.tags):
                self.active[at] = is_active

    def hold(self) -> bool:
        """Whether all conditions of an alternative are true."""
        return any(
            all(self.active[at] for at, slot in enumerate(tag.split("/")) if slot)
            for tag in self.tags
        )


class Following:
    """Rows, messages and position."""

    def __init__(self, *, has_first_rows: bool = True) -> None:
        """*has_first_rows*: False for a log of changes only, which begins in the middle."""
        self._has_first_rows = has_first_rows
        self.rows: dict[str, Row] = {}
        """By key, as the messages have made them."""
        self._tags: dict[str, _Tags] = {}
        """By key, of a shape whose condition has subqueries."""
        self.messages: list[Message] = []
        """All that came."""
        self.schema: dict[str, dict[str, Any]] = {}
        """The header ``electric-schema``: a description of each column."""
        self.handle = ""
        self.offset = "-1"
        self.is_up_to_date = False
        self.refetches = 0
        """How many times it had to start again."""
        self._cursor = ""
        self._in_a_row = 0

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the next request that say how far this client has come."""
        query = {"offset": self.offset}
        if self.handle:
            query["handle"] = self.handle
        if self.is_up_to_date:
            query |= {"live": "true", "cursor": self._cursor}
        return query

    def take(self, status: int, headers: Mapping[str, str], body: bytes) -> list[Message]:
        """The messages of an answer. Raises ShapeRefused if it is another error than must-refetch."""
        if status == 409:
            return self._start_again(headers, body)
        if status not in (200, 204):
            raise ShapeRefused(status, body.decode(errors="replace"))
        self._in_a_row = 0
        self.schema = json.loads(headers.get("electric-schema", "null")) or self.schema
        self._cursor = headers.get("electric-cursor", self._cursor)
        self.handle, self.offset = headers["electric-handle"], headers["electric-offset"]
        messages = json.loads(body) if body else []
        self._apply(messages)
        self.is_up_to_date = "electric-up-to-date" in headers
        return self._noted(messages)

    def _start_again(self, headers: Mapping[str, str], body: bytes) -> list[Message]:
        self._in_a_row += 1
        if self._in_a_row > MOST_REFETCHES:
            raise AssertionError(f"must-refetch {self._in_a_row} times in a row")
        self.refetches += 1
        self.rows, self._tags, self.handle, self.offset = {}, {}, "", "-1"
        self.is_up_to_date = False
        return self._noted(json.loads(body))

    def _noted(self, messages: list[Message]) -> list[Message]:
        self.messages += messages
        return messages

    def _apply(self, messages: Iterable[Message]) -> None:
        for message in messages:
            headers = message["headers"]
            operation = headers.get("operation")
            if operation is not None:
                self._change(operation, message["key"], message.get("value", {}))
                self._tag(message["key"], headers)
            elif "event" in headers:
                self._move(headers)

    def _change(self, operation: str, key: str, value: Row) -> None:
        if operation != "insert" and key not in self.rows and self._has_first_rows:
            raise AssertionError(f"{operation} of a row that this client does not have: {key}")
        if operation == "insert":
            self.rows[key] = value
        elif operation == "update":
            self.rows[key] = {**self.rows.get(key, {}), **value}
        else:
            self.rows.pop(key, None)

    def _tag(self, key: str, headers: Message) -> None:
        """What the message says of why the row is there (PROTOCOL section 12.2)."""
        if key not in self.rows:
            self._tags.pop(key, None)
        elif "tags" in headers:
            tags = self._tags[key] = _Tags(headers["tags"], headers["active_conditions"])
            if not tags.hold():
                raise AssertionError(
                    f"{headers['operation']} of a row that no condition holds: {key}"
                )
        elif key in self._tags:
            raise AssertionError(f"{headers['operation']} without the tags of the row: {key}")

    def _move(self, headers: Message) -> None:
        """Rows that are there because of a value lose it, or have it again (PROTOCOL section 12.3)."""
        for key, tags in list(self._tags.items()):
            tags.move(headers["patterns"], is_active=headers["event"] == "move-in")
            if not tags.hold():
                del self.rows[key], self._tags[key]
