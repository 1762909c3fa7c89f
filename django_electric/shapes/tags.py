"""Tags: what a message of a shape with subqueries says of its row (PROTOCOL section 12.2).

``active_conditions`` has a boolean for each literal of the condition; ``tags`` has a text for each
alternative, with a slot for each literal: the hash of what the row compares with a subquery, ``1`` for any
other condition, nothing for the literals of other alternatives. A client that hears of a move looks for
the hash in the slot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import md5
from typing import NamedTuple

from django_electric.shapes.definition import ShapeDefinition
from django_electric.shapes.members import Members, Value, value_reader
from django_electric.where import EvaluationError
from django_electric.where.plan import Contained, Plain, Plan

Row = Sequence[str | None]


Check = Callable[[Row, Sequence[Members]], bool]


class _Slot(NamedTuple):
    """One literal."""

    read: Callable[[Row], Value] | None
    """What the row compares with the subquery; None for any other condition."""
    names: tuple[str, ...]


class RowPlan:
    """A plan for rows of one layout."""

    def __init__(
        self, plan: Plan, definition: ShapeDefinition, positions: Mapping[str, int]
    ) -> None:
        types = {c.name: c.type_name for c in definition.relation_columns}
        self._alternatives: list[list[Check]] = []
        self._slots: list[list[_Slot]] = []
        for literals in plan.alternatives:
            checks, slots = [], []
            for literal in literals:
                read: Callable[[Row], Value] | None = None
                names: tuple[str, ...] = ()
                if isinstance(literal, Contained):
                    names = definition.dependencies[literal.dependency].columns
                    read = value_reader(
                        [types[name] for name in literal.columns],
                        [positions[name] for name in literal.columns],
                    )
                    checks.append(_contained(literal, read))
                else:
                    checks.append(_plain(literal, positions))
                slots.append(_Slot(read, names))
            self._alternatives.append(checks)
            self._slots.append(slots)

    def matches(self, row: Row, told: Sequence[Members]) -> bool:
        """Whether the row belongs to the shape, as far as its log has been told."""
        for checks in self._alternatives:
            for check in checks:
                if not check(row, told):
                    break
            else:
                return True
        return False

    def active(self, row: Row, told: Sequence[Members]) -> list[bool]:
        """Which literals are true of the row."""
        return [check(row, told) for checks in self._alternatives for check in checks]

    def tags(self, row: Row, salt: str) -> list[str]:
        """One for each alternative."""
        before, after = 0, sum(map(len, self._slots))
        tags = []
        for slots in self._slots:
            after -= len(slots)
            own = [
                "1" if slot.read is None else hash_of(salt, slot.names, slot.read(row))
                for slot in slots
            ]
            tags.append("/".join([*[""] * before, *own, *[""] * after]))
            before += len(slots)
        return tags


def _plain(literal: Plain, positions: Mapping[str, int]) -> Check:
    evaluate = literal.where.compile(positions)

    def check(row: Row, told: Sequence[Members]) -> bool:
        try:
            return evaluate(row) is True
        except EvaluationError:
            return False

    return check


def _contained(literal: Contained, read: Callable[[Row], Value]) -> Check:
    number = literal.dependency
    if literal.membership == "in":
        return lambda row, told: told[number].contains(read(row))
    if literal.membership == "not true":
        return lambda row, told: not told[number].contains(read(row))
    if literal.membership == "not false":
        return lambda row, told: told[number].excludes(read(row))
    return lambda row, told: not told[number].excludes(read(row))


@lru_cache(maxsize=65_536)
def hash_of(salt: str, names: tuple[str, ...], value: Value) -> str:
    """What stands in a tag, and in the patterns of a move, for what a row compares with a subquery."""
    spelt = ["NULL" if text is None else f"v:{text}" for text in value]
    if len(names) > 1:
        spelt = [f"{name}:{text}" for name, text in zip(names, spelt, strict=True)]
    return md5((salt + "".join(spelt)).encode(), usedforsecurity=False).hexdigest()


def tags_json(
    tags: Sequence[str], active: Sequence[bool], removed: Sequence[str] | None = None
) -> str:
    """As they stand among the headers of a message, from the comma on."""
    gone = "" if removed is None else f',"removed_tags":{_list(removed)}'
    conditions = ",".join("true" if one else "false" for one in active)
    return f',"tags":{_list(tags)}{gone},"active_conditions":[{conditions}]'


def _list(texts: Sequence[str]) -> str:
    return "[" + ",".join(f'"{text}"' for text in texts) + "]"


class Pattern(NamedTuple):
    """Rows whose tag has this hash in the slot."""

    position: int
    value: str


def move_event(event: str, patterns: Sequence[Pattern], xids: Sequence[int]) -> bytes:
    """The message of a move, with its end (PROTOCOL section 12.3)."""
    headers = {
        "event": event,
        "patterns": [{"pos": position, "value": value} for position, value in patterns],
        "txids": list(xids),
    }
    return b"," + json.dumps({"headers": headers}, separators=(",", ":")).encode() + b"\n"
