"""User + declared shape or table → Access, or a refusal: the one place where policies are asked.

Everything here may ask the database, and is called in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from django.apps import apps
from django.db.models import Model
from django.http import HttpRequest
from django.utils.module_loading import import_string

from django_electric.declared import Shape
from django_electric.errors import ElectricError
from django_electric.policies import ShapePolicy
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.querysets import Rows, access_of, table_of
from django_electric.registry import Registry, registry

if TYPE_CHECKING:
    from django_electric.policies import User


class Refused(ElectricError):
    """You may not read this shape."""

    status = 403


class NotSignedIn(Refused):
    """Sign in to read this shape."""

    status = 401


class Nobody:
    """Who asks in a project without ``django.contrib.auth``."""

    pk = id = None
    username: ClassVar[str] = ""
    is_authenticated = is_active = is_staff = is_superuser = False
    is_anonymous = True

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Whether they may do something: no."""
        return False


def anonymous() -> User:
    """The user who has not signed in."""
    # By its name: with it come models, which a project without users has not installed.
    has_users = apps.is_installed("django.contrib.auth")
    user = import_string("django.contrib.auth.models.AnonymousUser") if has_users else Nobody
    return cast("User", user())


def user_of(request: HttpRequest) -> User:
    """Who asks; anonymous in a project without users."""
    user: User = getattr(request, "user", None) or anonymous()
    return user


def user_key(user: User) -> str | None:
    """What `Access.user` calls *user*; None for the anonymous one.

    >>> user_key(Nobody()) is None
    True
    """
    if not user.is_authenticated:
        return None
    model = user._meta.concrete_model or user._meta.model
    return f"{model._meta.label}:{user.pk}"


def access_to_shape(shape: Shape, user: User, known: Registry = registry) -> Access:
    """What *user* may read of a declared shape. Raises `Refused`."""
    if shape.is_public:
        return access_of(shape.queryset, is_public=True)
    return _access(shape.policy or known.policy_of(shape.model), user, shape.queryset)


def access_to_table(table: TableName, user: User, known: Registry = registry) -> Access:
    """What *user* may read of a table by the policy of its model. Raises `Refused`."""
    policies = [
        policy
        for model, policy in known.policies.items()
        if not model._meta.proxy and _is_table_of(model, table)
    ]
    # Two models of one table may differ in what they let be read: nobody can tell which is meant.
    return _access(policies[0] if len(policies) == 1 else None, user)


def _is_table_of(model: type[Model], table: TableName) -> bool:
    try:
        # The name may be quoted and have its schema before it.
        return table.name in model._meta.db_table and table_of(model) == table
    except ValueError:
        return False  # there is no such table yet


def refusal(user: User) -> Refused:
    """Why *user* may not: the anonymous one might, after signing in."""
    return Refused() if user.is_authenticated else NotSignedIn()


def _access(policy: ShapePolicy | None, user: User, *declared: Rows) -> Access:
    if policy is None:
        raise refusal(user)
    if policy.is_public:
        user = anonymous()
    elif not user.is_authenticated and not policy.allows_anonymous:
        raise NotSignedIn
    rows = policy.rows(user)
    if rows is None:
        raise refusal(user)
    columns = policy.columns(user)
    return access_of(
        *declared, rows, columns=columns, is_public=policy.is_public, user=user_key(user)
    )
