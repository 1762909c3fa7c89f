"""Shapes whose policies come from other packages."""

from __future__ import annotations

from typing import Any

import rules

from django_electric import Shape
from django_electric.contrib.guardian import GuardianPolicy
from django_electric.contrib.rules import RulesPolicy
from example_project.demo.models import Comment, Project


@rules.predicate
def is_author(user: Any, comment: Comment | None) -> bool:
    """Whether the user has written the comment."""
    return comment is not None and comment.author == user.username


rules.add_perm("demo.view_comment", is_author | rules.is_superuser)

granted_projects = Shape(Project, policy=GuardianPolicy)
written_comments = Shape(Comment.objects.only("body", "author"), policy=RulesPolicy)
