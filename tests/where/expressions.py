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
    "f4": "float4",
    "c": "bpchar",
    "nm": "name",
    "ti": "time",
    "iv": "interval",
    "xs": "int4[]",
    "ss": "text[]",
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
    "jsonb": ('{"a": 1}', "null", '{"a": "x", "b": [1, 2]}', '[1, "a", null]', '{"a": {"b": 1.50}}', '"a"', "7", "[]", "{}"),
    "float4": ("0", "-0", "0.1", "7.5", "1", "16777216", "NaN", "Infinity", "-Infinity", "1e-20"),
    "bpchar": ("", "a", "ab ", "A", "Z  ", "é"),
    "name": ("", "a", "ab", "Z", "é"),
    "time": ("00:00:00", "10:00:00.5", "23:59:59.999999", "24:00:00", "10:00:00"),
    "interval": ("PT0S", "P1D", "PT24H", "P1M", "P30D", "P-1Y2M3DT4H5M6.5S", "PT-0.000001S", "P1Y"),
    "int4[]": ("{}", "{1}", "{1,NULL,7}", "{7,1}", "{{1,7},{0,-5}}", "[0:1]={1,2147483647}", "{NULL}"),
    "text[]": ("{}", "{a}", '{a,NULL,"a b"}', '{"NULL",Z}', "{{a},{b}}", '{""}'),
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
        [
            "NULL", "NULL::int4", "i4::float8", "i8::numeric", "i2::int8", "i8::float8", "n::float8", "b::int4",
            "f4", "i4 + i2", "i8 * 2", "i4 - 1.5", "i4 / i2", "n / 3", "i4 % 7", "mod(n, 2)", "-i4", "- n", "@ i8", "abs(f)",
            "round(n, 1)", "round(f)", "floor(n)", "ceil(f)", "trunc(n)", "sign(n)", "i4 & 7", "i4 << 2", "~ i2", "i8 # 5",
            "n::int4", "i8::int2", "f::int8", "f::float4", "n::numeric(5,1)", "f4::numeric", "f4 + f", "f4 * 2", "sqrt(n)",
            "length(t)", "octet_length(t)", "strpos(t, 'a')", "ascii(t)", "length(c)", "extract(year from ts)",
            "extract(epoch from iv)", "date_part('hour', ti)", "extract(dow from d)", "d - '2024-01-01'", "xs[1]", "xs[1][2]",
            "cardinality(xs)", "array_length(xs, 1)", "array_position(xs, 7)", "jsonb_array_length(j)", "(j -> 'a')::int4",
            "(j ->> 'a')::numeric", "CASE WHEN b THEN i4 ELSE i8 END", "CASE i4 WHEN 1 THEN n WHEN i2 THEN 7 END",
            "coalesce(i4, i2, 7)", "greatest(i4, i8, 1)", "least(n, f)", "nullif(i4, 7)", "nullif(n, i4)", "ARRAY[i4, 7][1]",
        ],
    ),
    "moment": (
        _columns(*_MOMENTS),
        _columns(*_MOMENTS),
        [*_literals(*_MOMENTS), "'2024-1-1'", "'epoch'", "'2024-01-01T12:00+02'"],
        ["NULL", "NULL::date", "tz::date", "ts::date", "ts::timestamptz", "tz::timestamp", "d::timestamp",
         "date_trunc('month', ts)", "date_trunc('day', tz)", "ts + iv", "tz - iv", "d + 1", "d - i2", "d + iv", "d + ti",
         "tz AT TIME ZONE 'UTC'", "ts AT TIME ZONE 'Europe/Berlin'", "(tz AT TIME ZONE 'UTC')::date", "coalesce(d, '2024-01-01')",
         "greatest(ts, '2024-01-01')", "nullif(d, '2024-01-01')", "tz + '1 day'", "ts::timestamp(0)",
         "CASE WHEN b THEN d ELSE ts END", "make_date(2024, i2, 1)", "'2024-01-01'::date + i2"],
    ),
    "string": (
        _columns(*_STRINGS),
        _columns(*_STRINGS),
        _literals(*_STRINGS),
        [
            "NULL", "NULL::text", "i4::text", "b::text", "d::text", "tz::text", "n::text", "f::text", "t::varchar",
            "v::text", "u::text", "'1.50'::numeric::text", "j::text", "ts::date::text",
            "upper(t)", "lower(v)", "substring(t from 2 for 1)", "trim(t)", "t || v", "t || i4", "concat(t, i4, b)", "left(t, 1)",
            "right(t, -1)", "coalesce(t, v)", "nm", "nm::text", "c::text", "j ->> 'a'", "j #>> '{a,b}'", "ss[1]",
            "ss[2:][1]", "replace(t, 'a', 'b')", "CASE WHEN b THEN t ELSE v END", "greatest(t, v)", "least(t, 'b')",
            "repeat(t, 2)", "lpad(t, 3)", "reverse(t)", "split_part(t, 'b', 1)", "md5(t)", "array_to_string(xs, ',')",
            "t::varchar(1)", "to_hex(i4)", "xs::text", "iv::text", "ti::text", "nullif(t, 'a')", "jsonb_typeof(j)", "b || t",
            "concat_ws('-', t, NULL, v)", "f4::text", "(i4 + 1)::text", "initcap(t)", "btrim(t, 'a')", "overlay(t placing 'x' from 1)",
        ],
    ),
    "uuid": (["u"], ["u"], _literals("uuid"), ["NULL", "NULL::uuid", "'{550E8400E29B41D4A716446655440000}'"]),
    "truth": (["b", "b2"], ["b", "b2"], [*_literals("bool"), "true", "false", "'yes'"], ["NULL", "NULL::bool", "i4::bool"]),
    "blank": (["c"], ["c"], _literals("bpchar"), ["NULL", "t::bpchar", "c::bpchar(1)", "coalesce(c, 'x')"]),
    "interval": (
        ["iv"], ["iv", "ts - ts", "iv * 2", "iv / 3", "- iv", "iv + '1 day'", "justify_hours(iv)", "justify_interval(iv)"],
        [*_literals("interval"), "'1 day'", "interval '2 hours 5 min'"],
        ["NULL", "ti::interval", "age(ts, '2024-01-01')", "coalesce(iv, '1 day')", "greatest(iv, 'P1D')", "ti - '01:00'", "i4 * '1 day'::interval"],
    ),
    "time": (["ti"], ["ti", "ti + iv", "ti - iv", "ts::time"], [*_literals("time"), "'10:00'"], ["NULL", "tz::time", "iv::time"]),
    "integers": (
        ["xs"], ["xs", "xs || 1", "i4 || xs", "array_append(xs, i4)", "ARRAY[i4, i2]", "xs[1:2]", "xs[:1]", "xs[2:]", "array_remove(xs, 7)"],
        [*_literals("int4[]"), "ARRAY[1, 7]", "ARRAY[1, NULL]"], ["NULL", "xs || xs", "ARRAY[xs, xs]", "coalesce(xs, '{}')"],
    ),
    "texts": (["ss"], ["ss", "ss || t", "ARRAY[t, v]", "string_to_array(t, 'b')", "ss[1:1]"], _literals("text[]"), ["NULL", "xs::text[]"]),
    "json": (
        ["j"], ["j", "j -> 'a'", "j -> 0", "j #> '{a,b}'", "j - 'a'", "j || '{\"c\": 1}'"],
        _literals("jsonb"), ["NULL", "j -> 'b' -> 1", "j #- '{a}'", "coalesce(j, 'null')"],
    ),
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
    "coalesce({0}, {1}) = {2}",
    "nullif({0}, {1}) IS NULL",
    "({0}, {1}) {operator} ({1}, {2})",
    "({0}, {1}) IN (({1}, {2}), ({0}, {1}))",
    "CASE WHEN {0} = {1} THEN {1} ELSE {2} END {operator} {0}",
    "{0} {operator} ANY (ARRAY[{some}])",
    "{0} {operator} ALL (ARRAY[{some}])",
    "greatest({0}, {1}) {operator} {2}",
)
_OTHERS = (
    "xs @> '{{1}}'", "xs && ARRAY[i4, i2]", "xs <@ '{{1,7}}'", "ss @> ARRAY[t]", "i4 = ANY (xs)", "i8 <> ALL (xs)", "t = ANY (ss)",
    "i4 = ANY ('{{1,7,NULL}}')", "t LIKE ANY ('{{a%,%b}}')", "j @> '{{\"a\": 1}}'", "j <@ '{{\"a\": 1, \"b\": 2}}'", "j ? 'a'",
    "j ?| '{{a,b}}'", "j ?& ss", "t ~ '^a'", "t !~ 'b$'", "t ~* 'A.'", "v ~ '[[:alpha:]]+'", "t LIKE v", "t NOT LIKE v || '%'",
    "starts_with(t, v)", "t ^@ 'a'", "(ts, iv) OVERLAPS (ts, '1 day'::interval)", "upper(t) LIKE upper('%ab%')",
    "upper(v::text) = upper('ab')", "lower(t) IN ('ab', 'abc')", "ts BETWEEN '2024-01-01' AND '2024-12-31 23:59:59.999999'",
    "(j -> 'a') = '1'::jsonb", "t ILIKE v", "isfinite(ts)", "xs < '{{7}}'", "ss > '{{a}}'",
)  # fmt: skip
_PATTERNS = st.text("aAbBcC%_\\\n%é", max_size=6)


@st.composite
def operands(draw: st.DrawFn, kind: str) -> str:
    """An operand of one kind of value."""
    return draw(st.sampled_from(draw(st.sampled_from(OPERANDS[kind]))))


@st.composite
def atoms(draw: st.DrawFn) -> str:
    """A condition without AND, OR, NOT."""
    kind = draw(st.sampled_from([*OPERANDS, *OPERANDS, "like", "others"]))
    if kind == "like":
        return draw(likes())
    if kind == "others":
        return draw(st.sampled_from(_OTHERS)).format()
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
