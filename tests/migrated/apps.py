"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class MigratedConfig(AppConfig):
    """Has migrations and no models."""

    name = "tests.migrated"
    default_auto_field = "django.db.models.BigAutoField"
