"""Does a value match what a golden case expects? The matchers of the notation, in a table.

`mismatch` returns None, or a sentence that says where and why not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Saved: TypeAlias = Mapping[str, Json]


def mismatch(expected: Json, actual: Json, saved: Saved, at: str = "") -> str | None:
    """Why *actual* is not what *expected* describes; None if it is."""
    if isinstance(expected, str):
        return _text(expected, actual, saved, at)
    if isinstance(expected, Mapping):
        return _object(expected, actual, saved, at)
    if isinstance(expected, Sequence):
        return _array(expected, actual, saved, at)
    same = type(expected) is type(actual) and expected == actual
    return None if same else f"{at}: expected {expected!r}, got {actual!r}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _in_range(text: str, bounds: str) -> bool:
    low, high = map(int, bounds.split(":"))
    return text.lstrip("-").isdigit() and low <= int(text) <= high


def _same_members(text: str, members: str) -> bool:
    return sorted(part.strip() for part in text.split(",")) == sorted(members.split(","))


_KINDS: Mapping[str, Callable[[Json], bool]] = {
    "$any": lambda value: True,
    "$str": lambda value: isinstance(value, str) and value != "",
    "$int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "$num_str": lambda value: isinstance(value, str) and re.fullmatch(r"\d+", value) is not None,
    "$int_str": lambda value: isinstance(value, str) and re.fullmatch(r"-?\d+", value) is not None,
    "$hex32": lambda value: (
        isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None
    ),
}

_ON_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "$re": lambda text, pattern: re.search(pattern, text) is not None,
    "$len": lambda text, length: len(text) == int(length),
    "$set": _same_members,
    "$multiple_of": lambda text, n: text.isdigit() and int(text) % int(n) == 0,
    "$intrange": _in_range,
}

_ON_SAVED: Mapping[str, Callable[[Json, Json], bool]] = {
    "$var": lambda value, saved: type(value) is type(saved) and value == saved,
    "$ne": lambda value, saved: value != saved,
    "$ge": lambda value, saved: _is_number(str(value)) and float(str(value)) >= float(str(saved)),
}


def _text(expected: str, actual: Json, saved: Saved, at: str) -> str | None:
    name, colon, argument = expected.partition(":")
    if not colon and name in _KINDS:
        is_match = _KINDS[name](actual)
    elif colon and name in _ON_TEXT:
        is_match = isinstance(actual, str) and _ON_TEXT[name](actual, argument)
    elif colon and name in _ON_SAVED:
        is_match = _ON_SAVED[name](actual, saved[argument])
    else:
        is_match = expected == actual and isinstance(actual, str)
    return None if is_match else f"{at}: expected {expected!r}, got {actual!r:.2000}"


def _object(expected: Mapping[str, Json], actual: Json, saved: Saved, at: str) -> str | None:
    for name, check in _WHOLE.items():
        if name in expected:
            return check(expected[name], actual, saved, at)
    if not isinstance(actual, Mapping):
        return f"{at}: expected an object, got {actual!r:.2000}"
    members = {key: value for key, value in expected.items() if key != "$only"}
    if expected.get("$only") and set(actual) - set(members):
        return f"{at}: unexpected members {sorted(set(actual) - set(members))} in {actual!r:.2000}"
    for key, value in members.items():
        if key not in actual:
            return f"{at}: {key!r} is missing in {actual!r:.2000}"
        if why := mismatch(value, actual[key], saved, f"{at}.{key}"):
            return why
    return None


def _array(expected: Sequence[Json], actual: Json, saved: Saved, at: str) -> str | None:
    if not _is_array(actual):
        return f"{at}: expected an array, got {actual!r:.2000}"
    if len(expected) != len(actual):
        return f"{at}: expected {len(expected)} elements, got {len(actual)}: {actual!r:.2000}"
    for i, (one, other) in enumerate(zip(expected, actual, strict=True)):
        if why := mismatch(one, other, saved, f"{at}[{i}]"):
            return why
    return None


def _is_array(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _json(expected: Json, actual: Json, saved: Saved, at: str) -> str | None:
    return mismatch(expected, json.loads(str(actual)), saved, f"{at}(json)")


def _unordered(expected: Json, actual: Json, saved: Saved, at: str) -> str | None:
    if not _is_array(actual) or len(expected) != len(actual):
        return f"{at}: expected {len(expected)} elements in any order, got {actual!r:.2000}"
    return _contains(expected, actual, saved, at)


def _contains(expected: Json, actual: Json, saved: Saved, at: str) -> str | None:
    if _is_array(actual) and _assign(list(expected), list(actual), saved):
        return None
    return f"{at}: expected to find {expected!r:.2000} in {actual!r:.2000}"


def _assign(expected: list[Json], actual: list[Json], saved: Saved) -> bool:
    """Whether each matcher has an element of its own."""
    if not expected:
        return True
    first, *rest = expected
    return any(
        mismatch(first, element, saved) is None
        and _assign(rest, actual[:i] + actual[i + 1 :], saved)
        for i, element in enumerate(actual)
    )


def _each(expected: Json, actual: Json, saved: Saved, at: str) -> str | None:
    """How many there are nobody can tell: transactions under way in the whole cluster, for example."""
    if not _is_array(actual):
        return f"{at}: expected an array, got {actual!r:.2000}"
    found = (mismatch(expected, one, saved, f"{at}[{i}]") for i, one in enumerate(actual))
    return next((why for why in found if why), None)


def _contains_in_order(expected: Json, actual: Json, saved: Saved, at: str) -> str | None:
    elements = iter(actual if _is_array(actual) else ())
    for one in expected:
        if not any(mismatch(one, element, saved) is None for element in elements):
            return f"{at}: expected {expected!r:.2000} in this order in {actual!r:.2000}"
    return None


_WHOLE: Mapping[str, Callable[[Json, Json, Saved, str], str | None]] = {
    "$json": _json,
    "$unordered": _unordered,
    "$contains": _contains,
    "$each": _each,
    "$contains_in_order": _contains_in_order,
}
