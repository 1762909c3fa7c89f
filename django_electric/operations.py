"""Migration operations: publish the tables of models, or take them back.

::

    operations = [
        migrations.CreateModel("Issue", …),
        PublishModel("Issue"),
    ]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps.registry import Apps
from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.state import ProjectState
from django.db.models import Model

from django_electric import conf
from django_electric.postgres import publishing
from django_electric.shapes.layouts import SCHEMA_PREFIX


class _Publishing(Operation):
    """What both operations have in common; neither changes the state of models."""

    reversible = True
    reduces_to_sql = True
    category = OperationCategory.ALTERATION

    def __init__(self, model_name: str) -> None:
        """*model_name*: ``Issue``, or ``auth.User`` for a model of another app."""
        self.model_name = model_name

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def references_model(self, name: str, app_label: str) -> bool:
        label, _, own = self.model_name.rpartition(".")
        return (label or app_label, own.lower()) == (app_label, name.lower())

    def _publish(self, app_label: str, editor: BaseDatabaseSchemaEditor, apps: Apps) -> None:
        self._run(app_label, editor, apps, publishing.publish)

    def _unpublish(self, app_label: str, editor: BaseDatabaseSchemaEditor, apps: Apps) -> None:
        self._run(app_label, editor, apps, _unpublish)

    def _run(
        self,
        app_label: str,
        editor: BaseDatabaseSchemaEditor,
        apps: Apps,
        statement: Callable[[str, str], str],
    ) -> None:
        model = self._model(app_label, apps)
        name = _publication_for(editor.connection, model)
        if name is not None:
            table = editor.quote_name(model._meta.db_table)
            editor.execute(statement(name, table), params=None)

    def _model(self, app_label: str, apps: Apps) -> type[Model]:
        label, _, own = self.model_name.rpartition(".")
        return apps.get_model(label or app_label, own)

    def table_in(self, app_label: str, apps: Apps) -> str:
        """Name of the model's table."""
        return self._model(app_label, apps)._meta.db_table

    @property
    def _fragment(self) -> str:
        return self.model_name.lower().replace(".", "_")


def _unpublish(name: str, table: str) -> str:
    return publishing.unpublish(name, table, SCHEMA_PREFIX)


def _publication_for(connection: Any, model: type[Model]) -> str | None:
    """The publication that the table of *model* belongs in; None where there is nothing to publish: not
    Postgres, a database that ``ELECTRIC`` does not name, or one that the routers keep the model from.
    """
    alias = connection.alias
    if connection.vendor != "postgresql" or alias not in conf.aliases():
        return None
    if not router.allow_migrate_model(alias, model):
        return None
    return conf.electric_settings(alias).publication_name


class PublishModel(_Publishing):
    """Have a model's table in the publication, with ``REPLICA IDENTITY FULL``.

    The publication is made if it is missing. Reversed, it does what `UnpublishModel` does.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self._publish(app_label, schema_editor, to_state.apps)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self._unpublish(app_label, schema_editor, to_state.apps)

    def describe(self) -> str:
        return f"Publish {self.model_name} for replication"

    @property
    def migration_name_fragment(self) -> str:
        return f"publish_{self._fragment}"


class UnpublishModel(_Publishing):
    """Take a model's table out of the publication: its shapes end. Reversed, it publishes the table."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self._unpublish(app_label, schema_editor, from_state.apps)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self._publish(app_label, schema_editor, to_state.apps)

    def describe(self) -> str:
        return f"Stop publishing {self.model_name} for replication"

    @property
    def migration_name_fragment(self) -> str:
        return f"unpublish_{self._fragment}"
