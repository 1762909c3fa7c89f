"""Shapes with subqueries in tests: rows come and go by what is written to the other table, whoever writes it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from django_electric.test import ClientShape, Sandbox, capture
from django_electric.test.following import Following
from example_project.demo.models import Comment, Issue, Project

HIGH = Project.objects.filter(color="#ff0000")
SHAPES: dict[str, tuple[str, Callable[[], QuerySet[Any]]]] = {
    "in": (
        "project_id IN (SELECT id FROM demo_project WHERE color = '#ff0000')",
        lambda: Issue.objects.filter(project__in=HIGH),
    ),
    "not in": (
        "project_id NOT IN (SELECT id FROM demo_project WHERE color = '#ff0000')",
        lambda: Issue.objects.exclude(project__in=HIGH),
    ),
    "either": (
        "title LIKE 'x%' OR priority > 2 AND project_id IN (SELECT id FROM demo_project WHERE color = '#ff0000')",
        lambda: Issue.objects.filter(
            Q(title__startswith="x") | Q(priority__gt=2, project__in=HIGH)
        ),
    ),
    "itself": (
        "priority IN (SELECT priority FROM demo_issue WHERE title LIKE 'x%')",
        lambda: Issue.objects.filter(
            priority__in=Issue.objects.filter(title__startswith="x").values("priority")
        ),
    ),
    "nested": (
        "id IN (SELECT issue_id FROM demo_comment WHERE issue_id IN (SELECT id FROM demo_issue WHERE project_id IN"
        " (SELECT id FROM demo_project WHERE color = '#ff0000')))",
        lambda: Issue.objects.filter(
            pk__in=Comment.objects.filter(issue__in=Issue.objects.filter(project__in=HIGH)).values(
                "issue"
            )
        ),
    ),
}


@pytest.fixture(params=["electric", "electric_live"])
def electric_of_both(request: pytest.FixtureRequest) -> Sandbox:
    """In the transaction of the test, and with commits."""
    sandbox: Sandbox = request.getfixturevalue(request.param)
    return sandbox


def make_project(number: int = 0, color: str = "#ffffff") -> Project:
    return Project.objects.create(name=f"p{number}", key=f"P{number}", color=color)


def follow(electric: Sandbox, name: str) -> ClientShape:
    where, queryset = SHAPES[name]
    shape = electric.client().shape(table="demo_issue", where=where)
    electric.assert_shape_equals(shape, queryset())
    return shape


@pytest.mark.parametrize("name", SHAPES)
def test_rows_come_and_go_with_what_the_subquery_gives(
    electric_of_both: Sandbox, name: str
) -> None:
    electric, equal = electric_of_both, SHAPES[name][1]
    projects = [make_project(n, "#ff0000" if n else "#ffffff") for n in range(2)]
    issues = [
        Issue.objects.create(project=projects[n % 2], title=f"{'xyz'[n % 3]}{n}", priority=n % 5)
        for n in range(10)
    ]
    Comment.objects.create(issue=issues[0], body="first")
    shape = follow(electric, name)

    def step(*writes: Callable[[], object]) -> None:
        for write in writes:
            write()
        electric.assert_shape_equals(shape, equal())

    def sql(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    step(lambda: Project.objects.filter(pk=projects[0].pk).update(color="#ff0000"))
    step(lambda: sql("UPDATE demo_project SET color = '#000000'"))
    step(
        lambda: sql("UPDATE demo_project SET color = '#ff0000' WHERE key = 'P1'"),
        lambda: Issue.objects.bulk_create(
            Issue(project=projects[n % 2], title=f"x{n}", priority=n) for n in range(5)
        ),
    )
    step(lambda: Comment.objects.bulk_create(Comment(issue=one, body="") for one in issues[::2]))
    step(lambda: Issue.objects.filter(priority=1).update(project=projects[0], title="moved"))
    step(lambda: Comment.objects.filter(issue=issues[2]).delete())
    step(lambda: projects[1].delete())
    assert shape.refetches == 0


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_is_written(electric_of_both: Sandbox, name: str) -> None:
    """Several transactions between two looks, each with writes to all tables."""
    chance, electric = random.Random(name), electric_of_both
    projects = [make_project(n) for n in range(3)]
    shape = follow(electric, name)
    for _ in range(8):
        for _ in range(chance.randrange(1, 4)):
            with transaction.atomic():
                for _ in range(chance.randrange(1, 4)):
                    write(chance, projects)
                transaction.set_rollback(chance.random() < 0.15)
        electric.assert_shape_equals(shape, SHAPES[name][1]())


def write(chance: random.Random, projects: list[Project]) -> None:
    one = Issue.objects.filter(pk__gt=chance.randrange(20)).order_by("pk").first()
    title = f"{chance.choice('xyz')}{chance.randrange(5)}"
    match chance.randrange(6) if one else 0:
        case 0 | 1:
            Issue.objects.create(
                project=chance.choice(projects), title=title, priority=chance.randrange(5)
            )
        case 2:
            Issue.objects.filter(pk=one.pk).update(  # type: ignore[union-attr]  # there is one
                project=chance.choice(projects), title=title
            )
        case 3:
            Comment.objects.create(issue=one, body="")
        case 4:
            Comment.objects.all()[:1].get().delete() if Comment.objects.exists() else None
        case _:
            color = chance.choice(("#ff0000", "#ffffff"))
            Project.objects.filter(pk=chance.choice(projects).pk).update(color=color)


def test_what_is_told_is_a_move(electric_of_both: Sandbox) -> None:
    electric = electric_of_both
    project = make_project(color="#ff0000")
    issue = Issue.objects.create(project=project, title="t")
    shape = follow(electric, "in")
    project.color = "#000000"
    project.save()
    shape.sync()
    assert [m["headers"].get("event") for m in shape.messages[-2:]] == ["move-out", None]
    project.color = "#ff0000"
    project.save()
    news = shape.sync()
    told = [(m["headers"].get("event"), m["headers"].get("is_move_in")) for m in news]
    assert told[:2] == [("move-in", None), (None, True)]
    assert [row["id"] for row in shape.rows] == [str(issue.pk)]


def test_a_shape_that_moves_goes_on_beside_others(electric_of_both: Sandbox) -> None:
    """Each of them has its own idea of what it was told."""
    electric = electric_of_both
    projects = [make_project(n) for n in range(2)]
    Issue.objects.create(project=projects[0], title="x", priority=3)
    shapes = {name: follow(electric, name) for name in SHAPES}
    plain = electric.client().shape(table="demo_project")
    for color in ("#ff0000", "#000000"):
        Project.objects.update(color=color)
        for name, shape in shapes.items():
            electric.assert_shape_equals(shape, SHAPES[name][1]())
        electric.assert_shape_equals(plain, Project.objects.all())


def test_a_change_of_the_other_table_begins_it_anew(electric: Sandbox) -> None:
    Issue.objects.create(project=make_project(), title="t")
    shape = follow(electric, "not in")
    other = electric.client().shape(table="demo_issue")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE demo_project, demo_issue, demo_comment")
    for one in (shape, other):
        one.sync()
        assert (one.refetches, one.rows) == (1, [])


def test_a_savepoint_that_is_rolled_back_takes_moves_along(electric: Sandbox) -> None:
    Issue.objects.create(project=make_project(), title="t")
    shape = follow(electric, "in")
    with transaction.atomic():
        Project.objects.update(color="#ff0000")
        electric.assert_shape_equals(shape, Issue.objects.all())
        transaction.set_rollback(True)
    electric.assert_shape_equals(shape, Issue.objects.none())


def test_moves_have_room_between_transactions(
    electric: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the WAL does not grow at all."""
    monkeypatch.setattr(capture, "_POSITION", "SELECT pg_current_xact_id()::text, 7::int8")
    project = make_project()
    Issue.objects.create(project=project, title="first")
    shape = follow(electric, "in")
    for color in ("#ff0000", "#000000", "#ff0000"):
        Project.objects.update(color=color)
        electric.assert_shape_equals(shape, SHAPES["in"][1]())
        Issue.objects.create(project=project, title="next")
        electric.assert_shape_equals(shape, SHAPES["in"][1]())


class TestFollowing:
    """What a client makes of tags and moves (PROTOCOL sections 12.2 and 12.3)."""

    @pytest.fixture
    def following(self) -> Following:
        following = Following()
        self.take(
            following,
            {"key": "1", "value": {"v": "1"}, "headers": self.tagged("insert", ["a/", "/1"], [True, False])},
            {"key": "2", "value": {"v": "2"}, "headers": self.tagged("insert", ["a/", "/1"], [True, True])},
            {"key": "3", "value": {"v": "3"}, "headers": self.tagged("insert", ["b/", "/1"], [True, False])},
        )  # fmt: skip
        return following

    @staticmethod
    def tagged(operation: str, tags: list[str], active: list[bool]) -> dict[str, Any]:
        return {"operation": operation, "tags": tags, "active_conditions": active}

    @staticmethod
    def take(following: Following, *messages: dict[str, Any]) -> None:
        following._apply(messages)

    @staticmethod
    def move(event: str, value: str, at: int = 0) -> dict[str, Any]:
        return {"headers": {"event": event, "patterns": [{"pos": at, "value": value}]}}

    def test_a_row_goes_when_no_alternative_is_left(self, following: Following) -> None:
        self.take(following, self.move("move-out", "a"))
        assert set(following.rows) == {"2", "3"}
        self.take(following, self.move("move-out", "1", at=1))
        assert set(following.rows) == {"3"}

    def test_a_condition_that_is_true_again_holds_a_row(self, following: Following) -> None:
        self.take(
            following,
            *(self.move("move-out", "a"), self.move("move-in", "a")),
            self.move("move-out", "1", at=1),
        )
        assert set(following.rows) == {"2", "3"}

    def test_an_update_says_why_the_row_is_there_now(self, following: Following) -> None:
        update = self.tagged("update", ["c/", "/1"], [True, False])
        self.take(
            following,
            {"key": "1", "value": {"v": "9"}, "headers": update},
            {"key": "3", "headers": self.tagged("delete", ["b/", "/1"], [True, False])},
            *(self.move("move-out", "a"), self.move("move-out", "b")),
        )
        assert following.rows == {"1": {"v": "9"}, "2": {"v": "2"}}

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({}, "without the tags"),
            ({"tags": ["a/"], "active_conditions": [False]}, "no condition holds"),
        ],
    )
    def test_what_no_client_could_use_fails_the_test(
        self, following: Following, more: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(AssertionError, match=message):
            self.take(
                following, {"key": "1", "value": {}, "headers": {"operation": "update", **more}}
            )
