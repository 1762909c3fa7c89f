"""jsonb (``jsonb_op.c``, ``jsonfuncs.c``, ``jsonb_util.c``). For json, see ``raw_jsons``.

Comparison operators are Python's on `Jsonb`, whose texts are in the order of their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from django_electric.postgres.values import TYPES, Array, Jsonb, NotANumber
from django_electric.postgres.values.jsons import Json, key_order, sort_key
from django_electric.where.errors import Undecided
from django_electric.where.runtime import floats, integers

_INDEX = re.compile(r"-?(?:0|[1-9][0-9]{0,8})")
_MAYBE_INDEX = re.compile(r"[\s+-]*[0-9]")


# --- parts ----------------------------------------------------------------------------------------


def get_key(json: Jsonb, key: str) -> Jsonb | None:
    """``json -> 'key'``; NULL where there is none.

    >>> get_key(Jsonb({"a": None}), "a"), get_key(Jsonb([]), "a")
    (Jsonb(value=None), None)
    """
    value = json.value
    return Jsonb(value[key]) if isinstance(value, dict) and key in value else None


def get_index(json: Jsonb, index: int) -> Jsonb | None:
    """``json -> 1``, from 0, or from -1 at the end. A scalar is an array of one item here.

    >>> get_index(Jsonb(["a", "b"]), -1), get_index(Jsonb("a"), 0)
    (Jsonb(value='b'), Jsonb(value='a'))
    """
    value = json.value
    if isinstance(value, dict):
        return None
    items = value if isinstance(value, list) else [value]
    return Jsonb(items[index]) if -len(items) <= index < len(items) else None


def get_path(json: Jsonb, path: Array) -> Jsonb | None:
    """``json #> '{a,0}'``.

    >>> get_path(Jsonb({"a": [True]}), Array.of(["a", "0"]))
    Jsonb(value=True)
    """
    value: Json = json.value
    if None in path.items:
        return None
    for step in path.items:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list):
            index = path_index(step)
            if index is None or not -len(value) <= index < len(value):
                return None
            value = value[index]
        else:
            return None
    return Jsonb(value)


def path_index(step: str) -> int | None:
    """A step of a path as the index of an array; Undecided for odd spellings of a number.

    >>> path_index("-1"), path_index("a")
    (-1, None)
    """
    if _INDEX.fullmatch(step):
        return int(step)
    if _MAYBE_INDEX.match(step):
        raise Undecided(f"whether {step!r} is an index is left to Postgres")
    return None


def as_text(json: Jsonb | None) -> str | None:
    """What ``->>`` and ``#>>`` make of a part: a text without its quotes, NULL for null.

    >>> as_text(Jsonb("a")), as_text(Jsonb(Decimal("1.50"))), as_text(Jsonb([None])), as_text(Jsonb(None))
    ('a', '1.50', '[null]', None)
    """
    if json is None or json.value is None:
        return None
    return json.value if isinstance(json.value, str) else TYPES["jsonb"].encode(json)


def get_key_text(json: Jsonb, key: str) -> str | None:
    """``json ->> 'key'``."""
    return as_text(get_key(json, key))


def get_index_text(json: Jsonb, index: int) -> str | None:
    """``json ->> 1``."""
    return as_text(get_index(json, index))


def get_path_text(json: Jsonb, path: Array) -> str | None:
    """``json #>> '{a,0}'``."""
    return as_text(get_path(json, path))


def typeof(json: Jsonb) -> str:
    """``jsonb_typeof``."""
    match json.value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case Decimal():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"


def array_length(json: Jsonb) -> int:
    """``jsonb_array_length``."""
    if not isinstance(json.value, list):
        raise ValueError("cannot get array length of a non-array")
    return len(json.value)


# --- containment ----------------------------------------------------------------------------------


def contains(a: Jsonb, b: Jsonb) -> bool:
    """``a @> b``. An array contains a scalar that is in it, but only at the top.

    >>> contains(Jsonb(["a", ["b"]]), Jsonb(["a", "a"])), contains(Jsonb(["a"]), Jsonb("a"))
    (True, True)
    """
    if isinstance(a.value, list) and not isinstance(b.value, list | dict):
        return _holds(a.value, b.value)
    return _contains(a.value, b.value)


def contained(a: Jsonb, b: Jsonb) -> bool:
    """``a <@ b``."""
    return contains(b, a)


def _contains(a: Json, b: Json) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return all(key in a and _contains(a[key], item) for key, item in b.items())
    if isinstance(a, list) and isinstance(b, list):
        return all(_holds(a, item) for item in b)
    if isinstance(b, dict | list):
        return False
    return sort_key(a) == sort_key(b)


def _holds(items: list[Json], one: Json) -> bool:
    return any(_contains(item, one) for item in items)


def has_key(json: Jsonb, key: str) -> bool:
    """``json ? 'key'``: a key of an object, a text in an array, or the text itself."""
    if isinstance(json.value, dict | list):
        # In a list no item but a text equals a text.
        return key in json.value
    return json.value == key


def has_any(json: Jsonb, keys: Array) -> bool:
    """``json ?| array``; NULLs are passed over."""
    return any(has_key(json, key) for key in keys.items if key is not None)


def has_all(json: Jsonb, keys: Array) -> bool:
    """``json ?& array``; NULLs are passed over."""
    return all(has_key(json, key) for key in keys.items if key is not None)


# --- changes --------------------------------------------------------------------------------------


def concatenate(a: Jsonb, b: Jsonb) -> Jsonb:
    """``a || b``: two objects become one, in which *b* has the last word; everything else an array.

    >>> concatenate(Jsonb({"a": "x"}), Jsonb({"a": "y"})), concatenate(Jsonb("a"), Jsonb(["b"]))
    (Jsonb(value={'a': 'y'}), Jsonb(value=['a', 'b']))
    """
    if isinstance(a.value, dict) and isinstance(b.value, dict):
        merged = {**a.value, **b.value}
        return Jsonb({key: merged[key] for key in sorted(merged, key=key_order)})
    return Jsonb(_as_list(a.value) + _as_list(b.value))


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def delete_key(json: Jsonb, key: str) -> Jsonb:
    """``json - 'key'``."""
    return _without(json, [key])


def delete_keys(json: Jsonb, keys: Array) -> Jsonb:
    """``json - array``; NULLs are passed over."""
    if len(keys.lengths) > 1:
        raise ValueError("wrong number of array subscripts")
    return _without(json, [key for key in keys.items if key is not None])


def _without(json: Jsonb, keys: Sequence[str]) -> Jsonb:
    """Without these keys of an object, or these texts of an array."""
    match json.value:
        case dict():
            return Jsonb({key: item for key, item in json.value.items() if key not in keys})
        case list():
            return Jsonb(
                [item for item in json.value if not (isinstance(item, str) and item in keys)]
            )
    raise ValueError("cannot delete from scalar")


def delete_index(json: Jsonb, index: int) -> Jsonb:
    """``json - 1``.

    >>> delete_index(Jsonb(["a", "b"]), -1)
    Jsonb(value=['a'])
    """
    if not isinstance(json.value, list):
        raise ValueError("cannot delete from object using integer index, nor from scalar")
    items = list(json.value)
    if -len(items) <= index < len(items):
        del items[index]
    return Jsonb(items)


def delete_path(json: Jsonb, path: Array) -> Jsonb:
    """``json #- '{a,0}'``.

    >>> delete_path(Jsonb({"a": ["b", "c"]}), Array.of(["a", "0"]))
    Jsonb(value={'a': ['c']})
    """
    if len(path.lengths) > 1:
        raise ValueError("wrong number of array subscripts")
    if not isinstance(json.value, dict | list):
        raise ValueError("cannot delete path in scalar")
    return Jsonb(_deleted(json.value, path.items) if path.items and json.value else json.value)


def _deleted(value: Json, path: Sequence[str | None]) -> Json:
    """*value* without what lies at *path*, which is not empty; *value* itself if nothing does."""
    if not isinstance(value, dict | list):
        return value
    step, rest = path[0], path[1:]
    if step is None:
        raise ValueError("path element is null")
    if isinstance(value, dict):
        if step not in value:
            return value
        changed = {key: item for key, item in value.items() if key != step or rest}
        return {**changed, step: _deleted(value[step], rest)} if rest else changed
    index = path_index(step)
    if index is None:
        raise ValueError("path element is not an integer")
    if not -len(value) <= index < len(value):
        return value
    place = index % len(value)
    inside = [_deleted(value[place], rest)] if rest else []
    return [*value[:place], *inside, *value[place + 1 :]]


# --- casts ----------------------------------------------------------------------------------------


def to_bool(json: Jsonb) -> bool:
    _check_not_null(json)
    if not isinstance(json.value, bool):
        raise ValueError(f"cannot cast jsonb {typeof(json)} to type boolean")
    return json.value


def to_numeric(json: Jsonb) -> Decimal:
    _check_not_null(json)
    if not isinstance(json.value, Decimal):
        raise ValueError(f"cannot cast jsonb {typeof(json)} to a number")
    return json.value


def to_int(json: Jsonb, *, bits: int) -> int:
    """
    >>> to_int(Jsonb(Decimal("2.5")), bits=32)
    3
    """
    return integers.from_numeric(to_numeric(json), bits=bits)


def to_float(json: Jsonb, *, single: bool = False) -> float | NotANumber:
    return floats.from_numeric(to_numeric(json), single=single)


def _check_not_null(json: Jsonb) -> None:
    if json.value is None:
        raise Undecided("what null is cast to depends on the version")
