"""Writes ``django_electric/where/catalog_data.py`` from the catalogues of live servers.

    python -m tests.where.make_catalog postgres://… [postgres://…]

Give the oldest and the newest Postgres that there are: what only one of them has is left out.
The names are those of the table in ``django_electric.where.functions``, of which all overloads are taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import psycopg

from django_electric.where.functions import FUNCTION_NAMES, OPERATOR_NAMES

TARGET = Path(__file__).parents[2] / "django_electric" / "where" / "catalog_data.py"

_NAME = """
CASE WHEN {t}.typname = 'char' THEN '"char"'
     WHEN {t}.typcategory = 'A' AND {t}.typname LIKE '\\_%%'
     THEN CASE substr({t}.typname, 2) WHEN 'char' THEN '"char"' ELSE substr({t}.typname, 2) END || '[]'
     ELSE {t}.typname::text END
"""
_TYPES = f"""
SELECT {_NAME.format(t="t")}, concat_ws(' ', t.typcategory, t.typispreferred, t.typcollation <> 0)
  FROM pg_type t
 WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'p', 'r', 'm')
   AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid AND e.typtype NOT IN ('b', 'r', 'm'))
"""
_CASTS = f"""
SELECT {_NAME.format(t="s")} || ' ' || {_NAME.format(t="t")}, castcontext::text || ' ' || castmethod::text
  FROM pg_cast JOIN pg_type s ON s.oid = castsource JOIN pg_type t ON t.oid = casttarget
 WHERE castsource <> casttarget
"""
_OPERATORS = f"""
SELECT oprname::text, concat_ws(' ', coalesce({_NAME.format(t="l")}, '-'), {_NAME.format(t="r")},
                          {_NAME.format(t="o")}, p.provolatile, p.proisstrict)
  FROM pg_operator
  LEFT JOIN pg_type l ON l.oid = oprleft
  JOIN pg_type r ON r.oid = oprright
  JOIN pg_type o ON o.oid = oprresult
  JOIN pg_proc p ON p.oid = oprcode
 WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprname = ANY(%s)
"""
_FUNCTIONS = f"""
SELECT proname::text, concat_ws(' ',
    coalesce((SELECT string_agg({_NAME.format(t="a")}, ',' ORDER BY n)
                FROM unnest(proargtypes) WITH ORDINALITY AS u(o, n) JOIN pg_type a ON a.oid = u.o), '-'),
    {_NAME.format(t="o")}, provolatile, proisstrict, pronargdefaults,
    CASE provariadic WHEN 0 THEN '-' ELSE (SELECT typname FROM pg_type WHERE oid = provariadic) END)
  FROM pg_proc p JOIN pg_type o ON o.oid = prorettype
 WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(%s) AND prokind = 'f' AND NOT proretset
"""

Facts = dict[str, set[tuple[str, str]]]


def facts(connection: psycopg.Connection[Any]) -> Facts:
    """What one server says."""
    queries: dict[str, tuple[str, list[object]]] = {
        "TYPES": (_TYPES.replace("%%", "%"), []),
        "CASTS": (_CASTS.replace("%%", "%"), []),
        "OPERATORS": (_OPERATORS, [sorted(OPERATOR_NAMES)]),
        "FUNCTIONS": (_FUNCTIONS, [sorted(FUNCTION_NAMES)]),
    }
    found: Facts = {}
    for name, (query, values) in queries.items():
        rows = connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]  # ours
        found[name] = {(key, value) for key, value in rows}
    return found


def shared(all_facts: Iterable[Facts]) -> Facts:
    """What all servers have; as the last one has it, where only what a function is said to be differs."""
    return reduce(lambda a, b: {name: _common(name, a[name], b[name]) for name in a}, all_facts)


def _common(
    name: str, one: set[tuple[str, str]], two: set[tuple[str, str]]
) -> set[tuple[str, str]]:
    # Types and results: two of them for a function, three for an operator.
    size = {"FUNCTIONS": 2, "OPERATORS": 3}.get(name, 9)
    known = {(key, *row.split()[:size]) for key, row in one}
    return {(key, row) for key, row in two if (key, *row.split()[:size]) in known}


def source(common: Facts, versions: Iterable[str]) -> str:
    """The module's text."""
    servers = " and ".join(versions)
    lines = [
        f'"""What the catalogues of {servers} have in common; written by ``tests.where.make_catalog``.',
        "",
        "A row that one of them has otherwise, or not at all, is left out.",
        '"""',
        "",
        "# fmt: off",
        "",
    ]
    for name in ("TYPES", "CASTS"):
        lines += [
            f"{name}: dict[str, str] = {{",
            *(f"    {k!r}: {v!r}," for k, v in sorted(common[name])),
            "}",
            "",
        ]
    for name in ("OPERATORS", "FUNCTIONS"):
        lines.append(f"{name}: dict[str, tuple[str, ...]] = {{")
        for key in sorted({key for key, _ in common[name]}):
            rows = sorted(value for other, value in common[name] if other == key)
            lines += [f"    {key!r}: (", *(f"        {row!r}," for row in rows), "    ),"]
        lines += ["}", ""]
    return "\n".join(lines)


def main() -> None:
    """Writes the file."""
    every, versions = [], []
    for url in sys.argv[1:]:
        with psycopg.connect(url) as connection:
            every.append(facts(connection))
            versions.append(f"PostgreSQL {connection.info.server_version // 10_000}")
    TARGET.write_text(source(shared(every), versions))


if __name__ == "__main__":
    main()
