"""A query for the layouts of tables, as JSON, for whoever looks and for those who tell: one text for all.

What it finds is read by `shapes.layouts`.
"""

from __future__ import annotations

from django_electric.postgres.relation import quote_identifier, quote_literal

SQL_TYPE = """CASE t.typnamespace WHEN 'pg_catalog'::regnamespace THEN format_type(t.oid, a.atttypmod)
            ELSE t.typnamespace::regnamespace::text || '.' || quote_ident(t.typname) END
       || CASE WHEN a.attcollation <> t.typcollation
               THEN ' COLLATE ' || co.collnamespace::regnamespace::text || '.' || quote_ident(co.collname)
               ELSE '' END"""
"""A column's type as a statement names it, of ``pg_attribute a``, its type ``t`` and its collation ``co``."""

IS_LOST = "a.attgenerated = 'v' OR (a.attgenerated <> '' AND current_setting('server_version_num')::int < 180000)"
"""Whether the stream cannot carry a column, of ``pg_attribute a``: before Postgres 18 any that is generated,
from then on the virtual ones (PROTOCOL section 4.9)."""

_LAYOUTS = """
SELECT json_build_object(
  'tables', coalesce(json_agg(json_build_array(
      c.oid::int8, n.nspname, c.relname,
      (SELECT json_agg(json_build_array(a.attname, a.atttypid::int8, a.atttypmod, {sql_type}) ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT ({is_lost})),
      (SELECT json_agg(k.attname ORDER BY array_position(i.indkey::int2[], k.attnum))
         FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_attribute k ON k.attrelid = i.indrelid
          AND array_position(i.indkey::int2[], k.attnum) < i.indnkeyatts
        WHERE i.indrelid = c.oid AND i.indisprimary)
    )) FILTER (WHERE c.oid IS NOT NULL), '[]'),
  'dropped', coalesce(json_agg(w.oid::int8) FILTER (WHERE c.oid IS NULL), '[]'))::text
  FROM ({oids}) w(oid)
  LEFT JOIN pg_catalog.pg_class c ON c.oid = w.oid
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


def layouts_query(oids: str) -> str:
    """A query for the layouts of the tables whose oids the query *oids* finds: one row, one text."""
    return _LAYOUTS.format(oids=oids, sql_type=SQL_TYPE, is_lost=IS_LOST)


def tell_layouts(prefix: str, oids: str) -> str:
    """A statement that sends these layouts with the transaction under way, as a logical message."""
    return (
        f"SELECT pg_catalog.pg_logical_emit_message(true, {quote_literal(prefix)},"
        f" pg_catalog.convert_to(({layouts_query(oids)}), 'UTF8'))"
    )


def oids_with_shapes(shape_table: str) -> str:
    """A query for the tables that shapes are on, or read in subqueries; *shape_table*: the table of our catalogue."""
    table = quote_identifier(shape_table)
    return (
        f"SELECT relation_oid::oid FROM {table}"  # noqa: S608  # quoted
        f" UNION SELECT r.oid::oid FROM {table}, jsonb_array_elements_text(definition -> 'reads') r(oid)"
        " WHERE definition ? 'reads'"
    )
