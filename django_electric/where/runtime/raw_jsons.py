"""json (``jsonfuncs.c``): parts of a text, each just as it stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed does not know it
from typing import Any, NamedTuple

from django_electric.postgres.values import Array
from django_electric.where.errors import Undecided
from django_electric.where.runtime.jsons import path_index

_BLANKS = " \t\n\r"
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_KINDS = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}


class _Member(NamedTuple):
    """A part of an array or object: its key (None in an array), and where it begins and ends."""

    key: str | None
    start: int
    end: int


def typeof(text: str) -> str:
    """``json_typeof``.

    >>> typeof(' {"a": 1} '), typeof("-1")
    ('object', 'number')
    """
    return _KINDS.get(text.lstrip(_BLANKS)[:1], "number")


def get_key(text: str, key: str) -> str | None:
    """``json -> 'key'``: of duplicate keys the last one.

    >>> get_key('{"a": [1,  2], "b":0}', "a")
    '[1,  2]'
    """
    if typeof(text) != "object":
        return None
    found = [member for member in _members(text) if member.key == key]
    return text[found[-1].start : found[-1].end] if found else None


def get_index(text: str, index: int) -> str | None:
    """``json -> 1``, from 0, or from -1 at the end."""
    if typeof(text) != "array":
        return None
    items = list(_members(text))
    if not -len(items) <= index < len(items):
        return None
    return text[items[index].start : items[index].end]


def get_path(text: str, path: Array) -> str | None:
    """``json #> '{a,0}'``."""
    if None in path.items:
        return None
    found: str | None = text
    for step in path.items:
        assert found is not None
        if typeof(found) == "array":
            index = path_index(step)
            found = None if index is None else get_index(found, index)
        else:
            found = get_key(found, step)
        if found is None:
            return None
    return found


def as_text(part: str | None) -> str | None:
    """What ``->>`` and ``#>>`` make of a part: a text without its quotes, NULL for null.

    >>> as_text('"a"'), as_text("1e2"), as_text("null")
    ('a', '1e2', None)
    """
    if part is None or typeof(part) == "null":
        return None
    if typeof(part) != "string":
        return part
    _check(part)
    return str(_parsed(part.strip(_BLANKS), 0)[0])


def get_key_text(text: str, key: str) -> str | None:
    """``json ->> 'key'``."""
    return as_text(get_key(text, key))


def get_index_text(text: str, index: int) -> str | None:
    """``json ->> 1``."""
    return as_text(get_index(text, index))


def get_path_text(text: str, path: Array) -> str | None:
    """``json #>> '{a,0}'``."""
    return as_text(get_path(text, path))


def array_length(text: str) -> int:
    """``json_array_length``."""
    if typeof(text) != "array":
        raise ValueError("cannot get array length of a non-array")
    return sum(1 for _ in _members(text))


def _members(text: str) -> Iterator[_Member]:
    """The parts of an array or object that is whole, as the type's input function saw to."""
    _check(text)
    place = _after_blanks(text, 0)
    is_object = text[place] == "{"
    place = _after_blanks(text, place + 1)
    while text[place] not in "]}":
        key = None
        if is_object:
            key, place = scanstring(text, place + 1)
            place = _after_blanks(text, _after_blanks(text, place) + 1)
        _, end = _parsed(text, place)
        yield _Member(key, place, end)
        place = _after_blanks(text, end)
        if text[place] == ",":
            place = _after_blanks(text, place + 1)


def _after_blanks(text: str, place: int) -> int:
    while text[place] in _BLANKS:
        place += 1
    return place


def _parsed(text: str, place: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except RecursionError:
        raise Undecided("JSON is nested too deeply") from None


def _check(text: str) -> None:
    if "\\u" in text:
        raise Undecided("which escapes fail depends on the version")
