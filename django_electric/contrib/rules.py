"""Policies by the predicates of django-rules (extra ``rules``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from rules.permissions import has_perm, perm_exists

from django_electric.policies import ShapePolicy

if TYPE_CHECKING:
    from django_electric.policies import User


class RulesPolicy(ShapePolicy):
    """The rows for which the rule of a permission holds::

        rules.add_perm("notes.view_note", is_author | rules.is_staff)
        policy(Note)(RulesPolicy)

    A predicate is Python, so it is asked row by row, and the condition is the list of ids for which it holds:
    meant for small tables. Override `candidates` to leave out in SQL what cannot hold.
    """

    permission: ClassVar[str | None] = None
    """Codename of the permission; None for that to view the model."""

    def candidates(self, user: User) -> QuerySet[Any]:
        """The rows for which the rule is asked."""
        return self.model._default_manager.all()

    def rows(self, user: User) -> QuerySet[Any] | None:
        """The rows for which the rule holds; no rule refuses."""
        options = self.model._meta
        codename = self.permission or get_permission_codename("view", options)
        name = f"{options.app_label}.{codename}"
        if not perm_exists(name):
            return None
        rows = self.candidates(user)
        allowed = [one.pk for one in rows.iterator() if has_perm(name, user, one)]
        return self.model._default_manager.filter(pk__in=allowed)
