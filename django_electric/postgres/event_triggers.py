"""Event triggers that tell the worker of changed tables, whoever changes them: statements to make them and to drop them.

Only a superuser may make them. A statement that changes a table never fails by them.
"""

from __future__ import annotations

from django_electric.postgres.layouts import tell_layouts

FUNCTION = "django_electric_tell"
ON_CHANGE, ON_DROP = "django_electric_change", "django_electric_drop"
"""Names of the triggers."""

_INSTALL = """
CREATE OR REPLACE FUNCTION public.{function}() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $electric$
DECLARE
  changed oid[];
BEGIN
  IF tg_event = 'sql_drop' THEN
    changed := ARRAY(
      SELECT objid FROM pg_event_trigger_dropped_objects()
       WHERE classid = 'pg_class'::regclass AND object_type = 'table' AND NOT is_temporary);
  ELSE
    changed := ARRAY(
      SELECT objid FROM pg_event_trigger_ddl_commands()
       WHERE classid = 'pg_class'::regclass AND object_type = 'table'
      UNION
      SELECT c.oid FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.relnamespace = d.objid
       WHERE d.classid = 'pg_namespace'::regclass AND c.relkind IN ('r', 'p'));
  END IF;
  IF cardinality(changed) > 0 THEN
    {tell};
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'django_electric is not told of a changed table: %', SQLERRM;
END
$electric$;
"""

_TRIGGERS = f"""
CREATE EVENT TRIGGER {ON_CHANGE} ON ddl_command_end
  WHEN TAG IN ('ALTER TABLE', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO')
  EXECUTE FUNCTION public.{FUNCTION}();
CREATE EVENT TRIGGER {ON_DROP} ON sql_drop EXECUTE FUNCTION public.{FUNCTION}();
"""


def install(prefix: str) -> str:
    """Make the event triggers, or bring them up to date; *prefix*: of the logical messages."""
    tell = tell_layouts(prefix, "SELECT unnest(changed)").replace("SELECT ", "PERFORM ", 1)
    return f"{remove()}{_INSTALL.format(function=FUNCTION, tell=tell)}{_TRIGGERS}"


def remove() -> str:
    """Drop them, if they are there."""
    return f"""
DROP EVENT TRIGGER IF EXISTS {ON_CHANGE};
DROP EVENT TRIGGER IF EXISTS {ON_DROP};
DROP FUNCTION IF EXISTS public.{FUNCTION}();
"""
