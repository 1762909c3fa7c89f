"""What is written in a test's own transaction becomes what clients read, and nothing of it stays."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.db.models import F

from django_electric.models import Shape
from django_electric.test import ClientShape, ElectricClient, Sandbox
from django_electric.test.following import Message
from example_project.demo.models import Comment, Issue, Project


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def operations(messages: list[Message]) -> list[tuple[str, str]]:
    """Operation and id."""
    return [(m["headers"]["operation"], m["value"]["id"]) for m in messages if "key" in m]


@pytest.fixture
def project(electric: Sandbox) -> Project:
    return Project.objects.create(pk=1, name="Atlas", key="ATL", color="#6366f1")


@pytest.fixture
def issues(project: Project, electric_client: ElectricClient) -> ClientShape:
    """All issues, followed while there are none."""
    return electric_client.shape(table="demo_issue")


class TestWrites:
    """Whoever writes, and how. That the messages are the worker's: test_against_the_worker."""

    def test_of_models(self, electric: Sandbox, issues: ClientShape, project: Project) -> None:
        issue = Issue.objects.create(pk=1, project=project, title="one")
        assert operations(issues.sync()) == [("insert", "1")]
        issue.title = 'two "2", (and) \\ more\n'
        issue.save(update_fields=["title"])
        (change, _) = issues.sync()
        assert change["value"] == {"id": "1", "title": issue.title}
        issue.delete()
        assert operations(issues.sync()) == [("delete", "1")]
        electric.assert_shape_equals(issues, Issue.objects.all())

    def test_in_bulk(self, electric: Sandbox, issues: ClientShape, project: Project) -> None:
        made = Issue.objects.bulk_create(
            Issue(pk=n, project=project, title=str(n)) for n in range(1, 5)
        )
        made[0].title = "renamed"
        Issue.objects.bulk_update(made, ["title"])
        Issue.objects.filter(pk__gt=2).update(position=F("position") + 1.5)
        Issue.objects.filter(pk=4).delete()
        electric.assert_shape_equals(issues, Issue.objects.all())
        assert [row["position"] for row in issues.rows] == ["0", "0", "1.5"]

    def test_by_copy(self, electric: Sandbox, issues: ClientShape, project: Project) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY demo_issue (id, project_id, title) FROM STDIN") as copy,
        ):
            copy.write("1\t1\ta\\tb\n2\t1\tc\n")
        assert operations(issues.sync()) == [("insert", "1"), ("insert", "2")]
        electric.assert_shape_equals(issues, Issue.objects.all())

    def test_by_cascades_of_the_database(
        self, electric: Sandbox, electric_client: ElectricClient
    ) -> None:
        run(
            "CREATE TABLE kit_tree (id int PRIMARY KEY, up int REFERENCES kit_tree ON DELETE CASCADE)",
            "INSERT INTO kit_tree VALUES (1, NULL), (2, 1), (3, 2)",
        )
        shape = electric_client.shape(table="kit_tree")
        run("DELETE FROM kit_tree WHERE id = 1")
        assert operations(shape.sync()) == [("delete", "1"), ("delete", "2"), ("delete", "3")]

    def test_by_triggers_of_the_project(self, electric_client: ElectricClient) -> None:
        """A BEFORE trigger has changed the row already; an AFTER trigger writes again after it was noted."""
        run(
            "CREATE TABLE kit_twice (id int PRIMARY KEY, n int)",
            "CREATE FUNCTION kit_before() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.n := NEW.n + 1; RETURN NEW; END $$",
            "CREATE FUNCTION kit_after() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN UPDATE kit_twice SET n = n * 10 WHERE id = NEW.id; RETURN NULL; END $$",
            'CREATE TRIGGER "A" BEFORE INSERT ON kit_twice FOR EACH ROW EXECUTE FUNCTION kit_before()',
            'CREATE TRIGGER "B" AFTER INSERT ON kit_twice FOR EACH ROW EXECUTE FUNCTION kit_after()',
        )
        shape = electric_client.shape(table="kit_twice")
        run("INSERT INTO kit_twice VALUES (1, 1)")
        assert [change["value"]["n"] for change in shape.sync()[:-1]] == ["2", "20"]

    def test_under_another_role(self, electric_client: ElectricClient) -> None:
        run("CREATE TABLE kit_roles (id int PRIMARY KEY)")
        shape = electric_client.shape(table="kit_roles")
        run(
            "CREATE ROLE kit_stranger",
            "GRANT INSERT ON kit_roles TO kit_stranger",
            "SET LOCAL ROLE kit_stranger",
            "INSERT INTO kit_roles VALUES (1)",
            "RESET ROLE",
        )
        assert operations(shape.sync()) == [("insert", "1")]

    def test_of_a_new_partition(self, electric_client: ElectricClient) -> None:
        run("CREATE TABLE kit_root (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        shape = electric_client.shape(table="kit_root")
        run(
            "CREATE TABLE kit_leaf PARTITION OF kit_root FOR VALUES FROM (0) TO (10)",
            "INSERT INTO kit_root VALUES (1)",
        )
        assert operations(shape.sync()) == [("insert", "1")]
        leaf = electric_client.shape(table="kit_leaf")
        run("DELETE FROM kit_root")
        assert operations(leaf.sync()) == operations(shape.sync()) == [("delete", "1")]

    def test_of_a_root_whose_leaf_was_followed_before(
        self, electric_client: ElectricClient
    ) -> None:
        run(
            "CREATE TABLE kit_root (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE kit_leaf PARTITION OF kit_root FOR VALUES FROM (0) TO (10)",
        )
        leaf = electric_client.shape(table="kit_leaf")
        root = electric_client.shape(table="kit_root")
        run("INSERT INTO kit_root VALUES (1)")
        assert operations(leaf.sync()) == operations(root.sync()) == [("insert", "1")]


class TestTransactions:
    """What was written between two requests is one transaction."""

    def test_of_the_log(self, issues: ClientShape, project: Project) -> None:
        for n in (1, 2):
            Issue.objects.create(pk=n, project=project, title="one")
        first = issues.sync()
        Issue.objects.create(pk=3, project=project, title="two")
        second = issues.sync()
        headers = [message["headers"] for message in (*first, *second) if "key" in message]
        assert [h.get("last", False) for h in headers] == [False, True, True]
        assert [h["op_position"] for h in headers] == [0, 2, 0]
        lsns = [int(h["lsn"]) for h in headers]
        assert lsns[0] == lsns[1] < lsns[2]

    def test_bear_the_id_that_a_view_returns_to_its_client(
        self, issues: ClientShape, project: Project
    ) -> None:
        Issue.objects.create(pk=1, project=project, title="one")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::xid::text")
            (txid,) = cursor.fetchone()
        assert issues.sync()[0]["headers"]["txids"] == [int(txid)]

    def test_leave_nothing_of_a_savepoint_that_was_rolled_back(
        self, electric: Sandbox, issues: ClientShape, project: Project
    ) -> None:
        with transaction.atomic():
            Issue.objects.create(pk=1, project=project, title="lost")
            transaction.set_rollback(True)
        Issue.objects.create(pk=2, project=project, title="kept")
        assert operations(issues.sync()) == [("insert", "2")]
        electric.assert_shape_equals(issues, Issue.objects.all())

    def test_that_a_client_has_seen_and_that_are_rolled_back_are_taken_back_by_must_refetch(
        self, electric: Sandbox, issues: ClientShape, project: Project
    ) -> None:
        Issue.objects.create(pk=3, project=project, title="before")
        issues.sync()
        with transaction.atomic():
            Issue.objects.create(pk=1, project=project, title="lost")
            assert operations(issues.sync()) == [("insert", "1")]
            transaction.set_rollback(True)
        electric.assert_shape_equals(issues, Issue.objects.filter(pk=3))
        assert issues.refetches == 1
        Issue.objects.create(pk=2, project=project, title="kept")
        assert operations(issues.sync()) == [("insert", "2")]

    def test_that_are_rolled_back_take_a_shape_along_that_was_new_in_them(
        self, electric: Sandbox, electric_client: ElectricClient, project: Project
    ) -> None:
        with transaction.atomic():
            shape = electric_client.shape(table="demo_issue")
            transaction.set_rollback(True)
        Issue.objects.create(pk=1, project=project, title="kept")
        electric.assert_shape_equals(shape, Issue.objects.all())
        assert shape.refetches == 1
        Issue.objects.create(pk=2, project=project, title="more")
        electric.assert_shape_equals(shape, Issue.objects.all())
        assert shape.refetches == 1

    def test_with_checks_that_are_deferred_do_not_hinder_a_new_shape(
        self, electric: Sandbox, electric_client: ElectricClient, project: Project
    ) -> None:
        issue = Issue.objects.create(project=project, title="its project is checked at the end")
        shape = electric_client.shape(table="demo_issue")
        Comment.objects.create(issue=issue, author="a", body="b")
        comments = electric_client.shape(table="demo_comment")
        issue.delete()
        electric.assert_shape_equals(shape, Issue.objects.none())
        electric.assert_shape_equals(comments, Comment.objects.none())

    def test_show_values_to_the_test_as_ever(self, issues: ClientShape) -> None:
        run("SET LOCAL TimeZone = 'Asia/Tokyo'", "SET LOCAL extra_float_digits = -9")
        run(
            "INSERT INTO demo_issue (project_id, title, created) VALUES (1, 'one', '2024-01-31 00:00Z')"
        )
        issues.sync()
        assert issues.rows[0]["created"] == "2024-01-31 00:00:00+00"
        with connection.cursor() as cursor:
            cursor.execute("SELECT created::text, (1.0::float8 / 3)::text FROM demo_issue")
            assert cursor.fetchone() == ("2024-01-31 09:00:00+09", "0.333333")


class TestRotation:
    def test_a_table_that_is_truncated_is_fetched_anew(
        self, electric: Sandbox, electric_client: ElectricClient
    ) -> None:
        run("CREATE TABLE kit_t (id int PRIMARY KEY)", "INSERT INTO kit_t VALUES (1)")
        shape = electric_client.shape(table="kit_t")
        before = shape.handle
        run("TRUNCATE kit_t", "INSERT INTO kit_t VALUES (2)")
        assert shape.sync()[0] == {"headers": {"control": "must-refetch"}}
        assert [row["id"] for row in shape.rows] == ["2"]
        assert shape.handle != before
        assert [row.handle for row in Shape.objects.all()] == [shape.handle]

    def test_a_root_is_truncated_with_its_leaf(self, electric_client: ElectricClient) -> None:
        run(
            "CREATE TABLE kit_root (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE kit_leaf PARTITION OF kit_root FOR VALUES FROM (0) TO (10)",
        )
        shape = electric_client.shape(table="kit_root")
        run("TRUNCATE kit_leaf")
        shape.sync()
        assert shape.refetches == 1

    def test_a_new_column_is_in_the_rows_that_are_fetched_anew(
        self, electric_client: ElectricClient
    ) -> None:
        run("CREATE TABLE kit_t (id int PRIMARY KEY)")
        shape = electric_client.shape(table="kit_t")
        run("INSERT INTO kit_t VALUES (1)", "ALTER TABLE kit_t ADD COLUMN v text DEFAULT 'x'")
        run("UPDATE kit_t SET v = 'y'")
        shape.sync()
        assert shape.rows == [{"id": "1", "v": "y"}]
        run("INSERT INTO kit_t VALUES (2, 'z')")
        assert operations(shape.sync()) == [("insert", "2")]

    def test_a_shape_whose_table_was_dropped_is_refused(
        self, electric: Sandbox, electric_client: ElectricClient
    ) -> None:
        run("CREATE TABLE kit_t (id int PRIMARY KEY)")
        shape = electric_client.shape(table="kit_t")
        run("INSERT INTO kit_t VALUES (1)", "DROP TABLE kit_t")
        refused = electric.assert_shape_refused(shape, status=400)
        assert "does not exist" in refused.body


def test_nothing_of_the_triggers_is_left(issues: ClientShape) -> None:
    noted = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!electric%'"
    with connection.cursor() as cursor:
        cursor.execute(noted)
        assert cursor.fetchone() == (2,)
        cursor.execute("ROLLBACK; BEGIN")
        cursor.execute(f"SELECT ({noted}), to_regclass('pg_temp.electric_test_notes')")
        assert cursor.fetchone() == (0, None)


def test_the_catalogue_has_the_shape_as_the_worker_leaves_it(issues: ClientShape) -> None:
    row = Shape.objects.get()
    assert (row.handle, row.status, row.snapshot_rows) == (issues.handle, "active", 0)


def test_a_generated_column_is_left_out(electric_client: ElectricClient) -> None:
    run(
        "CREATE TABLE kit_g (id int PRIMARY KEY, a int,"
        " twice int GENERATED ALWAYS AS (a * 2) STORED, b text)"
    )
    shape = electric_client.shape(table="kit_g", columns=["id", "a", "b"])
    run("INSERT INTO kit_g (id, a, b) VALUES (1, 2, 'b')")
    shape.sync()
    assert shape.rows == [{"id": "1", "a": "2", "b": "b"}]
