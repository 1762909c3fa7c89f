"""Policies by the permissions on single objects that django-guardian keeps (extra ``guardian``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from guardian.shortcuts import get_objects_for_user

from django_electric.policies import ShapePolicy

if TYPE_CHECKING:
    from django_electric.policies import User


class GuardianPolicy(ShapePolicy):
    """The rows on which a user, or a group of the user, has a permission; all, with the permission in general.

    The ids are looked up for each request that goes through Django, and are part of the condition: what is
    granted or taken away later shows when they are looked up again, after ``GRANT_TTL`` at the latest. Meant
    for some thousands of rows for each user. A policy of your own over a table that holds the ids themselves
    (``pk__in=Membership.objects.filter(user=user).values("project")``) is followed as it changes.
    """

    permission: ClassVar[str | None] = None
    """Codename of the permission; None for that to view the model."""

    def rows(self, user: User) -> QuerySet[Any]:
        """The rows with the permission."""
        options = self.model._meta
        codename = self.permission or get_permission_codename("view", options)
        everything = self.model._default_manager.all()
        if user.has_perm(f"{options.app_label}.{codename}"):  # type: ignore[union-attr]  # with permissions
            return everything
        found = get_objects_for_user(user, codename, klass=self.model, accept_global_perms=False)
        # Their ids, and not the query for them: guardian keeps them as text, which it casts, and joins tables.
        return everything.filter(pk__in=list(found.order_by().values_list("pk", flat=True)))
