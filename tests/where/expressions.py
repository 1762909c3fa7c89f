"""Random where clauses over one table with a column of every type that the language knows."""

from __future__ import annotations

from hypothesis import strategies as st

COLUMNS = {
    "b": "bool",
    "b2": "bool",
    "i2": "int2",
    "i4": "int4",
    "i8": "int8",
    "f": "float8",
    "n": "numeric",
    "t": "text",
    "v": "varchar",
    "u": "uuid",
    "d": "date",
    "ts": "timestamp",
    "tz": "timestamptz",
    "j": "jsonb",
}

_UUIDS = ("00000000-0000-0000-0000-00000000000a", "550e8400-e29b-41d4-a716-446655440000")
_TEXTS = (
    "",
    "a",
    "ab",
    "A%",
    "a_c",
    "a\nc",
    "Z",
    "é",
    "日本",
    "😀x",
    "back\\slash",
    "it's",
    "Abc",
    "aBC",
)

VALUES: dict[str, tuple[str, ...]] = {
    "bool": ("t", "f"),
    "int2": ("0", "1", "-5", "7", "32767"),
    "int4": ("0", "1", "-5", "7", "2147483647", "-2147483648"),
    "int8": ("0", "1", "7", "9007199254740993", "9223372036854775807", "-9223372036854775808"),
    "float8": ("0", "-0", "1", "0.1", "7.5", "9007199254740992", "1e+300", "NaN", "Infinity", "-Infinity"),
    "numeric": ("0", "1", "1.0", "1.50", "0.1", "-5", "9007199254740993", "NaN", "Infinity", "-Infinity", "1e-30"),
    "text": _TEXTS,
    "varchar": _TEXTS,
    "uuid": _UUIDS,
    "date": ("2024-02-29", "2024-01-01", "0044-03-15 BC", "infinity", "-infinity", "12345-06-07", "5874897-12-31"),
    "timestamp": (
        "2024-02-29 00:00:00", "2024-01-01 10:00:00.5", "2024-01-01 10:00:00", "infinity", "-infinity",
        "0044-03-15 10:00:00 BC", "12345-06-07 01:02:03.000001", "0001-01-01 00:00:00",
    ),
    "timestamptz": (
        "2024-02-29 00:00:00+00", "2024-01-01 10:00:00.5+00", "2024-01-01 10:00:00.45+00", "infinity", "-infinity",
        "0044-03-15 10:00:00+00 BC", "12345-06-07 01:02:03+00", "2024-01-01 00:00:00+00",
    ),
    "jsonb": ('{"a": 1}', "null"),
}  # fmt: skip


def quote(text: str) -> str:
    """A literal, as a user may write it."""
    return "'" + text.replace("'", "''") + "'"


def _literals(*types: str) -> list[str]:
    plain = [quote(value) for name in types for value in VALUES[name]]
    return plain + [f"{quote(value)}::{name}" for name in types for value in VALUES[name]]


def _columns(*types: str) -> list[str]:
    return [name for name, kind in COLUMNS.items() if kind in types]


_NUMBERS = ("int2", "int4", "int8", "float8", "numeric")
_NUMERALS = [
    "0", "1", "7", "-5", "1.0", "1.5", "-0.0", "1e2", ".5", "2147483648", "9007199254740993",
    "99999999999999999999", "32767.0", "7::int8", "7.0::float8", "1::numeric", "true::int4",
]  # fmt: skip
_MOMENTS = ("date", "timestamp", "timestamptz")
_STRINGS = ("text", "varchar")

OPERANDS: dict[str, tuple[list[str], list[str], list[str], list[str]]] = {
    "number": (
        _columns(*_NUMBERS),
        _NUMERALS,
        _literals(*_NUMBERS),
        ["NULL", "NULL::int4", "i4::float8", "i8::numeric", "i2::int8", "i8::float8", "n::float8", "b::int4"],
    ),
    "moment": (
        _columns(*_MOMENTS),
        _columns(*_MOMENTS),
        [*_literals(*_MOMENTS), "'2024-1-1'", "'epoch'", "'2024-01-01T12:00+02'"],
        ["NULL", "NULL::date", "tz::date", "ts::date", "ts::timestamptz", "tz::timestamp", "d::timestamp"],
    ),
    "string": (
        _columns(*_STRINGS),
        _columns(*_STRINGS),
        _literals(*_STRINGS),
        [
            "NULL", "NULL::text", "i4::text", "b::text", "d::text", "tz::text", "n::text", "f::text", "t::varchar",
            "v::text", "u::text", "'1.50'::numeric::text", "j::text", "ts::date::text",
        ],
    ),
    "uuid": (["u"], ["u"], _literals("uuid"), ["NULL", "NULL::uuid", "'{550E8400E29B41D4A716446655440000}'"]),
    "truth": (["b", "b2"], ["b", "b2"], [*_literals("bool"), "true", "false", "'yes'"], ["NULL", "NULL::bool", "i4::bool"]),
}  # fmt: skip
"""Four kinds of operands for each kind of value, to be chosen equally often."""

OPERATORS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_FORMS = (
    "{0} {operator} {1}",
    "{0} {operator} {1}",
    "{0} IS {maybe_not}DISTINCT FROM {1}",
    "{0} {maybe_not}IN ({some})",
    "{0} {maybe_not}BETWEEN {1} AND {2}",
    "{0} {maybe_not}BETWEEN SYMMETRIC {1} AND {2}",
    "{0} IS {maybe_not}NULL",
    "j IS {maybe_not}NULL",
)
_PATTERNS = st.text("aAbBcC%_\\\n%é", max_size=6)


@st.composite
def operands(draw: st.DrawFn, kind: str) -> str:
    """An operand of one kind of value."""
    return draw(st.sampled_from(draw(st.sampled_from(OPERANDS[kind]))))


@st.composite
def atoms(draw: st.DrawFn) -> str:
    """A condition without AND, OR, NOT."""
    kind = draw(st.sampled_from([*OPERANDS, *OPERANDS, "like"]))
    if kind == "like":
        return draw(likes())
    form = draw(st.sampled_from(_FORMS if kind != "truth" else ("{0}", *_FORMS)))
    one, two, three = (draw(operands(kind)) if f"{{{n}}}" in form else "" for n in range(3))
    some = (
        ", ".join(draw(st.lists(operands(kind), min_size=1, max_size=4))) if "some" in form else ""
    )
    maybe_not = draw(st.sampled_from(["", "NOT "]))
    operator = draw(st.sampled_from(OPERATORS))
    return form.format(one, two, three, some=some, maybe_not=maybe_not, operator=operator)


@st.composite
def likes(draw: st.DrawFn) -> str:
    """LIKE and ILIKE."""
    operator = draw(st.sampled_from(["LIKE", "ILIKE", "NOT LIKE", "NOT ILIKE"]))
    escape = draw(st.sampled_from(["", "", " ESCAPE '!'", " ESCAPE ''"]))
    pattern = draw(st.text("ab!%_\\", max_size=5) if escape else _PATTERNS)
    return f"{draw(operands('string'))} {operator} {quote(pattern)}{escape}"


@st.composite
def clauses(draw: st.DrawFn, depth: int = 3) -> str:
    """Mostly valid clauses; the invalid ones are for the refusal to be seen."""
    form = draw(st.integers(0, 8)) if depth else 0
    if form < 3:
        return draw(atoms())
    one = f"({draw(clauses(depth - 1))})"
    maybe_not = draw(st.sampled_from(["", "NOT "]))
    if form == 3:
        return f"NOT {one}"
    if form == 4:
        return f"{one} IS {maybe_not}{draw(st.sampled_from(['TRUE', 'FALSE', 'UNKNOWN', 'NULL']))}"
    joins = ("AND", "OR", draw(st.sampled_from(OPERATORS)), f"IS {maybe_not}DISTINCT FROM")
    return f"{one} {joins[form - 5]} ({draw(clauses(depth - 1))})"


@st.composite
def rows(draw: st.DrawFn) -> tuple[str | None, ...]:
    """The texts of a row."""
    return tuple(draw(st.none() | st.sampled_from(VALUES[kind])) for kind in COLUMNS.values())
