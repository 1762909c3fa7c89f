"""Statements that publish a table, or take it back, each in one piece: for migrations and for people.

Each is one ``DO`` block, so that what ``sqlmigrate`` prints is what ``migrate`` runs. What is in place already
is not touched: a block that has nothing to do takes no lock.

A table is published under a lock that outlasts every transaction which wrote to it before. So whoever reads
the table afterwards sees all that the stream does not bring (PROTOCOL section 16.3, point 14).
"""

from __future__ import annotations

from django_electric.postgres.relation import quote_literal

_PUBLISH = """\
DECLARE
  root regclass := {table};
  part regclass;
BEGIN
{create}
  -- First, since it wants the stronger lock.
  FOR part IN
    SELECT c.oid::regclass FROM pg_class c
     WHERE (c.oid = root OR c.oid IN (SELECT relid FROM pg_partition_tree(root))) AND c.relreplident <> 'f'
     ORDER BY c.oid <> root, c.oid
  LOOP
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', part);
  END LOOP;
  IF NOT EXISTS (
    SELECT FROM pg_publication p WHERE p.pubname = {name_literal} AND (p.puballtables OR EXISTS (
      SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND (
        r.prrelid = root OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(root)))))
  ) THEN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', root);
    EXECUTE format('ALTER PUBLICATION %I ADD TABLE %s', {name_literal}, root);
  END IF;
END"""

_CREATE = """\
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = {name_literal}) THEN
    -- Since PostgreSQL 18 generated columns can be in the stream.
    IF current_setting('server_version_num')::int >= 180000 THEN
      EXECUTE format('CREATE PUBLICATION %I WITH (publish_generated_columns = stored)', {name_literal});
    ELSE
      EXECUTE format('CREATE PUBLICATION %I', {name_literal});
    END IF;
  END IF;"""

_UNPUBLISH = """\
DECLARE
  root regclass := {table};
  part regclass;
BEGIN
  IF EXISTS (
    SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
     WHERE p.pubname = {name_literal} AND r.prrelid = root
  ) THEN
    EXECUTE format('ALTER PUBLICATION %I DROP TABLE %s', {name_literal}, root);
    -- The shapes of the table end here, even if it is published again at once.
    PERFORM pg_logical_emit_message(true, {prefix}, json_build_object('unpublished', json_build_array(root::oid::int8))::text);
  END IF;
  IF NOT EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = root) THEN
    FOR part IN
      SELECT c.oid::regclass FROM pg_class c
       WHERE (c.oid = root OR c.oid IN (SELECT relid FROM pg_partition_tree(root))) AND c.relreplident = 'f'
       ORDER BY c.oid <> root, c.oid
    LOOP
      EXECUTE format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', part);
    END LOOP;
  END IF;
END"""

_LET_ALL_THROUGH = """\
DECLARE
  t regclass;
BEGIN
  IF current_setting('server_version_num')::int < 150000 THEN
    RETURN;  -- there are no row filters, and what follows makes no sense
  END IF;
  FOR t IN
    SELECT r.prrelid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
     WHERE p.pubname = {name_literal} AND r.prrelid = to_regclass({table}) AND r.prqual IS NOT NULL
  LOOP
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', t);
    EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %s', {name_literal}, t);
    EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY %s', {name_literal}, t);
  END LOOP;
END"""


def create_publication(name: str) -> str:
    """Make the publication if it is missing."""
    create = _CREATE.format(name_literal=quote_literal(name))
    return _block(f"BEGIN\n{create}\nEND")


def publish(name: str, table: str) -> str:
    """Make the publication if it is missing, and have *table*, a name as in a statement, in it with whole
    old rows: ``REPLICA IDENTITY FULL`` for the table and its partitions.
    """
    literal = quote_literal(name)
    create = _CREATE.format(name_literal=literal)
    return _block(_PUBLISH.format(table=quote_literal(table), name_literal=literal, create=create))


def unpublish(name: str, table: str, message_prefix: str) -> str:
    """Take *table* out of the publication, tell the worker so in the same transaction, and give back the
    replica identity, unless the table is in another publication.
    """
    names = {"table": table, "name_literal": name, "prefix": message_prefix}
    quoted = {key: quote_literal(text) for key, text in names.items()}
    return _block(_UNPUBLISH.format(**quoted))


def let_all_through(name: str, table: str) -> str:
    """Take the row filter off *table*, if it has one."""
    return _block(
        _LET_ALL_THROUGH.format(table=quote_literal(table), name_literal=quote_literal(name))
    )


def _block(body: str) -> str:
    """*body* as an anonymous block, whatever names are in it."""
    tag = "$electric$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"DO {tag}\n{body}\n{tag}"
