"""`revoke`: ends what users are reading and what they were given tokens for, in every process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import router, transaction

from django_electric.authority import user_key
from django_electric.conf import electric_settings
from django_electric.revocations import RevocationLog, kept_seconds

if TYPE_CHECKING:
    from django_electric.policies import User

logger = logging.getLogger(__name__)


def revoke(*users: User) -> None:
    """Revoke what *users* were allowed up to now: their live requests end with 401 within a second, what
    `shapes_first` remembers of them is forgotten, their tokens are good no longer.

    It says nothing of what they are allowed from now on: whoever is let in again by the project reads on. In
    a transaction it happens when that commits, so that nobody is let in again by what it is about to change.
    From any process that sees ``STORAGE_DIR``. Raises OSError if that cannot be written.
    """
    _on_commit(users, _write)


def revoke_keys(keys: Iterable[str]) -> None:
    """`revoke` for users of whom only the keys are known (`Access.user`)."""
    transaction.on_commit(partial(_write, list(keys)))


def revoke_quietly(users: Iterable[User]) -> None:
    """The same for signal receivers: a logout goes on though the storage cannot be written, and the log says so."""
    _on_commit(users, _write_or_log)


def _on_commit(users: Iterable[User], act: Callable[[list[str]], None]) -> None:
    keys = [key for user in users if (key := user_key(user)) is not None]
    if keys:
        using = router.db_for_write(get_user_model())
        transaction.on_commit(partial(act, keys), using=using)


def _write(keys: list[str]) -> None:
    settings = electric_settings()
    RevocationLog(settings.root, kept_seconds(settings.token_ttl)).append(keys)


def _write_or_log(keys: list[str]) -> None:
    try:
        _write(keys)
    except Exception:
        logger.exception("users could not be revoked: %s", ", ".join(keys))
