"""Operators and functions on arrays and JSON."""

from __future__ import annotations

from typing import Any

from django_electric.where.implementations import overloads
from django_electric.where.runtime import arrays, jsons, raw_jsons


def _from_string(text: Any, separator: Any, null: Any = None) -> Any:
    return None if text is None else arrays.from_string(text, separator, null)


ARRAY_ROWS = {
    **overloads("@>", ("anyarray anyarray", arrays.contains), total=True),
    **overloads("<@", ("anyarray anyarray", arrays.contained), total=True),
    **overloads("&&", ("anyarray anyarray", arrays.overlaps), total=True),
    **overloads("|| array_cat", ("anycompatiblearray anycompatiblearray", arrays.concatenate)),
    **overloads("|| array_append", ("anycompatiblearray anycompatible", arrays.append)),
    **overloads("|| array_prepend", ("anycompatible anycompatiblearray", arrays.prepend)),
    **overloads("array_length", ("anyarray int4", arrays.length), total=True),
    **overloads("array_lower", ("anyarray int4", arrays.lower), total=True),
    **overloads("array_upper", ("anyarray int4", arrays.upper), total=True),
    **overloads("array_ndims", ("anyarray", arrays.ndims), total=True),
    **overloads("array_dims", ("anyarray", arrays.dims), total=True),
    **overloads("cardinality", ("anyarray", arrays.cardinality), total=True),
    **overloads("array_position", ("anycompatiblearray anycompatible", arrays.position)),
    **overloads("array_positions", ("anycompatiblearray anycompatible", arrays.positions)),
    **overloads("array_remove", ("anycompatiblearray anycompatible", arrays.remove)),
    **overloads("array_replace", ("anycompatiblearray anycompatible anycompatible", arrays.replace)),
    **overloads("string_to_array", ("text text", _from_string), ("text text text", _from_string)),
}  # fmt: skip

JSON_ROWS = {
    **overloads(
        "->",
        ("jsonb text", jsons.get_key),
        ("jsonb int4", jsons.get_index),
        ("json text", raw_jsons.get_key),
        ("json int4", raw_jsons.get_index),
    ),
    **overloads(
        "->>",
        ("jsonb text", jsons.get_key_text),
        ("jsonb int4", jsons.get_index_text),
        ("json text", raw_jsons.get_key_text),
        ("json int4", raw_jsons.get_index_text),
    ),
    **overloads("#>", ("jsonb text[]", jsons.get_path), ("json text[]", raw_jsons.get_path)),
    **overloads("#>>", ("jsonb text[]", jsons.get_path_text), ("json text[]", raw_jsons.get_path_text)),
    **overloads("@>", ("jsonb jsonb", jsons.contains), total=True),
    **overloads("<@", ("jsonb jsonb", jsons.contained), total=True),
    **overloads("?", ("jsonb text", jsons.has_key), total=True),
    **overloads("?|", ("jsonb text[]", jsons.has_any), total=True),
    **overloads("?&", ("jsonb text[]", jsons.has_all), total=True),
    **overloads("||", ("jsonb jsonb", jsons.concatenate)),
    **overloads(
        "-", ("jsonb text", jsons.delete_key), ("jsonb text[]", jsons.delete_keys), ("jsonb int4", jsons.delete_index)
    ),
    **overloads("#-", ("jsonb text[]", jsons.delete_path)),
    **overloads("jsonb_typeof", ("jsonb", jsons.typeof), total=True),
    **overloads("json_typeof", ("json", raw_jsons.typeof)),
    **overloads("jsonb_array_length", ("jsonb", jsons.array_length)),
    **overloads("json_array_length", ("json", raw_jsons.array_length)),
}  # fmt: skip
