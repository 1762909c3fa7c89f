"""ShapePolicy: the project's answer to "which rows and columns may this user read?".

What has no policy is refused. `registry.policy` says which policy a model has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from django.contrib.auth import get_permission_codename
from django.db.models import Model, QuerySet

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    User: TypeAlias = AbstractBaseUser | AnonymousUser


class ShapePolicy:
    """What a user may read of a model's rows. Override `rows`, and `columns` if need be::

        @policy(Issue)
        class IssuePolicy(ShapePolicy):
            def rows(self, user):
                return Issue.objects.filter(project__in=…)

    Both methods are called in a thread, so they may ask the database. They are asked anew for each request
    that goes through Django; how long its answer is good for equal ones, ``GRANT_TTL`` says.
    """

    is_public: ClassVar[bool] = False
    """Whether everybody may read the same. `rows` is then asked for the anonymous user, whoever comes, and
    shared caches may keep the answers."""
    allows_anonymous: ClassVar[bool] = False
    """Whether `rows` is asked for a user who has not signed in; otherwise that one is told to."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    def rows(self, user: User) -> QuerySet[Any] | None:
        """The rows that *user* may read; None refuses. Users with the same rows share a shape."""
        return None

    def columns(self, user: User) -> Iterable[str] | None:
        """The names of the fields that *user* may read; None for all. The primary key is always sent."""
        return None


class ModelPermissionPolicy(ShapePolicy):
    """All rows for whoever has the permission to view the model, ``app.view_model``."""

    def rows(self, user: User) -> QuerySet[Any] | None:
        """All rows, or none at all."""
        options = self.model._meta
        codename = get_permission_codename("view", options)
        allowed = user.has_perm(f"{options.app_label}.{codename}")  # type: ignore[union-attr]  # with permissions
        return self.model._default_manager.all() if allowed else None


class OwnerPolicy(ShapePolicy):
    """The rows whose *field* is the user::

    @policy(Note)
    class NotePolicy(OwnerPolicy):
        field = "author"
    """

    field: ClassVar[str] = "owner"
    """A foreign key to the user model."""

    def rows(self, user: User) -> QuerySet[Any] | None:
        """The user's own rows; to be nobody is to own none, though the field may be NULL."""
        if user.pk is None:
            return None
        return self.model._default_manager.filter(**{self.field: user.pk})
