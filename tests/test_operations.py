"""PublishModel and UnpublishModel, as migrations run them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import pytest_django
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import OperationWriter
from django.db.utils import ConnectionHandler
from django.test import override_settings

from django_electric.conf import electric_settings
from django_electric.operations import PublishModel, UnpublishModel

STATE = ProjectState(
    {("shop", "item"): ModelState("shop", "Item", [("id", models.AutoField(primary_key=True))])}
)


class Shop:
    """Runs operations of an app ``shop`` with a model ``Item``."""

    def forwards(self, operation: Operation, label: str = "shop") -> None:
        with connection.schema_editor(atomic=False) as editor:
            operation.database_forwards(label, editor, STATE, STATE)

    def backwards(self, operation: Operation) -> None:
        with connection.schema_editor(atomic=False) as editor:
            operation.database_backwards("shop", editor, STATE, STATE)

    @property
    def is_published(self) -> bool:
        name = electric_settings().publication_name
        return self._exists(
            "SELECT FROM pg_publication_tables WHERE pubname = %s AND tablename = 'shop_item'", name
        )

    @property
    def has_full_identity(self) -> bool:
        return self._exists(
            "SELECT FROM pg_class WHERE relname = %s AND relreplident = 'f'", "shop_item"
        )

    @staticmethod
    def _exists(query: str, name: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS ({query})", [name])
            return bool(cursor.fetchone()[0])


@pytest.fixture
def shop(postgres_cluster: object, db: None) -> Shop:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE shop_item (id int PRIMARY KEY)")
    return Shop()


def test_a_model_is_published_and_taken_back(shop: Shop) -> None:
    shop.forwards(PublishModel("Item"))
    assert (shop.is_published, shop.has_full_identity) == (True, True)
    shop.forwards(PublishModel("shop.item"), label="another")
    shop.backwards(PublishModel("Item"))
    assert (shop.is_published, shop.has_full_identity) == (False, False)


def test_to_stop_publishing_is_the_reverse(shop: Shop) -> None:
    shop.backwards(UnpublishModel("Item"))
    assert shop.is_published
    shop.forwards(UnpublishModel("Item"))
    assert not shop.is_published


def test_a_table_may_be_published_in_the_migration_that_makes_it(shop: Shop) -> None:
    """The most usual case: the table is not there for anybody else yet."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE shop_item")
    with connection.schema_editor(atomic=False) as editor:
        editor.create_model(STATE.apps.get_model("shop", "item"))
        PublishModel("Item").database_forwards("shop", editor, STATE, STATE)
    assert (shop.is_published, shop.has_full_identity) == (True, True)


def test_sqlmigrate_prints_what_would_be_run_and_runs_nothing(shop: Shop) -> None:
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        PublishModel("Item").database_forwards("shop", editor, STATE, STATE)
    assert not shop.is_published
    with connection.cursor() as cursor:
        cursor.execute("\n".join(editor.collected_sql))
    assert shop.is_published


def test_a_faked_migration_publishes_nothing(shop: Shop) -> None:
    migration = migrations.Migration("0002", "shop")
    migration.operations = [PublishModel("Item")]
    executor = MigrationExecutor(connection)
    executor.apply_migration(STATE.clone(), migration, fake=True)
    assert not shop.is_published
    executor.apply_migration(STATE.clone(), migration)
    assert shop.is_published


class Elsewhere:
    """A database router that keeps the shop from the database of the tests."""

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return False if app_label == "shop" else None


@pytest.mark.parametrize(
    "settings",
    [
        {"DATABASE_ROUTERS": ["tests.test_operations.Elsewhere"]},
        {"ELECTRIC": {"another": {"INSECURE": True}}},
    ],
)
def test_where_the_model_or_the_app_does_not_live_nothing_is_done(
    shop: Shop, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tests.test_operations", SimpleNamespace(Elsewhere=Elsewhere))  # fmt: skip
    with override_settings(**settings):
        shop.forwards(PublishModel("Item"))
    assert not shop.is_published


def test_on_another_database_than_postgres_there_is_nothing_to_do(
    django_db_blocker: pytest_django.DjangoDbBlocker,
) -> None:
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    lite = ConnectionHandler(databases)["default"]
    with django_db_blocker.unblock(), lite.schema_editor(collect_sql=True) as editor:
        for operation in (PublishModel("Item"), UnpublishModel("Item")):
            operation.database_forwards("shop", editor, STATE, STATE)
            operation.database_backwards("shop", editor, STATE, STATE)
    lite.close()
    assert editor.collected_sql == []


@pytest.mark.parametrize(
    ("operation", "fragment", "description"),
    [
        (PublishModel("Item"), "publish_item", "~ Publish Item for replication"),
        (UnpublishModel("auth.User"), "unpublish_auth_user", "~ Stop publishing auth.User for replication"),
    ],
)  # fmt: skip
def test_the_operations_are_described_named_and_written_as_those_of_django_are(
    operation: Operation, fragment: str, description: str
) -> None:
    assert operation.migration_name_fragment == fragment
    assert operation.formatted_description() == description
    text, imports = OperationWriter(operation, indentation=0).serialize()
    assert imports == {"import django_electric.operations"}
    space: dict[str, object] = {}
    exec(f"{imports.pop()}\nagain = {text.rstrip(',')}", space)
    assert space["again"].model_name == operation.model_name  # type: ignore[attr-defined]


def test_an_operation_refers_to_its_model_and_leaves_the_state_alone() -> None:
    assert PublishModel("Item").references_model("item", "shop")
    assert not PublishModel("Item").references_model("other", "shop")
    assert PublishModel("auth.User").references_model("User", "auth")
    assert not PublishModel("auth.User").references_model("User", "shop")
    state = STATE.clone()
    PublishModel("Item").state_forwards("shop", state)
    assert state == STATE
