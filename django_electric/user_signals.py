"""What Django tells of users revokes them: logouts, passwords, deactivation, permissions, groups, deletion.

`QuerySet.update`, `bulk_update` and SQL tell nothing: whoever uses them calls `revoke`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db.models import Model, signals

from django_electric.revoking import revoke_quietly

_TELLING: Final = ("password", "is_active", "is_staff", "is_superuser")
"""Fields of a user whose change says that something was taken away, or may have been."""
_BEFORE: Final = "_django_electric_before"
"""What a receiver found, for the one that comes after the change."""
_DONE: Final = ("post_add", "post_remove", "post_clear")


def connect() -> None:
    """Make Django's signals revoke, in a project that has users. Harmless when called twice."""
    if not apps.is_installed("django.contrib.auth"):
        return
    user_model, group = get_user_model(), apps.get_model("auth", "Group")
    _connect(user_logged_out, _logged_out)
    # Without a sender: a proxy of the user model is another one.
    _connect(signals.pre_save, _before_save)
    _connect(signals.post_save, _after_save)
    _connect(signals.post_delete, _after_delete)
    _connect(signals.pre_delete, _before_group_is_deleted, group)
    _connect(signals.post_delete, _after_group_was_deleted, group)
    _connect(signals.m2m_changed, _groups_permissions_changed, group.permissions.through)
    for name in ("groups", "user_permissions"):
        through = getattr(getattr(user_model, name, None), "through", None)
        if through is not None:
            _connect(signals.m2m_changed, _users_permissions_changed, through)


def _connect(signal: Any, receiver: Any, sender: object = None) -> None:
    signal.connect(receiver, sender=sender, dispatch_uid=f"django_electric.{receiver.__name__}")


def _logged_out(*, user: Any, **_: object) -> None:
    if user is not None:
        revoke_quietly([user])


# --- A user is changed, or deleted ------------------------------------------------------------------------


def _before_save(
    *, instance: Model, raw: bool, update_fields: Collection[str] | None, **_: object
) -> None:
    telling = _telling_fields(instance)
    if raw or not telling or instance._state.adding:
        return
    if update_fields is None or set(update_fields) & set(telling):
        manager = type(instance)._base_manager.using(instance._state.db)
        setattr(instance, _BEFORE, manager.filter(pk=instance.pk).values(*telling).first())


def _after_save(*, instance: Any, **_: object) -> None:
    before = instance.__dict__.pop(_BEFORE, None)
    if before and any(getattr(instance, name) != value for name, value in before.items()):
        revoke_quietly([instance])


def _after_delete(*, instance: Any, **_: object) -> None:
    if isinstance(instance, get_user_model()):
        revoke_quietly([instance])


def _telling_fields(instance: Model) -> list[str]:
    if not isinstance(instance, get_user_model()):
        return []
    names = {field.name for field in instance._meta.concrete_fields}
    return [name for name in _TELLING if name in names]


# --- Groups and permissions -------------------------------------------------------------------------------


def _users_permissions_changed(
    *, instance: Any, action: str, reverse: bool, pk_set: Collection[Any] | None, **_: object
) -> None:
    """Of ``user.groups`` and ``user.user_permissions``, from either end."""
    if not reverse:
        if action in _DONE:
            revoke_quietly([instance])
    elif action == "pre_clear":
        setattr(instance, _BEFORE, list(instance.user_set.all()))
    elif action == "post_clear":
        revoke_quietly(instance.__dict__.pop(_BEFORE, ()))
    elif action in _DONE and pk_set:
        revoke_quietly(get_user_model()._base_manager.filter(pk__in=pk_set))


def _groups_permissions_changed(
    *, instance: Any, action: str, reverse: bool, pk_set: Collection[Any] | None, **_: object
) -> None:
    """Of ``group.permissions``, from either end."""
    if not reverse:
        if action in _DONE:
            revoke_quietly(_members([instance.pk]))
    elif action == "pre_clear":
        groups = instance.group_set.values_list("pk", flat=True)
        setattr(instance, _BEFORE, list(_members(groups)))
    elif action == "post_clear":
        revoke_quietly(instance.__dict__.pop(_BEFORE, ()))
    elif action in _DONE and pk_set:
        revoke_quietly(_members(pk_set))


def _before_group_is_deleted(*, instance: Model, **_: object) -> None:
    setattr(instance, _BEFORE, list(_members([instance.pk])))


def _after_group_was_deleted(*, instance: Model, **_: object) -> None:
    revoke_quietly(instance.__dict__.pop(_BEFORE, ()))


def _members(groups: Iterable[Any]) -> Iterable[Any]:
    """The users in *groups*, each once; none if users of the project have no groups."""
    user_model = get_user_model()
    if not hasattr(user_model, "groups"):
        return []
    return user_model._base_manager.filter(groups__in=list(groups)).distinct()
