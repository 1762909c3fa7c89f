"""Who may read what of the demo, and the shapes that it declares.

In open mode (``ELECTRIC_INSECURE``) ``/v1/shape`` serves any table to anybody; whoever has the secret reads
everything too. For all others these policies hold, and for ``/shapes/<name>/`` they hold always.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet

from django_electric import ModelPermissionPolicy, Shape, ShapePolicy, policy
from example_project.demo.models import Comment, Issue, Project

CLOSED = (Issue.Status.DONE, Issue.Status.CANCELED)


@policy(Issue)
class IssuePolicy(ShapePolicy):
    """Staff reads all issues, everybody else those that are assigned to them."""

    def rows(self, user: AbstractBaseUser | AnonymousUser) -> QuerySet[Issue]:
        """By the name of the assignee."""
        if isinstance(user, User) and user.is_staff:
            return Issue.objects.all()
        return Issue.objects.filter(assignee=user.get_username())

    def columns(self, user: AbstractBaseUser | AnonymousUser) -> Iterable[str] | None:
        """Where an issue stands on the board is the staff's affair."""
        if isinstance(user, User) and user.is_staff:
            return None
        return [field.name for field in Issue._meta.concrete_fields if field.name != "position"]


@policy(Project)
class ProjectPolicy(ShapePolicy):
    """Whoever has signed in reads all projects."""

    def rows(self, user: AbstractBaseUser | AnonymousUser) -> QuerySet[Project]:
        """All of them."""
        return Project.objects.all()


policy(Comment)(ModelPermissionPolicy)


class ConversationPolicy(ShapePolicy):
    """What is said about an issue, for whom the issue is assigned to, and as long as it is."""

    def rows(self, user: AbstractBaseUser | AnonymousUser) -> QuerySet[Comment]:
        """They come and go with the issues: the condition names those by a subquery, not by a list."""
        issues = Issue.objects.filter(assignee=user.get_username())
        return Comment.objects.filter(issue__in=issues)


my_issues = Shape(
    Issue.objects.exclude(status__in=CLOSED).only("title", "status", "priority", "project")
)
my_conversations = Shape(Comment, policy=ConversationPolicy)
board = Shape(Project.objects.only("name", "key", "color"), public=True)
