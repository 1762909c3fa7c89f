"""The views that write: rows in the database, or an answer that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from example_project.demo.models import Comment, Issue, Project


@pytest.fixture
def issue(project: Project) -> Issue:
    issue = Issue.objects.create(
        project=project, title="Old title", description="Old text", status="todo", priority=2
    )
    issue.refresh_from_db()
    return issue


def post(client: Client, path: str, **fields: object) -> Any:
    return client.post(f"/demo/issues/{path}", fields)


def test_issue_is_created(client: Client, project: Project) -> None:
    response = post(
        client,
        "",
        project=project.pk,
        title="A new one",
        status="in_progress",
        priority="3",
        assignee="Ada",
    )
    issue = Issue.objects.get()
    assert (response.status_code, response.json()) == (201, {"id": issue.pk})
    assert (issue.title, issue.status, issue.priority, issue.assignee) == (
        "A new one",
        "in_progress",
        3,
        "Ada",
    )


def test_issue_with_title_and_project_alone_has_defaults(client: Client, project: Project) -> None:
    assert post(client, "", project=project.pk, title="Short").status_code == 201
    issue = Issue.objects.get()
    assert (issue.status, issue.priority, issue.description) == ("todo", 0, "")


def test_every_wrong_field_is_named(client: Client, project: Project) -> None:
    response = post(client, "", project=project.pk + 1, title=" ", status="urgent", priority="9")
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"project", "title", "status", "priority"}
    assert not Issue.objects.exists()


def test_edit_changes_what_is_given_and_nothing_else(client: Client, issue: Issue) -> None:
    response = post(client, f"{issue.pk}/", status="done")
    before, after = issue, Issue.objects.get()
    assert (response.status_code, response.json()) == (200, {"id": issue.pk})
    assert after.status == "done"
    assert (after.title, after.description, after.priority) == (
        before.title,
        before.description,
        before.priority,
    )
    assert after.created == before.created
    assert after.updated > before.updated


def test_edit_to_an_empty_title_is_refused(client: Client, issue: Issue) -> None:
    response = post(client, f"{issue.pk}/", title="")
    assert response.status_code == 400
    assert response.json() == {"errors": {"title": ["This field is required."]}}
    assert Issue.objects.get().title == "Old title"


def test_delete_takes_the_comments_with_it(client: Client, issue: Issue) -> None:
    Comment.objects.create(issue=issue, author="Ada", body="Gone soon")
    assert post(client, f"{issue.pk}/delete/").status_code == 200
    assert not Issue.objects.exists()
    assert not Comment.objects.exists()


def test_comment_is_added(client: Client, issue: Issue) -> None:
    assert post(client, f"{issue.pk}/comments/", author="Ada", body="Mine").status_code == 201
    comment = Comment.objects.get()
    assert (comment.issue, comment.author, comment.body) == (issue, "Ada", "Mine")


def test_comment_without_author_or_text_is_refused(client: Client, issue: Issue) -> None:
    response = post(client, f"{issue.pk}/comments/")
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"author", "body"}


@pytest.mark.parametrize("path", ["{}/", "{}/delete/", "{}/comments/"])
def test_issue_that_is_gone_answers_404(client: Client, issue: Issue, path: str) -> None:
    issue.delete()
    assert post(client, path.format(4711), title="x").status_code == 404


@pytest.mark.parametrize("path", ["", "{}/", "{}/delete/", "{}/comments/"])
def test_reading_writes_nothing(client: Client, issue: Issue, path: str) -> None:
    assert client.get(f"/demo/issues/{path.format(issue.pk)}").status_code == 405
    assert Issue.objects.count() == 1


def test_write_without_csrf_token_is_refused(project: Project) -> None:
    client = Client(enforce_csrf_checks=True)
    assert post(client, "", project=project.pk, title="Forged").status_code == 403
    assert not Issue.objects.exists()


def test_write_with_the_token_of_the_page_is_accepted(project: Project) -> None:
    client = Client(enforce_csrf_checks=True)
    html = client.get("/demo/").content.decode()
    token = html.split('name="csrf-token" content="')[1].split('"')[0]
    response = client.post(
        "/demo/issues/", {"project": project.pk, "title": "Mine"}, headers={"X-CSRFToken": token}
    )
    assert response.status_code == 201
