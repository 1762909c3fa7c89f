"""Where clauses that nobody would write: tokens at random, and known ways to make a parser suffer."""

from __future__ import annotations

from hypothesis import strategies as st

_COLUMNS = [
    "id",
    "title",
    "priority",
    "price",
    "amount",
    "is_done",
    "due",
    "made",
    "tags",
    "data",
    "mood",
    "place",
    "nobody",
    '"id"',
    '"I d"',
    "ctid",
    "items.id",
    "items",
]
_LITERALS = [
    "1", "0", "-1", "1.5", "1e400", "9999999999999999999999", "0x1F", "1_000", ".5", "''", "'x'", "'it''s'", "E'\\n'", "E'\\x'", "U&'\\0041'", "U&'\\D800'", "b'101'", "x'ff'",
    "$1", "$2", "$0", "$99999999999", "NULL", "TRUE", "false", "UNKNOWN", "'NaN'", "'infinity'", "'2024-01-01'", "date '2024-02-30'", "interval '1 day'", "ARRAY[1,2]", "'{1,2}'",
    "'{}'", "'{{1},{2}}'", "$$x$$", "$a$x$a$", "'{\"a\":1}'", "'[1,2)'", "'sad'", "'%'", "'\\'", "'a\\'", "'(a+)+$'", "'['", "'*'", "N'x'",
]  # fmt: skip
_OPERATORS = [
    "=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "^", "||", "&&", "@>", "<@", "~", "~*", "!~", "->", "->>", "#>", "?", "?|", "@@", "|/", "!!", "@", "&", "|", "#", "<<",
    "LIKE", "ILIKE", "NOT LIKE", "SIMILAR TO", "IN", "NOT IN", "BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "AND", "OR", "NOT", "IS NULL", "IS NOT NULL", "IS TRUE", "IS DISTINCT FROM",
    "= ANY", "<> ALL", "::int", "::text", "::money", "::regclass", "::text[]", "::items", "AT TIME ZONE", "COLLATE \"C\"", "OVERLAPS", "ESCAPE '\\'", "OPERATOR(pg_catalog.=)",
]  # fmt: skip
_FUNCTIONS = [
    "lower", "upper", "coalesce", "greatest", "length", "now", "random", "pg_sleep", "current_setting", "count", "array_length", "array_append", "date_trunc", "to_char", "round", "md5",
    "repeat", "regexp_replace", "regexp_matches", "generate_series", "jsonb_path_exists", "pg_read_file", "lo_import", "dblink", "nobody", "pg_catalog.lower", "row_number", "exists", "unnest",
    "nullif", "concat", "format", "txid_current", "pg_advisory_lock", "set_config", "nextval", "query_to_xml",
]  # fmt: skip
_PUNCTUATION = [
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    ".",
    ":",
    "::",
    "--",
    "/*",
    "*/",
    "\n",
    "\t",
    "\\",
    "'",
    '"',
    "$",
    "`",
    "{",
    "}",
    "\xa0",
    "\u202e",
    "\ufeff",
    "é",
    "😀",
    "\u0301",
    "ﬀ",
]
_WORDS = [
    "SELECT", "FROM", "WHERE", "UNION", "ORDER BY", "GROUP BY", "LIMIT", "INTO", "WITH", "VALUES", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "AS", "ROW", "ARRAY", "EXISTS", "OVER", "FILTER",
    "DISTINCT", "CURRENT_DATE", "CURRENT_USER", "DROP TABLE items", "DELETE FROM items", "SET", "FOR UPDATE", "ROLLBACK", "COPY", "DEFAULT", "INTERVAL", "EXTRACT", "POSITION", "OVERLAY", "XMLPARSE", "JSON_VALUE",
    "(SELECT 1)", "(SELECT id FROM items)", "IN (SELECT id FROM items)",
]  # fmt: skip

_token = st.one_of(
    st.sampled_from(_COLUMNS),
    st.sampled_from(_LITERALS),
    st.sampled_from(_OPERATORS),
    st.sampled_from(_PUNCTUATION),
    st.sampled_from(_WORDS),
    st.sampled_from(_FUNCTIONS).map(lambda name: name + "("),
    st.text(max_size=3),
)
soup = st.tuples(st.lists(_token, min_size=1, max_size=14), st.sampled_from([" ", " ", ""])).map(
    lambda drawn: drawn[1].join(drawn[0])
)
"""Tokens in any order: hardly one is a clause, and each should be told so."""


def _atoms() -> st.SearchStrategy[str]:
    operand = st.one_of(st.sampled_from(_COLUMNS), st.sampled_from(_LITERALS), _call())
    comparison = st.sampled_from([o for o in _OPERATORS if not o.startswith("::")])
    return st.one_of(
        st.tuples(operand, comparison, operand).map(" ".join),
        st.tuples(
            operand,
            st.sampled_from(["IS NULL", "IS NOT NULL", "IS NOT TRUE", "::bool", "= ANY(tags)"]),
        ).map(" ".join),
        st.tuples(operand, st.lists(operand, min_size=1, max_size=4)).map(
            lambda drawn: f"{drawn[0]} IN ({', '.join(drawn[1])})"
        ),
        operand,
    )


def _call() -> st.SearchStrategy[str]:
    arguments = st.lists(st.sampled_from([*_COLUMNS, *_LITERALS]), max_size=3)
    return st.tuples(st.sampled_from(_FUNCTIONS), arguments).map(
        lambda drawn: f"{drawn[0]}({', '.join(drawn[1])})"
    )


clauses = st.recursive(
    _atoms(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR", "=", "<>", "IS DISTINCT FROM"]), inner).map(
            lambda drawn: f"({drawn[0]}) {drawn[1]} ({drawn[2]})"
        ),
        inner.map(lambda clause: f"NOT ({clause})"),
        inner.map(lambda clause: f"CASE WHEN {clause} THEN true ELSE id = 1 END"),
    ),
    max_leaves=6,
)
"""Clauses of sound form, with operands and types that often do not fit."""


def nested(opening: str, inner: str, closing: str, depth: int) -> str:
    """*inner* in so many pairs of *opening* and *closing*."""
    return opening * depth + inner + closing * depth


MONSTERS: dict[str, str] = {
    **{f"{n} parentheses": nested("(", "id = 1", ")", n) for n in (40, 60, 1_000, 15_000)},
    **{f"{n} times NOT": "NOT " * n + "is_done" for n in (40, 60, 1_000, 12_000)},
    **{f"{n} signs": "- " * n + "id = 1" for n in (60, 5_000)},
    **{f"{n} brackets": nested("ARRAY[", "1", "]", n) + " IS NULL" for n in (6, 60, 5_000)},
    **{f"{n} braces": "tags = '" + nested("{", "", "}", n) + "'" for n in (6, 60, 5_000)},
    **{f"{n} calls": nested("lower(", "title", ")", n) + " = 'a'" for n in (60, 5_000)},
    **{f"{n} casts": "id" + "::int" * n + " = 1" for n in (60, 5_000)},
    **{f"{n} cases": nested("CASE WHEN is_done THEN true ELSE ", "false", " END", n) for n in (60, 1_500)},
    **{f"{n} comments": nested("/*", "", "*/", n) + " id = 1" for n in (60, 10_000)},
    "IN of 10,000 numbers": f"id IN ({', '.join(map(str, range(10_000)))})",
    "IN of 5,000 texts": f"title IN ({', '.join(repr(f'a{n}') for n in range(5_000))})",
    "NOT IN of 9,000 numbers": f"id NOT IN ({', '.join(map(str, range(9_000)))})",
    "3,000 AND": " AND ".join(f"id <> {n}" for n in range(3_000)),
    "3,000 OR": " OR ".join(f"id = {n}" for n in range(3_000)),
    "3,000 other columns in OR": " OR ".join(f"priority = {n} AND id = {n}" for n in range(1_500)),
    "2,000 likenesses": " OR ".join(f"title LIKE '%{n}%'" for n in range(2_000)),
    "product of ORs": " AND ".join("(id = 1 OR priority = 2 OR is_done)" for _ in range(300)),
    "10,000 sums": "id = " + "+".join(["1"] * 10_000),
    "10,000 joined": "title = " + "||".join(["'a'"] * 10_000),
    "long text": f"title = '{'x' * 60_000}'",
    "too long a text": f"title = '{'x' * 70_000}'",
    "long name": "x" * 60_000 + " = 1",
    "long number": "id = " + "9" * 60_000,
    "long fraction": "amount = 0." + "9" * 60_000,
    "huge exponent": "amount = 1e100000",
    "huge power": "amount = 10 ^ 100000",
    "huge factorial": "amount > 1e1000::numeric * 1e1000::numeric",
    "huge repeat": "length(repeat('x', 1000000000)) > 1",
    "many wildcards": f"title LIKE '{'%a' * 500}%'",
    "many backslashes": "title LIKE '" + "\\\\" * 10_000 + "'",
    "catastrophic pattern": "title ~ '^(a+)+$'",
    "catastrophic pattern of its own": "repeat('a', 40) || '!' ~ '^(a|a|aa)+$'",
    "pattern of 1,000 groups": f"title ~ '{nested('(', 'a', ')', 1_000)}'",
    "pattern of many repeats": "title ~ 'x{1,255}{1,255}{1,255}'",
    "similar to": f"title SIMILAR TO '{'(a|b)*' * 200}'",
    "deep JSON": f"data = '{nested('[', '', ']', 10_000)}'",
    "deep JSON path": f"data #> '{{{','.join(['a'] * 5_000)}}}' IS NULL",
    "two statements": "id = 1; DROP TABLE items",
    "closed early": "id = 1) OR (1 = 1",
    "commented out": "id = 1 -- AND",
    "comment left open": "id = 1 /* AND",
    "a union": "id = 1 UNION SELECT * FROM items",
    "sleeping": "pg_sleep(30) IS NULL",
    "reading a file": "pg_read_file('/etc/passwd') = ''",
    "writing a file": "lo_export(1, '/tmp/x') = 1",
    "a lock": "pg_advisory_lock(1) IS NULL",
    "a subquery": "id IN (SELECT id FROM items)",
    "a subquery that exists": "EXISTS (SELECT 1 FROM items)",
    "a recursive query": "id = (WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t)",
    "odd blanks": "id\u00a0=\u20031",
    "right to left": "id = 1 \u202e AND is_done",
    "a byte order mark": "\ufeffid = 1",
    "homoglyphs": "іd = 1",
    "half a surrogate pair": "title = '\ud800'",
    "NUL": "title = '\0'",
    "NUL in an escape": "title = E'\\000'",
    "half a pair in an escape": "title = U&'\\D800'",
    "a dollar quote left open": "title = $a$x",
    "a quote left open": "title = 'x",
    "nothing": " ",
    "only a semicolon": ";",
    "only a comment": "--",
}  # fmt: skip
